"""The artifact's schema: ports, axes and graphs; read and written here only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PureWindowsPath
from typing import Any

from numpy.typing import NDArray

from .whole import writing

SCHEMA = 1
MANIFEST = "artifact.json"
PARITY = "parity.json"
GOLDEN = "golden.npz"
SIGNATURE = "model.sig"


@dataclass(frozen=True)
class Port:
    """One input or output of a graph.

    Args:
        name: public; chosen like a function's name.
        dtype: NumPy's name, such as "uint8" or "float32".
        shape: a size, an axis ("batch"), or on outputs a multiple of one ("4*height").
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Axis:
    """The sizes a named dimension may take: from `min` to `max` in steps of `multiple`; `opt` is the usual one."""

    min: int
    opt: int
    max: int
    multiple: int = 1


@dataclass(frozen=True)
class Graph:
    """One ONNX file, `<name>.onnx`."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


@dataclass(frozen=True)
class Engine:
    """One TensorRT engine, built from an ONNX file of the same artifact, which stays beside it as fallback and as truth.

    Args:
        file: its name; its own sha256 is among the artifact's files.
        graph: the graph that it runs.
        precision: of the ONNX file that it was built from.
        sdk: "tensorrt" or "tensorrt_rtx".
        sdk_version: of the builder, such as "1.7.1.116".
        targets: compute capabilities that it runs on, such as "sm86"; more than one in an RTX engine for several.
        profiles: for each optimization profile, axis -> (min, opt, max).
        onnx_sha256: of the ONNX file at the build; an engine of another one is stale.
        size: bytes.
        seconds: that the build took.
        layers: layer type -> how many the parsed network had.
        options: of the build, such as "version_compatible", "stripped" or "refit".
    """

    file: str
    graph: str
    precision: str
    sdk: str
    sdk_version: str
    targets: tuple[str, ...]
    profiles: tuple[dict[str, tuple[int, int, int]], ...]
    onnx_sha256: str
    size: int
    seconds: float
    layers: dict[str, int] = field(default_factory=dict)
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Artifact:
    """What artifact.json holds.

    Args:
        method: the command name of the system that was trained.
        task: the runtime's task that answers with it.
        options: the task's own: class names, geometry, scale.
        files: file name -> sha256, written at export and checked at load.
        engines: built from its ONNX files; there may be none.
    """

    method: str
    task: str
    graphs: tuple[Graph, ...]
    axes: dict[str, Axis]
    options: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA
    engines: tuple[Engine, ...] = ()


def read(folder: Path, *, check: bool = True) -> Artifact:
    """Read a folder's artifact.json and hold every file against its checksum.

    Args:
        check: False skips the checksums, for a folder that was verified before.

    Raises:
        FileNotFoundError: there is no artifact in the folder, or a file of it is missing.
        ValueError: the manifest is not valid, is of a newer schema, or a file differs from its checksum.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not an artifact: it has no {MANIFEST}; `python -m export.onnx model.pt` writes one")
    try:
        found = _parse(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a valid artifact: {error}") from error
    for name, digest in found.files.items():
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing, which {MANIFEST} lists; copy the whole artifact folder")
        if check and (actual := sha256(folder / name)) != digest:
            raise ValueError(
                f"{folder / name} is damaged or was changed: its sha256 is {actual}, {MANIFEST} says {digest}; "
                "export or copy it again"
            )
    return found


def write(artifact: Artifact, folder: Path, names: Iterable[str] | None = None) -> Artifact:
    """Write artifact.json with the checksums of the files `names`, or of all that lie in the folder; return what was written.

    A signature is not among them: it covers artifact.json, and is made after it. The manifest is written beside its place,
    flushed and renamed: at any moment there is the old one or the whole new one.
    """
    if names is None:
        names = [item.name for item in folder.iterdir() if item.is_file() and item.name not in (MANIFEST, SIGNATURE)]
    written = replace(artifact, files={name: sha256(folder / name) for name in sorted(names)})
    with writing(folder / MANIFEST) as file:
        file.write((json.dumps(asdict(written), indent=1, ensure_ascii=False) + "\n").encode())
    return written


def sha256(path: Path) -> str:
    """Of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def graph_file(graph: str, precision: str = "fp32") -> str:
    """`closed.onnx` is fp32, `closed.int8.onnx` a variant."""
    return f"{graph}.onnx" if precision == "fp32" else f"{graph}.{precision}.onnx"


def check_inputs(graph: Graph, arrays: Mapping[str, NDArray[Any]], axes: Mapping[str, Axis]) -> dict[str, int]:
    """Hold arrays against a graph's ports; return the size of each named axis. ValueError says what was given and expected."""
    bound: dict[str, int] = {}
    for port in graph.inputs:
        if port.name not in arrays:
            raise ValueError(f"graph {graph.name!r} needs an input {port.name!r}; given: {', '.join(arrays) or 'none'}")
        array = arrays[port.name]
        expected = f"expected {port.dtype} {_shown(port.shape)}"
        if array.dtype != port.dtype:
            raise ValueError(f"input {port.name!r} is of type {array.dtype} and shape {array.shape}; {expected}")
        if array.ndim != len(port.shape):
            raise ValueError(f"input {port.name!r} has shape {array.shape}; {expected}")
        for size, want in zip(array.shape, port.shape, strict=True):
            if isinstance(want, int) and size != want:
                raise ValueError(f"input {port.name!r} has shape {array.shape}; {expected}")
            if isinstance(want, str):
                if bound.setdefault(want, size) != size:
                    raise ValueError(
                        f"axis {want!r} has size {bound[want]} in one input and {size} in {port.name!r}; they must agree"
                    )
                axis = axes[want]
                if not axis.min <= size <= axis.max or size % axis.multiple:
                    multiple = f" in multiples of {axis.multiple}" if axis.multiple > 1 else ""
                    raise ValueError(
                        f"input {port.name!r} has shape {array.shape}; {want!r} may be {axis.min} to {axis.max}{multiple}"
                    )
    return bound


def _shown(shape: tuple[int | str, ...]) -> str:
    return "(" + ", ".join(str(size) for size in shape) + ")"


def _parse(content: Any) -> Artifact:
    if not isinstance(content, dict):
        raise TypeError("expected a JSON object")
    schema = content.get("schema")
    if not isinstance(schema, int):
        raise TypeError("it has no schema number")
    if schema > SCHEMA:
        raise ValueError(f"it has schema {schema}, and this version reads up to {SCHEMA}; install a newer contrastrt")
    missing = {"method", "task", "graphs", "axes", "options", "files"} - set(content)
    if missing:
        raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    graphs = tuple(_graph(graph) for graph in content["graphs"])
    for part in ("axes", "options", "files"):
        if not isinstance(content[part], dict):
            raise TypeError(f"its {part} are not an object")
    axes = {
        str(name): Axis(*(_whole(axis[part]) for part in ("min", "opt", "max", "multiple")))
        for name, axis in content["axes"].items()
    }
    for name, axis in axes.items():
        if not 1 <= axis.min <= axis.opt <= axis.max or axis.multiple < 1:
            raise ValueError(f"axis {name!r} needs 1 <= min <= opt <= max, it has {axis}")
    for graph in graphs:
        unknown = {size for port in graph.inputs for size in port.shape if isinstance(size, str)} - set(axes)
        if unknown:
            raise ValueError(f"graph {graph.name!r} has axes that are not described: {', '.join(sorted(unknown))}")
    files = content["files"]
    for name, digest in files.items():
        if name in ("", ".", "..") or "\0" in name or PureWindowsPath(name).name != name:  # which knows / and \ and C:
            raise ValueError(f"the file name {name!r} leads out of the artifact's folder")
        if not isinstance(digest, str):
            raise TypeError(f"the checksum of {name} is not a text")
    for graph in graphs:
        if graph_file(graph.name) not in files:
            raise ValueError(f"it describes graph {graph.name!r} but lists no file {graph_file(graph.name)}")
    engines = tuple(_engine(engine, {graph.name for graph in graphs}, files) for engine in content.get("engines", ()))
    names = str(content["method"]), str(content["task"])
    return Artifact(*names, graphs, axes, content["options"], dict(files), schema, engines)


def _graph(content: Any) -> Graph:
    return Graph(str(content["name"]), tuple(map(_port, content["inputs"])), tuple(map(_port, content["outputs"])))


def _engine(content: Any, graphs: set[str], files: Mapping[str, str]) -> Engine:
    name, graph = str(content["file"]), str(content["graph"])
    if name not in files:
        raise ValueError(f"it describes an engine {name!r} that is not among its files")
    if graph not in graphs:
        raise ValueError(f"engine {name!r} is of a graph {graph!r} that is not described")
    profiles = []
    for profile in content["profiles"]:
        sizes = {str(axis): tuple(map(_whole, size)) for axis, size in profile.items()}
        for axis, size in sizes.items():
            if len(size) != 3 or not 1 <= size[0] <= size[1] <= size[2]:
                raise ValueError(f"a profile of engine {name!r} needs 1 <= min <= opt <= max of {axis!r}, it has {size}")
        profiles.append(sizes)
    return Engine(
        file=name,
        graph=graph,
        precision=str(content["precision"]),
        sdk=str(content["sdk"]),
        sdk_version=str(content["sdk_version"]),
        targets=tuple(map(str, content["targets"])),
        profiles=tuple(profiles),  # type: ignore[arg-type]
        onnx_sha256=str(content["onnx_sha256"]),
        size=_whole(content["size"]),
        seconds=float(content["seconds"]),
        layers={str(kind): _whole(count) for kind, count in content["layers"].items()},
        options=tuple(map(str, content["options"])),
    )


def _port(content: Any) -> Port:
    shape = tuple(size if isinstance(size, str) else _whole(size) for size in content["shape"])
    return Port(str(content["name"]), str(content["dtype"]), shape)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a whole number")
    return value
