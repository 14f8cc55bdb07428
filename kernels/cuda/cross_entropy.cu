/// Log-softmax, negative log-likelihood and the gradient of both in one.
///
/// A warp computes one row [C] of the logits. The lanes run once over the row for its maximum and the sum of
/// exponentials together: when the maximum rises, the sum so far is scaled to it (normalizer.cuh). Five shuffles join the lanes, a second walk writes the
/// gradient. That needs the divisor of a mean, the sum of all targets' weights: each block adds it up for itself, in
/// one order, or for very many rows one block does so before. The last block sums what the blocks have summed of the
/// losses, in their order. A target that is neither a class nor ignore_index makes its row NaN: the host cannot know.
///
/// Bytes: the logits twice (the second time from the cache) and the gradient once, the targets once a block.
/// Arithmetic: two exponentials for each logit. For few classes most lanes are idle, and the limit is the launch.
/// Losses are summed in double, so that their sum may be larger than what float can be.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/normalizer.cuh>

#include <cmath>

namespace tern::kernels {
namespace {

using namespace cuda;

constexpr int rows_per_block = block_size / warp_threads;

/// CrossEntropyShape with its numbers in T.
template <class T>
struct Settings {
  int64_t N, C, ignore_index;
  T smoothing;
  bool mean, of_log_probs;

  explicit Settings(const CrossEntropyShape& s)
      : N(s.N),
        C(s.C),
        ignore_index(s.ignore_index),
        smoothing(static_cast<T>(s.label_smoothing)),
        mean(s.reduction == Reduction::mean),
        of_log_probs(s.of_log_probs) {}
};

/// Rows whose targets' weights every block adds up for itself.
constexpr int64_t most_rows_at_once = 4096;

/// What a mean divides by, to all of the block's threads.
template <class T>
__device__ double sum_of_weights(const Settings<T>& s, const int64_t* target, const T* weight) {
  double sum = 0;
  for (int64_t n = threadIdx.x; n < s.N; n += block_size) {
    const int64_t t = target[n];
    if (t == s.ignore_index) continue;
    sum += t < 0 || t >= s.C ? std::numeric_limits<double>::quiet_NaN() : weight ? static_cast<double>(weight[t]) : 1.0;
  }
  return block_sum<block_size>(sum);
}

template <class T>
__global__ void __launch_bounds__(block_size)
    total_weight(Settings<T> s, const int64_t* __restrict__ target, const T* __restrict__ weight, double* divisor) {
  wait_for_previous_kernels();
  const double sum = sum_of_weights(s, target, weight);
  if (threadIdx.x == 0) *divisor = sum;
}

/// partial is a sum of losses for each block; null where loss is [N]. divisor may be null.
template <class T>
__global__ void __launch_bounds__(block_size, 3)
    losses_and_gradients(Settings<T> s, const T* __restrict__ logits, const int64_t* __restrict__ target,
                         const T* __restrict__ weight, const double* __restrict__ divisor, double* partial,
                         unsigned* counter, T* __restrict__ loss, T* __restrict__ dlogits) {
  wait_for_previous_kernels();
  const int lane = threadIdx.x % warp_threads;
  const double norm = !s.mean ? 1 : divisor ? *divisor : sum_of_weights(s, target, weight);
  const T d = static_cast<T>(1 / norm);
  double total = 0;
  for (int64_t n = int64_t{blockIdx.x} * rows_per_block + threadIdx.x / warp_threads; n < s.N;
       n += int64_t{gridDim.x} * rows_per_block) {
    const T* const row = logits + n * s.C;
    T* const gradient = dlogits ? dlogits + n * s.C : nullptr;
    const int64_t t = target[n];
    double l = 0;
    if (t < 0 || t >= s.C || t == s.ignore_index) {
      const T of_all = t == s.ignore_index ? T{0} : std::numeric_limits<T>::quiet_NaN();
      for (int64_t c = lane; gradient && c < s.C; c += warp_threads) gradient[c] = of_all;
      l = static_cast<double>(of_all);
    } else {
      Normalizer<T> all;
      for (int64_t c = lane; !s.of_log_probs && c < s.C; c += warp_threads) all.join(row[c], 1);
      all.join_warp();
      if (s.of_log_probs) all = {0, 1};  // they are what they are
      const T log_sum = std::log(all.sum), w_t = weight ? weight[t] : T{1};
      // A loss may be too large for T where the mean is not.
      const auto log_prob = [&](int64_t c) { return static_cast<double>(row[c]) - all.largest - log_sum; };
      l = -(1 - s.smoothing) * static_cast<double>(w_t) * log_prob(t);
      T sum_w = static_cast<T>(s.C);
      if (s.smoothing > 0) {
        double smooth = 0;
        T sum = 0;
        for (int64_t c = lane; c < s.C; c += warp_threads) {
          const T w_c = weight ? weight[c] : T{1};
          smooth += w_c * log_prob(c);
          sum += w_c;
        }
        if (weight) sum_w = warp_sum(sum);
        l -= s.smoothing / static_cast<double>(s.C) * warp_sum(smooth);
      }
      for (int64_t c = lane; gradient && c < s.C; c += warp_threads) {
        const T prob = s.of_log_probs ? T{0} : std::exp(row[c] - all.largest - log_sum);
        T g = (1 - s.smoothing) * (w_t * prob - (c == t ? w_t : T{0}));
        if (s.smoothing > 0) {
          g += s.smoothing / static_cast<T>(s.C) * (sum_w * prob - (weight ? weight[c] : T{1}));
        }
        gradient[c] = d * g;
      }
    }
    if (partial == nullptr) {
      if (lane == 0) loss[n] = static_cast<T>(l);
    } else if (lane == 0) {
      total += l;
    }
  }
  if (partial == nullptr) return;
  total = block_sum<block_size>(total);
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
  if (!is_last_block(counter, gridDim.x)) return;
  total = 0;
  for (unsigned i = threadIdx.x; i < gridDim.x; i += block_size) total += partial[i];
  total = block_sum<block_size>(total);
  if (threadIdx.x == 0) *loss = static_cast<T>(total / norm);
}

}  // namespace

template <class T>
void CudaFloat<T>::cross_entropy(const CrossEntropyShape& s, const T* logits, const int64_t* target, const T* weight,
                                 T* loss, T* dlogits) {
  const DeviceGuard guard(device_);
  const Settings<T> settings(s);
  const bool each = s.reduction == Reduction::none, long_mean = settings.mean && s.N > most_rows_at_once;
  const unsigned blocks = std::max(grid_for(s.N, rows_per_block), 1U);  // the sum over no rows is to be written, too
  const Scratch<double> divisor(long_mean ? 1 : 0), partial(each ? 0 : blocks);
  if (long_mean) launch(total_weight<T>, 1, block_size, 0, current_stream(), settings, target, weight, divisor.data());
  launch(losses_and_gradients<T>, blocks, block_size, 0, current_stream(), settings, logits, target, weight,
         divisor.data(), partial.data(), each ? nullptr : counters(), loss, dlogits);
}

template void CudaFloat<float>::cross_entropy(const CrossEntropyShape&, const float*, const int64_t*, const float*,
                                              float*, float*);
template void CudaFloat<double>::cross_entropy(const CrossEntropyShape&, const double*, const int64_t*, const double*,
                                               double*, double*);

}  // namespace tern::kernels
