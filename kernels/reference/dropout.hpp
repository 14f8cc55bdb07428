#pragma once

#include <tern/kernels/reference/reference.hpp>

namespace tern::kernels {

template <class T>
void ReferenceFloat<T>::dropout(const DropoutShape& s, PhiloxState state, const T* x, T* y) {
  const double scale = 1 / (1 - s.p);
  for (int64_t i = 0; i < s.n; ++i) {
    const bool zeroed = uniform_from_bits(philox_bits(state, i / s.group)) < s.p;
    y[i] = zeroed ? T{0} : static_cast<T>(x[i] * scale);
  }
}

}  // namespace tern::kernels
