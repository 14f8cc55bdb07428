/// Attention by blocks of rows, whose scores stay in the cache: 4 B L S E operations forward, two and a half times as
/// many backward, where the scores are computed again rather than read. Rabe, Staats, "Self-attention does not need
/// O(n^2) memory", 2021; Dao et al., "FlashAttention", 2022. A block has all columns of its rows, so that no row's
/// maximum has to be corrected; without a mask above the diagonal, only those that its last row takes part in. Threads
/// share blocks forward, and backward the matrices of the batch, over whose blocks dk and dv are summed in order.

#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/memory.hpp>
#include <tern/kernels/cpu/simd.hpp>
#include <tern/kernels/cpu/threads.hpp>

#include <cblas.h>

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tern/kernels/cpu/attention.cpp"
#include <hwy/foreach_target.h>  // before the others

#include <hwy/highway.h>

#include <tern/kernels/cpu/softmax-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace tern::kernels {
namespace HWY_NAMESPACE {
namespace {

/// g = weight * (g - mean): the gradient by scores from that by their softmax.
void score_gradient(int64_t n, const float* weight, float mean, float* g) {
  const D d;
  const int64_t lanes = hn::Lanes(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::Mul(hn::LoadU(d, weight + i), hn::Sub(hn::LoadU(d, g + i), hn::Set(d, mean))), d, g + i);
  }
  for (; i < n; ++i) g[i] = weight[i] * (g[i] - mean);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tern::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tern::kernels {

HWY_EXPORT(exponentials);
HWY_EXPORT(softmax);
HWY_EXPORT(score_gradient);

namespace {

/// Rows whose scores take 128 KiB, but not so few that products would be slow, nor so many that there are no columns to
/// leave out.
int64_t block_rows(const AttentionShape& s) {
  return std::min(s.L, std::clamp<int64_t>((1 << 15) / std::max<int64_t>(1, s.S), 32, s.is_causal ? 64 : 128));
}

/// c = alpha a b + beta c, of [m, k], [k, n] and [m, n]. beta is 0 or 1.
void gemm(CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b, int64_t m, int64_t n, int64_t k, float alpha,
          const float* a, int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    for (int64_t i = 0; beta == 0 && i < m; ++i) std::fill_n(c + i * ldc, n, 0.0f);
    return;
  }
  const auto size = [](int64_t v) { return static_cast<blasint>(v); };
  cblas_sgemm(CblasRowMajor, trans_a, trans_b, size(m), size(n), size(k), alpha, a, size(lda), b, size(ldb), beta, c,
              size(ldc));
}

/// Rows [first, first + rows) of matrix b, and the columns before `columns`, which are all that they take part in.
struct Rows {
  int64_t b, first, rows, columns;
};

Rows rows_at(const AttentionShape& s, int64_t b, int64_t first) {
  const int64_t rows = std::min(block_rows(s), s.L - first);
  return {b, first, rows, s.is_causal ? std::min(s.S, first + rows) : s.S};
}

/// Columns that row r of the block takes part in.
int64_t columns_of(const AttentionShape& s, const Rows& at, int64_t r) {
  return s.is_causal ? std::min(at.columns, at.first + r + 1) : at.columns;
}

/// scores [rows, columns] = scale q k' + bias. Those that a row takes no part in are left as the product has them.
void compute_scores(const AttentionShape& s, const Rows& at, const float* q, const float* k, const float* bias,
                    float* scores) {
  gemm(CblasNoTrans, CblasTrans, at.rows, at.columns, s.E, static_cast<float>(s.scale),
       q + (at.b * s.L + at.first) * s.E, s.E, k + at.b * s.S * s.E, s.E, 0, scores, at.columns);
  if (!bias) return;
  bias += at.b / s.heads * s.bias_outer + at.b % s.heads * s.bias_inner;
  for (int64_t r = 0; r < at.rows; ++r) {
    const float* const from = bias + (at.first + r) * s.bias_row;
    float* const row = scores + r * at.columns;
    const int64_t n = columns_of(s, at, r), step = s.bias_column;
    if (step == 1) {
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) row[j] += from[j];
    } else {
      for (int64_t j = 0; j < n; ++j) row[j] += from[j * step];
    }
  }
}

/// Drops weights of the block's rows, or gradients by them.
void drop(CpuFloat32& kernels, const AttentionShape& s, PhiloxState state, const Rows& at, const float* x, float* y) {
  for (int64_t r = 0; r < at.rows; ++r) {
    const auto row = static_cast<std::uint64_t>(at.b * s.L + at.first + r);
    kernels.dropout({.n = at.columns, .p = s.dropout_p},
                    {state.seed, state.offset + row * (static_cast<std::uint64_t>(s.row_draws()) / 4)},
                    x + r * at.columns, y + r * at.columns);
  }
}

}  // namespace

void CpuFloat32::attention(const AttentionShape& s, PhiloxState state, const float* q, const float* k, const float* v,
                           const float* bias, float* y, float* log_sum) {
  if (s.B == 0 || s.L == 0) return;
  const int64_t blocks = (s.L + block_rows(s) - 1) / block_rows(s);
  const auto softmax_of = HWY_DYNAMIC_DISPATCH(softmax);
  parallel_for(s.B * blocks, 1, [&](int64_t begin, int64_t end) {
    const Scratch<float> scores(block_rows(s) * s.S);
    for (int64_t i = begin; i < end; ++i) {
      const Rows at = rows_at(s, i / blocks, i % blocks * block_rows(s));
      compute_scores(s, at, q, k, bias, scores.data());
      for (int64_t r = 0; r < at.rows; ++r) {
        float* const row = scores.data() + r * at.columns;
        const int64_t n = columns_of(s, at, r);
        log_sum[at.b * s.L + at.first + r] = softmax_of(n, row, row);
        std::fill(row + n, row + at.columns, 0.0f);
      }
      if (s.dropout_p != 0) drop(*this, s, state, at, scores.data(), scores.data());
      gemm(CblasNoTrans, CblasNoTrans, at.rows, s.V, at.columns, 1, scores.data(), at.columns, v + at.b * s.S * s.V,
           s.V, 0, y + (at.b * s.L + at.first) * s.V, s.V);
    }
  });
}

void CpuFloat32::attention_backward(const AttentionShape& s, PhiloxState state, const float* q, const float* k,
                                    const float* v, const float* bias, const float* y, const float* log_sum,
                                    const float* dy, float* dq, float* dk, float* dv) {
  const auto exponentials_of = HWY_DYNAMIC_DISPATCH(exponentials);
  const auto gradient_of = HWY_DYNAMIC_DISPATCH(score_gradient);
  parallel_for(s.B, 1, [&](int64_t begin, int64_t end) {
    const int64_t size = block_rows(s) * s.S;
    const Scratch<float> weights(size), gradients(size), dropped(s.dropout_p != 0 ? size : 0);
    for (int64_t b = begin; b < end; ++b) {
      std::fill_n(dk + b * s.S * s.E, s.S * s.E, 0.0f);
      std::fill_n(dv + b * s.S * s.V, s.S * s.V, 0.0f);
      for (int64_t first = 0; first < s.L; first += block_rows(s)) {
        const Rows at = rows_at(s, b, first);
        const int64_t row0 = b * s.L + first, columns = at.columns;
        float *const p = weights.data(), *const g = gradients.data();
        compute_scores(s, at, q, k, bias, p);
        for (int64_t r = 0; r < at.rows; ++r) {
          float* const row = p + r * columns;
          const int64_t n = columns_of(s, at, r);
          exponentials_of(n, log_sum[row0 + r], row, row);
          std::fill(row + n, row + columns, 0.0f);
        }
        const float* used = p;
        if (s.dropout_p != 0) {
          drop(*this, s, state, at, p, dropped.data());
          used = dropped.data();
        }
        gemm(CblasTrans, CblasNoTrans, columns, s.V, at.rows, 1, used, columns, dy + row0 * s.V, s.V, 1,
             dv + b * s.S * s.V, s.V);
        gemm(CblasNoTrans, CblasTrans, at.rows, columns, s.V, 1, dy + row0 * s.V, s.V, v + b * s.S * s.V, s.V, 0, g,
             columns);
        if (s.dropout_p != 0) drop(*this, s, state, at, g, g);
        for (int64_t r = 0; r < at.rows; ++r) {
          const float *const of_y = y + (row0 + r) * s.V, *const of_dy = dy + (row0 + r) * s.V;
          float mean = 0;  // of the gradients by the row's weights
#pragma omp simd reduction(+ : mean)
          for (int64_t e = 0; e < s.V; ++e) mean += of_y[e] * of_dy[e];
          float* const row = g + r * columns;
          const int64_t n = columns_of(s, at, r);
          gradient_of(n, p + r * columns, mean, row);
          std::fill(row + n, row + columns, 0.0f);
        }
        const float scale = static_cast<float>(s.scale);
        gemm(CblasNoTrans, CblasNoTrans, at.rows, s.E, columns, scale, g, columns, k + b * s.S * s.E, s.E, 0,
             dq + row0 * s.E, s.E);
        gemm(CblasTrans, CblasNoTrans, columns, s.E, at.rows, scale, g, columns, q + row0 * s.E, s.E, 1,
             dk + b * s.S * s.E, s.E);
      }
    }
  });
}

}  // namespace tern::kernels
#endif
