#pragma once

/// Strided boxes as the kernels walk them.

#include <tern/kernels/cuda/device.cuh>
#include <tern/kernels/strided.hpp>

namespace tern::kernels::cuda {

/// Of a simplified walk.
inline bool is_dense(const Strided& s) { return s.ndim == 0 || (s.ndim == 1 && s.a[0] == 1 && s.b[0] == 1); }

/// The largest number that walking takes: of an element or an offset.
inline int64_t reach(const Strided& s) {
  int64_t a = 1, b = 1;
  for (int d = 0; d < s.ndim; ++d) {
    a += (s.size[d] - 1) * s.a[d];
    b += (s.size[d] - 1) * s.b[d];
  }
  return std::max({s.numel(), a, b});
}

/// Strided with the numbers in I. A kernel takes it as `const __grid_constant__`: a loop that is not unrolled reads it,
/// and would read a copy of it in local memory.
template <class I>
struct Walk {
  int ndim = 0;
  I size[max_dims] = {}, a[max_dims] = {}, b[max_dims] = {};

  explicit Walk(const Strided& s) : ndim(s.ndim) {
    for (int d = 0; d < ndim; ++d) {
      size[d] = static_cast<I>(s.size[d]);
      a[d] = static_cast<I>(s.a[d]);
      b[d] = static_cast<I>(s.b[d]);
    }
  }

  /// Where element i of the walk lies in both operands. A division for each dimension but the first.
  __device__ void locate(I i, I& in_a, I& in_b) const {
    in_a = in_b = 0;
    for (int d = ndim - 1; d > 0; --d) {
      const I rest = i / size[d], at = i - rest * size[d];
      in_a += at * a[d];
      in_b += at * b[d];
      i = rest;
    }
    if (ndim > 0) {
      in_a += i * a[0];
      in_b += i * b[0];
    }
  }
};

}  // namespace tern::kernels::cuda
