// The Hamming scan's inner loops for AVX-512 with VPOPCNTDQ: eight codes a register. No Python here.
#pragma once

#include "hamming_kernels.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#define CONTRASTRT_HAMMING_AVX512
#include "hamming_x86.hpp"

#define CONTRASTRT_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,bmi2")))

namespace contrastrt::hamming {

// Eight rows of eight words -> eight words of eight rows.
CONTRASTRT_TARGET inline void transpose_words_avx512(__m512i r[8]) {
    __m512i a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm512_unpacklo_epi64(r[i], r[i + 1]);      // words 0 2 4 6 of rows i, i + 1
        a[i + 1] = _mm512_unpackhi_epi64(r[i], r[i + 1]);  // words 1 3 5 7
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; ++j) {
            b[i + j] = _mm512_shuffle_i64x2(a[i + j], a[i + j + 2], 0x88);      // words j, j + 4 of rows i .. i + 3
            b[i + j + 2] = _mm512_shuffle_i64x2(a[i + j], a[i + j + 2], 0xDD);  // words j + 2, j + 6
        }
    for (int j = 0; j < 4; ++j) {
        // Lanes of b[j]: word j of rows 0 1, word j + 4 of rows 0 1, word j of rows 2 3, word j + 4 of rows 2 3.
        r[j] = _mm512_shuffle_i64x2(b[j], b[j + 4], 0x88);
        r[j + 4] = _mm512_shuffle_i64x2(b[j], b[j + 4], 0xDD);
    }
}

// Rows of any width, 64 bytes of eight rows at a time; bytes beyond a row are masked away, so nothing beyond is read.
CONTRASTRT_TARGET inline void transpose_any_avx512(const std::uint8_t* rows, std::size_t width, std::size_t n,
                                                   std::uint64_t* tile) {
    const std::size_t words = words_of(width);
    for (std::size_t i = 0; i < n; i += kGroup)
        for (std::size_t w = 0; w < words; w += 8) {
            const std::size_t bytes = width - 8 * w < 64 ? width - 8 * w : 64;
            const __mmask64 mask = bytes == 64 ? ~__mmask64{0} : (__mmask64{1} << bytes) - 1;
            __m512i r[8];
            for (std::size_t row = 0; row < kGroup; ++row) {
                const std::uint8_t* from = rows + (i + row) * width + 8 * w;
                r[row] = i + row < n ? _mm512_maskz_loadu_epi8(mask, from) : _mm512_setzero_si512();
                _mm_prefetch(reinterpret_cast<const char*>(from) + kAhead, _MM_HINT_T0);
            }
            transpose_words_avx512(r);
            std::uint64_t* to = tile + (i * words + w * kGroup);
            for (std::size_t word = 0; word < 8 && w + word < words; ++word) _mm512_store_si512(to + word * kGroup, r[word]);
        }
}

CONTRASTRT_TARGET inline void transpose_avx512(const std::uint8_t* rows, std::size_t width, std::size_t n, std::uint64_t* tile) {
    const std::size_t whole = n / kGroup * kGroup;
    const auto* from = rows;
    if (width == 8) {
        for (std::size_t i = 0; i < whole; i += kGroup) {
            _mm_prefetch(reinterpret_cast<const char*>(rows + i * 8) + kAhead, _MM_HINT_T0);
            _mm512_store_si512(tile + i, _mm512_loadu_si512(rows + i * 8));
        }
    } else if (width == 16) {
        const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14), odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
        for (std::size_t i = 0; i < whole; i += kGroup, from += 128) {
            _mm_prefetch(reinterpret_cast<const char*>(from) + kAhead, _MM_HINT_T0);
            _mm_prefetch(reinterpret_cast<const char*>(from) + kAhead + 64, _MM_HINT_T0);
            const __m512i a = _mm512_loadu_si512(from), b = _mm512_loadu_si512(from + 64);
            _mm512_store_si512(tile + i * 2, _mm512_permutex2var_epi64(a, even, b));
            _mm512_store_si512(tile + i * 2 + 8, _mm512_permutex2var_epi64(a, odd, b));
        }
    } else if (width == 32) {
        const __m512i low = _mm512_setr_epi64(0, 4, 8, 12, 1, 5, 9, 13), high = _mm512_setr_epi64(2, 6, 10, 14, 3, 7, 11, 15);
        for (std::size_t i = 0; i < whole; i += kGroup, from += 256) {
            for (int line = 0; line < 256; line += 64)
                _mm_prefetch(reinterpret_cast<const char*>(from) + kAhead + line, _MM_HINT_T0);
            const __m512i a = _mm512_loadu_si512(from), b = _mm512_loadu_si512(from + 64);
            const __m512i c = _mm512_loadu_si512(from + 128), d = _mm512_loadu_si512(from + 192);
            const __m512i ab = _mm512_permutex2var_epi64(a, low, b), cd = _mm512_permutex2var_epi64(c, low, d);
            const __m512i ef = _mm512_permutex2var_epi64(a, high, b), gh = _mm512_permutex2var_epi64(c, high, d);
            std::uint64_t* to = tile + i * 4;
            _mm512_store_si512(to, _mm512_shuffle_i64x2(ab, cd, 0x44));
            _mm512_store_si512(to + 8, _mm512_shuffle_i64x2(ab, cd, 0xEE));
            _mm512_store_si512(to + 16, _mm512_shuffle_i64x2(ef, gh, 0x44));
            _mm512_store_si512(to + 24, _mm512_shuffle_i64x2(ef, gh, 0xEE));
        }
    } else {
        transpose_any_avx512(rows, width, n, tile);
        return;
    }
    if (whole < n) transpose_any_avx512(rows + whole * width, width, n - whole, tile + whole * words_of(width));
}

// Hands the collector what is nearer than its limit among four registers of distances, 32 codes from row `row` on.
CONTRASTRT_TARGET inline void offer_avx512(const __m512i d[4], std::size_t n, std::uint64_t row, Collector& found, __m512i& limit) {
    const __m512i nearest = _mm512_min_epu64(_mm512_min_epu64(d[0], d[1]), _mm512_min_epu64(d[2], d[3]));
    if (__builtin_expect(_mm512_cmplt_epu64_mask(nearest, limit) == 0, 1)) return;
    std::uint64_t mask = 0;
    alignas(64) std::uint64_t distances[kStep];
    for (std::size_t g = 0; g < 4; ++g) {
        mask |= static_cast<std::uint64_t>(_mm512_cmplt_epu64_mask(d[g], limit)) << (g * kGroup);
        _mm512_store_si512(distances + g * kGroup, d[g]);
    }
    mask &= valid(n);
    if (mask == 0) return;
    found.take(mask, distances, row);
    limit = _mm512_set1_epi64(found.limit());
}

// W is the number of words where it is known when compiling, so that the query stays in registers; else 0.
template <std::size_t W>
CONTRASTRT_TARGET void scan_words_avx512(const std::uint64_t* tile, std::size_t n, std::size_t any, const std::uint64_t* query,
                                         Collector& found, std::uint64_t first_row) {
    const std::size_t words = W ? W : any;
    __m512i asked[W ? W : 1];
    for (std::size_t w = 0; w < W; ++w) asked[w] = _mm512_set1_epi64(static_cast<long long>(query[w]));
    __m512i limit = _mm512_set1_epi64(found.limit());
    for (std::size_t i = 0; i < n; i += kStep) {
        __m512i d[4];
        const std::uint64_t* group = tile + i * words;
        for (auto& sum : d) sum = _mm512_setzero_si512();
        for (std::size_t w = 0; w < words; ++w) {
            const __m512i word = W ? asked[W ? w : 0] : _mm512_set1_epi64(static_cast<long long>(query[w]));
            for (std::size_t g = 0; g < 4; ++g) {
                const __m512i differ = _mm512_xor_si512(word, _mm512_loadu_si512(group + (g * words + w) * kGroup));
                d[g] = _mm512_add_epi64(d[g], _mm512_popcnt_epi64(differ));
            }
        }
        offer_avx512(d, n - i, first_row + i, found, limit);
    }
}

inline void scan_avx512(const std::uint64_t* tile, std::size_t n, std::size_t words, const std::uint64_t* query,
                        Collector& found, std::uint64_t first_row) {
    switch (words) {
        case 1: return scan_words_avx512<1>(tile, n, words, query, found, first_row);
        case 2: return scan_words_avx512<2>(tile, n, words, query, found, first_row);
        case 4: return scan_words_avx512<4>(tile, n, words, query, found, first_row);
        case 8: return scan_words_avx512<8>(tile, n, words, query, found, first_row);
        default: return scan_words_avx512<0>(tile, n, words, query, found, first_row);
    }
}

// Sums of pairs of lanes, those of a and b in turn.
CONTRASTRT_TARGET inline __m512i add_pairs_avx512(__m512i a, __m512i b) {
    return _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

// Sums of pairs of 128-bit blocks, those of a before those of b.
CONTRASTRT_TARGET inline __m512i add_blocks_avx512(__m512i a, __m512i b) {
    return _mm512_add_epi64(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xDD));
}

// The distances of eight rows of W bytes, W one of 8, 16, 32 and 64; `asked` is the query, repeated to fill a register.
template <std::size_t W>
CONTRASTRT_TARGET inline __m512i eight_rows_avx512(const std::uint8_t* rows, __m512i asked) {
    __m512i counts[W / 8];
    for (std::size_t i = 0; i < W / 8; ++i) {
        _mm_prefetch(reinterpret_cast<const char*>(rows) + kAhead + 64 * i, _MM_HINT_T0);
        counts[i] = _mm512_popcnt_epi64(_mm512_xor_si512(asked, _mm512_loadu_si512(rows + 64 * i)));
    }
    if constexpr (W == 8) {
        return counts[0];
    } else if constexpr (W == 16) {
        const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
        return _mm512_permutexvar_epi64(order, add_pairs_avx512(counts[0], counts[1]));
    } else if constexpr (W == 32) {
        const __m512i order = _mm512_setr_epi64(0, 2, 1, 3, 4, 6, 5, 7);
        const __m512i low = add_pairs_avx512(counts[0], counts[1]), high = add_pairs_avx512(counts[2], counts[3]);
        return _mm512_permutexvar_epi64(order, add_blocks_avx512(low, high));
    } else {
        __m512i pairs[4];
        for (std::size_t i = 0; i < 4; ++i) pairs[i] = add_pairs_avx512(counts[2 * i], counts[2 * i + 1]);
        return add_blocks_avx512(add_blocks_avx512(pairs[0], pairs[1]), add_blocks_avx512(pairs[2], pairs[3]));
    }
}

template <std::size_t W>
CONTRASTRT_TARGET inline void stream_rows_avx512(const std::uint8_t* rows, std::size_t n, const std::uint64_t* query,
                                                 Collector& found, std::uint64_t first_row) {
    alignas(64) std::uint64_t repeated[8];
    for (std::size_t w = 0; w < 8; ++w) repeated[w] = query[w % (W / 8)];
    const __m512i asked = _mm512_load_si512(repeated);
    __m512i limit = _mm512_set1_epi64(found.limit());
    std::size_t i = 0;
    for (; i + kStep <= n; i += kStep) {
        __m512i d[4];
        for (std::size_t g = 0; g < 4; ++g) {
            const std::uint8_t* from = rows + (i + g * kGroup) * W;
            d[g] = eight_rows_avx512<W>(from, asked);
        }
        offer_avx512(d, kStep, first_row + i, found, limit);
    }
    if (i == n) return;
    alignas(64) std::uint8_t last[kStep * W] = {};
    std::memcpy(last, rows + i * W, (n - i) * W);
    __m512i d[4];
    for (std::size_t g = 0; g < 4; ++g) d[g] = eight_rows_avx512<W>(last + g * kGroup * W, asked);
    offer_avx512(d, n - i, first_row + i, found, limit);
}

inline bool stream_avx512(const std::uint8_t* rows, std::size_t width, std::size_t n, const std::uint64_t* query,
                          Collector& found, std::uint64_t first_row) {
    switch (width) {
        case 8: stream_rows_avx512<8>(rows, n, query, found, first_row); return true;
        case 16: stream_rows_avx512<16>(rows, n, query, found, first_row); return true;
        case 32: stream_rows_avx512<32>(rows, n, query, found, first_row); return true;
        case 64: stream_rows_avx512<64>(rows, n, query, found, first_row); return true;
        default: return false;
    }
}

CONTRASTRT_TARGET inline std::uint64_t read_avx512(const std::uint8_t* bytes, std::size_t n) {
    __m512i sums[4] = {};
    std::size_t i = 0;
    for (; i + 32 <= n; i += 32)
        for (std::size_t lane = 0; lane < 4; ++lane) {
            const std::uint8_t* from = bytes + 8 * i + 64 * lane;
            _mm_prefetch(reinterpret_cast<const char*>(from) + kAhead, _MM_HINT_T0);
            sums[lane] = _mm512_xor_si512(sums[lane], _mm512_loadu_si512(from));
        }
    alignas(64) std::uint64_t lanes[8];
    _mm512_store_si512(lanes, _mm512_xor_si512(_mm512_xor_si512(sums[0], sums[1]), _mm512_xor_si512(sums[2], sums[3])));
    std::uint64_t sum = 0;
    for (const std::uint64_t lane : lanes) sum ^= lane;
    for (; i < n; ++i) sum ^= word_at(bytes + 8 * i);
    return sum;
}

constexpr Kernel kAvx512{"avx512", transpose_avx512, scan_avx512, stream_avx512, read_avx512};

inline bool runs_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("bmi2");
}

}  // namespace contrastrt::hamming

#undef CONTRASTRT_TARGET
#endif
