// The loops over point clouds for AVX2.
#include "point_kernels.hpp"

#if defined(__AVX2__)
#include <immintrin.h>

#include "point_loops.hpp"

namespace {

// For each mask the lanes that are set, in front, and how many they are.
struct Fronts {
    unsigned char lanes[256][8], counts[256];
};

constexpr Fronts fronts() {
    Fronts found{};
    for (unsigned mask = 0; mask < 256; ++mask)
        for (unsigned char lane = 0; lane < 8; ++lane)
            if (mask >> lane & 1U) found.lanes[mask][found.counts[mask]++] = lane;
    return found;
}

constexpr Fronts kFronts = fronts();

struct Avx2 {
    using Reg = __m256;
    using Int = __m256i;
    static constexpr std::ptrdiff_t lanes = 8, accumulators = 4;

    static CONTRASTRT_INLINE Reg all(float x) { return _mm256_set1_ps(x); }
    static CONTRASTRT_INLINE Reg load(const float* from) { return _mm256_loadu_ps(from); }
    static CONTRASTRT_INLINE void store(float* to, Reg x) { _mm256_storeu_ps(to, x); }
    static CONTRASTRT_INLINE Reg add(Reg a, Reg b) { return _mm256_add_ps(a, b); }
    static CONTRASTRT_INLINE Reg sub(Reg a, Reg b) { return _mm256_sub_ps(a, b); }
    static CONTRASTRT_INLINE Reg mul(Reg a, Reg b) { return _mm256_mul_ps(a, b); }
    static CONTRASTRT_INLINE Reg smaller(Reg a, Reg b) { return _mm256_min_ps(a, b); }
    static CONTRASTRT_INLINE Reg larger(Reg a, Reg b) { return _mm256_max_ps(a, b); }
    static CONTRASTRT_INLINE float largest(Reg a) {
        __m128 half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
        half = _mm_max_ps(half, _mm_movehl_ps(half, half));
        return _mm_cvtss_f32(_mm_max_ss(half, _mm_shuffle_ps(half, half, 1)));
    }
    static CONTRASTRT_INLINE std::ptrdiff_t append(Reg x, Reg bound, std::int32_t first, std::int32_t* rows, float* near) {
        const int mask = _mm256_movemask_ps(_mm256_cmp_ps(x, bound, _CMP_LE_OQ));
        const Int front = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(kFronts.lanes[mask])));
        int_store(rows, int_add(front, int_all(first)));
        store(near, _mm256_permutevar8x32_ps(x, front));
        return kFronts.counts[mask];
    }

    static CONTRASTRT_INLINE Int int_all(std::int32_t x) { return _mm256_set1_epi32(x); }
    static CONTRASTRT_INLINE Int int_iota(std::int32_t first) { return int_add(int_all(first), lane_numbers()); }
    static CONTRASTRT_INLINE Int int_add(Int a, Int b) { return _mm256_add_epi32(a, b); }
    static CONTRASTRT_INLINE Int int_smaller(Int a, Int b) { return _mm256_min_epi32(a, b); }
    static CONTRASTRT_INLINE std::int32_t int_smallest(Int a) {
        __m128i half = _mm_min_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
        half = _mm_min_epi32(half, _mm_shuffle_epi32(half, 0x4E));
        return _mm_cvtsi128_si32(_mm_min_epi32(half, _mm_shuffle_epi32(half, 0xB1)));
    }
    static CONTRASTRT_INLINE void int_store(std::int32_t* to, Int x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), x); }

    static CONTRASTRT_INLINE void keep_larger(Reg& best, Int& at, Reg x, Int now) {
        at = choose(at, now, _mm256_cmp_ps(x, best, _CMP_GT_OQ));
        best = larger(best, x);
    }
    static CONTRASTRT_INLINE Int where_equal(Reg a, Reg b, Int at) {
        return choose(int_all(0x7FFFFFFF), at, _mm256_cmp_ps(a, b, _CMP_EQ_OQ));
    }
    static CONTRASTRT_INLINE Int add_less(Int sum, Reg a, Reg b) { return plus(sum, _mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
    static CONTRASTRT_INLINE Int add_at_most(Int sum, Reg a, Reg b) { return plus(sum, _mm256_cmp_ps(a, b, _CMP_LE_OQ)); }
    static CONTRASTRT_INLINE Int add_before(Int sum, Reg a, Reg b, std::int32_t lane) {
        const Reg behind = _mm256_castsi256_ps(_mm256_cmpgt_epi32(lane_numbers(), int_all(lane)));
        const Reg equal = _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ), behind);
        return plus(sum, _mm256_or_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ), equal));
    }

    static CONTRASTRT_INLINE Int plus(Int sum, Reg where) { return _mm256_sub_epi32(sum, _mm256_castps_si256(where)); }
    static CONTRASTRT_INLINE Int choose(Int a, Int b, Reg where) {
        return _mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), where));
    }
    static CONTRASTRT_INLINE Int lane_numbers() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
};

constexpr contrastrt::PointKernels kTable = contrastrt::PointLoops<Avx2>::table("avx2");

}  // namespace

const contrastrt::PointKernels* contrastrt::avx2_point_kernels() { return &kTable; }
#else
const contrastrt::PointKernels* contrastrt::avx2_point_kernels() { return nullptr; }
#endif
