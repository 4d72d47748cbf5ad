"""What a run tells while it goes: a progress bar, metrics.csv, and TensorBoard event files."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor

COLUMNS = ("total", "stage", "step", "name", "value")
RESULT = "result"  # in place of a stage: the final evaluation


class Journal:
    """Rows of metrics.csv (one value a row: total step, stage, step in it, name, value) and TensorBoard scalars.

    On resume the rows after the checkpoint are dropped, since they will be written again.
    """

    def __init__(self, out: Path, every: int, start: int, *, enabled: bool) -> None:
        self._out, self._every, self._start, self._enabled = out, every, start, enabled
        self._file: Any = None
        self._board: Any = None

    def __enter__(self) -> Journal:
        if not self._enabled:
            return self
        from torch.utils.tensorboard import SummaryWriter  # type: ignore[attr-defined]

        path = self._out / "metrics.csv"
        _keep_until(path, self._start)
        self._file = path.open("a", newline="", encoding="utf-8")
        self._csv = csv.writer(self._file)
        self._board = SummaryWriter(str(self._out / "tensorboard"), purge_step=self._start or None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._enabled:
            self._file.close()
            self._board.close()

    @contextmanager
    def stage(self, name: str, steps: int, start: int) -> Iterator[StageLog]:
        from tqdm import tqdm

        with tqdm(
            total=steps, initial=start, desc=name, unit="step", disable=None if self._enabled else True, dynamic_ncols=True
        ) as bar:
            yield StageLog(self, name, bar, self._every)

    def put(self, total: int, stage: str, step: int, values: Mapping[str, float]) -> None:
        if not self._enabled:
            return
        for name, value in values.items():
            self._csv.writerow((total, stage, step, name, f"{value:.8g}"))
            self._board.add_scalar(f"{stage}/{name}", value, total)
        self._file.flush()

    def result(self, total: int, metrics: Mapping[str, float]) -> None:
        """The final evaluation."""
        self.put(total, RESULT, 0, {name: value for name, value in metrics.items() if math.isfinite(value)})


class StageLog:
    """One stage's bar and rows."""

    def __init__(self, journal: Journal, name: str, bar: Any, every: int) -> None:
        self._journal, self._name, self._bar, self._every = journal, name, bar, every

    def due(self, step: int) -> bool:
        self._bar.update(1)
        return step % self._every == 0

    def row(self, step: int, total: int, loss: Tensor, parts: Mapping[str, Tensor]) -> None:
        values = {"loss": float(loss.detach()), **{name: float(part.detach()) for name, part in parts.items()}}
        self._bar.set_postfix(loss=f"{values['loss']:.4g}", refresh=False)
        self._journal.put(total, self._name, step, values)

    def score(self, total: int, value: float) -> None:
        self._journal.put(total, self._name, 0, {"select": value})


def _keep_until(path: Path, total: int) -> None:
    """Leave the complete rows of an earlier part of the run, up to its checkpoint, in a file renamed into place, so that a
    kill here loses none; the evaluation of a run that was killed before its end is done again."""
    rows: list[list[str]] = []
    if total and path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS) and row[0].isdigit()]
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *(row for row in rows if int(row[0]) <= total and row[1] != RESULT)])
    temporary.replace(path)
