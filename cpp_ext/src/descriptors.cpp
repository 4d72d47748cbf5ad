// Python's view of descriptor selection: check, release the GIL.
#include "descriptors.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings.hpp"

namespace py = pybind11;
using contrastrt::Index;
using Floats = py::array_t<float, py::array::c_style>;
using Integers = py::array_t<std::int32_t, py::array::c_style>;
using Flags = py::array_t<bool, py::array::c_style>;

namespace {

void require(bool holds, const char* sentence) {
    if (!holds) throw std::invalid_argument(sentence);
}

contrastrt::Support support_of(const Floats& support) {
    require(support.ndim() == 4 && support.size() > 0, "support must be (classes, images, locations, d), not empty");
    const contrastrt::Support found{support.data(), support.shape(0), support.shape(1), support.shape(2), support.shape(3)};
    require(found.rows() <= std::numeric_limits<std::int32_t>::max(), "a class must have fewer than 2^31 descriptors");
    return found;
}

contrastrt::Queries queries_of(const Floats& query, Index d) {
    require(query.ndim() == 3 && query.shape(1) > 0 && query.shape(2) == d,
            "query must be (images, locations, d), with the support's d and at least one location");
    return {query.data(), query.shape(0), query.shape(1)};
}

contrastrt::Kept kept_of(const std::optional<Integers>& index, const contrastrt::Support& support) {
    if (!index) return {nullptr, support.rows()};
    require(index->ndim() == 2 && index->shape(0) == support.classes && index->shape(1) > 0,
            "index must be (classes, n), with the support's classes and at least one column");
    const contrastrt::Kept found{index->data(), index->shape(1)};
    for (Index c = 0; c < support.classes; ++c)
        for (Index i = 0; i < found.most; ++i) {
            const std::int32_t row = found.of(c)[i];
            require(row >= -1 && row < support.rows(), "index must hold rows of the support, or -1 behind them");
            require(i == 0 || row == -1 || found.of(c)[i - 1] != -1, "index must hold -1 only behind a class's rows");
        }
    return found;
}

std::pair<Integers, Floats> select_descriptors(const Floats& support, Index count, bool other_images, Index threads,
                                               const std::string& kernels) {
    const auto from = support_of(support);
    const auto& table = contrastrt::kernels(kernels);
    require(count >= 1 && count <= from.rows(), "count must be between 1 and the descriptors of a class");
    require(threads >= 1, "threads must be 1 or more");
    Integers index({from.classes, count});
    Floats score({from.classes, from.rows()});
    std::int32_t* rows = index.mutable_data();
    float* values = score.mutable_data();
    {
        py::gil_scoped_release released;
        contrastrt::select_descriptors(table, from, other_images, count, threads, rows, values);
    }
    return {std::move(index), std::move(score)};
}

std::pair<Flags, Floats> select_queries(const Floats& query, const Floats& support, const std::optional<Integers>& index,
                                        Index count, Index threads, const std::string& kernels) {
    const auto from = support_of(support);
    const auto queries = queries_of(query, from.d);
    const auto kept = kept_of(index, from);
    const auto& table = contrastrt::kernels(kernels);
    require(count >= 1 && count <= queries.locations, "count must be between 1 and the descriptors of an image");
    require(threads >= 1, "threads must be 1 or more");
    Flags mask({queries.images, queries.locations});
    Floats margin({queries.images, queries.locations});
    bool* flags = mask.mutable_data();
    float* values = margin.mutable_data();
    {
        py::gil_scoped_release released;
        contrastrt::select_queries(table, queries, from, kept, count, threads, flags, values);
    }
    return {std::move(mask), std::move(margin)};
}

Floats image_to_class(const Floats& query, const Floats& support, const std::optional<Integers>& index,
                      const std::optional<Flags>& mask, Index k, Index threads, const std::string& kernels) {
    const auto from = support_of(support);
    const auto queries = queries_of(query, from.d);
    const auto kept = kept_of(index, from);
    const auto* rounding = contrastrt::rounding_kernels();
    const auto& table = rounding && kernels == rounding->name ? *rounding : contrastrt::kernels(kernels);
    require(!mask || (mask->ndim() == 2 && mask->shape(0) == queries.images && mask->shape(1) == queries.locations),
            "mask must be (images, locations) of the query");
    require(k >= 1 && k <= contrastrt::kMostNearest, "k must be between 1 and 64");
    require(threads >= 1, "threads must be 1 or more");
    Floats logits({queries.images, from.classes});
    const bool* flags = mask ? mask->data() : nullptr;
    float* values = logits.mutable_data();
    {
        py::gil_scoped_release released;
        contrastrt::image_to_class(table, queries, flags, from, kept, k, threads, values);
    }
    return logits;
}

std::vector<std::string> descriptor_kernels() {
    std::vector<std::string> names;
    for (const contrastrt::Kernels* table : contrastrt::kernels()) names.emplace_back(table->name);
    return names;
}

std::vector<std::string> descriptor_precisions() {
    std::vector<std::string> names{"fp32"};
    if (const contrastrt::Kernels* rounding = contrastrt::rounding_kernels()) names.emplace_back(rounding->name);
    return names;
}

}  // namespace

void bind_descriptors(py::module_& m) {
    m.def("descriptor_kernels", &descriptor_kernels);
    m.def("descriptor_precisions", &descriptor_precisions);
    m.def("select_descriptors", &select_descriptors, py::arg("support").noconvert(), py::arg("count"), py::arg("other_images"),
          py::arg("threads"), py::arg("kernels"));
    m.def("select_queries", &select_queries, py::arg("query").noconvert(), py::arg("support").noconvert(),
          py::arg("index").noconvert(), py::arg("count"), py::arg("threads"), py::arg("kernels"));
    m.def("image_to_class", &image_to_class, py::arg("query").noconvert(), py::arg("support").noconvert(),
          py::arg("index").noconvert(), py::arg("mask").noconvert(), py::arg("k"), py::arg("threads"), py::arg("kernels"));
}
