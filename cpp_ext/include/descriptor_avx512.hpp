// The vectors of AVX-512F, for the files that are compiled for it.
#pragma once

#include <immintrin.h>

#include "descriptor_loops.hpp"

namespace {

struct Avx512 {
    using Reg = __m512;
    static constexpr std::ptrdiff_t lanes = 16;
    static constexpr int vectors = 3, rows = 8, weights = 5;
    static constexpr bool pairs = false;

    static CONTRASTRT_INLINE Reg zero() { return _mm512_setzero_ps(); }
    static CONTRASTRT_INLINE Reg all(float x) { return _mm512_set1_ps(x); }
    static CONTRASTRT_INLINE Reg load(const float* from) { return _mm512_loadu_ps(from); }
    static CONTRASTRT_INLINE Reg load_part(const float* from, std::ptrdiff_t n) {
        return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << n) - 1U), from);
    }
    static CONTRASTRT_INLINE void store(float* to, Reg x) { _mm512_storeu_ps(to, x); }
    static CONTRASTRT_INLINE Reg fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }
    static CONTRASTRT_INLINE Reg add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
    static CONTRASTRT_INLINE Reg mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
    static CONTRASTRT_INLINE Reg larger(Reg a, Reg b) { return _mm512_max_ps(a, b); }
    static CONTRASTRT_INLINE Reg smaller(Reg a, Reg b) { return _mm512_min_ps(a, b); }
    static CONTRASTRT_INLINE bool any_over(Reg a, Reg b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) != 0; }

    static CONTRASTRT_INLINE __m512 low(__m512 a, __m512 b) {
        return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
    }
    static CONTRASTRT_INLINE __m512 high(__m512 a, __m512 b) {
        return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
    }
    // Each of a, b, c, d is summed in the same order.
    static CONTRASTRT_INLINE void sums(Reg a, Reg b, Reg c, Reg d, float* out) {
        const Reg ab = add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));  // a0+a2 b0+b2 a1+a3 b1+b3, in each quarter
        const Reg cd = add(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        const Reg quarters = add(low(ab, cd), high(ab, cd));  // a b c d, in each quarter
        const Reg halves = add(quarters, _mm512_shuffle_f32x4(quarters, quarters, 0x4E));
        _mm_storeu_ps(out, _mm512_castps512_ps128(add(halves, _mm512_shuffle_f32x4(halves, halves, 0xB1))));
    }

    static CONTRASTRT_INLINE void transpose(const float* const* from, std::ptrdiff_t columns, float* to, std::ptrdiff_t stride) {
        Reg p[16];  // p[4 g + m]: column 4 l + m of rows 4 g .. 4 g + 3 in quarter l
        CONTRASTRT_UNROLL
        for (int g = 0; g < 4; ++g) {
            Reg x[4];
            CONTRASTRT_UNROLL
            for (int r = 0; r < 4; ++r)
                x[r] = columns == lanes ? load(from[4 * g + r]) : load_part(from[4 * g + r], columns);
            const Reg a = _mm512_unpacklo_ps(x[0], x[1]), b = _mm512_unpackhi_ps(x[0], x[1]);
            const Reg c = _mm512_unpacklo_ps(x[2], x[3]), e = _mm512_unpackhi_ps(x[2], x[3]);
            p[4 * g] = low(a, c);
            p[4 * g + 1] = high(a, c);
            p[4 * g + 2] = low(b, e);
            p[4 * g + 3] = high(b, e);
        }
        CONTRASTRT_UNROLL
        for (int m = 0; m < 4; ++m) {
            const Reg front = _mm512_shuffle_f32x4(p[m], p[4 + m], 0x44), front_up = _mm512_shuffle_f32x4(p[m], p[4 + m], 0xEE);
            const Reg back = _mm512_shuffle_f32x4(p[8 + m], p[12 + m], 0x44);
            const Reg back_up = _mm512_shuffle_f32x4(p[8 + m], p[12 + m], 0xEE);
            if (m < columns) store(to + m * stride, _mm512_shuffle_f32x4(front, back, 0x88));
            if (4 + m < columns) store(to + (4 + m) * stride, _mm512_shuffle_f32x4(front, back, 0xDD));
            if (8 + m < columns) store(to + (8 + m) * stride, _mm512_shuffle_f32x4(front_up, back_up, 0x88));
            if (12 + m < columns) store(to + (12 + m) * stride, _mm512_shuffle_f32x4(front_up, back_up, 0xDD));
        }
    }
};

}  // namespace
