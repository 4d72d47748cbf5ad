import numpy as np
from numpy.typing import NDArray

INTERFACE: int

def resize(
    image: NDArray[np.uint8],
    size: tuple[int, int],
    interpolation: str,
    window: tuple[int, int, int, int],
) -> NDArray[np.uint8]: ...

def descriptor_kernels() -> list[str]: ...
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
