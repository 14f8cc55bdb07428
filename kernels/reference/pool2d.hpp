#pragma once

#include <tern/kernels/pool2d.hpp>
#include <tern/kernels/reference/reduce.hpp>
#include <tern/kernels/reference/reference.hpp>

#include <algorithm>
#include <vector>

namespace tern::kernels {

/// Calls f(window, plane, at, divisor) for every element of every window, both in row-major order: y[window] belongs to
/// x[plane * H * W + at], and averages divide by the divisor. Padding is left out.
template <class F>
void for_each_window_element(const Pool2dShape& s, F f) {
  const PoolAxis<int64_t> rows = rows_of(s), columns = columns_of(s);
  for (int64_t plane = 0; plane < s.N * s.C; ++plane) {
    for (int64_t p = 0; p < rows.out; ++p) {
      for (int64_t q = 0; q < columns.out; ++q) {
        const PoolWindow<int64_t> of = rows.window(p), by = columns.window(q);
        const int64_t divisor = divisor_of(s.divisor, of, by);
        for (int64_t h = of.begin; h < of.end; h += s.dilation_h) {
          for (int64_t w = by.begin; w < by.end; w += s.dilation_w) {
            f((plane * rows.out + p) * columns.out + q, plane, h * s.W + w, divisor);
          }
        }
      }
    }
  }
}

template <class T>
void ReferenceFloat<T>::max_pool2d(const Pool2dShape& s, const T* x, T* y, int64_t* indices) {
  std::vector<int64_t> best(s.N * s.C * s.P() * s.Q(), -1);
  for_each_window_element(s, [&](int64_t window, int64_t plane, int64_t at, int64_t) {
    const T* in = x + plane * s.H * s.W;
    if (best[window] >= 0 && !beats(in[at], in[best[window]])) return;
    best[window] = at;
    y[window] = in[at];
    if (indices) indices[window] = at;
  });
}

template <class T>
void ReferenceFloat<T>::max_pool2d_backward(const Pool2dShape& s, const int64_t* indices, const T* dy, T* dx) {
  std::vector<double> total(s.N * s.C * s.H * s.W);
  for_each_window_element(s, [&](int64_t window, int64_t plane, int64_t at, int64_t) {
    if (indices[window] == at) total[plane * s.H * s.W + at] += dy[window];
  });
  for (std::size_t i = 0; i < total.size(); ++i) dx[i] = static_cast<T>(total[i]);
}

template <class T>
void ReferenceFloat<T>::avg_pool2d(const Pool2dShape& s, const T* x, T* y) {
  std::vector<double> total(s.N * s.C * s.P() * s.Q()), divisors(total.size());
  for_each_window_element(s, [&](int64_t window, int64_t plane, int64_t at, int64_t divisor) {
    total[window] += x[plane * s.H * s.W + at];
    divisors[window] = static_cast<double>(divisor);
  });
  for (std::size_t i = 0; i < total.size(); ++i) y[i] = static_cast<T>(total[i] / divisors[i]);
}

template <class T>
void ReferenceFloat<T>::avg_pool2d_backward(const Pool2dShape& s, const T* dy, T* dx) {
  std::vector<double> total(s.N * s.C * s.H * s.W);
  for_each_window_element(s, [&](int64_t window, int64_t plane, int64_t at, int64_t divisor) {
    total[plane * s.H * s.W + at] += static_cast<double>(dy[window]) / static_cast<double>(divisor);
  });
  for (std::size_t i = 0; i < total.size(); ++i) dx[i] = static_cast<T>(total[i]);
}

}  // namespace tern::kernels
