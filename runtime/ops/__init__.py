"""Each native op twice: a NumPy twin here, and C++ where it is built; `backend()` tells which one answers."""

from .backend import backend, usable_threads
from .descriptors import (
    QuerySelection,
    Selection,
    descriptor_precisions,
    image_to_class,
    image_to_class_numpy,
    select_descriptors,
    select_descriptors_numpy,
    select_queries,
    select_queries_numpy,
)
from .hamming import (
    MOST_BYTES,
    hamming_kernels,
    hamming_range,
    hamming_range_numpy,
    hamming_read,
    hamming_read_numpy,
    hamming_topk,
    hamming_topk_numpy,
)
from .points import farthest_points, farthest_points_numpy, nearest_points, nearest_points_numpy
from .resizing import Window, resize, resize_numpy
from .tables import HammingTables, HammingTablesNumpy

__all__ = [
    "MOST_BYTES",
    "HammingTables",
    "HammingTablesNumpy",
    "QuerySelection",
    "Selection",
    "Window",
    "backend",
    "descriptor_precisions",
    "farthest_points",
    "farthest_points_numpy",
    "hamming_kernels",
    "hamming_range",
    "hamming_range_numpy",
    "hamming_read",
    "hamming_read_numpy",
    "hamming_topk",
    "hamming_topk_numpy",
    "image_to_class",
    "image_to_class_numpy",
    "nearest_points",
    "nearest_points_numpy",
    "resize",
    "resize_numpy",
    "select_descriptors",
    "select_descriptors_numpy",
    "select_queries",
    "select_queries_numpy",
    "usable_threads",
]
