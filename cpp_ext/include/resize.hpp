// Antialiased resize of uint8 images in fixed point, bit for bit that of Pillow. No Python here.
//
// The horizontal pass comes first, always. Pillow 13 turns the order where the height shrinks by more than twice what the
// width does; up to 12.3 it did not, and the models in use were trained with those.
//
// Each output sample is a weighted sum of the input samples under a filter that is widened by the scale when shrinking.
// Weights are rounded to 22 fractional bits; a horizontal and a vertical pass each round to uint8.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

// One binary for every x86-64: the loader picks the widest version that the processor runs.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define CONTRASTRT_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CONTRASTRT_CLONES
#endif

namespace contrastrt {

enum class Filter { bilinear, bicubic };

constexpr int kFractionBits = 22;
constexpr std::ptrdiff_t kLanes = 16;  // rows that the horizontal pass takes at once

// A window of the output: rows [top, top + height), columns [left, left + width).
struct Window {
    std::ptrdiff_t top, left, height, width;
};

// Per output position: the first input sample, how many, and their weights (`stride` apart).
struct Weights {
    std::ptrdiff_t stride = 0;
    std::vector<std::ptrdiff_t> first, count;
    std::vector<std::int32_t> values;
};

inline double weight_at(Filter filter, double x) {
    x = std::fabs(x);
    if (filter == Filter::bilinear) return x < 1.0 ? 1.0 - x : 0.0;
    constexpr double a = -0.5;
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

// Weights of output positions [begin, end) when `size` samples become `target`.
inline Weights weights(Filter filter, std::ptrdiff_t size, std::ptrdiff_t target, std::ptrdiff_t begin, std::ptrdiff_t end) {
    const double scale = static_cast<double>(size) / static_cast<double>(target);
    const double widened = std::max(scale, 1.0);
    const double support = (filter == Filter::bilinear ? 1.0 : 2.0) * widened;
    const double inverse = 1.0 / widened;
    Weights result;
    result.stride = static_cast<std::ptrdiff_t>(std::ceil(support)) * 2 + 1;
    result.values.assign(static_cast<std::size_t>(result.stride * (end - begin)), 0);
    std::vector<double> exact(static_cast<std::size_t>(result.stride));
    for (std::ptrdiff_t position = begin; position < end; ++position) {
        const double centre = (static_cast<double>(position) + 0.5) * scale;
        const auto first = std::max<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(centre - support + 0.5), 0);
        const auto last = std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(centre + support + 0.5), size);
        const std::ptrdiff_t count = last - first;
        double total = 0.0;
        for (std::ptrdiff_t i = 0; i < count; ++i) {
            const double weight = weight_at(filter, (static_cast<double>(i + first) - centre + 0.5) * inverse);
            exact[static_cast<std::size_t>(i)] = weight;
            total += weight;
        }
        std::int32_t* out = result.values.data() + result.stride * (position - begin);
        for (std::ptrdiff_t i = 0; i < count; ++i) {
            double weight = exact[static_cast<std::size_t>(i)];
            if (total != 0.0) weight /= total;
            out[i] = static_cast<std::int32_t>(weight * (1 << kFractionBits) + (weight < 0 ? -0.5 : 0.5));
        }
        result.first.push_back(first);
        result.count.push_back(count);
    }
    return result;
}

inline std::uint8_t to_byte(std::int32_t sum) {
    return static_cast<std::uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
}

// out[i] = sum over j of rows[j][i] * weight[j], for i < n; row j starts at rows + j * stride.
CONTRASTRT_CLONES
static void weighted_sum(const std::uint8_t* rows, std::ptrdiff_t stride, const std::int32_t* weight, std::ptrdiff_t count,
                         std::ptrdiff_t n, std::uint8_t* out) {
    constexpr std::int32_t half = 1 << (kFractionBits - 1);
    constexpr std::ptrdiff_t wide = 3 * kLanes;
    std::ptrdiff_t i = 0;
    for (; i + wide <= n; i += wide) {
        std::int32_t sum[wide];
        for (std::ptrdiff_t lane = 0; lane < wide; ++lane) sum[lane] = half;
        for (std::ptrdiff_t j = 0; j < count; ++j) {
            const std::uint8_t* row = rows + j * stride + i;
            const std::int32_t w = weight[j];
            for (std::ptrdiff_t lane = 0; lane < wide; ++lane) sum[lane] += row[lane] * w;
        }
        for (std::ptrdiff_t lane = 0; lane < wide; ++lane) out[i + lane] = to_byte(sum[lane]);
    }
    for (; i + kLanes <= n; i += kLanes) {
        std::int32_t sum[kLanes];
        for (std::ptrdiff_t lane = 0; lane < kLanes; ++lane) sum[lane] = half;
        for (std::ptrdiff_t j = 0; j < count; ++j) {
            const std::uint8_t* row = rows + j * stride + i;
            const std::int32_t w = weight[j];
            for (std::ptrdiff_t lane = 0; lane < kLanes; ++lane) sum[lane] += row[lane] * w;
        }
        for (std::ptrdiff_t lane = 0; lane < kLanes; ++lane) out[i + lane] = to_byte(sum[lane]);
    }
    for (; i < n; ++i) {
        std::int32_t sum = half;
        for (std::ptrdiff_t j = 0; j < count; ++j) sum += rows[j * stride + i] * weight[j];
        out[i] = to_byte(sum);
    }
}

// columns[(x * kLanes) + r] = rows[r][x]: kLanes rows side by side, so that the horizontal pass is a weighted sum of "rows" too.
static inline void interleave(const std::uint8_t* const* rows, std::ptrdiff_t n, std::uint8_t* columns) {
    for (std::ptrdiff_t x = 0; x < n; ++x)
        for (std::ptrdiff_t r = 0; r < kLanes; ++r) columns[x * kLanes + r] = rows[r][x];
}

// image (height, width, channels), contiguous -> out (height, window.width, channels)
inline void resize_rows(const std::uint8_t* image, std::ptrdiff_t height, std::ptrdiff_t width, std::ptrdiff_t channels,
                        const Weights& horizontal, std::uint8_t* out) {
    const auto columns = static_cast<std::ptrdiff_t>(horizontal.first.size());
    const std::ptrdiff_t begin = *std::min_element(horizontal.first.begin(), horizontal.first.end());
    const std::ptrdiff_t end = horizontal.first.back() + horizontal.count.back();
    const std::ptrdiff_t pixel = channels * kLanes;
    std::vector<std::uint8_t> block(static_cast<std::size_t>((end - begin) * pixel));
    std::vector<std::uint8_t> sums(static_cast<std::size_t>(pixel));
    for (std::ptrdiff_t y = 0; y < height; y += kLanes) {
        const std::ptrdiff_t rows = std::min(kLanes, height - y);
        const std::uint8_t* starts[kLanes];
        for (std::ptrdiff_t r = 0; r < kLanes; ++r)
            starts[r] = image + ((y + std::min(r, rows - 1)) * width + begin) * channels;
        interleave(starts, (end - begin) * channels, block.data());
        for (std::ptrdiff_t x = 0; x < columns; ++x) {
            const auto at = static_cast<std::size_t>(x);
            weighted_sum(block.data() + (horizontal.first[at] - begin) * pixel, pixel,
                         horizontal.values.data() + x * horizontal.stride, horizontal.count[at], pixel, sums.data());
            for (std::ptrdiff_t r = 0; r < rows; ++r)
                for (std::ptrdiff_t c = 0; c < channels; ++c)
                    out[((y + r) * columns + x) * channels + c] = sums[static_cast<std::size_t>(c * kLanes + r)];
        }
    }
}

// image (height, width, channels), contiguous, resized to (target_height, target_width); `out` receives `window` of the result.
inline void resize(const std::uint8_t* image, std::ptrdiff_t height, std::ptrdiff_t width, std::ptrdiff_t channels,
                   std::ptrdiff_t target_height, std::ptrdiff_t target_width, Filter filter, Window window,
                   std::uint8_t* out) {
    const Weights vertical = weights(filter, height, target_height, window.top, window.top + window.height);
    const bool keep_rows = height == target_height;
    const std::ptrdiff_t top = keep_rows ? window.top : *std::min_element(vertical.first.begin(), vertical.first.end());
    const std::ptrdiff_t bottom = keep_rows ? window.top + window.height : vertical.first.back() + vertical.count.back();
    const std::ptrdiff_t row = window.width * channels;

    std::vector<std::uint8_t> narrow;
    const std::uint8_t* source = image + (top * width + window.left) * channels;  // where the columns stay as they are
    std::ptrdiff_t stride = width * channels;
    if (width != target_width) {
        narrow.resize(static_cast<std::size_t>((bottom - top) * row));
        const Weights horizontal = weights(filter, width, target_width, window.left, window.left + window.width);
        resize_rows(image + top * width * channels, bottom - top, width, channels, horizontal, narrow.data());
        source = narrow.data();
        stride = row;
    }
    for (std::ptrdiff_t y = 0; y < window.height; ++y) {
        const auto at = static_cast<std::size_t>(y);
        if (keep_rows)
            std::memcpy(out + y * row, source + y * stride, static_cast<std::size_t>(row));
        else
            weighted_sum(source + (vertical.first[at] - top) * stride, stride, vertical.values.data() + y * vertical.stride,
                         vertical.count[at], row, out + y * row);
    }
}

}  // namespace contrastrt
