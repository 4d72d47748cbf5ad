import numpy as np
from numpy.typing import NDArray

INTERFACE: int

def resize(
    image: NDArray[np.uint8],
    size: tuple[int, int],
    interpolation: str,
    window: tuple[int, int, int, int],
) -> NDArray[np.uint8]: ...
