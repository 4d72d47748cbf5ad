// The inner loops over point clouds as a table of functions: one table for each instruction set, chosen at run time.
//
// A square distance is (dx dx + dy dy) + dz dz, each operation rounded to float32, so that every table gives the same bits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace contrastrt {

constexpr std::ptrdiff_t kPointBlock = 64;    // axes are a multiple of this long
constexpr std::ptrdiff_t kMostRanked = 256;   // the most candidates that `rank` orders
constexpr std::int32_t kInfinity = 0x7F800000;  // its bits

// The axes of n points, padded to `padded`; 64-byte aligned.
struct Axes {
    float *x, *y, *z;
    std::ptrdiff_t n, padded;
};

struct PointKernels {
    const char* name;

    // Interleaved points (n, 3) to axes, infinity behind them. The bits of the largest magnitude, which is a number below kInfinity.
    std::int32_t (*split)(const float* points, Axes axes);

    // sums[a] = sum of the whole parts of coordinate * scale, which are below 2^24.
    void (*whole_sums)(Axes axes, float scale, std::int64_t* sums);

    // nearest[i] = the smaller of itself and the square distance of point i to `centre`; the first row of the largest, which must not
    // be negative. Behind n, nearest is -1 and stays so.
    std::int32_t (*update)(Axes axes, const float* centre, float* nearest);

    // The rows, ascending, and square distances of points among which the k nearest to `centre` are, equals included; how many.
    // distances (padded) is scratch; rows and near have room for kPointBlock more than n. For k above kPointBlock these are all points.
    std::ptrdiff_t (*candidates)(Axes axes, const float* centre, std::ptrdiff_t k, float* distances, std::int32_t* rows,
                                 float* near);

    // Of m <= kMostRanked candidates out[r] = the row of the r-th nearest, of equals the earlier, r < k <= m. `near` is read and
    // written up to the next kPointBlock.
    void (*rank)(float* near, const std::int32_t* rows, std::ptrdiff_t m, std::ptrdiff_t k, std::int32_t* out);
};

// Null where the compiler has no such instructions; whether the processor has them is for the caller to find out.
const PointKernels* avx512_point_kernels();
const PointKernels* avx2_point_kernels();
const PointKernels* neon_point_kernels();
const PointKernels* portable_point_kernels();

}  // namespace contrastrt
