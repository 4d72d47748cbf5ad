// What each op's file adds to the module.
#pragma once

#include <pybind11/pybind11.h>

void bind_descriptors(pybind11::module_& m);
void bind_resize(pybind11::module_& m);
void bind_hamming(pybind11::module_& m);
void bind_points(pybind11::module_& m);
