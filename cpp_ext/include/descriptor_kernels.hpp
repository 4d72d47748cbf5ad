// The inner loops of descriptor selection as a table of functions: one table for each instruction set, chosen at run time.
//
// Rows are descriptors of d floats, contiguous. Where `kept` is given, row i is rows[kept[i]].
// What a row gives does not depend on where it stands or on how many rows there are, so that equal rows tie exactly.
#pragma once

#include <cstddef>
#include <cstdint>

namespace contrastrt {

constexpr std::ptrdiff_t kChunk = 64;        // the most rows of `project`
constexpr std::ptrdiff_t kMostNearest = 64;  // the largest k of `nearest`
constexpr std::ptrdiff_t kMostWidth = 48;    // the largest width of a table

struct Kernels {
    const char* name;
    std::ptrdiff_t width;  // queries in a tile

    // inverse[i] = 1 / |row i|, 0 for a zero row; total (d) += sum of row i * inverse[i], where given.
    // False where a row holds NaN, an infinity, or a norm that overflows.
    bool (*normalise)(const float* rows, const std::int32_t* kept, std::ptrdiff_t n, std::ptrdiff_t d, float* inverse,
                      float* total);

    // out (classes, kChunk) = weights[c] . row i / |row i|, 0 for a zero row, i < n <= kChunk, anything behind n; weights (classes,
    // d); inverse and result as above.
    bool (*project)(const float* rows, std::ptrdiff_t n, std::ptrdiff_t d, const float* weights, std::ptrdiff_t classes,
                    float* out, float* inverse);

    // Of what `project` gave: out[i] = the largest over the classes less the mean of the others; minus infinity for a zero row.
    void (*margins)(const float* relevance, std::ptrdiff_t n, std::ptrdiff_t classes, const float* inverse, float* out);

    // tile (d, width) = the unit vectors of `count` rows as columns, zeros behind them. False as above.
    bool (*pack)(const float* const* rows, std::ptrdiff_t count, std::ptrdiff_t d, float* tile);

    // out[q] = sum of the k largest of column q . row i * inverse[i]; 1 <= k <= n, k <= kMostNearest; `count` columns count.
    void (*nearest)(const float* tile, std::ptrdiff_t count, const float* rows, const std::int32_t* kept, const float* inverse,
                    std::ptrdiff_t n, std::ptrdiff_t d, std::ptrdiff_t k, float* out);

    // How many of n keys are at least `bound`.
    std::ptrdiff_t (*at_least)(const std::int32_t* keys, std::ptrdiff_t n, std::int32_t bound);
};

// Null where the compiler has no such instructions; whether the processor has them is for the caller to find out.
const Kernels* avx512_kernels();
const Kernels* avx2_kernels();
const Kernels* neon_kernels();
const Kernels* portable_kernels();

// As avx512_kernels, but `pack` and `nearest` round to bfloat16; the products are summed in float32.
const Kernels* bf16_kernels();

}  // namespace contrastrt
