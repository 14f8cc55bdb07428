#pragma once

/// The elementwise functions of one tensor, by name. What they are stands in a table of each backend:
/// reference/unary.hpp, cpu/unary.cpp, cuda/unary.cu. They are apart from backend.hpp, so that one more is no reason to
/// build everything anew.

#include <tern/kernels/backend.hpp>

namespace tern::kernels {

/// y = f(x) by PyTorch's names, with the parameters a and b of Unary where it has any.
enum class UnaryOp : int {
  neg,         ///< -x
  exp,         ///< e^x
  log,         ///< the natural logarithm
  sqrt,        ///< the square root
  pow,         ///< x to the power of a
  tanh,        ///< the hyperbolic tangent
  relu,        ///< NaN stays NaN
  sigmoid,     ///< 1 / (1 + exp(-x))
  leaky_relu,  ///< x, or a x where that is not positive
  elu,         ///< x, or a (exp(x) - 1) where that is not positive
  gelu,        ///< x Phi(x), Phi the normal distribution's. Hendrycks, Gimpel, "Gaussian error linear units", 2016
  gelu_tanh,   ///< its approximation x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
  silu,        ///< x sigmoid(x)
  softplus,    ///< log(1 + exp(a x)) / a, and x itself where a x > b
  sin,         ///< of radians, as all of its kind
  cos,         ///< the cosine
  rsqrt,       ///< 1 / sqrt(x)
  abs,         ///< |x|
  round,       ///< halves to the even neighbour
  floor,       ///< the largest whole number that is not above x
  ceil,        ///< the smallest that is not below x
  sign,        ///< 0 of 0 and NaN
  log1p,       ///< log(1 + x)
  expm1,       ///< exp(x) - 1
  erf,         ///< the error function
  reciprocal,  ///< 1 / x
  clamp,       ///< the larger of x and a, but b where that is more than b. NaN stays NaN
  square,      ///< x^2
  log2,        ///< the logarithm to base 2
  log10,       ///< and to base 10
  exp2,        ///< 2^x
  tan,         ///< the tangent
  asin,        ///< the arc sine
  acos,        ///< the arc cosine
  atan,        ///< the arc tangent
  sinh,        ///< the hyperbolic sine
  cosh,        ///< the hyperbolic cosine
  asinh,       ///< the inverse of sinh
  acosh,       ///< that of cosh
  atanh,       ///< that of tanh
  erfc,        ///< 1 - erf(x)
  trunc,       ///< x without what stands behind its point
  frac,        ///< x - trunc(x)
  hardtanh,    ///< clamp(x, a, b), whose gradient at a and b is 0
  hardswish,   ///< x clamp(x + 3, 0, 6) / 6
  mish,        ///< x tanh(softplus(x))
  selu,        ///< of Klambauer et al., "Self-normalizing neural networks", 2017
  logsigmoid,  ///< log(sigmoid(x))
  softshrink,  ///< x moved by a towards 0, and 0 where it gets there
  hardshrink,  ///< x, but 0 from -a to a
  threshold,   ///< x where it is more than a, else b
  smooth_l1,   ///< x^2 / (2 a) where |x| < a, else |x| - a / 2
};

/// selu's scale, and its alpha: with these, of normal numbers, mean and variance stay 0 and 1.
/// @{
inline constexpr double selu_scale = 1.0507009873554804934193349852946;
inline constexpr double selu_alpha = 1.6732632423543772848170429916717;
/// @}

/// What a function's gradient is computed from: its `input`, its `output`, or `neither`.
enum class GradientOf { input, output, neither };

/// That of this function.
constexpr GradientOf gradient_of(UnaryOp op) {
  switch (op) {
    case UnaryOp::neg:
    case UnaryOp::round:
    case UnaryOp::floor:
    case UnaryOp::ceil:
    case UnaryOp::sign:
    case UnaryOp::trunc:
    case UnaryOp::frac:
      return GradientOf::neither;
    case UnaryOp::exp:
    case UnaryOp::sqrt:
    case UnaryOp::tanh:
    case UnaryOp::relu:
    case UnaryOp::sigmoid:
    case UnaryOp::rsqrt:
    case UnaryOp::expm1:
    case UnaryOp::reciprocal:
    case UnaryOp::exp2:
    case UnaryOp::tan:
      return GradientOf::output;
    default:
      return GradientOf::input;
  }
}

}  // namespace tern::kernels
