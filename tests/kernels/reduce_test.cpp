#include "check.hpp"
#include "shapes.hpp"

namespace tern::test {

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
      run.array().sum(r, run.in(x), run.out("y", {r.outer, r.inner}));
    });
  });
}

TEMPLATE_TEST_CASE("max", "[reduce]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(60, [](Random& random) {
    const ReduceShape r = random_reduce(random, 1);
    const int64_t n = r.outer * r.n * r.inner;
    std::vector<T> x = random.chance(0.5) ? random.ties<T>(n) : random.values<T>(n);
    if (random.chance(0.5)) random.spoil(x, random.pick({0.01, 0.3, 1.0}));
    const bool want_y = random.chance(0.8), want_indices = !want_y || random.chance(0.8);
    CAPTURE(r, want_y, want_indices);
    check_exact<T>(random, [&](auto& run) {
      auto* y = want_y ? run.out("y", {r.outer, r.inner}) : nullptr;
      auto* indices = want_indices ? run.template out<int64_t>("indices", {r.outer, r.inner}) : nullptr;
      run.array().max(r, run.in(x), y, indices);
    });
  });
}

TEMPLATE_TEST_CASE("max_backward", "[reduce]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(40, [](Random& random) {
    const ReduceShape r = random_reduce(random, 1);
    const std::vector<int64_t> indices = random.indices(r.outer * r.inner, r.n);
    const std::vector<T> dy = random.values<T>(r.outer * r.inner);
    CAPTURE(r);
    check_exact<T>(random, [&](auto& run) {
      run.array().max_backward(r, run.in(indices), run.in(dy), run.out("dx", {r.outer, r.n, r.inner}));
    });
  });
}

}  // namespace tern::test
