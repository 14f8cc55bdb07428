#pragma once

#include <tern/kernels/reference/reference.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace tern::kernels {

template <class T>
void ReferenceFloat<T>::cross_entropy(const CrossEntropyShape& s, const T* logits, const int64_t* target,
                                      const T* weight, T* log_prob, T* norm, T* loss) {
  const double e = s.label_smoothing;
  double total = 0, divisor = 0;
  for (int64_t n = 0; n < s.N; ++n) {
    const T* z = logits + n * s.C;
    double largest = -INFINITY, sum = 0, smooth = 0;
    for (int64_t c = 0; c < s.C; ++c) largest = std::max<double>(largest, z[c]);
    for (int64_t c = 0; c < s.C; ++c) sum += std::exp(z[c] - largest);
    const double log_sum = std::log(sum);
    const auto log_prob_of = [&](int64_t c) { return z[c] - largest - log_sum; };
    for (int64_t c = 0; c < s.C; ++c) log_prob[n * s.C + c] = static_cast<T>(log_prob_of(c));

    const int64_t t = target[n];
    double l = 0;
    if (t != s.ignore_index) {
      const double w = weight ? weight[t] : 1;
      l = -(1 - e) * w * log_prob_of(t);
      if (e > 0) {
        for (int64_t c = 0; c < s.C; ++c) smooth += (weight ? weight[c] : 1) * log_prob_of(c);
        l -= e / s.C * smooth;
      }
      divisor += w;
    }
    if (s.reduction == Reduction::none) loss[n] = static_cast<T>(l);
    total += l;
  }
  if (s.reduction != Reduction::mean) divisor = 1;
  *norm = static_cast<T>(divisor);
  if (s.reduction != Reduction::none) *loss = static_cast<T>(total / divisor);
}

template <class T>
void ReferenceFloat<T>::cross_entropy_backward(const CrossEntropyShape& s, const T* log_prob, const int64_t* target,
                                               const T* weight, const T* norm, const T* dloss, T* dlogits) {
  const double e = s.label_smoothing;
  double sum_w = 0;
  for (int64_t c = 0; c < s.C; ++c) sum_w += weight ? weight[c] : 1;
  for (int64_t n = 0; n < s.N; ++n) {
    const int64_t t = target[n];
    const double d = (s.reduction == Reduction::none ? dloss[n] : *dloss) / static_cast<double>(*norm);
    for (int64_t c = 0; c < s.C; ++c) {
      double g = 0;
      if (t != s.ignore_index) {
        const double prob = std::exp(static_cast<double>(log_prob[n * s.C + c]));
        const double w_t = weight ? weight[t] : 1, w_c = weight ? weight[c] : 1;
        g = d * ((1 - e) * w_t * (prob - (c == t)) + e / s.C * (sum_w * prob - w_c));
      }
      dlogits[n * s.C + c] = static_cast<T>(g);
    }
  }
}

template <class T>
void ReferenceFloat<T>::cross_entropy(const CrossEntropyShape& s, const T* logits, const int64_t* target,
                                      const T* weight, T* loss, T* dlogits) {
  const double e = s.label_smoothing;
  const auto weight_of = [&](int64_t c) { return weight ? static_cast<double>(weight[c]) : 1; };
  double divisor = 1, sum_w = 0, total = 0;
  if (s.reduction == Reduction::mean) {
    divisor = 0;
    for (int64_t n = 0; n < s.N; ++n) divisor += target[n] == s.ignore_index ? 0 : weight_of(target[n]);
  }
  for (int64_t c = 0; c < s.C; ++c) sum_w += weight_of(c);

  std::vector<double> prob(s.C);
  for (int64_t n = 0; n < s.N; ++n) {
    const T* z = logits + n * s.C;
    const int64_t t = target[n];
    double largest = -INFINITY, sum = 0, l = 0;
    if (t != s.ignore_index) {
      for (int64_t c = 0; c < s.C; ++c) largest = std::max<double>(largest, z[c]);
      for (int64_t c = 0; c < s.C; ++c) sum += prob[c] = std::exp(z[c] - largest);
      const double log_sum = std::log(sum);
      l = -(1 - e) * weight_of(t) * (z[t] - largest - log_sum);
      double smooth = 0;
      for (int64_t c = 0; e > 0 && c < s.C; ++c) smooth += weight_of(c) * (z[c] - largest - log_sum);
      l -= e / s.C * smooth;
    }
    if (s.reduction == Reduction::none) loss[n] = static_cast<T>(l);
    total += l;
    for (int64_t c = 0; dlogits && c < s.C; ++c) {
      double g = 0;
      if (t != s.ignore_index) {
        const double p = prob[c] / sum;
        g = ((1 - e) * weight_of(t) * (p - (c == t)) + e / s.C * (sum_w * p - weight_of(c))) / divisor;
      }
      dlogits[n * s.C + c] = static_cast<T>(g);
    }
  }
  if (s.reduction != Reduction::none) *loss = static_cast<T>(total / divisor);
}

}  // namespace tern::kernels
