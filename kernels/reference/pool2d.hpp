#pragma once

#include <tern/kernels/reference/reduce.hpp>
#include <tern/kernels/reference/reference.hpp>

#include <algorithm>
#include <vector>

namespace tern::kernels {

/// Calls f(window, plane, at) for every element of every window, both in row-major order: y[window] belongs to
/// x[plane * H * W + at]. Padding is left out.
template <class F>
void for_each_window_element(const Pool2dShape& s, F f) {
  const int64_t P = s.P(), Q = s.Q();
  for (int64_t plane = 0; plane < s.N * s.C; ++plane) {
    for (int64_t p = 0; p < P; ++p) {
      for (int64_t q = 0; q < Q; ++q) {
        const int64_t top = p * s.stride_h - s.pad_h, left = q * s.stride_w - s.pad_w;
        for (int64_t h = std::max<int64_t>(top, 0); h < std::min(top + s.R, s.H); ++h) {
          for (int64_t w = std::max<int64_t>(left, 0); w < std::min(left + s.S, s.W); ++w) {
            f((plane * P + p) * Q + q, plane, h * s.W + w);
          }
        }
      }
    }
  }
}

template <class T>
void ReferenceFloat<T>::max_pool2d(const Pool2dShape& s, const T* x, T* y, int64_t* indices) {
  std::vector<int64_t> best(s.N * s.C * s.P() * s.Q(), -1);
  for_each_window_element(s, [&](int64_t window, int64_t plane, int64_t at) {
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
  for_each_window_element(s, [&](int64_t window, int64_t plane, int64_t at) {
    if (indices[window] == at) total[plane * s.H * s.W + at] += dy[window];
  });
  for (std::size_t i = 0; i < total.size(); ++i) dx[i] = static_cast<T>(total[i]);
}

template <class T>
void ReferenceFloat<T>::avg_pool2d(const Pool2dShape& s, const T* x, T* y) {
  std::vector<double> total(s.N * s.C * s.P() * s.Q());
  for_each_window_element(
      s, [&](int64_t window, int64_t plane, int64_t at) { total[window] += x[plane * s.H * s.W + at]; });
  for (std::size_t i = 0; i < total.size(); ++i) y[i] = static_cast<T>(total[i] / (s.R * s.S));
}

template <class T>
void ReferenceFloat<T>::avg_pool2d_backward(const Pool2dShape& s, const T* dy, T* dx) {
  std::vector<double> total(s.N * s.C * s.H * s.W);
  for_each_window_element(
      s, [&](int64_t window, int64_t plane, int64_t at) { total[plane * s.H * s.W + at] += dy[window]; });
  for (std::size_t i = 0; i < total.size(); ++i) dx[i] = static_cast<T>(total[i] / (s.R * s.S));
}

}  // namespace tern::kernels
