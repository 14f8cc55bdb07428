#pragma once

#include <cstdint>
#include <limits>

namespace tern::kernels {

/// Of some elements x: their mean and the sum of squares around it; and the least difference between a window's element
/// and a larger one after it.
struct Moments {
  double mean = 0, squares = 0;
  float gap = std::numeric_limits<float>::infinity();
};

/// The moments of n elements, `step` apart, whose squares no float can hold, or that are not all finite.
inline Moments wide_moments(int64_t n, const float* x, int64_t step = 1) {
  Moments total{.gap = 0};
  for (int64_t i = 0; i < n; ++i) total.mean += x[i * step];
  total.mean /= static_cast<double>(n);
  for (int64_t i = 0; i < n; ++i) total.squares += (x[i * step] - total.mean) * (x[i * step] - total.mean);
  return total;
}

/// y = (x - mean) * gain + shift.
struct Normalization {
  double mean, gain, shift;
};

}  // namespace tern::kernels
