"""Each native op twice: a NumPy twin here, and C++ where it is built; `backend()` tells which one answers."""

from .backend import backend
from .descriptors import (
    QuerySelection,
    Selection,
    image_to_class,
    image_to_class_numpy,
    select_descriptors,
    select_descriptors_numpy,
    select_queries,
    select_queries_numpy,
)
from .resizing import Window, resize, resize_numpy

__all__ = [
    "QuerySelection",
    "Selection",
    "Window",
    "backend",
    "image_to_class",
    "image_to_class_numpy",
    "resize",
    "resize_numpy",
    "select_descriptors",
    "select_descriptors_numpy",
    "select_queries",
    "select_queries_numpy",
]
