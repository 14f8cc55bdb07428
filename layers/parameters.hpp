#pragma once

#include <tern/core/generator.hpp>
#include <tern/core/tensor.hpp>

#include <cmath>

namespace tern {

/// A parameter uniform in +-1 / sqrt(fan_in): what PyTorch's kaiming_uniform_(a=sqrt(5)) comes to.
inline Tensor uniform_parameter(const Shape& shape, std::int64_t fan_in) {
  const Tensor x = empty(shape);
  const double bound = fan_in > 0 ? 1 / std::sqrt(static_cast<double>(fan_in)) : 0;
  uniform_(x, -bound, bound);
  return x.set_requires_grad();
}

}  // namespace tern
