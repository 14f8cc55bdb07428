#pragma once

/// The elementwise functions of one tensor, a row for each and its parameters. The tests of all of them go by these
/// rows, and so do their values by PyTorch and their place in docs/from-pytorch.md: golden/unary.py and torch/table.py
/// read this file.

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
      {"leaky_relu", {UnaryOp::leaky_relu, 0.01}, [](T x) { return leaky_relu(x); }, "F.leaky_relu(x)"},
      {"leaky_relu 0.25", {UnaryOp::leaky_relu, 0.25}, [](T x) { return leaky_relu(x, 0.25); },
       "F.leaky_relu(x, 0.25)"},
      {"elu", {UnaryOp::elu, 1}, [](T x) { return elu(x); }, "F.elu(x)"},
      {"elu 1.5", {UnaryOp::elu, 1.5}, [](T x) { return elu(x, 1.5); }, "F.elu(x, 1.5)"},
      {"gelu", {UnaryOp::gelu}, [](T x) { return gelu(x); }, "F.gelu(x)"},
      {"gelu tanh", {UnaryOp::gelu_tanh}, [](T x) { return gelu(x, Approximate::tanh); },
       "F.gelu(x, approximate='tanh')"},
      {"silu", {UnaryOp::silu}, [](T x) { return silu(x); }, "F.silu(x)"},
      {"softplus", {UnaryOp::softplus, 1, 20}, [](T x) { return softplus(x); }, "F.softplus(x)"},
      {"softplus 2, 3", {UnaryOp::softplus, 2, 3}, [](T x) { return softplus(x, 2, 3); },
       "F.softplus(x, 2, 3)", -4, 4, {1.5}},
      {"sin", {UnaryOp::sin}, [](T x) { return sin(x); }, "torch.sin(x)"},
      {"cos", {UnaryOp::cos}, [](T x) { return cos(x); }, "torch.cos(x)"},
      {"rsqrt", {UnaryOp::rsqrt}, [](T x) { return rsqrt(x); }, "torch.rsqrt(x)", 0.25, 4},
      {"abs", {UnaryOp::abs}, [](T x) { return abs(x); }, "torch.abs(x)"},
      {"round", {UnaryOp::round}, [](T x) { return round(x); }, "torch.round(x)", -2, 2, {-1.5, -0.5, 0.5, 1.5}},
      {"floor", {UnaryOp::floor}, [](T x) { return floor(x); }, "torch.floor(x)", -2, 2, {-2, -1, 0, 1, 2}},
      {"ceil", {UnaryOp::ceil}, [](T x) { return ceil(x); }, "torch.ceil(x)", -2, 2, {-2, -1, 0, 1, 2}},
      {"sign", {UnaryOp::sign}, [](T x) { return sign(x); }, "torch.sign(x)"},
      {"log1p", {UnaryOp::log1p}, [](T x) { return log1p(x); }, "torch.log1p(x)", -0.75, 4},
      {"expm1", {UnaryOp::expm1}, [](T x) { return expm1(x); }, "torch.expm1(x)"},
      {"erf", {UnaryOp::erf}, [](T x) { return erf(x); }, "torch.erf(x)"},
      {"reciprocal", {UnaryOp::reciprocal}, [](T x) { return reciprocal(x); }, "torch.reciprocal(x)", 0.5, 4},
      {"square", {UnaryOp::square}, [](T x) { return square(x); }, "torch.square(x)"},
      {"log2", {UnaryOp::log2}, [](T x) { return log2(x); }, "torch.log2(x)", 0.25, 4},
      {"log10", {UnaryOp::log10}, [](T x) { return log10(x); }, "torch.log10(x)", 0.25, 4},
      {"exp2", {UnaryOp::exp2}, [](T x) { return exp2(x); }, "torch.exp2(x)"},
      {"tan", {UnaryOp::tan}, [](T x) { return tan(x); }, "torch.tan(x)", -1.25, 1.25},
      {"asin", {UnaryOp::asin}, [](T x) { return asin(x); }, "torch.asin(x)", -0.9, 0.9},
      {"acos", {UnaryOp::acos}, [](T x) { return acos(x); }, "torch.acos(x)", -0.9, 0.9},
      {"atan", {UnaryOp::atan}, [](T x) { return atan(x); }, "torch.atan(x)"},
      {"sinh", {UnaryOp::sinh}, [](T x) { return sinh(x); }, "torch.sinh(x)"},
      {"cosh", {UnaryOp::cosh}, [](T x) { return cosh(x); }, "torch.cosh(x)"},
      {"asinh", {UnaryOp::asinh}, [](T x) { return asinh(x); }, "torch.asinh(x)"},
      {"acosh", {UnaryOp::acosh}, [](T x) { return acosh(x); }, "torch.acosh(x)", 1.25, 4},
      {"atanh", {UnaryOp::atanh}, [](T x) { return atanh(x); }, "torch.atanh(x)", -0.9, 0.9},
      {"erfc", {UnaryOp::erfc}, [](T x) { return erfc(x); }, "torch.erfc(x)"},
      {"trunc", {UnaryOp::trunc}, [](T x) { return trunc(x); }, "torch.trunc(x)", -2, 2, {-2, -1, 0, 1, 2}},
      {"frac", {UnaryOp::frac}, [](T x) { return frac(x); }, "torch.frac(x)", -2, 2, {-2, -1, 0, 1, 2}},
      {"hardtanh", {UnaryOp::hardtanh, -1, 1}, [](T x) { return hardtanh(x); }, "F.hardtanh(x)", -2, 2, {-1, 1}},
      {"hardtanh 0.5, 2", {UnaryOp::hardtanh, 0.5, 2}, [](T x) { return hardtanh(x, 0.5, 2); },
       "F.hardtanh(x, 0.5, 2)", -4, 4, {0.5, 2}},
      {"relu6", {UnaryOp::hardtanh, 0, 6}, [](T x) { return relu6(x); }, "F.relu6(x)", -4, 8, {0, 6}},
      {"hardswish", {UnaryOp::hardswish}, [](T x) { return hardswish(x); }, "F.hardswish(x)", -4, 4, {-3, 3}},
      {"mish", {UnaryOp::mish}, [](T x) { return mish(x); }, "F.mish(x)"},
      {"selu", {UnaryOp::selu}, [](T x) { return selu(x); }, "F.selu(x)"},
      {"logsigmoid", {UnaryOp::logsigmoid}, [](T x) { return logsigmoid(x); }, "F.logsigmoid(x)"},
      {"softshrink", {UnaryOp::softshrink, 0.5}, [](T x) { return softshrink(x); },
       "F.softshrink(x)", -4, 4, {-0.5, 0.5}},
      {"hardshrink", {UnaryOp::hardshrink, 0.5}, [](T x) { return hardshrink(x); },
       "F.hardshrink(x)", -4, 4, {-0.5, 0.5}},
      {"threshold 0.5, -1", {UnaryOp::threshold, 0.5, -1}, [](T x) { return threshold(x, 0.5, -1); },
       "F.threshold(x, 0.5, -1)", -4, 4, {0.5}},
      {"smooth_l1 0.5", {UnaryOp::smooth_l1, 0.5},
       [](T x) { return smooth_l1_loss(x, zeros_like(x), Reduction::none, 0.5); },
       "F.smooth_l1_loss(x, torch.zeros_like(x), reduction='none', beta=0.5)", -4, 4, {-0.5, 0.5}},
      {"clamp -1, 0.5", {UnaryOp::clamp, -1, 0.5}, [](T x) { return clamp(x, -1, 0.5); },
       "torch.clamp(x, -1, 0.5)", -2, 2, {-1, 0.5}},
      {"clamp 1, 2", {UnaryOp::clamp, 1, 2}, [](T x) { return clamp(x, 1, 2); }, "torch.clamp(x, 1, 2)", -3, 3, {1, 2}},
      {"clamp 2, 1", {UnaryOp::clamp, 2, 1}, [](T x) { return clamp(x, 2, 1); }, "torch.clamp(x, 2, 1)"},
      {"clamp from 0.5", {UnaryOp::clamp, 0.5, HUGE_VAL}, [](T x) { return clamp(x, 0.5); },
       "torch.clamp(x, 0.5)", -2, 2, {0.5}},
      {"clamp to 1", {UnaryOp::clamp, -HUGE_VAL, 1}, [](T x) { return clamp(x, {}, 1); },
       "torch.clamp(x, None, 1)", -2, 2, {1}},
  };
  return all;
}

}  // namespace tern::test
