"""How complex images are: a score for each, the regions that it comes from, and an embedding in which like complexity is near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from ..artifact import Artifact, graph_file
from ..prepare import Geometry, Source, batch, decode_all, listed
from ..session import Options, rows
from .task import Task

GRAPH = "complexity"
HIGHEST = 100.0  # of a score
MEASURES = ("activation", "component")  # without labels; artifacts that do not name theirs have the first
_Source = TypeVar("_Source", bound=Source)


@dataclass(frozen=True, eq=False)
class Complexity:
    """Of one image.

    Args:
        score: 0 to 100. Of an artifact with a head, what people would rate; else the percentage of unlabelled images, held out of
            training, that are below it in the label-free measure that the artifact names.
        activation: how much the image excites the encoder.
        map: (rows, columns), the activation of each region; its mean is about `activation`.
        embedding: (d,), of the whole image.
    """

    score: float
    activation: float
    map: NDArray[np.float32]
    embedding: NDArray[np.float32]


class ComplexityScorer(Task):
    """Scores images from 0, simple, to 100. Calls may come from several threads. Made by `load`.

    `scored` tells whether a head that learned people's ratings gives the score, or the place of the label-free measure, `percentile_of`, among
    `quantiles`.
    """

    def __init__(self, folder: Path, artifact: Artifact, options: Options, precision: str = "fp32") -> None:
        super().__init__(folder, artifact, options, precision)
        self.scored, self.quantiles, self.percentile_of = _checked(artifact)
        self.geometry = Geometry.from_dict(artifact.options["geometry"])
        self._check_precision([GRAPH])

    @property
    def maker(self) -> str:
        """The SHA-256 of the graph in use: scores of another one are not comparable with its own."""
        return self.artifact.files[graph_file(GRAPH, self._precision)]

    @overload
    def score(self, images: Source, *, batch_size: int | None = ...) -> Complexity: ...
    @overload
    def score(
        self, images: list[_Source] | tuple[_Source, ...], *, batch_size: int | None = ...
    ) -> list[Complexity]: ...  # not Sequence: a str is one too

    def score(self, images: Source | Sequence[Source], *, batch_size: int | None = None) -> Complexity | list[Complexity]:
        """One image, or each of several.

        Args:
            images: a path, an image file's bytes, an array (h, w, 3), or a list of these; an array (n, h, w, 3) is n images.
            batch_size: images in one inference; None takes the artifact's usual size.

        Raises:
            FileNotFoundError, UnreadableImage: one of the images cannot be used; the sentence names it.
        """
        several, given = listed(images)
        found: list[Complexity] = []
        for part in rows(len(given), self._size(batch_size)):
            found += self._answers(self.run(self.prepare(given[part])))
        return found if several else found[0]

    def percentile(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Where values of the label-free measure lie among those of the unlabelled images, 0 to 100, linear between two quantiles."""
        return np.asarray(np.interp(values, self.quantiles, np.linspace(0, HIGHEST, len(self.quantiles))), np.float64)

    # parts, for those who prepare, run and compare by themselves

    def prepare(self, images: Sequence[Source]) -> NDArray[np.uint8]:
        """What the graph takes: uint8 (n, 3, h, w)."""
        return batch(decode_all(images), self.geometry)

    def run(self, prepared: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Every output of the graph, by name."""
        names = [*dict.fromkeys(("activation", self.percentile_of, "embedding", "map")), *(["score"] if self.scored else [])]
        return self._outputs(GRAPH, names, {"image": prepared})

    def _answers(self, outputs: dict[str, NDArray[np.float32]]) -> list[Complexity]:
        activation = outputs["activation"]
        scores = outputs["score"].clip(0, HIGHEST) if self.scored else self.percentile(outputs[self.percentile_of])
        return [
            Complexity(float(score), float(value), cells, embedding)
            for score, value, cells, embedding in zip(scores, activation, outputs["map"], outputs["embedding"], strict=True)
        ]


def _checked(artifact: Artifact) -> tuple[bool, NDArray[np.float64], str]:
    """Whether there is a head, the quantiles, and the output that they are of; a manifest that is not that of its graph is refused."""
    options: dict[str, Any] = artifact.options
    for name, kind in (("geometry", dict), ("scored", bool), ("quantiles", list)):
        if not isinstance(options.get(name), kind):
            raise ValueError(f"the artifact's option {name!r} is {options.get(name)!r}; expected a {kind.__name__}")
    given = options["quantiles"]
    if not all(type(value) in (int, float) for value in given):
        raise ValueError("the artifact's option 'quantiles' holds something else than numbers; export it again")
    quantiles = np.asarray(given, np.float64)
    if len(quantiles) < 2 or not np.isfinite(quantiles).all() or (np.diff(quantiles) < 0).any() or quantiles[0] == quantiles[-1]:
        raise ValueError(
            f"the artifact's option 'quantiles' has {len(quantiles)} numbers that do not rise; expected the measure of unlabelled "
            "images at rising percentiles: export it again"
        )
    measure = options.get("percentile_of", MEASURES[0])
    if measure not in MEASURES:
        raise ValueError(f"the artifact's option 'percentile_of' is {measure!r}; expected {' or '.join(MEASURES)}")
    if "batch" not in artifact.axes:
        raise ValueError("the artifact describes no axis 'batch'; export it again")
    graph = next((graph for graph in artifact.graphs if graph.name == GRAPH), None)
    if graph is None:
        raise ValueError(f"the artifact has no graph {GRAPH!r}; export it again")
    shapes = {port.name: port.shape for port in (*graph.inputs, *graph.outputs)}
    wanted: dict[str, tuple[int | str, ...]] = {
        "image": ("batch", 3, *options["geometry"].get("size", ())),
        "activation": ("batch",),
        measure: ("batch",),
    }
    wanted |= {"score": ("batch",)} if options["scored"] else {}
    dimensions = {**{name: len(shape) for name, shape in wanted.items()}, "embedding": 2, "map": 3}
    for name, count in dimensions.items():
        shape = shapes.get(name)
        if shape is None or len(shape) != count or shape != wanted.get(name, shape):
            raise ValueError(
                f"graph {GRAPH!r} has port {name!r} of shape {shape}, and the artifact's options ask for "
                f"{wanted.get(name, f'{count} dimensions')}; the manifest is not that of this graph: export again"
            )
    return options["scored"], quantiles, measure
