/// Attention as two matrix products by cuBLAS and a kernel between them, with all B L S scores in memory: no fused
/// kernel that keeps tiles of them on the chip, as FlashAttention (Dao et al., 2022) does.
///
/// `softmax_rows`: a warp has a row of scores. Its lanes run over the row for the maximum and the sum of exponentials at
/// once (normalizer.cuh), are joined by five shuffles, and run over it again to write the weights in place. `gradient_rows`: a warp has a row of scores and of the gradients by its
/// weights; it sums y dy, then makes weights of the scores, and gradients by the scores of those by the weights, in place.
/// Columns that a row takes no part in are 0 in both.
///
/// Bytes: forward the scores twice, the second time from the cache, and written once; backward scores and gradients once
/// each way, y and dy once. Arithmetic: an exponential or two for each score, and a Philox block where weights are
/// dropped. The limit is bandwidth.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/normalizer.cuh>

#include <cmath>

namespace tern::kernels {
namespace {

using namespace cuda;

constexpr int rows_per_block = block_size / warp_threads;

/// AttentionShape and what each row needs of it, in T.
template <class T>
struct Rows {
  AttentionShape s;
  int64_t row_draws;
  T scale, kept_scale;
  std::uint32_t zeroed_below;
  Draws draws;

  Rows(const AttentionShape& shape, PhiloxState state)
      : s(shape),
        row_draws(shape.row_draws()),
        scale(static_cast<T>(shape.scale)),
        kept_scale(static_cast<T>(1 / (1 - shape.dropout_p))),
        zeroed_below(static_cast<std::uint32_t>(std::ceil(shape.dropout_p * 0x1p24))),
        draws(shape.dropout_p != 0 ? draws_from(state) : Draws{}) {}

  __device__ int64_t columns(int64_t row) const { return s.is_causal ? min(s.S, row % s.L + 1) : s.S; }

  __device__ const T* bias_of(const T* bias, int64_t row) const {
    const int64_t b = row / s.L;
    return bias ? bias + b / s.heads * s.bias_outer + b % s.heads * s.bias_inner + row % s.L * s.bias_row : nullptr;
  }

  __device__ T score(T product, const T* of_row, int64_t j) const {
    return scale * product + (of_row ? of_row[j * s.bias_column] : T{0});
  }

  __device__ T dropped(PhiloxState state, int64_t row, int64_t j, T x) const {
    if (zeroed_below == 0) return x;
    const PhiloxBlock block = philox(state.seed, state.offset + static_cast<std::uint64_t>(row * row_draws + j) / 4);
    // Which word is not known in advance, and an array that is indexed so would lie in memory.
    const std::uint32_t low = j % 2 == 0 ? block.word[0] : block.word[1], high = j % 2 == 0 ? block.word[2] : block.word[3];
    const std::uint32_t draw = j % 4 < 2 ? low : high;
    return draw >> 8 < zeroed_below ? T{0} : x * kept_scale;
  }
};

/// From products of q and k to weights.
template <class T>
__global__ void __launch_bounds__(block_size, 3)
    softmax_rows(Rows<T> rows, const T* __restrict__ bias, T* scores, T* __restrict__ log_sum) {
  wait_for_previous_kernels();
  constexpr T none = -std::numeric_limits<T>::infinity();
  const int lane = threadIdx.x % warp_threads;
  const PhiloxState state = rows.zeroed_below ? rows.draws.now() : PhiloxState{};
  for (int64_t row = int64_t{blockIdx.x} * rows_per_block + threadIdx.x / warp_threads; row < rows.s.B * rows.s.L;
       row += int64_t{gridDim.x} * rows_per_block) {
    T* const of_row = scores + row * rows.s.S;
    const T* const of_bias = rows.bias_of(bias, row);
    const int64_t n = rows.columns(row);
    Normalizer<T> all;
#pragma unroll 1
    for (int64_t j = lane; j < n; j += warp_threads) all.join(rows.score(of_row[j], of_bias, j), 1);
    all.join_warp();
    // Of a row without a finite score, 0 / 0 is NaN.
    const T divisor = 1 / all.sum, base = all.largest == none ? T{0} : all.largest;
#pragma unroll 1
    for (int64_t j = lane; j < rows.s.S; j += warp_threads) {
      of_row[j] = j < n ? rows.dropped(state, row, j, std::exp(rows.score(of_row[j], of_bias, j) - base) * divisor)
                        : T{0};
    }
    if (lane == 0) log_sum[row] = n > 0 && all.sum == 0 ? std::numeric_limits<T>::quiet_NaN() : all.largest + std::log(all.sum);
  }
}

/// From products of q and k to weights, and from products of dy and v to gradients by the former.
template <class T>
__global__ void __launch_bounds__(block_size)
    gradient_rows(Rows<T> rows, const T* __restrict__ bias, const T* __restrict__ y, const T* __restrict__ log_sum,
                  const T* __restrict__ dy, T* __restrict__ scores, T* __restrict__ gradients) {
  wait_for_previous_kernels();
  const int lane = threadIdx.x % warp_threads;
  const PhiloxState state = rows.zeroed_below ? rows.draws.now() : PhiloxState{};
  for (int64_t row = int64_t{blockIdx.x} * rows_per_block + threadIdx.x / warp_threads; row < rows.s.B * rows.s.L;
       row += int64_t{gridDim.x} * rows_per_block) {
    T mean = 0;  // of the gradients by the row's weights
    for (int64_t e = lane; e < rows.s.V; e += warp_threads) mean += y[row * rows.s.V + e] * dy[row * rows.s.V + e];
    mean = warp_sum(mean);
    T *const of_scores = scores + row * rows.s.S, *const of_gradients = gradients + row * rows.s.S;
    const T* const of_bias = rows.bias_of(bias, row);
    const T shift = log_sum[row];
    const int64_t n = rows.columns(row);
    for (int64_t j = lane; j < rows.s.S; j += warp_threads) {
      const T weight = j < n ? std::exp(rows.score(of_scores[j], of_bias, j) - shift) : T{0};
      const T by_weight = rows.dropped(state, row, j, of_gradients[j]);
      of_scores[j] = rows.dropped(state, row, j, weight);
      of_gradients[j] = j < n ? rows.scale * weight * (by_weight - mean) : T{0};
    }
  }
}

}  // namespace

template <class T>
void CudaFloat<T>::attention(const AttentionShape& s, PhiloxState state, const T* q, const T* k, const T* v,
                             const T* bias, T* y, T* log_sum) {
  const DeviceGuard guard(device_);
  const Scratch<T> scores(s.B * s.L * s.S);
  matmul({.batch = s.B, .m = s.L, .n = s.S, .k = s.E, .trans_b = true, .precision = s.precision}, q, k, scores.data());
  launch(softmax_rows<T>, grid_for(s.B * s.L, rows_per_block), block_size, 0, current_stream(), Rows<T>(s, state), bias,
         scores.data(), log_sum);
  matmul({.batch = s.B, .m = s.L, .n = s.V, .k = s.S, .precision = s.precision}, scores.data(), v, y);
}

template <class T>
void CudaFloat<T>::attention_backward(const AttentionShape& s, PhiloxState state, const T* q, const T* k, const T* v,
                                      const T* bias, const T* y, const T* log_sum, const T* dy, T* dq, T* dk, T* dv) {
  const DeviceGuard guard(device_);
  const Scratch<T> scores(s.B * s.L * s.S), gradients(s.B * s.L * s.S);
  matmul({.batch = s.B, .m = s.L, .n = s.S, .k = s.E, .trans_b = true, .precision = s.precision}, q, k, scores.data());
  matmul({.batch = s.B, .m = s.L, .n = s.S, .k = s.V, .trans_b = true, .precision = s.precision}, dy, v, gradients.data());
  launch(gradient_rows<T>, grid_for(s.B * s.L, rows_per_block), block_size, 0, current_stream(), Rows<T>(s, state),
         bias, y, log_sum, dy, scores.data(), gradients.data());
  matmul({.batch = s.B, .m = s.S, .n = s.V, .k = s.L, .trans_a = true, .precision = s.precision}, scores.data(), dy, dv);
  matmul({.batch = s.B, .m = s.L, .n = s.E, .k = s.S, .precision = s.precision}, gradients.data(), k, dq);
  matmul({.batch = s.B, .m = s.S, .n = s.E, .k = s.L, .trans_a = true, .precision = s.precision}, gradients.data(), q, dk);
}

template void CudaFloat<float>::attention(const AttentionShape&, PhiloxState, const float*, const float*, const float*,
                                          const float*, float*, float*);
template void CudaFloat<float>::attention_backward(const AttentionShape&, PhiloxState, const float*, const float*,
                                                   const float*, const float*, const float*, const float*, const float*,
                                                   float*, float*, float*);
template void CudaFloat<double>::attention(const AttentionShape&, PhiloxState, const double*, const double*,
                                           const double*, const double*, double*, double*);
template void CudaFloat<double>::attention_backward(const AttentionShape&, PhiloxState, const double*, const double*,
                                                    const double*, const double*, const double*, const double*,
                                                    const double*, double*, double*, double*);

}  // namespace tern::kernels
