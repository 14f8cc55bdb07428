#pragma once

#include <tern/kernels/reference/reference.hpp>

namespace tern::kernels {

template <class T>
void ReferenceFloat<T>::matmul(const MatmulShape& s, const T* a, const T* b, T* y) {
  for (int64_t batch = 0; batch < s.batch; ++batch) {
    for (int64_t i = 0; i < s.m; ++i) {
      for (int64_t j = 0; j < s.n; ++j) {
        double total = 0;
        for (int64_t l = 0; l < s.k; ++l) {
          const double left = s.trans_a ? a[l * s.m + i] : a[i * s.k + l];
          const double right = s.trans_b ? b[j * s.k + l] : b[l * s.n + j];
          total += left * right;
        }
        y[i * s.n + j] = static_cast<T>(total);
      }
    }
    a += s.m * s.k;
    b += s.k * s.n;
    y += s.m * s.n;
  }
}

}  // namespace tern::kernels
