#pragma once

#include <tern/kernels/reference/reference.hpp>
#include <tern/kernels/reference/pool2d.hpp>
#include <tern/kernels/reference/reference.hpp>

#include <cmath>
#include <vector>

namespace tern::kernels {

/// Calls f(i) for every element of channel c.
template <class F>
void for_each_in_channel(const BatchNorm2dShape& s, int64_t c, F f) {
  for (int64_t n = 0; n < s.N; ++n) {
    for (int64_t hw = 0; hw < s.HW; ++hw) f((n * s.C + c) * s.HW + hw);
  }
}

/// y = activation(y + residual), in the steps of the ops that it stands for. residual may be null.
template <class T>
void add_and_activate(ReferenceFloat<T>& kernels, int64_t n, Activation activation, const T* residual, T* y) {
  for (int64_t i = 0; residual && i < n; ++i) y[i] += residual[i];
  if (activation != Activation::none) kernels.unary(unary_of(activation), n, y, y);
}

/// The gradient before the activation, from the one after it.
template <class T>
std::vector<T> before_activation(ReferenceFloat<T>& kernels, int64_t n, Activation activation, const T* y,
                                 const T* dy) {
  std::vector<T> before(dy, dy + n);
  if (activation != Activation::none) kernels.unary_backward(unary_of(activation), n, y, dy, before.data());
  return before;
}

template <class T>
void ReferenceFloat<T>::batch_norm2d(const BatchNorm2dShape& s, double momentum, const T* x, const T* weight,
                                     const T* bias, const T* residual, T* running_mean, T* running_var,
                                     int64_t* num_batches, T* mean, T* invstd, T* y) {
  const double count = static_cast<double>(s.N * s.HW);
  if (num_batches) ++*num_batches;
  if (std::isnan(momentum)) momentum = 1 / static_cast<double>(*num_batches);
  for (int64_t c = 0; c < s.C; ++c) {
    double sum = 0, squares = 0;
    for_each_in_channel(s, c, [&](int64_t i) { sum += x[i]; });
    const double mu = sum / count;
    for_each_in_channel(s, c, [&](int64_t i) { squares += (x[i] - mu) * (x[i] - mu); });
    const double inv = 1 / std::sqrt(squares / count + s.eps);
    const double gain = weight ? weight[c] : 1, shift = bias ? bias[c] : 0;
    for_each_in_channel(s, c, [&](int64_t i) { y[i] = static_cast<T>((x[i] - mu) * inv * gain + shift); });
    mean[c] = static_cast<T>(mu);
    invstd[c] = static_cast<T>(inv);
    if (count == 0) continue;
    if (running_mean) running_mean[c] = static_cast<T>((1 - momentum) * running_mean[c] + momentum * mu);
    if (running_var) {
      running_var[c] = static_cast<T>((1 - momentum) * running_var[c] + momentum * (squares / (count - 1)));
    }
  }
  add_and_activate(*this, s.N * s.C * s.HW, s.activation, residual, y);
}

template <class T>
void ReferenceFloat<T>::batch_norm2d_eval(const BatchNorm2dShape& s, const T* x, const T* weight, const T* bias,
                                          const T* residual, const T* running_mean, const T* running_var, T* invstd,
                                          T* y) {
  for (int64_t c = 0; c < s.C; ++c) {
    const double mu = running_mean[c], inv = 1 / std::sqrt(running_var[c] + s.eps);
    const double gain = weight ? weight[c] : 1, shift = bias ? bias[c] : 0;
    for_each_in_channel(s, c, [&](int64_t i) { y[i] = static_cast<T>((x[i] - mu) * inv * gain + shift); });
    invstd[c] = static_cast<T>(inv);
  }
  add_and_activate(*this, s.N * s.C * s.HW, s.activation, residual, y);
}

template <class T>
void ReferenceFloat<T>::batch_norm2d_backward(const BatchNorm2dShape& s, bool training, const T* x, const T* weight,
                                              const T* mean, const T* invstd, const T* y, const T* dy, T* dx,
                                              T* dweight, T* dbias, T* dresidual) {
  const double count = static_cast<double>(s.N * s.HW);
  const std::vector<T> g = before_activation(*this, s.N * s.C * s.HW, s.activation, y, dy);
  for (int64_t c = 0; c < s.C; ++c) {
    const double mu = mean[c], inv = invstd[c], gain = weight ? weight[c] : 1;
    double sum_dy = 0, sum_dy_xhat = 0;
    for_each_in_channel(s, c, [&](int64_t i) {
      sum_dy += g[i];
      sum_dy_xhat += g[i] * ((x[i] - mu) * inv);
    });
    if (dx) {
      // In training the mean and the variance depend on x as well, which takes dy's mean and its slope along xhat away.
      const double mean_dy = training ? sum_dy / count : 0, slope = training ? sum_dy_xhat / count : 0;
      for_each_in_channel(s, c, [&](int64_t i) {
        const double xhat = (x[i] - mu) * inv;
        dx[i] = static_cast<T>((g[i] - mean_dy - xhat * slope) * inv * gain);
      });
    }
    if (dweight) dweight[c] = static_cast<T>(sum_dy_xhat);
    if (dbias) dbias[c] = static_cast<T>(sum_dy);
  }
  if (dresidual) std::copy(g.begin(), g.end(), dresidual);
}

template <class T>
void ReferenceFloat<T>::batch_norm2d_max_pool2d(const Pool2dShape& s, Activation activation, double eps,
                                                double momentum, const T* x, const T* weight, const T* bias,
                                                T* running_mean, T* running_var, int64_t* num_batches, T* mean,
                                                T* invstd, T* picked, T* y) {
  const int64_t HW = s.H * s.W, PQ = s.P() * s.Q();
  std::vector<T> normalized(s.N * s.C * HW);
  std::vector<int64_t> indices(s.N * s.C * PQ);
  batch_norm2d({s.N, s.C, HW, eps}, momentum, x, weight, bias, nullptr, running_mean, running_var, num_batches, mean,
               invstd, normalized.data());
  max_pool2d(s, normalized.data(), y, indices.data());
  for (int64_t i = 0; i < s.N * s.C * PQ; ++i) picked[i] = x[i / PQ * HW + indices[i]];
  add_and_activate<T>(*this, s.N * s.C * PQ, activation, nullptr, y);
}

template <class T>
void ReferenceFloat<T>::batch_norm2d_max_pool2d_backward(const Pool2dShape& s, Activation activation, const T* x,
                                                         const T* weight, const T* mean, const T* invstd,
                                                         const T* picked, const T* y, const T* dy, T* dx, T* dweight,
                                                         T* dbias) {
  std::vector<int64_t> indices(s.N * s.C * s.P() * s.Q(), -1);
  const std::vector<T> g = before_activation(*this, static_cast<int64_t>(indices.size()), activation, y, dy);
  for_each_window_element(s, [&](int64_t window, int64_t plane, int64_t at, int64_t) {
    const T v = x[plane * s.H * s.W + at], wanted = picked[window];
    if (indices[window] < 0 && (v == wanted || (v != v && wanted != wanted))) indices[window] = at;
  });
  std::vector<T> dnormalized(s.N * s.C * s.H * s.W);
  max_pool2d_backward(s, indices.data(), g.data(), dnormalized.data());
  batch_norm2d_backward({s.N, s.C, s.H * s.W}, true, x, weight, mean, invstd, nullptr, dnormalized.data(), dx, dweight,
                        dbias, nullptr);
}

}  // namespace tern::kernels
