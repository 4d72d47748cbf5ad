"""Evaluation of a saved model is compared with what its training measured, and on data with other classes with its own rules."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from train import checkpoint, evaluate, run


@pytest.fixture(scope="module")
def model(photos: Path, tiny: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluated") / "run"
    steps = ("pretrain_epochs=1", "prompt_epochs=0", "epochs=1")
    assert (
        run.main(["comkd_clip", *tiny, *steps, "--smoke", "--data", str(photos), "--out", str(out), "--accelerator", "cpu"]) == 0
    )
    return out / "model.pt"


def test_on_its_own_data_it_finds_what_training_measured(model: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("val", "test"):
        assert evaluate.main([str(model), "--data", str(photos), "--split", split, "--json", "--accelerator", "cpu"]) == 0
        found = json.loads(capsys.readouterr().out)["metrics"]
        measured = checkpoint.load(model).metrics
        assert found == pytest.approx({name: measured[f"{split}/{name}"] for name in found})
        assert {"student/hm", "teacher/hm", "student/top5", "student/ece"} <= set(found)


def test_on_another_data_set_it_answers_among_that_ones_classes(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        for part in ("train", "test"):
            (tmp_path / "other" / part / name).mkdir(parents=True)
            for copy in range(3):
                image = np.random.default_rng(copy).integers(0, 256, (40, 30, 3), np.uint8)
                assert cv2.imwrite(str(tmp_path / "other" / part / name / f"{copy}.png"), image)
    assert evaluate.main([str(model), "--data", str(tmp_path / "other"), "--accelerator", "cpu"]) == 0
    said = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert float(said["student/top5"]) == 100.0  # of two classes


def test_mistakes_end_with_status_2_and_one_sentence(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    assert cv2.imwrite(str(bare / "a.png"), np.zeros((8, 8, 3), np.uint8))
    for arguments in (
        [str(tmp_path / "no.pt")],
        [str(model), "--data", str(bare)],
        [str(model), "--data", str(tmp_path / "gone")],
    ):
        assert evaluate.main([*arguments, "--accelerator", "cpu"]) == 2
        error = capsys.readouterr().err
        assert error.startswith("train.evaluate: ") and "Traceback" not in error
