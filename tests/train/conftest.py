"""What the tests of training share: a folder of drawn images, and the fields of a run on it that takes seconds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

CLASSES = ("apple", "barn owl", "candle", "dune", "elm", "fox", "gull", "harp", "iris", "jar", "kite", "lamp")
EACH = 5


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of 32x32 images: a disc of the class's colour on noise."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    generator = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        place = folder / name.replace(" ", "_")
        place.mkdir(parents=True)
        colour = tuple(int(40 + 200 * (number >> bit & 1)) for bit in range(3))
        for copy in range(EACH):
            image = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            centre = tuple(int(value) for value in generator.integers(10, 22, 2))
            cv2.circle(image, centre, 5 + number // 8 * 5, colour, -1)
            assert cv2.imwrite(str(place / f"{copy}.png"), image)
    return folder


@pytest.fixture(scope="session")
def tiny() -> tuple[str, ...]:
    """Overrides of the smoke configuration: a few steps of each stage on `photos`."""
    return (
        "teacher_stem=8,16,32",
        "student_stem=8,8,16",
        "pretrain_epochs=4",
        "pretrain_batch=8",
        "prompt_epochs=4",
        "prompt_batch=4",
        "average_epoch=2",
        "epochs=4",
        "batch=8",
        "views=2",
        "select_every=1",
    )
