#pragma once

#include <tern/core/ops.hpp>
#include <tern/kernels/backend.hpp>

namespace tern {

/// The shape of conv2d(x, weight, bias, options). Throws Error for what is none; padding "same" is not known here. An x
/// [C, H, W] has one image.
kernels::Conv2dShape conv2d_shape(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                  const Conv2dOptions& options);

}  // namespace tern
