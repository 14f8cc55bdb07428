#pragma once

#include <tern/kernels/reference/reduce.hpp>
#include <tern/kernels/reference/reference.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace tern::kernels {

template <class T>
void ReferenceFloat<T>::softmax(bool log, const ReduceShape& r, const T* x, T* y) {
  for_each_column(r, [&](int64_t column, int64_t) {
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t j = 0; j < r.n; ++j) largest = std::max<double>(largest, x[column + j * r.inner]);
    for (int64_t j = 0; j < r.n; ++j) sum += std::exp(x[column + j * r.inner] - largest);
    for (int64_t j = 0; j < r.n; ++j) {
      const int64_t i = column + j * r.inner;
      y[i] = static_cast<T>(log ? x[i] - largest - std::log(sum) : std::exp(x[i] - largest) / sum);
    }
  });
}

template <class T>
void ReferenceFloat<T>::softmax_backward(bool log, const ReduceShape& r, const T* y, const T* dy, T* dx) {
  for_each_column(r, [&](int64_t column, int64_t) {
    double sum = 0;
    for (int64_t i = column, j = 0; j < r.n; ++j, i += r.inner) sum += (log ? 1.0 : y[i]) * dy[i];
    for (int64_t i = column, j = 0; j < r.n; ++j, i += r.inner) {
      dx[i] = static_cast<T>(log ? dy[i] - std::exp(static_cast<double>(y[i])) * sum : y[i] * (dy[i] - sum));
    }
  });
}

}  // namespace tern::kernels
