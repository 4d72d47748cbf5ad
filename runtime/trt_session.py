"""A TensorRT engine, ready to run: buffers and a context for each profile, a CUDA graph where shapes repeat."""

from __future__ import annotations

import importlib
import logging
import math
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .artifact import Engine, Graph, graph_file
from .cuda import Memory, Unavailable, open_memory
from .session import Report

SDKS = {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt-rtx"}  # module -> what pip calls it

Shape = tuple[int, ...]
Ranges = dict[str, tuple[Shape, Shape, Shape]]  # input -> min, opt, max

logger = logging.getLogger(__name__)


def fits(target: str, capability: str) -> bool:
    """Whether a device of this compute capability runs engines for a target: "sm86" itself, "sm80+" any from there on."""
    wanted, given = (name.removeprefix("sm").removesuffix("+") for name in (target, capability))
    if not (wanted.isdigit() and given.isdigit()):
        return False
    return int(given) >= int(wanted) if target.endswith("+") else int(given) == int(wanted)


def misfit(engine: Engine, onnx_sha256: str, capability: str, version: str, *, trusted: bool) -> str | None:
    """Why an engine cannot be run here, as far as its description says; None if nothing speaks against it.

    Args:
        onnx_sha256: of the ONNX file that lies in the artifact now.
        capability: of the device, such as "sm86".
        version: of the installed SDK.
        trusted: the artifact's signature was verified.
    """
    if engine.onnx_sha256 != onnx_sha256:
        return (
            f"{engine.file} is stale: it was built from another {graph_file(engine.graph, engine.precision)} "
            f"(sha256 {engine.onnx_sha256[:12]}, now {onnx_sha256[:12]}); build it again with `python -m export.trt`"
        )
    if not any(fits(target, capability) for target in engine.targets):
        return f"{engine.file} was built for {', '.join(engine.targets)}, and this device is {capability}"
    if "version_compatible" in engine.options:
        if not trusted:
            return (
                f"{engine.file} is version compatible, so it carries code that would run on this machine: "
                "sign the artifact and load it with require_signature"
            )
        if _numbers(version) < _numbers(engine.sdk_version):
            return f"{engine.file} was built by {engine.sdk} {engine.sdk_version}, newer than {version}, which is installed"
    elif engine.sdk == "tensorrt" and version != engine.sdk_version:
        return (
            f"{engine.file} was built by tensorrt {engine.sdk_version}, and {version} is installed; "
            "build it again with `python -m export.trt`"
        )
    return None  # of other versions TensorRT-RTX judges itself, when the engine is opened


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def sdk_module(name: str) -> Any:
    """The SDK's module. Unavailable says what to install."""
    if name not in SDKS:
        raise Unavailable(f"the engine is for an SDK {name!r}; this version knows {', '.join(SDKS)}")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unavailable(f"{name} is not installed or does not start ({error}); pip install {SDKS[name]}") from error


def choose_profile(profiles: Sequence[Ranges], shapes: Mapping[str, Shape]) -> int:
    """The profile that holds the shapes; of several the one whose usual shapes are nearest, then the first.

    Raises:
        ValueError: none holds them; the sentence lists what the profiles hold.
    """
    distances = {}
    for index, ranges in enumerate(profiles):
        held = all(
            len(shape) == len(ranges[name][0])
            and all(low <= size <= high for size, low, high in zip(shape, ranges[name][0], ranges[name][2], strict=True))
            for name, shape in shapes.items()
        )
        if held:
            usual = math.prod(size for name in shapes for size in ranges[name][1])
            distances[index] = abs(math.log(math.prod(size for shape in shapes.values() for size in shape) / usual))
    if not distances:
        known = "; ".join(", ".join(f"{name} {low} to {high}" for name, (low, _, high) in ranges.items()) for ranges in profiles)
        given = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"no profile of the engine holds {given}; it has {known}")
    return min(distances, key=lambda index: (distances[index], index))


@dataclass
class _Lane:
    """One profile's context and buffers, and what was last run in it."""

    context: Any
    captures: bool
    device: dict[str, Any] = field(default_factory=dict)  # port -> address
    host: dict[str, NDArray[np.uint8]] = field(default_factory=dict)  # port -> pinned bytes, of the largest shape
    shapes: dict[str, Shape] = field(default_factory=dict)  # of inputs and outputs, as last set
    calls: int = 0  # with these shapes
    graph: Any = None

    def drop_graph(self, memory: Memory) -> None:
        if self.graph is not None:
            memory.discard(self.graph)
            self.graph = None

    def free(self, memory: Memory) -> None:
        """The context first: it refers to the buffers."""
        self.drop_graph(memory)
        self.context = None
        for address in self.device.values():
            memory.free(address)
        for array in self.host.values():
            memory.unpin(array)


class TrtSession:
    """An engine of TensorRT or TensorRT-RTX. Calls may come from several threads; they take turns.

    With TensorRT the first call with some shapes enqueues, the next with the same shapes captures copies and inference as a CUDA
    graph, later ones launch it. A graph holds for the shapes that its context had: it is dropped when they change. TensorRT-RTX is
    told to capture by itself.

    Args:
        folder: the artifact's.
        trusted: the artifact's signature was verified, so an engine that carries host code may be opened.
        memory: of the device; None opens it.

    Raises:
        Unavailable: SDK, driver or memory library is missing, or the SDK refuses the engine; the sentence says why.
    """

    def __init__(
        self, folder: Path, engine: Engine, graph: Graph, *, trusted: bool = False, memory: Memory | None = None
    ) -> None:
        self._sdk = sdk_module(engine.sdk)
        self._memory = memory or open_memory()
        self._graph, self._dtypes = graph, {port.name: np.dtype(port.dtype) for port in (*graph.inputs, *graph.outputs)}
        self._said: list[tuple[bool, str]] = []
        self.providers: tuple[str, ...] = (engine.sdk,)
        built = f"{engine.sdk} {self._sdk.__version__}, {', '.join(engine.targets)}"
        self.report = Report(engine.graph, engine.file, f"tensorrt ({built})")
        self._lock = threading.Lock()
        self._lanes: dict[int, _Lane] = {}
        with self._memory.active():
            self._engine = self._open(folder, engine, trusted=trusted)
            self._check_ports(engine.file)
            self._profiles: tuple[Ranges, ...] = tuple(self._ranges(at) for at in range(self._engine.num_optimization_profiles))
            self._stream = self._memory.stream()
        self._release = weakref.finalize(self, _free, self._memory, self._stream, self._lanes)

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Name -> array of the inputs; the outputs named, in that order.

        Raises:
            ValueError: no profile holds the shapes.
            RuntimeError: TensorRT or CUDA fails.
        """
        with self._lock, self._memory.active():
            lane = self._prepared(inputs)
            self._execute(lane)
            return [self._view(lane, name).copy() for name in outputs]

    def milliseconds(self, inputs: Mapping[str, NDArray[Any]], rounds: int) -> list[float]:
        """Of each of so many runs, on the device, between CUDA events: copies from and to pinned memory, and the inference."""
        with self._lock, self._memory.active():
            lane = self._prepared(inputs)
            start, end = self._memory.event(), self._memory.event()
            return [self._execute(lane, (start, end)) for _ in range(rounds)]

    def close(self) -> None:
        """Give device and pinned memory back now, instead of when the session is collected."""
        with self._lock:
            self._release()

    # opening

    def _open(self, folder: Path, engine: Engine, *, trusted: bool) -> Any:
        log = _log(self._sdk, self._said)
        runtime = self._sdk.Runtime(log)
        if "version_compatible" in engine.options:
            runtime.engine_host_code_allowed = trusted
        plan = (folder / engine.file).read_bytes()
        if hasattr(runtime, "get_engine_validity"):  # TensorRT-RTX; TensorRT says it by deserializing only
            validity, bits = runtime.get_engine_validity(plan)
            if validity == self._sdk.EngineValidity.INVALID:
                kinds = self._sdk.EngineInvalidityDiagnostics.__members__.items()
                named = ", ".join(name for name, kind in kinds if int(bits) & int(kind.value)) or self._why()
                raise Unavailable(f"{engine.sdk} {self._sdk.__version__} refuses {engine.file}: {named}")
        found = runtime.deserialize_cuda_engine(plan)
        if found is None:
            raise Unavailable(f"{engine.sdk} {self._sdk.__version__} cannot open {engine.file}: {self._why()}")
        if "stripped" in engine.options:
            source = folder / graph_file(engine.graph, engine.precision)
            refitter = self._sdk.Refitter(found, log)
            whole = self._sdk.OnnxParserRefitter(refitter, log).refit_from_file(str(source)) and refitter.refit_cuda_engine()
            if not whole:
                raise Unavailable(f"the weights of {source.name} do not go into {engine.file}: {self._why()}")
        return found

    def _why(self) -> str:
        """What the SDK said last: its errors, or where there are none whatever it was."""
        errors = [text for serious, text in self._said if serious]
        return "; ".join(errors or [text for _, text in self._said[-1:]]) or "it gives no reason"

    def _check_ports(self, file: str) -> None:
        """The engine's tensors must be the graph's ports."""
        sdk, engine = self._sdk, self._engine
        modes = {sdk.TensorIOMode.INPUT: "input", sdk.TensorIOMode.OUTPUT: "output"}
        names = [engine.get_tensor_name(at) for at in range(engine.num_io_tensors)]
        found = {
            name: (modes[engine.get_tensor_mode(name)], np.dtype(sdk.nptype(engine.get_tensor_dtype(name)))) for name in names
        }
        sides = (("input", self._graph.inputs), ("output", self._graph.outputs))
        wanted = {port.name: (side, self._dtypes[port.name]) for side, ports in sides for port in ports}
        if found != wanted:
            raise Unavailable(
                f"{file} does not have the ports of graph {self._graph.name!r}: it has {_shown(found)}, expected {_shown(wanted)}"
            )
        host = [name for name in names if engine.get_tensor_location(name) != sdk.TensorLocation.DEVICE]
        if host:
            raise Unavailable(f"{file} wants {', '.join(host)} in host memory, which this session does not do")

    def _ranges(self, profile: int) -> Ranges:
        ranges = {}
        for port in self._graph.inputs:
            low, usual, high = (tuple(shape) for shape in self._engine.get_tensor_profile_shape(port.name, profile))
            ranges[port.name] = (low, usual, high)
        return ranges

    # running

    def _prepared(self, inputs: Mapping[str, NDArray[Any]]) -> _Lane:
        """The lane for these inputs, which lie in its pinned memory."""
        if not self._release.alive:
            raise ValueError("the session was closed; load the artifact again")
        shapes = {port.name: inputs[port.name].shape for port in self._graph.inputs}
        lane = self._lane(choose_profile(self._profiles, shapes))
        if any(lane.shapes.get(name) != shape for name, shape in shapes.items()):
            self._set_shapes(lane, shapes)
        for name in shapes:
            np.copyto(self._view(lane, name), inputs[name], casting="no")
        return lane

    def _lane(self, profile: int) -> _Lane:
        """The profile's context and buffers, made on first use and kept."""
        if profile in self._lanes:
            return self._lanes[profile]
        context, captures = self._context()
        if context is None:
            raise RuntimeError(f"TensorRT makes no context for profile {profile}: {self._why()}")
        if not context.set_optimization_profile_async(profile, self._memory.handle(self._stream)):
            raise RuntimeError(f"TensorRT does not take profile {profile}: {self._why()}")
        self._memory.synchronize(self._stream)
        largest = {name: high for name, (_, _, high) in self._profiles[profile].items()}
        for name, shape in largest.items():
            self._set_shape(context, name, shape)
        lane = _Lane(context, captures)
        try:
            for name, dtype in self._dtypes.items():
                size = math.prod(largest[name]) * dtype.itemsize if name in largest else context.get_max_output_size(name)
                self._allocate(lane, name, size)
        except BaseException:
            lane.free(self._memory)
            raise
        self._lanes[profile] = lane
        return lane

    def _context(self) -> tuple[Any, bool]:
        """A context, and whether its work may be captured here.

        TensorRT-RTX runs new shapes with general kernels until special ones are compiled, and would be captured too early: it
        knows itself when to capture.
        """
        if not hasattr(self._sdk, "CudaGraphStrategy"):
            return self._engine.create_execution_context(), self._memory.captures
        config = self._engine.create_runtime_config()
        config.cuda_graph_strategy = self._sdk.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        return self._engine.create_execution_context(runtime_config=config), False

    def _allocate(self, lane: _Lane, name: str, size: int) -> None:
        if size <= 0:
            raise RuntimeError(f"TensorRT states no largest size of {name!r}: {self._why()}")
        lane.host[name] = self._memory.pinned(size)
        lane.device[name] = self._memory.allocate(size)
        if not lane.context.set_tensor_address(name, int(lane.device[name])):
            raise RuntimeError(f"TensorRT does not take the address of {name!r}: {self._why()}")

    def _set_shape(self, context: Any, name: str, shape: Shape) -> None:
        if not context.set_input_shape(name, shape):
            raise RuntimeError(f"TensorRT does not take shape {shape} of {name!r}: {self._why()}")

    def _set_shapes(self, lane: _Lane, shapes: Mapping[str, Shape]) -> None:
        lane.drop_graph(self._memory)
        lane.shapes, lane.calls = {}, 0
        for name, shape in shapes.items():
            self._set_shape(lane.context, name, shape)
        if missing := lane.context.infer_shapes():
            raise RuntimeError(f"TensorRT cannot infer the shapes: {', '.join(missing)} are not specified")
        found = {port.name: tuple(lane.context.get_tensor_shape(port.name)) for port in self._graph.outputs}
        lane.shapes = {**shapes, **found}

    def _view(self, lane: _Lane, name: str) -> NDArray[Any]:
        """The pinned bytes as the port's array."""
        shape, dtype = lane.shapes[name], self._dtypes[name]
        return lane.host[name][: math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)

    def _execute(self, lane: _Lane, events: tuple[Any, Any] | None = None) -> float:
        """Copies and inference, enqueued or as a graph; done when it returns. Milliseconds between the events, where given."""
        if lane.graph is None and lane.captures and lane.calls:
            try:
                lane.graph = self._memory.capture(self._stream, lambda: self._enqueue(lane))
            except Exception as error:  # pycuda's errors share no public base class
                lane.captures = False
                logger.info("no CUDA graph of %s: %s", self._graph.name, error)
        if events:
            self._memory.record(events[0], self._stream)
        if lane.graph is None:
            self._enqueue(lane)
        else:
            self._memory.launch(lane.graph, self._stream)
        if events:
            self._memory.record(events[1], self._stream)
        self._memory.synchronize(self._stream)
        lane.calls += 1
        return self._memory.milliseconds(*events) if events else 0.0

    def _enqueue(self, lane: _Lane) -> None:
        for port in self._graph.inputs:
            self._memory.upload(lane.device[port.name], self._view(lane, port.name), self._stream)
        if not lane.context.execute_async_v3(self._memory.handle(self._stream)):
            raise RuntimeError(f"TensorRT does not run the engine: {self._why()}")
        for port in self._graph.outputs:
            self._memory.download(self._view(lane, port.name), lane.device[port.name], self._stream)


def _free(memory: Memory, stream: Any, lanes: dict[int, _Lane]) -> None:
    with memory.active():
        for lane in lanes.values():
            lane.free(memory)
        lanes.clear()
        memory.destroy(stream)


def _log(sdk: Any, said: list[tuple[bool, str]]) -> Any:
    """The SDK's logger: the last words are kept for the sentences above, each with whether it is an error; all goes to the log."""

    class Log(sdk.ILogger):
        def __init__(self) -> None:
            sdk.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:  # the SDK passes both by position
            said.append((severity in (sdk.ILogger.Severity.ERROR, sdk.ILogger.Severity.INTERNAL_ERROR), msg))
            del said[:-4]
            logger.debug("%s", msg)

    return Log()


def _shown(ports: Mapping[str, tuple[str, np.dtype[Any]]]) -> str:
    return ", ".join(f"{side} {name} {dtype}" for name, (side, dtype) in ports.items())
