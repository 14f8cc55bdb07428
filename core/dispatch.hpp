#pragma once

#include <tern/core/check.hpp>
#include <tern/core/tensor.hpp>

/// From a tensor's device and dtype to the typed kernels. The ops read
///   for_floating("tanh", x, [&]<class T>(kernels::FloatKernels<T>& k) { k.tanh(n, x.data<T>(), y.data<T>()); });

namespace tern {

template <class F>
void for_array(const Tensor& x, F f) {
  kernels::Backend& device = backend(x.device());
  switch (x.dtype()) {
    case DType::uint8:
      return f(device.array(std::uint8_t{}));
    case DType::int64:
      return f(device.array(std::int64_t{}));
    case DType::float32:
      return f(device.array(float{}));
    case DType::float64:
      return f(device.array(double{}));
    default:
      fail("got {}, expected it in float32", x.dtype());
  }
}

/// Of x of 16 bits, to HalfKernels.
template <class F>
void for_half(const Tensor& x, F f) {
  kernels::Backend& device = backend(x.device());
  if (x.dtype() == DType::float16) {
    f(device.half(float16()));
  } else {
    f(device.half(bfloat16()));
  }
}

/// Of x of any dtype, to MoveKernels.
template <class F>
void for_moved(const Tensor& x, F f) {
  if (is_half(x.dtype())) {
    for_half(x, f);
  } else {
    for_array(x, f);
  }
}

/// As float32 where x is of 16 bits, for an op to compute in; else, and where x is undefined, itself.
inline Tensor widened(const Tensor& x) { return x.defined() && is_half(x.dtype()) ? x.to(DType::float32) : x; }

template <class F>
void for_floating(const char* op, const Tensor& x, F f) {
  kernels::Backend& device = backend(x.device());
  switch (x.dtype()) {
    case DType::float32:
      return f(device.floating(float{}));
    case DType::float64:
      return f(device.floating(double{}));
    default:
      fail("{}: got {}, expected float32 or float64", op, x.dtype());
  }
}

/// The first element for a kernel that may do without it: null where x is undefined.
template <class T>
T* data_or_null(const Tensor& x) {
  return x.defined() ? x.data<T>() : nullptr;
}

/// Throws unless x, the op's argument of that name, is defined.
inline void check_defined(const char* op, const char* argument, const Tensor& x) {
  check(x.defined(), "{}: {} is undefined, expected a tensor", op, argument);
}

/// Throws unless both are on one device.
inline void check_device(const char* op, const Tensor& a, const Tensor& b) {
  check(a.device() == b.device(), "{}: tensors on {} and {}, expected one device", op, a.device(), b.device());
}

/// Throws unless both are of one dtype, on one device.
inline void check_alike(const char* op, const Tensor& a, const Tensor& b) {
  check_device(op, a, b);
  check(a.dtype() == b.dtype(), "{}: tensors of {} and {}, expected one dtype", op, a.dtype(), b.dtype());
}

}  // namespace tern
