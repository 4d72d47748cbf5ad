"""What a radar (SAR) chip shows: a class with a calibrated probability, or nothing that training knew."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from ..artifact import Artifact
from ..chips import KINDS, Chip, batch, read_chip
from ..prepare import Source, UnreadableImage
from ..session import Options, rows
from .task import Task

GRAPH = "recognizer"
_Source = TypeVar("_Source", bound=Source)


@dataclass(frozen=True)
class Recognition:
    """Of one chip.

    Args:
        probabilities: class -> calibrated probability among the known classes, the likeliest first.
        novelty: how far the chip is from what training saw; larger is stranger.
        threshold: above which a chip is refused.
    """

    probabilities: dict[str, float]
    novelty: float
    threshold: float

    @property
    def likeliest(self) -> str:
        """The likeliest of the known classes, even of a chip that is refused."""
        return next(iter(self.probabilities))

    @property
    def probability(self) -> float:
        """Of the likeliest class, given that the chip shows a known one."""
        return self.probabilities[self.likeliest]

    @property
    def refused(self) -> bool:
        """Whether the chip is too strange to be one of the known classes."""
        return self.novelty > self.threshold

    @property
    def label(self) -> str | None:
        """The likeliest class; None where the chip is refused."""
        return None if self.refused else self.likeliest


class Recognizer(Task):
    """Recognises chips, and refuses what is none of its classes. Calls may come from several threads. Made by `load`.

    `threshold` is the artifact's: `rate` of known chips that training held out lie above it. It may be set to another number.
    """

    def __init__(self, folder: Path, artifact: Artifact, options: Options, precision: str = "fp32") -> None:
        super().__init__(folder, artifact, options, precision)
        _check(artifact)
        given = artifact.options
        self.classes: tuple[str, ...] = tuple(given["classes"])
        self.size, self.crop, self.kind = given["size"], given["crop"], given["input"]
        self.threshold, self.rate = float(given["novelty_threshold"]), float(given["novelty_rate"])
        self._check_precision([GRAPH])

    @overload
    def recognize(self, chips: Source, *, batch_size: int | None = ...) -> Recognition: ...
    @overload
    def recognize(
        self, chips: list[_Source] | tuple[_Source, ...], *, batch_size: int | None = ...
    ) -> list[Recognition]: ...  # not Sequence: a str is one too

    def recognize(self, chips: Source | Sequence[Source], *, batch_size: int | None = None) -> Recognition | list[Recognition]:
        """One chip, or each of several.

        Args:
            chips: a path, a file's bytes, an array as in `chips.read_chip`, or a list of these.
            batch_size: chips in one inference; None takes the artifact's usual size.

        Raises:
            FileNotFoundError, UnreadableImage: one of the chips cannot be used, or is smaller than the crop; the sentence names it.
        """
        several = not isinstance(chips, (str, Path, bytes, np.ndarray))
        given: list[Source] = list(chips) if several else [chips]  # type: ignore[arg-type, list-item]
        found: list[Recognition] = []
        for part in rows(len(given), self._size(batch_size)):
            found += self.answers(self.prepare(given[part], part.start))
        return found if several else found[0]

    # parts, for those who prepare, run and compare by themselves

    def prepare(self, chips: Sequence[Source], first: int = 0) -> Chip:
        """What the graph takes, (n, 1, size, size); chips without a path are named by their place, counted from `first`."""
        read, names = [], []
        for place, chip in enumerate(chips, first):
            named = isinstance(chip, (str, Path))
            names.append(str(chip) if named else f"number {place}, counted from 0:")
            try:
                read.append(read_chip(chip))
            except UnreadableImage as error:
                raise (error if named else UnreadableImage(f"{names[-1]} {error}")) from error
        return batch(read, self.crop, self.size, self.kind, names)

    def run(self, prepared: Chip) -> dict[str, NDArray[np.float32]]:
        """Every output of the graph by name: logits and probabilities (n, classes), novelty (n,)."""
        return self._outputs(GRAPH, ["logits", "probabilities", "novelty"], {"chip": prepared})

    def answers(self, prepared: Chip) -> list[Recognition]:
        """Of prepared chips."""
        outputs = self.run(prepared)
        found = []
        for row, novelty in zip(outputs["probabilities"], outputs["novelty"], strict=True):
            order = np.argsort(-row, kind="stable").tolist()
            found.append(Recognition({self.classes[at]: float(row[at]) for at in order}, float(novelty), self.threshold))
        return found


def _check(artifact: Artifact) -> None:
    """Refuse a manifest that is not that of its graph."""
    given = artifact.options
    classes, size = given.get("classes"), given.get("size")
    known = isinstance(classes, list) and all(isinstance(name, str) and name for name in classes)
    rules: dict[str, tuple[bool, str]] = {
        "classes": (known and len(set(classes or ())) == len(classes or ()) >= 2, "two or more names, each once"),
        "size": (type(size) is int and size > 0, "pixels a side"),
        "crop": (given.get("crop") in (size, "resize"), 'the size, or "resize"'),
        "input": (given.get("input") in KINDS, " or ".join(KINDS)),
        "novelty_threshold": (_number(given.get("novelty_threshold"), -math.inf, math.inf), "a number"),
        "novelty_rate": (_number(given.get("novelty_rate"), 0, 1), "a share, from 0 to 1"),
    }
    for name, (right, expected) in rules.items():
        if not right:
            raise ValueError(f"the artifact's option {name!r} is {given.get(name)!r}; expected {expected}")
    if given["crop"] == "resize" and given["input"] != "uint8":
        raise ValueError(
            'the artifact\'s options have crop "resize", and input "magnitude"; whole chips are resized in 8 bits only'
        )
    graph = next((graph for graph in artifact.graphs if graph.name == GRAPH), None)
    if graph is None or "batch" not in artifact.axes:
        raise ValueError(f"the artifact has no graph {GRAPH!r}, or describes no axis 'batch'; export it again")
    ports = {port.name: (port.dtype, port.shape) for port in (*graph.inputs, *graph.outputs)}
    row = ("batch", len(given["classes"]))
    wanted: dict[str, tuple[str, tuple[Any, ...]]] = {
        "chip": ("uint8" if given["input"] == "uint8" else "float32", ("batch", 1, size, size)),
        "logits": ("float32", row),
        "probabilities": ("float32", row),
        "novelty": ("float32", ("batch",)),
    }
    for name, port in wanted.items():
        if ports.get(name) != port:
            raise ValueError(
                f"graph {GRAPH!r} has port {name!r} as {ports.get(name)}, and the artifact's options make it {port}; the manifest is "
                "not that of this graph: export again"
            )


def _number(value: Any, low: float, high: float) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and low <= value <= high
