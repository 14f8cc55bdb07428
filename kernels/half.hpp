#pragma once

#include <tern/kernels/philox.hpp>

#include <bit>
#include <cstdint>

/// The floats of 16 bits. A float becomes the nearest of them, of two equally near the even one, and beyond the largest
/// an infinity; NaN stays NaN.

namespace tern::kernels {

/// A float's first 16 bits: 8 of the exponent, and numbers of 8 significant bits.
class bfloat16 {
 public:
  bfloat16() = default;  ///< of any value
  /// x rounded.
  TERN_HOST_DEVICE explicit constexpr bfloat16(float x) {
    const auto all = __builtin_bit_cast(std::uint32_t, x);
    bits_ = static_cast<std::uint16_t>((x != x ? all | 0x400000 : all + 0x7fff + (all >> 16 & 1)) >> 16);
  }
  /// The same number.
  TERN_HOST_DEVICE explicit constexpr operator float() const {
    return __builtin_bit_cast(float, std::uint32_t{bits_} << 16);
  }

 private:
  std::uint16_t bits_;
};

/// IEEE 754's binary16: 5 bits of the exponent, and numbers of 11 significant bits, up to 65504.
class float16 {
 public:
  float16() = default;  ///< of any value
  /// x rounded.
  TERN_HOST_DEVICE explicit constexpr float16(float x) {
    const auto all = __builtin_bit_cast(std::uint32_t, x);
    const std::uint32_t size = all & 0x7fffffff;
    std::uint32_t half = 0x7c00;
    if (size > 0x7f800000) {
      half = 0x7e00 | (size >> 13 & 0x1ff);
    } else if (size < 0x38800000) {  // less than 2^-14: a multiple of 2^-24, as which it comes out of a sum with 1/2
      half = __builtin_bit_cast(std::uint32_t, __builtin_bit_cast(float, size) + 0.5f) - 0x3f000000;
    } else if (size < 0x47800000) {  // less than 2^16
      half = (size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13;
    }
    bits_ = static_cast<std::uint16_t>(all >> 16 & 0x8000) | static_cast<std::uint16_t>(half);
  }
  /// The same number.
  TERN_HOST_DEVICE explicit constexpr operator float() const {
    const std::uint32_t sign = (bits_ & 0x8000u) << 16, exponent = bits_ >> 10 & 31, fraction = bits_ & 1023u;
    if (exponent == 0) {
      const float size = static_cast<float>(fraction) * 0x1p-24f;
      return sign ? -size : size;
    }
    return __builtin_bit_cast(float, sign | (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13);
  }

 private:
  std::uint16_t bits_;
};

}  // namespace tern::kernels
