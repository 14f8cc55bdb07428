#include "check.hpp"

namespace tern::test {

/// `call(kernels, n, x, y)` on x's of [low, high), then with y in x's place.
template <class T, class F>
void check_map(Random& random, double low, double high, F call) {
  std::vector<T> x = random.between<T>(random.length(), low, high);
  if (random.chance(0.5)) random.spoil(x);
  const int64_t n = static_cast<int64_t>(x.size());
  CAPTURE(n, low, high);
  check_close<T>(random, each, [&](auto& run) { call(run.floating(), n, run.in(x), run.out("y", {n})); });
  INFO("y is x");
  check_close<T>(random, each, [&](auto& run) {
    auto* y = run.inout("y", {n}, x);
    call(run.floating(), n, y, y);
  });
}

TEMPLATE_TEST_CASE("neg, exp, log, sqrt", "[activation]", float, double) {
  using T = TestType;
  for_each_case(20, [](Random& random) {
    check_map<T>(random, -2, 2, [](auto& k, int64_t n, auto* x, auto* y) { k.neg(n, x, y); });
    check_map<T>(random, -2, 2, [](auto& k, int64_t n, auto* x, auto* y) { k.exp(n, x, y); });
    check_map<T>(random, -80, 80, [](auto& k, int64_t n, auto* x, auto* y) { k.exp(n, x, y); });
    check_map<T>(random, 0, 3, [](auto& k, int64_t n, auto* x, auto* y) { k.log(n, x, y); });
    check_map<T>(random, -1, 1e9, [](auto& k, int64_t n, auto* x, auto* y) { k.log(n, x, y); });
    check_map<T>(random, -0.1, 3, [](auto& k, int64_t n, auto* x, auto* y) { k.sqrt(n, x, y); });
  });
}

TEMPLATE_TEST_CASE("exp out of range", "[activation]", float, double) {
  using T = TestType;
  for_each_case(5, [](Random& random) {
    check_map<T>(random, 800, 1e5, [](auto& k, int64_t n, auto* x, auto* y) { k.exp(n, x, y); });
    check_map<T>(random, -1e5, -800, [](auto& k, int64_t n, auto* x, auto* y) { k.exp(n, x, y); });
  });
}

TEMPLATE_TEST_CASE("pow", "[activation]", float, double) {
  using T = TestType;
  for_each_case(4, [](Random& random) {
    for (const double exponent : {2.0, 3.0, 0.5, -1.0, 0.0, 1.0, 1.7, -2.5}) {
      CAPTURE(exponent);
      check_map<T>(random, -3, 3, [exponent](auto& k, int64_t n, auto* x, auto* y) { k.pow(n, exponent, x, y); });
    }
  });
}

TEMPLATE_TEST_CASE("tanh, relu, sigmoid", "[activation]", float, double) {
  using T = TestType;
  for_each_case(20, [](Random& random) {
    for (const double reach : {1e-3, 2.0, 20.0, 1e4}) {
      check_map<T>(random, -reach, reach, [](auto& k, int64_t n, auto* x, auto* y) { k.tanh(n, x, y); });
      check_map<T>(random, -reach, reach, [](auto& k, int64_t n, auto* x, auto* y) { k.relu(n, x, y); });
      check_map<T>(random, -reach, reach, [](auto& k, int64_t n, auto* x, auto* y) { k.sigmoid(n, x, y); });
    }
  });
}

/// `call(kernels, n, y, dy, dx)`, then with dx in y's place and in dy's.
template <class T, class F>
void check_map_backward(Random& random, double low, double high, F call) {
  std::vector<T> y = random.between<T>(random.length(), low, high);
  const int64_t n = static_cast<int64_t>(y.size());
  const std::vector<T> dy = random.values<T>(n);
  if (random.chance(0.5)) random.spoil(y);
  CAPTURE(n, low, high);
  check_close<T>(random, whole, [&](auto& run) { call(run.floating(), n, run.in(y), run.in(dy), run.out("dx", {n})); });
  {
    INFO("dx is y");
    check_close<T>(random, whole, [&](auto& run) {
      auto* dx = run.inout("dx", {n}, y);
      call(run.floating(), n, dx, run.in(dy), dx);
    });
  }
  {
    INFO("dx is dy");
    check_close<T>(random, whole, [&](auto& run) {
      auto* dx = run.inout("dx", {n}, dy);
      call(run.floating(), n, run.in(y), dx, dx);
    });
  }
}

TEMPLATE_TEST_CASE("tanh_backward, relu_backward, sigmoid_backward", "[activation]", float, double) {
  using T = TestType;
  for_each_case(20, [](Random& random) {
    check_map_backward<T>(random, -1, 1,
                          [](auto& k, int64_t n, auto* y, auto* dy, auto* dx) { k.tanh_backward(n, y, dy, dx); });
    check_map_backward<T>(random, -1, 1,
                          [](auto& k, int64_t n, auto* y, auto* dy, auto* dx) { k.relu_backward(n, y, dy, dx); });
    check_map_backward<T>(random, 0, 1,
                          [](auto& k, int64_t n, auto* y, auto* dy, auto* dx) { k.sigmoid_backward(n, y, dy, dx); });
  });
}

}  // namespace tern::test
