// Every kernel of descriptor selection against sums over all pairs in double precision, without Python: for emulated processors and
// sanitizers.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "descriptors.hpp"

using contrastrt::Index;
using contrastrt::Kept;
using contrastrt::Kernels;
using contrastrt::Queries;
using contrastrt::Support;
using Floats = std::vector<float>;
using Rows = std::vector<std::int32_t>;

namespace {

struct Shape {
    Index classes, images, locations, d, asked;
};

std::size_t checks = 0;

std::size_t size(Index n) { return static_cast<std::size_t>(n); }

void expect(bool held, const char* what, const Kernels& kernels, const Shape& shape) {
    ++checks;
    if (held) return;
    std::printf("FAILED: %s, kernels %s, %td classes, %td images, %td locations, d %td\n", what, kernels.name, shape.classes,
                shape.images, shape.locations, shape.d);
    std::exit(1);
}

// Whole numbers from -2 to 2: many equal rows, some zero.
Floats draw(Index n, unsigned seed) {
    std::mt19937 generator(seed);
    Floats values(size(n));
    for (float& value : values) value = static_cast<float>(generator() % 5) - 2.0F;
    return values;
}

bool zero(const float* row, Index d) {
    return std::all_of(row, row + d, [](float x) { return x == 0.0F; });
}

double cosine(const float* a, const float* b, Index d) {
    if (zero(a, d) || zero(b, d)) return 0.0;
    const double products = std::inner_product(a, a + d, b, 0.0);
    return products / std::sqrt(std::inner_product(a, a + d, a, 0.0) * std::inner_product(b, b + d, b, 0.0));
}

// All pairs, as the definition says.
double score(const Support& support, Index c, Index i, bool other_images) {
    const Index rows = support.rows();
    const float* row = support.of(c) + i * support.d;
    double intra = 0.0, inter = 0.0;
    Index others = 0;
    for (Index other = 0; other < support.classes; ++other)
        for (Index j = 0; j < rows; ++j) {
            const double found = cosine(row, support.of(other) + j * support.d, support.d);
            if (other != c) {
                inter += found;
            } else if (other_images ? j / support.locations != i / support.locations : j != i) {
                intra += found;
                ++others;
            }
        }
    if (others) intra /= static_cast<double>(others);
    return support.classes > 1 ? intra - inter / static_cast<double>((support.classes - 1) * rows) : intra;
}

void check_support(const Kernels& kernels, const Shape& shape, const Support& support, bool other_images, Rows& index) {
    const Index rows = support.rows(), count = (rows + 1) / 2;
    Floats found(size(shape.classes * rows));
    index.assign(size(shape.classes * count), 0);
    contrastrt::select_descriptors(kernels, support, other_images, count, 1, index.data(), found.data());
    for (Index c = 0; c < shape.classes; ++c) {
        std::vector<Index> order(size(rows));
        std::iota(order.begin(), order.end(), Index{0});
        const float* scores = found.data() + c * rows;
        std::stable_sort(order.begin(), order.end(), [scores](Index a, Index b) { return scores[a] > scores[b]; });
        std::sort(order.begin(), order.begin() + count);
        expect(std::equal(order.begin(), order.begin() + count, index.begin() + c * count), "the best rows", kernels, shape);
        for (Index i = 0; i < rows; ++i) {
            const bool none = zero(support.of(c) + i * shape.d, shape.d);
            const double exact = none ? -std::numeric_limits<double>::infinity() : score(support, c, i, other_images);
            expect(none ? std::isinf(scores[i]) && scores[i] < 0 : std::abs(scores[i] - exact) < 1e-5, "score", kernels, shape);
        }
    }
    Rows again(index.size());
    Floats twice(found.size());
    contrastrt::select_descriptors(kernels, support, other_images, count, 3, again.data(), twice.data());
    expect(again == index && twice == found, "support on three threads", kernels, shape);
}

void check_queries(const Kernels& kernels, const Shape& shape, const Support& support, const Queries& queries, const Kept& kept) {
    const Index n = queries.images * queries.locations, count = (queries.locations + 1) / 2;
    const auto mask = std::make_unique<bool[]>(size(n)), again = std::make_unique<bool[]>(size(n));
    Floats margin(size(n)), twice(size(n));
    contrastrt::select_queries(kernels, queries, support, kept, count, 1, mask.get(), margin.data());
    contrastrt::select_queries(kernels, queries, support, kept, count, 3, again.get(), twice.data());
    expect(std::equal(mask.get(), mask.get() + n, again.get()) && margin == twice, "queries on three threads", kernels, shape);
    for (Index q = 0; q < n; ++q) {
        const float* row = queries.values + q * shape.d;
        if (zero(row, shape.d)) {
            expect(std::isinf(margin[size(q)]), "margin of a zero row", kernels, shape);
            continue;
        }
        double best = -2.0, sum = 0.0;
        for (Index c = 0; c < shape.classes; ++c) {
            double mean = 0.0;
            for (Index i = 0; i < kept.count(c); ++i)
                mean += cosine(row, support.of(c) + (kept.index ? kept.of(c)[i] : i) * shape.d, shape.d);
            mean /= static_cast<double>(kept.count(c));
            best = std::max(best, mean);
            sum += mean;
        }
        const double exact = shape.classes > 1 ? best - (sum - best) / static_cast<double>(shape.classes - 1) : best;
        expect(std::abs(margin[size(q)] - exact) < 1e-5, "margin", kernels, shape);
    }
    for (Index image = 0; image < queries.images; ++image)
        expect(std::count(mask.get() + image * queries.locations, mask.get() + (image + 1) * queries.locations, true) == count,
               "how many queries are kept", kernels, shape);

    for (const Index k : {Index{1}, Index{3}, Index{7}}) {
        Floats logits(size(queries.images * shape.classes)), other(logits.size());
        contrastrt::image_to_class(kernels, queries, mask.get(), support, kept, k, 1, logits.data());
        contrastrt::image_to_class(kernels, queries, mask.get(), support, kept, k, 3, other.data());
        expect(logits == other, "logits on three threads", kernels, shape);
        for (Index image = 0; image < queries.images; ++image)
            for (Index c = 0; c < shape.classes; ++c) {
                double exact = 0.0;
                for (Index q = image * queries.locations; q < (image + 1) * queries.locations; ++q) {
                    if (!mask[size(q)]) continue;
                    std::vector<double> near;
                    for (Index i = 0; i < kept.count(c); ++i)
                        near.push_back(cosine(queries.values + q * shape.d,
                                              support.of(c) + (kept.index ? kept.of(c)[i] : i) * shape.d, shape.d));
                    std::sort(near.rbegin(), near.rend());
                    near.resize(std::min(near.size(), size(k)));
                    exact = std::accumulate(near.begin(), near.end(), exact);
                }
                expect(std::abs(logits[size(image * shape.classes + c)] - exact) < 1e-4, "logits", kernels, shape);
            }
    }
}

void check(const Kernels& kernels, const Shape& shape) {
    const Floats values = draw(shape.classes * shape.images * shape.locations * shape.d, 1);
    const Floats asked = draw(shape.asked * shape.locations * shape.d, 2);
    const Support support{values.data(), shape.classes, shape.images, shape.locations, shape.d};
    const Queries queries{asked.data(), shape.asked, shape.locations};
    Rows index;
    check_support(kernels, shape, support, true, index);
    check_support(kernels, shape, support, false, index);
    check_queries(kernels, shape, support, queries, {nullptr, support.rows()});
    check_queries(kernels, shape, support, queries, {index.data(), (support.rows() + 1) / 2});
}

void refuses_what_is_no_number(const Kernels& kernels) {
    const Shape shape{2, 1, 5, 19, 1};
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1e20F}) {
        Floats values = draw(2 * 5 * 19, 3);
        values[100] = bad;
        Rows index(2);
        Floats found(10);
        bool refused = false;
        try {
            contrastrt::select_descriptors(kernels, {values.data(), 2, 1, 5, 19}, false, 1, 2, index.data(), found.data());
        } catch (const std::invalid_argument&) {
            refused = true;
        }
        expect(refused, "a value that is no number", kernels, shape);
    }
}

// Calls share nothing: several threads of the caller, each with a second one of its own, which these sizes are just worth.
void called_from_several_threads(const Kernels& kernels) {
    constexpr Index rows = 882, d = 1600, kept = 20;
    const Shape shape{3, 2, 441, d, 2};
    const Floats values = draw(3 * rows * d, 4), asked = draw(2 * 441 * d, 5);
    std::vector<Floats> logits(4, Floats(6));
    std::vector<std::thread> callers;
    for (Floats& to : logits)
        callers.emplace_back([&values, &asked, &kernels, &to] {
            const Support support{values.data(), 3, 2, 441, d};
            Rows index(3 * kept);
            Floats found(3 * rows);
            contrastrt::select_descriptors(kernels, support, false, kept, 2, index.data(), found.data());
            contrastrt::image_to_class(kernels, {asked.data(), 2, 441}, nullptr, support, {index.data(), kept}, 3, 2, to.data());
        });
    for (std::thread& caller : callers) caller.join();
    for (const Floats& found : logits) expect(found == logits.front(), "calls from several threads", kernels, shape);
}

}  // namespace

int main() {
    for (const Kernels* kernels : contrastrt::kernels()) {
        for (const Shape& shape : {Shape{1, 1, 1, 1, 1}, {1, 1, 9, 5, 2}, {2, 1, 1, 16, 1}, {3, 2, 13, 19, 2}, {5, 1, 25, 64, 3},
                                   {2, 3, 33, 100, 1}, {4, 1, 70, 33, 2}})
            check(*kernels, shape);
        refuses_what_is_no_number(*kernels);
        called_from_several_threads(*kernels);
        std::printf("descriptors, %s: all equal\n", kernels->name);
    }
    std::printf("%zu checks\n", checks);
}
