// The inner loops of descriptor selection, written once over a vector type V; each src/descriptors_*.cpp gives its own.
//
// Those files are compiled for processors that the loader may not have. Therefore nothing here is shared with other files: no
// standard library, and templates over a V of an anonymous namespace, which no linker merges.
//
// V: `Reg` of `lanes` floats; zero, all, load, load_part (n < lanes floats, then zeros), store, fma (a * b + c), mul, larger,
// smaller, any_over; sums (four horizontal sums); transpose (lanes rows, `columns` <= lanes of them, to columns). Where `pairs`, also
// pair (two registers as pairs of bfloat16), narrow (a register's lanes as pairs, to memory), all_pairs, dot (sum + both products).
// `rows` by `vectors` accumulators of `nearest`, and 4 by `weights` + 1 of `project`, should fill the registers.
#pragma once

#include <float.h>
#include <math.h>

#include "descriptor_kernels.hpp"

#if defined(__GNUC__)
#define CONTRASTRT_UNROLL _Pragma("GCC unroll 32")
#define CONTRASTRT_INLINE inline __attribute__((always_inline))
#else
#define CONTRASTRT_UNROLL
#define CONTRASTRT_INLINE __forceinline
#endif

namespace contrastrt {

template <class V>
struct Loops {
    using Reg = typename V::Reg;
    using Index = std::ptrdiff_t;
    static constexpr Index lanes = V::lanes;
    static constexpr Index width = V::lanes * V::vectors;
    static constexpr Index slice = 256;  // floats of a row that are narrowed at once
    static_assert(width <= kMostWidth, "kMostWidth is too small");

    static CONTRASTRT_INLINE const float* row(const float* rows, const std::int32_t* kept, Index i, Index d) {
        return rows + (kept ? kept[i] : i) * d;
    }

    // Four rows from i on; past the end the last one again.
    static CONTRASTRT_INLINE void four(const float* rows, const std::int32_t* kept, Index i, Index n, Index d, const float** out) {
        CONTRASTRT_UNROLL
        for (Index r = 0; r < 4; ++r) out[r] = row(rows, kept, i + r < n ? i + r : n - 1, d);
    }

    // 1 / the root of a square norm; 0 where it underflows, which zero vectors do; false where it is not finite.
    static CONTRASTRT_INLINE bool invert(const float* squares, float* inverse) {
        bool finite = true;
        for (Index r = 0; r < 4; ++r) {
            finite &= squares[r] <= FLT_MAX;  // not for NaN
            inverse[r] = squares[r] < FLT_MIN ? 0.0F : 1.0F / sqrtf(squares[r]);
        }
        return finite;
    }

    template <bool part>
    static CONTRASTRT_INLINE Reg get(const float* from, Index n) {
        if constexpr (part) return V::load_part(from, n);
        return V::load(from);
    }

    template <bool part>
    static CONTRASTRT_INLINE void square(const float* const* row, Index j, Index n, Reg* sums) {
        CONTRASTRT_UNROLL
        for (Index r = 0; r < 4; ++r) {
            const Reg x = get<part>(row[r] + j, n);
            sums[r] = V::fma(x, x, sums[r]);
        }
    }

    static bool normalise(const float* rows, const std::int32_t* kept, Index n, Index d, float* inverse, float* total) {
        bool finite = true;
        const Index whole = d - d % lanes;
        for (Index i = 0; i < n; i += 4) {
            const float* at[4];
            four(rows, kept, i, n, d, at);
            Reg sums[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
            for (Index j = 0; j < whole; j += lanes) square<false>(at, j, lanes, sums);
            if (whole < d) square<true>(at, whole, d - whole, sums);
            float squares[4], scale[4];
            V::sums(sums[0], sums[1], sums[2], sums[3], squares);
            finite &= invert(squares, scale);
            const Index count = n - i < 4 ? n - i : 4;
            for (Index r = 0; r < count; ++r) inverse[i + r] = scale[r];
            if (!total) continue;
            for (Index r = count; r < 4; ++r) scale[r] = 0.0F;
            const Reg factor[4] = {V::all(scale[0]), V::all(scale[1]), V::all(scale[2]), V::all(scale[3])};
            for (Index j = 0; j < whole; j += lanes) {
                Reg sum = V::load(total + j);
                CONTRASTRT_UNROLL
                for (Index r = 0; r < 4; ++r) sum = V::fma(V::load(at[r] + j), factor[r], sum);
                V::store(total + j, sum);
            }
            for (Index j = whole; j < d; ++j)
                for (Index r = 0; r < 4; ++r) total[j] += at[r][j] * scale[r];
        }
        return finite;
    }

    template <int classes, bool squares, bool part>
    static CONTRASTRT_INLINE void multiply(const float* const* row, const float* weights, Index j, Index n, Index d, Reg* sums) {
        CONTRASTRT_UNROLL
        for (Index r = 0; r < 4; ++r) {
            const Reg x = get<part>(row[r] + j, n);
            CONTRASTRT_UNROLL
            for (int c = 0; c < classes; ++c)
                sums[c * 4 + r] = V::fma(x, get<part>(weights + c * d + j, n), sums[c * 4 + r]);
            if constexpr (squares) sums[classes * 4 + r] = V::fma(x, x, sums[classes * 4 + r]);
        }
    }

    // Four rows by `classes` weights: four products in out[c * kChunk], and with `squares` four square norms.
    template <int classes, bool squares>
    static CONTRASTRT_INLINE void block(const float* const* row, const float* weights, Index d, float* out, float* norms) {
        constexpr int groups = classes + (squares ? 1 : 0);
        Reg sums[groups * 4];
        CONTRASTRT_UNROLL
        for (int s = 0; s < groups * 4; ++s) sums[s] = V::zero();
        const Index whole = d - d % lanes;
        for (Index j = 0; j < whole; j += lanes) multiply<classes, squares, false>(row, weights, j, lanes, d, sums);
        if (whole < d) multiply<classes, squares, true>(row, weights, whole, d - whole, d, sums);
        CONTRASTRT_UNROLL
        for (int c = 0; c < classes; ++c)
            V::sums(sums[c * 4], sums[c * 4 + 1], sums[c * 4 + 2], sums[c * 4 + 3], out + c * kChunk);
        if constexpr (squares) {
            const Reg* of = sums + classes * 4;
            V::sums(of[0], of[1], of[2], of[3], norms);
        }
    }

    template <bool squares>
    static CONTRASTRT_INLINE void some(Index classes, const float* const* row, const float* weights, Index d, float* out,
                                       float* norms) {
        if constexpr (V::weights >= 5) {
            if (classes == 5) return block<5, squares>(row, weights, d, out, norms);
            if (classes == 4) return block<4, squares>(row, weights, d, out, norms);
            if (classes == 3) return block<3, squares>(row, weights, d, out, norms);
        }
        if (classes == 2) return block<2, squares>(row, weights, d, out, norms);
        return block<1, squares>(row, weights, d, out, norms);
    }

    static bool project(const float* rows, Index n, Index d, const float* weights, Index classes, float* out, float* inverse) {
        float norms[kChunk];
        for (Index i = 0; i < n; i += 4) {
            const float* at[4];
            four(rows, nullptr, i, n, d, at);
            for (Index c = 0; c < classes; c += V::weights) {
                const Index now = classes - c < V::weights ? classes - c : V::weights;
                if (c == 0)
                    some<true>(now, at, weights, d, out + i, norms + i);
                else
                    some<false>(now, at, weights + c * d, d, out + c * kChunk + i, norms + i);
            }
        }
        int overflows = 0;
        for (Index i = 0; i < n; ++i) {
            overflows |= norms[i] <= FLT_MAX ? 0 : 1;
            inverse[i] = norms[i] < FLT_MIN ? 0.0F : 1.0F / sqrtf(norms[i]);
        }
        for (Index c = 0; c < classes; ++c)
            for (Index i = 0; i < n; ++i) out[c * kChunk + i] *= inverse[i];
        return overflows == 0;
    }

    static void margins(const float* relevance, Index n, Index classes, const float* inverse, float* out) {
        float best[kChunk], sum[kChunk];
        for (Index i = 0; i < n; ++i) best[i] = sum[i] = relevance[i];
        for (Index c = 1; c < classes; ++c)
            for (Index i = 0; i < n; ++i) {
                const float r = relevance[c * kChunk + i];
                best[i] = best[i] > r ? best[i] : r;
                sum[i] += r;
            }
        const float others = classes > 1 ? static_cast<float>(classes - 1) : 1.0F;
        for (Index i = 0; i < n; ++i) {
            const float rest = classes > 1 ? (sum[i] - best[i]) / others : 0.0F;
            out[i] = inverse[i] > 0.0F ? best[i] - rest : -HUGE_VALF;
        }
    }

    static bool pack(const float* const* rows, Index count, Index d, float* tile) {
        bool finite = true;
        alignas(64) static const float nothing[lanes] = {};
        for (Index v = 0; v < V::vectors; ++v) {
            const float* at[lanes];
            for (Index r = 0; r < lanes; ++r) at[r] = v * lanes + r < count ? rows[v * lanes + r] : nullptr;
            if (v * lanes >= count) break;  // `nearest` does not read them
            Reg sums = V::zero();
            for (Index j = 0; j < d; j += lanes) {
                const float* from[lanes];
                const Index columns = d - j < lanes ? d - j : lanes;
                for (Index r = 0; r < lanes; ++r) from[r] = at[r] ? at[r] + j : nothing;
                V::transpose(from, columns, tile + j * width + v * lanes, width);
                for (Index c = 0; c < columns; ++c) {
                    const Reg x = V::load(tile + (j + c) * width + v * lanes);
                    sums = V::fma(x, x, sums);
                }
            }
            alignas(64) float squares[lanes], scale[lanes];
            V::store(squares, sums);
            for (Index r = 0; r < lanes; r += 4) finite &= invert(squares + r, scale + r);
            const Reg factor = V::load(scale);
            for (Index j = 0; j < d; ++j) {
                float* to = tile + j * width + v * lanes;
                V::store(to, V::mul(V::load(to), factor));
            }
            if constexpr (V::pairs)  // rows 2 j and 2 j + 1 become row j
                for (Index j = 0; j < d; j += 2) {
                    const float* from = tile + j * width + v * lanes;
                    const Reg high = j + 1 < d ? V::load(from + width) : V::zero();
                    V::store(tile + j / 2 * width + v * lanes, V::pair(V::load(from), high));
                }
        }
        return finite;
    }

    // best[0] >= best[1] >= ...: push x in, the least falls out.
    template <int vectors, int k>
    struct Push {
        Reg* best;
        CONTRASTRT_INLINE void operator()(int v, Reg x) const {
            CONTRASTRT_UNROLL
            for (int b = 0; b < k; ++b) {
                const Reg least = V::smaller(best[b * vectors + v], x);
                best[b * vectors + v] = V::larger(best[b * vectors + v], x);
                x = least;
            }
        }
    };

    struct PushAny {
        Index k;
        float* best;
        CONTRASTRT_INLINE void operator()(int v, Reg x) const {
            float* at = best + v * lanes;
            if (!V::any_over(x, V::load(at + (k - 1) * width))) return;
            for (Index b = 0; b < k; ++b) {
                const Reg old = V::load(at + b * width);
                V::store(at + b * width, V::larger(old, x));
                x = V::smaller(old, x);
            }
        }
    };

    // What `products` gives, from a tile of pairs of bfloat16; added to sums.
    template <int vectors>
    static CONTRASTRT_INLINE void pair_products(const float* tile, const float* const* row, Index d, Reg* sums) {
        std::uint32_t narrow[V::rows][slice / 2];
        for (Index begin = 0; begin < d; begin += slice) {
            const Index n = d - begin < slice ? d - begin : slice;
            for (Index r = 0; r < V::rows; ++r)
                for (Index j = 0; j < n; j += lanes) {
                    const float* from = row[r] + begin + j;
                    V::narrow(n - j < lanes ? V::load_part(from, n - j) : V::load(from), narrow[r] + j / 2);
                }
            const float* part = tile + begin / 2 * width;
            for (Index j = 0; j < (n + 1) / 2; ++j) {
                Reg q[vectors];
                CONTRASTRT_UNROLL
                for (int v = 0; v < vectors; ++v) q[v] = V::load(part + j * width + v * lanes);
                CONTRASTRT_UNROLL
                for (int r = 0; r < V::rows; ++r) {
                    const Reg s = V::all_pairs(narrow[r][j]);
                    CONTRASTRT_UNROLL
                    for (int v = 0; v < vectors; ++v) sums[r * vectors + v] = V::dot(s, q[v], sums[r * vectors + v]);
                }
            }
        }
    }

    // The products of V::rows rows and `vectors` columns of the tile.
    template <int vectors>
    static CONTRASTRT_INLINE void products(const float* tile, const float* const* row, Index d, Reg* sums) {
        CONTRASTRT_UNROLL
        for (int s = 0; s < V::rows * vectors; ++s) sums[s] = V::zero();
        if constexpr (V::pairs) return pair_products<vectors>(tile, row, d, sums);
        for (Index j = 0; j < d; ++j) {
            Reg q[vectors];
            CONTRASTRT_UNROLL
            for (int v = 0; v < vectors; ++v) q[v] = V::load(tile + j * width + v * lanes);
            CONTRASTRT_UNROLL
            for (int r = 0; r < V::rows; ++r) {
                const Reg s = V::all(row[r][j]);
                CONTRASTRT_UNROLL
                for (int v = 0; v < vectors; ++v) sums[r * vectors + v] = V::fma(s, q[v], sums[r * vectors + v]);
            }
        }
    }

    // Blocks of V::rows rows: take(v, x) sees every cosine of vector v in turn, row by row.
    template <int vectors, class Take>
    static CONTRASTRT_INLINE void cosines(const float* tile, const float* rows, const std::int32_t* kept, const float* inverse,
                                          Index n, Index d, Take take) {
        for (Index i = 0; i < n; i += V::rows) {
            const float* at[V::rows];
            CONTRASTRT_UNROLL
            for (Index r = 0; r < V::rows; ++r) at[r] = row(rows, kept, i + r < n ? i + r : n - 1, d);
            Reg sums[V::rows * vectors];
            products<vectors>(tile, at, d, sums);
            CONTRASTRT_UNROLL
            for (Index r = 0; r < V::rows; ++r) {
                if (i + r >= n) break;
                const Reg scale = V::all(inverse[i + r]);
                CONTRASTRT_UNROLL
                for (int v = 0; v < vectors; ++v) take(v, V::mul(sums[r * vectors + v], scale));
            }
        }
    }

    // k known: the best stay in registers.
    template <int vectors, int k>
    static void nearest_few(const float* tile, const float* rows, const std::int32_t* kept, const float* inverse, Index n, Index d,
                            float* out) {
        Reg best[k * vectors];
        CONTRASTRT_UNROLL
        for (int b = 0; b < k * vectors; ++b) best[b] = V::all(-HUGE_VALF);
        cosines<vectors>(tile, rows, kept, inverse, n, d, Push<vectors, k>{best});
        CONTRASTRT_UNROLL
        for (int v = 0; v < vectors; ++v) {
            Reg sum = best[v];
            CONTRASTRT_UNROLL
            for (int b = 1; b < k; ++b) sum = V::add(sum, best[b * vectors + v]);
            V::store(out + v * lanes, sum);
        }
    }

    // Any k: the best stay in memory.
    template <int vectors>
    static void nearest_any(const float* tile, const float* rows, const std::int32_t* kept, const float* inverse, Index n, Index d,
                            Index k, float* out) {
        alignas(64) float best[kMostNearest * width];
        for (Index b = 0; b < kMostNearest * width; b += lanes) V::store(best + b, V::all(-HUGE_VALF));
        cosines<vectors>(tile, rows, kept, inverse, n, d, PushAny{k, best});
        for (Index v = 0; v < vectors * lanes; v += lanes) {
            Reg sum = V::load(best + v);
            for (Index b = 1; b < k; ++b) sum = V::add(sum, V::load(best + b * width + v));
            V::store(out + v, sum);
        }
    }

    template <int vectors>
    static void nearest_in(const float* tile, const float* rows, const std::int32_t* kept, const float* inverse, Index n, Index d,
                           Index k, float* out) {
        if (k == 1) return nearest_few<vectors, 1>(tile, rows, kept, inverse, n, d, out);
        if (k == 3) return nearest_few<vectors, 3>(tile, rows, kept, inverse, n, d, out);
        nearest_any<vectors>(tile, rows, kept, inverse, n, d, k, out);
    }

    static void nearest(const float* tile, Index count, const float* rows, const std::int32_t* kept, const float* inverse, Index n,
                        Index d, Index k, float* out) {
        const Index used = (count + lanes - 1) / lanes;
        if constexpr (V::vectors >= 3)
            if (used == 3) return nearest_in<3>(tile, rows, kept, inverse, n, d, k, out);
        if constexpr (V::vectors >= 2)
            if (used == 2) return nearest_in<2>(tile, rows, kept, inverse, n, d, k, out);
        nearest_in<1>(tile, rows, kept, inverse, n, d, k, out);
    }

    static Index at_least(const std::int32_t* keys, Index n, std::int32_t bound) {
        std::int32_t count = 0;
        for (Index i = 0; i < n; ++i) count += keys[i] >= bound ? 1 : 0;
        return count;
    }

    static constexpr Kernels table(const char* name) { return {name, width, normalise, project, margins, pack, nearest, at_least}; }
};

}  // namespace contrastrt
