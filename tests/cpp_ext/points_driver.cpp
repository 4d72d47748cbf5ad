// Every kernel of the ops on point clouds against distances taken one by one, without Python: for emulated processors and sanitizers.
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "points.hpp"

using contrastrt::Clouds;
using contrastrt::PointKernels;
using Floats = std::vector<float>;
using Rows = std::vector<std::int32_t>;

namespace {

std::size_t checks = 0;

std::size_t size(std::ptrdiff_t n) { return static_cast<std::size_t>(n); }

void expect(bool held, const char* what, const PointKernels& kernels, const Clouds& clouds) {
    ++checks;
    if (held) return;
    std::printf("FAILED: %s, kernels %s, %td clouds of %td points\n", what, kernels.name, clouds.b, clouds.n);
    std::exit(1);
}

// Noise, or whole numbers from -2 to 2: many equal points.
Floats draw(std::ptrdiff_t points, bool whole, unsigned seed) {
    std::mt19937 generator(seed);
    std::uniform_real_distribution<float> noise(-1.0F, 1.0F);
    Floats values(size(3 * points));
    for (float& value : values) value = whole ? static_cast<float>(generator() % 5) - 2.0F : noise(generator);
    return values;
}

float square(const float* a, const float* b) {
    const float dx = a[0] - b[0], dy = a[1] - b[1], dz = a[2] - b[2];
    return dx * dx + dy * dy + dz * dz;
}

// The first row of the largest of the smallest distances to those chosen before.
std::int32_t farthest(const float* cloud, std::ptrdiff_t n, const std::int32_t* chosen, std::ptrdiff_t count) {
    std::int32_t best = 0;
    float most = -1.0F;
    for (std::ptrdiff_t i = 0; i < n; ++i) {
        float least = std::numeric_limits<float>::infinity();
        for (std::ptrdiff_t j = 0; j < count; ++j) least = std::min(least, square(cloud + 3 * i, cloud + 3 * chosen[j]));
        if (least > most) {
            most = least;
            best = static_cast<std::int32_t>(i);
        }
    }
    return best;
}

void check(const PointKernels& kernels, const Clouds& clouds, std::ptrdiff_t count) {
    Rows chosen(size(clouds.b * count)), again(chosen.size());
    contrastrt::farthest_points(kernels, clouds, count, 1, chosen.data());
    contrastrt::farthest_points(kernels, clouds, count, 3, again.data());
    expect(chosen == again, "farthest points on three threads", kernels, clouds);
    for (std::ptrdiff_t cloud = 0; cloud < clouds.b; ++cloud) {
        const std::int32_t* rows = chosen.data() + cloud * count;
        double mean[3] = {0, 0, 0};
        for (std::ptrdiff_t i = 0; i < 3 * clouds.n; ++i) mean[i % 3] += clouds.of(cloud)[i] / static_cast<double>(clouds.n);
        const float centre[3] = {static_cast<float>(mean[0]), static_cast<float>(mean[1]), static_cast<float>(mean[2])};
        for (std::ptrdiff_t i = 0; i < clouds.n; ++i)
            expect(square(clouds.of(cloud) + 3 * i, centre) <= square(clouds.of(cloud) + 3 * rows[0], centre) * 1.0001F + 1e-6F,
                   "the first point", kernels, clouds);
        for (std::ptrdiff_t place = 1; place < count; ++place)
            expect(rows[place] == farthest(clouds.of(cloud), clouds.n, rows, place), "the farthest point", kernels, clouds);
    }

    const Floats places = draw(clouds.b * 5, false, 7);
    const Clouds centres{places.data(), clouds.b, 5};
    Rows near(size(clouds.b * 5 * count)), twice(near.size());
    contrastrt::nearest_points(kernels, clouds, centres, count, 1, near.data());
    contrastrt::nearest_points(kernels, clouds, centres, count, 3, twice.data());
    expect(near == twice, "nearest points on three threads", kernels, clouds);
    for (std::ptrdiff_t at = 0; at < clouds.b * 5; ++at) {
        const float* cloud = clouds.of(at / 5);
        Rows order(size(clouds.n));
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
            return square(cloud + 3 * a, places.data() + 3 * at) < square(cloud + 3 * b, places.data() + 3 * at);
        });
        for (std::ptrdiff_t i = 0; i < count; ++i)
            expect(near[size(at * count + i)] == order[size(i % clouds.n)], "the nearest points", kernels, clouds);
    }
}

void refuses_what_is_no_number(const PointKernels& kernels) {
    Floats values = draw(70, false, 3);
    const Floats fine = values;
    const Clouds clouds{values.data(), 1, 70}, others{fine.data(), 1, 70};
    Rows out(70 * 3);
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
        values[209] = bad;
        int refused = 0;
        const auto counts = [&refused](auto call) {
            try {
                call();
            } catch (const std::invalid_argument&) {
                ++refused;
            }
        };
        counts([&] { contrastrt::farthest_points(kernels, clouds, 3, 2, out.data()); });
        counts([&] { contrastrt::nearest_points(kernels, clouds, others, 3, 2, out.data()); });
        counts([&] { contrastrt::nearest_points(kernels, others, clouds, 3, 2, out.data()); });
        expect(refused == 3, "a value that is no number", kernels, clouds);
    }
}

// Calls share nothing: several threads of the caller, each with a second one of its own, which these sizes are just worth.
void called_from_several_threads(const PointKernels& kernels) {
    const Floats values = draw(8 * 1024, false, 4);
    const Clouds clouds{values.data(), 8, 1024};
    std::vector<Rows> found(4, Rows(8 * 64));
    std::vector<std::thread> callers;
    for (Rows& to : found)
        callers.emplace_back([&] { contrastrt::farthest_points(kernels, clouds, 64, 2, to.data()); });
    for (std::thread& caller : callers) caller.join();
    for (const Rows& one : found) expect(one == found.front(), "calls from several threads", kernels, clouds);
}

}  // namespace

int main() {
    for (const PointKernels* kernels : contrastrt::all_point_kernels()) {
        for (const std::ptrdiff_t n : {1, 2, 15, 63, 64, 65, 200, 321})
            for (const bool whole : {false, true}) {
                const Floats values = draw(3 * n, whole, static_cast<unsigned>(n));
                for (const std::ptrdiff_t count : {1, 9, 32, 70}) check(*kernels, {values.data(), 3, n}, count);
            }
        refuses_what_is_no_number(*kernels);
        called_from_several_threads(*kernels);
        std::printf("points, %s: all equal\n", kernels->name);
    }
    std::printf("%zu checks\n", checks);
}
