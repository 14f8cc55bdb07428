#pragma once

/// What the random draws of an image in a batch mean, the same in every backend.

#include <tern/kernels/backend.hpp>

#include <cstdint>

namespace tern::kernels {

/// Draws 3 i to 3 i + 2 of `flips`, and 2 i and 2 i + 1 of `cutouts`, for image i.
struct ImageDraws {
  std::uint32_t flip = 0, down = 0, right = 0, top = 0, left = 0;
};

/// Pixel (h, w) of the result is `fill` where filled(h, w), and else pixel (row(h), column(w)) of the image. I counts
/// to a few sides of it.
template <class I>
struct ImageChange {
  I H, W;
  bool flip = false;
  I down = 0, right = 0;
  I top = 0, bottom = 0, left = 0, right_end = 0;  ///< the square within the image: rows to bottom - 1, and so on

  TERN_HOST_DEVICE ImageChange(const ImageBatchShape& s, const ImageDraws& draws)
      : H(static_cast<I>(s.H)), W(static_cast<I>(s.W)) {
    if (s.shift >= 0) {
      flip = draws.flip >> 31;
      down = static_cast<I>(below(draws.down, 2 * s.shift + 1) - s.shift);
      right = static_cast<I>(below(draws.right, 2 * s.shift + 1) - s.shift);
    }
    if (s.cutout > 0) {
      const int64_t first_row = below(draws.top, s.H) - s.cutout / 2,
                    first_column = below(draws.left, s.W) - s.cutout / 2;
      top = within(first_row, s.H);
      bottom = within(first_row + s.cutout, s.H);
      left = within(first_column, s.W);
      right_end = within(first_column + s.cutout, s.W);
    }
  }

  /// Where pixel (h, w) comes from.
  /// @{
  TERN_HOST_DEVICE bool filled(I h, I w) const { return top <= h && h < bottom && left <= w && w < right_end; }
  TERN_HOST_DEVICE I row(I h) const { return reflected(h - down, H); }
  TERN_HOST_DEVICE I column(I w) const {
    const I from = reflected(w - right, W);
    return flip ? W - 1 - from : from;
  }

  /// @}

 private:
  /// A uniform integer in [0, bound) of 32 random bits.
  TERN_HOST_DEVICE static int64_t below(std::uint32_t bits, int64_t bound) {
    return static_cast<int64_t>(std::uint64_t{bits} * static_cast<std::uint64_t>(bound) >> 32);
  }
  /// Where position i, outside [0, n) by less than n, lies after reflection at the edges.
  TERN_HOST_DEVICE static I reflected(I i, I n) {
    if (i < 0) return -i;
    return i < n ? i : 2 * (n - 1) - i;
  }
  TERN_HOST_DEVICE static I within(int64_t i, int64_t n) { return static_cast<I>(i < 0 ? 0 : i < n ? i : n); }
};

/// Of image i; what the batch does not ask for is 0.
inline ImageDraws image_draws(const ImageBatchShape& s, PhiloxState flips, PhiloxState cutouts, int64_t i) {
  const auto at = static_cast<std::uint64_t>(i);
  ImageDraws draws;
  if (s.shift >= 0) {
    draws.flip = philox_bits(flips, 3 * at);
    draws.down = philox_bits(flips, 3 * at + 1);
    draws.right = philox_bits(flips, 3 * at + 2);
  }
  if (s.cutout > 0) {
    draws.top = philox_bits(cutouts, 2 * at);
    draws.left = philox_bits(cutouts, 2 * at + 1);
  }
  return draws;
}

}  // namespace tern::kernels
