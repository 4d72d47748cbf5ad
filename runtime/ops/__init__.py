"""Each native op twice: a NumPy twin here, and C++ where it is built; `backend()` tells which one answers."""

from .backend import backend
from .resizing import Window, resize, resize_numpy

__all__ = ["Window", "backend", "resize", "resize_numpy"]
