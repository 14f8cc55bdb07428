#pragma once

/// The activations that kernels end with, and their derivatives.

#include <tern/kernels/cuda/device.cuh>

#include <cmath>

namespace tern::kernels::cuda {

/// The activation is the same for all threads, so this is a uniform branch.
template <class T>
__device__ T activate(Activation f, T v) {
  if (f == Activation::tanh) return std::tanh(v);
  if (f == Activation::relu) return v <= 0 ? T{0} : v;
  return v;
}

/// dy * f'(y) of element i; y may be null where there is no activation.
template <class T, class I>
__device__ T gradient_at(Activation f, const T* y, const T* dy, I i) {
  if (f == Activation::tanh) return dy[i] * (1 - y[i] * y[i]);
  if (f == Activation::relu) return y[i] > 0 ? dy[i] : T{0};
  return dy[i];
}

}  // namespace tern::kernels::cuda
