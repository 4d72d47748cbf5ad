"""NVIDIA's driver, CUDA runtime and TensorRT as documented, in host memory: streams run when they are waited for, in order.

What the documentation calls undefined is an error here: a copy outside an allocation, use after free, a graph whose context has
changed since it was captured, a capture before the context has run with its shapes.
"""

import ctypes
import enum
import json
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

Answer = Callable[[str, dict[str, np.ndarray]], dict[str, np.ndarray]]


class Driver:
    """libcuda's calls, through ctypes.byref as ctypes passes them."""

    def __init__(self, capabilities: tuple[tuple[int, int], ...] = ((8, 6),), status: int = 0) -> None:
        self.capabilities, self.status = capabilities, status

    def cuInit(self, flags: int) -> int:
        return self.status

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = 13040
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = len(self.capabilities)
        return 0

    def cuDeviceGet(self, handle: Any, ordinal: int) -> int:
        handle._obj.value = ordinal
        return 0

    def cuDeviceGetName(self, name: Any, size: int, handle: ctypes.c_int) -> int:
        name.value = f"Fake {handle.value}".encode()
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, handle: ctypes.c_int) -> int:
        value._obj.value = self.capabilities[handle.value][{75: 0, 76: 1}[attribute]]
        return 0

    def cuDeviceTotalMem_v2(self, memory: Any, handle: ctypes.c_int) -> int:
        memory._obj.value = 8 * 2**30
        return 0


class Status(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2


class Copy(enum.Enum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class Capture(enum.Enum):
    cudaStreamCaptureModeThreadLocal = 1


class Runtime(ModuleType):
    """cuda.bindings.runtime: each call returns (status, ...)."""

    cudaError_t, cudaMemcpyKind, cudaStreamCaptureMode, cudaStreamNonBlocking = Status, Copy, Capture, 1

    def __init__(self, *, captures: bool = True) -> None:
        super().__init__("cuda.bindings.runtime")
        self.captures, self.limit = captures, 2**30
        self.device: dict[int, Any] = {}
        self.pinned: dict[int, Any] = {}
        self.streams: dict[int, list[Callable[[], None]]] = {}
        self.capturing: dict[int, list[Callable[[], None]]] = {}
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.events: dict[int, float] = {}
        self.clock, self.launches, self.enqueued, self.made = 0.0, 0, 0, 0

    def add(self, stream: int, work: Callable[[], None]) -> None:
        self.capturing.get(stream, self.streams[stream]).append(work)

    def reach(self, address: int, size: int) -> None:
        """Error unless the bytes lie in one allocation."""
        blocks = {**self.device, **self.pinned}
        assert any(start <= address and address + size <= start + len(block) for start, block in blocks.items()), "wild copy"

    def cudaSetDevice(self, device: int) -> tuple[Any, ...]:
        return (Status.cudaSuccess,)

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        if size > self.limit:
            return Status.cudaErrorMemoryAllocation, None
        block = (ctypes.c_uint8 * size)()
        self.device[ctypes.addressof(block)] = block
        return Status.cudaSuccess, ctypes.addressof(block)

    def cudaFree(self, address: int) -> tuple[Any, ...]:
        if address:
            del self.device[address]
        return (Status.cudaSuccess,)

    def cudaHostAlloc(self, size: int, flags: int) -> tuple[Any, ...]:
        block = (ctypes.c_uint8 * size)()
        self.pinned[ctypes.addressof(block)] = block
        return Status.cudaSuccess, ctypes.addressof(block)

    def cudaFreeHost(self, address: int) -> tuple[Any, ...]:
        del self.pinned[address]
        return (Status.cudaSuccess,)

    def cudaMemGetInfo(self) -> tuple[Any, ...]:
        return Status.cudaSuccess, 2**30 - sum(map(len, self.device.values())), 2**30

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        handle = 100 + self.made
        self.made += 1
        self.streams[handle] = []
        return Status.cudaSuccess, handle

    def cudaStreamDestroy(self, stream: int) -> tuple[Any, ...]:
        del self.streams[stream]
        return (Status.cudaSuccess,)

    def cudaStreamSynchronize(self, stream: int) -> tuple[Any, ...]:
        assert stream not in self.capturing, "a capturing stream cannot be waited for"
        while self.streams[stream]:
            self.streams[stream].pop(0)()
        return (Status.cudaSuccess,)

    def cudaMemcpyAsync(self, to: int, source: int, size: int, kind: Copy, stream: int) -> tuple[Any, ...]:
        on_device, on_host = (to, source) if kind is Copy.cudaMemcpyHostToDevice else (source, to)

        def work() -> None:
            assert on_device in self.device
            assert on_host in self.pinned, "copies must be from and to pinned memory"
            self.reach(to, size)
            self.reach(source, size)
            ctypes.memmove(to, source, size)

        self.add(stream, work)
        return (Status.cudaSuccess,)

    def cudaEventCreate(self) -> tuple[Any, ...]:
        self.events[len(self.events)] = 0.0
        return Status.cudaSuccess, len(self.events) - 1

    def cudaEventRecord(self, event: int, stream: int) -> tuple[Any, ...]:
        self.add(stream, lambda: self.events.__setitem__(event, self.clock))
        return (Status.cudaSuccess,)

    def cudaEventElapsedTime(self, start: int, end: int) -> tuple[Any, ...]:
        return Status.cudaSuccess, self.events[end] - self.events[start]

    def cudaStreamBeginCapture(self, stream: int, mode: Capture) -> tuple[Any, ...]:
        assert not self.streams[stream]
        self.capturing[stream] = []
        return (Status.cudaSuccess,)

    def cudaStreamEndCapture(self, stream: int) -> tuple[Any, ...]:
        work = self.capturing.pop(stream)
        return (Status.cudaSuccess, work) if self.captures else (Status.cudaErrorInvalidValue, None)

    def cudaGraphInstantiate(self, graph: list[Callable[[], None]], flags: int) -> tuple[Any, ...]:
        self.graphs[id(graph)] = graph
        return Status.cudaSuccess, id(graph)

    def cudaGraphDestroy(self, graph: list[Callable[[], None]]) -> tuple[Any, ...]:
        return (Status.cudaSuccess,)

    def cudaGraphLaunch(self, graph: int, stream: int) -> tuple[Any, ...]:
        self.launches += 1
        for work in self.graphs[graph]:
            self.add(stream, work)
        return (Status.cudaSuccess,)

    def cudaGraphExecDestroy(self, graph: int) -> tuple[Any, ...]:
        del self.graphs[graph]
        return (Status.cudaSuccess,)


def plan(graph: Any, profiles: list[dict[str, Any]], **changes: Any) -> bytes:
    """An engine's bytes for the fake: ports as artifact.Port, profiles as port -> (min, opt, max) shapes."""
    tensors = {
        port.name: [mode, port.dtype] for mode, ports in (("INPUT", graph.inputs), ("OUTPUT", graph.outputs)) for port in ports
    }
    shapes = {port.name: list(port.shape) for port in (*graph.inputs, *graph.outputs)}
    content = {"graph": graph.name, "tensors": tensors, "shapes": shapes, "profiles": profiles, "version": "1.7.1.116"}
    return json.dumps(content | {"stripped": False, "host": []} | changes).encode()


def sdk(name: str, version: str, cuda: Runtime, answer: Answer) -> ModuleType:
    """`tensorrt` or `tensorrt_rtx` over the fake runtime; answer(graph, inputs) is what an engine computes."""
    module: Any = ModuleType(name)
    module.__version__ = version
    module.TensorIOMode = enum.Enum("TensorIOMode", "NONE INPUT OUTPUT")
    module.TensorLocation = enum.Enum("TensorLocation", "DEVICE HOST")
    module.nptype = lambda given: np.dtype(given).type

    class ILogger:
        Severity = enum.Enum("Severity", "INTERNAL_ERROR ERROR WARNING INFO VERBOSE")

        def log(self, severity: Any, msg: str) -> None: ...

    class IExecutionContext:
        def __init__(self, engine: Any, own_graphs: bool) -> None:
            self._engine, self._profile, self._addresses, self._shapes = engine, None, {}, {}
            self._ran, self._own_graphs = False, own_graphs

        def set_optimization_profile_async(self, index: int, stream: int) -> bool:
            assert stream in cuda.streams
            self._profile = index
            return 0 <= index < engine_profiles(self._engine)

        def set_input_shape(self, tensor: str, shape: tuple[int, ...]) -> bool:
            low, _, high = self._engine.get_tensor_profile_shape(tensor, self._profile)
            if not all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True)):
                return False
            self._shapes = {**self._shapes, tensor: tuple(shape)}
            self._ran = False
            return True

        def infer_shapes(self) -> list[str]:
            return [
                port for port, (mode, _) in self._engine._plan["tensors"].items() if mode == "INPUT" and port not in self._shapes
            ]

        def get_tensor_shape(self, tensor: str) -> tuple[int, ...]:
            if tensor in self._shapes:
                return self._shapes[tensor]  # type: ignore[no-any-return]
            sizes: dict[str, int] = {}
            for port, shape in self._shapes.items():
                sizes |= {
                    axis: size
                    for axis, size in zip(self._engine._plan["shapes"][port], shape, strict=True)
                    if isinstance(axis, str)
                }
            return tuple(sizes.get(axis, axis) for axis in self._engine._plan["shapes"][tensor])

        def get_max_output_size(self, tensor: str) -> int:
            dtype = np.dtype(self._engine._plan["tensors"][tensor][1])
            return int(np.prod(self.get_tensor_shape(tensor))) * dtype.itemsize if self._shapes else -1

        def set_tensor_address(self, tensor: str, address: int) -> bool:
            self._addresses[tensor] = address
            return True

        def execute_async_v3(self, stream: int) -> bool:
            assert not (stream in cuda.capturing and self._own_graphs), "captured twice"
            if stream in cuda.capturing and not self._ran:
                return False
            self._ran, shapes, plan = True, self._shapes, self._engine._plan
            cuda.enqueued += 1

            def work() -> None:
                assert self._shapes is shapes, "the graph's context has changed"
                inputs = {}
                for port, (mode, dtype) in plan["tensors"].items():
                    if mode == "INPUT":
                        size = int(np.prod(shapes[port])) * np.dtype(dtype).itemsize
                        cuda.reach(self._addresses[port], size)
                        inputs[port] = np.frombuffer(ctypes.string_at(self._addresses[port], size), dtype).reshape(shapes[port])
                for port, array in answer(plan["graph"], inputs).items():
                    content = np.ascontiguousarray(array).tobytes()
                    cuda.reach(self._addresses[port], len(content))
                    ctypes.memmove(self._addresses[port], content, len(content))
                cuda.clock += 0.25

            cuda.add(stream, work)
            return True

    def engine_profiles(engine: Any) -> int:
        return len(engine._plan["profiles"])

    class ICudaEngine:
        def __init__(self, content: dict[str, Any]) -> None:
            self._plan = content
            self.num_io_tensors, self.num_optimization_profiles = len(content["tensors"]), len(content["profiles"])

        def get_tensor_name(self, index: int) -> str:
            return list(self._plan["tensors"])[index]

        def get_tensor_mode(self, tensor: str) -> Any:
            return module.TensorIOMode[self._plan["tensors"][tensor][0]]

        def get_tensor_dtype(self, tensor: str) -> str:
            return str(self._plan["tensors"][tensor][1])

        def get_tensor_location(self, tensor: str) -> Any:
            return module.TensorLocation["HOST" if tensor in self._plan["host"] else "DEVICE"]

        def get_tensor_profile_shape(self, tensor: str, profile: int) -> list[tuple[int, ...]]:
            return [tuple(shape) for shape in self._plan["profiles"][profile][tensor]]

        def create_execution_context(self, runtime_config: Any = None) -> Any:
            assert not self._plan["stripped"], "its weights were never put in"
            return IExecutionContext(
                self, runtime_config is not None and runtime_config.cuda_graph_strategy.name == "WHOLE_GRAPH_CAPTURE"
            )

    class Runtime_:
        def __init__(self, log: Any) -> None:
            assert isinstance(log, ILogger)
            self._log, self.engine_host_code_allowed = log, False

        def deserialize_cuda_engine(self, content: bytes) -> Any:
            found = json.loads(content) if content.startswith(b"{") else None
            if found is None or (found.get("host_code") and not self.engine_host_code_allowed):
                self._log.log(ILogger.Severity.ERROR, "the engine is no engine" if found is None else "host code is not allowed")
                return None
            return ICudaEngine(found)

    class Refitter:
        def __init__(self, engine: Any, log: Any) -> None:
            self.engine = engine

        def refit_cuda_engine(self) -> bool:
            return not self.engine._plan["stripped"]

    class OnnxParserRefitter:
        def __init__(self, refitter: Any, log: Any) -> None:
            self._refitter = refitter

        def refit_from_file(self, model: str) -> bool:
            self._refitter.engine._plan["stripped"] = not model.endswith(".onnx")
            return True

    if name == "tensorrt_rtx":
        module.EngineValidity = enum.Enum("EngineValidity", "VALID SUBOPTIMAL INVALID")
        module.EngineInvalidityDiagnostics = enum.Enum(
            "EngineInvalidityDiagnostics", {"VERSION_MISMATCH": 1, "UNSUPPORTED_CC": 2}
        )

        def get_engine_validity(self: Any, content: bytes) -> tuple[Any, int]:
            good = json.loads(content)["version"] == version
            return (module.EngineValidity.VALID, 0) if good else (module.EngineValidity.INVALID, 1)

        class IRuntimeConfig:
            cuda_graph_strategy: Any = None

        module.CudaGraphStrategy = enum.Enum("CudaGraphStrategy", "DISABLED WHOLE_GRAPH_CAPTURE")
        module.IRuntimeConfig = IRuntimeConfig
        ICudaEngine.create_runtime_config = lambda self: IRuntimeConfig()  # type: ignore[attr-defined]
        Runtime_.get_engine_validity = get_engine_validity  # type: ignore[attr-defined]
    Runtime_.__name__ = "Runtime"
    for kind in (ILogger, IExecutionContext, ICudaEngine, Refitter, OnnxParserRefitter):
        setattr(module, kind.__name__, kind)
    module.Runtime = Runtime_
    return module  # type: ignore[no-any-return]


def install(monkeypatch: Any, cuda: Runtime, *sdks: ModuleType) -> None:
    """Put cuda-python and the SDKs where they are imported from; pycuda is away."""
    monkeypatch.setitem(sys.modules, "cuda", SimpleNamespace(bindings=SimpleNamespace(runtime=cuda)))
    monkeypatch.setitem(sys.modules, "cuda.bindings", SimpleNamespace(runtime=cuda))
    monkeypatch.setitem(sys.modules, "pycuda", None)
    for module in sdks:
        monkeypatch.setitem(sys.modules, module.__name__, module)
