#pragma once

#include <tern/kernels/backend.hpp>

/// Max-pooling of one plane [H, W], which whole tensors are made of.

namespace tern::kernels {

/// As FloatKernels::max_pool2d, or with the smallest element of each window. indices may be null.
void max_pool2d_plane(const Pool2dShape& s, bool smallest, const float* x, float* y, int64_t* indices);
void max_pool2d_plane_backward(const Pool2dShape& s, const int64_t* indices, const float* dy, float* dx);

}  // namespace tern::kernels
