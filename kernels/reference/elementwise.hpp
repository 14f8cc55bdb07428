#pragma once

#include <tern/kernels/integer.hpp>
#include <tern/kernels/reference/reference.hpp>

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace tern::kernels {

/// Calls f(i, offset in a, offset in b) for the i-th element of the box, in row-major order.
template <class F>
void walk(const Strided& s, F f) {
  const int64_t n = s.numel();
  for (int64_t i = 0; i < n; ++i) {
    int64_t rest = i, a = 0, b = 0;
    for (int d = s.ndim - 1; d >= 0; --d) {
      const int64_t at = rest % s.size[d];
      rest /= s.size[d];
      a += at * s.a[d];
      b += at * s.b[d];
    }
    f(i, a, b);
  }
}

/// In double from pow on; atan2 and hypot are of floats.
template <class T>
T function_value(BinaryOp op, T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    return op == BinaryOp::pow            ? integer_power(a, b)
           : op == BinaryOp::floor_divide ? floor_quotient(a, b)
                                          : remainder_of(a, b, op == BinaryOp::remainder);
  } else {
    const double x = a, z = b, rest = std::fmod(x, z), multiple = (x - rest) / z;
    const bool below = rest != 0 && (rest < 0) != (z < 0);  // the multiple towards 0 is not the floor
    switch (op) {
      case BinaryOp::pow:
        return static_cast<T>(std::pow(x, z));
      case BinaryOp::atan2:
        return static_cast<T>(std::atan2(x, z));
      case BinaryOp::hypot:
        return static_cast<T>(std::hypot(x, z));
      case BinaryOp::fmod:
        return static_cast<T>(rest);
      case BinaryOp::remainder:
        return static_cast<T>(below ? rest + z : rest);
      default:
        return static_cast<T>(z == 0 ? x / z : std::nearbyint(multiple - (below ? 1 : 0)));
    }
  }
}

template <class T>
T binary_value(BinaryOp op, T a, T b) {
  if (op >= BinaryOp::pow) return function_value(op, a, b);
  if constexpr (std::is_floating_point_v<T>) {
    if ((op == BinaryOp::maximum || op == BinaryOp::minimum) && (std::isnan(a) || std::isnan(b))) return a + b;
  } else {
    if (op == BinaryOp::div) return quotient(a, b);
  }
  switch (op) {
    case BinaryOp::add:
      return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b));
    case BinaryOp::sub:
      return static_cast<T>(static_cast<Wrapping<T>>(a) - static_cast<Wrapping<T>>(b));
    case BinaryOp::mul:
      return static_cast<T>(static_cast<Wrapping<T>>(a) * static_cast<Wrapping<T>>(b));
    case BinaryOp::div:
      return static_cast<T>(a / b);
    case BinaryOp::maximum:
      return std::max(a, b);
    case BinaryOp::minimum:
      return std::min(a, b);
    default:
      return T{};
  }
}

template <class T>
bool compare_value(CompareOp op, T a, T b) {
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
  return false;
}

template <class T>
void ReferenceArray<T>::fill(int64_t n, T value, T* y) {
  std::fill_n(y, n, value);
}

template <class T>
void ReferenceArray<T>::copy(const Strided& s, const T* a, T* b) {
  walk(s, [&](int64_t, int64_t from, int64_t to) { b[to] = a[from]; });
}

template <class T>
void ReferenceHalf<T>::fill(int64_t n, T value, T* y) {
  std::fill_n(y, n, value);
}

template <class T>
void ReferenceHalf<T>::copy(const Strided& s, const T* a, T* b) {
  walk(s, [&](int64_t, int64_t from, int64_t to) { b[to] = a[from]; });
}

template <class T>
void ReferenceHalf<T>::cast(int64_t n, const T* x, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(x[i]);
}

template <class T>
void ReferenceHalf<T>::cast(int64_t n, const float* x, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<T>(x[i]);
}

template <class T>
void ReferenceArray<T>::cast(int64_t n, const T* x, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = converted<float>(x[i]);
}

template <class T>
void ReferenceArray<T>::cast(int64_t n, const T* x, double* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = converted<double>(x[i]);
}

template <class T>
void ReferenceArray<T>::cast(int64_t n, const T* x, int64_t* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = converted<int64_t>(x[i]);
}

template <class T>
void ReferenceArray<T>::cast(int64_t n, const T* x, uint8_t* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = converted<uint8_t>(x[i]);
}

template <class T>
void ReferenceArray<T>::binary(BinaryOp op, const Strided& s, const T* a, const T* b, T* y) {
  walk(s, [&](int64_t i, int64_t at_a, int64_t at_b) { y[i] = binary_value(op, a[at_a], b[at_b]); });
}

/// The walk with one number in place of operand a, or b.
inline Strided with_number(Strided s, int64_t (Strided::*strides)[max_dims]) {
  std::fill_n(s.*strides, max_dims, 0);
  return s;
}

template <class T>
void ReferenceArray<T>::binary(BinaryOp op, const Strided& s, const T* a, T b, T* y) {
  binary(op, with_number(s, &Strided::b), a, &b, y);
}

template <class T>
void ReferenceArray<T>::binary(BinaryOp op, const Strided& s, T a, const T* b, T* y) {
  binary(op, with_number(s, &Strided::a), &a, b, y);
}

template <class T>
void ReferenceArray<T>::compare(CompareOp op, const Strided& s, const T* a, T b, uint8_t* y) {
  compare(op, with_number(s, &Strided::b), a, &b, y);
}

template <class T>
void ReferenceArray<T>::compare(CompareOp op, const Strided& s, const T* a, const T* b, uint8_t* y) {
  walk(s, [&](int64_t i, int64_t at_a, int64_t at_b) { y[i] = compare_value(op, a[at_a], b[at_b]); });
}

template <class T>
void ReferenceArray<T>::masked_fill(int64_t n, const uint8_t* mask, T value, const T* x, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = mask[i] ? value : x[i];
}

template <class T>
void ReferenceArray<T>::where(const Strided& s, const T* a, const uint8_t* mask, const T* b, T* y) {
  walk(s, [&](int64_t i, int64_t at_a, int64_t at_mask) { y[i] = mask[at_mask] ? a[at_a] : b[i]; });
}

}  // namespace tern::kernels
