// Exact Hamming search: the k nearest, or all within a radius, of packed codes. No Python here.
//
// Codes are read in tiles that fit the first-level cache. A tile is transposed once and then shown to every query, so that a
// batch reads the codes from memory once, and a single query does no more than read them. Each thread has a collector for
// each query; what they found is merged by distance and row, so the result does not depend on the number of threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

#include "hamming_avx2.hpp"
#include "hamming_avx512.hpp"
#include "hamming_collector.hpp"
#include "hamming_kernels.hpp"
#include "hamming_neon.hpp"

namespace contrastrt::hamming {

constexpr std::size_t kTileBytes = 16 << 10;
constexpr std::size_t kQueriesAtOnce = 512;         // collectors of one thread
constexpr std::size_t kBytesPerThread = 6 << 20;    // compared with a query; less takes no longer than a thread to start

// n rows of `width` bytes, one after the other.
struct Codes {
    const std::uint8_t* rows = nullptr;
    std::size_t n = 0, width = 0;

    const std::uint8_t* row(std::size_t i) const { return rows + i * width; }
};

// The kernels that this processor runs, the fastest first.
inline const std::vector<Kernel>& kernels() {
    static const std::vector<Kernel> found = [] {
        std::vector<Kernel> all;
#ifdef CONTRASTRT_HAMMING_AVX512
        if (runs_avx512()) all.push_back(kAvx512);
#endif
#ifdef CONTRASTRT_HAMMING_AVX2
        if (runs_avx2()) all.push_back(kAvx2);
#endif
#ifdef CONTRASTRT_HAMMING_NEON
        all.push_back(kNeon);
#endif
        all.push_back(kPortable);
        return all;
    }();
    return found;
}

// Calls work(0) .. work(threads - 1), each on a thread of its own, the last on this one; rethrows the first exception.
template <typename Work>
void on_threads(std::size_t threads, const Work& work) {
    std::vector<std::exception_ptr> failures(threads);
    const auto guarded = [&](std::size_t thread) {
        try {
            work(thread);
        } catch (...) {
            failures[thread] = std::current_exception();
        }
    };
    std::vector<std::thread> others;
    others.reserve(threads);
    for (std::size_t thread = 0; thread + 1 < threads; ++thread) {
        try {
            others.emplace_back(guarded, thread);
        } catch (const std::exception&) {  // the system has no thread left: do it here
            guarded(thread);
        }
    }
    guarded(threads - 1);
    for (auto& other : others) other.join();
    for (const auto& failure : failures)
        if (failure) std::rethrow_exception(failure);
}

// Memory aligned to a cache line.
class Tile {
  public:
    explicit Tile(std::size_t words) : memory_(words + 8) {
        const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
        start_ = memory_.data() + (64 - address % 64) % 64 / 8;
    }
    std::uint64_t* data() { return start_; }

  private:
    std::vector<std::uint64_t> memory_;
    std::uint64_t* start_;
};

// What is asked of each query: the k lowest hits among those nearer than `bound`.
struct Asked {
    std::size_t k;
    std::uint32_t bound;
};

// How many codes a tile holds: a multiple of kStep.
inline std::size_t tile_codes(std::size_t words) { return std::max(kStep, kTileBytes / (words * 8) / kStep * kStep); }

// Shows codes [begin, end) to the collectors of n queries.
inline void scan(const Kernel& kernel, const Codes& codes, std::size_t begin, std::size_t end, const std::uint64_t* queries,
                 std::size_t n, Collector* found, Tile& tile) {
    if (n == 1 && kernel.stream && kernel.stream(codes.row(begin), codes.width, end - begin, queries, *found, begin)) return;
    const std::size_t words = words_of(codes.width), codes_at_once = tile_codes(words);
    for (std::size_t i = begin; i < end; i += codes_at_once) {
        const std::size_t count = std::min(codes_at_once, end - i);
        kernel.transpose(codes.row(i), codes.width, count, tile.data());
        const std::size_t next = std::min(codes_at_once, end - i - count) * codes.width;  // bytes of the next tile
        for (std::size_t query = 0; query < n; ++query) {
            if (n > 1)  // each query fetches its share of the next tile
                for (std::size_t byte = next * query / n / 64 * 64; byte < next * (query + 1) / n; byte += 64)
                    prefetch(codes.row(i + count) + byte);
            kernel.scan(tile.data(), count, words, queries + query * words, found[query], i);
        }
    }
}

// Threads take chunks of codes, in ascending order, as they come free; results[i] receives what query i found.
inline void search_codes(const Kernel& kernel, const Codes& codes, const std::uint64_t* queries, std::size_t n, Asked asked,
                         std::size_t threads, std::vector<Hit>* results) {
    const std::size_t words = words_of(codes.width), codes_at_once = tile_codes(words);
    const std::size_t tiles = (codes.n + codes_at_once - 1) / codes_at_once;
    const std::size_t chunk = std::clamp<std::size_t>(tiles / (threads * 16), 1, 64) * codes_at_once;
    std::vector<std::vector<Collector>> found(threads);
    std::atomic<std::size_t> next{0};
    on_threads(threads, [&](std::size_t thread) {
        found[thread].assign(n, Collector(asked.k, asked.bound, Order::ascending));
        Tile tile(codes_at_once * words);
        for (std::size_t begin; (begin = next.fetch_add(chunk)) < codes.n;)
            scan(kernel, codes, begin, std::min(begin + chunk, codes.n), queries, n, found[thread].data(), tile);
    });
    for (std::size_t query = 0; query < n; ++query) {
        std::vector<Hit> all = found[0][query].finish();
        for (std::size_t thread = 1; thread < threads; ++thread) {
            const std::size_t middle = all.size();
            const std::vector<Hit> more = found[thread][query].finish();
            all.insert(all.end(), more.begin(), more.end());
            std::inplace_merge(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(middle), all.end());
        }
        if (all.size() > asked.k) all.resize(asked.k);
        results[query] = std::move(all);
    }
}

// For each query its hits in order. `threads` is the most that are started: a small search takes fewer.
inline std::vector<std::vector<Hit>> search(const Kernel& kernel, const Codes& codes, const Codes& queries, Asked asked,
                                            std::size_t threads) {
    std::vector<std::vector<Hit>> results(queries.n);
    if (codes.n == 0 || queries.n == 0 || asked.k == 0 || asked.bound == 0) return results;
    const std::size_t words = words_of(codes.width);
    std::vector<std::uint64_t> filled(queries.n * words);
    for (std::size_t i = 0; i < queries.n; ++i) to_words(queries.row(i), queries.width, filled.data() + i * words);

    const std::size_t blocks = (queries.n + kQueriesAtOnce - 1) / kQueriesAtOnce;
    const std::size_t bytes = codes.n * codes.width;
    const double work = static_cast<double>(bytes) * static_cast<double>(std::min(queries.n, kQueriesAtOnce));
    threads = std::max<std::size_t>(1, std::min(threads, static_cast<std::size_t>(work / kBytesPerThread)));
    if (bytes / kTileBytes >= 4 * threads || queries.n < 4 * threads) {
        for (std::size_t block = 0; block < blocks; ++block) {
            const std::size_t begin = block * kQueriesAtOnce, n = std::min(kQueriesAtOnce, queries.n - begin);
            search_codes(kernel, codes, filled.data() + begin * words, n, asked, threads, results.data() + begin);
        }
        return results;
    }
    // Few codes and many queries: threads take queries.
    const std::size_t share = std::min(kQueriesAtOnce, (queries.n + threads - 1) / threads);
    std::atomic<std::size_t> next{0};
    on_threads(threads, [&](std::size_t) {
        for (std::size_t begin; (begin = next.fetch_add(share)) < queries.n;)
            search_codes(kernel, codes, filled.data() + begin * words, std::min(share, queries.n - begin), asked, 1,
                         results.data() + begin);
    });
    return results;
}

// The exclusive or of all whole words of a block of bytes, read by several threads: what no search can be faster than.
inline std::uint64_t read(const Kernel& kernel, const std::uint8_t* bytes, std::size_t n, std::size_t threads) {
    std::vector<std::uint64_t> sums(threads);
    const std::size_t words = n / 8, chunk = std::clamp<std::size_t>(words / (threads * 16) / 32 * 32, 32, 1 << 17);
    std::atomic<std::size_t> next{0};
    on_threads(threads, [&](std::size_t thread) {
        std::uint64_t sum = 0;
        for (std::size_t begin; (begin = next.fetch_add(chunk)) < words;)
            sum ^= kernel.read(bytes + 8 * begin, std::min(chunk, words - begin));
        sums[thread] = sum;
    });
    std::uint64_t sum = 0;
    for (const std::uint64_t part : sums) sum ^= part;
    return sum;
}

}  // namespace contrastrt::hamming
