#include "check.hpp"
#include "shapes.hpp"

#include <tern/kernels/reference/reference.hpp>

namespace tern::test {

namespace {

/// Forward, and the gradient from the reference's own statistics, with any of weight, bias and outputs left out.
template <class T>
void check_both(Random& random, const GroupNormShape& s, const std::vector<T>& x, const Tolerance& tolerance) {
  const int64_t n = s.rows() * s.n(), C = s.groups * s.channels;
  const std::vector<T> weight = random.values<T>(C), bias = random.values<T>(C), dy = random.values<T>(n);
  const bool has_weight = random.chance(0.7), has_bias = random.chance(0.7), want_dx = random.chance(0.8),
             want_dweight = random.chance(0.7), want_dbias = random.chance(0.7), over_x = want_dx && random.chance(0.5);
  CAPTURE(s, has_weight, has_bias, want_dx, want_dweight, want_dbias, over_x);
  const Dims dims{s.N, s.groups, s.channels, s.run}, parameters{s.groups, s.channels};
  check_close<T>(random, tolerance, [&](auto& run) {
    double *mean = run.out_double("mean", {s.rows()}), *invstd = run.out_double("invstd", {s.rows()});
    run.floating().group_norm(s, run.in(x), has_weight ? run.in(weight) : nullptr, has_bias ? run.in(bias) : nullptr,
                              mean, invstd, run.out("y", dims));
  });

  std::vector<double> mean(s.rows()), invstd(s.rows());
  const std::vector<double> wide(x.begin(), x.end());
  std::vector<double> y(n);
  ReferenceFloat<double>().group_norm(s, wide.data(), nullptr, nullptr, mean.data(), invstd.data(), y.data());
  check_close<T>(random, tolerance, [&](auto& run) {
    auto* dx = over_x ? run.inout("dx", dims, x) : want_dx ? run.out("dx", dims) : nullptr;
    auto* dweight = want_dweight ? run.out("dweight", parameters) : nullptr;
    auto* dbias = want_dbias ? run.out("dbias", parameters) : nullptr;
    run.floating().group_norm_backward(s, over_x ? dx : run.in(x), has_weight ? run.in(weight) : nullptr,
                                       run.in_double(mean), run.in_double(invstd), run.in(dy), dx, dweight, dbias);
  });
}

}  // namespace

TEMPLATE_TEST_CASE("group_norm", "[group_norm]", float, double) {
  using T = TestType;
  for_each_case(160, [](Random& random) {
    const GroupNormShape s = random_group_norm(random);
    const double mean = random.real(-3, 3);
    std::vector<T> x = random.between<T>(s.rows() * s.n(), mean - 2, mean + 2);
    if (random.chance(0.2)) random.spoil(x, 0.002);
    check_both(random, s, x, whole_or_one);
  });
}

TEST_CASE("group_norm keeps its digits far from zero", "[group_norm]") {
  for_each_case(60, [](Random& random) {
    GroupNormShape s = random_group_norm(random);
    if (s.n() < 8) s.channels *= 8;  // else the elements of a row may lie so near to each other that little is left
    const double mean = random.pick({1e4, -1e5, 3e6});
    s.centred = true;
    check_both(random, s, random.between<float>(s.rows() * s.n(), mean - 2, mean + 2), whole_or_one);
  });
}

TEMPLATE_TEST_CASE("group_norm of a row that begins far from the rest", "[group_norm]", float, double) {
  using T = TestType;
  for_each_case(10, [](Random& random) {
    const GroupNormShape s{.N = 3, .channels = random.pick<int64_t>({64, 100, 1100, 5000})};
    std::vector<T> x = random.values<T>(s.rows() * s.n());
    for (int64_t row = 0; row < s.rows(); ++row) {
      for (int64_t i = 0; i < 20; ++i) x[row * s.n() + i] += 3000;
    }
    check_both(random, s, x, whole_or_one);
  });
}

/// An activation that grows beyond all bounds: squares that no float holds.
TEST_CASE("group_norm of huge numbers", "[group_norm]") {
  for_each_case(40, [](Random& random) {
    const GroupNormShape s = random_group_norm(random);
    const double size = random.pick({1e18, 1e19, 1e25, 1e30, 1e37});
    std::vector<float> x(s.rows() * s.n());
    for (float& v : x) v = static_cast<float>(size * static_cast<double>(random.integer(-20, 20)) / 20);
    const Dims dims{s.N, s.groups, s.channels, s.run};
    CAPTURE(s, size);
    check_close<float>(random, whole, [&](auto& run) {
      double *mean = run.out_double("mean", {s.rows()}), *invstd = run.out_double("invstd", {s.rows()});
      run.floating().group_norm(s, run.in(x), nullptr, nullptr, mean, invstd, run.out("y", dims));
    });
  });
}

TEMPLATE_TEST_CASE("group_norm of equal numbers", "[group_norm]", float, double) {
  using T = TestType;
  for_each_case(10, [](Random& random) {
    const GroupNormShape s = random_group_norm(random);
    check_both(random, s, std::vector<T>(s.rows() * s.n(), static_cast<T>(random.integer(-3, 3))), whole_or_one);
  });
}

TEMPLATE_TEST_CASE("group_norm of no elements", "[group_norm]", float, double) {
  using T = TestType;
  for_each_case(12, [](Random& random) {
    GroupNormShape s{.N = 3, .groups = 2, .channels = 2, .run = random.pick<int64_t>({1, 4})};
    (random.chance(0.4) ? s.N : random.chance(0.5) ? s.channels : s.run) = 0;
    check_both(random, s, std::vector<T>(s.rows() * s.n()), whole);
  });
}

}  // namespace tern::test
