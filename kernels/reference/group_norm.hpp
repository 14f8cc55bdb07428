#pragma once

#include <tern/kernels/reference/reference.hpp>

#include <cmath>
#include <vector>

namespace tern::kernels {

/// Calls f(i, c) for the elements of a row: where each lies, and the place of its weight.
template <class F>
void for_each_in_row(const GroupNormShape& s, int64_t row, F f) {
  for (int64_t j = 0; j < s.n(); ++j) f(row * s.n() + j, row % s.groups * s.channels + j / s.run);
}

template <class T>
void ReferenceFloat<T>::group_norm(const GroupNormShape& s, const T* x, const T* weight, const T* bias, double* mean,
                                   double* invstd, T* y) {
  const double count = static_cast<double>(s.n());
  for (int64_t row = 0; row < s.rows(); ++row) {
    double sum = 0, squares = 0;
    for_each_in_row(s, row, [&](int64_t i, int64_t) { sum += x[i]; });
    const double mu = s.centred ? sum / count : 0;
    for_each_in_row(s, row, [&](int64_t i, int64_t) { squares += (x[i] - mu) * (x[i] - mu); });
    const double inv = 1 / std::sqrt(squares / count + s.eps);
    for_each_in_row(s, row, [&](int64_t i, int64_t c) {
      y[i] = static_cast<T>((x[i] - mu) * inv * (weight ? weight[c] : 1) + (bias ? bias[c] : 0));
    });
    mean[row] = mu;
    invstd[row] = inv;
  }
}

template <class T>
void ReferenceFloat<T>::group_norm_backward(const GroupNormShape& s, const T* x, const T* weight, const double* mean,
                                            const double* invstd, const T* dy, T* dx, T* dweight, T* dbias) {
  const double count = static_cast<double>(s.n());
  std::vector<double> of_weight(s.groups * s.channels), of_bias(s.groups * s.channels);
  for (int64_t row = 0; row < s.rows(); ++row) {
    const auto xhat = [&](int64_t i) { return (x[i] - mean[row]) * invstd[row]; };
    const auto g = [&](int64_t i, int64_t c) { return static_cast<double>(dy[i]) * (weight ? weight[c] : 1); };
    double sum = 0, slope = 0;
    for_each_in_row(s, row, [&](int64_t i, int64_t c) {
      of_weight[c] += dy[i] * xhat(i);
      of_bias[c] += dy[i];
      sum += g(i, c);
      slope += g(i, c) * xhat(i);
    });
    if (!dx) continue;
    // The mean and the variance depend on x as well, which takes g's mean and its slope along xhat away.
    const double mean_g = s.centred ? sum / count : 0;
    for_each_in_row(s, row, [&](int64_t i, int64_t c) {
      dx[i] = static_cast<T>((g(i, c) - mean_g - xhat(i) * (slope / count)) * invstd[row]);
    });
  }
  for (std::size_t c = 0; c < of_weight.size(); ++c) {
    if (dweight) dweight[c] = static_cast<T>(of_weight[c]);
    if (dbias) dbias[c] = static_cast<T>(of_bias[c]);
  }
}

}  // namespace tern::kernels
