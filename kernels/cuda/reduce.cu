/// Reductions of the middle dimension of x [outer, n, inner]: sum, max with its index, and the gradient of max.
///
/// Rows (inner is 1, n at least a warp): 32 or 256 threads walk over a row together, each warp reading neighbours, and
/// join what they have by shuffles, then through shared memory. Columns (all else): a column is a pair (o, i), and
/// neighbouring threads have neighbouring columns, so that each step down reads one stretch of memory.
///
/// A sum of floats is as good as a pairwise one: no thread adds up more than 32 elements, a block joins its threads'
/// sums as a tree, and what is longer than a block's share is cut into runs whose sums are summed in the same way. The
/// tree hangs on the shape alone, so the result is the same each time.
///
/// Bytes: x once, and y; runs add less than 1 %. Arithmetic: one addition or comparison an element. The limit is
/// bandwidth.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/device.cuh>

namespace tern::kernels {
namespace {

using namespace cuda;

/// Elements that a team of threads sums before the runs' sums are summed themselves.
template <int team>
constexpr int row_run = team == warp_threads ? 1024 : 4096;
/// The same for columns, which a block walks down in strips.
constexpr int strip_length = 16;

/// y[row, run] = the sum over a run of x [rows, n]. A team computes one y.
template <int team, class T>
__global__ void __launch_bounds__(block_size)
    sum_rows(int64_t rows, int64_t n, int64_t runs, const T* __restrict__ x, T* __restrict__ y) {
  wait_for_previous_kernels();
  constexpr int teams = block_size / team;
  const int lane = threadIdx.x % team;
  const int64_t sums = rows * runs;
  // The whole block takes the same number of rounds, since all of it is needed for its sum.
  for (int64_t first = int64_t{blockIdx.x} * teams; first < sums; first += int64_t{gridDim.x} * teams) {
    const int64_t i = first + threadIdx.x / team;
    Sum<T> total = 0;
    if (i < sums) {
      const int64_t row = runs == 1 ? i : i / runs, begin = (i - row * runs) * row_run<team>;
      const int length = static_cast<int>(min(n - begin, int64_t{row_run<team>}));
      const T* const run = x + row * n + begin;
#pragma unroll 4
      for (int j = lane; j < length; j += team) total += run[j];
    }
    if constexpr (team == warp_threads) {
      total = warp_sum(total);
    } else {
      total = block_sum<team>(total);
    }
    if (lane == 0 && i < sums) y[i] = static_cast<T>(total);
  }
}

/// y[o, run, i] = the sum over a run of the column (o, i). A block has `strips` rows of threads, which take turns at
/// the rows of x and are summed as a tree at the end; a thread of the first row stores one y.
template <int strips, class T>
__global__ void __launch_bounds__(block_size)
    sum_columns(ReduceShape r, int64_t runs, const T* __restrict__ x, T* __restrict__ y) {
  wait_for_previous_kernels();
  constexpr int columns = block_size / strips, run = strip_length * strips;
  __shared__ Sum<T> of_strip[strips][columns];
  const int column = threadIdx.x % columns, strip = threadIdx.x / columns;
  const int64_t count = r.outer * r.inner, tiles = ceil_div(count, columns);
  for (int64_t tile = blockIdx.x; tile < tiles * runs; tile += gridDim.x) {
    const int64_t which = tile / tiles, c = tile % tiles * columns + column;
    const int64_t o = c / r.inner, i = c % r.inner;
    Sum<T> total = 0;
    if (c < count) {
      const int64_t end = min(r.n, (which + 1) * run);
      for (int64_t j = which * run + strip; j < end; j += strips) total += x[(o * r.n + j) * r.inner + i];
    }
    if constexpr (strips > 1) {
      of_strip[strip][column] = total;
      __syncthreads();
      for (int half = strips / 2; half > 0; half /= 2) {
        if (strip < half) of_strip[strip][column] += of_strip[strip + half][column];
        __syncthreads();
      }
      total = of_strip[strip][column];
      __syncthreads();
    }
    if (strip == 0 && c < count) y[(o * runs + which) * r.inner + i] = static_cast<T>(total);
  }
}

/// An element and its place, in the order of `max`: NaN is larger than any number, the first of equals wins.
template <class T>
struct Best {
  T value;
  int64_t index;

  __device__ void join(T other, int64_t other_index) {
    const bool nan = value != value, other_nan = other != other;
    const bool larger = other > value || (other_nan && !nan), equal = other == value || (other_nan && nan);
    if (larger || (equal && other_index < index)) {
      value = other;
      index = other_index;
    }
  }

  /// Over the warp, in each of its lanes.
  __device__ void join_warp() {
    for (int lanes = warp_threads / 2; lanes > 0; lanes /= 2) {
      const T other = static_cast<T>(__shfl_xor_sync(all_lanes, value, lanes));
      const int64_t other_index = __shfl_xor_sync(all_lanes, index, lanes);
      join(other, other_index);
    }
  }

  __device__ void store(int64_t at, T* y, int64_t* indices) const {
    if (y) y[at] = value;
    if (indices) indices[at] = index;
  }
};

/// A team computes one row. n is at least the team, so each of its threads has an element to begin with.
template <int team, class T>
__global__ void __launch_bounds__(block_size)
    max_rows(int64_t rows, int64_t n, const T* __restrict__ x, T* __restrict__ y, int64_t* __restrict__ indices) {
  wait_for_previous_kernels();
  constexpr int teams = block_size / team, warps = team / warp_threads;
  __shared__ Best<T> of_warp[warps];
  const int lane = threadIdx.x % team;
  for (int64_t row = int64_t{blockIdx.x} * teams + threadIdx.x / team; row < rows; row += int64_t{gridDim.x} * teams) {
    const T* const in = x + row * n;
    Best<T> best{in[lane], lane};
    for (int64_t j = lane + team; j < n; j += team) best.join(in[j], j);
    best.join_warp();
    if constexpr (warps > 1) {
      if (threadIdx.x % warp_threads == 0) of_warp[threadIdx.x / warp_threads] = best;
      __syncthreads();
      for (const Best<T>& other : of_warp) best.join(other.value, other.index);
      __syncthreads();
    }
    if (lane == 0) best.store(row, y, indices);
  }
}

/// A thread computes one column.
template <class T>
__global__ void __launch_bounds__(block_size)
    max_columns(ReduceShape r, const T* __restrict__ x, T* __restrict__ y, int64_t* __restrict__ indices) {
  wait_for_previous_kernels();
  const int64_t columns = r.outer * r.inner;
  for (int64_t c = grid_thread(); c < columns; c += grid_threads()) {
    const T* const in = x + c / r.inner * r.n * r.inner + c % r.inner;
    Best<T> best{in[0], 0};
    for (int64_t j = 1; j < r.n; ++j) best.join(in[j * r.inner], j);
    best.store(c, y, indices);
  }
}

/// A thread computes one element of dx.
template <class T, class I>
__global__ void __launch_bounds__(block_size, 4)
    max_backward_elements(I count, I n, I inner, const int64_t* __restrict__ indices, const T* __restrict__ dy,
                          T* __restrict__ dx) {
  wait_for_previous_kernels();
  for (I e = grid_thread<I>(); e < count; e += grid_threads<I>()) {
    const I row = e / inner, i = e - row * inner, o = row / n, j = row - o * n, at = o * inner + i;
    dx[e] = indices[at] == j ? dy[at] : T{0};
  }
}

}  // namespace

namespace cuda {

template <class T>
void sum(const ReduceShape& r, const T* x, T* y) {
  const int64_t outputs = r.outer * r.inner;
  if (outputs == 0) return;
  const bool rows = r.inner == 1 && r.n >= warp_threads, short_rows = r.n <= row_run<warp_threads>,
             short_columns = r.n <= strip_length;
  constexpr int strips = 8;
  const int64_t run = rows ? (short_rows ? row_run<warp_threads> : row_run<block_size>)
                           : (short_columns ? strip_length : strip_length * strips);
  const int64_t runs = std::max<int64_t>(ceil_div(r.n, run), 1);
  const Scratch<T> sums(runs > 1 ? outputs * runs : 0);
  T* const out = runs > 1 ? sums.data() : y;

  if (rows && short_rows) {
    launch(sum_rows<warp_threads, T>, grid_for(r.outer, block_size / warp_threads), block_size, 0, current_stream(),
           r.outer, r.n, runs, x, out);
  } else if (rows) {
    launch(sum_rows<block_size, T>, grid_for(r.outer * runs, 1), block_size, 0, current_stream(), r.outer, r.n, runs, x,
           out);
  } else if (short_columns) {
    launch(sum_columns<1, T>, grid_for(outputs), block_size, 0, current_stream(), r, runs, x, out);
  } else {
    launch(sum_columns<strips, T>, grid_for(ceil_div(outputs, block_size / strips) * runs, 1), block_size, 0,
           current_stream(), r, runs, x, out);
  }
  if (runs > 1) sum({r.outer, runs, r.inner}, out, y);
}

template void sum(const ReduceShape&, const float*, float*);
template void sum(const ReduceShape&, const double*, double*);
template void sum(const ReduceShape&, const int64_t*, int64_t*);
template void sum(const ReduceShape&, const uint8_t*, uint8_t*);

}  // namespace cuda

template <class T>
void CudaArray<T>::sum(const ReduceShape& r, const T* x, T* y) {
  const DeviceGuard guard(device_);
  cuda::sum(r, x, y);
}

template <class T>
void CudaArray<T>::max(const ReduceShape& r, const T* x, T* y, int64_t* indices) {
  const DeviceGuard guard(device_);
  if (r.inner == 1 && r.n > row_run<warp_threads>) {
    launch(max_rows<block_size, T>, grid_for(r.outer, 1), block_size, 0, current_stream(), r.outer, r.n, x, y, indices);
  } else if (r.inner == 1 && r.n >= warp_threads) {
    launch(max_rows<warp_threads, T>, grid_for(r.outer, block_size / warp_threads), block_size, 0, current_stream(),
           r.outer, r.n, x, y, indices);
  } else {
    launch(max_columns<T>, grid_for(r.outer * r.inner), block_size, 0, current_stream(), r, x, y, indices);
  }
}

template <class T>
void CudaArray<T>::max_backward(const ReduceShape& r, const int64_t* indices, const T* dy, T* dx) {
  const DeviceGuard guard(device_);
  const int64_t n = r.outer * r.n * r.inner;
  with_index(n, [&]<class I>(I) {
    launch(max_backward_elements<T, I>, grid_for(n), block_size, 0, current_stream(), n, r.n, r.inner, indices, dy, dx);
  });
}

template void CudaArray<float>::sum(const ReduceShape&, const float*, float*);
template void CudaArray<float>::max(const ReduceShape&, const float*, float*, int64_t*);
template void CudaArray<float>::max_backward(const ReduceShape&, const int64_t*, const float*, float*);
template void CudaArray<double>::sum(const ReduceShape&, const double*, double*);
template void CudaArray<double>::max(const ReduceShape&, const double*, double*, int64_t*);
template void CudaArray<double>::max_backward(const ReduceShape&, const int64_t*, const double*, double*);
template void CudaArray<int64_t>::sum(const ReduceShape&, const int64_t*, int64_t*);
template void CudaArray<int64_t>::max(const ReduceShape&, const int64_t*, int64_t*, int64_t*);
template void CudaArray<int64_t>::max_backward(const ReduceShape&, const int64_t*, const int64_t*, int64_t*);
template void CudaArray<uint8_t>::sum(const ReduceShape&, const uint8_t*, uint8_t*);
template void CudaArray<uint8_t>::max(const ReduceShape&, const uint8_t*, uint8_t*, int64_t*);
template void CudaArray<uint8_t>::max_backward(const ReduceShape&, const int64_t*, const uint8_t*, uint8_t*);

}  // namespace tern::kernels
