#include "check.hpp"
#include "shapes.hpp"

#include <tern/kernels/reference/reference.hpp>

namespace tern::test {

TEMPLATE_TEST_CASE("max_pool2d", "[pool2d]", float, double) {
  using T = TestType;
  for_each_case(150, [](Random& random) {
    Pool2dShape s = random.chance(0.6) ? random_pool2d(random) : random_other_pool2d(random, false);
    if (random.chance(0.2)) {  // rows of the longest vectors and more
      s = random_pool2d(random);
      s.W += random.integer(20, 60);
      s.stride_w = random.integer(1, 2);
    }
    const int64_t n = s.N * s.C * s.H * s.W, windows = s.N * s.C * s.P() * s.Q();
    std::vector<T> x = random.chance(0.5) ? random.ties<T>(n) : random.values<T>(n);
    if (random.chance(0.5)) random.spoil(x, random.pick({0.01, 0.3, 1.0}));
    if (random.chance(0.1)) std::fill(x.begin(), x.end(), -std::numeric_limits<T>::infinity());
    const bool want_indices = random.chance(0.8);
    CAPTURE(s, want_indices);
    const Dims y_dims{s.N, s.C, s.P(), s.Q()};
    check_exact<T>(random, [&](auto& run) {
      auto* y = run.out("y", y_dims);
      run.floating().max_pool2d(s, run.in(x), y, want_indices ? run.template out<int64_t>("indices", y_dims) : nullptr);
    });

    std::vector<T> y(windows);
    std::vector<int64_t> indices(windows);
    ReferenceFloat<T>().max_pool2d(s, x.data(), y.data(), indices.data());
    const std::vector<T> dy = random.values<T>(windows);
    check_close<T>(random, whole, [&](auto& run) {
      run.floating().max_pool2d_backward(s, run.in(indices), run.in(dy), run.out("dx", {s.N, s.C, s.H, s.W}));
    });
  });
}

TEMPLATE_TEST_CASE("avg_pool2d", "[pool2d]", float, double) {
  using T = TestType;
  for_each_case(100, [](Random& random) {
    const Pool2dShape s = random.chance(0.5) ? random_pool2d(random) : random_other_pool2d(random, true);
    const std::vector<T> x = random.values<T>(s.N * s.C * s.H * s.W), dy = random.values<T>(s.N * s.C * s.P() * s.Q());
    CAPTURE(s);
    check_close<T>(random, whole, [&](auto& run) {
      run.floating().avg_pool2d(s, run.in(x), run.out("y", {s.N, s.C, s.P(), s.Q()}));
    });
    check_close<T>(random, whole, [&](auto& run) {
      run.floating().avg_pool2d_backward(s, run.in(dy), run.out("dx", {s.N, s.C, s.H, s.W}));
    });
  });
}

/// Which CUDA has kernels of its own for.
TEMPLATE_TEST_CASE("pooling by two columns side by side", "[pool2d]", float, double) {
  using T = TestType;
  for_each_case(30, [](Random& random) {
    Pool2dShape s{.N = random.integer(1, 3), .C = random.integer(1, 4), .R = random.integer(1, 4), .S = 2};
    s.stride_h = s.R;
    s.stride_w = 2;
    s.H = s.R + random.integer(0, 9);
    s.W = 2 * random.integer(1, 9);
    std::vector<T> x = random.ties<T>(s.N * s.C * s.H * s.W);
    if (random.chance(0.5)) random.spoil(x, 0.2);
    CAPTURE(s);
    const Dims y_dims{s.N, s.C, s.P(), s.Q()}, x_dims{s.N, s.C, s.H, s.W};
    check_exact<T>(random, [&](auto& run) {
      run.floating().max_pool2d(s, run.in(x), run.out("y", y_dims), run.template out<int64_t>("indices", y_dims));
    });
    std::vector<T> y(numel(y_dims));
    std::vector<int64_t> indices(y.size());
    ReferenceFloat<T>().max_pool2d(s, x.data(), y.data(), indices.data());
    std::vector<T> dy = random.values<T>(numel(y_dims));
    random.spoil(dy, 0.1);
    check_exact<T>(random, [&](auto& run) {
      run.floating().max_pool2d_backward(s, run.in(indices), run.in(dy), run.out("dx", x_dims));
    });
    const std::vector<T> finite = random.values<T>(numel(x_dims));
    check_close<T>(random, whole,
                   [&](auto& run) { run.floating().avg_pool2d(s, run.in(finite), run.out("y", y_dims)); });
    check_close<T>(random, whole,
                   [&](auto& run) { run.floating().avg_pool2d_backward(s, run.in(dy), run.out("dx", x_dims)); });
  });
}

}  // namespace tern::test
