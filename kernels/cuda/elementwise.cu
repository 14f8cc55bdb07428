/// y[i] = f(x[i], ...): activations and their gradients, arithmetic, comparisons, casts, fill.
///
/// Where the operands are dense, a thread computes 16 bytes' worth of the widest operand each time round a grid-stride
/// loop, by 128-bit loads and a 128-bit store, and one element each time where an address is not aligned to that. A
/// warp's accesses are one stretch of memory either way. In a binary operation that broadcasts or reads a view, a
/// thread computes one element: its number, taken apart by the sizes of the box, says where the operands lie. A number
/// in place of an operand is one of the kernel's arguments.
///
/// Bytes: every operand once. Arithmetic: from none (fill) over 1 operation an element (add) to some 20 or 30 (tanh,
/// pow), while the time in which an H100 moves 8 bytes is enough for 80 fp32 instructions: bandwidth is the limit of
/// all of them.

#include <tern/kernels/cuda/activation.cuh>
#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/walk.cuh>
#include <tern/kernels/integer.hpp>

#include <algorithm>
#include <cmath>

namespace tern::kernels {
namespace {

using namespace cuda;

struct Neg {
  template <class T>
  __device__ T operator()(T x) const {
    return -x;
  }
};

struct Exp {
  template <class T>
  __device__ T operator()(T x) const {
    return std::exp(x);
  }
};

struct Log {
  template <class T>
  __device__ T operator()(T x) const {
    return std::log(x);
  }
};

struct Sqrt {
  template <class T>
  __device__ T operator()(T x) const {
    return std::sqrt(x);
  }
};

template <class T>
struct Pow {
  T exponent;
  __device__ T operator()(T x) const { return std::pow(x, exponent); }
};

struct Tanh {
  template <class T>
  __device__ T operator()(T x) const {
    return activated(Activation::tanh, x);
  }
};

struct Relu {
  template <class T>
  __device__ T operator()(T x) const {
    return activated(Activation::relu, x);
  }
};

struct Sigmoid {
  template <class T>
  __device__ T operator()(T x) const {
    return 1 / (1 + std::exp(-x));
  }
};

struct TanhBackward {
  template <class T>
  __device__ T operator()(T y, T dy) const {
    return before_activation(Activation::tanh, y, dy);
  }
};

struct ReluBackward {
  template <class T>
  __device__ T operator()(T y, T dy) const {
    return before_activation(Activation::relu, y, dy);
  }
};

struct SigmoidBackward {
  template <class T>
  __device__ T operator()(T y, T dy) const {
    return dy * y * (1 - y);
  }
};

template <class T>
struct Constant {
  T value;
  __device__ T operator()() const { return value; }
};

template <class To>
struct Cast {
  template <class T>
  __device__ To operator()(T x) const {
    return converted<To>(x);
  }
};

/// The operation is the same for all threads, so the switch is a uniform branch; one kernel for each type serves all.
struct Binary {
  BinaryOp op;

  template <class T>
  __device__ T operator()(T a, T b) const {
    switch (op) {
      case BinaryOp::add:
        return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b));
      case BinaryOp::sub:
        return static_cast<T>(static_cast<Wrapping<T>>(a) - static_cast<Wrapping<T>>(b));
      case BinaryOp::mul:
        return static_cast<T>(static_cast<Wrapping<T>>(a) * static_cast<Wrapping<T>>(b));
      case BinaryOp::div:
        if constexpr (std::is_integral_v<T>) {
          return quotient(a, b);
        } else {
          return a / b;
        }
      case BinaryOp::maximum:
        return a > b || a != a ? a : b;
      case BinaryOp::minimum:
        return a < b || a != a ? a : b;
    }
    return T{};
  }
};

struct Compare {
  CompareOp op;

  template <class T>
  __device__ uint8_t operator()(T a, T b) const {
    switch (op) {
      case CompareOp::eq:
        return a == b;
      case CompareOp::ne:
        return a != b;
      case CompareOp::lt:
        return a < b;
      case CompareOp::le:
        return a <= b;
      case CompareOp::gt:
        return a > b;
      case CompareOp::ge:
        return a >= b;
    }
    return 0;
  }
};

/// With a number for one operand.
template <class T>
struct BinaryWith {
  BinaryOp op;
  T number;
  bool number_is_first;
  __device__ T operator()(T x) const { return number_is_first ? Binary{op}(number, x) : Binary{op}(x, number); }
};

template <class T>
struct CompareWith {
  CompareOp op;
  T number;
  __device__ uint8_t operator()(T x) const { return Compare{op}(x, number); }
};

template <class T>
struct MaskedFill {
  T value;
  __device__ T operator()(uint8_t mask, T x) const { return mask ? value : x; }
};

template <int width, class F, class Y, class... X>
__device__ Pack<Y, width> map_pack(const F& f, const Pack<X, width>&... x) {
  Pack<Y, width> y;
#pragma unroll
  for (int j = 0; j < width; ++j) y.at[j] = f(x.at[j]...);
  return y;
}

/// y may be one of x: an element is read and written by the same thread.
template <int width, class F, class Y, class... X>
__global__ void __launch_bounds__(block_size, 3) map(int64_t n, F f, Y* y, const X*... x) {
  const int64_t packs = n / width;
  for (int64_t i = grid_thread(); i < packs; i += grid_threads()) {
    store_pack(y + i * width, map_pack<width, F, Y, X...>(f, load_pack<width>(x + i * width)...));
  }
  for (int64_t i = packs * width + grid_thread(); i < n; i += grid_threads()) y[i] = f(x[i]...);
}

template <class F, class Y, class... X>
void map_dense(int64_t n, F f, Y* y, const X*... x) {
  constexpr int width = 16 / static_cast<int>(std::max({sizeof(Y), sizeof(X)...}));
  if (is_aligned<Y, width>(y) && (is_aligned<X, width>(x) && ...)) {
    launch(map<width, F, Y, X...>, grid_for(n, block_size * width), block_size, 0, current_stream(), n, f, y, x...);
  } else {
    launch(map<1, F, Y, X...>, grid_for(n), block_size, 0, current_stream(), n, f, y, x...);
  }
}

template <class I, class F, class Y, class T>
__global__ void __launch_bounds__(block_size, 4)
    map_strided(I n, F f, const __grid_constant__ Walk<I> walk, const T* a, const T* b, Y* y) {
  for (I i = grid_thread<I>(); i < n; i += grid_threads<I>()) {
    I in_a, in_b;
    walk.locate(i, in_a, in_b);
    y[i] = f(a[in_a], b[in_b]);
  }
}

template <class F, class Y, class T>
void map_box(const Strided& s, F f, const T* a, const T* b, Y* y) {
  const int64_t n = s.numel();
  if (n == 0) return;
  const Strided walk = simplified(s);
  if (is_dense(walk)) return map_dense(n, f, y, a, b);
  with_index(reach(walk), [&]<class I>(I) {
    launch(map_strided<I, F, Y, T>, grid_for(n), block_size, 0, current_stream(), n, f, Walk<I>(walk), a, b, y);
  });
}

template <class I, class F, class Y, class T>
__global__ void __launch_bounds__(block_size, 4)
    map_view(I n, F f, const __grid_constant__ Walk<I> walk, const T* x, Y* y) {
  for (I i = grid_thread<I>(); i < n; i += grid_threads<I>()) {
    I in_x, unused;
    walk.locate(i, in_x, unused);
    y[i] = f(x[in_x]);
  }
}

/// The one operand x has these strides in the box.
template <class F, class Y, class T>
void map_box(const Strided& s, const int64_t* strides, F f, const T* x, Y* y) {
  const int64_t n = s.numel();
  if (n == 0) return;
  Strided alone{.ndim = s.ndim};
  std::copy_n(s.size, s.ndim, alone.size);
  std::copy_n(strides, s.ndim, alone.a);
  const Strided walk = simplified(alone);
  if (walk.ndim == 0 || (walk.ndim == 1 && walk.a[0] == 1)) return map_dense(n, f, y, x);
  with_index(reach(walk), [&]<class I>(I) {
    launch(map_view<I, F, Y, T>, grid_for(n), block_size, 0, current_stream(), n, f, Walk<I>(walk), x, y);
  });
}

}  // namespace

template <class T>
void CudaArray<T>::fill(int64_t n, T value, T* y) {
  const DeviceGuard guard(device_);
  map_dense(n, Constant<T>{value}, y);
}

template <class T>
void CudaArray<T>::cast(int64_t n, const T* x, float* y) {
  const DeviceGuard guard(device_);
  map_dense(n, Cast<float>{}, y, x);
}

template <class T>
void CudaArray<T>::cast(int64_t n, const T* x, double* y) {
  const DeviceGuard guard(device_);
  map_dense(n, Cast<double>{}, y, x);
}

template <class T>
void CudaArray<T>::cast(int64_t n, const T* x, int64_t* y) {
  const DeviceGuard guard(device_);
  map_dense(n, Cast<int64_t>{}, y, x);
}

template <class T>
void CudaArray<T>::cast(int64_t n, const T* x, uint8_t* y) {
  const DeviceGuard guard(device_);
  map_dense(n, Cast<uint8_t>{}, y, x);
}

template <class T>
void CudaArray<T>::binary(BinaryOp op, const Strided& s, const T* a, const T* b, T* y) {
  const DeviceGuard guard(device_);
  map_box(s, Binary{op}, a, b, y);
}

template <class T>
void CudaArray<T>::binary(BinaryOp op, const Strided& s, const T* a, T b, T* y) {
  const DeviceGuard guard(device_);
  map_box(s, s.a, BinaryWith<T>{op, b, false}, a, y);
}

template <class T>
void CudaArray<T>::binary(BinaryOp op, const Strided& s, T a, const T* b, T* y) {
  const DeviceGuard guard(device_);
  map_box(s, s.b, BinaryWith<T>{op, a, true}, b, y);
}

template <class T>
void CudaArray<T>::compare(CompareOp op, const Strided& s, const T* a, const T* b, uint8_t* y) {
  const DeviceGuard guard(device_);
  map_box(s, Compare{op}, a, b, y);
}

template <class T>
void CudaArray<T>::compare(CompareOp op, const Strided& s, const T* a, T b, uint8_t* y) {
  const DeviceGuard guard(device_);
  map_box(s, s.a, CompareWith<T>{op, b}, a, y);
}

template <class T>
void CudaArray<T>::masked_fill(int64_t n, const uint8_t* mask, T value, const T* x, T* y) {
  const DeviceGuard guard(device_);
  map_dense(n, MaskedFill<T>{value}, y, mask, x);
}

template <class T>
void CudaFloat<T>::neg(int64_t n, const T* x, T* y) {
  const DeviceGuard guard(device_);
  map_dense(n, Neg{}, y, x);
}

template <class T>
void CudaFloat<T>::exp(int64_t n, const T* x, T* y) {
  const DeviceGuard guard(device_);
  map_dense(n, Exp{}, y, x);
}

template <class T>
void CudaFloat<T>::log(int64_t n, const T* x, T* y) {
  const DeviceGuard guard(device_);
  map_dense(n, Log{}, y, x);
}

template <class T>
void CudaFloat<T>::sqrt(int64_t n, const T* x, T* y) {
  const DeviceGuard guard(device_);
  map_dense(n, Sqrt{}, y, x);
}

template <class T>
void CudaFloat<T>::pow(int64_t n, double exponent, const T* x, T* y) {
  const DeviceGuard guard(device_);
  map_dense(n, Pow<T>{static_cast<T>(exponent)}, y, x);
}

template <class T>
void CudaFloat<T>::tanh(int64_t n, const T* x, T* y) {
  const DeviceGuard guard(device_);
  map_dense(n, Tanh{}, y, x);
}

template <class T>
void CudaFloat<T>::relu(int64_t n, const T* x, T* y) {
  const DeviceGuard guard(device_);
  map_dense(n, Relu{}, y, x);
}

template <class T>
void CudaFloat<T>::sigmoid(int64_t n, const T* x, T* y) {
  const DeviceGuard guard(device_);
  map_dense(n, Sigmoid{}, y, x);
}

template <class T>
void CudaFloat<T>::tanh_backward(int64_t n, const T* y, const T* dy, T* dx) {
  const DeviceGuard guard(device_);
  map_dense(n, TanhBackward{}, dx, y, dy);
}

template <class T>
void CudaFloat<T>::relu_backward(int64_t n, const T* y, const T* dy, T* dx) {
  const DeviceGuard guard(device_);
  map_dense(n, ReluBackward{}, dx, y, dy);
}

template <class T>
void CudaFloat<T>::sigmoid_backward(int64_t n, const T* y, const T* dy, T* dx) {
  const DeviceGuard guard(device_);
  map_dense(n, SigmoidBackward{}, dx, y, dy);
}

template void CudaArray<float>::fill(int64_t, float, float*);
template void CudaArray<float>::cast(int64_t, const float*, float*);
template void CudaArray<float>::cast(int64_t, const float*, double*);
template void CudaArray<float>::cast(int64_t, const float*, int64_t*);
template void CudaArray<float>::cast(int64_t, const float*, uint8_t*);
template void CudaArray<float>::binary(BinaryOp, const Strided&, const float*, const float*, float*);
template void CudaArray<float>::binary(BinaryOp, const Strided&, const float*, float, float*);
template void CudaArray<float>::binary(BinaryOp, const Strided&, float, const float*, float*);
template void CudaArray<float>::compare(CompareOp, const Strided&, const float*, const float*, uint8_t*);
template void CudaArray<float>::compare(CompareOp, const Strided&, const float*, float, uint8_t*);
template void CudaArray<float>::masked_fill(int64_t, const uint8_t*, float, const float*, float*);
template void CudaArray<double>::fill(int64_t, double, double*);
template void CudaArray<double>::cast(int64_t, const double*, float*);
template void CudaArray<double>::cast(int64_t, const double*, double*);
template void CudaArray<double>::cast(int64_t, const double*, int64_t*);
template void CudaArray<double>::cast(int64_t, const double*, uint8_t*);
template void CudaArray<double>::binary(BinaryOp, const Strided&, const double*, const double*, double*);
template void CudaArray<double>::binary(BinaryOp, const Strided&, const double*, double, double*);
template void CudaArray<double>::binary(BinaryOp, const Strided&, double, const double*, double*);
template void CudaArray<double>::compare(CompareOp, const Strided&, const double*, const double*, uint8_t*);
template void CudaArray<double>::compare(CompareOp, const Strided&, const double*, double, uint8_t*);
template void CudaArray<double>::masked_fill(int64_t, const uint8_t*, double, const double*, double*);
template void CudaArray<int64_t>::fill(int64_t, int64_t, int64_t*);
template void CudaArray<int64_t>::cast(int64_t, const int64_t*, float*);
template void CudaArray<int64_t>::cast(int64_t, const int64_t*, double*);
template void CudaArray<int64_t>::cast(int64_t, const int64_t*, int64_t*);
template void CudaArray<int64_t>::cast(int64_t, const int64_t*, uint8_t*);
template void CudaArray<int64_t>::binary(BinaryOp, const Strided&, const int64_t*, const int64_t*, int64_t*);
template void CudaArray<int64_t>::binary(BinaryOp, const Strided&, const int64_t*, int64_t, int64_t*);
template void CudaArray<int64_t>::binary(BinaryOp, const Strided&, int64_t, const int64_t*, int64_t*);
template void CudaArray<int64_t>::compare(CompareOp, const Strided&, const int64_t*, const int64_t*, uint8_t*);
template void CudaArray<int64_t>::compare(CompareOp, const Strided&, const int64_t*, int64_t, uint8_t*);
template void CudaArray<int64_t>::masked_fill(int64_t, const uint8_t*, int64_t, const int64_t*, int64_t*);
template void CudaArray<uint8_t>::fill(int64_t, uint8_t, uint8_t*);
template void CudaArray<uint8_t>::cast(int64_t, const uint8_t*, float*);
template void CudaArray<uint8_t>::cast(int64_t, const uint8_t*, double*);
template void CudaArray<uint8_t>::cast(int64_t, const uint8_t*, int64_t*);
template void CudaArray<uint8_t>::cast(int64_t, const uint8_t*, uint8_t*);
template void CudaArray<uint8_t>::binary(BinaryOp, const Strided&, const uint8_t*, const uint8_t*, uint8_t*);
template void CudaArray<uint8_t>::binary(BinaryOp, const Strided&, const uint8_t*, uint8_t, uint8_t*);
template void CudaArray<uint8_t>::binary(BinaryOp, const Strided&, uint8_t, const uint8_t*, uint8_t*);
template void CudaArray<uint8_t>::compare(CompareOp, const Strided&, const uint8_t*, const uint8_t*, uint8_t*);
template void CudaArray<uint8_t>::compare(CompareOp, const Strided&, const uint8_t*, uint8_t, uint8_t*);
template void CudaArray<uint8_t>::masked_fill(int64_t, const uint8_t*, uint8_t, const uint8_t*, uint8_t*);
template void CudaFloat<float>::neg(int64_t, const float*, float*);
template void CudaFloat<float>::exp(int64_t, const float*, float*);
template void CudaFloat<float>::log(int64_t, const float*, float*);
template void CudaFloat<float>::sqrt(int64_t, const float*, float*);
template void CudaFloat<float>::tanh(int64_t, const float*, float*);
template void CudaFloat<float>::relu(int64_t, const float*, float*);
template void CudaFloat<float>::sigmoid(int64_t, const float*, float*);
template void CudaFloat<float>::pow(int64_t, double, const float*, float*);
template void CudaFloat<float>::tanh_backward(int64_t, const float*, const float*, float*);
template void CudaFloat<float>::relu_backward(int64_t, const float*, const float*, float*);
template void CudaFloat<float>::sigmoid_backward(int64_t, const float*, const float*, float*);
template void CudaFloat<double>::neg(int64_t, const double*, double*);
template void CudaFloat<double>::exp(int64_t, const double*, double*);
template void CudaFloat<double>::log(int64_t, const double*, double*);
template void CudaFloat<double>::sqrt(int64_t, const double*, double*);
template void CudaFloat<double>::tanh(int64_t, const double*, double*);
template void CudaFloat<double>::relu(int64_t, const double*, double*);
template void CudaFloat<double>::sigmoid(int64_t, const double*, double*);
template void CudaFloat<double>::pow(int64_t, double, const double*, double*);
template void CudaFloat<double>::tanh_backward(int64_t, const double*, const double*, double*);
template void CudaFloat<double>::relu_backward(int64_t, const double*, const double*, double*);
template void CudaFloat<double>::sigmoid_backward(int64_t, const double*, const double*, double*);

}  // namespace tern::kernels
