/// y[i] = f(x[i]) for the functions of kernels/unary.hpp, and dx[i] = f'(x[i]) dy[i]: each is a struct with both, the
/// gradient taking what gradient_of says, the function's x or its y.
///
/// Mapping: `map` (map.cuh). Bytes: every operand once. Arithmetic: from 1 operation an element (neg) to some 20 or 30
/// (tanh, pow), while the time in which an H100 moves 8 bytes is enough for 80 fp32 instructions: bandwidth is the limit
/// of all of them.

#include <tern/kernels/cuda/activation.cuh>
#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/map.cuh>
#include <tern/kernels/unary.hpp>

#include <cmath>

namespace tern::kernels {
namespace {

using namespace cuda;

template <class T>
struct Neg {
  __device__ T operator()(T x) const { return -x; }
  __device__ T operator()(T, T dy) const { return -dy; }
};

template <class T>
struct Exp {
  __device__ T operator()(T x) const { return std::exp(x); }
  __device__ T operator()(T y, T dy) const { return dy * y; }
};

template <class T>
struct Log {
  __device__ T operator()(T x) const { return std::log(x); }
  __device__ T operator()(T x, T dy) const { return dy / x; }
};

template <class T>
struct Sqrt {
  __device__ T operator()(T x) const { return std::sqrt(x); }
  __device__ T operator()(T y, T dy) const { return dy / (2 * y); }
};

template <class T>
struct Pow {
  T exponent;
  __device__ T operator()(T x) const { return std::pow(x, exponent); }
  __device__ T operator()(T x, T dy) const {
    return exponent == 0 ? T{0} : dy * (exponent * std::pow(x, exponent - 1));
  }
};

template <class T>
struct Tanh {
  __device__ T operator()(T x) const { return activated(Activation::tanh, x); }
  __device__ T operator()(T y, T dy) const { return before_activation(Activation::tanh, y, dy); }
};

template <class T>
struct Relu {
  __device__ T operator()(T x) const { return activated(Activation::relu, x); }
  __device__ T operator()(T y, T dy) const { return before_activation(Activation::relu, y, dy); }
};

template <class T>
struct Sigmoid {
  __device__ T operator()(T x) const { return 1 / (1 + std::exp(-x)); }
  __device__ T operator()(T y, T dy) const { return dy * y * (1 - y); }
};

/// Calls f with the function.
template <class T, class F>
void with_function(const Unary& unary, F f) {
  const T a = static_cast<T>(unary.a);
  switch (unary.op) {
    case UnaryOp::neg:
      return f(Neg<T>{});
    case UnaryOp::exp:
      return f(Exp<T>{});
    case UnaryOp::log:
      return f(Log<T>{});
    case UnaryOp::sqrt:
      return f(Sqrt<T>{});
    case UnaryOp::pow:
      return f(Pow<T>{a});
    case UnaryOp::tanh:
      return f(Tanh<T>{});
    case UnaryOp::relu:
      return f(Relu<T>{});
    case UnaryOp::sigmoid:
      return f(Sigmoid<T>{});
  }
}

}  // namespace

template <class T>
void CudaFloat<T>::unary(const Unary& f, int64_t n, const T* x, T* y) {
  const DeviceGuard guard(device_);
  with_function<T>(f, [=](auto function) { map_dense(n, function, y, x); });
}

template <class T>
void CudaFloat<T>::unary_backward(const Unary& f, int64_t n, const T* v, const T* dy, T* dx) {
  const DeviceGuard guard(device_);
  with_function<T>(f, [=](auto function) { map_dense(n, function, dx, v, dy); });
}

template void CudaFloat<float>::unary(const Unary&, int64_t, const float*, float*);
template void CudaFloat<float>::unary_backward(const Unary&, int64_t, const float*, const float*, float*);
template void CudaFloat<double>::unary(const Unary&, int64_t, const double*, double*);
template void CudaFloat<double>::unary_backward(const Unary&, int64_t, const double*, const double*, double*);

}  // namespace tern::kernels
