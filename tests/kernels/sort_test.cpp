#include "check.hpp"

namespace tern::test {

TEMPLATE_TEST_CASE("sort", "[sort]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(60, [](Random& random) {
    const int64_t rows = random.chance(0.1) ? 0 : random.integer(1, random.chance(0.5) ? 3 : 40);
    const int64_t n = random.chance(0.1)    ? random.integer(1, 2)
                      : random.chance(0.15) ? random.pick<int64_t>({1023, 1024, 1025, 2048, 2049})
                      : rows < 4            ? random.integer(1, 6000)
                                            : random.integer(1, 200);
    const int64_t k = random.chance(0.5) ? n : random.integer(0, n);
    const bool descending = random.chance(0.5);
    std::vector<T> x = random.chance(0.5) ? random.ties<T>(rows * n) : random.values<T>(rows * n);
    random.spoil(x);
    CAPTURE(rows, n, k, descending);
    check_exact<T>(random, [&](auto& run) {
      run.array().sort(rows, n, k, descending, run.in(x), run.out("y", {rows, k}),
                       run.template out<int64_t>("indices", {rows, k}));
    });
  });
}

TEMPLATE_TEST_CASE("searchsorted", "[sort]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(40, [](Random& random) {
    const int64_t rows = random.integer(1, 4), n = random.integer(0, 60), count = random.integer(0, 90);
    std::vector<T> x = random.ties<T>(rows * n), v = random.ties<T>(rows * count);
    random.spoil(x), random.spoil(v);
    for (int64_t row = 0; row < rows; ++row) {
      std::sort(x.begin() + row * n, x.begin() + (row + 1) * n, [](T a, T b) { return a < b || (b != b && a == a); });
    }
    const bool right = random.chance(0.5);
    CAPTURE(rows, n, count, right);
    check_exact<T>(random, [&](auto& run) {
      run.array().searchsorted(rows, n, count, right, run.in(x), run.in(v),
                               run.template out<int64_t>("y", {rows, count}));
    });
  });
}

}  // namespace tern::test
