/// Max and average pooling over windows [R, S], and their gradients.
///
/// Forward: a thread computes one window. Backward: a thread computes one element of dx, by a look at each of the
/// windows that cover it, in row-major order; it gathers, so overlapping windows need no atomics and add up in the same
/// order each time.
///
/// Bytes, as long as overlapping windows find each other's elements in the cache: x and y once, indices (8 bytes a
/// window) once; backward dy, indices and dx. Arithmetic: R * S comparisons or additions a window. The limit is
/// bandwidth, and for windows of 2 x 2 the number of loads: two neighbours of 4 bytes to a thread.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/device.cuh>

namespace tern::kernels {
namespace {

using namespace cuda;

/// Pool2dShape with its numbers in I, x being `planes` of [H, W].
template <class I>
struct Pool {
  I planes, H, W, P, Q, R, S, stride_h, stride_w, pad_h, pad_w;

  explicit Pool(const Pool2dShape& s)
      : planes(static_cast<I>(s.N * s.C)),
        H(static_cast<I>(s.H)),
        W(static_cast<I>(s.W)),
        P(static_cast<I>(s.P())),
        Q(static_cast<I>(s.Q())),
        R(static_cast<I>(s.R)),
        S(static_cast<I>(s.S)),
        stride_h(static_cast<I>(s.stride_h)),
        stride_w(static_cast<I>(s.stride_w)),
        pad_h(static_cast<I>(s.pad_h)),
        pad_w(static_cast<I>(s.pad_w)) {}

  /// Calls f(y's number, x's plane, top, bottom, left, right), the window without its padding, for this thread's.
  template <class F>
  __device__ void for_each_window(F f) const {
    for (I e = grid_thread<I>(); e < planes * P * Q; e += grid_threads<I>()) {
      const I row = e / Q, q = e - row * Q, plane = row / P, p = row - plane * P;
      const I top = p * stride_h - pad_h, left = q * stride_w - pad_w;
      f(e, plane, max(top, I{0}), min(top + R, H), max(left, I{0}), min(left + S, W));
    }
  }

  /// dx = the sum of part(window, place in the plane) over the windows that cover an element, for this thread's.
  template <class T, class F>
  __device__ void gather(T* dx, F part) const {
    for (I e = grid_thread<I>(); e < planes * H * W; e += grid_threads<I>()) {
      const I row = e / W, w = e - row * W, plane = row / H, h = row - plane * H;
      // Window p covers h if p * stride_h <= h + pad_h < p * stride_h + R.
      const I from_p = max(h + pad_h - R + stride_h, I{0}) / stride_h, to_p = min((h + pad_h) / stride_h + 1, P);
      const I from_q = max(w + pad_w - S + stride_w, I{0}) / stride_w, to_q = min((w + pad_w) / stride_w + 1, Q);
      T total = 0;
      for (I p = from_p; p < to_p; ++p) {
        for (I q = from_q; q < to_q; ++q) total += part((plane * P + p) * Q + q, h * W + w);
      }
      dx[e] = total;
    }
  }
};

template <class I, class T>
__global__ void __launch_bounds__(block_size)
    max_pool(Pool<I> s, const T* __restrict__ x, T* __restrict__ y, int64_t* __restrict__ indices) {
  s.for_each_window([&](I window, I plane, I top, I bottom, I left, I right) {
    const T* const in = x + plane * s.H * s.W;
    I best = top * s.W + left;
    T largest = in[best];
    for (I h = top; h < bottom; ++h) {
      for (I w = left; w < right; ++w) {
        const T v = in[h * s.W + w];
        if (v > largest || (v != v && largest == largest)) {
          largest = v;
          best = h * s.W + w;
        }
      }
    }
    y[window] = largest;
    if (indices) indices[window] = best;
  });
}

template <class I, class T>
__global__ void __launch_bounds__(block_size)
    max_pool_backward(Pool<I> s, const int64_t* __restrict__ indices, const T* __restrict__ dy, T* __restrict__ dx) {
  s.gather(dx, [&](I window, I at) { return indices[window] == at ? dy[window] : T{0}; });
}

template <class I, class T>
__global__ void __launch_bounds__(block_size) avg_pool(Pool<I> s, const T* __restrict__ x, T* __restrict__ y) {
  s.for_each_window([&](I window, I plane, I top, I bottom, I left, I right) {
    const T* const in = x + plane * s.H * s.W;
    T total = 0;
    for (I h = top; h < bottom; ++h) {
      for (I w = left; w < right; ++w) total += in[h * s.W + w];
    }
    y[window] = total / static_cast<T>(s.R * s.S);
  });
}

template <class I, class T>
__global__ void __launch_bounds__(block_size)
    avg_pool_backward(Pool<I> s, const T* __restrict__ dy, T* __restrict__ dx) {
  s.gather(dx, [&](I window, I) { return dy[window] / static_cast<T>(s.R * s.S); });
}

int64_t elements_in(const Pool2dShape& s) { return s.N * s.C * s.H * s.W; }
int64_t elements_out(const Pool2dShape& s) { return s.N * s.C * s.P() * s.Q(); }

template <class F>
void with_pool(const Pool2dShape& s, F f) {
  with_index(std::max(elements_in(s), elements_out(s)), [&]<class I>(I) { f(Pool<I>(s)); });
}

}  // namespace

template <class T>
void CudaFloat<T>::max_pool2d(const Pool2dShape& s, const T* x, T* y, int64_t* indices) {
  const DeviceGuard guard(device_);
  with_pool(s, [&]<class I>(const Pool<I>& pool) {
    launch(max_pool<I, T>, grid_for(elements_out(s)), block_size, 0, current_stream(), pool, x, y, indices);
  });
}

template <class T>
void CudaFloat<T>::max_pool2d_backward(const Pool2dShape& s, const int64_t* indices, const T* dy, T* dx) {
  const DeviceGuard guard(device_);
  with_pool(s, [&]<class I>(const Pool<I>& pool) {
    launch(max_pool_backward<I, T>, grid_for(elements_in(s)), block_size, 0, current_stream(), pool, indices, dy, dx);
  });
}

template <class T>
void CudaFloat<T>::avg_pool2d(const Pool2dShape& s, const T* x, T* y) {
  const DeviceGuard guard(device_);
  with_pool(s, [&]<class I>(const Pool<I>& pool) {
    launch(avg_pool<I, T>, grid_for(elements_out(s)), block_size, 0, current_stream(), pool, x, y);
  });
}

template <class T>
void CudaFloat<T>::avg_pool2d_backward(const Pool2dShape& s, const T* dy, T* dx) {
  const DeviceGuard guard(device_);
  with_pool(s, [&]<class I>(const Pool<I>& pool) {
    launch(avg_pool_backward<I, T>, grid_for(elements_in(s)), block_size, 0, current_stream(), pool, dy, dx);
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
