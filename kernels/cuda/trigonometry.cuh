#pragma once

/// sin, cos and tan of any number. CUDA's own reduce a large one through an array, which lies in local memory as its
/// index is not known in advance; here x / pi is made of integers that stay in registers, and CUDA's sinpi does the
/// rest.

#include <tern/kernels/cuda/device.cuh>

#include <cmath>
#include <limits>
#include <numbers>

namespace tern::kernels::cuda {

/// Bits of 1 / pi, of which the second word begins with that of 2^-1.
static __constant__ const std::uint64_t one_over_pi[20] = {
    0x0000000000000000, 0x517cc1b727220a94, 0xfe13abe8fa9a6ee0, 0x6db14acc9e21c820, 0xff28b1d5ef5de2b0,
    0xdb92371d2126e970, 0x0324977504e8c90e, 0x7f0ef58e5894d39f, 0x74411afa975da242, 0x74ce38135a2fbf20,
    0x9cc8eb1cc1a99cfa, 0x4e422fc5defc941d, 0x8ffc4bffef02cc07, 0xf79788c5ad05368f, 0xb69b3f6793e584db,
    0xa7a31fb34f2ff516, 0xba93dd63f5f2f8bd, 0x9e839cfbc5294975, 0x35fdafd88fc6ae84, 0x2b0198237e3db5d5};

/// A number as mantissa 2^exponent.
struct Parts {
  std::uint64_t mantissa;
  int exponent;
};
/// Of |x|, which is normal.
/// @{
__device__ inline Parts parts_of(float x) {
  const unsigned bits = __float_as_uint(x);
  return {(bits & 0x7fffff) | 0x800000, static_cast<int>(bits >> 23 & 0xff) - 150};
}
__device__ inline Parts parts_of(double x) {
  constexpr std::uint64_t leading = std::uint64_t{1} << 52;
  const auto bits = static_cast<std::uint64_t>(__double_as_longlong(x));
  return {(bits & (leading - 1)) | leading, static_cast<int>(bits >> 52 & 0x7ff) - 1075};
}
/// @}

/// f in [-1/2, 1/2] such that sin(pi f) is sin(x), or where `of_cosine` cos(x); correct to T's last bits also where it
/// is small. x / pi loses its whole turns, multiples of 2, by leaving out the bits of 1 / pi that make nothing else:
/// Payne, Hanek, "Radian reduction for trigonometric functions", SIGNUM Newsletter 18, 1983.
template <class T>
__device__ T half_turns(T x, bool of_cosine) {
  if (std::abs(x) < 1) {
    const T f = x * std::numbers::inv_pi_v<T>;
    return of_cosine ? T(0.5) - std::abs(f) : f;
  }
  if (!(std::abs(x) <= std::numeric_limits<T>::max())) return std::numeric_limits<T>::quiet_NaN();
  const Parts p = parts_of(x);
  const int first = 63 + p.exponent, shift = first % 64;  // the bit that makes 2^0 of the mantissa's last
  const std::uint64_t* const words = one_over_pi + first / 64;
  std::uint64_t w[3];
#pragma unroll
  for (int i = 0; i < 3; ++i) w[i] = words[i] << shift | words[i + 1] >> 1 >> (63 - shift);
  // [high, low] is |x| / pi; as signed numbers, in [-1, 1), both have one bit before the point.
  const std::uint64_t middle = p.mantissa * w[1];
  std::uint64_t low = middle + __umul64hi(p.mantissa, w[2]);
  std::uint64_t high = p.mantissa * w[0] + __umul64hi(p.mantissa, w[1]) + (low < middle ? 1 : 0);
  if (of_cosine) high += std::uint64_t{1} << 62;            // cos(x) = sin(|x| + pi / 2)
  if (static_cast<std::int64_t>(high ^ (high << 1)) < 0) {  // sin(pi f) = sin(pi (1 - f))
    high = (std::uint64_t{1} << 63) - high - (low != 0 ? 1 : 0);
    low = 0 - low;
  }
  const T f = (static_cast<T>(static_cast<std::int64_t>(high)) + static_cast<T>(low) * T(0x1p-64)) * T(0x1p-63);
  return x > 0 || of_cosine ? f : -f;
}

template <class T>
__device__ T sine(T x) {
  return sinpi(half_turns(x, false));
}

template <class T>
__device__ T cosine(T x) {
  return sinpi(half_turns(x, true));
}

}  // namespace tern::kernels::cuda
