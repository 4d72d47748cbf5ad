// Every kernel and the tables against distances counted one by one, without Python: for emulated processors and sanitizers.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "hamming.hpp"
#include "hamming_tables.hpp"

namespace hamming = contrastrt::hamming;
using Bytes = std::vector<std::uint8_t>;
using Found = std::vector<std::vector<hamming::Hit>>;

namespace {

std::size_t checks = 0;

void expect(bool held, const char* what, const char* kernel, std::size_t width, std::size_t n) {
    ++checks;
    if (held) return;
    std::printf("FAILED: %s, kernel %s, %zu bytes, %zu codes\n", what, kernel, width, n);
    std::exit(1);
}

// `values` is how many a byte may take: few make many ties.
Bytes draw(std::size_t n, std::size_t width, unsigned values, unsigned seed) {
    std::mt19937 generator(seed);
    Bytes rows(n * width);
    for (auto& byte : rows) byte = static_cast<std::uint8_t>(generator() % values);
    return rows;
}

Found exact(const hamming::Codes& codes, const hamming::Codes& queries, hamming::Asked asked) {
    Found found(queries.n);
    for (std::size_t q = 0; q < queries.n; ++q) {
        for (std::size_t i = 0; i < codes.n; ++i) {
            std::uint32_t distance = 0;
            for (std::size_t b = 0; b < codes.width; ++b)
                for (int bits = codes.row(i)[b] ^ queries.row(q)[b]; bits; bits &= bits - 1) ++distance;
            if (distance < asked.bound) found[q].push_back(hamming::hit(distance, i));
        }
        std::sort(found[q].begin(), found[q].end());
        if (found[q].size() > asked.k) found[q].resize(asked.k);
    }
    return found;
}

void kernels_and_tables() {
    for (const std::size_t width : {1u, 3u, 8u, 9u, 16u, 24u, 31u, 32u, 33u, 64u, 65u, 100u, 256u, 264u, 512u})
        for (const std::size_t n : {1u, 7u, 8u, 31u, 33u, 300u, 1500u})
            for (const unsigned values : {1u, 2u, 256u}) {
                const Bytes rows = draw(n, width, values, 1), asked_rows = draw(9, width, values, 2);
                const hamming::Codes codes{rows.data(), n, width};
                const auto bits = static_cast<std::uint32_t>(8 * width);
                for (const std::size_t asked_n : {1u, 9u}) {
                    const hamming::Codes queries{asked_rows.data(), asked_n, width};
                    for (const hamming::Asked asked :
                         {hamming::Asked{1, bits + 1}, {10, bits + 1}, {n, bits + 1}, {hamming::kUnbounded, bits / 3 + 1}}) {
                        const Found expected = exact(codes, queries, asked);
                        for (const hamming::Kernel& kernel : hamming::kernels())
                            for (const std::size_t threads : {1u, 3u})
                                expect(hamming::search(kernel, codes, queries, asked, threads) == expected, "search", kernel.name,
                                       width, n);
                        const hamming::Tables tables(codes, 0, 2);
                        std::size_t scanned = 0;
                        expect(hamming::search(hamming::kernels().front(), tables, codes, queries, asked, 2, 1e5, scanned) == expected,
                               "tables", "any", width, n);
                    }
                }
                std::uint64_t words = 0;
                for (std::size_t i = 0; i + 8 <= rows.size(); i += 8) words ^= hamming::word_at(rows.data() + i);
                for (const hamming::Kernel& kernel : hamming::kernels())
                    expect(hamming::read(kernel, rows.data(), rows.size(), 2) == words, "read", kernel.name, width, n);
            }
}

// As an index does it: one thread appends rows behind those that others search.
void searches_beside_an_addition() {
    constexpr std::size_t width = 64, before = 50000, after = 60000;  // enough for three threads a search
    const Bytes all = draw(after, width, 4, 3), asked_rows = draw(6, width, 4, 4);
    Bytes room(all.begin(), all.begin() + before * width);
    room.resize(after * width);
    const hamming::Codes codes{room.data(), before, width}, queries{asked_rows.data(), 6, width};
    const hamming::Asked asked{10, 8 * width + 1};
    const Found expected = exact(codes, queries, asked);
    const hamming::Tables tables(codes, 0, 2);
    std::vector<std::thread> threads;
    threads.emplace_back([&] { std::copy(all.begin() + before * width, all.end(), room.begin() + before * width); });
    std::vector<int> held(4, 0);
    for (std::size_t t = 0; t < held.size(); ++t)
        threads.emplace_back([&, t] {
            bool same = true;
            for (int round = 0; round < 5; ++round) {
                std::size_t scanned = 0;
                same = same && hamming::search(hamming::kernels().front(), codes, queries, asked, 3) == expected;
                same = same && hamming::search(hamming::kernels().front(), tables, codes, queries, asked, 3, 1e5, scanned) == expected;
            }
            held[t] = same;
        });
    for (auto& thread : threads) thread.join();
    for (const int same : held) expect(same != 0, "searches beside an addition", "first", width, before);
}

}  // namespace

int main() {
    kernels_and_tables();
    searches_beside_an_addition();
    std::printf("ok: %zu checks of", checks);
    for (const hamming::Kernel& kernel : hamming::kernels()) std::printf(" %s", kernel.name);
    std::printf("\n");
    return 0;
}
