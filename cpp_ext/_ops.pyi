import numpy as np
from numpy.typing import NDArray

INTERFACE: int
COMPILER: str

def resize(
    image: NDArray[np.uint8],
    size: tuple[int, int],
    interpolation: str,
    window: tuple[int, int, int, int],
) -> NDArray[np.uint8]: ...
def hamming_kernels() -> list[str]: ...
def hamming_topk(
    codes: NDArray[np.uint8], queries: NDArray[np.uint8], k: int, threads: int, kernel: str | None
) -> tuple[NDArray[np.int32], NDArray[np.int64]]: ...
def hamming_range(
    codes: NDArray[np.uint8], queries: NDArray[np.uint8], radius: int, threads: int, kernel: str | None
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]: ...
def hamming_read(codes: NDArray[np.uint8], threads: int, kernel: str | None) -> int: ...

class HammingTables:
    def __init__(self, codes: NDArray[np.uint8], substrings: int, threads: int) -> None: ...
    @property
    def substrings(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    def topk(
        self, codes: NDArray[np.uint8], queries: NDArray[np.uint8], k: int, budget: float, threads: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], int]: ...
    def range(
        self, codes: NDArray[np.uint8], queries: NDArray[np.uint8], radius: int, budget: float, threads: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], int]: ...
    def costs(self, queries: NDArray[np.uint8], k: int, budget: float) -> NDArray[np.float64]: ...

def descriptor_kernels() -> list[str]: ...
def descriptor_precisions() -> list[str]: ...
def select_descriptors(
    support: NDArray[np.float32], count: int, other_images: bool, threads: int, kernels: str
) -> tuple[NDArray[np.int32], NDArray[np.float32]]: ...
def select_queries(
    query: NDArray[np.float32],
    support: NDArray[np.float32],
    index: NDArray[np.int32] | None,
    count: int,
    threads: int,
    kernels: str,
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]: ...
def image_to_class(
    query: NDArray[np.float32],
    support: NDArray[np.float32],
    index: NDArray[np.int32] | None,
    mask: NDArray[np.bool_] | None,
    k: int,
    threads: int,
    kernels: str,
) -> NDArray[np.float32]: ...
