"""benchmarks.few_shot_latency on an artifact of one convolution: every part is timed, and scores that differ are counted."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import runtime
from benchmarks import few_shot_latency
from benchmarks.few_shot_latency import Parity, _compare, drawn_image, fits, main, matcher_inputs

SMALL = ["--classes", "3", "--shots", "2", "--rounds", "1"]
ENROLL, CLASSIFY = ["prepare", "descriptors", "whole"], ["prepare", "descriptors", "match", "select, match", "whole"]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_shot_latency, "EPISODES", 2)
    monkeypatch.setattr(few_shot_latency, "QUERIES", 2)


def test_every_part_is_timed_and_the_matcher_compared(enroller: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "figures.json"
    assert main([str(enroller), *SMALL, "--many", "7", "--into", str(target)]) == 0
    found = json.loads(target.read_text())
    assert list(found["milliseconds"]["enroll 2"]) == ENROLL
    assert list(found["milliseconds"]["classify"]) == [*CLASSIFY, "matcher, ONNX"]
    (row,) = found["parity"]
    assert (row["other"], row["scores"], row["beyond"]) == ("matcher, ONNX", 12, 0) and row["largest"] < 1e-5
    many = found["many"]
    assert (many["classes"], many["shots"], many["locations"], many["d"]) == (7, 2, 16, 8)
    rows = 7 * 2 * 16
    assert many["file"] > 4 * rows * 8 and many["held"] >= 4 * (rows + rows // 2) * 8 and many["peak"] >= many["held"]
    assert "7 classes of 2 photos" in capsys.readouterr().out


def test_without_a_matcher_nothing_is_compared(
    enrolling: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enrolling.build(tmp_path / "other", matcher=False)
    assert main([str(tmp_path / "other"), *SMALL, "--many", "0"]) == 0
    said = capsys.readouterr().out
    assert "not compared" in said and "matcher, ONNX" not in said and "while selecting" not in said


@pytest.mark.parametrize(("offset", "status"), [(0.0, 0), (0.5, 1)])
def test_torch_is_timed_and_compared(
    enroller: Path, offset: float, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = runtime.load(enroller, prefer=["cpu"])

    def matcher(support: torch.Tensor, query: torch.Tensor) -> tuple[torch.Tensor]:
        given = {"support": support.numpy(), "query": query.numpy()}
        return (torch.from_numpy(task.session("matcher").run(["scores"], given)[0]) + offset,)

    modules: dict[str, Any] = {"descriptors": lambda image: (image.float(),), "matcher": matcher}
    monkeypatch.setattr(few_shot_latency, "_modules", lambda *_: modules)
    assert main([str(enroller), *SMALL, "--many", "0", "--model", "model.pt"]) == status
    said = capsys.readouterr().out
    assert "descriptors, torch" in said and said.count("matcher, torch") == 2


def test_scores_that_differ_are_counted() -> None:
    ours = np.array([[0.5, 0.4], [0.2, 0.3]], np.float32)
    theirs = np.array([[0.5, 0.4], [0.2 + 5e-6, 0.1]], np.float32)
    found = _compare("torch", ours, theirs)
    assert found == Parity("torch", scores=4, beyond=1, labels=1, largest=found.largest)
    assert found.largest == pytest.approx(0.2, abs=1e-5)


def test_a_matcher_is_asked_for_what_its_ports_take(enroller: Path) -> None:
    task = runtime.load(enroller, prefer=["cpu"])
    assert fits(task, 5, 5) and fits(task, 1024, 100) and not fits(task, 1025, 5) and not fits(task, 5, 101)
    task.enroll("mug", [drawn_image(0, number) for number in range(3)])
    inputs = matcher_inputs(task, task.describe(task.prepare([drawn_image(1, 0)])))
    assert {name: value.shape for name, value in inputs.items()} == {"support": (1, 48, 8), "query": (1, 16, 8)}


@pytest.mark.parametrize(
    ("options", "word"), [(["--classes", "0"], "--classes 0"), (["--many", "-1"], "--many -1"), (["--shots", "0"], "--shots 0")]
)
def test_wrong_use_is_told(enroller: Path, options: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(enroller), *options]) == 2
    assert word in capsys.readouterr().err


def test_another_task_is_refused(resolver: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(resolver)]) == 2
    assert "is a super_resolver; expected a few_shot_classifier" in capsys.readouterr().err
