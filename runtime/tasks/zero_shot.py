"""Zero-shot classification: an image against class vectors that a text tower made beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from ..artifact import Artifact
from ..bank import Bank
from ..prepare import Geometry, Source, batch, decode, listed
from ..session import Options, rows
from .task import Task

_BANK = "bank.npz"
_Source = TypeVar("_Source", bound=Source)


@dataclass(frozen=True)
class Guess:
    """One class and its probability, 0..1."""

    label: str
    probability: float


@dataclass(frozen=True)
class Classification:
    """The likeliest classes of one image, best first."""

    guesses: tuple[Guess, ...]

    @property
    def label(self) -> str:
        """The likeliest class."""
        return self.guesses[0].label

    @property
    def probability(self) -> float:
        """Of the likeliest class."""
        return self.guesses[0].probability


class ZeroShotClassifier(Task):
    """Classifies images among the artifact's classes, or those of a bank set later. Calls may come from several threads.

    A graph's session is opened on its first use. Made by `load`.
    """

    def __init__(self, folder: Path, artifact: Artifact, options: Options, precision: str = "fp32") -> None:
        super().__init__(folder, artifact, options, precision)
        _check_options(artifact)
        self.geometry = Geometry.from_dict(artifact.options["geometry"])
        self._bank: Bank | None = None
        self._check_precision(self._graphs)
        if "closed" not in self._graphs and "open" in self._graphs:
            self.set_classes(Bank.load(folder / _BANK))

    # classes

    @property
    def classes(self) -> tuple[str, ...]:
        """Display names, in the order of logits."""
        return self._names(self._bank)

    def _names(self, bank: Bank | None) -> tuple[str, ...]:
        return bank.classes if bank else tuple(self.artifact.options["classes"])

    def set_classes(self, bank: Bank | str | Path | None) -> None:
        """Answer among a bank's classes from now on; None goes back to the artifact's own.

        Raises:
            ValueError: the artifact has no open graph, or the bank is of another teacher or dimension.
        """
        if bank is None:
            if "closed" not in self._graphs:
                bank = Bank.load(self.folder / _BANK)
            else:
                self._bank = None
                return
        chosen = bank if isinstance(bank, Bank) else Bank.load(Path(bank))
        if "open" not in self._graphs:
            raise ValueError(f"{self.folder} has no graph for other classes; export it with --graphs open")
        teacher, dim = self.artifact.options["teacher"], self.artifact.options["embedding_dim"]
        if chosen.teacher != teacher:
            raise ValueError(
                f"the bank was made by teacher {chosen.teacher[:12]}, the student learned from {teacher[:12]}; "
                "make it with `python -m export.bank` from the student's own model.pt"
            )
        if chosen.vectors.shape[1] != dim:
            raise ValueError(f"the bank's vectors have {chosen.vectors.shape[1]} numbers; this artifact expects {dim}")
        limit = self.artifact.axes["classes"]
        if not limit.min <= len(chosen.classes) <= limit.max:
            raise ValueError(f"the bank has {len(chosen.classes)} classes; this artifact takes {limit.min} to {limit.max}")
        self._bank = chosen

    # answers

    @overload
    def classify(self, images: Source, *, top_k: int = ..., batch_size: int | None = ...) -> Classification: ...
    @overload
    def classify(
        self, images: list[_Source] | tuple[_Source, ...], *, top_k: int = ..., batch_size: int | None = ...
    ) -> list[Classification]: ...  # not Sequence: a str is one too

    def classify(
        self, images: Source | Sequence[Source], *, top_k: int = 5, batch_size: int | None = None
    ) -> Classification | list[Classification]:
        """The likeliest classes of one image, or of each of several.

        Args:
            images: a path, an image file's bytes, an array (h, w, 3), or a list of these; an array (n, h, w, 3) is n images.
            top_k: how many classes, capped at the number there is.
            batch_size: images in one inference; None takes the artifact's usual size.

        Raises:
            FileNotFoundError, UnreadableImage: one of the images cannot be used; the sentence names it.
        """
        if top_k < 1:
            raise ValueError(f"top_k={top_k} was given; expected 1 or more")
        several, given = listed(images)
        bank = self._bank
        names = self._names(bank)
        probabilities = self._run("probabilities", given, batch_size, bank)  # (n, k)
        found = [_best(row, names, top_k) for row in probabilities]
        return found if several else found[0]

    def logits(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Of images that have the graph's size already: uint8 (n, 3, size, size) -> (n, k)."""
        return self._answer("logits", prepared, self._bank)

    def embed(self, images: Source | Sequence[Source], *, batch_size: int | None = None) -> NDArray[np.float32]:
        """Unit features in the teacher's space, (n, d); of one image (1, d)."""
        return self._run("embedding", listed(images)[1], batch_size, None)

    def _run(self, output: str, images: Sequence[Source], batch_size: int | None, bank: Bank | None) -> NDArray[np.float32]:
        size = self._size(batch_size)
        if not images:
            width = len(self._names(bank)) if output == "probabilities" else self.artifact.options["embedding_dim"]
            return np.empty((0, width), np.float32)
        parts = []
        for part in rows(len(images), size):
            prepared = batch([decode(image) for image in images[part]], self.geometry)  # (b, 3, h, w)
            parts.append(self._answer(output, prepared, bank))
        return np.concatenate(parts)

    def _answer(self, output: str, prepared: NDArray[np.uint8], bank: Bank | None) -> NDArray[Any]:
        name = "embedding" if output == "embedding" else "open" if bank else "closed"
        if name not in self._graphs:
            raise ValueError(f"{self.folder} has no graph {name!r}; export it with --graphs {name}")
        inputs: dict[str, NDArray[Any]] = {"image": prepared}
        if bank and name == "open":
            inputs["class_vectors"] = bank.vectors
        return self._outputs(name, [output], inputs)[output]


def _check_options(artifact: Artifact) -> None:
    """Refuse a manifest that lacks what the task reads, or whose names are not those of its graph's rows."""
    wanted = {"classes": list, "geometry": dict, "embedding_dim": int, "teacher": str}
    for name, kind in wanted.items():
        if not isinstance(artifact.options.get(name), kind):
            raise ValueError(f"the artifact's option {name!r} is {artifact.options.get(name)!r}; expected a {kind.__name__}")
    if "batch" not in artifact.axes:
        raise ValueError("the artifact describes no axis 'batch'; export it again")
    for graph in artifact.graphs:
        for port in graph.outputs:
            width, names = port.shape[-1], artifact.options["classes"]
            if graph.name == "closed" and width != len(names):
                raise ValueError(f"the artifact names {len(names)} classes, and its graph's {port.name!r} has {width}")


def _best(probabilities: NDArray[np.float32], names: Sequence[str], top_k: int) -> Classification:
    """Equal probabilities keep the order of the classes."""
    order = np.argsort(-probabilities, kind="stable")[:top_k]
    return Classification(tuple(Guess(names[place], float(probabilities[place])) for place in order))
