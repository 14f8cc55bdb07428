#pragma once

#include <tern/kernels/reference/reference.hpp>

#include <cmath>
#include <vector>

namespace tern::kernels {

template <class T>
void ReferenceFloat<T>::linear(const LinearShape& s, const T* x, const T* w, const T* bias, T* y) {
  for (int64_t r = 0; r < s.rows; ++r) {
    for (int64_t o = 0; o < s.out; ++o) {
      double total = bias ? bias[o] : 0;
      for (int64_t i = 0; i < s.in; ++i) total += static_cast<double>(x[r * s.in + i]) * w[o * s.in + i];
      if (s.activation == Activation::tanh) total = std::tanh(total);
      if (s.activation == Activation::relu) total = total <= 0 ? 0 : total;
      y[r * s.out + o] = static_cast<T>(total);
    }
  }
}

template <class T>
void ReferenceFloat<T>::linear_backward(const LinearShape& s, const T* x, const T* w, const T* y, const T* dy, T* dx,
                                        T* dw, T* dbias) {
  std::vector<double> g(dy, dy + s.rows * s.out);  // by what the activation was given
  for (int64_t i = 0; i < s.rows * s.out; ++i) {
    if (s.activation == Activation::tanh) g[i] *= 1 - static_cast<double>(y[i]) * y[i];
    if (s.activation == Activation::relu && y[i] <= 0) g[i] = 0;
  }
  for (int64_t r = 0; dx && r < s.rows; ++r) {
    for (int64_t i = 0; i < s.in; ++i) {
      double total = 0;
      for (int64_t o = 0; o < s.out; ++o) total += g[r * s.out + o] * w[o * s.in + i];
      dx[r * s.in + i] = static_cast<T>(total);
    }
  }
  for (int64_t o = 0; o < s.out; ++o) {
    for (int64_t i = 0; dw && i < s.in; ++i) {
      double total = 0;
      for (int64_t r = 0; r < s.rows; ++r) total += g[r * s.out + o] * x[r * s.in + i];
      dw[o * s.in + i] = static_cast<T>(total);
    }
    if (!dbias) continue;
    double total = 0;
    for (int64_t r = 0; r < s.rows; ++r) total += g[r * s.out + o];
    dbias[o] = static_cast<T>(total);
  }
}

}  // namespace tern::kernels
