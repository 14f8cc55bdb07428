#pragma once

#include <tern/kernels/backend.hpp>

#include <algorithm>

/// Max-pooling of one plane [H, W], which whole tensors are made of.

namespace tern::kernels {

/// As FloatKernels::max_pool2d. indices may be null.
void max_pool2d_plane(const Pool2dShape& s, const float* x, float* y, int64_t* indices);

/// The same of windows side by side, no larger than the plane; picked, which may be null, is the place in its window of
/// each element, r * S + s.
void max_pool2d_plane(const Pool2dShape& s, const float* x, float* y, uint8_t* picked);
/// dx = dy of the windows at the places that they picked, and 0 elsewhere.
void max_pool2d_plane_backward(const Pool2dShape& s, const uint8_t* picked, const float* dy, float* dx);

/// Windows of 2 x 2 that neither overlap nor leave the plane, and places that fit 32 bits.
inline bool is_2x2(const Pool2dShape& s) {
  return s.R == 2 && s.S == 2 && s.side_by_side() && s.H * s.W < (int64_t{1} << 31);
}

/// Calls f(window, h0, h1, w0, w1) for each window of a plane: the rows and columns of it that are not padding.
template <class F>
void for_each_window(const Pool2dShape& s, const F& f) {
  const int64_t P = s.P(), Q = s.Q();
  for (int64_t p = 0; p < P; ++p) {
    const int64_t top = p * s.stride_h - s.pad_h, h0 = std::max<int64_t>(0, top), h1 = std::min(s.H, top + s.R);
    for (int64_t q = 0; q < Q; ++q) {
      const int64_t left = q * s.stride_w - s.pad_w;
      f(p * Q + q, h0, h1, std::max<int64_t>(0, left), std::min(s.W, left + s.S));
    }
  }
}

}  // namespace tern::kernels
