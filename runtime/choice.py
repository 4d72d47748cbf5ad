"""Which session a graph gets: the first of those preferred that this machine can really open, and why not the others."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from .artifact import Artifact, Axis, Engine, Graph, Port, graph_file
from .cuda import Unavailable, driver
from .session import ON_NVIDIA, PREFER, SHORT, Options, OrtSession, Session
from .trt_session import TrtSession, misfit, sdk_module

logger = logging.getLogger(__name__)


def open_session(folder: Path, artifact: Artifact, graph: str, precision: str, options: Options) -> Session:
    """The graph in this precision, on the first of `options.prefer` that can be had; its `report` says what and why.

    Raises:
        ModuleNotFoundError: the CPU is preferred or left, and onnxruntime is not installed.
        Unavailable: nothing of what is preferred can be had; the sentence has each one's reason.
        ValueError: a name is unknown, or a file is no valid graph.
    """
    if not options.prefer:
        raise ValueError("nothing was preferred; expected at least one of tensorrt, cuda, cpu")
    refused: list[tuple[str, str]] = []
    for name in (given.lower() if given.lower() in SHORT else given for given in options.prefer):
        for label, start in _ways(name, folder, artifact, graph, precision, options):
            try:
                session = start()
            except Unavailable as error:
                refused.append((label, str(error)))
                continue
            session.report = replace(session.report, graph=graph, refused=tuple(refused))
            expected = options.prefer == PREFER or not refused
            stale = any(" is stale: " in reason for _, reason in refused)
            logger.log(logging.INFO if expected and not stale else logging.WARNING, "%s", session.report)
            return session
    reasons = "; ".join(f"not on {name}: {reason}" if refused[1:] else reason for name, reason in refused)
    raise Unavailable(f"graph {graph!r} in {precision} does not run on {' or '.join(options.prefer)} here: {reasons}")


def _ways(
    name: str, folder: Path, artifact: Artifact, graph: str, precision: str, options: Options
) -> Iterator[tuple[str, Callable[[], Session]]]:
    """What a name can mean: "tensorrt" is an engine of the artifact, else ONNX Runtime's provider that builds one.

    TensorRT takes int8 in another form than the CPU: where the artifact has it, that is what it gets for "int8".
    """
    ports = next(item for item in artifact.graphs if item.name == graph)
    if name in ("tensorrt", SHORT["tensorrt"]) and precision == "int8" and graph_file(graph, "int8-trt") in artifact.files:
        precision = "int8-trt"
    if name == "tensorrt":
        for engine in artifact.engines:
            if (engine.graph, engine.precision) == (graph, precision):
                yield engine.file, lambda engine=engine: _engine(folder, artifact, engine, ports, options)  # type: ignore[misc]
    yield name, lambda: _onnx(name, folder / graph_file(graph, precision), ports, artifact, options)


def source_sha256(artifact: Artifact, engine: Engine) -> str:
    """Of the ONNX file that the engine should be of, as it is now; "absent" where there is none."""
    return artifact.files.get(graph_file(engine.graph, engine.precision), "absent")


def _engine(folder: Path, artifact: Artifact, engine: Engine, graph: Graph, options: Options) -> Session:
    capability = driver().devices[0].capability
    version = str(sdk_module(engine.sdk).__version__)
    reason = misfit(engine, source_sha256(artifact, engine), capability, version, trusted=options.trusted)
    if reason:
        raise Unavailable(reason)
    try:
        return TrtSession(folder, engine, graph, trusted=options.trusted)
    except RuntimeError as error:
        raise Unavailable(f"{engine.file} cannot be opened: {error}") from error


def _onnx(name: str, path: Path, graph: Graph, artifact: Artifact, options: Options) -> Session:
    if path.name not in artifact.files:
        raise Unavailable(f"the artifact has no {path.name}")
    provider, settings = SHORT.get(name, name), {}
    if provider in ON_NVIDIA:
        driver()  # says in a sentence what ONNX Runtime would log in twenty lines
    if provider == SHORT["cuda"]:
        settings = {"use_tf32": "0"}  # fp32 means fp32: the precision is in the graph
    if provider == SHORT["tensorrt"]:
        settings = tensorrt_settings(graph, artifact.axes, (options.cache or _user_cache()) / artifact.files[path.name][:16])
    if options.stream is not None and provider in ON_NVIDIA:
        settings["user_compute_stream"] = str(options.stream)
    return OrtSession(path, name, options, settings)


def tensorrt_settings(graph: Graph, axes: Mapping[str, Axis], cache: Path) -> dict[str, str]:
    """Of ONNX Runtime's TensorRT provider: one engine for all sizes of the axes, kept in a folder; precision is in the graph."""
    cache.mkdir(parents=True, exist_ok=True)
    settings = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(cache)}
    settings |= {
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(cache),
        "trt_fp16_enable": "0",
        "trt_int8_enable": "0",
    }
    for limit in ("min", "opt", "max"):
        shapes = (f"{port.name}:{'x'.join(_sizes(port, axes, limit))}" for port in graph.inputs)
        settings[f"trt_profile_{limit}_shapes"] = ",".join(shapes)
    return settings


def _sizes(port: Port, axes: Mapping[str, Axis], limit: str) -> Iterator[str]:
    return (str(getattr(axes[size], limit) if isinstance(size, str) else size) for size in port.shape)


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "contrastrt"
