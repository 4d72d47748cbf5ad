// Python's view of the antialiased resize: check, release the GIL.
#include "resize.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <array>
#include <stdexcept>
#include <string>

#include "bindings.hpp"

namespace py = pybind11;
using Pixels = py::array_t<std::uint8_t, py::array::c_style>;

namespace {

Pixels resize(const Pixels& image, std::array<py::ssize_t, 2> size, const std::string& interpolation,
              std::array<py::ssize_t, 4> window) {
    if (image.ndim() != 3) throw std::invalid_argument("resize takes an image of shape (height, width, channels)");
    const auto [height, width] = size;
    const auto [top, left, rows, columns] = window;
    if (image.size() == 0 || height < 1 || width < 1) throw std::invalid_argument("resize takes sizes of at least 1");
    if (top < 0 || left < 0 || rows < 1 || columns < 1 || rows > height - top || columns > width - left)
        throw std::invalid_argument("the window must lie inside the resized image");
    if (interpolation != "bicubic" && interpolation != "bilinear")
        throw std::invalid_argument("interpolation must be bicubic or bilinear, got " + interpolation);
    const auto filter = interpolation == "bicubic" ? contrastrt::Filter::bicubic : contrastrt::Filter::bilinear;
    Pixels out({rows, columns, image.shape(2)});
    const std::uint8_t* from = image.data();
    std::uint8_t* to = out.mutable_data();
    {
        py::gil_scoped_release released;
        contrastrt::resize(from, image.shape(0), image.shape(1), image.shape(2), height, width, filter,
                           {top, left, rows, columns}, to);
    }
    return out;
}

}  // namespace

void bind_resize(py::module_& m) {
    m.def("resize", &resize, py::arg("image").noconvert(), py::arg("size"), py::arg("interpolation"), py::arg("window"));
}
