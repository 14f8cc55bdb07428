/// Softmax of columns x[o, :, i], its logarithm, and their gradients.
///
/// Rows (inner = 1): a warp takes a row of up to 1024 elements, a block a longer one. The threads run over it for the
/// maximum, for the sum of exponentials, and to write y; backward for the sum of dy, times y unless it is a logarithm,
/// and to write dx. Other columns: a thread takes one, so that a warp reads 32 that lie beside each other.
///
/// Bytes: x and y once, x being in the cache after its first reading; backward y, dy and dx once. Arithmetic: two
/// exponentials an element. The limit is bandwidth.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/device.cuh>

#include <cmath>
#include <limits>
#include <type_traits>

namespace tern::kernels {
namespace {

using namespace cuda;

constexpr int longest_of_warp = 1024;  // elements of a row

/// Calls f(where a column begins, first) for each column of which this thread has the elements first, first + team, ...
/// Teams are single threads, warps or blocks.
template <int team, class I, class F>
__device__ void for_each_column(I outer, I n, I inner, const F& f) {
  constexpr I teams = team == 1 ? block_size : block_size / team;
  const I own = static_cast<I>(threadIdx.x) / team, first = static_cast<I>(threadIdx.x) % team;
  for (I c = static_cast<I>(blockIdx.x) * teams + own; c < outer * inner; c += static_cast<I>(gridDim.x) * teams) {
    const I o = team == 1 ? c / inner : c;
    f(team == 1 ? o * n * inner + (c - o * inner) : c * n, first);
  }
}

/// The largest over the team, in each of its threads. NaN is left to the sum.
template <int team, class T>
__device__ T team_max(T value) {
  if constexpr (team > 1) {
    for (int lanes = warp_threads / 2; lanes > 0; lanes /= 2) {
      value = std::fmax(value, __shfl_xor_sync(all_lanes, value, lanes));
    }
  }
  if constexpr (team > warp_threads) {
    __shared__ T of_warp[team / warp_threads];
    if (threadIdx.x % warp_threads == 0) of_warp[threadIdx.x / warp_threads] = value;
    __syncthreads();
    for (const T other : of_warp) value = std::fmax(value, other);
    __syncthreads();  // before the next row's
  }
  return value;
}

template <int team, class T>
__device__ T team_sum(T value) {
  if constexpr (team == 1) return value;
  if constexpr (team == warp_threads) return warp_sum(value);
  if constexpr (team == block_size) return block_sum<team>(value);
}

template <int team, bool log, class I, class T>
__global__ void __launch_bounds__(block_size)
    softmax_of(I outer, I n, I inner, const T* __restrict__ x, T* __restrict__ y) {
  wait_for_previous_kernels();
  for_each_column<team>(outer, n, inner, [&](I begin, I first) {
    const T* const in = x + begin;
    T* const out = y + begin;
    const I step = team == 1 ? inner : 1;
    T largest = -std::numeric_limits<T>::infinity(), sum = 0;
#pragma unroll 4
    for (I j = first; j < n; j += team) largest = std::fmax(largest, in[j * step]);
    largest = team_max<team>(largest);
#pragma unroll 1
    for (I j = first; j < n; j += team) sum += std::exp(in[j * step] - largest);
    sum = team_sum<team>(sum);
    const T of_sum = log ? std::log(sum) : 1 / sum;
#pragma unroll 1
    for (I j = first; j < n; j += team) {
      const T v = in[j * step] - largest;
      out[j * step] = log ? v - of_sum : std::exp(v) * of_sum;
    }
  });
}

template <int team, bool log, class I, class T>
__global__ void __launch_bounds__(block_size, sizeof(T) == 8 ? 2 : 4)
    gradient_of(I outer, I n, I inner, const T* y, const T* dy, T* dx) {
  wait_for_previous_kernels();
  for_each_column<team>(outer, n, inner, [&](I begin, I first) {
    const T *const of_y = y + begin, *const of_dy = dy + begin;
    T* const out = dx + begin;
    const I step = team == 1 ? inner : 1;
    T sum = 0;
#pragma unroll 4
    for (I j = first; j < n; j += team) sum += log ? of_dy[j * step] : of_y[j * step] * of_dy[j * step];
    sum = team_sum<team>(sum);
#pragma unroll 1
    for (I j = first; j < n; j += team) {
      const T v = of_y[j * step], g = of_dy[j * step];
      out[j * step] = log ? g - std::exp(v) * sum : v * (g - sum);
    }
  });
}

/// Calls f(threads of a team, log, I{}), the first two as constants.
template <class F>
void with_team(bool log, const ReduceShape& r, const F& f) {
  with_index(r.outer * r.n * r.inner, [&](auto index) {
    const auto with_log = [&](auto team) {
      log ? f(team, std::true_type(), index) : f(team, std::false_type(), index);
    };
    if (r.inner != 1) return with_log(std::integral_constant<int, 1>());
    if (r.n <= longest_of_warp) return with_log(std::integral_constant<int, warp_threads>());
    with_log(std::integral_constant<int, block_size>());
  });
}

}  // namespace

template <class T>
void CudaFloat<T>::softmax(bool log, const ReduceShape& r, const T* x, T* y) {
  const DeviceGuard guard(device_);
  with_team(log, r, [&]<class I>(auto team, auto of_log, I) {
    launch(softmax_of<team, of_log, I, T>, grid_for(r.outer * r.inner, block_size / team), block_size, 0,
           current_stream(), static_cast<I>(r.outer), static_cast<I>(r.n), static_cast<I>(r.inner), x, y);
  });
}

template <class T>
void CudaFloat<T>::softmax_backward(bool log, const ReduceShape& r, const T* y, const T* dy, T* dx) {
  const DeviceGuard guard(device_);
  with_team(log, r, [&]<class I>(auto team, auto of_log, I) {
    launch(gradient_of<team, of_log, I, T>, grid_for(r.outer * r.inner, block_size / team), block_size, 0,
           current_stream(), static_cast<I>(r.outer), static_cast<I>(r.n), static_cast<I>(r.inner), y, dy, dx);
  });
}

template void CudaFloat<float>::softmax(bool, const ReduceShape&, const float*, float*);
template void CudaFloat<float>::softmax_backward(bool, const ReduceShape&, const float*, const float*, float*);
template void CudaFloat<double>::softmax(bool, const ReduceShape&, const double*, double*);
template void CudaFloat<double>::softmax_backward(bool, const ReduceShape&, const double*, const double*, double*);

}  // namespace tern::kernels
