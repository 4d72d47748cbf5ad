"""CUDA without a framework: what devices there are; and memory, streams, events and graphs of one, by pycuda or cuda-python."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_LIBRARIES = ("nvcuda.dll",) if os.name == "nt" else ("libcuda.so.1", "libcuda.so")
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


class Unavailable(ValueError):
    """What was asked for cannot be had on this machine; the sentence says why, and what to do."""


# what there is, asked of the driver itself


@dataclass(frozen=True)
class Device:
    """A GPU: its name, compute capability such as "sm86", and bytes of memory."""

    name: str
    capability: str
    memory: int


@dataclass(frozen=True)
class Driver:
    """NVIDIA's driver: the newest CUDA that it runs, such as "13.0", and the devices that it shows."""

    cuda: str
    devices: tuple[Device, ...]


def driver(library: Any = None) -> Driver:
    """Ask the driver's own library; no package is needed.

    Args:
        library: the driver's library; None opens the system's.

    Raises:
        Unavailable: there is no driver, it does not start, or it shows no device.
    """
    cuda = _driver_library() if library is None else library
    if (status := cuda.cuInit(0)) != 0:
        raise Unavailable(f"the CUDA driver does not start (cuInit gives {status}); nvidia-smi shows what is wrong with it")
    version, count = ctypes.c_int(), ctypes.c_int()
    _ask(cuda, "cuDriverGetVersion", ctypes.byref(version))
    _ask(cuda, "cuDeviceGetCount", ctypes.byref(count))
    if count.value == 0:
        raise Unavailable("the CUDA driver shows no device; look at CUDA_VISIBLE_DEVICES, and at nvidia-smi")
    devices = tuple(_device(cuda, ordinal) for ordinal in range(count.value))
    return Driver(f"{version.value // 1000}.{version.value % 1000 // 10}", devices)


def _driver_library() -> Any:
    for name in _LIBRARIES:
        with suppress(OSError):
            return ctypes.CDLL(name)
    raise Unavailable(f"there is no CUDA driver ({_LIBRARIES[0]} is not found); install NVIDIA's driver, or run on the cpu")


def _device(cuda: Any, ordinal: int) -> Device:
    handle, major, minor, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(256)
    _ask(cuda, "cuDeviceGet", ctypes.byref(handle), ordinal)
    _ask(cuda, "cuDeviceGetName", name, len(name), handle)
    _ask(cuda, "cuDeviceGetAttribute", ctypes.byref(major), _MAJOR, handle)
    _ask(cuda, "cuDeviceGetAttribute", ctypes.byref(minor), _MINOR, handle)
    _ask(cuda, "cuDeviceTotalMem_v2", ctypes.byref(memory), handle)
    return Device(name.value.decode(errors="replace"), f"sm{major.value}{minor.value}", memory.value)


def _ask(cuda: Any, call: str, *arguments: Any) -> None:
    if (status := getattr(cuda, call)(*arguments)) != 0:
        raise Unavailable(f"the CUDA driver does not answer ({call} gives {status}); nvidia-smi shows what is wrong with it")


# one device's memory


class Memory(Protocol):
    """One device's memory, streams, events and graphs. Addresses, streams, events and graphs are the library's own objects.

    Everything but `active` is called inside `with memory.active()`, which makes the device current to the calling thread.
    """

    library: str
    captures: bool

    def active(self) -> AbstractContextManager[None]:
        """The device is current to this thread inside."""

    def allocate(self, size: int) -> Any:
        """Bytes on the device; int() of it is the address."""

    def free(self, address: Any) -> None:
        """Give device memory back."""

    def pinned(self, size: int) -> NDArray[np.uint8]:
        """Bytes of page-locked host memory, from which copies run beside other work."""

    def unpin(self, array: NDArray[np.uint8]) -> None:
        """Give pinned memory back; the array must not be used any more."""

    def stream(self) -> Any:
        """A stream of its own."""

    def destroy(self, stream: Any) -> None:
        """Give a stream back."""

    def handle(self, stream: Any) -> int:
        """The stream as TensorRT takes it."""

    def upload(self, address: Any, array: NDArray[Any], stream: Any) -> None:
        """Copy a contiguous array to the device, in the stream's order."""

    def download(self, array: NDArray[Any], address: Any, stream: Any) -> None:
        """Copy device memory into a contiguous array, in the stream's order."""

    def synchronize(self, stream: Any) -> None:
        """Wait until all of the stream's work is done."""

    def event(self) -> Any:
        """A point in time on the device."""

    def record(self, event: Any, stream: Any) -> None:
        """Put the event behind the stream's work so far."""

    def milliseconds(self, start: Any, end: Any) -> float:
        """Between two events that have passed."""

    def capture(self, stream: Any, work: Callable[[], None]) -> Any:
        """What `work` puts into the stream, as a graph that can be launched; nothing of it runs."""

    def launch(self, graph: Any, stream: Any) -> None:
        """Run a graph in the stream's order."""

    def discard(self, graph: Any) -> None:
        """Give a graph back."""

    def free_and_total(self) -> tuple[int, int]:
        """Bytes of the device."""


class _Runtime:
    """The calls of cuda.bindings.runtime, each checked."""

    def __init__(self) -> None:
        from cuda.bindings import runtime

        self.names = runtime

    def __call__(self, name: str, *arguments: Any) -> Any:
        error, *found = getattr(self.names, name)(*arguments)
        if error != self.names.cudaError_t.cudaSuccess:
            raise RuntimeError(f"{name} gives {error.name}")
        return found[0] if len(found) == 1 else tuple(found)

    def capture(self, stream: int, work: Callable[[], None]) -> Any:
        self("cudaStreamBeginCapture", stream, self.names.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
        try:
            work()
        except BaseException:
            with suppress(RuntimeError):  # an invalid capture is an error here too; the stream is usable again
                self("cudaStreamEndCapture", stream)
            raise
        graph = self("cudaStreamEndCapture", stream)
        try:
            return self("cudaGraphInstantiate", graph, 0)
        finally:
            self("cudaGraphDestroy", graph)


class CudaPython:
    """Memory by cuda-python."""

    library, captures = "cuda-python", True

    def __init__(self, device: int = 0) -> None:
        self._call, self._device = _Runtime(), device
        with self.active():
            self._call("cudaFree", 0)  # makes the context now, so that what is wrong shows here

    @contextmanager
    def active(self) -> Iterator[None]:
        self._call("cudaSetDevice", self._device)
        yield

    def allocate(self, size: int) -> Any:
        return self._call("cudaMalloc", size)

    def free(self, address: Any) -> None:
        self._call("cudaFree", address)

    def pinned(self, size: int) -> NDArray[np.uint8]:
        address = self._call("cudaHostAlloc", size, 0)
        return np.frombuffer(memoryview((ctypes.c_uint8 * size).from_address(int(address))), np.uint8)

    def unpin(self, array: NDArray[np.uint8]) -> None:
        self._call("cudaFreeHost", array.ctypes.data)

    def stream(self) -> Any:
        return self._call("cudaStreamCreateWithFlags", self._call.names.cudaStreamNonBlocking)

    def destroy(self, stream: Any) -> None:
        self._call("cudaStreamDestroy", stream)

    def handle(self, stream: Any) -> int:
        return int(stream)

    def upload(self, address: Any, array: NDArray[Any], stream: Any) -> None:
        kind = self._call.names.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, array.ctypes.data, array.nbytes, kind, stream)

    def download(self, array: NDArray[Any], address: Any, stream: Any) -> None:
        kind = self._call.names.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", array.ctypes.data, address, array.nbytes, kind, stream)

    def synchronize(self, stream: Any) -> None:
        self._call("cudaStreamSynchronize", stream)

    def event(self) -> Any:
        return self._call("cudaEventCreate")

    def record(self, event: Any, stream: Any) -> None:
        self._call("cudaEventRecord", event, stream)

    def milliseconds(self, start: Any, end: Any) -> float:
        return float(self._call("cudaEventElapsedTime", start, end))

    def capture(self, stream: Any, work: Callable[[], None]) -> Any:
        return self._call.capture(stream, work)

    def launch(self, graph: Any, stream: Any) -> None:
        self._call("cudaGraphLaunch", graph, stream)

    def discard(self, graph: Any) -> None:
        self._call("cudaGraphExecDestroy", graph)

    def free_and_total(self) -> tuple[int, int]:
        free, total = self._call("cudaMemGetInfo")
        return int(free), int(total)


class PyCuda:
    """Memory by pycuda, on the device's primary context, which other libraries use too.

    pycuda knows no graphs; where cuda-python is installed beside it, that captures and launches them.
    """

    library = "pycuda"

    def __init__(self, device: int = 0) -> None:
        from pycuda import driver as cuda

        cuda.init()
        self._cuda, self._context = cuda, cuda.Device(device).retain_primary_context()
        try:
            self._runtime: _Runtime | None = _Runtime()
        except ImportError:
            self._runtime = None
        self.captures = self._runtime is not None

    @contextmanager
    def active(self) -> Iterator[None]:
        self._context.push()
        try:
            yield
        finally:
            self._cuda.Context.pop()

    def allocate(self, size: int) -> Any:
        return self._cuda.mem_alloc(size)

    def free(self, address: Any) -> None:
        address.free()

    def pinned(self, size: int) -> NDArray[np.uint8]:
        return self._cuda.pagelocked_empty(size, np.uint8)  # type: ignore[no-any-return]

    def unpin(self, array: NDArray[np.uint8]) -> None:
        array.base.free()  # type: ignore[union-attr]

    def stream(self) -> Any:
        return self._cuda.Stream()

    def destroy(self, stream: Any) -> None:
        """pycuda does so when the object is collected."""

    def handle(self, stream: Any) -> int:
        return int(stream.handle)

    def upload(self, address: Any, array: NDArray[Any], stream: Any) -> None:
        self._cuda.memcpy_htod_async(address, array, stream)

    def download(self, array: NDArray[Any], address: Any, stream: Any) -> None:
        self._cuda.memcpy_dtoh_async(array, address, stream)

    def synchronize(self, stream: Any) -> None:
        stream.synchronize()

    def event(self) -> Any:
        return self._cuda.Event()

    def record(self, event: Any, stream: Any) -> None:
        event.record(stream)

    def milliseconds(self, start: Any, end: Any) -> float:
        return float(start.time_till(end))

    def capture(self, stream: Any, work: Callable[[], None]) -> Any:
        assert self._runtime is not None
        return self._runtime.capture(self.handle(stream), work)

    def launch(self, graph: Any, stream: Any) -> None:
        assert self._runtime is not None
        self._runtime("cudaGraphLaunch", graph, self.handle(stream))

    def discard(self, graph: Any) -> None:
        assert self._runtime is not None
        self._runtime("cudaGraphExecDestroy", graph)

    def free_and_total(self) -> tuple[int, int]:
        free, total = self._cuda.mem_get_info()
        return int(free), int(total)


def open_memory(device: int = 0) -> Memory:
    """The device's memory by pycuda, or by cuda-python where pycuda is not installed.

    Raises:
        Unavailable: neither is installed, or CUDA does not start.
    """
    missing = []
    kinds: tuple[type[PyCuda] | type[CudaPython], ...] = (PyCuda, CudaPython)
    for kind in kinds:
        try:
            return kind(device)
        except ImportError as error:
            missing.append(f"{kind.library} ({error})")
        except Exception as error:  # pycuda's errors share no public base class
            raise Unavailable(f"CUDA does not start by {kind.library}: {error}") from error
    raise Unavailable(
        f"device memory needs pycuda or cuda-python, and neither is here: {'; '.join(missing)}; pip install cuda-python"
    )
