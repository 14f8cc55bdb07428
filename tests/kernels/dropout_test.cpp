#include "check.hpp"
#include "shapes.hpp"

#include <tern/kernels/reference/reference.hpp>

namespace tern::test {

DropoutShape random_dropout(Random& random) {
  DropoutShape s;
  s.group = random.chance(0.5) ? 1 : random.integer(1, random.chance(0.5) ? 9 : 300);
  if (s.group > 1 && random.chance(0.5)) s.group = (s.group + 3) / 4 * 4;  // a multiple of the widest access
  s.n = s.group * (random.length() / s.group);
  s.p = random.chance(0.2) ? random.pick({0.0, 1.0}) : random.real(0, 1);
  return s;
}

TEMPLATE_TEST_CASE("dropout", "[dropout]", float, double) {
  using T = TestType;
  for_each_case(60, [](Random& random) {
    const DropoutShape s = random_dropout(random);
    const PhiloxState state = random_state(random);
    // No zeros, so that an element shows whether it was zeroed; what was not a number is zeroed like any other.
    std::vector<T> x = random.between<T>(s.n, 1, 2);
    for (T& v : x) {
      if (random.chance(0.01))
        v = random.pick({std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity()});
    }
    CAPTURE(s, state.seed, state.offset);
    check_close<T>(random, each, [&](auto& run) { run.floating().dropout(s, state, run.in(x), run.out("y", {s.n})); });
  });
}

TEST_CASE("dropout zeroes p of the groups, each as a whole, and keeps the mean", "[dropout]") {
  for_each_case(10, [](Random& random) {
    DropoutShape s{.group = random.integer(1, 5), .p = random.real(0.05, 0.95)};
    const int64_t groups = 20'000;
    s.n = groups * s.group;
    const PhiloxState state = random_state(random);
    CAPTURE(s, state.seed, state.offset);
    std::vector<double> y(s.n);
    ReferenceFloat<double>().dropout(s, state, std::vector<double>(s.n, 1.0).data(), y.data());
    int64_t zeroed = 0, torn = 0;
    double total = 0;
    for (int64_t i = 0; i < s.n; ++i) {
      zeroed += y[i] == 0 && i % s.group == 0;
      torn += y[i] != y[i / s.group * s.group];
      total += y[i];
    }
    // Five standard deviations of a binomial proportion.
    const double margin = 5 * std::sqrt(s.p * (1 - s.p) / groups);
    CHECK(torn == 0);
    CHECK(std::abs(static_cast<double>(zeroed) / groups - s.p) < margin);
    CHECK(std::abs(total / static_cast<double>(s.n) - 1) < margin / (1 - s.p));
  });
}

}  // namespace tern::test
