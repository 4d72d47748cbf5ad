"""The rows of metrics.csv are compared with what was told, across a kill and a resume."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import torch

from train.journal import COLUMNS, Journal


def rows(out: Path) -> list[list[str]]:
    with (out / "metrics.csv").open(newline="") as file:
        header, *found = csv.reader(file)
    assert tuple(header) == COLUMNS
    return found


def tell(out: Path, start: int, end: int, every: int = 2) -> None:
    """Steps start+1..end of a stage, each told as the loop does."""
    with Journal(out, every, start, enabled=True) as journal, journal.stage("teacher", end, start) as log:
        for step in range(start + 1, end + 1):
            if log.due(step):
                log.row(step, step, torch.tensor(float(step)), {"part": torch.tensor(0.5)})


def steps(out: Path) -> list[int]:
    return [int(row[0]) for row in rows(out) if row[3] == "loss"]


def test_one_row_a_value_at_every_nth_step(tmp_path: Path) -> None:
    tell(tmp_path, 0, 5)
    assert rows(tmp_path) == [
        ["2", "teacher", "2", "loss", "2"],
        ["2", "teacher", "2", "part", "0.5"],
        ["4", "teacher", "4", "loss", "4"],
        ["4", "teacher", "4", "part", "0.5"],
    ]
    assert list((tmp_path / "tensorboard").iterdir())


def test_rows_after_the_checkpoint_are_written_once(tmp_path: Path) -> None:
    tell(tmp_path, 0, 9)
    tell(tmp_path, 4, 10)
    assert steps(tmp_path) == [2, 4, 6, 8, 10]


def test_a_half_written_row_is_dropped_on_resume(tmp_path: Path) -> None:
    tell(tmp_path, 0, 4)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("6,teacher,6,lo")
    tell(tmp_path, 4, 6)
    assert steps(tmp_path) == [2, 4, 6] and all(len(row) == len(COLUMNS) for row in rows(tmp_path))


def test_a_run_killed_after_its_evaluation_tells_it_once(tmp_path: Path) -> None:
    for start in (0, 4):
        tell(tmp_path, start, 4)
        with Journal(tmp_path, 2, 4, enabled=True) as journal:
            journal.result(4, {"val/top1": 50.0, "val/broken": math.nan})
    assert [row for row in rows(tmp_path) if row[1] == "result"] == [["4", "result", "0", "val/top1", "50"]]


def test_a_fresh_run_begins_a_fresh_file(tmp_path: Path) -> None:
    tell(tmp_path, 0, 4)
    tell(tmp_path, 0, 2)
    assert steps(tmp_path) == [2]


def test_other_processes_than_the_first_write_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path, 1, 0, enabled=False) as journal, journal.stage("teacher", 1, 0) as log:
        log.row(1, 1, torch.tensor(1.0), {})
    assert not list(tmp_path.iterdir())
