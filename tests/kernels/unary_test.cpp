#include "check.hpp"

#include <tern/kernels/reference/reference.hpp>

#include <unary_cases.hpp>

#include <cmath>
#include <limits>
#include <numbers>

namespace tern::test {

/// Where exp overflows on the way, numbers that are near the dtype's smallest become 0.
constexpr Tolerance each_or_tiny{.floor = 1e-30};

/// What the gradient of f at x is computed from.
template <class T>
std::vector<T> gradient_input(const Unary& f, std::vector<T> x) {
  if (gradient_of(f.op) == GradientOf::output) {
    reference_backend().floating(T{}).unary(f, static_cast<int64_t>(x.size()), x.data(), x.data());
  }
  return x;
}

TEMPLATE_TEST_CASE("elementwise functions", "[unary]", float, double) {
  using T = TestType;
  for (const UnaryCase& c : unary_cases()) {
    for_each_case(6, [&](Random& random) {
      const double reach = random.pick({0.0, 1e-3, 20.0, 1e4});
      std::vector<T> x = random.between<T>(random.length(), reach > 0 ? -reach : c.low, reach > 0 ? reach : c.high);
      if (random.chance(0.5)) random.spoil(x);
      const int64_t n = static_cast<int64_t>(x.size());
      CAPTURE(c.name, n, reach);
      check_close<T>(random, each_or_tiny,
                     [&](auto& run) { run.floating().unary(c.kernel, n, run.in(x), run.out("y", {n})); });
      INFO("y is x");
      check_close<T>(random, each_or_tiny, [&](auto& run) {
        auto* y = run.inout("y", {n}, x);
        run.floating().unary(c.kernel, n, y, y);
      });
    });
  }
}

/// Of angles of any exponent, and near the zeros and extremes of all three.
TEMPLATE_TEST_CASE("sin, cos and tan of large angles", "[unary]", float, double) {
  using T = TestType;
  for_each_case(20, [](Random& random) {
    std::vector<T> x(static_cast<std::size_t>(random.length()));
    for (T& v : x) {
      if (random.chance(0.5)) {
        v = static_cast<T>(static_cast<double>(random.integer(-100'000'000, 100'000'000)) * std::numbers::pi / 2);
      } else {
        v = static_cast<T>(std::ldexp(random.real(-1, 1),
                                      static_cast<int>(random.integer(-20, std::numeric_limits<T>::max_exponent))));
      }
    }
    const int64_t n = static_cast<int64_t>(x.size());
    for (const UnaryOp op : {UnaryOp::sin, UnaryOp::cos, UnaryOp::tan}) {
      CAPTURE(static_cast<int>(op), n);
      check_close<T>(random, each_or_tiny,
                     [&](auto& run) { run.floating().unary({.op = op}, n, run.in(x), run.out("y", {n})); });
    }
  });
}

TEMPLATE_TEST_CASE("gradients of elementwise functions", "[unary]", float, double) {
  using T = TestType;
  for (const UnaryCase& c : unary_cases()) {
    for_each_case(6, [&](Random& random) {
      std::vector<T> v = gradient_input(c.kernel, random.between<T>(random.length(), c.low, c.high));
      const int64_t n = static_cast<int64_t>(v.size());
      const std::vector<T> dy = random.values<T>(n);
      if (random.chance(0.5)) random.spoil(v);
      CAPTURE(c.name, n);
      check_close<T>(random, whole, [&](auto& run) {
        run.floating().unary_backward(c.kernel, n, run.in(v), run.in(dy), run.out("dx", {n}));
      });
      {
        INFO("dx is v");
        check_close<T>(random, whole, [&](auto& run) {
          auto* dx = run.inout("dx", {n}, v);
          run.floating().unary_backward(c.kernel, n, dx, run.in(dy), dx);
        });
      }
      {
        INFO("dx is dy");
        check_close<T>(random, whole, [&](auto& run) {
          auto* dx = run.inout("dx", {n}, dy);
          run.floating().unary_backward(c.kernel, n, run.in(v), dx, dx);
        });
      }
    });
  }
}

}  // namespace tern::test
