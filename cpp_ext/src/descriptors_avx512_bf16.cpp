// The image-to-class score with products of bfloat16 pairs, summed in float32 (AVX-512 BF16).
#include "descriptor_kernels.hpp"

#if defined(__AVX512F__) && defined(__AVX512BF16__)
#include "descriptor_avx512.hpp"

namespace {

struct Avx512Bf16 : Avx512 {
    static constexpr bool pairs = true;

    static CONTRASTRT_INLINE __m512i widened(Reg x) { return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x)); }
    static CONTRASTRT_INLINE Reg pair(Reg low, Reg high) {
        return _mm512_castsi512_ps(_mm512_or_si512(widened(low), _mm512_slli_epi32(widened(high), 16)));
    }
    static CONTRASTRT_INLINE void narrow(Reg x, std::uint32_t* to) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), (__m256i)_mm512_cvtneps_pbh(x));
    }
    static CONTRASTRT_INLINE Reg all_pairs(std::uint32_t x) { return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(x))); }
    static CONTRASTRT_INLINE Reg dot(Reg a, Reg b, Reg sum) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }
};

constexpr contrastrt::Kernels kTable = contrastrt::Loops<Avx512Bf16>::table("bf16");

}  // namespace

const contrastrt::Kernels* contrastrt::bf16_kernels() { return &kTable; }
#else
const contrastrt::Kernels* contrastrt::bf16_kernels() { return nullptr; }
#endif
