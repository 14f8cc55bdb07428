#pragma once

#include <tern/kernels/reference/reference.hpp>

#include <vector>

namespace tern::kernels {

/// Convolution is bilinear: a sum of products x[ix] * w[iw] that each go to one y[iy]. Calls f(ix, iw, iy) for every
/// product; the value and both gradients are the same walk with another of the three on the left.
template <class F>
void for_each_product(const Conv2dShape& s, F f) {
  const int64_t P = s.P(), Q = s.Q(), group_C = s.C / s.groups, group_K = s.K / s.groups;
  for (int64_t n = 0; n < s.N; ++n) {
    for (int64_t k = 0; k < s.K; ++k) {
      for (int64_t c = 0; c < group_C; ++c) {
        const int64_t x_plane = n * s.C + k / group_K * group_C + c, w_plane = k * group_C + c, y_plane = n * s.K + k;
        for (int64_t p = 0; p < P; ++p) {
          for (int64_t q = 0; q < Q; ++q) {
            for (int64_t r = 0; r < s.R; ++r) {
              const int64_t h = p * s.stride_h - s.pad_h + r * s.dilation_h;
              if (h < 0 || h >= s.H) continue;
              for (int64_t t = 0; t < s.S; ++t) {
                const int64_t w = q * s.stride_w - s.pad_w + t * s.dilation_w;
                if (w < 0 || w >= s.W) continue;
                f((x_plane * s.H + h) * s.W + w, (w_plane * s.R + r) * s.S + t, (y_plane * P + p) * Q + q);
              }
            }
          }
        }
      }
    }
  }
}

template <class T>
void ReferenceFloat<T>::conv2d(const Conv2dShape& s, const T* x, const T* w, const T* bias, T* y) {
  const int64_t PQ = s.P() * s.Q();
  std::vector<double> total(s.N * s.K * PQ);
  for_each_product(s, [&](int64_t ix, int64_t iw, int64_t iy) { total[iy] += double{x[ix]} * double{w[iw]}; });
  for (int64_t n = 0; n < s.N; ++n) {
    for (int64_t k = 0; k < s.K; ++k) {
      for (int64_t pq = 0; pq < PQ; ++pq) {
        const int64_t iy = (n * s.K + k) * PQ + pq;
        y[iy] = static_cast<T>(total[iy] + (bias ? bias[k] : 0));
      }
    }
  }
}

template <class T>
void ReferenceFloat<T>::conv2d_backward_input(const Conv2dShape& s, const T* w, const T* dy, T* dx) {
  std::vector<double> total(s.N * s.C * s.H * s.W);
  for_each_product(s, [&](int64_t ix, int64_t iw, int64_t iy) { total[ix] += double{w[iw]} * double{dy[iy]}; });
  for (std::size_t i = 0; i < total.size(); ++i) dx[i] = static_cast<T>(total[i]);
}

template <class T>
void ReferenceFloat<T>::conv2d_backward_weight(const Conv2dShape& s, const T* x, const T* dy, T* dw, T* dbias) {
  std::vector<double> total(s.K * (s.C / s.groups) * s.R * s.S);
  for_each_product(s, [&](int64_t ix, int64_t iw, int64_t iy) { total[iw] += double{x[ix]} * double{dy[iy]}; });
  for (std::size_t i = 0; i < total.size(); ++i) dw[i] = static_cast<T>(total[i]);
  if (!dbias) return;
  const int64_t PQ = s.P() * s.Q();
  for (int64_t k = 0; k < s.K; ++k) {
    double sum = 0;
    for (int64_t n = 0; n < s.N; ++n) {
      for (int64_t pq = 0; pq < PQ; ++pq) sum += dy[(n * s.K + k) * PQ + pq];
    }
    dbias[k] = static_cast<T>(sum);
  }
}

template <class T>
void ReferenceFloat<T>::conv2d_max_pool2d(const Conv2dMaxPool2dShape& s, const T* x, const T* w, const T* bias, T* y,
                                          uint8_t* picked) {
  const int64_t H = s.conv.P(), W = s.conv.Q(), Q = s.Q(), windows = s.conv.N * s.conv.K * s.P() * Q;
  std::vector<T> convolved(s.conv.N * s.conv.K * H * W);
  std::vector<int64_t> indices(windows);
  conv2d(s.conv, x, w, bias, convolved.data());
  max_pool2d(s.pool(), convolved.data(), y, indices.data());
  for (int64_t i = 0; picked && i < windows; ++i) {
    const int64_t h = indices[i] / W, at = indices[i] % W, p = i / Q % s.P(), q = i % Q;
    picked[i] = static_cast<uint8_t>((h - p * s.R) * s.S + at - q * s.S);
  }
  if (s.activation != Activation::none) this->unary(unary_of(s.activation), windows, y, y);
}

template <class T>
void ReferenceFloat<T>::conv2d_max_pool2d_backward(const Conv2dMaxPool2dShape& s, const T* x, const T* w, const T* y,
                                                   const uint8_t* picked, const T* dy, T* dx, T* dw, T* dbias) {
  const int64_t H = s.conv.P(), W = s.conv.Q(), P = s.P(), Q = s.Q(), windows = s.conv.N * s.conv.K * P * Q;
  std::vector<T> pooled(dy, dy + windows), convolved(s.conv.N * s.conv.K * H * W);  // the gradients by these
  if (s.activation != Activation::none) unary_backward(unary_of(s.activation), windows, y, dy, pooled.data());
  for (int64_t i = 0; i < windows; ++i) {
    const int64_t plane = i / Q / P, place = picked ? picked[i] : 0;
    const int64_t h = i / Q % P * s.R + place / s.S, at = i % Q * s.S + place % s.S;
    convolved[(plane * H + h) * W + at] = pooled[i];
  }
  if (dx) conv2d_backward_input(s.conv, w, convolved.data(), dx);
  std::vector<T> unwanted(dw ? 0 : s.conv.K * (s.conv.C / s.conv.groups) * s.conv.R * s.conv.S);
  if (dw || dbias) conv2d_backward_weight(s.conv, x, convolved.data(), dw ? dw : unwanted.data(), dbias);
}

}  // namespace tern::kernels
