// The inner loops over point clouds, written once over a vector type V; each src/points_*.cpp gives its own.
//
// Those files are compiled for processors that the loader may not have. Therefore nothing here is shared with other files: no
// standard library, and templates over a V of an anonymous namespace, which no linker merges.
//
// V: `Reg` of `lanes` floats and `Int` of as many int32; all, load, store, sub, mul, add, smaller, larger, largest (a scalar); int_all,
// int_add, int_store, int_smallest; append (the lanes that are at most `bound` to near, their numbers from
// `first` on to rows; how many; up to `lanes` of each are written); keep_larger (where x > best: best = x, at = now);
// where_equal (lane i of `at` where a == b, else the largest int32); add_less, add_at_most (sum + 1 where a < b, a <= b), add_before
// (where a < b, or a == b in a lane behind `lane`); int_iota. `accumulators` of `update` divide kPointBlock / lanes.
#pragma once

#include <math.h>
#include <string.h>

#include "point_kernels.hpp"

#if defined(__GNUC__)
#define CONTRASTRT_UNROLL _Pragma("GCC unroll 32")
#define CONTRASTRT_INLINE inline __attribute__((always_inline))
#else
#define CONTRASTRT_UNROLL
#define CONTRASTRT_INLINE __forceinline
#endif

namespace contrastrt {

template <class V>
struct PointLoops {
    using Reg = typename V::Reg;
    using Int = typename V::Int;
    using Index = std::ptrdiff_t;
    static constexpr Index lanes = V::lanes;

    static std::int32_t split(const float* points, Axes axes) {
        std::int32_t largest = 0;
        for (Index i = 0; i < axes.n; ++i) {
            std::int32_t bits[3];
            memcpy(bits, points + 3 * i, sizeof bits);
            axes.x[i] = points[3 * i];
            axes.y[i] = points[3 * i + 1];
            axes.z[i] = points[3 * i + 2];
            for (const std::int32_t one : bits) {
                const std::int32_t magnitude = one & 0x7FFFFFFF;
                largest = largest > magnitude ? largest : magnitude;
            }
        }
        for (Index i = axes.n; i < axes.padded; ++i) axes.x[i] = axes.y[i] = axes.z[i] = INFINITY;
        return largest;
    }

    static void whole_sums(Axes axes, float scale, std::int64_t* sums) {
        const float* all[3] = {axes.x, axes.y, axes.z};
        for (int a = 0; a < 3; ++a) {
            std::int64_t sum = 0;
            for (Index i = 0; i < axes.n; ++i) sum += static_cast<std::int32_t>(all[a][i] * scale);
            sums[a] = sum;
        }
    }

    static CONTRASTRT_INLINE Reg square(Axes axes, Index i, Reg x, Reg y, Reg z) {
        const Reg dx = V::sub(V::load(axes.x + i), x), dy = V::sub(V::load(axes.y + i), y), dz = V::sub(V::load(axes.z + i), z);
        return V::add(V::add(V::mul(dx, dx), V::mul(dy, dy)), V::mul(dz, dz));
    }

    static std::int32_t update(Axes axes, const float* centre, float* nearest) {
        constexpr Index accumulators = V::accumulators, step = accumulators * lanes;
        static_assert(kPointBlock % step == 0, "axes are padded to kPointBlock");
        const Reg x = V::all(centre[0]), y = V::all(centre[1]), z = V::all(centre[2]);
        Reg best[accumulators];
        Int at[accumulators], now = V::int_all(0);
        const Int forward = V::int_all(static_cast<std::int32_t>(step));
        CONTRASTRT_UNROLL
        for (Index a = 0; a < accumulators; ++a) {
            best[a] = V::all(-1.0F);
            at[a] = now;
        }
        for (Index i = 0; i < axes.padded; i += step) {
            CONTRASTRT_UNROLL
            for (Index a = 0; a < accumulators; ++a) {
                const Index place = i + a * lanes;
                const Reg found = V::smaller(V::load(nearest + place), square(axes, place, x, y, z));
                V::store(nearest + place, found);
                V::keep_larger(best[a], at[a], found, now);
            }
            now = V::int_add(now, forward);
        }
        Reg most = best[0];
        CONTRASTRT_UNROLL
        for (Index a = 1; a < accumulators; ++a) most = V::larger(most, best[a]);
        most = V::all(V::largest(most));
        Int first = V::int_all(0x7FFFFFFF);
        CONTRASTRT_UNROLL
        for (Index a = 0; a < accumulators; ++a) {
            const Int row = V::int_add(at[a], V::int_iota(static_cast<std::int32_t>(a * lanes)));
            first = V::int_smaller(first, V::where_equal(best[a], most, row));
        }
        return V::int_smallest(first);
    }

    static Index candidates(Axes axes, const float* centre, Index k, float* distances, std::int32_t* rows, float* near) {
        constexpr Index vectors = kPointBlock / lanes;
        const Reg x = V::all(centre[0]), y = V::all(centre[1]), z = V::all(centre[2]);
        // The least of every kPointBlock-th distance: k of these are at most the k-th of them, so that the k nearest are too.
        Reg least[vectors];
        CONTRASTRT_UNROLL
        for (Index v = 0; v < vectors; ++v) least[v] = V::all(INFINITY);
        for (Index i = 0; i < axes.padded; i += kPointBlock) {
            CONTRASTRT_UNROLL
            for (Index v = 0; v < vectors; ++v) {
                const Reg found = square(axes, i + v * lanes, x, y, z);
                V::store(distances + i + v * lanes, found);
                least[v] = V::smaller(least[v], found);
            }
        }
        const Reg bound = V::all(k <= kPointBlock ? kth(least, k) : INFINITY);
        Index m = 0;
        for (Index i = 0; i < axes.padded; i += lanes)
            m += V::append(V::load(distances + i), bound, static_cast<std::int32_t>(i), rows + m, near + m);
        while (rows[m - 1] >= axes.n) --m;  // behind the points all is infinity, and so may the bound be
        return m;
    }

    // The k-th smallest of kPointBlock values.
    static CONTRASTRT_INLINE float kth(const Reg* values, Index k) {
        constexpr Index vectors = kPointBlock / lanes;
        alignas(64) float flat[kPointBlock];
        alignas(64) std::int32_t at_most[kPointBlock], bits[kPointBlock];
        Int sums[vectors];
        CONTRASTRT_UNROLL
        for (Index v = 0; v < vectors; ++v) {
            V::store(flat + v * lanes, values[v]);
            sums[v] = V::int_all(0);
        }
        for (Index j = 0; j < kPointBlock; ++j) {
            const Reg other = V::all(flat[j]);
            CONTRASTRT_UNROLL
            for (Index v = 0; v < vectors; ++v) sums[v] = V::add_at_most(sums[v], other, values[v]);
        }
        CONTRASTRT_UNROLL
        for (Index v = 0; v < vectors; ++v) V::int_store(at_most + v * lanes, sums[v]);
        memcpy(bits, flat, sizeof bits);  // floats of 0 or more are in the order of their bits
        std::int32_t found = 0x7FFFFFFF;
        for (Index i = 0; i < kPointBlock; ++i) {
            const std::int32_t one = at_most[i] >= k ? bits[i] : 0x7FFFFFFF;
            found = found < one ? found : one;
        }
        float value;
        memcpy(&value, &found, sizeof value);
        return value;
    }

    // places[i] = how many of m values, a multiple of lanes, stand before value i, of equals the earlier.
    static CONTRASTRT_INLINE void ranks(const float* values, Index m, std::int32_t* places) {
        for (Index i = 0; i < m; i += lanes) {
            const Reg own = V::load(values + i);
            Int sum = V::int_all(0);
            for (Index j = 0; j < i; ++j) sum = V::add_at_most(sum, V::all(values[j]), own);
            for (Index j = i; j < i + lanes; ++j)
                sum = V::add_before(sum, V::all(values[j]), own, static_cast<std::int32_t>(j - i));
            for (Index j = i + lanes; j < m; ++j) sum = V::add_less(sum, V::all(values[j]), own);
            V::int_store(places + i, sum);
        }
    }

    static void rank(float* near, const std::int32_t* rows, Index m, Index k, std::int32_t* out) {
        alignas(64) std::int32_t places[kMostRanked + kPointBlock];
        const Index whole = (m + lanes - 1) / lanes * lanes;
        for (Index i = m; i < whole; ++i) near[i] = INFINITY;
        ranks(near, whole, places);
        for (Index i = 0; i < m; ++i)
            if (places[i] < k) out[places[i]] = rows[i];
    }

    static constexpr PointKernels table(const char* name) { return {name, &split, &whole_sums, &update, &candidates, &rank}; }
};

}  // namespace contrastrt
