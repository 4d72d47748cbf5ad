// The loops over point clouds for AVX-512F.
#include "point_kernels.hpp"

#if defined(__AVX512F__)
#include <immintrin.h>

#include "point_loops.hpp"

namespace {

struct Avx512 {
    using Reg = __m512;
    using Int = __m512i;
    static constexpr std::ptrdiff_t lanes = 16, accumulators = 4;

    static CONTRASTRT_INLINE Reg all(float x) { return _mm512_set1_ps(x); }
    static CONTRASTRT_INLINE Reg load(const float* from) { return _mm512_loadu_ps(from); }
    static CONTRASTRT_INLINE void store(float* to, Reg x) { _mm512_storeu_ps(to, x); }
    static CONTRASTRT_INLINE Reg add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
    static CONTRASTRT_INLINE Reg sub(Reg a, Reg b) { return _mm512_sub_ps(a, b); }
    static CONTRASTRT_INLINE Reg mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
    static CONTRASTRT_INLINE Reg smaller(Reg a, Reg b) { return _mm512_min_ps(a, b); }
    static CONTRASTRT_INLINE Reg larger(Reg a, Reg b) { return _mm512_max_ps(a, b); }
    static CONTRASTRT_INLINE float largest(Reg a) { return _mm512_reduce_max_ps(a); }
    static CONTRASTRT_INLINE std::ptrdiff_t append(Reg x, Reg bound, std::int32_t first, std::int32_t* rows, float* near) {
        const __mmask16 mask = _mm512_cmp_ps_mask(x, bound, _CMP_LE_OQ);
        int_store(rows, _mm512_maskz_compress_epi32(mask, int_iota(first)));
        store(near, _mm512_maskz_compress_ps(mask, x));
        return __builtin_popcount(mask);
    }

    static CONTRASTRT_INLINE Int int_all(std::int32_t x) { return _mm512_set1_epi32(x); }
    static CONTRASTRT_INLINE Int int_iota(std::int32_t first) { return int_add(int_all(first), lane_numbers()); }
    static CONTRASTRT_INLINE Int int_add(Int a, Int b) { return _mm512_add_epi32(a, b); }
    static CONTRASTRT_INLINE Int int_smaller(Int a, Int b) { return _mm512_min_epi32(a, b); }
    static CONTRASTRT_INLINE std::int32_t int_smallest(Int a) { return _mm512_reduce_min_epi32(a); }
    static CONTRASTRT_INLINE void int_store(std::int32_t* to, Int x) { _mm512_storeu_si512(to, x); }

    static CONTRASTRT_INLINE void keep_larger(Reg& best, Int& at, Reg x, Int now) {
        at = _mm512_mask_mov_epi32(at, _mm512_cmp_ps_mask(x, best, _CMP_GT_OQ), now);
        best = larger(best, x);
    }
    static CONTRASTRT_INLINE Int where_equal(Reg a, Reg b, Int at) {
        return _mm512_mask_mov_epi32(int_all(0x7FFFFFFF), _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ), at);
    }
    static CONTRASTRT_INLINE Int add_less(Int sum, Reg a, Reg b) { return plus(sum, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ)); }
    static CONTRASTRT_INLINE Int add_at_most(Int sum, Reg a, Reg b) { return plus(sum, _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ)); }
    static CONTRASTRT_INLINE Int add_before(Int sum, Reg a, Reg b, std::int32_t lane) {
        const unsigned less = _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), equal = _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
        return plus(sum, static_cast<__mmask16>(less | (equal & (0xFFFEU << lane))));
    }

    static CONTRASTRT_INLINE Int plus(Int sum, __mmask16 where) { return _mm512_mask_add_epi32(sum, where, sum, int_all(1)); }
    static CONTRASTRT_INLINE Int lane_numbers() { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
};

constexpr contrastrt::PointKernels kTable = contrastrt::PointLoops<Avx512>::table("avx512");

}  // namespace

const contrastrt::PointKernels* contrastrt::avx512_point_kernels() { return &kTable; }
#else
const contrastrt::PointKernels* contrastrt::avx512_point_kernels() { return nullptr; }
#endif
