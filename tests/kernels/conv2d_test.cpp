#include "check.hpp"
#include "shapes.hpp"

namespace tern::test {

template <class T>
void check_conv2d(Random& random, const Conv2dShape& s, const std::vector<Subject>& backends) {
  const Dims x_dims{s.N, s.C, s.H, s.W}, w_dims{s.K, s.C / s.groups, s.R, s.S}, y_dims{s.N, s.K, s.P(), s.Q()};
  const std::vector<T> x = random.values<T>(s.N * s.C * s.H * s.W), w = random.values<T>(s.K * w_dims[1] * s.R * s.S),
                       bias = random.values<T>(s.K), dy = random.values<T>(s.N * s.K * s.P() * s.Q());
  const bool has_bias = random.chance(0.5);
  CAPTURE(s, has_bias);
  check_close<T>(
      random, whole_or_one,
      [&](auto& run) {
        run.floating().conv2d(s, run.in(x), run.in(w), has_bias ? run.in(bias) : nullptr, run.out("y", y_dims));
      },
      backends);
  check_close<T>(
      random, whole_or_one,
      [&](auto& run) { run.floating().conv2d_backward_input(s, run.in(w), run.in(dy), run.out("dx", x_dims)); },
      backends);
  check_close<T>(
      random, whole_or_one,
      [&](auto& run) {
        auto *dw = run.out("dw", w_dims), *dbias = has_bias ? run.out("dbias", {s.K}) : nullptr;
        run.floating().conv2d_backward_weight(s, run.in(x), run.in(dy), dw, dbias);
      },
      backends);
}

template <class T>
void check_conv2d(Random& random, Conv2dShape s) {
  for_each_precision<T>([&](Precision precision, const std::vector<Subject>& backends) {
    s.precision = precision;
    check_conv2d<T>(random, s, backends);
  });
}

TEMPLATE_TEST_CASE("conv2d", "[conv2d]", float, double) {
  for_each_case(150, [](Random& random) { check_conv2d<TestType>(random, random_conv2d(random)); });
}

/// Backends have kernels of their own for these, which work by tiles: sizes around theirs.
TEMPLATE_TEST_CASE("conv2d by filters of 3 by 3", "[conv2d]", float, double) {
  for_each_case(15, [](Random& random) { check_conv2d<TestType>(random, random_conv3x3(random)); });
}

/// The CPU has Winograd's algorithm for these, by tiles of 4 x 4 outputs, whole or one over the other, and of 2 x 2 for
/// the gradients of few channels.
TEMPLATE_TEST_CASE("conv2d by filters of 3 by 3 and stride 1", "[conv2d]", float, double) {
  for_each_case(20, [](Random& random) {
    Conv2dShape s{.N = random.integer(1, 4), .R = 3, .S = 3};
    s.groups = random.pick<int64_t>({1, 1, 2});
    s.C = s.groups * random.integer(1, random.pick({9, 40}));
    s.K = s.groups * random.integer(3, random.pick({9, 70}));
    s.pad_h = random.integer(0, 2);
    s.pad_w = random.chance(0.2) ? random.integer(3, 12) : random.integer(0, 2);
    const int64_t P = random.chance(0.5) ? 4 * random.integer(1, 6) : random.integer(3, 20);
    const int64_t Q = random.chance(0.5) ? 8 * random.integer(1, 6) : random.integer(3, 40);
    s.H = std::max<int64_t>(1, P + 2 - 2 * s.pad_h);
    s.W = std::max(Q, 2 * s.pad_w) + 2 - 2 * s.pad_w;
    check_conv2d<TestType>(random, s);
  });
}

/// What lies beside the last column of y meets no gradient, not even one of 0.
TEMPLATE_TEST_CASE("an infinity goes to the gradients of the weights that met it", "[conv2d]", float, double) {
  using T = TestType;
  for_each_case(1, [](Random& random) {
    const Conv2dShape s{.N = 2, .C = 1, .H = 5, .W = 7, .K = 1, .R = 3, .S = 3};
    std::vector<T> x = random.values<T>(s.N * s.H * s.W);
    for (int64_t i = s.W - 1; i < s.N * s.H * s.W; i += s.W) x[i] = std::numeric_limits<T>::infinity();
    const std::vector<T> dy = random.between<T>(s.N * s.P() * s.Q(), 0.5, 1);
    check_close<T>(random, whole_or_one, [&](auto& run) {
      run.floating().conv2d_backward_weight(s, run.in(x), run.in(dy), run.out("dw", {1, 1, 3, 3}),
                                            run.out("dbias", {1}));
    });
  });
}

TEMPLATE_TEST_CASE("conv2d without channels", "[conv2d]", float, double) {
  for_each_case(4, [](Random& random) {
    Conv2dShape s{.N = 2, .C = 3, .H = 5, .W = 4, .K = 2, .R = 3, .S = 3, .pad_h = 1, .pad_w = 1};
    (random.chance(0.5) ? s.C : s.K) = 0;
    check_conv2d<TestType>(random, s);
  });
}

TEMPLATE_TEST_CASE("conv2d of layers in use", "[conv2d]", float, double) {
  for_each_case(1, [](Random& random) {
    const int64_t N = random.integer(1, 3);
    const Conv2dShape s[] = {
        {.N = N, .C = 3, .H = 32, .W = 32, .K = 16, .R = 3, .S = 3, .pad_h = 1, .pad_w = 1},
        {.N = N, .C = 5, .H = 42, .W = 64, .K = 7, .R = 3, .S = 3, .pad_h = 1, .pad_w = 1},
        {.N = N, .C = 16, .H = 16, .W = 16, .K = 8, .R = 3, .S = 3, .pad_h = 1, .pad_w = 1},
        {.N = N,
         .C = 32,
         .H = 8,
         .W = 8,
         .K = 32,
         .R = 3,
         .S = 3,
         .stride_h = 2,
         .stride_w = 2,
         .pad_h = 1,
         .pad_w = 1},
        {.N = N, .C = 24, .H = 9, .W = 9, .K = 40, .R = 1, .S = 1},
        {.N = N, .C = 32, .H = 14, .W = 14, .K = 32, .R = 3, .S = 3, .pad_h = 1, .pad_w = 1, .groups = 32},
        {.N = N,
         .C = 3,
         .H = 30,
         .W = 30,
         .K = 8,
         .R = 7,
         .S = 7,
         .stride_h = 2,
         .stride_w = 2,
         .pad_h = 3,
         .pad_w = 3},
    };
    for (const Conv2dShape& shape : s) check_conv2d<TestType>(random, shape);
  });
}

}  // namespace tern::test
