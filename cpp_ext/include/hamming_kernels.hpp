// What the inner loops of the Hamming scan share: the layout of a tile, the table of kernels, and the portable one. No Python here.
//
// A tile holds codes in groups of eight: word 0 of eight codes, word 1 of the same eight, and so on, 64 bytes each. A vector
// register then holds one word of eight (or four, or two) codes, and counts add up without sums across lanes. Every kernel
// uses this layout; they differ in how they transpose rows into it and how they count bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hamming_collector.hpp"

namespace contrastrt::hamming {

constexpr std::size_t kGroup = 8;   // codes side by side in a tile
constexpr std::size_t kStep = 32;   // codes that a scan tests at once; a tile is filled up to a multiple with anything
constexpr std::size_t kAhead = 4096;  // bytes that a transposition prefetches ahead

// One set of inner loops.
struct Kernel {
    const char* name;
    // Rows of `width` bytes into a tile; bytes beyond the row, up to whole words, become 0.
    void (*transpose)(const std::uint8_t* rows, std::size_t width, std::size_t n, std::uint64_t* tile);
    // Shows the collector every one of n codes that is nearer than its limit.
    void (*scan)(const std::uint64_t* tile, std::size_t n, std::size_t words, const std::uint64_t* query, Collector& found,
                 std::uint64_t first_row);
    // The same for one query straight from rows, without a tile; false where it has no way for this width. May be null.
    bool (*stream)(const std::uint8_t* rows, std::size_t width, std::size_t n, const std::uint64_t* query, Collector& found,
                   std::uint64_t first_row);
    // The exclusive or of n words of 8 bytes: what reading costs without any work.
    std::uint64_t (*read)(const std::uint8_t* bytes, std::size_t n);
};

inline std::size_t words_of(std::size_t width) { return (width + 7) / 8; }
inline std::size_t padded(std::size_t n) { return (n + kStep - 1) / kStep * kStep; }

// The lowest n of 32 bits: codes beyond the end of a tile's last step are no codes.
inline std::uint64_t valid(std::size_t n) { return n >= kStep ? 0xFFFFFFFFu : (std::uint64_t{1} << n) - 1; }

inline void prefetch(const void* address) {
#if defined(__GNUC__)
    __builtin_prefetch(address, 0, 3);
#else
    (void)address;
#endif
}

// The words of a row, the last one filled up with zeros.
inline void to_words(const std::uint8_t* row, std::size_t width, std::uint64_t* words) {
    words[words_of(width) - 1] = 0;
    std::memcpy(words, row, width);
}

inline void transpose_portable(const std::uint8_t* rows, std::size_t width, std::size_t n, std::uint64_t* tile) {
    const std::size_t words = words_of(width), whole = width / 8, rest = width % 8;
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint8_t* row = rows + i * width;
        std::uint64_t* to = tile + i / kGroup * kGroup * words + i % kGroup;
        for (std::size_t w = 0; w < whole; ++w) std::memcpy(to + w * kGroup, row + 8 * w, 8);
        if (rest) {
            std::uint64_t last = 0;
            std::memcpy(&last, row + 8 * whole, rest);
            to[whole * kGroup] = last;
        }
    }
}

// Set bits of a word, by adding ever wider fields (Warren, Hacker's Delight, sec. 5-1).
inline std::uint64_t count_bits(std::uint64_t x) {
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
    return x * 0x0101010101010101u >> 56;
}

inline void scan_portable(const std::uint64_t* tile, std::size_t n, std::size_t words, const std::uint64_t* query,
                          Collector& found, std::uint64_t first_row) {
    for (std::size_t i = 0; i < n; i += kStep) {
        std::uint64_t distances[kStep] = {};
        for (std::size_t g = 0; g < kStep; g += kGroup) {
            const std::uint64_t* group = tile + (i + g) * words;
            for (std::size_t w = 0; w < words; ++w)
                for (std::size_t lane = 0; lane < kGroup; ++lane)
                    distances[g + lane] += count_bits(group[w * kGroup + lane] ^ query[w]);
        }
        std::uint64_t mask = 0;
        const std::uint64_t limit = found.limit();
        for (std::size_t lane = 0; lane < kStep; ++lane) mask |= static_cast<std::uint64_t>(distances[lane] < limit) << lane;
        if (mask &= valid(n - i)) found.take(mask, distances, first_row + i);
    }
}

inline std::uint64_t word_at(const std::uint8_t* bytes) {
    std::uint64_t word;
    std::memcpy(&word, bytes, 8);
    return word;
}

inline std::uint64_t read_portable(const std::uint8_t* bytes, std::size_t n) {
    std::uint64_t sums[8] = {};
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        prefetch(bytes + 8 * i + kAhead);
        for (std::size_t lane = 0; lane < 8; ++lane) sums[lane] ^= word_at(bytes + 8 * (i + lane));
    }
    std::uint64_t sum = 0;
    for (; i < n; ++i) sum ^= word_at(bytes + 8 * i);
    for (const std::uint64_t lane : sums) sum ^= lane;
    return sum;
}

constexpr Kernel kPortable{"portable", transpose_portable, scan_portable, nullptr, read_portable};

}  // namespace contrastrt::hamming
