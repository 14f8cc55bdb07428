#pragma once

#include <tern/kernels/reference/reference.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace tern::kernels {

/// Row i of matrix b: its scores, and which of its weights are dropped.
template <class T>
class AttentionRow {
 public:
  AttentionRow(const AttentionShape& s, PhiloxState state, const T* q, const T* k, const T* bias, int64_t b, int64_t i)
      : s_(s), state_(state), row_(b * s.L + i) {
    const int64_t at = b / s.heads * s.bias_outer + b % s.heads * s.bias_inner + i * s.bias_row;
    for (int64_t j = 0; j < (s.is_causal ? std::min(s.S, i + 1) : s.S); ++j) {
      double total = 0;
      for (int64_t e = 0; e < s.E; ++e) {
        total += static_cast<double>(q[row_ * s.E + e]) * static_cast<double>(k[(b * s.S + j) * s.E + e]);
      }
      scores.push_back(s.scale * total + (bias ? static_cast<double>(bias[at + j * s.bias_column]) : 0));
    }
  }

  double dropped(int64_t j, double x) const {
    if (s_.dropout_p == 0) return x;
    const auto draw = static_cast<std::uint64_t>(row_ * s_.row_draws() + j);
    return uniform_from_bits(philox_bits(state_, draw)) < s_.dropout_p ? 0 : x / (1 - s_.dropout_p);
  }

  std::vector<double> scores;  ///< of the columns that may take part

 private:
  const AttentionShape& s_;
  PhiloxState state_;
  int64_t row_;
};

template <class T>
void ReferenceFloat<T>::attention(const AttentionShape& s, PhiloxState state, const T* q, const T* k, const T* v,
                                  const T* bias, T* y, T* log_sum) {
  for (int64_t row = 0; row < s.B * s.L; ++row) {
    const int64_t b = row / s.L;
    const AttentionRow<T> r(s, state, q, k, bias, b, row % s.L);
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (const double score : r.scores) largest = std::max(score, largest);
    for (const double score : r.scores) sum += std::exp(score - largest);
    log_sum[row] = static_cast<T>(largest + std::log(sum));
    std::vector<double> total(s.V);
    for (std::size_t j = 0; j < r.scores.size(); ++j) {
      const double p = r.dropped(j, std::exp(r.scores[j] - largest) / sum);
      for (int64_t e = 0; e < s.V; ++e) total[e] += p * static_cast<double>(v[(b * s.S + j) * s.V + e]);
    }
    std::transform(total.begin(), total.end(), y + row * s.V, [](double x) { return static_cast<T>(x); });
  }
}

template <class T>
void ReferenceFloat<T>::attention_backward(const AttentionShape& s, PhiloxState state, const T* q, const T* k,
                                           const T* v, const T* bias, const T* y, const T* log_sum, const T* dy, T* dq,
                                           T* dk, T* dv) {
  std::vector<double> sum_k(s.B * s.S * s.E), sum_v(s.B * s.S * s.V);
  for (int64_t row = 0; row < s.B * s.L; ++row) {
    const int64_t b = row / s.L;
    const AttentionRow<T> r(s, state, q, k, bias, b, row % s.L);
    double mean = 0;  // of the gradients by the row's weights
    for (int64_t e = 0; e < s.V; ++e) mean += static_cast<double>(dy[row * s.V + e]) * y[row * s.V + e];
    std::vector<double> sum_q(s.E);
    for (std::size_t j = 0; j < r.scores.size(); ++j) {
      const int64_t column = b * s.S + static_cast<int64_t>(j);
      const double p = std::exp(r.scores[j] - static_cast<double>(log_sum[row]));
      double dp = 0;
      for (int64_t e = 0; e < s.V; ++e) {
        dp += static_cast<double>(dy[row * s.V + e]) * v[column * s.V + e];
        sum_v[column * s.V + e] += r.dropped(j, p) * dy[row * s.V + e];
      }
      const double ds = s.scale * p * (r.dropped(j, dp) - mean);
      for (int64_t e = 0; e < s.E; ++e) {
        sum_q[e] += ds * k[column * s.E + e];
        sum_k[column * s.E + e] += ds * q[row * s.E + e];
      }
    }
    std::transform(sum_q.begin(), sum_q.end(), dq + row * s.E, [](double x) { return static_cast<T>(x); });
  }
  std::transform(sum_k.begin(), sum_k.end(), dk, [](double x) { return static_cast<T>(x); });
  std::transform(sum_v.begin(), sum_v.end(), dv, [](double x) { return static_cast<T>(x); });
}

}  // namespace tern::kernels
