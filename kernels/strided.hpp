#pragma once

#include <tern/kernels/backend.hpp>

namespace tern::kernels {

/// The same walk in as few dimensions as it takes: those of size 1 go, neighbours that are one stretch in both operands
/// become one. What is dense in both ends as one dimension of stride 1, or none.
inline Strided simplified(const Strided& s) {
  Strided t;
  for (int d = 0; d < s.ndim; ++d) {
    if (s.size[d] == 1) continue;
    const int last = t.ndim - 1;
    if (last >= 0 && t.a[last] == s.a[d] * s.size[d] && t.b[last] == s.b[d] * s.size[d]) {
      t.size[last] *= s.size[d];
      t.a[last] = s.a[d];
      t.b[last] = s.b[d];
    } else {
      t.size[t.ndim] = s.size[d];
      t.a[t.ndim] = s.a[d];
      t.b[t.ndim] = s.b[d];
      ++t.ndim;
    }
  }
  return t;
}

}  // namespace tern::kernels
