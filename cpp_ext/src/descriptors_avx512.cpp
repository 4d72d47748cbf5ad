// The loops of descriptor selection for AVX-512F.
#include "descriptor_kernels.hpp"

#if defined(__AVX512F__)
#include "descriptor_avx512.hpp"

namespace {

constexpr contrastrt::Kernels kTable = contrastrt::Loops<Avx512>::table("avx512");

}  // namespace

const contrastrt::Kernels* contrastrt::avx512_kernels() { return &kTable; }
#else
const contrastrt::Kernels* contrastrt::avx512_kernels() { return nullptr; }
#endif
