#pragma once

#include <tern/kernels/reference/reference.hpp>
#include <tern/kernels/sort.hpp>

#include <algorithm>
#include <numeric>
#include <vector>

namespace tern::kernels {

template <class T>
void ReferenceArray<T>::sort(int64_t rows, int64_t n, int64_t k, bool descending, const T* x, T* y, int64_t* indices) {
  std::vector<int64_t> order(n);
  for (int64_t row = 0; row < rows; ++row) {
    std::iota(order.begin(), order.end(), int64_t{0});
    std::stable_sort(order.begin(), order.end(), [&, values = x + row * n](int64_t a, int64_t b) {
      return comes_before(values[a], values[b], descending);
    });
    for (int64_t i = 0; i < k; ++i) {
      indices[row * k + i] = order[i];
      y[row * k + i] = x[row * n + order[i]];
    }
  }
}

template <class T>
void ReferenceArray<T>::searchsorted(int64_t rows, int64_t n, int64_t count, bool right, const T* x, const T* v,
                                     int64_t* y) {
  for (int64_t i = 0; i < rows * count; ++i) y[i] = place_in_sorted(n, x + i / count * n, v[i], right);
}

}  // namespace tern::kernels
