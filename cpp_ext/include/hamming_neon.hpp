// The Hamming scan's inner loops for NEON, which every aarch64 processor has: two codes a register. No Python here.
#pragma once

#include "hamming_kernels.hpp"

#if defined(__aarch64__) && defined(__GNUC__)
#define CONTRASTRT_HAMMING_NEON
#include <arm_neon.h>

namespace contrastrt::hamming {

inline void transpose_neon(const std::uint8_t* rows, std::size_t width, std::size_t n, std::uint64_t* tile) {
    for (std::size_t byte = 0; byte < n * width; byte += 64) prefetch(rows + byte + kAhead);
    if (width == 8)
        std::memcpy(tile, rows, n * 8);
    else
        transpose_portable(rows, width, n, tile);
}

inline void scan_neon(const std::uint64_t* tile, std::size_t n, std::size_t words, const std::uint64_t* query, Collector& found,
                      std::uint64_t first_row) {
    constexpr std::size_t fits = 31;  // words whose counts a byte holds: 8 * 31 < 256
    for (std::size_t i = 0; i < n; i += kStep) {
        std::uint64_t distances[kStep];
        uint32x4_t nearest = vdupq_n_u32(0xFFFFFFFFu);
        for (std::size_t g = 0; g < kStep; g += kGroup) {
            const std::uint64_t* group = tile + (i + g) * words;
            uint64x2_t sums[4] = {vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0)};
            for (std::size_t begin = 0; begin < words; begin += fits) {
                const std::size_t end = words - begin < fits ? words : begin + fits;
                uint8x16_t bytes[4] = {vdupq_n_u8(0), vdupq_n_u8(0), vdupq_n_u8(0), vdupq_n_u8(0)};
                for (std::size_t w = begin; w < end; ++w) {
                    const uint64x2_t word = vdupq_n_u64(query[w]);
                    for (std::size_t pair = 0; pair < 4; ++pair) {
                        const uint64x2_t differ = veorq_u64(word, vld1q_u64(group + w * kGroup + pair * 2));
                        bytes[pair] = vaddq_u8(bytes[pair], vcntq_u8(vreinterpretq_u8_u64(differ)));
                    }
                }
                for (std::size_t pair = 0; pair < 4; ++pair)
                    sums[pair] = vaddq_u64(sums[pair], vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(bytes[pair]))));
            }
            for (std::size_t pair = 0; pair < 4; ++pair) {
                vst1q_u64(distances + g + pair * 2, sums[pair]);
                // The upper half of a distance is 0: made all ones, the minimum over 32-bit fields is that of the distances.
                const uint64x2_t filled = vorrq_u64(sums[pair], vdupq_n_u64(0xFFFFFFFF00000000u));
                nearest = vminq_u32(nearest, vreinterpretq_u32_u64(filled));
            }
        }
        const std::uint64_t limit = found.limit();
        if (__builtin_expect(vminvq_u32(nearest) >= limit, 1)) continue;
        std::uint64_t mask = 0;
        for (std::size_t lane = 0; lane < kStep; ++lane) mask |= static_cast<std::uint64_t>(distances[lane] < limit) << lane;
        if (mask &= valid(n - i)) found.take(mask, distances, first_row + i);
    }
}

constexpr Kernel kNeon{"neon", transpose_neon, scan_neon, nullptr, read_portable};

}  // namespace contrastrt::hamming

#endif
