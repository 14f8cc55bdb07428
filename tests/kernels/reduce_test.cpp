#include "check.hpp"
#include "shapes.hpp"

namespace tern::test {

/// Of a variance that is 0 the other side may leave a trace.
constexpr Tolerance each_or_tiny{.floor = 1e-6};

TEMPLATE_TEST_CASE("sum", "[reduce]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(40, [](Random& random) {
    const ReduceShape r = random_reduce(random, 0);
    std::vector<T> x = random.values<T>(r.outer * r.n * r.inner);
    if (random.chance(0.2)) random.spoil(x, 0.01);
    if constexpr (std::is_same_v<T, int64_t>) {  // and wraps
      if (random.chance(0.5)) {
        for (T& v : x) v = random.integer(INT64_MIN, INT64_MAX);
      }
    }
    CAPTURE(r);
    check_close<T>(random, whole_or_one, [&](auto& run) {
      run.array().reduce({ReduceOp::sum}, r, run.in(x), run.out("y", {r.outer, r.inner}));
    });
  });
}

/// Numbers around 1, whose products stay where floats are.
template <class T>
std::vector<T> factors(Random& random, int64_t n) {
  std::vector<T> x = random.between<T>(n, 0.9, 1.1);
  for (T& v : x) {
    if (random.chance(0.3)) v = static_cast<T>(std::is_signed_v<T> ? -v : v);
    if constexpr (std::is_integral_v<T>) v = static_cast<T>(random.integer(0, 20) == 0 ? 0 : random.integer(1, 99));
  }
  return x;
}

TEMPLATE_TEST_CASE("prod", "[reduce]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(30, [](Random& random) {
    ReduceShape r = random_reduce(random, 0);
    r.n = std::min<int64_t>(r.n, 5'000);
    std::vector<T> x = factors<T>(random, r.outer * r.n * r.inner);
    if (random.chance(0.2)) random.spoil(x, 0.01);
    CAPTURE(r);
    check_close<T>(random, {.floor = 1e-30}, [&](auto& run) {
      run.array().reduce({ReduceOp::prod}, r, run.in(x), run.out("y", {r.outer, r.inner}));
    });
  });
}

TEMPLATE_TEST_CASE("norm", "[reduce]", float, double) {
  using T = TestType;
  for_each_case(60, [](Random& random) {
    const double p = random.pick<double>({0, 0.5, 1, 1.5, 2, 3, -1, INFINITY, -INFINITY});
    const ReduceShape r = random_reduce(random, p > 0 ? 0 : 1);
    std::vector<T> x = random.values<T>(r.outer * r.n * r.inner);
    if (random.chance(0.3)) random.spoil(x, random.pick({0.01, 0.3}));
    CAPTURE(r, p);
    check_close<T>(random, each, [&](auto& run) {
      run.array().reduce({ReduceOp::norm, p}, r, run.in(x), run.out("y", {r.outer, r.inner}));
    });
  });
}

TEMPLATE_TEST_CASE("var", "[reduce]", float, double) {
  using T = TestType;
  for_each_case(40, [](Random& random) {
    const ReduceShape r = random_reduce(random, 0);
    const double correction = random.pick({0.0, 1.0, 2.5});
    // Far from 0, where floats are 8 apart, squares would lose everything.
    const double from = random.pick({0.0, 1e8});
    std::vector<T> x(r.outer * r.n * r.inner);
    for (T& v : x) v = static_cast<T>(from + 8 * static_cast<double>(random.integer(-9, 9)));
    if (random.chance(0.2)) random.spoil(x, 0.01);
    CAPTURE(r, correction, from);
    check_close<T>(random, each_or_tiny, [&](auto& run) {
      auto* mean = run.out("mean", {r.outer, r.inner});
      run.floating().var(r, correction, run.in(x), mean, run.out("var", {r.outer, r.inner}));
    });
  });
}

TEMPLATE_TEST_CASE("max and min", "[reduce]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(80, [](Random& random) {
    const ReduceShape r = random_reduce(random, 1);
    const int64_t n = r.outer * r.n * r.inner;
    std::vector<T> x = random.chance(0.5) ? random.ties<T>(n) : random.values<T>(n);
    if (random.chance(0.5)) random.spoil(x, random.pick({0.01, 0.3, 1.0}));
    const bool want_y = random.chance(0.8), want_indices = !want_y || random.chance(0.8);
    const Extreme which = random.pick({Extreme::max, Extreme::min});
    CAPTURE(r, which, want_y, want_indices);
    check_exact<T>(random, [&](auto& run) {
      auto* y = want_y ? run.out("y", {r.outer, r.inner}) : nullptr;
      auto* indices = want_indices ? run.template out<int64_t>("indices", {r.outer, r.inner}) : nullptr;
      run.array().extreme(which, r, run.in(x), y, indices);
    });
  });
}

TEMPLATE_TEST_CASE("gradient of max and min", "[reduce]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(40, [](Random& random) {
    const ReduceShape r = random_reduce(random, 1);
    const std::vector<int64_t> indices = random.indices(r.outer * r.inner, r.n);
    const std::vector<T> dy = random.values<T>(r.outer * r.inner);
    CAPTURE(r);
    check_exact<T>(random, [&](auto& run) {
      run.array().extreme_backward(r, run.in(indices), run.in(dy), run.out("dx", {r.outer, r.n, r.inner}));
    });
  });
}

TEMPLATE_TEST_CASE("cumulative sums, products and extremes", "[reduce]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(60, [](Random& random) {
    ReduceShape r = random_reduce(random, 0);
    r.n = std::min<int64_t>(r.n, 5'000);
    const int64_t n = r.outer * r.n * r.inner;
    std::vector<T> x = random.values<T>(n), near_1 = factors<T>(random, n), ties = random.ties<T>(n);
    if (random.chance(0.3)) random.spoil(x, 0.01), random.spoil(ties);
    const bool reverse = random.chance(0.5);
    const Extreme which = random.pick({Extreme::max, Extreme::min});
    CAPTURE(r, reverse, which);
    const Dims dims{r.outer, r.n, r.inner};
    check_close<T>(random, whole_or_one,
                   [&](auto& run) { run.array().scan(ScanOp::sum, reverse, r, run.in(x), run.out("sums", dims)); });
    check_close<T>(random, {.floor = 1e-30}, [&](auto& run) {
      run.array().scan(ScanOp::prod, reverse, r, run.in(near_1), run.out("products", dims));
    });
    check_exact<T>(random, [&](auto& run) {
      auto* y = run.out("extremes", dims);
      run.array().scan(which, r, run.in(ties), y, run.template out<int64_t>("indices", dims));
    });
  });
}

TEMPLATE_TEST_CASE("gradient of cumulative products", "[reduce]", float, double) {
  using T = TestType;
  for_each_case(30, [](Random& random) {
    ReduceShape r = random_reduce(random, 0);
    r.n = std::min<int64_t>(r.n, 300);
    std::vector<T> x = factors<T>(random, r.outer * r.n * r.inner);
    for (T& v : x) v = random.chance(0.05) ? 0 : v;
    const std::vector<T> dy = random.values<T>(r.outer * r.n * r.inner);
    const bool reverse = random.chance(0.5);
    CAPTURE(r, reverse);
    check_close<T>(random, whole_or_one, [&](auto& run) {
      run.floating().cumprod_backward(r, reverse, run.in(x), run.in(dy), run.out("dx", {r.outer, r.n, r.inner}));
    });
  });
}

}  // namespace tern::test
