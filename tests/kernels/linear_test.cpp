#include "check.hpp"
#include "shapes.hpp"

namespace tern::test {

template <class T>
void check_linear(Random& random, const LinearShape& s) {
  std::vector<T> x = random.values<T>(s.rows * s.in), w = random.values<T>(s.out * s.in),
                 bias = random.values<T>(s.out);
  const bool has_bias = random.chance(0.7);
  // Sums of many terms would leave nothing of tanh's slope.
  if (s.activation == Activation::tanh) {
    for (T& v : w) v /= static_cast<T>(std::max<int64_t>(1, s.in / 4));
  }
  if (s.activation != Activation::tanh && random.chance(0.2)) random.spoil(x, 0.01);
  CAPTURE(s, has_bias);
  check_close<T>(random, whole_or_one, [&](auto& run) {
    run.floating().linear(s, run.in(x), run.in(w), has_bias ? run.in(bias) : nullptr, run.out("y", {s.rows, s.out}));
  });

  std::vector<T> y(s.rows * s.out), dy = random.values<T>(s.rows * s.out);
  cpu_backend().floating(T{}).linear(s, x.data(), w.data(), bias.data(), y.data());
  if (s.activation == Activation::relu && random.chance(0.3)) random.spoil(dy, 0.05);  // some where y is 0
  const bool need_x = random.chance(0.8), need_w = random.chance(0.8), need_b = random.chance(0.8);
  const bool need_y = s.activation != Activation::none;
  CAPTURE(need_x, need_w, need_b);
  check_close<T>(random, whole_or_one, [&](auto& run) {
    auto* dx = need_x ? run.out("dx", {s.rows, s.in}) : nullptr;
    auto* dw = need_w ? run.out("dw", {s.out, s.in}) : nullptr;
    auto* dbias = need_b ? run.out("dbias", {s.out}) : nullptr;
    run.floating().linear_backward(s, need_w ? run.in(x) : nullptr, need_x ? run.in(w) : nullptr,
                                   need_y ? run.in(y) : nullptr, run.in(dy), dx, dw, dbias);
  });
}

constexpr auto activations = {Activation::none, Activation::tanh, Activation::relu};

TEMPLATE_TEST_CASE("linear", "[linear]", float, double) {
  for_each_case(100, [](Random& random) { check_linear<TestType>(random, random_linear(random)); });
}

TEMPLATE_TEST_CASE("linear of the models' shapes", "[linear]", float, double) {
  for_each_case(1, [](Random& random) {
    check_linear<TestType>(random, {.rows = 64, .in = 512, .out = 32, .activation = Activation::tanh});
    check_linear<TestType>(random, {.rows = 64, .in = 1024, .out = 32, .activation = Activation::tanh});
    check_linear<TestType>(random, {.rows = 64, .in = 32, .out = 2});
  });
}

/// Where the cuda device leaves the product to cuBLAS: many results, long sums, many rows or outputs to sum over.
TEMPLATE_TEST_CASE("linear of large shapes", "[linear]", float, double) {
  for_each_case(3, [](Random& random) {
    for (const Activation activation : activations) {
      check_linear<TestType>(random, {.rows = random.integer(1'025, 1'300),
                                      .in = random.integer(1, 4),
                                      .out = random.integer(64, 80),
                                      .activation = activation});
      check_linear<TestType>(random, {.rows = random.integer(1, 5),
                                      .in = random.integer(4'097, 4'300),
                                      .out = random.integer(1, 9),
                                      .activation = activation});
      check_linear<TestType>(random, {.rows = random.integer(1, 5),
                                      .in = random.integer(1, 9),
                                      .out = random.integer(1'025, 1'300),
                                      .activation = activation});
      check_linear<TestType>(random, {.rows = random.integer(5'000, 6'000),
                                      .in = random.integer(0, 2),
                                      .out = random.integer(1, 3),
                                      .activation = activation});
    }
  });
}

}  // namespace tern::test
