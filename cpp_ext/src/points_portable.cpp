// The loops over point clouds in plain C++.
#include "point_loops.hpp"

namespace {

struct Floats {
    float at[4];
};

struct Integers {
    std::int32_t at[4];
};

struct Portable {
    using Reg = Floats;
    using Int = Integers;
    static constexpr std::ptrdiff_t lanes = 4, accumulators = 2;

    static CONTRASTRT_INLINE Reg all(float x) { return {{x, x, x, x}}; }
    static CONTRASTRT_INLINE Reg load(const float* from) { return {{from[0], from[1], from[2], from[3]}}; }
    static CONTRASTRT_INLINE void store(float* to, Reg x) {
        for (int i = 0; i < 4; ++i) to[i] = x.at[i];
    }
    static CONTRASTRT_INLINE Reg add(Reg a, Reg b) {
        for (int i = 0; i < 4; ++i) a.at[i] += b.at[i];
        return a;
    }
    static CONTRASTRT_INLINE Reg sub(Reg a, Reg b) {
        for (int i = 0; i < 4; ++i) a.at[i] -= b.at[i];
        return a;
    }
    static CONTRASTRT_INLINE Reg mul(Reg a, Reg b) {
        for (int i = 0; i < 4; ++i) a.at[i] *= b.at[i];
        return a;
    }
    static CONTRASTRT_INLINE Reg smaller(Reg a, Reg b) {
        for (int i = 0; i < 4; ++i) a.at[i] = a.at[i] < b.at[i] ? a.at[i] : b.at[i];
        return a;
    }
    static CONTRASTRT_INLINE Reg larger(Reg a, Reg b) {
        for (int i = 0; i < 4; ++i) a.at[i] = a.at[i] > b.at[i] ? a.at[i] : b.at[i];
        return a;
    }
    static CONTRASTRT_INLINE float largest(Reg a) {
        float found = a.at[0];
        for (int i = 1; i < 4; ++i) found = a.at[i] > found ? a.at[i] : found;
        return found;
    }
    static CONTRASTRT_INLINE std::ptrdiff_t append(Reg x, Reg bound, std::int32_t first, std::int32_t* rows, float* near) {
        std::ptrdiff_t found = 0;
        for (int i = 0; i < 4; ++i) {
            rows[found] = first + i;
            near[found] = x.at[i];
            found += x.at[i] <= bound.at[i];
        }
        return found;
    }

    static CONTRASTRT_INLINE Int int_all(std::int32_t x) { return {{x, x, x, x}}; }
    static CONTRASTRT_INLINE Int int_iota(std::int32_t first) { return {{first, first + 1, first + 2, first + 3}}; }
    static CONTRASTRT_INLINE Int int_add(Int a, Int b) {
        for (int i = 0; i < 4; ++i) a.at[i] += b.at[i];
        return a;
    }
    static CONTRASTRT_INLINE Int int_smaller(Int a, Int b) {
        for (int i = 0; i < 4; ++i) a.at[i] = a.at[i] < b.at[i] ? a.at[i] : b.at[i];
        return a;
    }
    static CONTRASTRT_INLINE std::int32_t int_smallest(Int a) {
        std::int32_t found = a.at[0];
        for (int i = 1; i < 4; ++i) found = a.at[i] < found ? a.at[i] : found;
        return found;
    }
    static CONTRASTRT_INLINE void int_store(std::int32_t* to, Int x) {
        for (int i = 0; i < 4; ++i) to[i] = x.at[i];
    }

    static CONTRASTRT_INLINE void keep_larger(Reg& best, Int& at, Reg x, Int now) {
        for (int i = 0; i < 4; ++i) at.at[i] = x.at[i] > best.at[i] ? now.at[i] : at.at[i];
        best = larger(best, x);
    }
    static CONTRASTRT_INLINE Int where_equal(Reg a, Reg b, Int at) {
        for (int i = 0; i < 4; ++i) at.at[i] = a.at[i] == b.at[i] ? at.at[i] : 0x7FFFFFFF;
        return at;
    }
    static CONTRASTRT_INLINE Int add_less(Int sum, Reg a, Reg b) {
        for (int i = 0; i < 4; ++i) sum.at[i] += a.at[i] < b.at[i];
        return sum;
    }
    static CONTRASTRT_INLINE Int add_at_most(Int sum, Reg a, Reg b) {
        for (int i = 0; i < 4; ++i) sum.at[i] += a.at[i] <= b.at[i];
        return sum;
    }
    static CONTRASTRT_INLINE Int add_before(Int sum, Reg a, Reg b, std::int32_t lane) {
        for (int i = 0; i < 4; ++i) sum.at[i] += a.at[i] < b.at[i] || (a.at[i] == b.at[i] && i > lane);
        return sum;
    }
};

constexpr contrastrt::PointKernels kTable = contrastrt::PointLoops<Portable>::table("portable");

}  // namespace

const contrastrt::PointKernels* contrastrt::portable_point_kernels() { return &kTable; }
