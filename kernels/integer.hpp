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
