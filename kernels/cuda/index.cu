/// y[o, j, i] = x[o, index[j], i], and its gradient.
///
/// index_select: a thread computes one element of y each time round a grid-stride loop. Bytes: y twice (read and
/// written) and the indices; the limit is bandwidth, and for an inner of 1 the 32-byte sectors of x. The host does not
/// see the indices: one out of range reads nothing and gives NaN, of integers 0.
///
/// index_select_backward gathers, so that it needs no atomics and adds in rising j: a warp computes dx[:, k, :] for one
/// k and 128 pairs (o, i), a lane four of them. Its lanes read 32 indices at a time, a ballot finds which equal k, and
/// for each bit that is set every lane adds its dy. Bytes: dy and dx once, and the indices once for each k, from the
/// cache. Its limit is the n * count comparisons, 32 to an instruction; for the few k of a small table that is nothing.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/device.cuh>

#include <limits>

namespace tern::kernels {
namespace {

using namespace cuda;

/// r with its numbers in I.
template <class I>
struct Select {
  I outer, n, inner, count;

  Select(const ReduceShape& r, int64_t count_)
      : outer(static_cast<I>(r.outer)),
        n(static_cast<I>(r.n)),
        inner(static_cast<I>(r.inner)),
        count(static_cast<I>(count_)) {}
};

template <class I, class T>
__global__ void __launch_bounds__(block_size, 4)
    select(I elements, Select<I> s, const T* __restrict__ x, const int64_t* __restrict__ index, T* __restrict__ y) {
  wait_for_previous_kernels();
  for (I e = grid_thread<I>(); e < elements; e += grid_threads<I>()) {
    const I row = e / s.inner, i = e - row * s.inner, o = row / s.count, j = row - o * s.count;
    const int64_t k = index[j];
    y[e] = 0 <= k && k < s.n ? x[(o * s.n + static_cast<I>(k)) * s.inner + i] : std::numeric_limits<T>::quiet_NaN();
  }
}

constexpr int columns_per_lane = 4, columns_per_warp = columns_per_lane * warp_threads;

template <class I, class T>
__global__ void __launch_bounds__(block_size, 4)
    select_backward(Select<I> s, const int64_t* __restrict__ index, const T* __restrict__ dy, T* __restrict__ dx) {
  wait_for_previous_kernels();
  const I columns = s.outer * s.inner, tiles = static_cast<I>(ceil_div(columns, columns_per_warp));
  const I lane = static_cast<I>(threadIdx.x % warp_threads);
  for (I work = grid_thread<I>() / warp_threads; work < s.n * tiles; work += grid_threads<I>() / warp_threads) {
    const I k = work / tiles, first_column = work % tiles * columns_per_warp + lane;
    I o[columns_per_lane], i[columns_per_lane];
    Sum<T> total[columns_per_lane] = {};
#pragma unroll
    for (int m = 0; m < columns_per_lane; ++m) {
      o[m] = (first_column + m * warp_threads) / s.inner;  // outer or more where the columns have ended
      i[m] = first_column + m * warp_threads - o[m] * s.inner;
    }
    for (I first = 0; first < s.count; first += warp_threads) {
      const bool equal = first + lane < s.count && index[first + lane] == k;
      for (unsigned hits = __ballot_sync(all_lanes, equal); hits != 0; hits &= hits - 1) {
        const I j = first + static_cast<I>(__ffs(static_cast<int>(hits)) - 1);
#pragma unroll
        for (int m = 0; m < columns_per_lane; ++m) {
          if (o[m] < s.outer) total[m] += dy[(o[m] * s.count + j) * s.inner + i[m]];
        }
      }
    }
#pragma unroll
    for (int m = 0; m < columns_per_lane; ++m) {
      if (o[m] < s.outer) dx[(o[m] * s.n + k) * s.inner + i[m]] = static_cast<T>(total[m]);
    }
  }
}

/// The largest number that either kernel counts to.
int64_t largest(const ReduceShape& r, int64_t count) {
  return r.outer * std::max(r.n, count) * std::max<int64_t>(r.inner, columns_per_warp);
}

}  // namespace

template <class T>
void CudaArray<T>::index_select(const ReduceShape& r, int64_t count, const T* x, const int64_t* index, T* y) {
  const DeviceGuard guard(device_);
  with_index(largest(r, count), [&]<class I>(I) {
    const int64_t elements = r.outer * count * r.inner;
    launch(select<I, T>, grid_for(elements), block_size, 0, current_stream(), elements, Select<I>(r, count), x, index,
           y);
  });
}

template <class T>
void CudaArray<T>::index_select_backward(const ReduceShape& r, int64_t count, const int64_t* index, const T* dy,
                                         T* dx) {
  const DeviceGuard guard(device_);
  with_index(largest(r, count), [&]<class I>(I) {
    const int64_t warps = r.n * ceil_div(r.outer * r.inner, columns_per_warp);
    launch(select_backward<I, T>, grid_for(warps * warp_threads), block_size, 0, current_stream(), Select<I>(r, count),
           index, dy, dx);
  });
}

template void CudaArray<float>::index_select(const ReduceShape&, int64_t, const float*, const int64_t*, float*);
template void CudaArray<float>::index_select_backward(const ReduceShape&, int64_t, const int64_t*, const float*,
                                                      float*);
template void CudaArray<double>::index_select(const ReduceShape&, int64_t, const double*, const int64_t*, double*);
template void CudaArray<double>::index_select_backward(const ReduceShape&, int64_t, const int64_t*, const double*,
                                                       double*);
template void CudaArray<int64_t>::index_select(const ReduceShape&, int64_t, const int64_t*, const int64_t*, int64_t*);
template void CudaArray<int64_t>::index_select_backward(const ReduceShape&, int64_t, const int64_t*, const int64_t*,
                                                        int64_t*);
template void CudaArray<uint8_t>::index_select(const ReduceShape&, int64_t, const uint8_t*, const int64_t*, uint8_t*);
template void CudaArray<uint8_t>::index_select_backward(const ReduceShape&, int64_t, const int64_t*, const uint8_t*,
                                                        uint8_t*);

}  // namespace tern::kernels
