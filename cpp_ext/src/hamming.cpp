// Python's view of the Hamming search: check, release the GIL.
#include "hamming.hpp"
#include "hamming_tables.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "bindings.hpp"

namespace py = pybind11;
namespace hamming = contrastrt::hamming;
using Rows = py::array_t<std::uint8_t, py::array::c_style>;
using Distances = py::array_t<std::int32_t>;
using Places = py::array_t<std::int64_t>;

namespace {

constexpr py::ssize_t kMostBytes = 512;

hamming::Codes codes_of(const Rows& rows) {
    if (rows.ndim() != 2 || rows.shape(1) < 1 || rows.shape(1) > kMostBytes)
        throw std::invalid_argument("codes must be rows of 1 to 512 bytes, of shape (n, bits / 8)");
    return {rows.data(), static_cast<std::size_t>(rows.shape(0)), static_cast<std::size_t>(rows.shape(1))};
}

void check_widths(const hamming::Codes& codes, const hamming::Codes& queries) {
    if (codes.width != queries.width) throw std::invalid_argument("codes and queries must have the same number of bytes");
}

std::size_t checked_threads(py::ssize_t threads) {
    if (threads < 1) throw std::invalid_argument("threads must be 1 or more");
    return static_cast<std::size_t>(std::min<py::ssize_t>(threads, 1024));
}

const hamming::Kernel& kernel_of(const std::optional<std::string>& name) {
    for (const hamming::Kernel& kernel : hamming::kernels())
        if (!name || *name == kernel.name) return kernel;
    throw std::invalid_argument("kernel must be one of hamming_kernels(), got " + *name);
}

std::vector<std::string> hamming_kernels() {
    std::vector<std::string> names;
    for (const hamming::Kernel& kernel : hamming::kernels()) names.emplace_back(kernel.name);
    return names;
}

// (queries, k) each.
std::tuple<Distances, Places> rectangular(const std::vector<std::vector<hamming::Hit>>& found, std::size_t k) {
    const auto rows = static_cast<py::ssize_t>(found.size()), columns = static_cast<py::ssize_t>(k);
    Distances distances({rows, columns});
    Places places({rows, columns});
    std::int32_t* distance = distances.mutable_data();
    std::int64_t* place = places.mutable_data();
    for (const auto& hits : found)
        for (const hamming::Hit hit : hits) {
            *distance++ = static_cast<std::int32_t>(hamming::distance_of(hit));
            *place++ = hamming::row_of(hit);
        }
    return {std::move(distances), std::move(places)};
}

// Where each query's part begins, then all parts one after the other.
std::tuple<Places, Distances, Places> ragged(const std::vector<std::vector<hamming::Hit>>& found) {
    Places offsets(static_cast<py::ssize_t>(found.size()) + 1);
    std::int64_t* offset = offsets.mutable_data();
    *offset = 0;
    for (const auto& hits : found) {
        offset[1] = offset[0] + static_cast<std::int64_t>(hits.size());
        ++offset;
    }
    Distances distances(*offset);
    Places places(*offset);
    std::int32_t* distance = distances.mutable_data();
    std::int64_t* place = places.mutable_data();
    for (const auto& hits : found)
        for (const hamming::Hit hit : hits) {
            *distance++ = static_cast<std::int32_t>(hamming::distance_of(hit));
            *place++ = hamming::row_of(hit);
        }
    return {std::move(offsets), std::move(distances), std::move(places)};
}

std::uint32_t bound_of(py::ssize_t radius, const hamming::Codes& codes) {
    if (radius < 0) throw std::invalid_argument("radius must be 0 or more");
    return static_cast<std::uint32_t>(std::min(static_cast<std::size_t>(radius), codes.width * 8) + 1);
}

std::size_t checked_k(py::ssize_t k, std::size_t n) {
    if (k < 1) throw std::invalid_argument("k must be 1 or more");
    return std::min(static_cast<std::size_t>(k), n);
}

std::tuple<Distances, Places> hamming_topk(const Rows& rows, const Rows& query_rows, py::ssize_t k, py::ssize_t threads,
                                           const std::optional<std::string>& kernel) {
    const hamming::Codes codes = codes_of(rows), queries = codes_of(query_rows);
    check_widths(codes, queries);
    const std::size_t most = checked_k(k, codes.n), workers = checked_threads(threads);
    const hamming::Kernel& chosen = kernel_of(kernel);
    const hamming::Asked asked{most, static_cast<std::uint32_t>(codes.width * 8) + 1};
    std::vector<std::vector<hamming::Hit>> found;
    {
        py::gil_scoped_release released;
        found = hamming::search(chosen, codes, queries, asked, workers);
    }
    return rectangular(found, most);
}

std::tuple<Places, Distances, Places> hamming_range(const Rows& rows, const Rows& query_rows, py::ssize_t radius,
                                                    py::ssize_t threads, const std::optional<std::string>& kernel) {
    const hamming::Codes codes = codes_of(rows), queries = codes_of(query_rows);
    check_widths(codes, queries);
    const hamming::Asked asked{hamming::kUnbounded, bound_of(radius, codes)};
    const std::size_t workers = checked_threads(threads);
    const hamming::Kernel& chosen = kernel_of(kernel);
    std::vector<std::vector<hamming::Hit>> found;
    {
        py::gil_scoped_release released;
        found = hamming::search(chosen, codes, queries, asked, workers);
    }
    return ragged(found);
}

std::uint64_t hamming_read(const Rows& rows, py::ssize_t threads, const std::optional<std::string>& kernel) {
    const hamming::Codes codes = codes_of(rows);
    const std::size_t workers = checked_threads(threads);
    const hamming::Kernel& chosen = kernel_of(kernel);
    py::gil_scoped_release released;
    return hamming::read(chosen, codes.rows, codes.n * codes.width, workers);
}

std::unique_ptr<hamming::Tables> make_tables(const Rows& rows, py::ssize_t substrings, py::ssize_t threads) {
    const hamming::Codes codes = codes_of(rows);
    if (substrings < 0) throw std::invalid_argument("substrings must be 1 or more, or 0 for the usual number");
    const std::size_t workers = checked_threads(threads);
    py::gil_scoped_release released;
    return std::make_unique<hamming::Tables>(codes, static_cast<std::size_t>(substrings), workers);
}

void check_tables(const hamming::Tables& tables, const hamming::Codes& codes) {
    if (tables.n() != codes.n || tables.width() != codes.width)
        throw std::invalid_argument("codes must be those that the tables were made from");
}

std::tuple<Distances, Places, std::size_t> tables_topk(const hamming::Tables& tables, const Rows& rows, const Rows& query_rows,
                                                       py::ssize_t k, double budget, py::ssize_t threads) {
    const hamming::Codes codes = codes_of(rows), queries = codes_of(query_rows);
    check_widths(codes, queries);
    check_tables(tables, codes);
    const std::size_t most = checked_k(k, codes.n), workers = checked_threads(threads);
    const hamming::Asked asked{most, static_cast<std::uint32_t>(codes.width * 8) + 1};
    std::size_t scanned = 0;
    std::vector<std::vector<hamming::Hit>> found;
    {
        py::gil_scoped_release released;
        found = hamming::search(hamming::kernels().front(), tables, codes, queries, asked, workers, budget, scanned);
    }
    auto [distances, places] = rectangular(found, most);
    return {std::move(distances), std::move(places), scanned};
}

std::tuple<Places, Distances, Places, std::size_t> tables_range(const hamming::Tables& tables, const Rows& rows,
                                                                const Rows& query_rows, py::ssize_t radius, double budget,
                                                                py::ssize_t threads) {
    const hamming::Codes codes = codes_of(rows), queries = codes_of(query_rows);
    check_widths(codes, queries);
    check_tables(tables, codes);
    const hamming::Asked asked{hamming::kUnbounded, bound_of(radius, codes)};
    const std::size_t workers = checked_threads(threads);
    std::size_t scanned = 0;
    std::vector<std::vector<hamming::Hit>> found;
    {
        py::gil_scoped_release released;
        found = hamming::search(hamming::kernels().front(), tables, codes, queries, asked, workers, budget, scanned);
    }
    auto [offsets, distances, places] = ragged(found);
    return {std::move(offsets), std::move(distances), std::move(places), scanned};
}

// What each query costs in nanoseconds, about; infinity where it is more than the budget.
py::array_t<double> tables_costs(const hamming::Tables& tables, const Rows& query_rows, py::ssize_t k, double budget) {
    const hamming::Codes queries = codes_of(query_rows);
    if (queries.width != tables.width()) throw std::invalid_argument("queries must have the number of bytes of the tables' codes");
    const std::size_t most = checked_k(k, tables.n());
    py::array_t<double> costs(static_cast<py::ssize_t>(queries.n));
    double* cost = costs.mutable_data();
    {
        py::gil_scoped_release released;
        std::vector<std::uint64_t> query(hamming::words_of(queries.width));
        for (std::size_t i = 0; i < queries.n; ++i) {
            hamming::to_words(queries.row(i), queries.width, query.data());
            hamming::Collector found(most, static_cast<std::uint32_t>(queries.width * 8) + 1, hamming::Order::any);
            if (!tables.search(query.data(), found, budget, cost[i])) cost[i] = std::numeric_limits<double>::infinity();
        }
    }
    return costs;
}

}  // namespace

void bind_hamming(py::module_& m) {
    m.def("hamming_kernels", &hamming_kernels);
    m.def("hamming_topk", &hamming_topk, py::arg("codes").noconvert(), py::arg("queries").noconvert(), py::arg("k"),
          py::arg("threads"), py::arg("kernel"));
    m.def("hamming_range", &hamming_range, py::arg("codes").noconvert(), py::arg("queries").noconvert(), py::arg("radius"),
          py::arg("threads"), py::arg("kernel"));
    m.def("hamming_read", &hamming_read, py::arg("codes").noconvert(), py::arg("threads"), py::arg("kernel"));
    // Local: two copies of the module may live in one process, that of cpp_ext and one shipped beside a copied runtime.
    py::class_<hamming::Tables>(m, "HammingTables", py::module_local())
        .def(py::init(&make_tables), py::arg("codes").noconvert(), py::arg("substrings"), py::arg("threads"))
        .def_property_readonly("substrings", &hamming::Tables::substrings)
        .def_property_readonly("bytes", &hamming::Tables::bytes)
        .def("topk", &tables_topk, py::arg("codes").noconvert(), py::arg("queries").noconvert(), py::arg("k"), py::arg("budget"),
             py::arg("threads"))
        .def("range", &tables_range, py::arg("codes").noconvert(), py::arg("queries").noconvert(), py::arg("radius"),
             py::arg("budget"), py::arg("threads"))
        .def("costs", &tables_costs, py::arg("queries").noconvert(), py::arg("k"), py::arg("budget"));
}
