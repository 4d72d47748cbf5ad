"""Point clouds in NumPy: read, sampled from meshes, thinned or repeated to a fixed number, normalised, grouped.

Training and edge both prepare clouds here, and so agree by construction. Meshes (.ply, .obj, .off, .stl) are read by trimesh, which is
imported when the first one is read. Nothing here is random: what a file gives depends on its content alone.
"""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import ops

Source: TypeAlias = str | Path | bytes | NDArray[Any]
Points: TypeAlias = NDArray[np.float32]

MESHES = (".ply", ".obj", ".off", ".stl")
SUFFIXES = (*MESHES, ".npy", ".pts", ".xyz")

_SPARE = 8  # points are thinned to so many times what is asked for, before the farthest are chosen
_SILENT = logging.NullHandler()  # trimesh logs what it then raises
_GOLDEN = (5**0.5 - 1) / 2
_PLASTIC = 0.7548776662466927, 0.5698402909980532  # of the sequence that places points in faces (Roberts 2018, R2)


class UnreadableCloud(ValueError):
    """What was given is no point cloud or mesh, or half of one."""


def normalise(points: NDArray[Any]) -> Points:
    """Centre on the mean and scale so that the largest norm is 1.

    Args:
        points: (n, 3), n at least 1, of any scale and offset; computed in float64.

    Returns:
        (n, 3); zeros where all points are equal.
    """
    exact = _positions(points)
    exact = exact / (np.abs(exact).max() or 1.0)  # squares neither overflow nor vanish
    exact = exact - exact[0]  # equal points are exactly 0
    exact -= exact.mean(0)
    exact /= np.sqrt((exact * exact).sum(1).max()) or 1.0
    return exact.astype(np.float32)


def resample(points: NDArray[Any], count: int) -> Points:
    """Exactly `count` of the points (n, 3), the same ones each time.

    Of more, one is taken from each of 8 count equal runs of rows, and of these the `count` that `ops.farthest_points` chooses, which
    cover the shape evenly. Fewer are repeated in order from the first on.

    Returns:
        (count, 3), not moved or scaled. Float32 rounds positions far from the origin: centre those before.
    """
    if count < 1:
        raise ValueError(f"count = {count} was given; expected 1 or more")
    exact = _positions(points)
    if len(exact) <= count:
        return exact[np.arange(count) % len(exact)].astype(np.float32)
    few = _thin(exact, _SPARE * count)
    return few[ops.farthest_points(normalise(few)[None], count)[0]].astype(np.float32)


def group(clouds: Points, groups: int, neighbours: int) -> tuple[Points, Points]:
    """Centres by farthest point sampling, and their nearest points relative to them.

    Args:
        clouds: (b, n, 3).
        groups: g, centres a cloud.
        neighbours: m, points a centre, itself among them.

    Returns:
        (b, g, 3) and (b, g, m, 3).
    """
    chosen = ops.farthest_points(clouds, groups)  # (b, g)
    centres = np.take_along_axis(clouds, chosen[..., None], axis=1)  # (b, g, 3)
    near = ops.nearest_points(clouds, centres, neighbours)  # (b, g, m)
    b = np.arange(len(clouds))[:, None, None]
    return centres, clouds[b, near] - centres[:, :, None]  # (b, g, m, 3)


def read_cloud(source: Source, count: int, *, oversample: int = 4, suffix: str | None = None) -> Points:
    """Read a cloud, or sample a mesh, about the middle of its box.

    A mesh with faces is sampled evenly by area in count * oversample points; without faces its vertices are the points. What holds
    more points is thinned to 8 count * oversample; fewer are returned as they are. `resample` then makes them `count`.

    Args:
        source: a file's path, its bytes, or an array (n, 3) of numbers.
        count: the points that are wanted in the end.
        oversample: how many times as many a mesh is sampled in, so that `resample` chooses among them.
        suffix: what kind of file the bytes are, one of SUFFIXES.

    Returns:
        (m, 3), m at least 1, in the file's unit; the middle of the box is the origin, since float32 rounds what is far from it.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableCloud: it is empty, truncated, of an unknown kind, has no points, or one that is NaN or infinite.
    """
    if count < 1 or oversample < 1:
        raise ValueError(f"count = {count} and oversample = {oversample} were given; expected 1 or more")
    if isinstance(source, np.ndarray):
        points, name = source, "the array given"
    else:
        content, kind, name = _content(source, suffix)
        if kind in MESHES:
            vertices, faces = _parse_mesh(content, kind, name)
            points = vertices if len(faces) == 0 else sample_surface(vertices, faces, count * oversample)
        else:
            points = _read_array(content, name) if kind == ".npy" else _read_text(content, name)
    exact = _thin(_positions(points, name), _SPARE * count * oversample)
    middle = exact.min(0) / 2 + exact.max(0) / 2
    with np.errstate(over="ignore"):
        found = (exact - middle).astype(np.float32)
    if not np.isfinite(found).all():
        raise UnreadableCloud(f"{name} spans more than float32 holds, 3e38")
    return found


def read_mesh(source: str | Path | bytes, suffix: str | None = None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices (v, 3) and triangles (f, 3) of a file or its bytes; polygons are cut into triangles. No triangles: it is a cloud.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableCloud: it is empty, truncated, no mesh, has no vertices, or one that is NaN or infinite.
    """
    content, kind, name = _content(source, suffix)
    if kind not in MESHES:
        raise UnreadableCloud(f"{name} is {kind or 'of no known kind'}; a mesh is one of {', '.join(MESHES)}")
    return _parse_mesh(content, kind, name)


def sample_surface(vertices: NDArray[np.float64], faces: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """`count` points (count, 3) spread over the faces by area: one in each of `count` strips of equal area, in the order of the faces.

    Where all faces are points or lines the vertices are returned.
    """
    corners = vertices[faces]  # (f, 3, 3)
    scale = np.abs(corners).max() or 1.0
    edges = (corners[:, 1:] - corners[:, :1]) / scale  # (f, 2, 3)
    ends = np.cumsum(np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1))
    if not ends[-1] > 0:
        return vertices
    step = np.arange(count)
    chosen = np.searchsorted(ends, (step + step * _GOLDEN % 1.0) * (ends[-1] / count), "right").clip(0, len(faces) - 1)
    u, v = (((step + 0.5) * alpha % 1.0)[:, None] for alpha in _PLASTIC)
    over = u + v > 1
    u, v = np.where(over, 1 - u, u), np.where(over, 1 - v, v)
    a, b, c = corners[chosen].transpose(1, 0, 2)
    found: NDArray[np.float64] = a + u * (b - a) + v * (c - a)
    return found


def _thin(points: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """One of each of `most` equal runs of rows, at the place in it that the golden ratio draws; all where there are no more."""
    if len(points) <= most:
        return points
    step = np.arange(most)
    return points[((step + step * _GOLDEN % 1.0) * (len(points) / most)).astype(np.int64)]


def _positions(points: NDArray[Any], name: str = "the array given") -> NDArray[np.float64]:
    """As float64 (n, 3), n at least 1, finite; else UnreadableCloud."""
    if points.ndim != 2 or points.shape[1] != 3 or points.dtype.kind not in "fiu":
        raise UnreadableCloud(f"{name} holds {points.dtype} of shape {points.shape}; expected numbers (n, 3)")
    if len(points) == 0:
        raise UnreadableCloud(f"{name} holds no points")
    exact = points.astype(np.float64)
    if not np.isfinite(exact).all():
        raise UnreadableCloud(f"{name} holds NaN or an infinity")
    return exact


def _content(source: str | Path | bytes, suffix: str | None) -> tuple[bytes, str, str]:
    """Bytes, kind and a name for sentences."""
    if isinstance(source, bytes):
        if suffix is None:
            raise ValueError(f"bytes were given without a suffix; expected one of {', '.join(SUFFIXES)}")
        content, kind, name = source, suffix.lower(), f"the {suffix} given as bytes"
    else:
        path = Path(source)
        if path.is_dir():
            raise UnreadableCloud(f"{path} is a folder; expected a file that ends in {', '.join(SUFFIXES)}")
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}")
        kind, name = (suffix or path.suffix).lower(), str(path)
        content = path.read_bytes() if kind in SUFFIXES else b""
    if kind not in SUFFIXES:
        raise UnreadableCloud(f"{name} is no cloud that is read here; expected one of {', '.join(SUFFIXES)}")
    if not content.strip():
        raise UnreadableCloud(f"{name} is empty")
    return content, kind, name


def _parse_mesh(content: bytes, kind: str, name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices (v, 3) and triangles (f, 3), of all objects in the file."""
    try:
        import trimesh
    except ImportError as error:
        raise ModuleNotFoundError(
            f"trimesh is needed to read {kind} files and cannot be imported ({error}): pip install 'contrastrt[points]'",
            name="trimesh",
        ) from error
    logging.getLogger("trimesh").addHandler(_SILENT)
    _refuse_truncated(content, kind, name)
    if kind in (".obj", ".off"):
        content = content.decode("utf-8", "replace").encode()
    try:
        scene = trimesh.load_scene(io.BytesIO(content), file_type=kind[1:], process=False)
    except Exception as error:  # whatever a parser stumbles over
        raise UnreadableCloud(f"{name} is no {kind} that trimesh reads, or truncated: {type(error).__name__}: {error}") from error
    parts = [(part.vertices, getattr(part, "faces", None)) for part in scene.geometry.values() if hasattr(part, "vertices")]
    solid = [(v, f) for v, f in parts if f is not None and len(f)]
    vertices = [np.asarray(v, np.float64) for v, _ in solid or parts]
    if not vertices or any(part.ndim != 2 or part.shape[1] != 3 for part in vertices) or sum(map(len, vertices)) == 0:
        raise UnreadableCloud(f"{name} holds no points")
    begins = np.cumsum([0, *map(len, vertices)])
    faces = [np.asarray(f, np.int64) + begin for (_, f), begin in zip(solid, begins[:-1], strict=False)]
    triangles = np.concatenate(faces) if faces else np.empty((0, 3), np.int64)
    together = _positions(np.concatenate(vertices), name)
    if len(triangles) and (triangles.min() < 0 or triangles.max() >= len(together)):
        raise UnreadableCloud(f"{name} has a face of vertices that it does not hold")
    return together, triangles


def _refuse_truncated(content: bytes, kind: str, name: str) -> None:
    """UnreadableCloud where the header promises more than follows: what trimesh reads without a word."""
    if kind == ".stl" and not content.lstrip().startswith(b"solid"):
        facets = int.from_bytes(content[80:84], "little")
        if len(content) < 84 or len(content) < 84 + 50 * facets:
            raise UnreadableCloud(f"{name} is truncated: {len(content)} bytes, of {84 + 50 * facets}")
        return
    promised = 0
    lines: list[bytes] = []
    if kind == ".off":
        lines = [line for line in content.splitlines() if line.split(b"#")[0].strip()]
        head = lines[0].strip()[lines[0].strip().upper().find(b"OFF") + 3 :].split()  # some files have no space behind OFF
        numbers = head or (lines[1].split() if len(lines) > 1 else [])
        if len(numbers) < 2 or not all(word.isdigit() for word in numbers[:2]):
            raise UnreadableCloud(f"{name} does not begin as an .off file does: OFF, then the numbers of vertices and faces")
        promised, lines = int(numbers[0]) + int(numbers[1]), lines[1 if head else 2 :]
    elif kind == ".ply" and b"format ascii" in content[:256]:
        header, _, rows = content.partition(b"end_header")
        elements = [line.split() for line in header.splitlines() if line.startswith(b"element")]
        promised = sum(int(words[2]) for words in elements if len(words) == 3 and words[2].isdigit())
        lines = [line for line in rows.splitlines() if line.strip()]
    if len(lines) < promised:
        raise UnreadableCloud(f"{name} is truncated: {len(lines)} lines of vertices and faces, of {promised}")


def _read_array(content: bytes, name: str) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # a damaged header is read as Python, or promises more than memory holds
        raise UnreadableCloud(f"{name} is no .npy file of numbers, or truncated: {error}") from error
    return found


def _read_text(content: bytes, name: str) -> NDArray[np.float64]:
    """A point a line, its first three numbers, separated by blanks or commas; a first line of one number is their count."""
    text = content.decode("utf-8", "replace").replace(",", " ")
    lines = [line for line in text.splitlines() if line.split("#")[0].strip()]
    promised = lines.pop(0) if lines and len(lines[0].split()) == 1 else None
    if not lines:
        raise UnreadableCloud(f"{name} holds no points")
    try:
        found = np.loadtxt(lines, np.float64, usecols=(0, 1, 2), ndmin=2)
        if promised is not None and int(promised) > len(found):
            raise UnreadableCloud(f"{name} is truncated: {len(found)} points, of {promised}")
    except UnreadableCloud:
        raise
    except ValueError as error:
        raise UnreadableCloud(f"{name} is no text of three numbers a line: {error}") from error
    return found
