#pragma once

#include <tern/kernels/integer.hpp>
#include <tern/kernels/reference/reference.hpp>

#include <type_traits>

namespace tern::kernels {

/// What a sum of T runs in: double for floats, integers wrap.
template <class T>
using Accumulator = std::conditional_t<std::is_floating_point_v<T>, double, Wrapping<T>>;

/// a before b in the order of `max`: NaN is larger than any number, the first of equals wins.
template <class T>
bool beats(T a, T best) {
  return a > best || (a != a && best == best);
}

template <class T>
void ReferenceArray<T>::sum(const ReduceShape& r, const T* x, T* y) {
  for (int64_t o = 0; o < r.outer; ++o) {
    for (int64_t i = 0; i < r.inner; ++i) {
      Accumulator<T> total = 0;
      for (int64_t j = 0; j < r.n; ++j) total += x[(o * r.n + j) * r.inner + i];
      y[o * r.inner + i] = static_cast<T>(total);
    }
  }
}

template <class T>
void ReferenceArray<T>::max(const ReduceShape& r, const T* x, T* y, int64_t* indices) {
  for (int64_t o = 0; o < r.outer; ++o) {
    for (int64_t i = 0; i < r.inner; ++i) {
      const T* column = x + o * r.n * r.inner + i;
      int64_t best = 0;
      for (int64_t j = 1; j < r.n; ++j) {
        if (beats(column[j * r.inner], column[best * r.inner])) best = j;
      }
      if (y) y[o * r.inner + i] = column[best * r.inner];
      if (indices) indices[o * r.inner + i] = best;
    }
  }
}

template <class T>
void ReferenceArray<T>::max_backward(const ReduceShape& r, const int64_t* indices, const T* dy, T* dx) {
  for (int64_t o = 0; o < r.outer; ++o) {
    for (int64_t j = 0; j < r.n; ++j) {
      for (int64_t i = 0; i < r.inner; ++i) {
        const int64_t at = o * r.inner + i;
        dx[(o * r.n + j) * r.inner + i] = indices[at] == j ? dy[at] : T{0};
      }
    }
  }
}

}  // namespace tern::kernels
