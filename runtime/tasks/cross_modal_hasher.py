"""Binary codes of images and of point clouds in one Hamming space: what looks alike is near, whichever of the two it is."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import clouds
from ..artifact import Artifact, graph_file
from ..index import HammingIndex, Hits
from ..prepare import Geometry, Source, batch, decode_all, listed
from ..session import Options, rows
from .task import Task

if TYPE_CHECKING:
    from ..corpus import Corpus

IMAGE, POINTS = "image_hash", "point_hash"
Cloud: TypeAlias = str | Path | NDArray[Any]
Given = TypeVar("Given")


class CrossModalHasher(Task):
    """Codes images and clouds, and searches an index of such codes. Calls may come from several threads.

    An artifact may hold several lengths of codes; each call takes the one that `bits` names, or the longest. A graph's session is
    opened on its first use: with clouds alone the graph of images is never loaded. Made by `load`.
    """

    def __init__(self, folder: Path, artifact: Artifact, options: Options, precision: str = "fp32") -> None:
        super().__init__(folder, artifact, options, precision)
        self.lengths = _lengths(artifact)
        self.geometry = Geometry.from_dict(artifact.options["geometry"])
        self.points, self.groups, self.neighbours = (int(artifact.options[name]) for name in _COUNTS)
        self._check_precision(self._graphs)

    def __getstate__(self) -> dict[str, Any]:
        """Without open sessions: a copy in another process, or on a machine with the same folder, opens its own."""
        return {name: value for name, value in vars(self).items() if name not in ("_sessions", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _sessions={}, _lock=threading.Lock())

    @property
    def bits(self) -> int:
        """Of the longest code."""
        return self.lengths[-1]

    @property
    def maker(self) -> str:
        """The digest of the graphs: codes of another artifact lie in another space. Precisions of one artifact share it."""
        named = sorted((graph.name, self.artifact.files[graph_file(graph.name)]) for graph in self.artifact.graphs)
        return hashlib.sha256(repr(named).encode()).hexdigest()

    # codes

    def encode_images(
        self, images: Source | Sequence[Source], *, bits: int | None = None, batch_size: int | None = None
    ) -> NDArray[np.uint8]:
        """Codes of images, uint8 (n, bits / 8), bit j in byte j // 8, lowest first, as HammingIndex takes them.

        Args:
            images: a path, an image file's bytes, an array (h, w, 3), or a list of these; an array (n, h, w, 3) is n images.
            bits: one of `lengths`; None takes the longest.
            batch_size: images in one inference; None takes the artifact's usual size.

        Raises:
            FileNotFoundError, UnreadableImage: one of the images cannot be used; the sentence names it.
        """
        return pack(self.logits_images(images, bits=bits, batch_size=batch_size))

    def encode_points(
        self, points: Cloud | Sequence[Cloud], *, bits: int | None = None, batch_size: int | None = None
    ) -> NDArray[np.uint8]:
        """Codes of clouds, as `encode_images`.

        Args:
            points: an array (m, 3) of any m, scale and offset; the path of a cloud or mesh; or a list of these; an array
                (n, m, 3) is n clouds. Each is centred, scaled and resampled as in training.

        Raises:
            FileNotFoundError, clouds.UnreadableCloud: one of the clouds cannot be used; the sentence names it.
        """
        return pack(self.logits_points(points, bits=bits, batch_size=batch_size))

    def logits_images(
        self, images: Source | Sequence[Source], *, bits: int | None = None, batch_size: int | None = None
    ) -> NDArray[np.float32]:
        """What the codes are the signs of, (n, bits)."""
        _, given = listed(images)
        size, length = self._size(batch_size), self._length(bits)
        parts = [self.answer_images(self.prepare_images(part), length) for part in _parts(given, size)]
        return np.concatenate(parts) if parts else np.empty((0, length), np.float32)

    def logits_points(
        self, points: Cloud | Sequence[Cloud], *, bits: int | None = None, batch_size: int | None = None
    ) -> NDArray[np.float32]:
        """What the codes are the signs of, (n, bits)."""
        given = _clouds(points)
        size, length = self._size(batch_size), self._length(bits)
        parts = [self.answer_points(*self.prepare_points(part), length) for part in _parts(given, size)]
        return np.concatenate(parts) if parts else np.empty((0, length), np.float32)

    # search

    def index(self, bits: int | None = None, *, threads: int | None = None) -> HammingIndex:
        """An empty index for codes of this length."""
        return HammingIndex(self._length(bits), threads=threads)

    def search(
        self,
        index: HammingIndex | Corpus,
        *,
        images: Source | Sequence[Source] | None = None,
        points: Cloud | Sequence[Cloud] | None = None,
        k: int = 10,
        rerank: bool = False,
        candidates: int | None = None,
        batch_size: int | None = None,
    ) -> Hits:
        r"""The k codes of an index nearest to each image, or to each cloud.

        With `rerank` the query stays float: the nearest are ordered by $\sum_b \tanh(h_b) (2 c_b - 1)$, the product that training
        compares, where h are the query's logits and c the bits of a code.

        Args:
            index: of codes of this artifact, in one of its lengths; or a corpus of them.
            images, points: one of the two, as for `encode_images` and `encode_points`.
            candidates: how many of the nearest are re-ranked; None takes 4 k.
        """
        if (images is None) == (points is None):
            raise ValueError("images or points are searched for; give one of the two")
        if index.bits not in self.lengths:
            raise ValueError(f"the index has codes of {index.bits} bits; this artifact makes {_shown(self.lengths)}")
        if images is not None:
            logits = self.logits_images(images, bits=index.bits, batch_size=batch_size)
        else:
            assert points is not None
            logits = self.logits_points(points, bits=index.bits, batch_size=batch_size)
        return search(index, logits, k, rerank=rerank, candidates=candidates)

    # parts, for those who prepare, run and search by themselves

    def prepare_images(self, images: Sequence[Source]) -> NDArray[np.uint8]:
        """What the graph of images takes: uint8 (n, 3, h, w)."""
        return batch(decode_all(images), self.geometry)

    def prepare_points(self, points: Sequence[Cloud]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What the graph of clouds takes: centres (n, g, 3), and neighbourhoods around them (n, g, m, 3)."""
        read = [_named(self.read_points, cloud, place, len(points)) for place, cloud in enumerate(points)]
        return self.group_points(read)

    def read_points(self, cloud: Cloud) -> NDArray[np.float32]:
        """One cloud or mesh as in training, (points, 3): so many points, centred, the farthest at 1."""
        return clouds.normalise(clouds.resample(clouds.read_cloud(cloud, self.points), self.points))

    def group_points(self, read: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What `read_points` gave for n clouds, grouped as `prepare_points` has it."""
        stacked = np.stack(read) if read else np.empty((0, self.points, 3), np.float32)  # (n, points, 3)
        return clouds.group(stacked, self.groups, self.neighbours)

    def answer_images(self, prepared: NDArray[np.uint8], bits: int | None = None) -> NDArray[np.float32]:
        """Logits (n, bits) of prepared images."""
        return self._answer(IMAGE, {"image": prepared}, bits)

    def answer_points(
        self, centres: NDArray[np.float32], neighbourhoods: NDArray[np.float32], bits: int | None = None
    ) -> NDArray[np.float32]:
        """Logits (n, bits) of prepared clouds."""
        return self._answer(POINTS, {"centres": centres, "neighbourhoods": neighbourhoods}, bits)

    def _answer(self, name: str, inputs: dict[str, NDArray[Any]], bits: int | None) -> NDArray[np.float32]:
        if name not in self._graphs:
            raise ValueError(f"{self.folder} has no graph {name!r}; export it with --graphs {name}")
        output = f"code_{self._length(bits)}"
        return self._outputs(name, [output], inputs)[output]

    def _length(self, bits: int | None) -> int:
        if bits is None:
            return self.bits
        if bits not in self.lengths:
            raise ValueError(f"bits={bits} was given; this artifact makes codes of {_shown(self.lengths)} bits")
        return bits


def pack(logits: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Signs as bits, (n, bits) -> (n, bits / 8): 0 and above is 1, bit j is bit j % 8 of byte j // 8."""
    return np.packbits(logits >= 0, axis=1, bitorder="little")


def search(
    index: HammingIndex | Corpus, logits: NDArray[np.float32], k: int, *, rerank: bool = False, candidates: int | None = None
) -> Hits:
    """The codes nearest to the signs of logits (n, bits); with `rerank` in the order of `CrossModalHasher.search`."""
    return index.search(pack(logits), k, rerank=np.tanh(logits) if rerank else None, candidates=candidates if rerank else None)


_COUNTS = ("points", "groups", "neighbours")


def _lengths(artifact: Artifact) -> tuple[int, ...]:
    """The lengths of codes, ascending; a manifest that is not that of its graphs is refused."""
    options = artifact.options
    lengths = options.get("bits")
    if not isinstance(lengths, list) or not lengths or not all(isinstance(n, int) and n >= 8 and n % 8 == 0 for n in lengths):
        raise ValueError(f"the artifact's option 'bits' is {lengths!r}; expected a list of multiples of 8")
    for name, kind in (("geometry", dict), *((name, int) for name in _COUNTS)):
        if not isinstance(options.get(name), kind):
            raise ValueError(f"the artifact's option {name!r} is {options.get(name)!r}; expected a {kind.__name__}")
    if "batch" not in artifact.axes:
        raise ValueError("the artifact describes no axis 'batch'; export it again")
    groups, neighbours = options["groups"], options["neighbours"]
    wanted = {
        "image": ("batch", 3, *options["geometry"].get("size", ())),
        "centres": ("batch", groups, 3),
        "neighbourhoods": ("batch", groups, neighbours, 3),
        **{f"code_{length}": ("batch", length) for length in lengths},
    }
    if not {IMAGE, POINTS} & {graph.name for graph in artifact.graphs}:
        raise ValueError(f"the artifact has no graph {IMAGE} or {POINTS}; export it again")
    for graph in artifact.graphs:
        ports = {port.name: port.shape for port in (*graph.inputs, *graph.outputs)}
        needed = {IMAGE: ("image",), POINTS: ("centres", "neighbourhoods")}.get(graph.name, ())
        for name in (*needed, *(f"code_{length}" for length in lengths)):
            if ports.get(name) != wanted[name]:
                raise ValueError(
                    f"graph {graph.name!r} has port {name!r} of shape {ports.get(name)}, and the artifact's options make it "
                    f"{wanted[name]}; the manifest is not that of these graphs: export again"
                )
    return tuple(sorted(lengths))


def _shown(lengths: Sequence[int]) -> str:
    return ", ".join(map(str, lengths))


def _clouds(given: Cloud | Sequence[Cloud]) -> Sequence[Cloud]:
    if isinstance(given, np.ndarray):
        return list(given) if given.ndim == 3 else [given]
    return [given] if isinstance(given, (str, Path)) else list(given)


def _parts(given: Sequence[Given], size: int) -> Iterator[Sequence[Given]]:
    return (given[part] for part in rows(len(given), size))


def _named(read: Callable[[Cloud], NDArray[np.float32]], cloud: Cloud, place: int, count: int) -> NDArray[np.float32]:
    """Read one; what is wrong with an array among several is said of its place, a path names itself."""
    try:
        return read(cloud)
    except clouds.UnreadableCloud as error:
        if count == 1 or isinstance(cloud, (str, Path)):
            raise
        raise clouds.UnreadableCloud(f"number {place}, counted from 0: {error}") from error
