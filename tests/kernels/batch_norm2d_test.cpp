#include "check.hpp"
#include "shapes.hpp"

#include <tern/kernels/reference/reference.hpp>

namespace tern::test {

namespace {

constexpr auto activations = {Activation::none, Activation::tanh, Activation::relu};

/// n numbers that are `mean` on average.
template <class T>
std::vector<T> around(Random& random, int64_t n, double mean) {
  return random.between<T>(n, mean - 2, mean + 2);
}

/// Eighths, often equal to each other: no rounding of what they are normalised to makes equal what is not.
template <class T>
std::vector<T> eighths(Random& random, int64_t n) {
  std::vector<T> values(n);
  for (T& v : values) v = static_cast<T>(random.integer(-20, 20)) / 8;
  return values;
}

/// Channels whose weight is nothing, or nothing beside a bias, among others of either sign.
template <class T>
std::vector<T> weights(Random& random, int64_t n) {
  std::vector<T> values(n);
  for (T& v : values) v = static_cast<T>(random.pick({1.0, -1.0}) * random.pick({0.0, 1e-30, 0.5, 1.0, 1.7}));
  return values;
}

}  // namespace

TEMPLATE_TEST_CASE("batch_norm2d", "[batch_norm2d]", float, double) {
  using T = TestType;
  for_each_case(120, [](Random& random) {
    const BatchNorm2dShape s = random_batch_norm2d(random);
    const int64_t n = s.N * s.C * s.HW;
    std::vector<T> x = around<T>(random, n, random.real(-3, 3)), residual = random.values<T>(n);
    const std::vector<T> weight = random.values<T>(s.C), bias = random.values<T>(s.C),
                         running_mean = random.values<T>(s.C), running_var = random.between<T>(s.C, 0.1, 2);
    const bool has_weight = random.chance(0.7), has_bias = random.chance(0.7), has_residual = random.chance(0.5),
               moves_mean = random.chance(0.7), moves_var = random.chance(0.2) ? !moves_mean : moves_mean,
               counts = random.chance(0.7);
    const double momentum = random.pick({0.1, 0.5, 1.0, 0.0});
    if (random.chance(0.2)) random.spoil(x, 0.02);
    if (random.chance(0.2)) random.spoil(residual);
    CAPTURE(s, has_weight, has_bias, has_residual, moves_mean, moves_var, counts, momentum);
    const auto parameters = [&](auto& run) {
      return std::tuple(has_weight ? run.in(weight) : nullptr, has_bias ? run.in(bias) : nullptr,
                        has_residual ? run.in(residual) : nullptr);
    };
    check_close<T>(random, whole_or_one, [&](auto& run) {
      auto* moving_mean = moves_mean ? run.inout("running_mean", {s.C}, running_mean) : nullptr;
      auto* moving_var = moves_var ? run.inout("running_var", {s.C}, running_var) : nullptr;
      int64_t* num_batches = counts ? run.inout("num_batches", {1}, std::vector<int64_t>{41}) : nullptr;
      auto *mean = run.out("mean", {s.C}), *invstd = run.out("invstd", {s.C}), *y = run.out("y", {s.N, s.C, s.HW});
      const auto [w, b, r] = parameters(run);
      run.floating().batch_norm2d(s, momentum, run.in(x), w, b, r, moving_mean, moving_var, num_batches, mean, invstd,
                                  y);
    });
    check_close<T>(random, whole_or_one, [&](auto& run) {
      auto *invstd = run.out("invstd", {s.C}), *y = run.out("y", {s.N, s.C, s.HW});
      const auto [w, b, r] = parameters(run);
      run.floating().batch_norm2d_eval(s, run.in(x), w, b, r, run.in(running_mean), run.in(running_var), invstd, y);
    });
  });
}

TEMPLATE_TEST_CASE("batch_norm2d keeps its digits far from zero", "[batch_norm2d]", float, double) {
  using T = TestType;
  for_each_case(20, [](Random& random) {
    BatchNorm2dShape s = random_batch_norm2d(random);
    s.activation = Activation::none;
    const std::vector<T> x = around<T>(random, s.N * s.C * s.HW, 100);
    CAPTURE(s);
    // x itself has an error of 100 * 2^-24 against a deviation of 1. Sums of squares would be off by 100 times that.
    const Tolerance loose{.whole = true, .floor = 20};
    check_close<T>(random, loose, [&](auto& run) {
      auto *mean = run.out("mean", {s.C}), *invstd = run.out("invstd", {s.C}), *y = run.out("y", {s.N, s.C, s.HW});
      run.floating().batch_norm2d(s, 0.1, run.in(x), nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, mean, invstd,
                                  y);
    });
  });
}

TEMPLATE_TEST_CASE("batch_norm2d of a plane that begins far from the rest", "[batch_norm2d]", float, double) {
  using T = TestType;
  for_each_case(10, [](Random& random) {
    const Pool2dShape s = windows_of_2({.N = 1, .C = 2, .H = 32, .W = random.pick<int64_t>({16, 32, 40})});
    std::vector<T> x = random.values<T>(s.C * s.H * s.W);
    for (int64_t i = 0; i < 20; ++i) x[i] += 3000;
    CAPTURE(s);
    check_close<T>(random, whole_or_one, [&](auto& run) {
      auto *mean = run.out("mean", {s.C}), *invstd = run.out("invstd", {s.C}), *y = run.out("y", {s.C, s.H * s.W});
      auto* var = run.inout("running_var", {s.C}, std::vector<T>(s.C));
      run.floating().batch_norm2d({s.N, s.C, s.H * s.W}, 1, run.in(x), nullptr, nullptr, nullptr, nullptr, var, nullptr,
                                  mean, invstd, y);
    });
    check_close<T>(random, whole_or_one, [&](auto& run) {
      auto *mean = run.out("mean", {s.C}), *invstd = run.out("invstd", {s.C}), *picked = run.out("picked", {s.C, 1}),
           *y = run.out("y", {s.C, 1});
      auto* var = run.inout("running_var", {s.C}, std::vector<T>(s.C));
      Pool2dShape whole_plane = s;
      whole_plane.R = whole_plane.stride_h = s.H;
      whole_plane.S = whole_plane.stride_w = s.W;
      run.floating().batch_norm2d_max_pool2d(whole_plane, Activation::none, 1e-5, 1, run.in(x), nullptr, nullptr,
                                             nullptr, var, nullptr, mean, invstd, picked, y);
    });
    check_close<T>(random, whole_or_one, [&](auto& run) {
      const Dims y_dims{s.C, s.P(), s.Q()};
      auto *mean = run.out("mean", {s.C}), *invstd = run.out("invstd", {s.C}), *picked = run.out("picked", y_dims),
           *y = run.out("y", y_dims);
      auto* var = run.inout("running_var", {s.C}, std::vector<T>(s.C));
      run.floating().batch_norm2d_max_pool2d(s, Activation::none, 1e-5, 1, run.in(x), nullptr, nullptr, nullptr, var,
                                             nullptr, mean, invstd, picked, y);
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
      run.floating().batch_norm2d(s, 0.1, run.in(x), nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, mean, invstd,
                                  y);
    });
  });
}

/// A net that diverges: squares beyond float.
TEST_CASE("batch_norm2d of huge numbers", "[batch_norm2d]") {
  for_each_case(40, [](Random& random) {
    const double size = random.pick({1e18, 1e19, 1e25, 1e30, 1e37});
    BatchNorm2dShape s = random_batch_norm2d(random);
    s.HW = random.pick<int64_t>({4, 16, 64, 1024});
    const auto n = s.N * s.C * s.HW;
    std::vector<float> x(n);
    for (float& v : x) v = static_cast<float>(size * static_cast<double>(random.integer(-20, 20)) / 20);
    const bool one_alone = random.chance(0.3);
    if (one_alone) {
      x = random.values<float>(n);
      if (n > 0) x[random.integer(0, n - 1)] = static_cast<float>(size);
    }
    const auto dy = random.values<float>(n), weight = random.values<float>(s.C), none = std::vector<float>(s.C);
    CAPTURE(s, size);
    std::vector<float> mean(s.C), invstd(s.C), y(n);
    ReferenceFloat<float>().batch_norm2d(s, 0.1, x.data(), weight.data(), nullptr, nullptr, nullptr, nullptr, nullptr,
                                         mean.data(), invstd.data(), y.data());
    check_close<float>(random, whole_or_one, [&](auto& run) {
      auto *mu = run.out("mean", {s.C}), *inv = run.out("invstd", {s.C}), *out = run.out("y", {s.N, s.C, s.HW}),
           *running_mean = run.inout("running_mean", {s.C}, none), *running_var = run.inout("running_var", {s.C}, none);
      run.floating().batch_norm2d(s, 0.1, run.in(x), run.in(weight), nullptr, nullptr, running_mean, running_var,
                                  nullptr, mu, inv, out);
    });
    // mean and invstd as relative errors: the latter are tiny numbers.
    check_close<float>(random, whole, [&](auto& run) {
      auto *mu = run.out("mean", {s.C}), *inv = run.out("invstd", {s.C});
      run.floating().batch_norm2d(s, 0.1, run.in(x), nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, mu, inv,
                                  run.out("y", {s.N, s.C, s.HW}));
    });
    check_close<float>(random, whole_or_one, [&](auto& run) {
      auto *dweight = run.out("dweight", {s.C}), *dbias = run.out("dbias", {s.C});
      run.floating().batch_norm2d_backward(s, true, run.in(x), run.in(weight), run.in(mean), run.in(invstd), run.in(y),
                                           run.in(dy), static_cast<decltype(dweight)>(nullptr), dweight, dbias,
                                           static_cast<decltype(dweight)>(nullptr));
    });
    if (one_alone) return;  // all others are normalised to the same, and next to nothing is left of the gradient
    check_close<float>(random, whole, [&](auto& run) {
      auto* dx = run.out("dx", {s.N, s.C, s.HW});
      run.floating().batch_norm2d_backward(s, true, run.in(x), run.in(weight), run.in(mean), run.in(invstd), run.in(y),
                                           run.in(dy), dx, nullptr, nullptr, nullptr);
    });
    if (s.HW < 16) return;
    const Pool2dShape pool = windows_of_2({.N = s.N, .C = s.C, .H = 4, .W = s.HW / 4});
    check_close<float>(random, whole_or_one, [&](auto& run) {
      const Dims y_dims{pool.N, pool.C, pool.P(), pool.Q()};
      auto *mu = run.out("mean", {s.C}), *inv = run.out("invstd", {s.C}), *picked = run.out("picked", y_dims),
           *out = run.out("y", y_dims);
      run.floating().batch_norm2d_max_pool2d(pool, s.activation, s.eps, 0.1, run.in(x), run.in(weight), nullptr,
                                             nullptr, nullptr, nullptr, mu, inv, picked, out);
    });
  });
}

TEMPLATE_TEST_CASE("batch_norm2d_backward", "[batch_norm2d]", float, double) {
  using T = TestType;
  for_each_case(160, [](Random& random) {
    const BatchNorm2dShape s = random_batch_norm2d(random);
    const int64_t n = s.N * s.C * s.HW;
    const std::vector<T> x = random.values<T>(n), y = random.between<T>(n, -1, 1), weight = random.values<T>(s.C),
                         mean = random.between<T>(s.C, -0.2, 0.2), invstd = random.between<T>(s.C, 0.5, 2);
    std::vector<T> dy = random.values<T>(n);
    const bool training = random.chance(0.5), has_weight = random.chance(0.7), want_dx = random.chance(0.8),
               want_dweight = random.chance(0.7), want_dbias = random.chance(0.7), want_dresidual = random.chance(0.5),
               over_x = want_dx && random.chance(0.5), over_y = want_dresidual && random.chance(0.5);
    if (s.activation == Activation::relu && random.chance(0.3)) {  // what relu stops is no part of anything
      for (int64_t i = 0; i < n; ++i) {
        if (y[i] <= 0) dy[i] = std::numeric_limits<T>::infinity();
      }
    }
    CAPTURE(s, training, has_weight, want_dx, want_dweight, want_dbias, want_dresidual, over_x, over_y);
    const Dims dims{s.N, s.C, s.HW};
    check_close<T>(random, whole_or_one, [&](auto& run) {
      auto* dx = over_x ? run.inout("dx", dims, x) : want_dx ? run.out("dx", dims) : nullptr;
      auto* dweight = want_dweight ? run.out("dweight", {s.C}) : nullptr;
      auto* dbias = want_dbias ? run.out("dbias", {s.C}) : nullptr;
      auto* dresidual = over_y           ? run.inout("dresidual", dims, y)
                        : want_dresidual ? run.out("dresidual", dims)
                                         : nullptr;
      const bool needs_y = s.activation != Activation::none;
      run.floating().batch_norm2d_backward(s, training, over_x ? dx : run.in(x), has_weight ? run.in(weight) : nullptr,
                                           run.in(mean), run.in(invstd),
                                           over_y    ? dresidual
                                           : needs_y ? run.in(y)
                                                     : nullptr,
                                           run.in(dy), dx, dweight, dbias, dresidual);
    });
  });
}

TEMPLATE_TEST_CASE("batch_norm2d_max_pool2d", "[batch_norm2d][pool2d]", float, double) {
  using T = TestType;
  for_each_case(200, [](Random& random) {
    Pool2dShape s = random_pool2d(random);
    if (random.chance(0.5)) {
      s = windows_of_2({.N = 2, .C = 3, .H = random.integer(2, 40), .W = random.integer(2, 70)});
    }
    s.N = std::max<int64_t>(s.N, s.H * s.W == 1 ? 2 : 1);
    const Activation activation = random.pick(activations);
    const int64_t n = s.N * s.C * s.H * s.W;
    std::vector<T> x = random.chance(0.5) ? random.ties<T>(n) : eighths<T>(random, n);
    const std::vector<T> dy = random.values<T>(s.N * s.C * s.P() * s.Q()), bias = random.values<T>(s.C),
                         weight = weights<T>(random, s.C);
    if (random.chance(0.2)) random.spoil(x, 0.005);
    const bool has_weight = random.chance(0.7), has_bias = random.chance(0.7), moves = random.chance(0.5),
               want_dx = random.chance(0.8), want_dweight = random.chance(0.7), want_dbias = random.chance(0.7),
               over_x = want_dx && s.side_by_side() && random.chance(0.5);
    CAPTURE(s, activation, has_weight, has_bias, moves, want_dx, want_dweight, want_dbias, over_x);
    const Dims channels{s.C}, x_dims{s.N, s.C, s.H, s.W}, y_dims{s.N, s.C, s.P(), s.Q()};
    check_close<T>(random, whole_or_one, [&](auto& run) {
      auto* running_mean = moves ? run.inout("running_mean", channels, bias) : nullptr;
      auto* running_var = moves ? run.inout("running_var", channels, bias) : nullptr;
      int64_t* num_batches = moves ? run.inout("num_batches", {1}, std::vector<int64_t>{41}) : nullptr;
      auto *mean = run.out("mean", channels), *invstd = run.out("invstd", channels),
           *picked = run.out("picked", y_dims), *y = run.out("y", y_dims);
      run.floating().batch_norm2d_max_pool2d(s, activation, 1e-3, 0.1, run.in(x), has_weight ? run.in(weight) : nullptr,
                                             has_bias ? run.in(bias) : nullptr, running_mean, running_var, num_batches,
                                             mean, invstd, picked, y);
    });

    std::vector<T> mean(s.C), invstd(s.C), picked(dy.size()), y(dy.size());
    ReferenceFloat<T>().batch_norm2d_max_pool2d(s, activation, 1e-3, 0.1, x.data(),
                                                has_weight ? weight.data() : nullptr, nullptr, nullptr, nullptr,
                                                nullptr, mean.data(), invstd.data(), picked.data(), y.data());
    check_close<T>(random, whole_or_one, [&](auto& run) {
      auto* dx = over_x ? run.inout("dx", x_dims, x) : want_dx ? run.out("dx", x_dims) : nullptr;
      auto* dweight = want_dweight ? run.out("dweight", channels) : nullptr;
      auto* dbias = want_dbias ? run.out("dbias", channels) : nullptr;
      run.floating().batch_norm2d_max_pool2d_backward(
          s, activation, over_x ? dx : run.in(x), has_weight ? run.in(weight) : nullptr, run.in(mean), run.in(invstd),
          run.in(picked), activation != Activation::none ? run.in(y) : nullptr, run.in(dy), dx, dweight, dbias);
    });
  });
}

TEST_CASE("of normalised values that are equal, pooling takes the first", "[batch_norm2d][pool2d]") {
  // Of the numbers 1 to 4, mean 2.5 and deviation sqrt(1.25), a weight of 0 makes all alike, whether of 1 or beside 1.
  const Pool2dShape s = windows_of_2({.N = 1, .C = 4, .H = 2, .W = 2});
  const std::vector<float> x{1, 3, 4, 2, 1, 3, 4, 2, 1, 3, 4, 2, 1, 3, 4, 2}, weight{0, -0.0f, 1e-12f, 1}, bias(4, 1),
      dy{1, 2, 3, 4};
  for (const Subject& subject : subjects()) {
    INFO("backend " << subject.name);
    Random random(base_seed(), 0);
    Run<float> run(*subject.backend, random);
    auto *mean = run.out("mean", {4}), *invstd = run.out("invstd", {4}), *picked = run.out("picked", {4}),
         *y = run.out("y", {4}), *dx = run.out("dx", {16}), *dweight = run.out("dweight", {4}),
         *dbias = run.out("dbias", {4});
    const float *in = run.in(x), *w = run.in(weight);
    run.floating().batch_norm2d_max_pool2d(s, Activation::none, 0, 0.1, in, w, run.in(bias), nullptr, nullptr, nullptr,
                                           mean, invstd, picked, y);
    run.floating().batch_norm2d_max_pool2d_backward(s, Activation::none, in, w, mean, invstd, picked, nullptr,
                                                    run.in(dy), dx, dweight, dbias);
    const std::vector<Output> all = run.finish();
    CHECK(all[2].values == std::vector<long double>{1, 1, 1, 4});
    const long double xhat = 1.5L / std::sqrt(1.25L);  // of 4; that of 1 is its negative
    const std::vector<long double> want{-xhat, -2 * xhat, -3 * xhat, 4 * xhat};
    for (int c = 0; c < 4; ++c) {
      CAPTURE(c);
      CHECK(std::abs(all[5].values[c] - want[c]) < 1e-5);
    }
  }
}

TEMPLATE_TEST_CASE("batch_norm2d of no elements", "[batch_norm2d]", float, double) {
  using T = TestType;
  for_each_case(12, [](Random& random) {
    BatchNorm2dShape s{.N = 2, .C = 3, .HW = 4, .activation = random.pick(activations)};
    (random.chance(0.3) ? s.N : random.chance(0.5) ? s.HW : s.C) = 0;
    const std::vector<T> none, mean = random.values<T>(s.C), var = random.between<T>(s.C, 0.1, 2);
    const bool training = random.chance(0.5);
    CAPTURE(s, training);
    check_close<T>(random, whole, [&](auto& run) {
      auto *running_mean = run.inout("running_mean", {s.C}, mean), *running_var = run.inout("running_var", {s.C}, var);
      int64_t* num_batches = run.inout("num_batches", {1}, std::vector<int64_t>{41});
      auto *mu = run.out("mean", {s.C}), *invstd = run.out("invstd", {s.C}), *y = run.out("y", {s.N, s.C, s.HW});
      run.floating().batch_norm2d(s, 0.1, run.in(none), nullptr, nullptr, nullptr, running_mean, running_var,
                                  num_batches, mu, invstd, y);
    });
    check_close<T>(random, whole, [&](auto& run) {
      auto *invstd = run.out("invstd", {s.C}), *y = run.out("y", {s.N, s.C, s.HW});
      run.floating().batch_norm2d_eval(s, run.in(none), nullptr, nullptr, nullptr, run.in(mean), run.in(var), invstd,
                                       y);
    });
    check_close<T>(random, whole, [&](auto& run) {
      auto *dx = run.out("dx", {s.N, s.C, s.HW}), *dweight = run.out("dweight", {s.C}),
           *dbias = run.out("dbias", {s.C});
      run.floating().batch_norm2d_backward(s, training, run.in(none), nullptr, run.in(mean), run.in(var), run.in(none),
                                           run.in(none), dx, dweight, dbias, nullptr);
    });
  });
}

}  // namespace tern::test
