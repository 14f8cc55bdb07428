#pragma once

#include <tern/kernels/reference/reduce.hpp>
#include <tern/kernels/reference/reference.hpp>

#include <algorithm>
#include <vector>

namespace tern::kernels {

template <class T>
void ReferenceArray<T>::index_select(const ReduceShape& r, int64_t count, const T* x, const int64_t* index, T* y) {
  for (int64_t o = 0; o < r.outer; ++o) {
    for (int64_t j = 0; j < count; ++j) {
      std::copy_n(x + (o * r.n + index[j]) * r.inner, r.inner, y + (o * count + j) * r.inner);
    }
  }
}

template <class T>
void ReferenceArray<T>::index_select_backward(const ReduceShape& r, int64_t count, const int64_t* index, const T* dy,
                                              T* dx) {
  std::vector<Accumulator<T>> total(r.outer * r.n * r.inner);
  for (int64_t o = 0; o < r.outer; ++o) {
    for (int64_t j = 0; j < count; ++j) {
      for (int64_t i = 0; index[j] >= 0 && i < r.inner; ++i) {
        total[(o * r.n + index[j]) * r.inner + i] += dy[(o * count + j) * r.inner + i];
      }
    }
  }
  for (std::size_t i = 0; i < total.size(); ++i) dx[i] = static_cast<T>(total[i]);
}

}  // namespace tern::kernels
