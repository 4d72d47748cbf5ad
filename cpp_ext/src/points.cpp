// Python's view of the ops on point clouds: check, release the GIL.
#include "points.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings.hpp"

namespace py = pybind11;
using Floats = py::array_t<float, py::array::c_style>;
using Integers = py::array_t<std::int32_t, py::array::c_style>;

namespace {

void require(bool holds, const char* sentence) {
    if (!holds) throw std::invalid_argument(sentence);
}

contrastrt::Clouds clouds_of(const Floats& points, const char* sentence) {
    require(points.ndim() == 3 && points.shape(2) == 3 && points.shape(1) >= 1 &&
                points.shape(1) <= std::numeric_limits<std::int32_t>::max() - contrastrt::kPointBlock,
            sentence);
    return {points.data(), points.shape(0), points.shape(1)};
}

Integers farthest_points(const Floats& points, std::ptrdiff_t count, std::ptrdiff_t threads, const std::string& kernels) {
    const auto clouds = clouds_of(points, "points must be (clouds, points, 3), at least one point a cloud");
    const auto& table = contrastrt::point_kernels(kernels);
    require(count >= 1, "count must be 1 or more");
    require(threads >= 1, "threads must be 1 or more");
    Integers chosen({clouds.b, count});
    std::int32_t* rows = chosen.mutable_data();
    {
        py::gil_scoped_release released;
        contrastrt::farthest_points(table, clouds, count, threads, rows);
    }
    return chosen;
}

Integers nearest_points(const Floats& points, const Floats& centres, std::ptrdiff_t k, std::ptrdiff_t threads,
                        const std::string& kernels) {
    const auto clouds = clouds_of(points, "points must be (clouds, points, 3), at least one point a cloud");
    const auto places = clouds_of(centres, "centres must be (clouds, centres, 3), at least one centre a cloud");
    const auto& table = contrastrt::point_kernels(kernels);
    require(clouds.b == places.b, "points and centres must be of as many clouds");
    require(k >= 1, "k must be 1 or more");
    require(threads >= 1, "threads must be 1 or more");
    Integers found({clouds.b, places.n, k});
    std::int32_t* rows = found.mutable_data();
    {
        py::gil_scoped_release released;
        contrastrt::nearest_points(table, clouds, places, k, threads, rows);
    }
    return found;
}

std::vector<std::string> point_kernel_names() {
    std::vector<std::string> names;
    for (const contrastrt::PointKernels* table : contrastrt::all_point_kernels()) names.emplace_back(table->name);
    return names;
}

}  // namespace

void bind_points(py::module_& m) {
    m.def("point_kernels", &point_kernel_names);
    m.def("farthest_points", &farthest_points, py::arg("points").noconvert(), py::arg("count"), py::arg("threads"),
          py::arg("kernels"));
    m.def("nearest_points", &nearest_points, py::arg("points").noconvert(), py::arg("centres").noconvert(), py::arg("k"),
          py::arg("threads"), py::arg("kernels"));
}
