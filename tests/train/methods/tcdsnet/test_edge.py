"""An exported TCDSNet in the runtime's FewShotClassifier answers as training does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import runtime
from export.onnx import export
from train.methods.tcdsnet.config import SMOKE
from train.methods.tcdsnet.method import TCDSNet
from train.methods.tcdsnet.rules import answer, rules


@pytest.mark.parametrize(
    ("fields", "shots"),
    [
        ({"other_images": True}, 2),
        ({"query": "adaptive", "class_offset": "support", "center": "task"}, 2),
        ({"one_image": "grid"}, 1),
        ({"one_image": "grid"}, 2),
    ],
)
def test_enrolled_classes_are_answered_as_in_training(fields: dict[str, object], shots: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(SMOKE, **fields)  # type: ignore[arg-type]
    method = TCDSNet(config, TCDSNet.prepare(config, None)).eval()
    exportable = method.exportable()
    task = runtime.load(export(exportable, tmp_path / "artifact").path, prefer=["cpu"])
    generator = np.random.default_rng(0)
    photos = generator.integers(0, 256, (3, shots, config.size, config.size, 3), dtype=np.uint8)
    for name, images in zip("abc", photos, strict=True):
        task.enroll(name, list(images))
    asked = generator.integers(0, 256, (4, config.size, config.size, 3), dtype=np.uint8)

    def described(images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        with torch.no_grad():
            found = exportable.modules["descriptors"](torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))))
        rows, *threshold = (part.numpy() for part in (found if isinstance(found, tuple) else (found,)))
        return rows, threshold[0] if threshold else None

    support = described(photos.reshape(3 * shots, *photos.shape[2:]))[0]
    query, threshold = described(asked)
    expected = answer(support.reshape(3, shots, *support.shape[1:]), query, rules(config), threshold=threshold)
    np.testing.assert_allclose(task.logits(task.describe(task.prepare(list(asked)))), expected, atol=1e-4)
    for image, scores in zip(asked, expected, strict=True):
        assert task.classify(image).label == "abc"[int(scores.argmax())]
