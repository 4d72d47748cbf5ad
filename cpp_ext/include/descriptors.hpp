// Task-aware selection of local descriptors and the image-to-class score (TCDSNet, arXiv 2408.05953). No Python here.
//
// Support is (classes, rows, d), its rows the descriptors of the class's images one after the other; queries are (images,
// locations, d). Cosines of unit vectors are bilinear: a mean of cosines is one dot product with a mean of unit vectors, so that
// no matrix of similarities is formed. The nearest neighbours need every similarity, but only the k largest are held.
//
// All sums have a fixed order, whatever the number of threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "descriptor_kernels.hpp"
#include "team.hpp"

namespace contrastrt {

using Index = std::ptrdiff_t;

struct Support {
    const float* values;
    Index classes, images, locations, d;

    Index rows() const { return images * locations; }
    const float* of(Index c) const { return values + c * rows() * d; }
};

struct Queries {
    const float* values;
    Index images, locations;
};

// Rows of each class that were kept: (classes, most), -1 behind the last; all rows where `index` is null.
struct Kept {
    const std::int32_t* index;
    Index most;

    const std::int32_t* of(Index c) const { return index ? index + c * most : nullptr; }
    Index count(Index c) const { return index ? std::find(of(c), of(c) + most, -1) - of(c) : most; }
};

// What this compiler made and this processor runs, the fastest first.
inline std::vector<const Kernels*> kernels() {
    std::vector<const Kernels*> found;
    const auto add = [&found](const Kernels* table, bool runs) {
        if (table && runs) found.push_back(table);
    };
#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
    add(avx512_kernels(), __builtin_cpu_supports("avx512f"));
    add(avx2_kernels(), __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
#endif
    add(neon_kernels(), true);
    add(portable_kernels(), true);
    return found;
}

// Kernels that round the image-to-class score's factors to bfloat16, which no one gets who does not ask; null where there are none.
inline const Kernels* rounding_kernels() {
#if defined(__x86_64__) && defined(__GNUC__)
    if (bf16_kernels() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16")) return bf16_kernels();
#endif
    return nullptr;
}

// By name; the first where none is given.
inline const Kernels& kernels(const std::string& name) {
    const auto all = kernels();
    std::string known;
    for (const Kernels* table : all) {
        if (name.empty() || name == table->name) return *table;
        known += std::string(known.empty() ? "" : ", ") + table->name;
    }
    throw std::invalid_argument("kernels " + name + " were given; this machine must run one of " + known);
}

// Starting a thread takes as long as some 2^21 steps of reading and adding.
inline Index crew(Index threads, Index steps) { return std::clamp<Index>(std::min(threads, steps >> 21), 1, 256); }

inline void require_finite(const std::atomic<bool>& finite, const char* what) {
    if (!finite)
        throw std::invalid_argument(std::string(what) + " must be finite, and no descriptor's norm may be 1e19 or more: "
                                    "NaN, an infinity or too large a number was given");
}

inline void add(const float* from, Index n, float* to) {
    for (Index j = 0; j < n; ++j) to[j] += from[j];
}

// Sums of unit vectors. Each class is cut into the same parts whatever the number of threads, and the parts are added in order.
class UnitSums {
public:
    UnitSums(Index classes, Index d) : classes_(classes), d_(d), parts_(size(classes * kParts * d), 0.0F) {}

    // inverse(c, i) is where the inverse norm of row i of class c's chosen rows goes.
    template <class Inverse>
    void fill(const Kernels& kernels, Team& team, const Support& support, const Kept& kept, Inverse inverse,
              std::atomic<bool>& finite) {
        team.run(classes_ * kParts, [&](Index task, Index) {
            const Index c = task / kParts, part = task % kParts, n = kept.count(c);
            const Index begin = n * part / kParts, end = n * (part + 1) / kParts;
            if (begin == end) return;
            const std::int32_t* index = kept.of(c);
            const float* rows = support.of(c) + (index ? 0 : begin * d_);
            if (!kernels.normalise(rows, index ? index + begin : nullptr, end - begin, d_, inverse(c, begin), at(task)))
                finite = false;
        });
        for (Index c = 0; c < classes_; ++c)
            for (Index part = 1; part < kParts; ++part) add(at(c * kParts + part), d_, at(c * kParts));
    }

    const float* of(Index c) const { return parts_.data() + c * kParts * d_; }

private:
    static constexpr Index kParts = 8;
    static std::size_t size(Index n) { return static_cast<std::size_t>(n); }
    float* at(Index part) { return parts_.data() + part * d_; }

    Index classes_, d_;
    std::vector<float> parts_;
};

// Floats as integers of the same order; -0 is 0.
inline std::int32_t key(float x) {
    std::int32_t bits;
    x += 0.0F;
    std::memcpy(&bits, &x, sizeof bits);
    return bits < 0 ? bits ^ 0x7fffffff : bits;
}

// What is taken: keys above `least`, and the first `ties` of those that equal it.
struct Bound {
    std::int32_t least;
    Index ties;

    bool takes(std::int32_t key) { return key > least || (key == least && ties > 0 && ties-- > 0); }
};

// The bound that takes the `count` largest of n values, found bit by bit; keys (n) receives their keys.
inline Bound bound(const Kernels& kernels, const float* values, Index n, Index count, std::int32_t* keys) {
    for (Index i = 0; i < n; ++i) keys[i] = key(values[i]);
    std::int64_t least = std::numeric_limits<std::int32_t>::min();
    for (std::int64_t step = std::int64_t{1} << 31; step > 0; step >>= 1) {
        const std::int64_t tried = least + step;
        if (tried > std::numeric_limits<std::int32_t>::max()) continue;
        const Index found = kernels.at_least(keys, n, static_cast<std::int32_t>(tried));
        if (found == count) return {static_cast<std::int32_t>(tried - 1), 0};
        if (found > count) least = tried;
    }
    const auto last = static_cast<std::int32_t>(least);  // no float has the largest key of all
    return {last, count - kernels.at_least(keys, n, last + 1)};
}

// The contrastive score of every support descriptor, and the `count` best rows of each class in ascending order.
//
// score(i) = mean cosine to the others of its class - mean cosine to those of the other classes
//          = u_i . w - 1 / (m - 1),  w = s_c / (m - 1) - (t - s_c) / ((C - 1) m)
// with u unit vectors, s_c their sum over class c, t over all classes, m rows a class. With `other_images` the first mean leaves
// out the descriptor's own image: s_c less the image's sum, over m - locations. A mean of nothing is 0; a zero descriptor scores
// minus infinity. score (classes, rows), index (classes, count).
inline void select_descriptors(const Kernels& kernels, const Support& support, bool other_images, Index count, Index threads,
                               std::int32_t* index, float* score) {
    const Index rows = support.rows(), d = support.d, classes = support.classes;
    const Index own = other_images ? support.locations : 1, others = rows - own, foreign = (classes - 1) * rows;
    Team team(crew(threads, classes * rows * d));
    std::atomic<bool> finite{true};
    UnitSums sums(classes, d);
    sums.fill(kernels, team, support, {nullptr, rows}, [&](Index c, Index i) { return score + c * rows + i; }, finite);
    require_finite(finite, "support");

    std::vector<float> total(static_cast<std::size_t>(d), 0.0F);
    for (Index c = 0; c < classes; ++c) add(sums.of(c), d, total.data());
    std::vector<float> weights(static_cast<std::size_t>(classes * support.images * d));
    team.run(classes * support.images, [&](Index task, Index) {
        const Index c = task / support.images;
        const float* class_sum = sums.of(c);
        float* w = weights.data() + task * d;
        std::fill(w, w + d, 0.0F);
        float inverse[kChunk];
        if (other_images)
            for (Index i = 0; i < support.locations; i += kChunk)
                kernels.normalise(support.values + (task * support.locations + i) * d, nullptr,
                                  std::min(kChunk, support.locations - i), d, inverse, w);
        for (Index j = 0; j < d; ++j) {
            const float intra = others > 0 ? (class_sum[j] - w[j]) / static_cast<float>(others) : 0.0F;
            const float inter = foreign > 0 ? (total[static_cast<std::size_t>(j)] - class_sum[j]) / static_cast<float>(foreign) : 0.0F;
            w[j] = intra - inter;
        }
    });
    const float itself = !other_images && others > 0 ? 1.0F / static_cast<float>(others) : 0.0F;
    const Index chunks = (support.locations + kChunk - 1) / kChunk;
    team.run(classes * support.images * chunks, [&](Index task, Index) {
        const Index image = task / chunks, begin = task % chunks * kChunk, n = std::min(kChunk, support.locations - begin);
        float* to = score + image * support.locations + begin;
        float found[kChunk], inverse[kChunk];
        kernels.project(support.values + (image * support.locations + begin) * d, n, d, weights.data() + image * d, 1, found, inverse);
        for (Index i = 0; i < n; ++i)
            to[i] = inverse[i] > 0.0F ? found[i] - itself : -std::numeric_limits<float>::infinity();
    });
    std::vector<std::int32_t> keys(static_cast<std::size_t>(classes * rows));
    team.run(classes, [&](Index c, Index) {
        std::int32_t* key = keys.data() + c * rows;
        std::int32_t* to = index + c * count;
        Bound best = bound(kernels, score + c * rows, rows, count, key);
        Index taken = 0;
        for (Index i = 0; taken < count; ++i) {
            to[taken] = static_cast<std::int32_t>(i);
            taken += best.takes(key[i]) ? 1 : 0;
        }
    });
}

// How much more relevant a query descriptor is to its best class than to the others, and the `count` best of each image.
//
// r(i, c) = mean cosine to the kept descriptors of class c = u_i . m_c; margin(i) = max_c r - mean of r over the other classes, or r
// where there is one class; minus infinity for a zero descriptor. mask and margin (images, locations).
inline void select_queries(const Kernels& kernels, const Queries& queries, const Support& support, const Kept& kept, Index count,
                           Index threads, bool* mask, float* margin) {
    const Index d = support.d, classes = support.classes, locations = queries.locations;
    Team team(crew(threads, queries.images * locations * d));
    std::atomic<bool> finite{true};
    std::vector<float> inverse(static_cast<std::size_t>(classes * kept.most));
    UnitSums sums(classes, d);
    sums.fill(kernels, team, support, kept, [&](Index c, Index i) { return inverse.data() + c * kept.most + i; }, finite);
    require_finite(finite, "support");
    std::vector<float> means(static_cast<std::size_t>(classes * d));
    for (Index c = 0; c < classes; ++c) {
        const auto n = static_cast<float>(std::max<Index>(kept.count(c), 1));
        for (Index j = 0; j < d; ++j) means[static_cast<std::size_t>(c * d + j)] = sums.of(c)[j] / n;
    }
    const auto member_size = static_cast<std::size_t>(kChunk * classes);
    std::vector<float> scratch(member_size * static_cast<std::size_t>(team.size()));
    std::vector<std::int32_t> all_keys(static_cast<std::size_t>(locations * team.size()));
    team.run(queries.images, [&](Index image, Index member) {
        float* relevance = scratch.data() + static_cast<std::size_t>(member) * member_size;
        float* to = margin + image * locations;
        float inverses[kChunk];
        for (Index begin = 0; begin < locations; begin += kChunk) {
            const Index n = std::min(kChunk, locations - begin);
            if (!kernels.project(queries.values + (image * locations + begin) * d, n, d, means.data(), classes, relevance, inverses))
                finite = false;
            kernels.margins(relevance, n, classes, inverses, to + begin);
        }
        std::int32_t* keys = all_keys.data() + member * locations;
        bool* taken = mask + image * locations;
        Bound best = bound(kernels, to, locations, count, keys);
        if (best.ties == 0)
            for (Index i = 0; i < locations; ++i) taken[i] = keys[i] > best.least;
        else
            for (Index i = 0; i < locations; ++i) taken[i] = best.takes(keys[i]);
    });
    require_finite(finite, "query");
}

// logits (images, classes): the sum over an image's unmasked descriptors of the k largest cosines to the kept descriptors of each
// class; of all of them where a class has fewer. Descriptors that are masked or not kept are not read.
inline void image_to_class(const Kernels& kernels, const Queries& queries, const bool* mask, const Support& support,
                           const Kept& kept, Index k, Index threads, float* logits) {
    constexpr Index enough = 192;  // descriptors of one task, so that its last tile counts for little
    const Index d = support.d, classes = support.classes, locations = queries.locations;
    const Index together = (enough + locations - 1) / locations, groups = (queries.images + together - 1) / together;
    Team team(crew(threads, queries.images * locations * classes * kept.most * d / 8));
    std::atomic<bool> finite{true};
    std::vector<Index> counts(static_cast<std::size_t>(classes));
    for (Index c = 0; c < classes; ++c) counts[static_cast<std::size_t>(c)] = kept.count(c);
    std::vector<float> inverse(static_cast<std::size_t>(classes * kept.most));
    const Index chunks = (kept.most + kChunk - 1) / kChunk;
    team.run(classes * chunks, [&](Index task, Index) {
        const Index c = task / chunks, begin = task % chunks * kChunk;
        const Index n = std::min(kChunk, counts[static_cast<std::size_t>(c)] - begin);
        if (n <= 0) return;
        const std::int32_t* index = kept.of(c);
        const float* rows = support.of(c) + (index ? 0 : begin * d);
        if (!kernels.normalise(rows, index ? index + begin : nullptr, n, d, inverse.data() + c * kept.most + begin, nullptr))
            finite = false;
    });
    require_finite(finite, "support");

    std::fill(logits, logits + queries.images * classes, 0.0F);
    const Index shares = groups < 4 * team.size() ? classes : 1;  // few images: their classes are separate tasks
    std::vector<float> tiles(static_cast<std::size_t>(team.size() * kernels.width * d));
    team.run(groups * shares, [&](Index task, Index member) {
        float* tile = tiles.data() + member * kernels.width * d;
        const float* rows[kMostWidth];
        Index owner[kMostWidth], used = 0;
        const Index first = shares > 1 ? task % classes : 0, last = shares > 1 ? first + 1 : classes;
        const auto flush = [&] {
            if (used == 0) return;
            if (!kernels.pack(rows, used, d, tile)) finite = false;
            for (Index c = first; c < last; ++c) {
                const Index n = counts[static_cast<std::size_t>(c)];
                float found[kMostWidth];
                if (n == 0) continue;
                kernels.nearest(tile, used, support.of(c), kept.of(c), inverse.data() + c * kept.most, n, d, std::min(k, n), found);
                for (Index q = 0; q < used; ++q) logits[owner[q] * classes + c] += found[q];
            }
            used = 0;
        };
        const Index begin = task / shares * together, end = std::min(begin + together, queries.images);
        for (Index image = begin; image < end; ++image)
            for (Index i = image * locations; i < (image + 1) * locations; ++i) {
                if (mask && !mask[i]) continue;
                rows[used] = queries.values + i * d;
                owner[used++] = image;
                if (used == kernels.width) flush();
            }
        flush();
    });
    require_finite(finite, "query");
}

}  // namespace contrastrt
