#pragma once

/// The elementwise functions of one tensor, a row for each and its parameters. The tests of all of them go by these
/// rows, and so do their values by PyTorch and their list in docs/elementwise.md: golden/unary.py reads this file.

#include <tern/core/ops.hpp>

#include <random.hpp>

#include <cmath>
#include <string>
#include <vector>

namespace tern::test {

struct UnaryCase {
  std::string name;  ///< the function's, and in words what its parameters are
  Unary kernel;
  Tensor (*function)(const Tensor&);
  std::string torch;                ///< the same in Python, of a torch.Tensor x
  double low = -4, high = 4;        ///< where it is tried
  std::vector<double> kinks = {0};  ///< where it has no derivative, if anywhere

  /// Where its gradient can be compared with differences: 0.01 from any kink, and numbers that float32 has as well.
  std::vector<double> values(Random& random, std::int64_t n) const {
    std::vector<double> x = random.between<double>(n, low, high);
    for (double& v : x) {
      for (const double kink : kinks) {
        if (std::abs(v - kink) < 0.01) v = kink + (v < kink ? -0.01 : 0.01);
      }
      v = static_cast<float>(v);
    }
    return x;
  }
};

inline const std::vector<UnaryCase>& unary_cases() {
  using T = const Tensor&;
  static const std::vector<UnaryCase> all{
      {"neg", {UnaryOp::neg}, [](T x) { return neg(x); }, "-x"},
      {"exp", {UnaryOp::exp}, [](T x) { return exp(x); }, "torch.exp(x)"},
      {"log", {UnaryOp::log}, [](T x) { return log(x); }, "torch.log(x)", 0.25, 4},
      {"sqrt", {UnaryOp::sqrt}, [](T x) { return sqrt(x); }, "torch.sqrt(x)", 0.25, 4},
      {"pow 0", {UnaryOp::pow, 0}, [](T x) { return pow(x, 0); }, "x**0.0"},
      {"pow 1", {UnaryOp::pow, 1}, [](T x) { return pow(x, 1); }, "x**1.0"},
      {"pow 2", {UnaryOp::pow, 2}, [](T x) { return pow(x, 2); }, "x**2.0"},
      {"pow 3", {UnaryOp::pow, 3}, [](T x) { return pow(x, 3); }, "x**3.0"},
      {"pow -2", {UnaryOp::pow, -2}, [](T x) { return pow(x, -2); }, "x**-2.0", 0.5, 4},
      {"pow 0.5", {UnaryOp::pow, 0.5}, [](T x) { return pow(x, 0.5); }, "x**0.5", 0.25, 4},
      {"pow -1.5", {UnaryOp::pow, -1.5}, [](T x) { return pow(x, -1.5); }, "x**-1.5", 0.5, 4},
      {"tanh", {UnaryOp::tanh}, [](T x) { return tanh(x); }, "torch.tanh(x)"},
      {"relu", {UnaryOp::relu}, [](T x) { return relu(x); }, "torch.relu(x)"},
      {"sigmoid", {UnaryOp::sigmoid}, [](T x) { return sigmoid(x); }, "torch.sigmoid(x)"},
  };
  return all;
}

}  // namespace tern::test
