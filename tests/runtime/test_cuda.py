"""The driver's answers and both memory libraries, on fakes, against what was put in; and their names against the real packages."""

import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import runtime.cuda
from runtime.cuda import CudaPython, Device, Memory, PyCuda, Unavailable, driver, open_memory

# the driver


def test_devices_are_read_from_the_driver(fake: ModuleType) -> None:
    found = driver(fake.Driver(((8, 6), (12, 0))))
    assert found.cuda == "13.4"
    assert found.devices == (Device("Fake 0", "sm86", 2**33), Device("Fake 1", "sm120", 2**33))


@pytest.mark.parametrize(
    ("library", "sentence"),
    [
        (lambda fake: fake.Driver(status=100), r"does not start \(cuInit gives 100\)"),
        (lambda fake: fake.Driver(()), "shows no device"),
    ],
)
def test_a_driver_that_shows_nothing_says_where_to_look(fake: ModuleType, library: Any, sentence: str) -> None:
    with pytest.raises(Unavailable, match=sentence):
        driver(library(fake))


def test_without_a_driver_the_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.cuda, "_LIBRARIES", ("libnowhere.so.1",))
    with pytest.raises(Unavailable, match=r"there is no CUDA driver \(libnowhere\.so\.1 is not found\)"):
        driver()


# memory


class Pycuda:
    """pycuda.driver as documented, over the fake runtime: every call needs the device's context on this thread's stack."""

    def __init__(self, cuda: Any) -> None:
        self.cuda, self.stack = cuda, []  # type: ignore[var-annotated]
        outer = self

        class Context:
            def push(self) -> None:
                outer.stack.append(self)

            @staticmethod
            def pop() -> None:
                outer.stack.pop()

        class Stream:
            def __init__(self) -> None:
                outer.need()
                self.handle = cuda.cudaStreamCreateWithFlags(0)[1]

            def synchronize(self) -> None:
                outer.need()
                cuda.cudaStreamSynchronize(self.handle)

        class Event:
            def __init__(self) -> None:
                self.number = cuda.cudaEventCreate()[1]

            def record(self, stream: Any) -> None:
                cuda.cudaEventRecord(self.number, stream.handle)

            def time_till(self, end: Any) -> float:
                return float(cuda.cudaEventElapsedTime(self.number, end.number)[1])

        class Allocation(int):
            def free(self) -> None:
                cuda.cudaFree(int(self))

        self.Context, self.Stream, self.Event, self.Allocation = Context, Stream, Event, Allocation

    def need(self) -> None:
        assert self.stack, "no context is current"

    def init(self) -> None: ...

    def Device(self, ordinal: int) -> Any:
        return SimpleNamespace(retain_primary_context=self.Context)

    def mem_alloc(self, size: int) -> Any:
        self.need()
        return self.Allocation(self.cuda.cudaMalloc(size)[1])

    def pagelocked_empty(self, size: int, dtype: Any) -> np.ndarray:
        self.need()
        address = self.cuda.cudaHostAlloc(size, 0)[1]

        class Host(np.ndarray):
            def free(host) -> None:
                self.cuda.cudaFreeHost(address)

        return np.frombuffer(self.cuda.pinned[address], dtype).view(Host)[:]  # .base is a Host, as pycuda's is its allocation

    def memcpy_htod_async(self, to: int, source: np.ndarray, stream: Any) -> None:
        self.cuda.cudaMemcpyAsync(
            int(to), source.ctypes.data, source.nbytes, self.cuda.cudaMemcpyKind.cudaMemcpyHostToDevice, stream.handle
        )

    def memcpy_dtoh_async(self, to: np.ndarray, source: int, stream: Any) -> None:
        self.cuda.cudaMemcpyAsync(
            to.ctypes.data, int(source), to.nbytes, self.cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost, stream.handle
        )

    def mem_get_info(self) -> tuple[int, int]:
        self.need()
        return self.cuda.cudaMemGetInfo()[1:]  # type: ignore[no-any-return]


@pytest.fixture(params=["cuda-python", "pycuda", "pycuda alone"])
def memory(request: pytest.FixtureRequest, nvidia: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Memory]:
    if request.param != "cuda-python":
        module = Pycuda(nvidia.cuda)
        monkeypatch.setitem(sys.modules, "pycuda", SimpleNamespace(driver=module))
        monkeypatch.setitem(sys.modules, "pycuda.driver", module)
    if request.param == "pycuda alone":
        monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    found = open_memory()
    assert found.library == request.param.split()[0]
    assert found.captures is (request.param != "pycuda alone")
    yield found


@contextmanager
def copied(memory: Memory, cuda: Any) -> Iterator[tuple[Any, Any, np.ndarray, np.ndarray]]:
    """A stream, 16 bytes on the device, and two pinned arrays: what is sent and what comes back."""
    with memory.active():
        stream, device, sent, back = memory.stream(), memory.allocate(16), memory.pinned(16), memory.pinned(16)
        sent[:], back[:] = np.arange(16), 0
        yield stream, device, sent, back
        memory.free(device)
        for array in (sent, back):
            memory.unpin(array)
        memory.destroy(stream)
    assert (cuda.device, cuda.pinned) == ({}, {})


def test_copies_happen_in_the_streams_order_and_not_before(memory: Memory, nvidia: Any) -> None:
    with copied(memory, nvidia.cuda) as (stream, device, sent, back):
        memory.upload(device, sent, stream)
        memory.download(back[:8], device, stream)
        assert not back.any()
        memory.synchronize(stream)
        assert back.tolist() == [*range(8), *[0] * 8]
        free, total = memory.free_and_total()
        assert (total, free) == (2**30, 2**30 - 16)


def test_events_measure_what_lies_between_them(memory: Memory, nvidia: Any) -> None:
    with copied(memory, nvidia.cuda) as (stream, _, _, _):
        start, end = memory.event(), memory.event()
        memory.record(start, stream)
        nvidia.cuda.add(memory.handle(stream), lambda: setattr(nvidia.cuda, "clock", nvidia.cuda.clock + 2.5))
        memory.record(end, stream)
        memory.synchronize(stream)
        assert memory.milliseconds(start, end) == 2.5


def test_a_captured_graph_does_its_work_when_it_is_launched(memory: Memory, nvidia: Any) -> None:
    if not memory.captures:
        pytest.skip("pycuda alone has no graphs")
    with copied(memory, nvidia.cuda) as (stream, device, sent, back):

        def work() -> None:
            memory.upload(device, sent, stream)
            memory.download(back, device, stream)

        graph = memory.capture(stream, work)
        memory.synchronize(stream)
        assert not back.any()
        sent[:] = 7
        memory.launch(graph, stream)
        memory.synchronize(stream)
        assert back.tolist() == [7] * 16
        memory.discard(graph)
        assert nvidia.cuda.graphs == {}


def test_a_capture_that_fails_leaves_the_stream_usable(memory: Memory, nvidia: Any) -> None:
    if not memory.captures:
        pytest.skip("pycuda alone has no graphs")
    with copied(memory, nvidia.cuda) as (stream, device, sent, back):
        with pytest.raises(ZeroDivisionError):
            memory.capture(stream, lambda: print(1 / 0))
        memory.upload(device, sent, stream)
        memory.download(back, device, stream)
        memory.synchronize(stream)
        assert back.tolist() == list(range(16))


def test_without_either_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pycuda", "cuda.bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Unavailable, match=r"neither is here: pycuda .*; cuda-python .*; pip install cuda-python"):
        open_memory()


def test_a_failing_call_is_named(nvidia: Any) -> None:
    memory = CudaPython()
    with memory.active(), pytest.raises(RuntimeError, match="cudaMalloc gives cudaErrorMemoryAllocation"):
        memory.allocate(2**40)


@pytest.mark.skipif(importlib.util.find_spec("cuda") is None, reason="the real API is that of cuda-python: pip install it")
def test_every_name_that_is_used_exists_in_the_real_cuda_python() -> None:
    from cuda.bindings import driver as real_driver
    from cuda.bindings import runtime as real

    source = inspect.getsource(runtime.cuda)
    for name in set(re.findall(r'"(cuda[A-Z]\w+)"', source)):
        assert hasattr(real, name), name
    for name in set(re.findall(r"names\.(\w+)\b(?!\.)", source)) | set(re.findall(r"names\.(\w+)\.", source)):
        assert hasattr(real, name), name
    for kind, name in set(re.findall(r"names\.(\w+)\.(\w+)", source)):
        assert hasattr(getattr(real, kind), name), f"{kind}.{name}"
    attributes = real_driver.CUdevice_attribute
    assert int(attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) == runtime.cuda._MAJOR
    assert int(attributes.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR) == runtime.cuda._MINOR
    for name in set(re.findall(r'"(cu[A-Z]\w+?)(?:_v2)?"', source)):
        assert hasattr(real_driver, name), name


@pytest.mark.skipif(importlib.util.find_spec("cuda") is None, reason="needs the real cuda-python: pip install it")
def test_the_real_cuda_python_without_a_driver_is_a_sentence() -> None:
    try:
        driver()
    except Unavailable:
        with pytest.raises(
            Unavailable, match="CUDA does not start by cuda-python: cudaSetDevice gives cudaErrorInsufficientDriver"
        ):
            open_memory()
    else:
        pytest.skip("there is a driver here")


def test_both_libraries_offer_the_same() -> None:
    offered = {name for name in vars(Memory) if not name.startswith("_")}
    for kind in (PyCuda, CudaPython):
        assert offered <= set(dir(kind)) | {"captures"}


# on a real one


@pytest.fixture
def real() -> Iterator[Memory]:
    try:
        driver()
        yield open_memory()
    except Unavailable as error:
        pytest.skip(f"no device memory here: {error}")


@pytest.mark.gpu
def test_a_real_device_copies_there_and_back_in_a_stream_and_in_a_graph(real: Memory) -> None:
    size = 1 << 24
    with real.active():
        stream, device, sent, back = real.stream(), real.allocate(size), real.pinned(size), real.pinned(size)
        sent[:], back[:] = np.random.default_rng(0).integers(0, 256, size, np.uint8), 0
        start, end = real.event(), real.event()
        real.record(start, stream)
        real.upload(device, sent, stream)
        real.download(back, device, stream)
        real.record(end, stream)
        real.synchronize(stream)
        assert np.array_equal(sent, back)
        assert 0 < real.milliseconds(start, end) < 1000
        free, total = real.free_and_total()
        assert 0 < free <= total - size
        if real.captures:

            def work() -> None:
                real.upload(device, sent, stream)
                real.download(back, device, stream)

            graph = real.capture(stream, work)
            real.synchronize(stream)
            sent[:] = 7
            real.launch(graph, stream)
            real.synchronize(stream)
            assert (back == 7).all()
            real.discard(graph)
        real.free(device)
        for array in (sent, back):
            real.unpin(array)
        real.destroy(stream)
