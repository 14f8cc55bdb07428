/// Reductions of the middle dimension of x [outer, n, inner], and the gradient of the extremes.
///
/// Which reduction it is says a functor: what is kept of the numbers so far (`Kept`), how one more is added, how what
/// two have kept is joined, and what is stored in the end. Two kernels serve all of them. Rows (inner is 1, n at least
/// a warp): 32 or 256 threads walk over a row together, each warp reading neighbours, and join what they have by
/// shuffles, then through shared memory. Columns (all else): a column is a pair (o, i), and neighbouring threads have
/// neighbouring columns, so that each step down reads one stretch of memory.
///
/// A sum of floats is as good as a pairwise one: no thread adds up more than 32 elements, a block joins its threads'
/// sums as a tree, and what is longer than a block's share is cut into runs, whose sums are columns of their own. The
/// tree hangs on the shape alone, so the result is the same each time.
///
/// Bytes: x once, and y; runs add less than 2 %. Arithmetic: one addition or comparison an element, two multiply-adds
/// in double for a variance, a power for a norm that is neither of 1 nor of 2. The limit is bandwidth, but for the
/// power in double.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/device.cuh>

#include <cmath>

namespace tern::kernels {
namespace {

using namespace cuda;

template <class K>
__device__ K from_lane(K kept, int lanes) {
  return static_cast<K>(__shfl_xor_sync(all_lanes, kept, lanes));
}

/// y = the sum.
template <class T>
struct SumOf {
  using Kept = Sum<T>;
  T* y;
  __device__ Kept none() const { return 0; }
  __device__ void begin(const T*) {}
  __device__ void add(Kept& kept, T x, int64_t) const { kept += x; }
  __device__ void join(Kept& kept, Kept other) const { kept += other; }
  __device__ void store(int64_t at, Kept kept) const { y[at] = static_cast<T>(kept); }
};

/// y = the product.
template <class T>
struct ProdOf {
  using Kept = Sum<T>;
  T* y;
  __device__ Kept none() const { return 1; }
  __device__ void begin(const T*) {}
  __device__ void add(Kept& kept, T x, int64_t) const { kept = static_cast<Kept>(kept * x); }
  __device__ void join(Kept& kept, Kept other) const { kept = static_cast<Kept>(kept * other); }
  __device__ void store(int64_t at, Kept kept) const { y[at] = static_cast<T>(kept); }
};

/// y = the norm of the numbers, of floats. p is the same for all threads: one kernel serves all norms.
template <class T>
struct NormOf {
  using Kept = T;
  T p;
  T* y;
  __device__ bool is_extreme() const { return std::isinf(p); }
  __device__ T none() const { return is_extreme() && p < 0 ? std::numeric_limits<T>::infinity() : T{0}; }
  __device__ void begin(const T*) {}
  __device__ void add(T& kept, T x, int64_t) const {
    const T size = std::abs(x);
    join(kept, is_extreme() || p == 1 ? size : p == 2 ? size * size : p == 0 ? T(x != 0) : std::pow(size, p));
  }
  __device__ void join(T& kept, T other) const {
    if (!is_extreme()) {
      kept += other;
    } else if ((p > 0 ? other > kept : other < kept) || other != other) {
      kept = other;
    }
  }
  __device__ void store(int64_t at, T kept) const {
    const bool as_it_is = is_extreme() || p == 0 || p == 1;
    y[at] = as_it_is ? kept : p == 2 ? std::sqrt(kept) : std::pow(kept, 1 / p);
  }
};

/// The sums, in double, of a column's numbers less its first one, where that is finite, and of their squares.
struct Two {
  double sum, squares;
};

__device__ inline Two from_lane(Two kept, int lanes) {
  const double sum = __shfl_xor_sync(all_lanes, kept.sum, lanes);
  return {sum, __shfl_xor_sync(all_lanes, kept.squares, lanes)};
}

template <class T>
struct MomentsOf {
  using Kept = Two;
  ReduceShape r;
  double correction;
  const T* x;
  T *mean, *var;
  double shift = 0;
  __device__ Two none() const { return {0, 0}; }
  __device__ void begin(const T* column) { shift = std::isfinite(*column) ? static_cast<double>(*column) : 0.0; }
  __device__ void add(Two& kept, T number, int64_t) const {
    const double d = static_cast<double>(number) - shift;
    kept.sum += d;
    kept.squares += d * d;
  }
  __device__ void join(Two& kept, Two other) const {
    kept.sum += other.sum;
    kept.squares += other.squares;
  }
  /// The shift is one of the n numbers, so what cancels here is at most n times the result.
  __device__ void store(int64_t at, Two kept) const {
    const double n = static_cast<double>(r.n), from = kept.sum / n, squares = kept.squares - kept.sum * from;
    MomentsOf column = *this;
    if (r.n > 0) column.begin(x + at / r.inner * r.n * r.inner + at % r.inner);
    mean[at] = static_cast<T>(column.shift + from);
    var[at] = static_cast<T>((squares < 0 ? 0.0 : squares) / (n > correction ? n - correction : 0.0));
  }
};

/// An element and its place, -1 for none.
template <class T>
struct Best {
  T value;
  int64_t index;
};

template <class T>
__device__ Best<T> from_lane(Best<T> kept, int lanes) {
  const T value = static_cast<T>(__shfl_xor_sync(all_lanes, kept.value, lanes));
  return {value, __shfl_xor_sync(all_lanes, kept.index, lanes)};
}

/// y = the largest or smallest, and its place: NaN wins over any number, the first of equals. Either may be null.
template <class T>
struct ExtremeOf {
  using Kept = Best<T>;
  bool largest;
  T* y;
  int64_t* indices;
  __device__ Kept none() const { return {T{}, -1}; }
  __device__ void begin(const T*) {}
  __device__ void add(Kept& kept, T x, int64_t j) const { join(kept, {x, j}); }
  __device__ void join(Kept& kept, Kept other) const {
    const bool nan = kept.value != kept.value, other_nan = other.value != other.value;
    const bool wins = (largest ? other.value > kept.value : other.value < kept.value) || (other_nan && !nan);
    const bool equal = other.value == kept.value || (other_nan && nan);
    if (other.index >= 0 && (kept.index < 0 || wins || (equal && other.index < kept.index))) kept = other;
  }
  __device__ void store(int64_t at, Kept kept) const {
    if (y) y[at] = kept.value;
    if (indices) indices[at] = kept.index;
  }
};

/// F of what runs have kept.
template <class F>
struct OfRuns : F {
  using Kept = typename F::Kept;
  __device__ void begin(const Kept*) {}
  __device__ void add(Kept& kept, Kept of_run, int64_t) const { F::join(kept, of_run); }
};
template <class F>
struct Rejoined {
  using Type = OfRuns<F>;
};
template <class F>
struct Rejoined<OfRuns<F>> {
  using Type = OfRuns<F>;
};

/// Elements that a team of threads reduces before what the runs have kept is reduced itself.
template <int team>
constexpr int row_run = team == warp_threads ? 1024 : 4096;
/// The same for columns, which a block walks down in strips: 8 where one would be longer than this.
constexpr int strip_length = 16;

/// A team computes a run of a row of x [rows, n], and stores it in `kept`, or in the end where that is null.
template <int team, class F, class X>
__global__ void __launch_bounds__(block_size, 4)
    reduce_rows(int64_t rows, int64_t n, int64_t runs, F f, const X* __restrict__ x, typename F::Kept* kept) {
  wait_for_previous_kernels();
  using Kept = typename F::Kept;
  constexpr int teams = block_size / team, warps = team / warp_threads;
  __shared__ Kept of_warp[block_size / warp_threads];
  const int lane = threadIdx.x % team;
  // The whole block takes the same number of rounds, since all of it is needed for its result.
  for (int64_t first = int64_t{blockIdx.x} * teams; first < rows * runs; first += int64_t{gridDim.x} * teams) {
    const int64_t i = first + threadIdx.x / team;
    Kept total = f.none();
    if (i < rows * runs) {
      const int64_t row = runs == 1 ? i : i / runs, begin = (i - row * runs) * row_run<team>;
      const int length = static_cast<int>(min(n - begin, int64_t{row_run<team>}));
      const X* const run = x + row * n + begin;
      f.begin(x + row * n);
#pragma unroll 4
      for (int j = lane; j < length; j += team) f.add(total, run[j], begin + j);
    }
    for (int lanes = warp_threads / 2; lanes > 0; lanes /= 2) f.join(total, from_lane(total, lanes));
    if constexpr (warps > 1) {
      if (threadIdx.x % warp_threads == 0) of_warp[threadIdx.x / warp_threads] = total;
      __syncthreads();
      total = of_warp[0];
      for (int w = 1; w < warps; ++w) f.join(total, of_warp[w]);
      __syncthreads();
    }
    if (lane != 0 || i >= rows * runs) continue;
    if (kept) {
      kept[i] = total;
    } else {
      f.store(i, total);
    }
  }
}

/// A block has `strips` rows of threads, which take turns at the rows of x and are joined as a tree at the end; a
/// thread of the first row stores what a run of the column (o, i) has come to, as above.
template <int strips, class F, class X>
__global__ void __launch_bounds__(block_size, 4)
    reduce_columns(ReduceShape r, int64_t runs, F f, const X* __restrict__ x, typename F::Kept* kept) {
  wait_for_previous_kernels();
  using Kept = typename F::Kept;
  constexpr int columns = block_size / strips, run = strip_length * strips;
  __shared__ Kept of_strip[strips][columns];
  const int column = threadIdx.x % columns, strip = threadIdx.x / columns;
  const int64_t count = r.outer * r.inner, tiles = ceil_div(count, columns);
  for (int64_t tile = blockIdx.x; tile < tiles * runs; tile += gridDim.x) {
    const int64_t which = tile / tiles, c = tile % tiles * columns + column;
    const int64_t o = c / r.inner, i = c % r.inner;
    Kept total = f.none();
    if (c < count && r.n > 0) {
      const X* const top = x + o * r.n * r.inner + i;
      const int64_t end = min(r.n, (which + 1) * run);
      f.begin(top);
      for (int64_t j = which * run + strip; j < end; j += strips) f.add(total, top[j * r.inner], j);
    }
    if constexpr (strips > 1) {
      of_strip[strip][column] = total;
      __syncthreads();
      for (int half = strips / 2; half > 0; half /= 2) {
        if (strip < half) f.join(of_strip[strip][column], of_strip[strip + half][column]);
        __syncthreads();
      }
      total = of_strip[strip][column];
      __syncthreads();
    }
    if (strip != 0 || c >= count) continue;
    if (kept) {
      kept[(o * runs + which) * r.inner + i] = total;
    } else {
      f.store(c, total);
    }
  }
}

template <class F, class X>
void reduce_by(const ReduceShape& r, const F& f, const X* x) {
  using Kept = typename F::Kept;
  const int64_t outputs = r.outer * r.inner;
  if (outputs == 0) return;
  constexpr bool of_runs = std::is_same_v<F, typename Rejoined<F>::Type>;
  constexpr int strips = 8;
  const bool rows = !of_runs && r.inner == 1 && r.n >= warp_threads, short_rows = r.n <= row_run<warp_threads>,
             short_columns = !of_runs && r.n <= strip_length;
  const int64_t run = rows ? (short_rows ? row_run<warp_threads> : row_run<block_size>)
                           : (short_columns ? strip_length : strip_length * strips);
  const int64_t runs = std::max<int64_t>(ceil_div(r.n, run), 1);
  const Scratch<Kept> kept(runs > 1 ? outputs * runs : 0);
  const auto queue = [&](auto kernel, int64_t blocks, auto... arguments) {
    launch(kernel, grid_for(blocks, 1), block_size, 0, current_stream(), arguments..., runs, f, x, kept.data());
  };
  if constexpr (!of_runs) {
    if (rows && short_rows) {
      queue(reduce_rows<warp_threads, F, X>, ceil_div(r.outer, block_size / warp_threads), r.outer, r.n);
    } else if (rows) {
      queue(reduce_rows<block_size, F, X>, r.outer * runs, r.outer, r.n);
    } else if (short_columns) {
      queue(reduce_columns<1, F, X>, ceil_div(outputs, block_size), r);
    }
  }
  if (!rows && !short_columns) {
    queue(reduce_columns<strips, F, X>, ceil_div(outputs, block_size / strips) * runs, r);
  }
  if (runs > 1) {
    reduce_by({r.outer, runs, r.inner}, typename Rejoined<F>::Type{f}, static_cast<const Kept*>(kept.data()));
  }
}

/// A thread computes one element of dx.
template <class T, class I>
__global__ void __launch_bounds__(block_size, 4)
    extreme_backward_elements(I count, I n, I inner, const int64_t* __restrict__ indices, const T* __restrict__ dy,
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
  reduce_by(r, SumOf<T>{y}, x);
}

template void sum(const ReduceShape&, const float*, float*);
template void sum(const ReduceShape&, const double*, double*);
template void sum(const ReduceShape&, const int64_t*, int64_t*);
template void sum(const ReduceShape&, const uint8_t*, uint8_t*);

}  // namespace cuda

template <class T>
void CudaArray<T>::reduce(const Reduce& f, const ReduceShape& r, const T* x, T* y) {
  const DeviceGuard guard(device_);
  if (f.op == ReduceOp::sum) return cuda::sum(r, x, y);
  if (f.op == ReduceOp::prod) return reduce_by(r, ProdOf<T>{y}, x);
  if constexpr (std::is_floating_point_v<T>) reduce_by(r, NormOf<T>{static_cast<T>(f.p), y}, x);
}

template <class T>
void CudaArray<T>::extreme(Extreme which, const ReduceShape& r, const T* x, T* y, int64_t* indices) {
  const DeviceGuard guard(device_);
  reduce_by(r, ExtremeOf<T>{which == Extreme::max, y, indices}, x);
}

template <class T>
void CudaArray<T>::extreme_backward(const ReduceShape& r, const int64_t* indices, const T* dy, T* dx) {
  const DeviceGuard guard(device_);
  const int64_t n = r.outer * r.n * r.inner;
  with_index(n, [&]<class I>(I) {
    launch(extreme_backward_elements<T, I>, grid_for(n), block_size, 0, current_stream(), n, r.n, r.inner, indices, dy,
           dx);
  });
}

template <class T>
void CudaFloat<T>::var(const ReduceShape& r, double correction, const T* x, T* mean, T* var) {
  const DeviceGuard guard(device_);
  reduce_by(r, MomentsOf<T>{r, correction, x, mean, var}, x);
}

template void CudaArray<float>::reduce(const Reduce&, const ReduceShape&, const float*, float*);
template void CudaArray<float>::extreme(Extreme, const ReduceShape&, const float*, float*, int64_t*);
template void CudaArray<float>::extreme_backward(const ReduceShape&, const int64_t*, const float*, float*);
template void CudaArray<double>::reduce(const Reduce&, const ReduceShape&, const double*, double*);
template void CudaArray<double>::extreme(Extreme, const ReduceShape&, const double*, double*, int64_t*);
template void CudaArray<double>::extreme_backward(const ReduceShape&, const int64_t*, const double*, double*);
template void CudaArray<int64_t>::reduce(const Reduce&, const ReduceShape&, const int64_t*, int64_t*);
template void CudaArray<int64_t>::extreme(Extreme, const ReduceShape&, const int64_t*, int64_t*, int64_t*);
template void CudaArray<int64_t>::extreme_backward(const ReduceShape&, const int64_t*, const int64_t*, int64_t*);
template void CudaArray<uint8_t>::reduce(const Reduce&, const ReduceShape&, const uint8_t*, uint8_t*);
template void CudaArray<uint8_t>::extreme(Extreme, const ReduceShape&, const uint8_t*, uint8_t*, int64_t*);
template void CudaArray<uint8_t>::extreme_backward(const ReduceShape&, const int64_t*, const uint8_t*, uint8_t*);
template void CudaFloat<float>::var(const ReduceShape&, double, const float*, float*, float*);
template void CudaFloat<double>::var(const ReduceShape&, double, const double*, double*, double*);

}  // namespace tern::kernels
