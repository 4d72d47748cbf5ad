"""An exported BIDFC in the runtime's Recognizer answers for chips as read what training answers for its windows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import runtime
from export.onnx import export
from train.data.sar import chips
from train.methods.bidfc.config import SMOKE
from train.methods.bidfc.method import BIDFC
from train.methods.bidfc.parts import open_parts


@pytest.mark.parametrize("fields", [{}, {"novelty": "neighbours"}, {"novelty": "energy", "crop": "resize"}])
def test_chips_are_recognised_and_refused_as_in_training(fields: dict[str, object], tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(SMOKE, pretraining="none", refused=0.4, **fields)  # type: ignore[arg-type]
    method = BIDFC(config, BIDFC.prepare(config, None))
    (stage,) = method.stages(None)
    assert stage.end is not None
    stage.end()
    task = runtime.load(export(method.eval().exportable(), tmp_path / "artifact").path, prefer=["cpu"])
    part = open_parts(config, None).test
    test = chips(None, scenes=config.scenes, scene_size=48)["test"]
    read = [test.chip(row) for row in range(len(test))]
    assert np.array_equal(task.prepare(read)[:, 0], part.middle(config.size).pixels)
    found = task.recognize(read)
    with torch.no_grad():
        features, logits = method._encoded(part.middle(config.size))
        novelty = method.novelty(features, logits)
        probabilities = (logits / method.temperature).softmax(1)
    for answer, mine, strange in zip(found, probabilities, novelty, strict=True):
        assert [answer.probabilities[name] for name in task.classes] == pytest.approx(mine.tolist(), abs=1e-4)
        assert answer.novelty == pytest.approx(float(strange), abs=1e-3)
    measured = method.evaluate(None, "test")
    refused = np.array([answer.refused for answer in found])
    assert 100 * refused[part.labels < 0].mean() == pytest.approx(measured["unknown_refused"], abs=20)
    assert 100 * refused[part.labels >= 0].mean() == pytest.approx(measured["known_refused"], abs=3)
    assert task.rate <= 0.4 and task.threshold == pytest.approx(float(method.novelty_threshold))
