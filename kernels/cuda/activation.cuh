#pragma once

/// Activations as the last steps of kernels. `kind` is the same for all threads of one, so the branches are uniform.

#include <tern/kernels/backend.hpp>
#include <tern/kernels/cuda/device.cuh>

#include <cmath>

namespace tern::kernels::cuda {

template <class T>
__device__ T activated(Activation kind, T x) {
  if (kind == Activation::tanh) return std::tanh(x);
  if (kind == Activation::relu) return x <= 0 ? T{0} : x;
  return x;
}

/// The gradient by x of y = activated(kind, x), from that by y.
template <class T>
__device__ T before_activation(Activation kind, T y, T dy) {
  if (kind == Activation::tanh) return dy * (1 - y * y);
  if (kind == Activation::relu) return y <= 0 ? T{0} : dy;
  return dy;
}

/// That of element i; y may be null where there is no activation.
template <class T, class I>
__device__ T gradient_at(Activation kind, const T* y, const T* dy, I i) {
  return kind == Activation::none ? dy[i] : before_activation(kind, y[i], dy[i]);
}

}  // namespace tern::kernels::cuda
