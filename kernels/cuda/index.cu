/// y[o, j, i] = x[o, index[j], i], and its gradient.
///
/// index_select: a thread computes one element of y each time round a grid-stride loop. Bytes: y twice (read and
/// written) and the indices; the limit is bandwidth, and for an inner of 1 the 32-byte sectors of x.
///
/// index_select_backward gathers, so that it needs no atomics and adds in rising j: a block computes dx[:, k, :] for
/// one k and 256 pairs (o, i), a thread one of them. The block reads 256 indices at a time, a warp finds by a ballot
/// which of its 32 equal k, and each thread then adds dy for the bits that are set. Bytes: dy and dx once, and the
/// indices once for each k, from the L2 cache. For few k that is free; its limit is the n * count comparisons, 32 to an
/// instruction.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/device.cuh>

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
__global__ void __launch_bounds__(block_size)
    select(I elements, Select<I> s, const T* __restrict__ x, const int64_t* __restrict__ index, T* __restrict__ y) {
  for (I e = grid_thread<I>(); e < elements; e += grid_threads<I>()) {
    const I row = e / s.inner, i = e - row * s.inner, o = row / s.count, j = row - o * s.count;
    y[e] = x[(o * s.n + static_cast<I>(index[j])) * s.inner + i];
  }
}

template <class I, class T>
__global__ void __launch_bounds__(block_size)
    select_backward(Select<I> s, const int64_t* __restrict__ index, const T* __restrict__ dy, T* __restrict__ dx) {
  constexpr int warps = block_size / warp_threads;
  __shared__ unsigned hits[warps];
  const I columns = s.outer * s.inner, tiles = static_cast<I>(ceil_div(columns, block_size));
  for (I work = static_cast<I>(blockIdx.x); work < s.n * tiles; work += static_cast<I>(gridDim.x)) {
    const I k = work / tiles, c = work % tiles * block_size + static_cast<I>(threadIdx.x);
    const I o = c / s.inner, i = c - o * s.inner;
    Sum<T> total = 0;
    for (I first = 0; first < s.count; first += block_size) {
      const I mine = first + static_cast<I>(threadIdx.x);
      const unsigned hit = __ballot_sync(all_lanes, mine < s.count && index[mine] == k);
      if (threadIdx.x % warp_threads == 0) hits[threadIdx.x / warp_threads] = hit;
      __syncthreads();
      for (int warp = 0; warp < warps && c < columns; ++warp) {
        for (unsigned left = hits[warp]; left != 0; left &= left - 1) {
          const I j = first + static_cast<I>(warp * warp_threads + __ffs(static_cast<int>(left)) - 1);
          total += dy[(o * s.count + j) * s.inner + i];
        }
      }
      __syncthreads();
    }
    if (c < columns) dx[(o * s.n + k) * s.inner + i] = static_cast<T>(total);
  }
}

/// The largest number that either kernel counts to.
int64_t largest(const ReduceShape& r, int64_t count) {
  return r.outer * std::max(r.n, count) * std::max<int64_t>(r.inner, block_size);
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
    const int64_t tiles = ceil_div(r.outer * r.inner, block_size);
    launch(select_backward<I, T>, grid_for(r.n * tiles, 1), block_size, 0, current_stream(), Select<I>(r, count), index,
           dy, dx);
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
