// The loops over point clouds for 64-bit Arm, where NEON is always there.
#include "point_kernels.hpp"

#if defined(__aarch64__)
#include <arm_neon.h>

#include "point_loops.hpp"

namespace {

struct Neon {
    using Reg = float32x4_t;
    using Int = int32x4_t;
    static constexpr std::ptrdiff_t lanes = 4, accumulators = 4;

    static CONTRASTRT_INLINE Reg all(float x) { return vdupq_n_f32(x); }
    static CONTRASTRT_INLINE Reg load(const float* from) { return vld1q_f32(from); }
    static CONTRASTRT_INLINE void store(float* to, Reg x) { vst1q_f32(to, x); }
    static CONTRASTRT_INLINE Reg add(Reg a, Reg b) { return vaddq_f32(a, b); }
    static CONTRASTRT_INLINE Reg sub(Reg a, Reg b) { return vsubq_f32(a, b); }
    static CONTRASTRT_INLINE Reg mul(Reg a, Reg b) { return vmulq_f32(a, b); }
    static CONTRASTRT_INLINE Reg smaller(Reg a, Reg b) { return vminq_f32(a, b); }
    static CONTRASTRT_INLINE Reg larger(Reg a, Reg b) { return vmaxq_f32(a, b); }
    static CONTRASTRT_INLINE float largest(Reg a) { return vmaxvq_f32(a); }
    static CONTRASTRT_INLINE std::ptrdiff_t append(Reg x, Reg bound, std::int32_t first, std::int32_t* rows, float* near) {
        const uint32x4_t within = vcleq_f32(x, bound);
        if (vmaxvq_u32(within) == 0) return 0;
        float values[4];
        std::uint32_t ones[4];
        vst1q_f32(values, x);
        vst1q_u32(ones, vshrq_n_u32(within, 31));
        std::ptrdiff_t found = 0;
        for (int i = 0; i < 4; ++i) {
            rows[found] = first + i;
            near[found] = values[i];
            found += ones[i];
        }
        return found;
    }

    static CONTRASTRT_INLINE Int int_all(std::int32_t x) { return vdupq_n_s32(x); }
    static CONTRASTRT_INLINE Int int_iota(std::int32_t first) { return int_add(int_all(first), lane_numbers()); }
    static CONTRASTRT_INLINE Int int_add(Int a, Int b) { return vaddq_s32(a, b); }
    static CONTRASTRT_INLINE Int int_smaller(Int a, Int b) { return vminq_s32(a, b); }
    static CONTRASTRT_INLINE std::int32_t int_smallest(Int a) { return vminvq_s32(a); }
    static CONTRASTRT_INLINE void int_store(std::int32_t* to, Int x) { vst1q_s32(to, x); }

    static CONTRASTRT_INLINE void keep_larger(Reg& best, Int& at, Reg x, Int now) {
        at = vbslq_s32(vcgtq_f32(x, best), now, at);
        best = larger(best, x);
    }
    static CONTRASTRT_INLINE Int where_equal(Reg a, Reg b, Int at) { return vbslq_s32(vceqq_f32(a, b), at, int_all(0x7FFFFFFF)); }
    static CONTRASTRT_INLINE Int add_less(Int sum, Reg a, Reg b) { return plus(sum, vcltq_f32(a, b)); }
    static CONTRASTRT_INLINE Int add_at_most(Int sum, Reg a, Reg b) { return plus(sum, vcleq_f32(a, b)); }
    static CONTRASTRT_INLINE Int add_before(Int sum, Reg a, Reg b, std::int32_t lane) {
        const uint32x4_t equal = vandq_u32(vceqq_f32(a, b), vcgtq_s32(lane_numbers(), int_all(lane)));
        return plus(sum, vorrq_u32(vcltq_f32(a, b), equal));
    }

    static CONTRASTRT_INLINE Int plus(Int sum, uint32x4_t where) { return vsubq_s32(sum, vreinterpretq_s32_u32(where)); }
    static CONTRASTRT_INLINE Int lane_numbers() {
        const std::int32_t numbers[4] = {0, 1, 2, 3};
        return vld1q_s32(numbers);
    }
};

constexpr contrastrt::PointKernels kTable = contrastrt::PointLoops<Neon>::table("neon");

}  // namespace

const contrastrt::PointKernels* contrastrt::neon_point_kernels() { return &kTable; }
#else
const contrastrt::PointKernels* contrastrt::neon_point_kernels() { return nullptr; }
#endif
