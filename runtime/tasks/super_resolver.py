"""Super-resolution: an image larger, sharpened by what was estimated of its degradation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..artifact import Artifact
from ..memory import available
from ..pictures import Picture, lanczos, read
from ..prepare import Source
from ..session import Options
from ..tiles import Span, count, disjoint, each, spans, stitch
from .task import Task

TILE = 256  # pixels of the input a side
CONTEXT, BLEND = 16, 16  # of every tile towards its neighbours: computed and dropped, computed and blended
ESTIMATED = 512  # side of the tiles that the degradation is estimated on: it is the cheaper graph

Light: TypeAlias = dict[str, NDArray[np.float32]]  # an image's mean and deviation, (1,) each; empty where they are not asked for


@dataclass(frozen=True)
class Degradation:
    """What was done to an image, as the estimator sees it.

    Args:
        code: (d,), the mean of the degradation map.
        blur: standard deviation of the blur, pixels of the enlarged image; a linear read-out of the code.
    """

    code: NDArray[np.float32]
    blur: float


@dataclass(frozen=True)
class Upscaled:
    """An enlarged image.

    Args:
        pixels: of the type and channels that were given.
        degradation: that was estimated or given.
        scale: of the result's sides over the input's, before rounding to whole pixels.
        tiles: the image was computed in so many.
        repeated: a tile of reduced precision was no picture and was computed again in fp32.
    """

    pixels: NDArray[Any]
    degradation: Degradation
    scale: float
    tiles: int
    repeated: bool


class SuperResolver(Task):
    """Enlarges images. Calls may come from several threads. Graphs are opened on first use. Made by `load`."""

    def __init__(self, folder: Path, artifact: Artifact, options: Options, precision: str = "fp32") -> None:
        super().__init__(folder, artifact, options, precision)
        self.scale, self.code_dim, self.cell, self.reach = _checked(artifact)
        self.uniform = bool(artifact.options.get("uniform", False))
        self._standardises = {"mean", "deviation"} <= {port.name for port in self._graphs["estimator"].inputs}
        self._check_precision(self._graphs)

    # answers

    def estimate(self, image: Source | Picture) -> Degradation:
        """The degradation of a whole image: its code, and the blur that is read from it.

        Args:
            image: a path, an image file's bytes, or an array (h, w), (h, w, 3) or (h, w, 4), uint8, uint16 or float in 0..1.

        Raises:
            FileNotFoundError, UnreadableImage: the image cannot be used; the sentence names it.
        """
        picture = image if isinstance(image, Picture) else read(image)
        return self._estimate(picture, self._light(picture))[0]

    def upscale(
        self,
        image: Source | Picture,
        *,
        outscale: float | None = None,
        degradation: Degradation | None = None,
        tile: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Upscaled:
        """Enlarge an image of any size from 1x1 on.

        The degradation is estimated once on the whole image and shared by its tiles, so that they agree. Transparency is enlarged
        by Lanczos.

        Args:
            image: as for `estimate`.
            outscale: the result's size over the input's; None is the network's. Others are resampled from it by Lanczos.
            degradation: of another image, such as the frame before: it is taken to hold everywhere, and nothing is estimated.
            tile: side of a tile, pixels of the input; 0 takes the image whole; None is 256.
            progress: called with tiles done and tiles in all.

        Raises:
            FileNotFoundError, UnreadableImage: the image cannot be used; the sentence names it.
            ValueError: an option is out of range, or the answer is no picture even in fp32.
            MemoryError: the result is larger than this machine's free memory.
        """
        picture = image if isinstance(image, Picture) else read(image)
        factor = self.scale if outscale is None else outscale
        if not 0 < factor <= 16:
            raise ValueError(f"outscale={outscale} was given; expected more than 0, 16 at most")
        if degradation is not None and degradation.code.shape != (self.code_dim,):
            raise ValueError(
                f"the degradation's code has shape {degradation.code.shape}; this artifact's has ({self.code_dim},): "
                "estimate it with the same artifact"
            )
        h, w = picture.colour.shape[:2]
        rows, columns = self._tiles(h, w, tile)
        self._afford(h, w, picture, factor, rows[0].stop * columns[0].stop)
        map_of: Callable[[Span, Span], NDArray[np.float32]] | None = None
        if degradation is None:
            light = self._light(picture)
            degradation, whole = self._estimate(picture, light)
            map_of = None if self.uniform else self._map_of(picture, light, whole)
        run = _Run(self, picture, degradation.code, map_of, count(rows, columns), progress)
        high = np.empty((self.scale * h, self.scale * w, picture.colour.shape[2]), picture.colour.dtype)
        stitch(rows, columns, self.scale, run.tile, high, lambda strip: _quantised(strip, picture))
        size = (max(round(h * factor), 1), max(round(w * factor), 1))
        if size != high.shape[:2]:
            high = lanczos(high, size)
        alpha = None if picture.alpha is None else lanczos(picture.alpha, size)
        pixels = Picture(high, alpha, picture.flat).joined()
        return Upscaled(pixels, degradation, float(factor), count(rows, columns), run.repeated)

    __call__ = upscale

    # parts

    def _tiles(self, h: int, w: int, tile: int | None) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
        largest = self.artifact.axes["height"].max, self.artifact.axes["width"].max
        asked = TILE if tile is None else tile or max(h, w)
        if asked < 1:
            raise ValueError(f"tile={tile} was given; expected 1 or more, 0 for the whole image, or None")
        return (
            spans(h, min(asked, largest[0]), CONTEXT, BLEND, self.cell),
            spans(w, min(asked, largest[1]), CONTEXT, BLEND, self.cell),
        )

    def _afford(self, h: int, w: int, picture: Picture, factor: float, tile: int) -> None:
        """Refuse what would be killed for want of memory: the results, a row of tiles, and a tile's features."""
        c, each_byte = picture.colour.shape[2], picture.colour.itemsize
        results = h * w * c * each_byte * (self.scale**2 + factor**2 * (factor != self.scale))
        strips = 2 * (TILE * self.scale) * (w * self.scale) * c * 4
        needed = int(results + min(strips, 2 * h * w * self.scale**2 * c * 4) + tile * 2000)
        free = available()
        if free is not None and needed > free:
            raise MemoryError(
                f"{w}x{h} pixels at {factor:g} times the size need about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; "
                "cut the image, or give a smaller tile or outscale"
            )

    def _light(self, picture: Picture) -> Light:
        """What the estimator takes of a whole image beside its pixels: mean and deviation, where it standardises."""
        if not self._standardises:
            return {}
        return dict(zip(("mean", "deviation"), (np.array([value], np.float32) for value in picture.moments()), strict=True))

    def _estimate(self, picture: Picture, light: Light) -> tuple[Degradation, NDArray[np.float32] | None]:
        """The degradation of the whole image; with it the map where one tile held all, (1, d / 16, h, w)."""
        h, w = picture.colour.shape[:2]
        margin = -(-self.reach // self.cell) * self.cell
        rows, columns = (disjoint(spans(size, ESTIMATED, margin, 0, self.cell)) for size in (h, w))
        if count(rows, columns) == 1:
            code, degradation, blur = self._run("estimator", {"image": picture.planes(slice(0, h), slice(0, w)), **light})
            return Degradation(code[0], float(blur[0])), degradation
        total, places = np.zeros(self.code_dim), np.zeros(self.code_dim)
        for row, column in each(rows, columns):
            image = picture.planes(slice(row.start, row.stop), slice(column.start, column.stop))
            _, degradation, _ = self._run("estimator", {"image": image, **light})
            own = degradation[
                0,
                :,
                row.keep_start - row.start : row.keep_stop - row.start,
                column.keep_start - column.start : column.keep_stop - column.start,
            ]
            sums, counts = _cells(own, self.cell)
            total += sums
            places += counts
        code = (total / places).astype(np.float32)
        return Degradation(code, self._read_blur(code)), None

    def _map_of(
        self, picture: Picture, light: Light, whole: NDArray[np.float32] | None
    ) -> Callable[[Span, Span], NDArray[np.float32]]:
        """The degradation map of a tile: a part of the whole image's, or computed for the tile, (1, d / 16, h, w)."""

        def part(row: Span, column: Span) -> NDArray[np.float32]:
            rows, columns = slice(row.start, row.stop), slice(column.start, column.stop)
            if whole is not None:
                return np.ascontiguousarray(whole[:, :, rows, columns])
            found: NDArray[np.float32] = self._run("estimator", {"image": picture.planes(rows, columns), **light})[1]
            return found

        return part

    def _read_blur(self, code: NDArray[np.float32]) -> float:
        weight, offset = self.artifact.options["blur_weight"], self.artifact.options["blur_offset"]
        return float(code.astype(np.float64) @ np.asarray(weight) + offset)

    def _run(self, graph: str, inputs: dict[str, NDArray[np.float32]], precision: str | None = None) -> list[NDArray[Any]]:
        return self.session(graph, precision).run([port.name for port in self._graphs[graph].outputs], inputs)


class _Run:
    """One image's way through the generator, tile by tile."""

    def __init__(
        self,
        task: SuperResolver,
        picture: Picture,
        code: NDArray[np.float32],
        map_of: Callable[[Span, Span], NDArray[np.float32]] | None,
        total: int,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.task, self.picture, self.code, self.map_of = task, picture, code, map_of
        self.total, self.progress = total, progress
        self.done, self.repeated = 0, False

    def tile(self, row: Span, column: Span) -> NDArray[np.float32]:
        """(3 or 1, s h, s w)"""
        image = self.picture.planes(slice(row.start, row.stop), slice(column.start, column.stop))
        inputs = {"image": image, "code": self.code[None], "degradation": self._map(row, column)}
        precision = "fp32" if self.repeated else self.task._precision
        (high,) = self.task._run("generator", inputs, precision)
        if not _picture(high, image):
            if precision == "fp32":
                raise ValueError(
                    "the network's answer is no picture (not finite, or flat where the image is not), in fp32 too: the model is damaged "
                    "or was trained badly; run `--check` on the artifact"
                )
            warnings.warn(
                f"in {precision} a tile came out not finite or flat; it and the rest are computed in fp32",
                RuntimeWarning,
                stacklevel=5,
            )
            self.repeated = True
            (high,) = self.task._run("generator", inputs, "fp32")
            if not _picture(high, image):
                raise ValueError(f"the network's answer is no picture in {precision} nor in fp32; run `--check` on the artifact")
        self.done += 1
        if self.progress:
            self.progress(self.done, self.total)
        found: NDArray[np.float32] = high[0]
        return found.mean(0, keepdims=True) if self.picture.colour.shape[2] == 1 else found

    def _map(self, row: Span, column: Span) -> NDArray[np.float32]:
        if self.map_of is None:
            return uniform(self.code, row.stop - row.start, column.stop - column.start, self.task.cell)
        return self.map_of(row, column)


def uniform(code: NDArray[np.float32], h: int, w: int, cell: int) -> NDArray[np.float32]:
    """The map of an image whose every cell has this code, unfolded to pixels: (d,) -> (1, d / cell^2, h, w)."""
    pattern = code.reshape(1, -1, cell, cell)  # a channel's cell by its pixels
    return np.ascontiguousarray(np.tile(pattern, (1, 1, -(-h // cell), -(-w // cell)))[:, :, :h, :w])


def _cells(unfolded: NDArray[np.float32], cell: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums of a map's channels over the pixels that stand for them, and how many these were: (d / cell^2, h, w) -> (d,), (d,)."""
    sums = np.empty((unfolded.shape[0], cell, cell))
    counts = np.empty((unfolded.shape[0], cell, cell))
    for y in range(cell):
        for x in range(cell):
            part = unfolded[:, y::cell, x::cell]
            sums[:, y, x] = part.sum((1, 2), dtype=np.float64)
            counts[:, y, x] = part[0].size
    return sums.ravel(), counts.ravel()


def _picture(high: NDArray[np.float32], image: NDArray[np.float32]) -> bool:
    """Whether an answer is finite, and not of one value where the image is not."""
    if not np.isfinite(high).all():
        return False
    return bool(high.max() - high.min() > 1e-6 or image.max() - image.min() < 0.02)


def _quantised(strip: NDArray[np.float32], picture: Picture) -> NDArray[Any]:
    return np.rint(strip.clip(0, 1) * picture.peak).astype(picture.colour.dtype)


def _checked(artifact: Artifact) -> tuple[int, int, int, int]:
    """scale, code_dim, cell and reach; ValueError where manifest and graphs do not say the same."""
    found = []
    for name in ("scale", "code_dim", "cell", "reach"):
        value = artifact.options.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"the artifact's option {name!r} is {value!r}; expected a whole number; export it again")
        found.append(value)
    scale, code, cell, reach = found
    graphs = {graph.name: graph for graph in artifact.graphs}
    missing = {"estimator", "generator"} - set(graphs)
    if missing:
        raise ValueError(f"the artifact has no graph {', '.join(sorted(missing))}; export all graphs of the model")
    ports = {port.name: port for graph in artifact.graphs for port in (*graph.inputs, *graph.outputs)}
    wanted = {
        "image": ("batch", 3, "height", "width"),
        "code": ("batch", code),
        "degradation": ("batch", code // cell**2, "height", "width"),
        "high": ("batch", 3, f"{scale}*height", f"{scale}*width"),
    }
    for name, shape in wanted.items():
        if name not in ports:
            raise ValueError(f"the artifact's graphs have no port {name!r}; export it again")
        if ports[name].shape != shape:
            what = "channels" if name == "image" else f"scale {scale}" if name == "high" else "code_dim"
            raise ValueError(
                f"the artifact states scale {scale}, 3 channels and code_dim {code}, and its port {name!r} has shape "
                f"{ports[name].shape} where {shape} is expected ({what}); the manifest is not that of these graphs"
            )
    weight = artifact.options.get("blur_weight")
    if not isinstance(weight, list) or len(weight) != code or "blur_offset" not in artifact.options:
        raise ValueError(f"the artifact's option 'blur_weight' is not a list of {code} numbers; export it again")
    return scale, code, cell, reach
