/// y[o, j, i] = x[o, index[j], i], and its gradient.
///
/// index_select: a thread computes one element of y each time round a grid-stride loop. Bytes: y twice (read and
/// written) and the indices; the limit is bandwidth, and for an inner of 1 the 32-byte sectors of x. The host does not
/// see the indices: one out of range reads nothing and gives NaN, of integers 0.
///
/// index_select_backward gathers, so that it needs no atomics and adds in rising j: a block computes dx of up to 64
/// neighbouring k. It walks over the indices, 256 at a time, and lists in shared memory those that are its own, in
/// order, placed by ballots. Whenever the list might overflow, and at the end, a warp takes one k and 128 pairs (o, i),
/// a lane four of them: it compares 32 entries of the list at a time with k, and for each that equals every lane adds
/// its dy. Bytes: dx once, dy once, and the indices once for each block, from the cache. For a table of 50,000 rows and
/// 16,384 indices that is 782 blocks' 64 rounds, most of which find nothing; the limit is the writing of dx.

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
constexpr int most_rows = 64, list_length = 1024, warps = block_size / warp_threads;

template <class I, class T>
__global__ void __launch_bounds__(block_size, sizeof(I) == 8 ? 2 : 4)
    select_backward(Select<I> s, int rows, const int64_t* __restrict__ index, const T* __restrict__ dy,
                    T* __restrict__ dx) {
  wait_for_previous_kernels();
  __shared__ I place[list_length];
  __shared__ uint8_t row[list_length];
  __shared__ int found[warps];
  const int lane = static_cast<int>(threadIdx.x) % warp_threads, warp = static_cast<int>(threadIdx.x) / warp_threads;
  const I columns = s.outer * s.inner, tiles = (columns + columns_per_warp - 1) / columns_per_warp;
  for (I begin = static_cast<I>(blockIdx.x) * rows; begin < s.n; begin += static_cast<I>(gridDim.x) * rows) {
    int size = 0;       // of the list
    bool more = false;  // dx has a part of the sum
    const auto add_listed = [&] {
      __syncthreads();
      for (I work = warp; work < min(static_cast<I>(rows), s.n - begin) * tiles; work += warps) {
        const I k = work / tiles, first_column = work % tiles * columns_per_warp + lane;
        I o[columns_per_lane], i[columns_per_lane];
        Sum<T> total[columns_per_lane] = {};
#pragma unroll
        for (int m = 0; m < columns_per_lane; ++m) {
          o[m] = (first_column + m * warp_threads) / s.inner;  // outer or more where the columns have ended
          i[m] = first_column + m * warp_threads - o[m] * s.inner;
          if (more && o[m] < s.outer) total[m] = dx[(o[m] * s.n + begin + k) * s.inner + i[m]];
        }
        for (int first = 0; first < size; first += warp_threads) {
          const bool equal = first + lane < size && row[first + lane] == k;
          for (unsigned hits = __ballot_sync(all_lanes, equal); hits != 0; hits &= hits - 1) {
            const I j = place[first + __ffs(static_cast<int>(hits)) - 1];
#pragma unroll
            for (int m = 0; m < columns_per_lane; ++m) {
              if (o[m] < s.outer) total[m] += dy[(o[m] * s.count + j) * s.inner + i[m]];
            }
          }
        }
#pragma unroll
        for (int m = 0; m < columns_per_lane; ++m) {
          if (o[m] < s.outer) dx[(o[m] * s.n + begin + k) * s.inner + i[m]] = static_cast<T>(total[m]);
        }
      }
      __syncthreads();
      size = 0;
      more = true;
    };
    for (I first = 0; first < s.count; first += block_size) {
      const I j = first + static_cast<I>(threadIdx.x);
      const int64_t k = j < s.count ? index[j] - begin : -1;
      const bool own = 0 <= k && k < rows;
      const unsigned hits = __ballot_sync(all_lanes, own);
      if (lane == 0) found[warp] = __popc(hits);
      if (!__syncthreads_or(own)) continue;
      int at = size;
      for (int w = 0; w < warps; ++w) {
        at += w < warp ? found[w] : 0;
        size += found[w];
      }
      if (own) {
        at += __popc(hits & ((1U << lane) - 1));
        place[at] = j;
        row[at] = static_cast<uint8_t>(k);
      }
      __syncthreads();
      if (size > list_length - block_size) add_listed();
    }
    if (size > 0 || !more) add_listed();
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
    const int rows = static_cast<int>(std::clamp<int64_t>(r.n / 512, 1, most_rows));
    launch(select_backward<I, T>, grid_for(r.n, rows), block_size, 0, current_stream(), Select<I>(r, count), rows,
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
