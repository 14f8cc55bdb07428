#pragma once

#include <tern/kernels/backend.hpp>

namespace tern::kernels::cuda {

/// Whether the convolution and its gradient by weight are products by tensor cores on the current device: where it has
/// those for floats, and the plain kernels of conv2d.cu would be slower; and whether the gradient by input is.
/// @{
bool is_gemm(const Conv2dShape& s);
bool is_gemm_by_input(const Conv2dShape& s);
/// @}

/// FloatKernels<float>'s conv2d, its result through `activation`, and its gradients, where they are.
/// @{
void gemm_conv2d(const Conv2dShape& s, Activation activation, const float* x, const float* w, const float* bias,
                 float* y);
void gemm_conv2d_backward_input(const Conv2dShape& s, const float* w, const float* dy, float* dx);
void gemm_conv2d_backward_weight(const Conv2dShape& s, const float* x, const float* dy, float* dw);
/// @}

}  // namespace tern::kernels::cuda
