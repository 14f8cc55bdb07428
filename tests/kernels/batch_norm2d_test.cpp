#include "check.hpp"
#include "shapes.hpp"

#include <tern/kernels/reference/reference.hpp>

namespace tern::test {

/// n numbers that are `mean` on average.
template <class T>
std::vector<T> around(Random& random, int64_t n, double mean) {
  return random.between<T>(n, mean - 2, mean + 2);
}

TEMPLATE_TEST_CASE("batch_norm2d", "[batch_norm2d]", float, double) {
  using T = TestType;
  for_each_case(60, [](Random& random) {
    const BatchNorm2dShape s = random_batch_norm2d(random);
    const std::vector<T> x = around<T>(random, s.N * s.C * s.HW, random.real(-3, 3)), weight = random.values<T>(s.C),
                         bias = random.values<T>(s.C), running_mean = random.values<T>(s.C),
                         running_var = random.between<T>(s.C, 0.1, 2);
    const bool has_weight = random.chance(0.7), has_bias = random.chance(0.7), moves_mean = random.chance(0.7),
               moves_var = random.chance(0.2) ? !moves_mean : moves_mean;
    const double momentum = random.pick({0.1, 0.5, 1.0, 0.0});
    CAPTURE(s, has_weight, has_bias, moves_mean, moves_var, momentum);
    check_close<T>(random, whole_or_one, [&](auto& run) {
      auto* moving_mean = moves_mean ? run.inout("running_mean", {s.C}, running_mean) : nullptr;
      auto* moving_var = moves_var ? run.inout("running_var", {s.C}, running_var) : nullptr;
      auto *mean = run.out("mean", {s.C}), *invstd = run.out("invstd", {s.C}), *y = run.out("y", {s.N, s.C, s.HW});
      run.floating().batch_norm2d(s, momentum, run.in(x), has_weight ? run.in(weight) : nullptr,
                                  has_bias ? run.in(bias) : nullptr, moving_mean, moving_var, mean, invstd, y);
    });
    check_close<T>(random, whole_or_one, [&](auto& run) {
      auto *invstd = run.out("invstd", {s.C}), *y = run.out("y", {s.N, s.C, s.HW});
      run.floating().batch_norm2d_eval(s, run.in(x), has_weight ? run.in(weight) : nullptr,
                                       has_bias ? run.in(bias) : nullptr, run.in(running_mean), run.in(running_var),
                                       invstd, y);
    });
  });
}

TEMPLATE_TEST_CASE("batch_norm2d keeps its digits far from zero", "[batch_norm2d]", float, double) {
  using T = TestType;
  for_each_case(20, [](Random& random) {
    BatchNorm2dShape s = random_batch_norm2d(random);
    const std::vector<T> x = around<T>(random, s.N * s.C * s.HW, 100);
    CAPTURE(s);
    // x itself has an error of 100 * 2^-24 against a deviation of 1. Sums of squares would be off by 100 times that.
    const Tolerance loose{.whole = true, .floor = 20};
    check_close<T>(random, loose, [&](auto& run) {
      auto *mean = run.out("mean", {s.C}), *invstd = run.out("invstd", {s.C}), *y = run.out("y", {s.N, s.C, s.HW});
      run.floating().batch_norm2d(s, 0.1, run.in(x), nullptr, nullptr, nullptr, nullptr, mean, invstd, y);
    });
  });
}

TEMPLATE_TEST_CASE("batch_norm2d of equal numbers", "[batch_norm2d]", float, double) {
  using T = TestType;
  for_each_case(5, [](Random& random) {
    const BatchNorm2dShape s = random_batch_norm2d(random);
    const std::vector<T> x(s.N * s.C * s.HW, static_cast<T>(random.integer(-3, 3)));
    CAPTURE(s);
    check_close<T>(random, whole_or_one, [&](auto& run) {
      auto *mean = run.out("mean", {s.C}), *invstd = run.out("invstd", {s.C}), *y = run.out("y", {s.N, s.C, s.HW});
      run.floating().batch_norm2d(s, 0.1, run.in(x), nullptr, nullptr, nullptr, nullptr, mean, invstd, y);
    });
  });
}

TEMPLATE_TEST_CASE("batch_norm2d_backward", "[batch_norm2d]", float, double) {
  using T = TestType;
  for_each_case(80, [](Random& random) {
    const BatchNorm2dShape s = random_batch_norm2d(random);
    const int64_t n = s.N * s.C * s.HW;
    const std::vector<T> x = random.values<T>(n), dy = random.values<T>(n), weight = random.values<T>(s.C),
                         mean = random.between<T>(s.C, -0.2, 0.2), invstd = random.between<T>(s.C, 0.5, 2);
    const bool training = random.chance(0.5), has_weight = random.chance(0.7), want_dx = random.chance(0.8),
               want_dweight = random.chance(0.7), want_dbias = random.chance(0.7);
    CAPTURE(s, training, has_weight, want_dx, want_dweight, want_dbias);
    check_close<T>(random, whole_or_one, [&](auto& run) {
      auto* dx = want_dx ? run.out("dx", {s.N, s.C, s.HW}) : nullptr;
      auto* dweight = want_dweight ? run.out("dweight", {s.C}) : nullptr;
      auto* dbias = want_dbias ? run.out("dbias", {s.C}) : nullptr;
      run.floating().batch_norm2d_backward(s, training, run.in(x), has_weight ? run.in(weight) : nullptr, run.in(mean),
                                           run.in(invstd), run.in(dy), dx, dweight, dbias);
    });
  });
}

TEMPLATE_TEST_CASE("batch_norm2d_max_pool2d", "[batch_norm2d][pool2d]", float, double) {
  using T = TestType;
  for_each_case(100, [](Random& random) {
    Pool2dShape s = random_pool2d(random);
    if (random.chance(0.3)) {
      s = windows_of_2({.N = 2, .C = 3, .H = random.integer(2, 40), .W = random.integer(2, 70)});
    }
    s.N = std::max<int64_t>(s.N, s.H * s.W == 1 ? 2 : 1);
    const int64_t n = s.N * s.C * s.H * s.W;
    const std::vector<T> x = random.chance(0.5) ? random.ties<T>(n) : around<T>(random, n, random.real(-3, 3)),
                         dy = random.values<T>(s.N * s.C * s.P() * s.Q()), bias = random.values<T>(s.C);
    std::vector<T> weight = random.values<T>(s.C);
    if (s.C > 0 && random.chance(0.2)) weight[0] = 0;
    const bool has_weight = random.chance(0.7), has_bias = random.chance(0.7), moves = random.chance(0.5),
               want_dx = random.chance(0.8), want_dweight = random.chance(0.7), want_dbias = random.chance(0.7),
               over_x = want_dx && s.side_by_side() && random.chance(0.5);
    CAPTURE(s, has_weight, has_bias, moves, want_dx, want_dweight, want_dbias, over_x);
    const Dims channels{s.C}, x_dims{s.N, s.C, s.H, s.W}, y_dims{s.N, s.C, s.P(), s.Q()};
    check_close<T>(random, whole_or_one, [&](auto& run) {
      auto* running_mean = moves ? run.inout("running_mean", channels, bias) : nullptr;
      auto* running_var = moves ? run.inout("running_var", channels, bias) : nullptr;
      auto *mean = run.out("mean", channels), *invstd = run.out("invstd", channels),
           *picked = run.out("picked", y_dims), *y = run.out("y", y_dims);
      run.floating().batch_norm2d_max_pool2d(s, 1e-3, 0.1, run.in(x), has_weight ? run.in(weight) : nullptr,
                                             has_bias ? run.in(bias) : nullptr, running_mean, running_var, mean, invstd,
                                             picked, y);
    });

    std::vector<T> mean(s.C), invstd(s.C), picked(dy.size()), y(dy.size());
    ReferenceFloat<T>().batch_norm2d_max_pool2d(s, 1e-3, 0.1, x.data(), has_weight ? weight.data() : nullptr, nullptr,
                                                nullptr, nullptr, mean.data(), invstd.data(), picked.data(), y.data());
    check_close<T>(random, whole_or_one, [&](auto& run) {
      auto* dx = over_x ? run.inout("dx", x_dims, x) : want_dx ? run.out("dx", x_dims) : nullptr;
      auto* dweight = want_dweight ? run.out("dweight", channels) : nullptr;
      auto* dbias = want_dbias ? run.out("dbias", channels) : nullptr;
      run.floating().batch_norm2d_max_pool2d_backward(s, over_x ? dx : run.in(x), has_weight ? run.in(weight) : nullptr,
                                                      run.in(mean), run.in(invstd), run.in(picked), run.in(dy), dx,
                                                      dweight, dbias);
    });
  });
}

TEMPLATE_TEST_CASE("batch_norm2d of no elements", "[batch_norm2d]", float, double) {
  using T = TestType;
  for_each_case(4, [](Random& random) {
    BatchNorm2dShape s{.N = 2, .C = 3, .HW = 4};
    (random.chance(0.5) ? s.N : s.HW) = 0;
    const std::vector<T> none, mean = random.values<T>(s.C), var = random.between<T>(s.C, 0.1, 2);
    const bool training = random.chance(0.5);
    CAPTURE(s, training);
    check_close<T>(random, whole, [&](auto& run) {
      auto *invstd = run.out("invstd", {s.C}), *y = run.out("y", {s.N, s.C, s.HW});
      run.floating().batch_norm2d_eval(s, run.in(none), nullptr, nullptr, run.in(mean), run.in(var), invstd, y);
    });
    check_close<T>(random, whole, [&](auto& run) {
      auto *dx = run.out("dx", {s.N, s.C, s.HW}), *dweight = run.out("dweight", {s.C}),
           *dbias = run.out("dbias", {s.C});
      run.floating().batch_norm2d_backward(s, training, run.in(none), nullptr, run.in(mean), run.in(var), run.in(none),
                                           dx, dweight, dbias);
    });
  });
}

}  // namespace tern::test
