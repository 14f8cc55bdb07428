#pragma once

#include <tern/kernels/pool2d.hpp>

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

/// Calls f(window, its rows, its columns) for each window of a plane.
template <class F>
void for_each_window(const Pool2dShape& s, const F& f) {
  const PoolAxis<int64_t> rows = rows_of(s), columns = columns_of(s);
  for (int64_t p = 0; p < rows.out; ++p) {
    const PoolWindow<int64_t> of = rows.window(p);
    for (int64_t q = 0; q < columns.out; ++q) f(p * columns.out + q, of, columns.window(q));
  }
}

}  // namespace tern::kernels
