/// Rows sorted, stably, and the places of values in sorted rows.
///
/// sort is a merge sort. Of two runs that are to be merged each element's place is its own in its run plus the number
/// of elements of the other run before it, which a binary search tells: every element moves on its own, in no order but
/// that of the result. A run's element comes before an equal one of the run to its right, so equals keep their order.
///
/// sort_tiles: a block sorts a tile, up to 1024 neighbours of a row, or as many whole rows as fit, in shared memory:
/// log2 of its length passes between two buffers, a barrier after each. merge_runs: a thread moves one element each
/// time round a grid-stride loop; a launch doubles the length of the runs, and the last one writes the first k alone.
/// Bytes: value and index of every element read and written once a launch, 1 + log2(n / 1024) of them; the searches,
/// log2 of the run's length reads each, meet the caches, whose latency is the limit.
///
/// searchsorted: a thread finds one value's place by a binary search.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/device.cuh>
#include <tern/kernels/sort.hpp>

namespace tern::kernels {
namespace {

using namespace cuda;

constexpr int tile = 1024;

/// Where element p of a row of n goes as its runs of 2^shift elements become runs of twice that.
template <class I, class T>
__device__ I merged_place(const T* row, I n, int shift, bool descending, I p) {
  const I length = I{1} << shift, run = p >> shift, begin = run << shift;
  const bool is_left = (run & 1) == 0;
  const I other = is_left ? begin + length : begin - length;
  I low = min(other, n), high = min(other + length, n);
  const I first = low;
  const T value = row[p];
  while (low < high) {
    const I middle = low + (high - low) / 2;
    const bool before =
        is_left ? comes_before(row[middle], value, descending) : !comes_before(value, row[middle], descending);
    if (before) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return p + (low - first) - (is_left ? 0 : length);
}

/// A block's tile: `rows` whole rows of `length` elements, or a stretch of that length of one row.
template <class T>
__global__ void __launch_bounds__(block_size, 4)
    sort_tiles(int64_t rows, int64_t n, int64_t k, bool descending, const T* __restrict__ x, T* __restrict__ y,
               int64_t* __restrict__ indices) {
  wait_for_previous_kernels();
  __shared__ T values[2][tile];
  __shared__ short places[2][tile];
  const int64_t rows_each = n <= tile ? tile / n : 1, tiles_each = ceil_div(n, tile),
                tiles = ceil_div(rows, rows_each) * tiles_each;
  for (int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
    const int64_t row = t / tiles_each * rows_each, start = t % tiles_each * tile;
    const int length = static_cast<int>(min(n - start, int64_t{tile}));
    const int size = static_cast<int>(min(rows - row, rows_each)) * length;
    const T* const in = x + row * n + start;
    for (int e = static_cast<int>(threadIdx.x); e < size; e += block_size) {
      values[0][e] = in[e];
      places[0][e] = static_cast<short>(e % length);
    }
    __syncthreads();
    int now = 0;
    for (int shift = 0; 1 << shift < length; ++shift) {
      for (int e = static_cast<int>(threadIdx.x); e < size; e += block_size) {
        const int begin = e / length * length;
        const int to = begin + merged_place(values[now] + begin, length, shift, descending, e - begin);
        values[1 - now][to] = values[now][e];
        places[1 - now][to] = places[now][e];
      }
      now = 1 - now;
      __syncthreads();
    }
    for (int e = static_cast<int>(threadIdx.x); e < size; e += block_size) {
      const int of = e / length;
      const int64_t place = start + e - of * length, to = (row + of) * k + place;
      if (place >= k) continue;
      y[to] = values[now][e];
      indices[to] = start + places[now][e];
    }
    __syncthreads();
  }
}

template <class I, class T>
__global__ void __launch_bounds__(block_size, 4)
    merge_runs(I elements, I n, I k, int shift, bool descending, const T* __restrict__ x,
               const int64_t* __restrict__ from, T* __restrict__ y, int64_t* __restrict__ indices) {
  wait_for_previous_kernels();
  for (I e = grid_thread<I>(); e < elements; e += grid_threads<I>()) {
    const I row = e / n, place = merged_place(x + row * n, n, shift, descending, e - row * n);
    if (place >= k) continue;
    y[row * k + place] = x[e];
    indices[row * k + place] = from[e];
  }
}

template <class T>
__global__ void __launch_bounds__(block_size, 4)
    search(int64_t values, int64_t n, int64_t count, bool right, const T* __restrict__ x, const T* __restrict__ v,
           int64_t* __restrict__ y) {
  wait_for_previous_kernels();
  for (int64_t i = grid_thread(); i < values; i += grid_threads()) {
    y[i] = place_in_sorted(n, x + i / count * n, v[i], right);
  }
}

}  // namespace

namespace cuda {

template <class T>
void sort(int64_t rows, int64_t n, int64_t k, bool descending, const T* x, T* y, int64_t* indices) {
  if (rows == 0 || n == 0) return;
  const int64_t tiles = n <= tile ? ceil_div(rows, tile / n) : rows * ceil_div(n, tile), all = rows * n;
  if (n <= tile) {
    launch(sort_tiles<T>, grid_for(tiles, 1), block_size, 0, current_stream(), rows, n, k, descending, x, y, indices);
    return;
  }
  const bool twice = n > 2 * tile;
  const Scratch<T> value_a(all), value_b(twice ? all : 0);
  const Scratch<int64_t> index_a(all), index_b(twice ? all : 0);
  launch(sort_tiles<T>, grid_for(tiles, 1), block_size, 0, current_stream(), rows, n, n, descending, x, value_a.data(),
         index_a.data());
  const T* value = value_a.data();
  const int64_t* index = index_a.data();
  for (int shift = 10; int64_t{1} << shift < n; ++shift) {
    const bool last = int64_t{2} << shift >= n, to_a = value == value_b.data();
    T* const out = last ? y : to_a ? value_a.data() : value_b.data();
    int64_t* const index_out = last ? indices : to_a ? index_a.data() : index_b.data();
    with_index(all * 2, [&]<class I>(I) {
      launch(merge_runs<I, T>, grid_for(all), block_size, 0, current_stream(), all, n, last ? k : n, shift, descending,
             value, index, out, index_out);
    });
    value = out;
    index = index_out;
  }
}

template void sort(int64_t, int64_t, int64_t, bool, const float*, float*, int64_t*);
template void sort(int64_t, int64_t, int64_t, bool, const double*, double*, int64_t*);
template void sort(int64_t, int64_t, int64_t, bool, const int64_t*, int64_t*, int64_t*);
template void sort(int64_t, int64_t, int64_t, bool, const uint8_t*, uint8_t*, int64_t*);

}  // namespace cuda

template <class T>
void CudaArray<T>::sort(int64_t rows, int64_t n, int64_t k, bool descending, const T* x, T* y, int64_t* indices) {
  const DeviceGuard guard(device_);
  cuda::sort(rows, n, k, descending, x, y, indices);
}

template <class T>
void CudaArray<T>::searchsorted(int64_t rows, int64_t n, int64_t count, bool right, const T* x, const T* v,
                                int64_t* y) {
  const DeviceGuard guard(device_);
  launch(search<T>, grid_for(rows * count), block_size, 0, current_stream(), rows * count, n, count, right, x, v, y);
}

template void CudaArray<float>::sort(int64_t, int64_t, int64_t, bool, const float*, float*, int64_t*);
template void CudaArray<float>::searchsorted(int64_t, int64_t, int64_t, bool, const float*, const float*, int64_t*);
template void CudaArray<double>::sort(int64_t, int64_t, int64_t, bool, const double*, double*, int64_t*);
template void CudaArray<double>::searchsorted(int64_t, int64_t, int64_t, bool, const double*, const double*, int64_t*);
template void CudaArray<int64_t>::sort(int64_t, int64_t, int64_t, bool, const int64_t*, int64_t*, int64_t*);
template void CudaArray<int64_t>::searchsorted(int64_t, int64_t, int64_t, bool, const int64_t*, const int64_t*,
                                               int64_t*);
template void CudaArray<uint8_t>::sort(int64_t, int64_t, int64_t, bool, const uint8_t*, uint8_t*, int64_t*);
template void CudaArray<uint8_t>::searchsorted(int64_t, int64_t, int64_t, bool, const uint8_t*, const uint8_t*,
                                               int64_t*);

}  // namespace tern::kernels
