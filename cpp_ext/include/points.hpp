// Farthest point sampling and nearest points of clouds. No Python here.
//
// A cloud's axes are laid out apart and stay in the nearest cache that holds them; clouds are shared among threads. Results are the
// same bit for bit on any number of threads and with any instruction set.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "point_kernels.hpp"
#include "team.hpp"

namespace contrastrt {

// What this compiler made and this processor runs, the fastest first.
inline std::vector<const PointKernels*> all_point_kernels() {
    std::vector<const PointKernels*> found;
    const auto add = [&found](const PointKernels* table, bool runs) {
        if (table && runs) found.push_back(table);
    };
#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
    add(avx512_point_kernels(), __builtin_cpu_supports("avx512f"));
    add(avx2_point_kernels(), __builtin_cpu_supports("avx2"));
#endif
    add(neon_point_kernels(), true);
    add(portable_point_kernels(), true);
    return found;
}

// By name; the first where none is given.
inline const PointKernels& point_kernels(const std::string& name) {
    const auto all = all_point_kernels();
    std::string known;
    for (const PointKernels* table : all) {
        if (name.empty() || name == table->name) return *table;
        known += std::string(known.empty() ? "" : ", ") + table->name;
    }
    throw std::invalid_argument("kernels " + name + " were given; this machine must run one of " + known);
}

// Clouds (b, n, 3).
struct Clouds {
    const float* values;
    std::ptrdiff_t b, n;

    const float* of(std::ptrdiff_t cloud) const { return values + cloud * n * 3; }
    std::ptrdiff_t padded() const { return (n + kPointBlock - 1) / kPointBlock * kPointBlock; }
};

// What one thread works in: rows of `padded` numbers, each at a multiple of 64 bytes.
class PointScratch {
public:
    explicit PointScratch(const Clouds& clouds)
        : clouds_(clouds), floats_(size(5 * (clouds.padded() + kPointBlock) + kPointBlock)), rows_(size(clouds.n + kPointBlock)) {
        keys_.reserve(size(clouds.n));
    }

    Axes axes() { return {row(0), row(1), row(2), clouds_.n, clouds_.padded()}; }
    float* distances() { return row(3); }
    float* near() { return row(4); }  // this and `rows` have room for kPointBlock more
    std::int32_t* rows() { return rows_.data(); }
    std::vector<std::uint64_t>& keys() { return keys_; }  // has room for n

private:
    static std::size_t size(std::ptrdiff_t n) { return static_cast<std::size_t>(n); }
    float* row(std::ptrdiff_t index) {
        const auto start = reinterpret_cast<std::uintptr_t>(floats_.data());
        return floats_.data() + ((64 - start % 64) % 64) / sizeof(float) + index * (clouds_.padded() + kPointBlock);
    }

    Clouds clouds_;
    std::vector<float> floats_;
    std::vector<std::int32_t> rows_;
    std::vector<std::uint64_t> keys_;
};

// Starting a thread takes as long as some 2^18 distances.
inline std::ptrdiff_t point_crew(std::ptrdiff_t threads, std::ptrdiff_t clouds, double distances) {
    const double worth = std::min(distances / (1 << 18), 256.0);
    return std::clamp<std::ptrdiff_t>(std::min({threads, clouds, static_cast<std::ptrdiff_t>(worth)}), 1, 256);
}

inline void require_numbers(const std::atomic<bool>& finite, const char* what) {
    if (!finite) throw std::invalid_argument(std::string(what) + " must be finite: NaN or an infinity was given");
}

// body(cloud, scratch) for each cloud, on the threads that are worth it.
template <class Body>
void for_each_cloud(const Clouds& clouds, std::ptrdiff_t threads, double distances, Body&& body) {
    Team team(point_crew(threads, clouds.b, distances));
    std::vector<PointScratch> scratch;
    for (std::ptrdiff_t member = 0; member < team.size(); ++member) scratch.emplace_back(clouds);
    team.run(clouds.b, [&](std::ptrdiff_t cloud, std::ptrdiff_t member) { body(cloud, scratch[static_cast<std::size_t>(member)]); });
}

// The mean in whole steps of a power of two, 2^23 to 2^24 of which make the largest coordinate: no order of summation changes it.
inline void centroid(const PointKernels& kernels, const Axes& axes, std::int32_t largest_bits, float* out) {
    float largest;
    std::memcpy(&largest, &largest_bits, sizeof largest);
    int exponent = 0;
    std::frexp(largest, &exponent);
    const float scale = std::ldexp(1.0F, std::min(24 - exponent, 127));
    std::int64_t sums[3];
    kernels.whole_sums(axes, scale, sums);
    for (int a = 0; a < 3; ++a)
        out[a] = static_cast<float>(static_cast<double>(sums[a]) / static_cast<double>(axes.n) / static_cast<double>(scale));
}

// out (b, count): each next point is the one farthest from those before, the first the one farthest from the centroid.
inline void farthest_points(const PointKernels& kernels, const Clouds& clouds, std::ptrdiff_t count, std::ptrdiff_t threads,
                            std::int32_t* out) {
    std::atomic<bool> finite{true};
    const double distances = static_cast<double>(clouds.b * clouds.n) * static_cast<double>(count);
    for_each_cloud(clouds, threads, distances, [&](std::ptrdiff_t cloud, PointScratch& scratch) {
        const Axes axes = scratch.axes();
        float* nearest = scratch.distances();
        const std::int32_t largest = kernels.split(clouds.of(cloud), axes);
        if (largest >= kInfinity) {
            finite = false;
            return;
        }
        const auto forget = [&] {
            std::fill(nearest, nearest + axes.n, std::numeric_limits<float>::infinity());
            std::fill(nearest + axes.n, nearest + axes.padded, -1.0F);
        };
        float centre[3];
        centroid(kernels, axes, largest, centre);
        forget();
        std::int32_t* chosen = out + cloud * count;
        chosen[0] = kernels.update(axes, centre, nearest);
        forget();
        for (std::ptrdiff_t place = 1; place < count; ++place)
            chosen[place] = kernels.update(axes, clouds.of(cloud) + 3 * std::ptrdiff_t{chosen[place - 1]}, nearest);
    });
    require_numbers(finite, "points");
}

// The first k of m candidates in order of distance, of equals the earlier.
inline void order_candidates(const float* near, const std::int32_t* rows, std::ptrdiff_t m, std::ptrdiff_t k, std::int32_t* out,
                             std::vector<std::uint64_t>& keys) {
    keys.resize(static_cast<std::size_t>(m));
    for (std::ptrdiff_t i = 0; i < m; ++i) {
        std::uint32_t bits;  // floats of 0 or more are in the order of their bits
        std::memcpy(&bits, near + i, sizeof bits);
        keys[static_cast<std::size_t>(i)] = std::uint64_t{bits} << 32 | static_cast<std::uint32_t>(rows[i]);
    }
    if (k < m) std::nth_element(keys.begin(), keys.begin() + k, keys.end());
    std::sort(keys.begin(), keys.begin() + k);
    for (std::ptrdiff_t i = 0; i < k; ++i) out[i] = static_cast<std::int32_t>(keys[static_cast<std::size_t>(i)] & 0xFFFFFFFFU);
}

// out (b, g, k): the nearest points of centres (b, g, 3), of equals the lower index; where k exceeds n they repeat.
inline void nearest_points(const PointKernels& kernels, const Clouds& clouds, const Clouds& centres, std::ptrdiff_t k,
                           std::ptrdiff_t threads, std::int32_t* out) {
    std::atomic<bool> finite{true}, finite_centres{true};
    const std::ptrdiff_t kept = std::min(k, clouds.n);
    const double distances = static_cast<double>(clouds.b * clouds.n) * static_cast<double>(centres.n);
    for_each_cloud(clouds, threads, distances, [&](std::ptrdiff_t cloud, PointScratch& scratch) {
        const Axes axes = scratch.axes();
        if (kernels.split(clouds.of(cloud), axes) >= kInfinity) {
            finite = false;
            return;
        }
        const float* centre = centres.of(cloud);
        if (!std::all_of(centre, centre + 3 * centres.n, [](float x) { return std::isfinite(x); })) {
            finite_centres = false;
            return;
        }
        for (std::ptrdiff_t g = 0; g < centres.n; ++g, centre += 3) {
            std::int32_t* found = out + (cloud * centres.n + g) * k;
            const std::ptrdiff_t m = kernels.candidates(axes, centre, kept, scratch.distances(), scratch.rows(), scratch.near());
            if (m <= kMostRanked)
                kernels.rank(scratch.near(), scratch.rows(), m, kept, found);
            else
                order_candidates(scratch.near(), scratch.rows(), m, kept, found, scratch.keys());
            for (std::ptrdiff_t i = kept; i < k; ++i) found[i] = found[i - kept];
        }
    });
    require_numbers(finite, "points");
    require_numbers(finite_centres, "centres");
}

}  // namespace contrastrt
