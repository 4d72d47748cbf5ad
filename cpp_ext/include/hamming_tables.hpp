// Multi-index hashing: exact Hamming search that looks only where near codes can be (Norouzi, Punjani, Fleet 2012). No Python here.
//
// A code's bits are cut into m substrings, and a table for each substring lists the codes by its value, the codes themselves
// in the bucket. If all of substrings 0 .. j have been probed up to a differing bits and the others up to a - 1, a code that was not met
// differs by more than a in each of the former and by a or more in each of the latter, so by more than m a + j in all. The
// search widens a and j until nothing unmet can matter, which makes it exact. A code met in several tables is taken in the
// first that meets it, which the differing bits of its substrings tell without a set.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <vector>

#include "hamming.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#if defined(__GNUC__)
#define CONTRASTRT_INLINE inline __attribute__((always_inline))
#else
#define CONTRASTRT_INLINE inline
#endif

namespace contrastrt::hamming {

constexpr std::size_t kMostSubstringBits = 24;  // 2^24 buckets of a table are 64 MB
constexpr std::size_t kProbesAtOnce = 32;       // whose memory is fetched before it is used

// What the steps of a search cost in nanoseconds, about: measured by `python -m benchmarks.hamming --tables`.
constexpr double kProbeCost = 25.0;
constexpr double kCandidateCost = 2.0;

// Memory in huge pages where the system has them: buckets are read in no order, and with small pages each read also misses the
// processor's table of pages.
template <typename T>
struct LargePages {
    using value_type = T;
    static constexpr std::size_t kPage = 2 << 20;

    LargePages() = default;
    template <typename Other>
    LargePages(const LargePages<Other>&) {}  // NOLINT: allocators convert

    T* allocate(std::size_t n) {
        const std::size_t bytes = n * sizeof(T);
        const std::align_val_t alignment{bytes < kPage ? alignof(std::max_align_t) : kPage};
        void* memory = ::operator new(bytes, alignment);
#if defined(__linux__)
        if (bytes >= kPage) madvise(memory, bytes, MADV_HUGEPAGE);  // advice: a refusal changes nothing
#endif
        return static_cast<T*>(memory);
    }
    void deallocate(T* memory, std::size_t n) {
        ::operator delete(memory, std::align_val_t{n * sizeof(T) < kPage ? alignof(std::max_align_t) : kPage});
    }
    bool operator==(const LargePages&) const { return true; }
    bool operator!=(const LargePages&) const { return false; }
};

template <typename T>
using Large = std::vector<T, LargePages<T>>;

struct Substring {
    std::size_t first, bits;

    std::uint64_t of(const std::uint64_t* words) const {
        const std::size_t word = first / 64, shift = first % 64;
        std::uint64_t value = words[word] >> shift;
        if (shift + bits > 64) value |= words[word + 1] << (64 - shift);
        return value & ((std::uint64_t{1} << bits) - 1);
    }
};

struct Table {
    Substring substring;
    Large<std::uint32_t> offsets;  // bucket b holds [offsets[b], offsets[b + 1])
    Large<std::uint64_t> codes;
    Large<std::uint32_t> rows;
};

struct SoftwareCount {
    CONTRASTRT_INLINE std::uint32_t operator()(std::uint64_t x) const { return static_cast<std::uint32_t>(count_bits(x)); }
};
#if defined(__GNUC__)
struct HardwareCount {  // inlined into a function whose target has the instruction
    CONTRASTRT_INLINE std::uint32_t operator()(std::uint64_t x) const {
        return static_cast<std::uint32_t>(__builtin_popcountll(x));
    }
};
#endif

class Tables {
  public:
    // `substrings` of nearly equal length; 0 takes as many as make buckets of about one code.
    Tables(const Codes& codes, std::size_t substrings, std::size_t threads) : n_(codes.n), width_(codes.width) {
        if (codes.n >= 0xFFFFFFFFu) throw std::invalid_argument("tables hold fewer than 4294967295 codes");
        const std::size_t bits = codes.width * 8, fewest = (bits + kMostSubstringBits - 1) / kMostSubstringBits;
        if (substrings == 0) {
            std::size_t length = 8;
            while (length < kMostSubstringBits && (std::size_t{1} << length) < codes.n) ++length;
            substrings = (bits + length / 2) / length;
        }
        substrings = std::clamp<std::size_t>(substrings, fewest, bits);
        std::size_t first = 0;
        for (std::size_t j = 0; j < substrings; ++j) {
            const std::size_t length = bits / substrings + (j < bits % substrings ? 1 : 0);
            tables_.push_back({{first, length}, {}, {}, {}});
            first += length;
        }
        std::atomic<std::size_t> next{0};
        on_threads(std::min(threads, substrings), [&](std::size_t) {
            for (std::size_t j; (j = next.fetch_add(1)) < tables_.size();) fill(codes, tables_[j]);
        });
    }

    std::size_t substrings() const { return tables_.size(); }
    std::size_t n() const { return n_; }
    std::size_t width() const { return width_; }

    std::size_t bytes() const {
        std::size_t sum = 0;
        for (const Table& table : tables_) sum += 4 * table.offsets.size() + 8 * table.codes.size() + 4 * table.rows.size();
        return sum;
    }

    // True when the collector has seen every code that can matter; false when that would have cost more than `budget`, or once
    // it had. `spent` receives the cost.
    bool search(const std::uint64_t* query, Collector& found, double budget, double& spent) const {
#if defined(__x86_64__) && defined(__GNUC__)
        static const bool counts = __builtin_cpu_supports("popcnt");
        return counts ? search_popcnt(query, found, budget, spent) : search_as<SoftwareCount>(query, found, budget, spent);
#elif defined(__GNUC__)
        return search_as<HardwareCount>(query, found, budget, spent);
#else
        return search_as<SoftwareCount>(query, found, budget, spent);
#endif
    }

  private:
    void fill(const Codes& codes, Table& table) const {
        const std::size_t words = words_of(width_);
        std::vector<std::uint64_t> row(words);
        std::vector<std::uint32_t> keys(n_);
        table.offsets.assign((std::size_t{1} << table.substring.bits) + 1, 0);
        for (std::size_t i = 0; i < n_; ++i) {
            to_words(codes.row(i), width_, row.data());
            keys[i] = static_cast<std::uint32_t>(table.substring.of(row.data()));
            ++table.offsets[keys[i] + 1];
        }
        for (std::size_t b = 1; b < table.offsets.size(); ++b) table.offsets[b] += table.offsets[b - 1];
        table.codes.resize(n_ * words);
        table.rows.resize(n_);
        for (std::size_t i = 0; i < n_; ++i) {  // offsets[b] moves to the end of bucket b
            const std::size_t place = table.offsets[keys[i]]++;
            to_words(codes.row(i), width_, table.codes.data() + place * words);
            table.rows[place] = static_cast<std::uint32_t>(i);
        }
        for (std::size_t b = table.offsets.size() - 1; b > 0; --b) table.offsets[b] = table.offsets[b - 1];
        table.offsets[0] = 0;
    }

#if defined(__x86_64__) && defined(__GNUC__)
    __attribute__((target("popcnt"))) bool search_popcnt(const std::uint64_t* query, Collector& found, double budget,
                                                         double& spent) const {
        return search_as<HardwareCount>(query, found, budget, spent);
    }
#endif

    // The number of words is known when compiling where it is usual.
    template <typename Count>
    CONTRASTRT_INLINE bool search_as(const std::uint64_t* query, Collector& found, double budget, double& spent) const {
        switch (words_of(width_)) {
            case 1: return search_words<Count, 1>(query, found, budget, spent);
            case 2: return search_words<Count, 2>(query, found, budget, spent);
            case 4: return search_words<Count, 4>(query, found, budget, spent);
            default: return search_words<Count, 0>(query, found, budget, spent);
        }
    }

    template <typename Count, std::size_t W>
    CONTRASTRT_INLINE bool search_words(const std::uint64_t* query, Collector& found, double budget, double& spent) const {
        const std::size_t m = tables_.size(), bits = width_ * 8;
        spent = 0;
        for (std::size_t a = 0; a * m <= bits; ++a)
            for (std::size_t j = 0; j < m; ++j) {
                const Substring& substring = tables_[j].substring;
                if (a <= substring.bits) {
                    const double probes = choices(substring.bits, a);
                    if (spent + probes * kProbeCost > budget) return false;
                    std::uint64_t candidates = probe<Count, W>(j, a, query, found);
                    spent += probes * kProbeCost + static_cast<double>(candidates) * kCandidateCost;
                }
                if (found.limit() <= m * a + j + 1) return true;
                if (spent > budget) return false;
            }
        return true;
    }

    static double choices(std::size_t n, std::size_t k) {
        double product = 1;
        for (std::size_t i = 0; i < k; ++i) product = product * static_cast<double>(n - i) / static_cast<double>(i + 1);
        return product;
    }

    // Shows the collector the codes of table j whose substring differs in exactly `a` bits; returns how many there were.
    template <typename Count, std::size_t W>
    CONTRASTRT_INLINE std::uint64_t probe(std::size_t j, std::size_t a, const std::uint64_t* query, Collector& found) const {
        const Table& table = tables_[j];
        const std::size_t words = W ? W : words_of(width_);
        const std::uint64_t key = table.substring.of(query), end = std::uint64_t{1} << table.substring.bits;
        std::uint64_t flips = (std::uint64_t{1} << a) - 1, candidates = 0;
        std::array<std::uint64_t, kProbesAtOnce> buckets;
        for (bool more = true; more;) {
            std::size_t count = 0;
            while (count < kProbesAtOnce && more) {
                buckets[count] = key ^ flips;
                prefetch(table.offsets.data() + buckets[count++]);
                if (flips == 0) break;
                // The next larger number with as many set bits (Warren, Hacker's Delight, sec. 2-1).
                const std::uint64_t lowest = flips & (~flips + 1), ripple = flips + lowest;
                flips = ((flips ^ ripple) >> 2 >> Collector::lowest_bit(lowest)) | ripple;
                more = flips < end;
            }
            more = more && flips != 0;
            for (std::size_t i = 0; i < count; ++i) prefetch(table.codes.data() + table.offsets[buckets[i]] * words);
            for (std::size_t i = 0; i < count; ++i) {
                const std::size_t first = table.offsets[buckets[i]], last = table.offsets[buckets[i] + 1];
                candidates += last - first;
                for (std::size_t place = first; place < last; ++place)
                    meet<Count, W>(table.codes.data() + place * words, table.rows[place], j, a, query, found);
            }
        }
        return candidates;
    }

    template <typename Count, std::size_t W>
    CONTRASTRT_INLINE void meet(const std::uint64_t* code, std::uint32_t row, std::size_t j, std::size_t a,
                                const std::uint64_t* query, Collector& found) const {
        const Count count;
        const std::size_t words = W ? W : words_of(width_);
        std::uint32_t distance = 0;
        for (std::size_t w = 0; w < words; ++w) distance += count(code[w] ^ query[w]);
        if (distance >= found.limit()) return;
        for (std::size_t i = 0; i < tables_.size(); ++i) {  // was it met before?
            if (i == j) continue;
            const std::uint32_t apart = count(tables_[i].substring.of(code) ^ tables_[i].substring.of(query));
            if (i < j ? apart <= a : apart < a) return;
        }
        found.take(distance, row);
    }

    std::size_t n_, width_;
    std::vector<Table> tables_;
};

// For each query its hits in order. Queries that cost more than `budget` nanoseconds are left to a scan of `codes`, from which the
// tables were made; `scanned` receives their number and `spent`, where given, what each cost in the tables.
inline std::vector<std::vector<Hit>> search(const Kernel& kernel, const Tables& tables, const Codes& codes, const Codes& queries,
                                            Asked asked, std::size_t threads, double budget, std::size_t& scanned,
                                            double* spent = nullptr) {
    std::vector<std::vector<Hit>> results(queries.n);
    scanned = 0;
    if (codes.n == 0 || queries.n == 0 || asked.k == 0 || asked.bound == 0) return results;
    const std::size_t words = words_of(queries.width);
    std::vector<std::uint8_t> left(queries.n, 0);
    std::atomic<std::size_t> next{0};
    on_threads(std::max<std::size_t>(1, std::min(threads, queries.n / 4)), [&](std::size_t) {
        std::vector<std::uint64_t> query(words);
        for (std::size_t i; (i = next.fetch_add(1)) < queries.n;) {
            to_words(queries.row(i), queries.width, query.data());
            Collector found(asked.k, asked.bound, Order::any);
            double cost = 0;
            if (tables.search(query.data(), found, budget, cost))
                results[i] = found.finish();
            else
                left[i] = 1;
            if (spent) spent[i] = cost;
        }
    });
    std::vector<std::uint8_t> rows;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < queries.n; ++i)
        if (left[i]) {
            rows.insert(rows.end(), queries.row(i), queries.row(i) + queries.width);
            places.push_back(i);
        }
    scanned = places.size();
    auto found = search(kernel, codes, Codes{rows.data(), places.size(), queries.width}, asked, threads);
    for (std::size_t i = 0; i < places.size(); ++i) results[places[i]] = std::move(found[i]);
    return results;
}

}  // namespace contrastrt::hamming
