// The loops of descriptor selection for 64-bit Arm, where NEON is always there.
#include "descriptor_kernels.hpp"

#if defined(__aarch64__)
#include <arm_neon.h>

#include "descriptor_loops.hpp"

namespace {

struct Neon {
    using Reg = float32x4_t;
    static constexpr std::ptrdiff_t lanes = 4;
    static constexpr int vectors = 3, rows = 8, weights = 5;
    static constexpr bool pairs = false;

    static CONTRASTRT_INLINE Reg zero() { return vdupq_n_f32(0.0F); }
    static CONTRASTRT_INLINE Reg all(float x) { return vdupq_n_f32(x); }
    static CONTRASTRT_INLINE Reg load(const float* from) { return vld1q_f32(from); }
    static CONTRASTRT_INLINE Reg load_part(const float* from, std::ptrdiff_t n) {
        const float part[4] = {n > 0 ? from[0] : 0.0F, n > 1 ? from[1] : 0.0F, n > 2 ? from[2] : 0.0F, 0.0F};
        return vld1q_f32(part);
    }
    static CONTRASTRT_INLINE void store(float* to, Reg x) { vst1q_f32(to, x); }
    static CONTRASTRT_INLINE Reg fma(Reg a, Reg b, Reg c) { return vfmaq_f32(c, a, b); }
    static CONTRASTRT_INLINE Reg add(Reg a, Reg b) { return vaddq_f32(a, b); }
    static CONTRASTRT_INLINE Reg mul(Reg a, Reg b) { return vmulq_f32(a, b); }
    static CONTRASTRT_INLINE Reg larger(Reg a, Reg b) { return vmaxq_f32(a, b); }
    static CONTRASTRT_INLINE Reg smaller(Reg a, Reg b) { return vminq_f32(a, b); }
    static CONTRASTRT_INLINE bool any_over(Reg a, Reg b) { return vmaxvq_u32(vcgtq_f32(a, b)) != 0; }
    static CONTRASTRT_INLINE void sums(Reg a, Reg b, Reg c, Reg d, float* out) {
        vst1q_f32(out, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
    }
    static CONTRASTRT_INLINE void transpose(const float* const* from, std::ptrdiff_t columns, float* to, std::ptrdiff_t stride) {
        Reg x[4];
        CONTRASTRT_UNROLL
        for (int r = 0; r < 4; ++r) x[r] = columns == lanes ? load(from[r]) : load_part(from[r], columns);
        const float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(x[0], x[1])), b = vreinterpretq_f64_f32(vtrn2q_f32(x[0], x[1]));
        const float64x2_t c = vreinterpretq_f64_f32(vtrn1q_f32(x[2], x[3])), e = vreinterpretq_f64_f32(vtrn2q_f32(x[2], x[3]));
        store(to, vreinterpretq_f32_f64(vtrn1q_f64(a, c)));
        if (columns > 1) store(to + stride, vreinterpretq_f32_f64(vtrn1q_f64(b, e)));
        if (columns > 2) store(to + 2 * stride, vreinterpretq_f32_f64(vtrn2q_f64(a, c)));
        if (columns > 3) store(to + 3 * stride, vreinterpretq_f32_f64(vtrn2q_f64(b, e)));
    }
};

constexpr contrastrt::Kernels kTable = contrastrt::Loops<Neon>::table("neon");

}  // namespace

const contrastrt::Kernels* contrastrt::neon_kernels() { return &kTable; }
#else
const contrastrt::Kernels* contrastrt::neon_kernels() { return nullptr; }
#endif
