// The Hamming scan's inner loops for AVX2: four codes a register, bits counted by a table of nibbles. No Python here.
#pragma once

#include "hamming_kernels.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#define CONTRASTRT_HAMMING_AVX2
#include "hamming_x86.hpp"

#define CONTRASTRT_TARGET __attribute__((target("avx2")))

namespace contrastrt::hamming {

// Four rows of four words -> four words of four rows.
CONTRASTRT_TARGET inline void transpose_words_avx2(__m256i r[4]) {
    const __m256i a = _mm256_unpacklo_epi64(r[0], r[1]), b = _mm256_unpackhi_epi64(r[0], r[1]);
    const __m256i c = _mm256_unpacklo_epi64(r[2], r[3]), d = _mm256_unpackhi_epi64(r[2], r[3]);
    r[0] = _mm256_permute2x128_si256(a, c, 0x20);
    r[1] = _mm256_permute2x128_si256(b, d, 0x20);
    r[2] = _mm256_permute2x128_si256(a, c, 0x31);
    r[3] = _mm256_permute2x128_si256(b, d, 0x31);
}

CONTRASTRT_TARGET inline void transpose_avx2(const std::uint8_t* rows, std::size_t width, std::size_t n, std::uint64_t* tile) {
    if (width == 8) {
        for (std::size_t byte = 0; byte < n * 8; byte += 64) prefetch(rows + byte + kAhead);
        std::memcpy(tile, rows, n * 8);
        return;
    }
    const std::size_t words = words_of(width), whole = width % 32 ? 0 : n / 4 * 4;
    for (std::size_t i = 0; i < whole; i += 4)
        for (std::size_t w = 0; w < words; w += 4) {
            __m256i r[4];
            for (std::size_t row = 0; row < 4; ++row) {
                const std::uint8_t* from = rows + (i + row) * width + 8 * w;
                r[row] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
                if ((row & 1) == 0) prefetch(from + kAhead);
            }
            transpose_words_avx2(r);
            std::uint64_t* to = tile + i / kGroup * kGroup * words + w * kGroup + i % kGroup;
            for (std::size_t word = 0; word < 4; ++word)
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + word * kGroup), r[word]);
        }
    if (whole == 0) {
        for (std::size_t byte = 0; byte < n * width; byte += 64) prefetch(rows + byte + kAhead);
        transpose_portable(rows, width, n, tile);
    } else if (whole < n) {  // a tile's start is a multiple of eight rows, so the rest may share its group
        for (std::size_t i = whole; i < n; ++i)
            for (std::size_t w = 0; w < words; ++w)
                std::memcpy(tile + i / kGroup * kGroup * words + w * kGroup + i % kGroup, rows + i * width + 8 * w, 8);
    }
}

template <std::size_t W>
CONTRASTRT_TARGET void scan_words_avx2(const std::uint64_t* tile, std::size_t n, std::size_t any, const std::uint64_t* query,
                                       Collector& found, std::uint64_t first_row) {
    const std::size_t words = W ? W : any;
    constexpr std::size_t fits = 31;  // words whose counts a byte holds: 8 * 31 < 256
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3,
                                           3, 4);
    const __m256i nibble = _mm256_set1_epi8(15), zero = _mm256_setzero_si256();
    __m256i asked[W ? W : 1];
    for (std::size_t w = 0; w < W; ++w) asked[w] = _mm256_set1_epi64x(static_cast<long long>(query[w]));
    __m256i limit = _mm256_set1_epi64x(found.limit());
    for (std::size_t i = 0; i < n; i += kStep) {
        __m256i d[8];
        for (std::size_t half = 0; half < 8; ++half) {
            const std::uint64_t* group = tile + (i + half / 2 * kGroup) * words + half % 2 * 4;
            __m256i sum = zero;
            for (std::size_t begin = 0; begin < words; begin += fits) {
                const std::size_t end = words - begin < fits ? words : begin + fits;
                __m256i bytes = zero;
                for (std::size_t w = begin; w < end; ++w) {
                    const __m256i word = W ? asked[W ? w : 0] : _mm256_set1_epi64x(static_cast<long long>(query[w]));
                    const auto* at = reinterpret_cast<const __m256i*>(group + w * kGroup);
                    const __m256i differ = _mm256_xor_si256(word, _mm256_loadu_si256(at));
                    const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(differ, nibble));
                    const __m256i high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(differ, 4), nibble));
                    bytes = _mm256_add_epi8(bytes, _mm256_add_epi8(low, high));
                }
                sum = _mm256_add_epi64(sum, _mm256_sad_epu8(bytes, zero));
            }
            d[half] = sum;
        }
        __m256i nearest = d[0];
        for (std::size_t half = 1; half < 8; ++half) nearest = _mm256_min_epu32(nearest, d[half]);
        if (__builtin_expect(_mm256_movemask_epi8(_mm256_cmpgt_epi64(limit, nearest)) == 0, 1)) continue;
        std::uint64_t mask = 0;
        alignas(32) std::uint64_t distances[kStep];
        for (std::size_t half = 0; half < 8; ++half) {
            const int four = _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(limit, d[half])));
            mask |= static_cast<std::uint64_t>(four) << (half * 4);
            _mm256_store_si256(reinterpret_cast<__m256i*>(distances + half * 4), d[half]);
        }
        if (mask &= valid(n - i)) {
            found.take(mask, distances, first_row + i);
            limit = _mm256_set1_epi64x(found.limit());
        }
    }
}

inline void scan_avx2(const std::uint64_t* tile, std::size_t n, std::size_t words, const std::uint64_t* query, Collector& found,
                      std::uint64_t first_row) {
    switch (words) {
        case 1: return scan_words_avx2<1>(tile, n, words, query, found, first_row);
        case 2: return scan_words_avx2<2>(tile, n, words, query, found, first_row);
        case 4: return scan_words_avx2<4>(tile, n, words, query, found, first_row);
        case 8: return scan_words_avx2<8>(tile, n, words, query, found, first_row);
        default: return scan_words_avx2<0>(tile, n, words, query, found, first_row);
    }
}

CONTRASTRT_TARGET inline std::uint64_t read_avx2(const std::uint8_t* bytes, std::size_t n) {
    __m256i sums[4] = {};
    std::size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        prefetch(bytes + 8 * i + kAhead);
        prefetch(bytes + 8 * i + kAhead + 64);
        for (std::size_t lane = 0; lane < 4; ++lane) {
            const auto* from = reinterpret_cast<const __m256i*>(bytes + 8 * i + 32 * lane);
            sums[lane] = _mm256_xor_si256(sums[lane], _mm256_loadu_si256(from));
        }
    }
    alignas(32) std::uint64_t lanes[4];
    const __m256i all = _mm256_xor_si256(_mm256_xor_si256(sums[0], sums[1]), _mm256_xor_si256(sums[2], sums[3]));
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), all);
    std::uint64_t sum = 0;
    for (const std::uint64_t lane : lanes) sum ^= lane;
    for (; i < n; ++i) sum ^= word_at(bytes + 8 * i);
    return sum;
}

constexpr Kernel kAvx2{"avx2", transpose_avx2, scan_avx2, nullptr, read_avx2};

inline bool runs_avx2() { return __builtin_cpu_supports("avx2"); }

}  // namespace contrastrt::hamming

#undef CONTRASTRT_TARGET
#endif
