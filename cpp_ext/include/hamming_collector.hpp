// The nearest codes that one thread has found so far for one query: bounded memory, no distance matrix. No Python here.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace contrastrt::hamming {

// A distance and a row in one number, so that the order of numbers is the order of results: nearest first, ties by lower row.
using Hit = std::uint64_t;
constexpr int kRowBits = 48;
constexpr std::size_t kUnbounded = std::numeric_limits<std::size_t>::max();

inline Hit hit(std::uint32_t distance, std::uint64_t row) { return static_cast<Hit>(distance) << kRowBits | row; }
inline std::uint32_t distance_of(Hit found) { return static_cast<std::uint32_t>(found >> kRowBits); }
inline std::int64_t row_of(Hit found) { return static_cast<std::int64_t>(found & ((std::uint64_t{1} << kRowBits) - 1)); }

// The order in which a collector is shown rows. In ascending order a later tie has the higher row and always loses.
enum class Order { ascending, any };

// Keeps the k lowest hits among those nearer than a bound.
//
// A histogram of the accepted distances gives the k-th lowest at any moment, the edge; what lies beyond it is no longer
// accepted. Hits pile up to about 2 k and are then cut to k. Invariant: `nearer_` hits lie below the edge, fewer than k, and
// once the edge has left the bound at least k lie at or below it.
class Collector {
  public:
    Collector(std::size_t k, std::uint32_t bound, Order order)
        : k_(k), full_(k > kUnbounded / 4 ? kUnbounded : 2 * k + 64), bound_(bound), edge_(bound), limit_(bound),
          tie_(order == Order::any ? 1 : 0), counts_(k == kUnbounded ? 0 : bound) {}

    std::uint32_t limit() const { return limit_; }       // only a distance below it is of interest
    std::uint32_t edge() const { return edge_; }         // the k-th lowest distance, where there are k
    bool complete() const { return edge_ < bound_; }     // there are k

    void take(std::uint32_t distance, std::uint64_t row) {
        if (distance >= limit_) return;
        hits_.push_back(hit(distance, row));
        if (k_ == kUnbounded) return;
        ++counts_[distance];
        if (distance < edge_) ++nearer_;
        if (nearer_ >= k_) {
            while (nearer_ >= k_) nearer_ -= counts_[--edge_];
            limit_ = edge_ + tie_;
        }
        if (hits_.size() >= full_) cut();
    }

    // Row `row + i` for every set bit i of the mask, in ascending order.
    void take(std::uint64_t mask, const std::uint64_t* distances, std::uint64_t row) {
        for (; mask != 0; mask &= mask - 1) {
            const int i = lowest_bit(mask);
            take(static_cast<std::uint32_t>(distances[i]), row + static_cast<std::uint64_t>(i));
        }
    }

    // At most k hits, in order; the collector is empty afterwards.
    std::vector<Hit> finish() {
        if (hits_.size() > k_) cut();
        std::sort(hits_.begin(), hits_.end());
        return std::move(hits_);
    }

    static int lowest_bit(std::uint64_t mask) {
#if defined(__GNUC__)
        return __builtin_ctzll(mask);
#else
        int i = 0;
        while (!(mask >> i & 1)) ++i;
        return i;
#endif
    }

  private:
    void cut() {
        std::nth_element(hits_.begin(), hits_.begin() + static_cast<std::ptrdiff_t>(k_), hits_.end());
        hits_.resize(k_);
    }

    std::size_t k_, full_;
    std::uint32_t bound_, edge_, limit_, tie_;
    std::size_t nearer_ = 0;
    std::vector<std::uint32_t> counts_;
    std::vector<Hit> hits_;
};

}  // namespace contrastrt::hamming
