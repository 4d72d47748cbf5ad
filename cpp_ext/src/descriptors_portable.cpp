// The loops of descriptor selection in plain C++.
#include "descriptor_loops.hpp"

namespace {

struct Four {
    float at[4];
};

struct Portable {
    using Reg = Four;
    static constexpr std::ptrdiff_t lanes = 4;
    static constexpr int vectors = 2, rows = 4, weights = 2;
    static constexpr bool pairs = false;

    static CONTRASTRT_INLINE Reg zero() { return {}; }
    static CONTRASTRT_INLINE Reg all(float x) { return {{x, x, x, x}}; }
    static CONTRASTRT_INLINE Reg load(const float* from) { return {{from[0], from[1], from[2], from[3]}}; }
    static CONTRASTRT_INLINE Reg load_part(const float* from, std::ptrdiff_t n) {
        return {{n > 0 ? from[0] : 0.0F, n > 1 ? from[1] : 0.0F, n > 2 ? from[2] : 0.0F, 0.0F}};
    }
    static CONTRASTRT_INLINE void store(float* to, Reg x) {
        for (int i = 0; i < 4; ++i) to[i] = x.at[i];
    }
    static CONTRASTRT_INLINE Reg fma(Reg a, Reg b, Reg c) {
        for (int i = 0; i < 4; ++i) c.at[i] = a.at[i] * b.at[i] + c.at[i];
        return c;
    }
    static CONTRASTRT_INLINE Reg add(Reg a, Reg b) {
        for (int i = 0; i < 4; ++i) a.at[i] += b.at[i];
        return a;
    }
    static CONTRASTRT_INLINE Reg mul(Reg a, Reg b) {
        for (int i = 0; i < 4; ++i) a.at[i] *= b.at[i];
        return a;
    }
    static CONTRASTRT_INLINE Reg larger(Reg a, Reg b) {
        for (int i = 0; i < 4; ++i) a.at[i] = a.at[i] > b.at[i] ? a.at[i] : b.at[i];
        return a;
    }
    static CONTRASTRT_INLINE Reg smaller(Reg a, Reg b) {
        for (int i = 0; i < 4; ++i) a.at[i] = a.at[i] < b.at[i] ? a.at[i] : b.at[i];
        return a;
    }
    static CONTRASTRT_INLINE bool any_over(Reg a, Reg b) {
        return a.at[0] > b.at[0] || a.at[1] > b.at[1] || a.at[2] > b.at[2] || a.at[3] > b.at[3];
    }
    static CONTRASTRT_INLINE void sums(Reg a, Reg b, Reg c, Reg d, float* out) {
        const Reg all_four[4] = {a, b, c, d};
        for (int r = 0; r < 4; ++r) {
            const float* x = all_four[r].at;
            out[r] = (x[0] + x[1]) + (x[2] + x[3]);
        }
    }
    static CONTRASTRT_INLINE void transpose(const float* const* from, std::ptrdiff_t columns, float* to, std::ptrdiff_t stride) {
        for (std::ptrdiff_t c = 0; c < columns; ++c)
            for (int r = 0; r < 4; ++r) to[c * stride + r] = from[r][c];
    }
};

constexpr contrastrt::Kernels kTable = contrastrt::Loops<Portable>::table("portable");

}  // namespace

const contrastrt::Kernels* contrastrt::portable_kernels() { return &kTable; }
