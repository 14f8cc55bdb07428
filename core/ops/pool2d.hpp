#pragma once

#include <tern/core/ops.hpp>
#include <tern/kernels/backend.hpp>

namespace tern {

/// The shape of a pooling of x. Throws Error, in the name of `op`, for what is no pooling.
kernels::Pool2dShape pool2d_shape(const char* op, const Tensor& x, HeightWidth kernel_size,
                                  const Pool2dOptions& options);

}  // namespace tern
