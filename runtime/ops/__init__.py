"""Each native op twice: a NumPy twin here, and C++ where it is built; `backend()` tells which one answers."""

from .backend import backend
from .hamming import hamming_kernels, hamming_range, hamming_range_numpy, hamming_topk, hamming_topk_numpy
from .resizing import Window, resize, resize_numpy

__all__ = [
    "Window",
    "backend",
    "hamming_kernels",
    "hamming_range",
    "hamming_range_numpy",
    "hamming_topk",
    "hamming_topk_numpy",
    "resize",
    "resize_numpy",
]
