// The module; each op checks its arguments and releases the GIL in a file of its own.
#include "bindings.hpp"

PYBIND11_MODULE(_ops, m, pybind11::mod_gil_not_used()) {
    m.doc() = "Native ops; each has a NumPy twin in the runtime's ops.";
    m.attr("INTERFACE") = 4;
    m.attr("COMPILER") = CONTRASTRT_COMPILER;
    bind_descriptors(m);
    bind_resize(m);
    bind_hamming(m);
    bind_points(m);
}
