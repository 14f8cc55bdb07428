/// Max and average pooling over windows [R, S], and their gradients.
///
/// Forward: a thread computes one window. Backward: a thread computes one element of dx, by a look at each of the
/// windows that cover it, in row-major order; it gathers, so overlapping windows need no atomics and add up in the same
/// order each time. Windows two columns wide that lie side by side, the common case, are a thread's both ways, which
/// reads and writes each row of one as a pair: a warp's 256 bytes are 8 whole sectors.
///
/// Bytes, as long as overlapping windows find each other's elements in the cache: x and y once, indices (8 bytes a
/// window) once; backward dy, indices and dx. Arithmetic: R * S comparisons or additions a window. The limit is
/// bandwidth.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/pool2d.cuh>

namespace tern::kernels {
namespace {

using namespace cuda;

template <class I, bool plain, class T>
__global__ void __launch_bounds__(block_size, 4)
    max_pool(Pool<I, plain> s, const T* __restrict__ x, T* __restrict__ y, int64_t* __restrict__ indices) {
  wait_for_previous_kernels();
  s.for_each_window([&](I e, I plane, Window<I> window) {
    const T* const in = x + plane * s.H * s.W;
    const I best = s.pick(
        in, [](T v) { return v; }, window);
    y[e] = in[best];
    if (indices) indices[e] = best;
  });
}

template <class I, bool plain, class T>
__global__ void __launch_bounds__(block_size) max_pool_backward(Pool<I, plain> s, const int64_t* __restrict__ indices,
                                                                const T* __restrict__ dy, T* __restrict__ dx) {
  wait_for_previous_kernels();
  s.template gather<T>([&](I out, I, I at, Window<I>) { return indices[out] == at ? dy[out] : T{0}; },
                       [&](I e, I, T total) { dx[e] = total; });
}

template <class I, bool plain, class T>
__global__ void __launch_bounds__(block_size) avg_pool(Pool<I, plain> s, const T* __restrict__ x, T* __restrict__ y) {
  wait_for_previous_kernels();
  s.for_each_window([&](I e, I plane, Window<I> window) {
    const T* const in = x + plane * s.H * s.W;
    T total = 0;
#pragma unroll 1
    for (I h = window.top; h < window.bottom; ++h) {
#pragma unroll 1
      for (I w = window.left; w < window.right; ++w) total += in[h * s.W + w];
    }
    y[e] = total / static_cast<T>(window.divisor);
  });
}

template <class I, bool plain, class T>
__global__ void __launch_bounds__(block_size)
    avg_pool_backward(Pool<I, plain> s, const T* __restrict__ dy, T* __restrict__ dx) {
  wait_for_previous_kernels();
  s.template gather<T>([&](I out, I, I, Window<I> window) { return dy[out] / static_cast<T>(window.divisor); },
                       [&](I e, I, T total) { dx[e] = total; });
}

/// Calls f(y's number, the place in its plane of a window's first element, that plane's first element), for this
/// thread's windows of two columns side by side.
template <class I, class F>
__device__ void for_each_pair(const Pool<I>& s, F f) {
  for (I e = grid_thread<I>(); e < s.planes * s.P * s.Q; e += grid_threads<I>()) {
    const I row = e / s.Q, q = e - row * s.Q, plane = row / s.P, p = row - plane * s.P;
    f(e, p * s.R * s.W + 2 * q, plane * s.H * s.W);
  }
}

template <class I, class T>
__global__ void __launch_bounds__(block_size)
    max_pool_pairs(Pool<I> s, const T* __restrict__ x, T* __restrict__ y, int64_t* __restrict__ indices) {
  wait_for_previous_kernels();
  for_each_pair(s, [&](I e, I first, I plane) {
    Pack<T, 2> pair = load_pack<2>(x + plane + first);
    T largest = pair.at[0];
    I best = first;
    for (I r = 0;;) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        if (pair.at[j] > largest || (pair.at[j] != pair.at[j] && largest == largest)) {
          largest = pair.at[j];
          best = first + r * s.W + j;
        }
      }
      if (++r == s.R) break;
      pair = load_pack<2>(x + plane + first + r * s.W);
    }
    y[e] = largest;
    if (indices) indices[e] = best;
  });
}

template <class I, class T>
__global__ void __launch_bounds__(block_size) avg_pool_pairs(Pool<I> s, const T* __restrict__ x, T* __restrict__ y) {
  wait_for_previous_kernels();
  for_each_pair(s, [&](I e, I first, I plane) {
    T total = 0;
    for (I r = 0; r < s.R; ++r) {
      const Pack<T, 2> pair = load_pack<2>(x + plane + first + r * s.W);
      total += pair.at[0];
      total += pair.at[1];
    }
    y[e] = total / static_cast<T>(2 * s.R);
  });
}

/// Of max pooling, or without indices of averages. A thread also has the places below the last window, which is too
/// small for one.
template <class I, class T>
__global__ void __launch_bounds__(block_size)
    pool_pairs_backward(Pool<I> s, const int64_t* __restrict__ indices, const T* __restrict__ dy, T* __restrict__ dx) {
  wait_for_previous_kernels();
  const I rows = (s.H + s.R - 1) / s.R;
  for (I i = grid_thread<I>(); i < s.planes * rows * s.Q; i += grid_threads<I>()) {
    const I row = i / s.Q, q = i - row * s.Q, plane = row / rows, p = row - plane * rows;
    const bool within = p < s.P;
    const I e = (plane * s.P + p) * s.Q + q, bottom = min((p + 1) * s.R, s.H);
    T g = within ? dy[e] : T{0};
    if (!indices) g /= static_cast<T>(2 * s.R);
    const int64_t picked = within && indices ? indices[e] : -1;
    for (I h = p * s.R; h < bottom; ++h) {
      const I at = h * s.W + 2 * q;
      Pack<T, 2> pair{{g, g}};
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        if (indices && at + j != picked) pair.at[j] = 0;
      }
      store_pack(dx + plane * s.H * s.W + at, pair);
    }
  }
}

/// Whether windows are pairs of columns side by side in all of x.
template <class T>
bool has_pairs(const Pool2dShape& s, const T* x) {
  return s.side_by_side() && s.S == 2 && s.W % 2 == 0 && is_aligned<T, 2>(x);
}

template <class T>
void launch_pairs_backward(const Pool2dShape& s, const int64_t* indices, const T* dy, T* dx) {
  with_pool(s, [&]<class I>(const Pool<I>& pool) {
    launch(pool_pairs_backward<I, T>, grid_for(elements_in(s) / (2 * s.R)), block_size, 0, current_stream(), pool,
           indices, dy, dx);
  });
}

/// Calls f with the Pool of any pooling.
template <class F>
void with_any_pool(const Pool2dShape& s, F f) {
  if (s.is_plain()) return with_pool(s, f);
  with_index(largest_number(s), [&]<class I>(I) { f(Pool<I, false>(s)); });
}

}  // namespace

template <class T>
void CudaFloat<T>::max_pool2d(const Pool2dShape& s, const T* x, T* y, int64_t* indices) {
  const DeviceGuard guard(device_);
  const unsigned grid = grid_for(elements_out(s));
  if (has_pairs(s, x)) {
    return with_pool(s, [&]<class I>(const Pool<I>& pool) {
      launch(max_pool_pairs<I, T>, grid, block_size, 0, current_stream(), pool, x, y, indices);
    });
  }
  with_any_pool(s, [&]<class I, bool plain>(const Pool<I, plain>& pool) {
    launch(max_pool<I, plain, T>, grid, block_size, 0, current_stream(), pool, x, y, indices);
  });
}

template <class T>
void CudaFloat<T>::max_pool2d_backward(const Pool2dShape& s, const int64_t* indices, const T* dy, T* dx) {
  const DeviceGuard guard(device_);
  if (has_pairs(s, dx)) return launch_pairs_backward(s, indices, dy, dx);
  with_any_pool(s, [&]<class I, bool plain>(const Pool<I, plain>& pool) {
    launch(max_pool_backward<I, plain, T>, grid_for(elements_in(s)), block_size, 0, current_stream(), pool, indices, dy,
           dx);
  });
}

template <class T>
void CudaFloat<T>::avg_pool2d(const Pool2dShape& s, const T* x, T* y) {
  const DeviceGuard guard(device_);
  const unsigned grid = grid_for(elements_out(s));
  if (has_pairs(s, x)) {
    return with_pool(s, [&]<class I>(const Pool<I>& pool) {
      launch(avg_pool_pairs<I, T>, grid, block_size, 0, current_stream(), pool, x, y);
    });
  }
  with_any_pool(s, [&]<class I, bool plain>(const Pool<I, plain>& pool) {
    launch(avg_pool<I, plain, T>, grid, block_size, 0, current_stream(), pool, x, y);
  });
}

template <class T>
void CudaFloat<T>::avg_pool2d_backward(const Pool2dShape& s, const T* dy, T* dx) {
  const DeviceGuard guard(device_);
  if (has_pairs(s, dx)) return launch_pairs_backward<T>(s, nullptr, dy, dx);
  with_any_pool(s, [&]<class I, bool plain>(const Pool<I, plain>& pool) {
    launch(avg_pool_backward<I, plain, T>, grid_for(elements_in(s)), block_size, 0, current_stream(), pool, dy, dx);
  });
}

template void CudaFloat<float>::max_pool2d(const Pool2dShape&, const float*, float*, int64_t*);
template void CudaFloat<float>::max_pool2d_backward(const Pool2dShape&, const int64_t*, const float*, float*);
template void CudaFloat<float>::avg_pool2d(const Pool2dShape&, const float*, float*);
template void CudaFloat<float>::avg_pool2d_backward(const Pool2dShape&, const float*, float*);
template void CudaFloat<double>::max_pool2d(const Pool2dShape&, const double*, double*, int64_t*);
template void CudaFloat<double>::max_pool2d_backward(const Pool2dShape&, const int64_t*, const double*, double*);
template void CudaFloat<double>::avg_pool2d(const Pool2dShape&, const double*, double*);
template void CudaFloat<double>::avg_pool2d_backward(const Pool2dShape&, const double*, double*);

}  // namespace tern::kernels
