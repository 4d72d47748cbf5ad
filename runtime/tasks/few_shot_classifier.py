"""Classes from a few photos each, enrolled on the device: an image against the local descriptors that tell each class apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from .. import class_file
from ..artifact import Artifact, graph_file
from ..memory import available
from ..prepare import Geometry, Source, batch, decode_all, listed
from ..session import Options, rows
from ..support_selection import Chosen, Rule, grid_of
from ..support_set import SupportSet, check_name, taken
from .task import Task

GRAPH = "descriptors"
_Source = TypeVar("_Source", bound=Source)


class Described(NamedTuple):
    """What the graph gives: descriptors (n, locations, d), and their thresholds (n, locations) where the query's rule is adaptive."""

    descriptors: NDArray[np.float32]
    thresholds: NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where the answer comes from, in a grid (h, w) over the image.

    Args:
        heat: what each location adds to the margin, or to the score where there is one class; 0 where it was not selected. Its sum
            is the margin.
        selected: the locations that count.
        support: class -> which locations of its photos are kept, (images, h, w).
    """

    heat: NDArray[np.float32]
    selected: NDArray[np.bool_]
    support: dict[str, NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Recognition:
    """One image among the enrolled classes.

    Args:
        scores: class -> the mean cosine of the image's selected descriptors to their nearest kept ones of the class, over the class's
            offset where the artifact has such; the best first, of equal ones the class enrolled first.
    """

    scores: dict[str, float]
    explanation: Explanation | None = None

    @property
    def label(self) -> str:
        """The class of the highest score."""
        return next(iter(self.scores))

    @property
    def score(self) -> float:
        """Of that class."""
        return self.scores[self.label]

    @property
    def margin(self) -> float | None:
        """By how much it leads the second; None where no second class is enrolled."""
        first, *others = self.scores.values()
        return first - others[0] if others else None


class FewShotClassifier(Task):
    """Recognises classes that were enrolled by a few photos each. Calls may come from several threads.

    Photos pass the graph once, when they are enrolled. Which of their descriptors are kept depends on the other classes, and is made
    anew, without the graph, when an image is classified after a change. Made by `load`, without classes.
    """

    def __init__(self, folder: Path, artifact: Artifact, options: Options, precision: str = "fp32") -> None:
        super().__init__(folder, artifact, options, precision)
        self.rule = Rule.from_options(artifact.options)
        self.grid, self.shape = _shapes(artifact, self.rule)
        self.geometry = Geometry.from_dict(artifact.options["geometry"])
        self.support = SupportSet(self.shape, self.rule)
        self._check_precision([GRAPH])

    @property
    def maker(self) -> str:
        """The SHA-256 of the graph: descriptors of another one lie in another space. Precisions of one artifact share it."""
        return self.artifact.files[graph_file(GRAPH)]

    # classes

    @property
    def classes(self) -> dict[str, int]:
        """Name -> number of photos, in the order of enrolment."""
        return self.support.images

    def enroll(self, name: str, images: Source | Sequence[Source], *, batch_size: int | None = None) -> None:
        """A new class from one photo or several.

        Args:
            images: a path, an image file's bytes, an array (h, w, 3), or a list of these; an array (n, h, w, 3) is n images.
            batch_size: photos in one inference; None takes the artifact's usual size.

        Raises:
            ValueError: the name is taken or no line of text, or there is no photo.
            FileNotFoundError, UnreadableImage: one of the photos cannot be used; the sentence names it, and nothing changes.
            MemoryError: so many photos do not fit into the free memory; nothing was read.
        """
        check_name(name)
        if name in self.support:
            raise ValueError(taken(name))
        self.support.enroll(name, self._photos(name, images, batch_size))

    def add(self, name: str, images: Source | Sequence[Source], *, batch_size: int | None = None) -> None:
        """Further photos of an enrolled class; as `enroll`."""
        if name not in self.support:
            raise ValueError(self.support.unknown(name))
        self.support.add(name, self._photos(name, images, batch_size))

    def forget(self, name: str) -> None:
        """Drop a class; ValueError where there is none of that name."""
        self.support.forget(name)

    def save(self, path: str | Path) -> None:
        """Write the classes to an .fsc file: `path` is the old file or the whole new one."""
        class_file.write(Path(path), self.support.descriptors(), self.shape, self.maker)

    def load_classes(self, path: str | Path) -> None:
        """Hold the classes of a file that `save` wrote, and no others.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is damaged, truncated, of a newer version, or of another artifact; the classes stay as they were.
            MemoryError: it does not fit into the free memory.
        """
        path = Path(path)
        found = class_file.header(path)
        if found.maker != self.maker or (found.locations, found.d) != self.shape:
            raise ValueError(
                f"{path} was made by another artifact (graph {found.maker[:12]}, and {self.folder} has {self.maker[:12]}), whose "
                "descriptors lie elsewhere; enroll the photos again with this one"
            )
        self._check_room(found.images, f"the {found.images} photos of {path}")
        self.support.fill(class_file.read(path).classes)

    # answers

    @overload
    def classify(self, images: Source, *, explain: bool = ..., batch_size: int | None = ...) -> Recognition: ...
    @overload
    def classify(
        self, images: list[_Source] | tuple[_Source, ...], *, explain: bool = ..., batch_size: int | None = ...
    ) -> list[Recognition]: ...  # not Sequence: a str is one too

    def classify(
        self, images: Source | Sequence[Source], *, explain: bool = False, batch_size: int | None = None
    ) -> Recognition | list[Recognition]:
        """One image, or each of several, among the enrolled classes.

        Args:
            images: as for `enroll`.
            explain: also say which locations decided.

        Raises:
            ValueError: no class is enrolled.
            FileNotFoundError, UnreadableImage: one of the images cannot be used; the sentence names it.
        """
        several, given = listed(images)
        chosen = self.support.chosen()
        found = []
        for part in rows(len(given), self._size(batch_size)):
            found += self._recognise(self.describe(self.prepare(given[part])), chosen, explain)
        return found if several else found[0]

    # parts, for those who prepare, run and compare by themselves

    def prepare(self, images: Sequence[Source]) -> NDArray[np.uint8]:
        """What the graph takes: uint8 (n, 3, h, w)."""
        return batch(decode_all(images), self.geometry)

    def describe(self, prepared: NDArray[np.uint8]) -> Described:
        """The graph's descriptors of prepared images."""
        names = ["descriptors", *(["threshold"] if self.rule.query == "adaptive" else [])]
        found = self._outputs(GRAPH, names, {"image": prepared})
        return Described(found["descriptors"], found.get("threshold"))

    def logits(self, described: Described) -> NDArray[np.float32]:
        """Sums of cosines over each class's offset, (n, classes): what the graph `matcher` gives."""
        chosen = self.support.chosen()
        query = chosen.centred(described.descriptors)
        mask = chosen.select(query, described.thresholds)
        return chosen.logits(query, mask, threads=self._options.threads)

    def check_room(self, name: str, photos: int) -> None:
        """MemoryError where so many further photos of a class do not fit into the free memory."""
        self._check_room(photos + sum(self.classes.values()), f"{photos} photos of class {name!r}")

    def _photos(self, name: str, images: Source | Sequence[Source], batch_size: int | None) -> NDArray[np.float32]:
        """Descriptors of a class's photos, (images, locations, d)."""
        _, given = listed(images)
        if not given:
            raise ValueError(f"class {name!r} was given no image; give at least one")
        size = self._size(batch_size)
        self.check_room(name, len(given))
        return np.concatenate([self.describe(self.prepare(given[part])).descriptors for part in rows(len(given), size)])

    def _recognise(self, described: Described, chosen: Chosen, explain: bool) -> list[Recognition]:
        threads = self._options.threads
        query = chosen.centred(described.descriptors)
        mask = chosen.select(query, described.thresholds)
        counts = mask.sum(1, keepdims=True) * chosen.neighbours()  # (n, classes): cosines that a logit sums
        scores = chosen.logits(query, mask, threads=threads) / counts
        kept = {name: self._kept(chosen, place) for place, name in enumerate(chosen.names)} if explain else {}
        found = []
        for image, row in enumerate(scores):
            order = np.argsort(-row, kind="stable").tolist()
            named = {chosen.names[place]: float(row[place]) for place in order}
            why = None
            if explain:
                evidence = [chosen.evidence(query[image], place, threads=threads) / counts[image, place] for place in order[:2]]
                heat = evidence[0] - evidence[1] if len(evidence) > 1 else evidence[0]
                shown = np.where(mask[image], heat, np.float32(0)).astype(np.float32)
                why = Explanation(shown.reshape(self.grid), mask[image].reshape(self.grid), kept)
            found.append(Recognition(named, why))
        return found

    def _kept(self, chosen: Chosen, place: int) -> NDArray[np.bool_]:
        """Which locations of a class's photos are kept, (images, h, w)."""
        found = np.zeros(chosen.images[place] * self.shape[0], np.bool_)
        found[chosen.kept[place]] = True
        return found.reshape(-1, *self.grid)

    def _check_room(self, images: int, what: str) -> None:
        """MemoryError where the descriptors of so many images in all, and the part of them that is kept, have no room."""
        held = 4 * math.prod(self.shape) * images
        needed = held + int(held * (1 if self.rule.threshold is not None else self.rule.fraction)) - self.support.nbytes
        free = available()
        if free is not None and needed > free:
            raise MemoryError(
                f"{what} need {needed / 1e9:.2f} GB for their descriptors, and {free / 1e9:.2f} GB are free; "
                "give fewer, or forget classes first"
            )


def _shapes(artifact: Artifact, rule: Rule) -> tuple[tuple[int, int], tuple[int, int]]:
    """Grid (h, w) and (locations, d) of the descriptors; a manifest that is not that of its graph is refused."""
    grid, geometry = grid_of(artifact.options), artifact.options.get("geometry")
    if not isinstance(geometry, dict):
        raise ValueError(f"the artifact's option 'geometry' is {geometry!r}; expected a dict")
    graph = next((graph for graph in artifact.graphs if graph.name == GRAPH), None)
    if graph is None or "batch" not in artifact.axes:
        raise ValueError(f"the artifact has no graph {GRAPH!r}, or describes no axis 'batch'; export it again")
    ports = {port.name: port.shape for port in (*graph.inputs, *graph.outputs)}
    locations = math.prod(grid)
    wanted: dict[str, tuple[Any, ...]] = {
        "image": ("batch", 3, *geometry.get("size", ())),
        "descriptors": ("batch", locations, ports.get("descriptors", (0,))[-1]),
    }
    if rule.query == "adaptive":
        wanted["threshold"] = ("batch", locations)
    for name, shape in wanted.items():
        if ports.get(name) != shape:
            raise ValueError(
                f"graph {GRAPH!r} has port {name!r} of shape {ports.get(name)}, and the artifact's options make it "
                f"{shape}; the manifest is not that of these graphs: export again"
            )
    d = ports["descriptors"][-1]
    assert isinstance(d, int)
    return grid, (locations, d)
