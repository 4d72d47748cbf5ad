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
