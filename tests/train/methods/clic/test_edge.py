"""An exported CLIC in the runtime's ComplexityScorer answers as training does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import runtime
from export.onnx import export
from runtime.prepare import batch
from train.methods.clic.config import SMOKE
from train.methods.clic.measures import place
from train.methods.clic.method import CLIC


@pytest.mark.parametrize("head", ["none", "icnet"])
def test_images_are_scored_as_in_training(head: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(SMOKE, score_head=head)  # type: ignore[arg-type]
    method = CLIC(config, CLIC.prepare(config, None)).eval()
    exportable = method.exportable()
    task = runtime.load(export(exportable, tmp_path / "artifact").path, threads=1, prefer=["cpu"])
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((40, 70), (32, 32), (1, 1), (90, 20))]
    images.append(np.full((50, 50, 3), 127, np.uint8))
    with torch.no_grad():
        given = torch.from_numpy(batch(images, method.geometry))
        activation, _, embedding, cells, *score = (part.numpy() for part in exportable.modules["complexity"](given))
    expected = score[0] if score else place(activation.astype(np.float64), method.quantiles.double().numpy())
    for at, found in enumerate(task.score(images)):
        assert found.activation == pytest.approx(float(activation[at]), abs=1e-4)
        assert found.score == pytest.approx(float(expected[at]), abs=0.05)
        np.testing.assert_allclose(found.embedding, embedding[at], atol=1e-4)
        np.testing.assert_allclose(found.map, cells[at], atol=1e-4)
    assert task.scored == bool(score) and task.geometry == method.geometry
