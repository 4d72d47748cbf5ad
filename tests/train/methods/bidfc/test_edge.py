"""An exported BIDFC in the runtime's Recognizer answers for chips as read what training answers for its windows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import runtime
from export.onnx import export
from runtime.artifact import GOLDEN
from runtime.proof import prove, read_golden
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


def test_the_proof_cuts_the_golden_chips_again(tmp_path: Path, seal: Callable[[Path], None]) -> None:
    config = dataclasses.replace(SMOKE, pretraining="none")
    method = BIDFC(config, BIDFC.prepare(config, None)).eval()
    folder = export(method.exportable(), tmp_path / "artifact").path
    proof = prove(folder)
    assert proof.passed and proof.chips == 1 and "100.00% of golden chips equal" in proof.preparation()
    golden = read_golden(folder)
    assert golden["chip_0"].shape == (config.window, config.window)
    golden["chip_0"] = np.roll(golden["chip_0"], 1, axis=0)  # a device that cuts one row off the middle
    np.savez_compressed(folder / GOLDEN, allow_pickle=False, **golden)
    seal(folder)
    proof = prove(folder)
    assert proof.chips is not None and 0 < proof.chips < 1 and not proof.passed


def test_whole_chips_are_not_proven(tmp_path: Path) -> None:
    config = dataclasses.replace(SMOKE, pretraining="none", crop="resize")
    method = BIDFC(config, BIDFC.prepare(config, None)).eval()
    proof = prove(export(method.exportable(), tmp_path / "artifact").path)
    assert proof.passed and proof.chips is None
