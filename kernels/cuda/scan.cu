/// Sums, products and extremes of the elements of x [outer, n, inner] up to each along n, and the gradient of products.
///
/// Rows (inner is 1, n at least a warp): a block computes one, 256 elements at a time: the lanes of each warp pass on
/// what they have by shuffles, then each adds what the warps before it and the elements before these came to. Columns
/// (all else): a thread walks down one, and neighbours read neighbouring memory at each step.
///
/// Bytes: x once, and y, for extremes with 8 bytes of place. Arithmetic: 5 operations an element and lane. The limit is
/// bandwidth where there are rows or columns enough for all multiprocessors, else the latency of one row's steps.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/device.cuh>

namespace tern::kernels {
namespace {

using namespace cuda;

template <class T>
struct SumUpTo {
  using Kept = Sum<T>;
  T* y;
  __device__ Kept none() const { return 0; }
  __device__ Kept of(T x, int64_t) const { return x; }
  __device__ Kept join(Kept before, Kept x) const { return before + x; }
  __device__ void store(int64_t at, Kept kept) const { y[at] = static_cast<T>(kept); }
};

template <class T>
struct ProdUpTo {
  using Kept = Sum<T>;
  T* y;
  __device__ Kept none() const { return 1; }
  __device__ Kept of(T x, int64_t) const { return x; }
  __device__ Kept join(Kept before, Kept x) const { return static_cast<Kept>(before * x); }
  __device__ void store(int64_t at, Kept kept) const { y[at] = static_cast<T>(kept); }
};

/// An element and its place, -1 for none.
template <class T>
struct Found {
  T value;
  int64_t index;
};

/// The last of equals, NaN before any number.
template <class T>
struct ExtremeUpTo {
  using Kept = Found<T>;
  bool largest;
  T* y;
  int64_t* indices;
  __device__ Kept none() const { return {T{}, -1}; }
  __device__ Kept of(T x, int64_t j) const { return {x, j}; }
  __device__ Kept join(Kept before, Kept x) const {
    const bool loses = largest ? x.value < before.value : x.value > before.value;
    const bool nan = before.value != before.value, x_nan = x.value != x.value;
    return x.index < 0 || (before.index >= 0 && (loses || (nan && !x_nan))) ? before : x;
  }
  __device__ void store(int64_t at, Kept kept) const {
    y[at] = kept.value;
    indices[at] = kept.index;
  }
};

template <class K>
__device__ K from_below(K kept, int lanes) {
  return static_cast<K>(__shfl_up_sync(all_lanes, kept, lanes));
}
template <class T>
__device__ Found<T> from_below(Found<T> kept, int lanes) {
  const T value = static_cast<T>(__shfl_up_sync(all_lanes, kept.value, lanes));
  return {value, __shfl_up_sync(all_lanes, kept.index, lanes)};
}

template <class F, class T>
__global__ void __launch_bounds__(block_size)
    scan_rows(int64_t rows, int64_t n, bool reverse, F f, const T* __restrict__ x) {
  wait_for_previous_kernels();
  using Kept = typename F::Kept;
  constexpr int warps = block_size / warp_threads;
  __shared__ Kept of_warp[warps];
  const int lane = threadIdx.x % warp_threads, warp = threadIdx.x / warp_threads;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    Kept before = f.none();
    for (int64_t first = 0; first < n; first += block_size) {
      const int64_t j = first + threadIdx.x, at = row * n + (reverse ? n - 1 - j : j);
      Kept kept = j < n ? f.of(x[at], j) : f.none();
      for (int lanes = 1; lanes < warp_threads; lanes *= 2) {
        const Kept other = from_below(kept, lanes);
        if (lane >= lanes) kept = f.join(other, kept);
      }
      if (lane == warp_threads - 1) of_warp[warp] = kept;
      __syncthreads();
      Kept of_earlier = before;
      for (int w = 0; w < warps; ++w) {
        if (w < warp) of_earlier = f.join(of_earlier, of_warp[w]);
        before = f.join(before, of_warp[w]);
      }
      if (j < n) f.store(at, f.join(of_earlier, kept));
      __syncthreads();
    }
  }
}

template <class F, class T>
__global__ void __launch_bounds__(block_size) scan_columns(ReduceShape r, bool reverse, F f, const T* __restrict__ x) {
  wait_for_previous_kernels();
  const int64_t columns = r.outer * r.inner;
  for (int64_t c = grid_thread(); c < columns; c += grid_threads()) {
    const int64_t top = c / r.inner * r.n * r.inner + c % r.inner;
    typename F::Kept kept = f.none();
    for (int64_t j = 0; j < r.n; ++j) {
      const int64_t at = top + (reverse ? r.n - 1 - j : j) * r.inner;
      kept = f.join(kept, f.of(x[at], j));
      f.store(at, kept);
    }
  }
}

/// A thread computes one column, down and up again: dx holds the product of the elements before, and then `after`, the
/// gradient by the product up to the element, times that.
template <class T>
__global__ void __launch_bounds__(block_size) cumprod_gradient(ReduceShape r, bool reverse, const T* __restrict__ x,
                                                               const T* __restrict__ dy, T* __restrict__ dx) {
  wait_for_previous_kernels();
  const int64_t columns = r.outer * r.inner;
  for (int64_t c = grid_thread(); c < columns; c += grid_threads()) {
    const int64_t top = c / r.inner * r.n * r.inner + c % r.inner;
    const auto at = [&](int64_t j) { return top + (reverse ? r.n - 1 - j : j) * r.inner; };
    T before = 1, after = 0;
    for (int64_t j = 0; j < r.n; ++j) {
      dx[at(j)] = before;
      before *= x[at(j)];
    }
    for (int64_t j = r.n - 1; j >= 0; --j) {
      after += dy[at(j)];
      dx[at(j)] *= after;
      after *= x[at(j)];
    }
  }
}

template <class F, class T>
void scan_by(const ReduceShape& r, bool reverse, const F& f, const T* x) {
  if (r.inner == 1 && r.n >= warp_threads) {
    launch(scan_rows<F, T>, grid_for(r.outer, 1), block_size, 0, current_stream(), r.outer, r.n, reverse, f, x);
  } else {
    launch(scan_columns<F, T>, grid_for(r.outer * r.inner), block_size, 0, current_stream(), r, reverse, f, x);
  }
}

}  // namespace

template <class T>
void CudaArray<T>::scan(ScanOp op, bool reverse, const ReduceShape& r, const T* x, T* y) {
  const DeviceGuard guard(device_);
  if (op == ScanOp::sum) return scan_by(r, reverse, SumUpTo<T>{y}, x);
  scan_by(r, reverse, ProdUpTo<T>{y}, x);
}

template <class T>
void CudaArray<T>::scan(Extreme which, const ReduceShape& r, const T* x, T* y, int64_t* indices) {
  const DeviceGuard guard(device_);
  scan_by(r, false, ExtremeUpTo<T>{which == Extreme::max, y, indices}, x);
}

template <class T>
void CudaFloat<T>::cumprod_backward(const ReduceShape& r, bool reverse, const T* x, const T* dy, T* dx) {
  const DeviceGuard guard(device_);
  launch(cumprod_gradient<T>, grid_for(r.outer * r.inner), block_size, 0, current_stream(), r, reverse, x, dy, dx);
}

template void CudaArray<float>::scan(ScanOp, bool, const ReduceShape&, const float*, float*);
template void CudaArray<float>::scan(Extreme, const ReduceShape&, const float*, float*, int64_t*);
template void CudaArray<double>::scan(ScanOp, bool, const ReduceShape&, const double*, double*);
template void CudaArray<double>::scan(Extreme, const ReduceShape&, const double*, double*, int64_t*);
template void CudaArray<int64_t>::scan(ScanOp, bool, const ReduceShape&, const int64_t*, int64_t*);
template void CudaArray<int64_t>::scan(Extreme, const ReduceShape&, const int64_t*, int64_t*, int64_t*);
template void CudaArray<uint8_t>::scan(ScanOp, bool, const ReduceShape&, const uint8_t*, uint8_t*);
template void CudaArray<uint8_t>::scan(Extreme, const ReduceShape&, const uint8_t*, uint8_t*, int64_t*);
template void CudaFloat<float>::cumprod_backward(const ReduceShape&, bool, const float*, const float*, float*);
template void CudaFloat<double>::cumprod_backward(const ReduceShape&, bool, const double*, const double*, double*);

}  // namespace tern::kernels
