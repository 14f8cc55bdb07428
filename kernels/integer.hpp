#pragma once

#include <tern/kernels/philox.hpp>

#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace tern::kernels {

/// What T is added, subtracted and multiplied in, so that integers wrap as PyTorch's do: signed ones must not overflow.
template <class T>
using Wrapping = std::conditional_t<std::is_same_v<T, std::int64_t>, std::uint64_t, T>;

/// a / b of integers; 0 where b is 0. The least integer divided by -1, which is too large by one, stays itself.
template <std::integral T>
TERN_HOST_DEVICE constexpr T quotient(T a, T b) {
  if (b == 0) return 0;
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return static_cast<T>(Wrapping<T>{0} - static_cast<Wrapping<T>>(a));
  }
  return static_cast<T>(a / b);
}

/// Whether x is below 0: never where T has no sign.
template <std::integral T>
TERN_HOST_DEVICE constexpr bool is_negative([[maybe_unused]] T x) {
  if constexpr (std::is_signed_v<T>) {
    return x < 0;
  } else {
    return false;
  }
}

/// a - b times the multiple of b that is the nearest towards 0, or (`floored`) below; 0 where b is 0.
template <std::integral T>
TERN_HOST_DEVICE constexpr T remainder_of(T a, T b, bool floored) {
  if (b == 0 || (std::is_signed_v<T> && b == static_cast<T>(-1)))
    return 0;  // the least integer divided by -1 is too large
  const T rest = static_cast<T>(a % b);
  return floored && rest != 0 && is_negative(rest) != is_negative(b) ? static_cast<T>(rest + b) : rest;
}

/// The largest integer that is not above a / b; 0 where b is 0.
template <std::integral T>
TERN_HOST_DEVICE constexpr T floor_quotient(T a, T b) {
  const T towards_0 = quotient(a, b);
  const bool rounded_up = is_negative(a) != is_negative(b) && remainder_of(a, b, false) != 0;
  return b != 0 && rounded_up ? static_cast<T>(towards_0 - 1) : towards_0;
}

/// a^b, wrapping; 1 / a^-b towards zero where b is negative, and 0 where that divides by 0.
template <std::integral T>
TERN_HOST_DEVICE constexpr T integer_power(T a, T b) {
  if (is_negative(b)) return a == 1 ? 1 : a == static_cast<T>(-1) ? static_cast<T>(b % 2 == 0 ? 1 : -1) : 0;
  Wrapping<T> power = 1, square = static_cast<Wrapping<T>>(a);
  for (; b > 0; b = static_cast<T>(b / 2), square = static_cast<Wrapping<T>>(square * square)) {
    if (b % 2 != 0) power = static_cast<Wrapping<T>>(power * square);
  }
  return static_cast<T>(power);
}

/// x as a To: towards zero from floats, the nearest there is from what an integer is too small for, 0 from NaN, modulo
/// the size from integers. A C++ cast from such floats is undefined.
template <class To, class From>
TERN_HOST_DEVICE constexpr To converted(From x) {
  if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    constexpr To least = std::numeric_limits<To>::min(), largest = std::numeric_limits<To>::max();
    constexpr From end = static_cast<From>(largest / 2 + 1) * 2;
    if (x != x) return 0;
    if (x >= end) return largest;
    if (x <= static_cast<From>(least)) return least;
  }
  return static_cast<To>(x);
}

}  // namespace tern::kernels
