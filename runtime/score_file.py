"""Scores of many images in a CSV file that a killed run goes on with.

The file has the columns path, score, activation and model, the first digits of the SHA-256 of the graph that gave them. While a run lasts its
rows are appended to `<file>.part`, JSON, an object a line below a first one with schema and model; at its end the CSV is written whole, and the
part is removed. A last line that a kill tore is dropped.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from .whole import writing

SUFFIX = ".csv"
COLUMNS = ("path", "score", "activation", "model")
_SCHEMA = 1


@dataclass(frozen=True)
class Row:
    """One image's."""

    path: str
    score: float
    activation: float


class ScoreFile:
    """What is known of a file's images from before, and where new rows go.

    Args:
        path: of the CSV, which need not exist.
        maker: the SHA-256 of the graph.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the name does not end with .csv, or what is there is no file of scores, or one of another graph.
    """

    def __init__(self, path: Path, maker: str) -> None:
        if path.suffix.lower() != SUFFIX or path.is_dir():
            raise ValueError(f"{path} was given for the scores; expected the name of a file that ends with {SUFFIX}")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to")
        self.path, self.part, self.model = path, path.with_name(path.name + ".part"), maker[:12]
        self._known: dict[str, tuple[Row, float]] = {}  # with the time of the file that has the row
        if path.exists():
            self._hold(self._finished(), path)
        self._whole = self._begun() if self.part.exists() else 0  # bytes of the part that stay
        self._file: BinaryIO | None = None  # opened by the first rows

    def known(self, path: Path) -> Row | None:
        """The row of an image that was scored before and has not been changed since."""
        row, time = self._known.get(str(path), (None, 0.0))
        return row if row is not None and path.exists() and path.stat().st_mtime <= time else None

    def add(self, rows: Iterable[Row]) -> None:
        """Keep rows, also if the run is killed after this."""
        lines = [asdict(row) for row in rows]
        if not lines:
            return
        if self._file is None:
            self._file = self.part.open("r+b" if self._whole else "wb")
            self._file.seek(self._whole)
            self._file.truncate()
            lines = lines if self._whole else [{"schema": _SCHEMA, "model": self.model}, *lines]
        self._file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
        self._file.flush()

    def finish(self, rows: Iterable[Row]) -> None:
        """Write the CSV of these rows, in their order."""
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(COLUMNS)
        lines.writerows((row.path, row.score, row.activation, self.model) for row in rows)
        with writing(self.path) as file:
            file.write(text.getvalue().encode("utf-8", "surrogateescape"))  # names that are no UTF-8 stay as they are
        self.close()
        self.part.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave the part for the next run."""
        if self._file is not None:
            self._file.close()

    def _hold(self, rows: Iterable[Row], source: Path) -> None:
        time = source.stat().st_mtime
        self._known |= {row.path: (row, time) for row in rows}

    def _finished(self) -> list[Row]:
        """The rows of the CSV."""
        try:
            text = self.path.read_bytes().decode("utf-8", "surrogateescape")
            titles, *lines = csv.reader(io.StringIO(text, newline=""))
            if tuple(titles) != COLUMNS:
                raise ValueError(f"its columns are {', '.join(titles)}")
            rows = [Row(path, float(score), float(activation)) for path, score, activation, _ in lines]
            models = {line[3] for line in lines}
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{self.path} is there and is no file of scores ({error}); give another -o") from error
        self._refuse_others(self.path, models)
        return rows

    def _begun(self) -> int:
        """Hold the rows of the part; returns its bytes up to the last whole line."""
        content = self.part.read_bytes()
        whole = content.rfind(b"\n") + 1
        lines = content[:whole].splitlines()
        if not lines:
            return 0
        try:
            first, *others = map(json.loads, lines)
            schema, model = first["schema"], first["model"]
            rows = [Row(**line) for line in others]
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{self.part} is damaged: {error}; delete it, or give another -o") from error
        if schema > _SCHEMA:
            raise ValueError(f"{self.part} is of schema {schema}, and this version reads {_SCHEMA}: install a newer contrastrt")
        self._refuse_others(self.part, {model})
        self._hold(rows, self.part)
        return whole

    def _refuse_others(self, path: Path, models: set[str]) -> None:
        if others := sorted(models - {self.model}):
            raise ValueError(
                f"{path} holds scores of another graph ({others[0]}, and this artifact's is {self.model}), which are not comparable; "
                "delete it, or give another -o"
            )
