#pragma once

#include <tern/kernels/half.hpp>
#include <tern/kernels/integer.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace tern {

/// Floats of 16 bits, each of which converts to a float, and a float to it.
/// @{
using kernels::bfloat16;
using kernels::float16;
/// @}

/// Element types. float32 and float64 compute and carry gradients; so do float16 and bfloat16, of which each op computes
/// in float32 and rounds its result. int64 holds labels and indices, uint8 images and the results of comparisons.
enum class DType : std::uint8_t { uint8, int64, float16, bfloat16, float32, float64 };

/// Whether it computes and carries gradients.
constexpr bool is_floating(DType t) { return t >= DType::float16; }

/// Whether it is float16 or bfloat16.
constexpr bool is_half(DType t) { return t == DType::float16 || t == DType::bfloat16; }

/// The dtype in which two meet: the later one in DType's order, and float32 of the two of 16 bits.
constexpr DType promote_types(DType a, DType b) {
  return a != b && is_half(a) && is_half(b) ? DType::float32 : std::max(a, b);
}

/// The largest finite number of a dtype of floats.
constexpr double largest_of(DType t) {
  switch (t) {
    case DType::float16:
      return 65504;
    case DType::bfloat16:
      return 0x1.fep127;
    case DType::float64:
      return std::numeric_limits<double>::max();
    default:
      return static_cast<double>(std::numeric_limits<float>::max());
  }
}

/// The distance from 1 to the next number of a dtype of floats.
constexpr double epsilon_of(DType t) {
  return t == DType::float16 ? 0x1p-10 : t == DType::bfloat16 ? 0x1p-7 : t == DType::float64 ? 0x1p-52 : 0x1p-23;
}

/// In bytes.
constexpr std::size_t size_of(DType t) {
  switch (t) {
    case DType::uint8:
      return 1;
    case DType::float16:
    case DType::bfloat16:
      return 2;
    case DType::float32:
      return 4;
    case DType::int64:
    case DType::float64:
      return 8;
  }
  return 0;
}

/// "float32"
constexpr const char* name_of(DType t) {
  switch (t) {
    case DType::uint8:
      return "uint8";
    case DType::int64:
      return "int64";
    case DType::float16:
      return "float16";
    case DType::bfloat16:
      return "bfloat16";
    case DType::float32:
      return "float32";
    case DType::float64:
      return "float64";
  }
  return "?";
}

/// A number beside a tensor. A whole one is kept as such: beyond 2^53 doubles leave some of them out.
class Scalar {
 public:
  template <std::floating_point T>
  Scalar(T value) : fraction_(value) {}  ///< a fraction, even 2.0
  template <std::integral T>
  Scalar(T value)
      : whole_(static_cast<std::int64_t>(value)),
        is_whole_(value < 1 || whole_ >= 0),
        fraction_(static_cast<double>(value)) {}  ///< a whole one

  /// Whether it was given as an integer.
  bool is_whole() const { return is_whole_; }
  /// As an element is converted: kernels/integer.hpp.
  template <class T>
  T to() const {
    return is_whole_ ? kernels::converted<T>(whole_) : kernels::converted<T>(fraction_);
  }

 private:
  std::int64_t whole_ = 0;
  bool is_whole_ = false;  ///< and within int64
  double fraction_;
};

/// Whether elements of this type can be this number, apart from rounding.
inline bool can_hold(DType t, Scalar number) {
  if (is_floating(t) || (number.is_whole() && t == DType::int64)) return true;
  const double value = number.to<double>(), low = t == DType::uint8 ? 0 : -0x1p63,
               end = t == DType::uint8 ? 0x1p8 : 0x1p63;
  return value == std::trunc(value) && low <= value && value < end;
}

/// The DType of a C++ element type.
template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, std::uint8_t>)
    return DType::uint8;
  else if constexpr (std::is_same_v<T, std::int64_t>)
    return DType::int64;
  else if constexpr (std::is_same_v<T, float>)
    return DType::float32;
  else if constexpr (std::is_same_v<T, float16>)
    return DType::float16;
  else if constexpr (std::is_same_v<T, bfloat16>)
    return DType::bfloat16;
  else {
    static_assert(std::is_same_v<T, double>,
                  "tern tensors hold float, double, float16, bfloat16, std::int64_t or std::uint8_t");
    return DType::float64;
  }
}

}  // namespace tern
