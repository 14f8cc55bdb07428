#pragma once

#include <tern/kernels/reference/reference.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace tern::kernels {

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
      if (s.of_log_probs) {  // they are what they are, and no other has a part in one's gradient
        largest = 0, sum = 1;
        std::fill(prob.begin(), prob.end(), 0.0);
      }
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
        g = (1 - e) * (weight_of(t) * p - (c == t ? weight_of(t) : 0));
        if (e > 0) g += e / s.C * (sum_w * p - weight_of(c));
        g /= divisor;
      }
      dlogits[n * s.C + c] = static_cast<T>(g);
    }
  }
  if (s.reduction != Reduction::none) *loss = static_cast<T>(total / divisor);
}

}  // namespace tern::kernels
