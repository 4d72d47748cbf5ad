"""Trainings of a comparison against what lies in their folders, and the numbers that are shown of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import runs


def test_a_run_that_has_ended_is_not_trained_again(tmp_path: Path) -> None:
    (tmp_path / "model.pt").touch()
    assert runs.train("no_such_method", tmp_path, Path("nowhere"), 1, []) == tmp_path / "model.pt"


def test_a_training_that_fails_ends_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"run failed; its last words in .*log\.txt"):
        runs.train("no_such_method", tmp_path / "run", Path("nowhere"), 1, [])
    assert not (tmp_path / "run/seconds.json").exists()


def test_every_pair_is_run_once_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[str, int]] = []
    pairs = [(arm, seed) for seed in range(2) for arm in ("a", "b")]
    runs.together(lambda arm, seed: seen.append((arm, seed)), pairs, 2)
    assert sorted(seen) == sorted(pairs) and capsys.readouterr().err.count("done") == 4


def test_parameters_leave_out_statistics() -> None:
    state = {
        "net.weight": torch.zeros(2, 3),
        "net.running_mean": torch.zeros(9),
        "net.scale": torch.zeros(1),
        "other": torch.zeros(5),
    }
    assert runs.parameters(state, "net.") == 7
    assert runs.parameters(state, "net.", "other", without=("scale",)) == 11


def test_shown_numbers(tmp_path: Path) -> None:
    assert runs.spread([1.25], 2) == "1.25" and runs.spread([1.0, 2.0, 3.0]) == "2.0 ± 1.0"
    assert runs.folder(tmp_path, "no code, same", 1) == tmp_path / "no_code__same-1"
    assert runs.cpu_seconds(tmp_path) is None
    (tmp_path / "seconds.json").write_text(json.dumps({"wall": 2.0, "cpu": 1.5}))
    assert runs.cpu_seconds(tmp_path) == 1.5
