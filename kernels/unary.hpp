#pragma once

/// The elementwise functions of one tensor: their names, and what stands beside each in every backend's table (unary.hpp
/// in reference/, unary.cpp in cpu/, unary.cu in cuda/). Apart from backend.hpp, so that one more is no reason to build
/// everything anew.

#include <tern/kernels/backend.hpp>

namespace tern::kernels {

/// y = f(x) by PyTorch's names, with the parameters a and b of Unary where it has any.
enum class UnaryOp : int {
  neg,
  exp,
  log,
  sqrt,
  pow,  ///< x to the power of a
  tanh,
  relu,  ///< NaN stays NaN
  sigmoid,
};

/// What a function's gradient is computed from.
enum class GradientOf { input, output, neither };

constexpr GradientOf gradient_of(UnaryOp op) {
  switch (op) {
    case UnaryOp::neg:
      return GradientOf::neither;
    case UnaryOp::exp:
    case UnaryOp::sqrt:
    case UnaryOp::tanh:
    case UnaryOp::relu:
    case UnaryOp::sigmoid:
      return GradientOf::output;
    default:
      return GradientOf::input;
  }
}

}  // namespace tern::kernels
