// The loops of descriptor selection for AVX2 with FMA.
#include "descriptor_kernels.hpp"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

#include "descriptor_loops.hpp"

namespace {

struct Avx2 {
    using Reg = __m256;
    static constexpr std::ptrdiff_t lanes = 8;
    static constexpr int vectors = 2, rows = 6, weights = 2;
    static constexpr bool pairs = false;

    static CONTRASTRT_INLINE Reg zero() { return _mm256_setzero_ps(); }
    static CONTRASTRT_INLINE Reg all(float x) { return _mm256_set1_ps(x); }
    static CONTRASTRT_INLINE Reg load(const float* from) { return _mm256_loadu_ps(from); }
    static CONTRASTRT_INLINE Reg load_part(const float* from, std::ptrdiff_t n) {
        alignas(32) static const std::int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
        return _mm256_maskload_ps(from, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ones + 8 - n)));
    }
    static CONTRASTRT_INLINE void store(float* to, Reg x) { _mm256_storeu_ps(to, x); }
    static CONTRASTRT_INLINE Reg fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_ps(a, b, c); }
    static CONTRASTRT_INLINE Reg add(Reg a, Reg b) { return _mm256_add_ps(a, b); }
    static CONTRASTRT_INLINE Reg mul(Reg a, Reg b) { return _mm256_mul_ps(a, b); }
    static CONTRASTRT_INLINE Reg larger(Reg a, Reg b) { return _mm256_max_ps(a, b); }
    static CONTRASTRT_INLINE Reg smaller(Reg a, Reg b) { return _mm256_min_ps(a, b); }
    static CONTRASTRT_INLINE bool any_over(Reg a, Reg b) { return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)) != 0; }

    static CONTRASTRT_INLINE __m128 half(Reg x) { return _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1)); }
    static CONTRASTRT_INLINE void sums(Reg a, Reg b, Reg c, Reg d, float* out) {
        __m128 x = half(a), y = half(b), z = half(c), w = half(d);
        _MM_TRANSPOSE4_PS(x, y, z, w);
        _mm_storeu_ps(out, _mm_add_ps(_mm_add_ps(x, y), _mm_add_ps(z, w)));
    }

    static CONTRASTRT_INLINE __m256 low(__m256 a, __m256 b) {
        return _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
    }
    static CONTRASTRT_INLINE __m256 high(__m256 a, __m256 b) {
        return _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
    }
    static CONTRASTRT_INLINE void transpose(const float* const* from, std::ptrdiff_t columns, float* to, std::ptrdiff_t stride) {
        Reg p[8];  // p[4 g + m]: column 4 l + m of rows 4 g .. 4 g + 3 in half l
        CONTRASTRT_UNROLL
        for (int g = 0; g < 2; ++g) {
            Reg x[4];
            CONTRASTRT_UNROLL
            for (int r = 0; r < 4; ++r)
                x[r] = columns == lanes ? load(from[4 * g + r]) : load_part(from[4 * g + r], columns);
            const Reg a = _mm256_unpacklo_ps(x[0], x[1]), b = _mm256_unpackhi_ps(x[0], x[1]);
            const Reg c = _mm256_unpacklo_ps(x[2], x[3]), e = _mm256_unpackhi_ps(x[2], x[3]);
            p[4 * g] = low(a, c);
            p[4 * g + 1] = high(a, c);
            p[4 * g + 2] = low(b, e);
            p[4 * g + 3] = high(b, e);
        }
        CONTRASTRT_UNROLL
        for (int m = 0; m < 4; ++m) {
            if (m < columns) store(to + m * stride, _mm256_permute2f128_ps(p[m], p[4 + m], 0x20));
            if (4 + m < columns) store(to + (4 + m) * stride, _mm256_permute2f128_ps(p[m], p[4 + m], 0x31));
        }
    }
};

constexpr contrastrt::Kernels kTable = contrastrt::Loops<Avx2>::table("avx2");

}  // namespace

const contrastrt::Kernels* contrastrt::avx2_kernels() { return &kTable; }
#else
const contrastrt::Kernels* contrastrt::avx2_kernels() { return nullptr; }
#endif
