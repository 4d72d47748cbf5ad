"""The report of runs that have ended against the figures in their checkpoints."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from benchmarks import cmah, runs
from train import checkpoint
from train.checkpoint import Checkpoint
from train.methods.cmah.config import SMOKE


def ended(out: Path, arm: str, seed: int, base: float) -> None:
    """A model.pt with figures that say where they come from."""
    metrics = {}
    for prefix in ("", "conditions/", "unseen/"):
        for at, direction in enumerate(cmah.DIRECTIONS):
            ways = ["float", "lsh_8", "lsh_16", *(["8", "16"] if "autoencoding" not in arm else [])]
            for way in ways:
                number = base + 0.1 * at + (0.02 if way.endswith("16") else 0.0) - (0.05 if way.startswith("lsh") else 0.0)
                metrics |= {f"test/{prefix}{direction}/{way}/{measure}": number for measure in ("map", "map50", "r1", "r10")}
                metrics[f"test/{prefix}{direction}/{way}/precision_r2"] = number
            metrics[f"test/{prefix}{direction}/chance/map"] = 0.03
        for kind in ("image", "shape"):
            for length in SMOKE.bits:
                for name in ("imbalance", "entropy", "correlation"):
                    metrics[f"test/{prefix}{kind}/{length}/{name}"] = 0.25
    place = runs.folder(out, arm, seed)
    place.mkdir(parents=True)
    config = dataclasses.asdict(SMOKE)
    model = {"points.a": torch.zeros(3), "image.b": torch.zeros(4), "autoencoder.c": torch.zeros(9)}
    checkpoint.save(Checkpoint("cmah", config, {}, model, metrics=metrics), place / "model.pt")
    (place / "seconds.json").write_text(json.dumps({"wall": 5.0, "cpu": 60.0 + seed}))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for seed in range(2):
        ended(tmp_path, "CMAH", seed, 0.50 + 0.02 * seed)
        ended(tmp_path, "contrast only", seed, 0.46)
    ended(tmp_path, "masked autoencoding only", 0, 0.2)
    return tmp_path


def test_the_report_tells_every_figure_and_differences_by_seed(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = out / "told.md"
    assert (
        cmah.main(["--report", "--out", str(out), "--write", str(written), "--plot", str(out / "map.png"), "--seeds", "3"]) == 0
    )
    text = capsys.readouterr().out
    assert written.read_text() == text
    rows = [row for row in text.splitlines() if row.startswith("| CMAH |")]
    assert "| 0.510 ± 0.014 / 0.610 ± 0.014 | 0.530 ± 0.014 / 0.630 ± 0.014 |" in rows[0] and rows[0].endswith("| 2 | 60 |")
    assert "| CMAH, LSH | 0.460 ± 0.014 / 0.560 ± 0.014 |" in text and "| masked autoencoding only, LSH | 0.150 / 0.250 |" in text
    assert "| masked autoencoding only |" not in text and "| all tie | 0.030 ± 0.000 / 0.030 ± 0.000 |" in text
    assert "families never trained on: mAP@50" in text and "held-out rendering conditions" in text
    assert "mAP of CMAH minus that of contrast only, paired by seed: 8 bits 0.050 ± 0.014 / 0.050 ± 0.014" in text
    assert "minus that of masked autoencoding only, LSH, paired by seed: 8 bits 0.350 / 0.350" in text
    assert (out / "map.png").is_file() and json.loads((out / "results.json").read_text())["parameters"]["CMAH"] == 7


def test_the_arm_that_costs_less_has_as_many_more_steps(tmp_path: Path) -> None:
    plan = cmah.Plan(tmp_path, None, "small", 300, 1, 1, tuple(cmah.ARMS), ("batch=32",))
    assert plan.fields("CMAH", 2) == ("seed=2", "steps=300", "batch=32")
    assert plan.fields("contrast only, as long", 0)[1] == f"steps={round(300 * cmah.LONGER)}"


def test_what_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cmah.main(["--report", "--out", str(tmp_path)]) == 2 and "no finished run" in capsys.readouterr().err
    assert cmah.main(["--arm", "CdCL"]) == 2 and "there is no arm 'CdCL'" in capsys.readouterr().err
    assert cmah.main(["--data", str(tmp_path / "no")]) == 2 and f"there is no {tmp_path / 'no'}" in capsys.readouterr().err
