/// Arithmetic, comparisons, casts, fill.
///
/// Where the operands are dense, by `map` (map.cuh). In a binary operation that broadcasts or reads a view, a thread
/// computes one element: its number, taken apart by the sizes of the box, says where the operands lie. A number in
/// place of an operand is one of the kernel's arguments.
///
/// Bytes: every operand once. Arithmetic: none (fill) or 1 operation an element (add).

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/map.cuh>
#include <tern/kernels/cuda/walk.cuh>
#include <tern/kernels/integer.hpp>

#include <algorithm>

namespace tern::kernels {
namespace {

using namespace cuda;

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
      default:
        return T{};
    }
  }
};

/// From pow on: apart, as they would take up registers that addition has no use for.
struct Function {
  BinaryOp op;

  template <class T>
  __device__ T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>) {
      return op == BinaryOp::pow            ? integer_power(a, b)
             : op == BinaryOp::floor_divide ? floor_quotient(a, b)
                                            : remainder_of(a, b, op == BinaryOp::remainder);
    } else {
      if (op == BinaryOp::pow) return std::pow(a, b);
      if (op == BinaryOp::atan2) return std::atan2(a, b);
      if (op == BinaryOp::hypot) return std::hypot(a, b);
      const T rest = std::fmod(a, b);
      const bool below = rest != 0 && (rest < 0) != (b < 0);  // the multiple of b towards 0 is not the floor
      if (op == BinaryOp::fmod) return rest;
      if (op == BinaryOp::remainder) return below ? rest + b : rest;
      return b == 0 ? a / b : std::rint((a - rest) / b - (below ? 1 : 0));
    }
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
template <class F, class T>
struct BinaryWith {
  F f;
  T number;
  bool number_is_first;
  __device__ T operator()(T x) const { return number_is_first ? f(number, x) : f(x, number); }
};

/// Calls f with the operation.
template <class F>
void with_operation(BinaryOp op, F f) {
  if (op < BinaryOp::pow) return f(Binary{op});
  f(Function{op});
}

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

template <class I, class F, class Y, class T>
__global__ void __launch_bounds__(block_size, 4)
    map_strided(I n, F f, const __grid_constant__ Walk<I> walk, const T* a, const T* b, Y* y) {
  wait_for_previous_kernels();
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
  wait_for_previous_kernels();
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

template <class T>
struct Where {
  __device__ T operator()(T a, uint8_t mask, T b) const { return mask ? a : b; }
};

template <class I, class T>
__global__ void __launch_bounds__(block_size, 4)
    where_strided(I n, const __grid_constant__ Walk<I> walk, const T* a, const uint8_t* mask, const T* b, T* y) {
  wait_for_previous_kernels();
  for (I i = grid_thread<I>(); i < n; i += grid_threads<I>()) {
    I in_a, in_mask;
    walk.locate(i, in_a, in_mask);
    y[i] = mask[in_mask] ? a[in_a] : b[i];
  }
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
  with_operation(op, [&](auto f) { map_box(s, f, a, b, y); });
}

template <class T>
void CudaArray<T>::binary(BinaryOp op, const Strided& s, const T* a, T b, T* y) {
  const DeviceGuard guard(device_);
  with_operation(op, [&](auto f) { map_box(s, s.a, BinaryWith<decltype(f), T>{f, b, false}, a, y); });
}

template <class T>
void CudaArray<T>::binary(BinaryOp op, const Strided& s, T a, const T* b, T* y) {
  const DeviceGuard guard(device_);
  with_operation(op, [&](auto f) { map_box(s, s.b, BinaryWith<decltype(f), T>{f, a, true}, b, y); });
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
void CudaArray<T>::where(const Strided& s, const T* a, const uint8_t* mask, const T* b, T* y) {
  const DeviceGuard guard(device_);
  const int64_t n = s.numel();
  if (n == 0) return;
  const Strided walk = simplified(s);
  if (is_dense(walk)) return map_dense(n, Where<T>{}, y, a, mask, b);
  with_index(reach(walk), [&]<class I>(I) {
    launch(where_strided<I, T>, grid_for(n), block_size, 0, current_stream(), n, Walk<I>(walk), a, mask, b, y);
  });
}

template <class T>
void CudaHalf<T>::fill(int64_t n, T value, T* y) {
  const DeviceGuard guard(device_);
  map_dense(n, Constant<T>{value}, y);
}

template <class T>
void CudaHalf<T>::cast(int64_t n, const T* x, float* y) {
  const DeviceGuard guard(device_);
  map_dense(n, Cast<float>{}, y, x);
}

template <class T>
void CudaHalf<T>::cast(int64_t n, const float* x, T* y) {
  const DeviceGuard guard(device_);
  map_dense(n, Cast<T>{}, y, x);
}

template void CudaHalf<bfloat16>::fill(int64_t, bfloat16, bfloat16*);
template void CudaHalf<bfloat16>::cast(int64_t, const bfloat16*, float*);
template void CudaHalf<bfloat16>::cast(int64_t, const float*, bfloat16*);
template void CudaHalf<float16>::fill(int64_t, float16, float16*);
template void CudaHalf<float16>::cast(int64_t, const float16*, float*);
template void CudaHalf<float16>::cast(int64_t, const float*, float16*);
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
template void CudaArray<float>::where(const Strided&, const float*, const uint8_t*, const float*, float*);
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
template void CudaArray<double>::where(const Strided&, const double*, const uint8_t*, const double*, double*);
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
template void CudaArray<int64_t>::where(const Strided&, const int64_t*, const uint8_t*, const int64_t*, int64_t*);
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
template void CudaArray<uint8_t>::where(const Strided&, const uint8_t*, const uint8_t*, const uint8_t*, uint8_t*);

}  // namespace tern::kernels
