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
#include <tern/kernels/cuda/pool2d.cuh>

namespace tern::kernels {
namespace {

using namespace cuda;

template <class I, class T>
__global__ void __launch_bounds__(block_size)
    max_pool(Pool<I> s, const T* __restrict__ x, T* __restrict__ y, int64_t* __restrict__ indices) {
  wait_for_previous_kernels();
  s.for_each_window([&](I e, I plane, Window<I> window) {
    const T* const in = x + plane * s.H * s.W;
    const I best = s.pick(
        in, [](T v) { return v; }, window);
    y[e] = in[best];
    if (indices) indices[e] = best;
  });
}

template <class I, class T>
__global__ void __launch_bounds__(block_size)
    max_pool_backward(Pool<I> s, const int64_t* __restrict__ indices, const T* __restrict__ dy, T* __restrict__ dx) {
  wait_for_previous_kernels();
  s.template gather<T>([&](I out, I, I at, Window<I>) { return indices[out] == at ? dy[out] : T{0}; },
                       [&](I e, I, T total) { dx[e] = total; });
}

template <class I, class T>
__global__ void __launch_bounds__(block_size) avg_pool(Pool<I> s, const T* __restrict__ x, T* __restrict__ y) {
  wait_for_previous_kernels();
  s.for_each_window([&](I e, I plane, Window<I> window) {
    const T* const in = x + plane * s.H * s.W;
    T total = 0;
#pragma unroll 1
    for (I h = window.top; h < window.bottom; ++h) {
#pragma unroll 1
      for (I w = window.left; w < window.right; ++w) total += in[h * s.W + w];
    }
    y[e] = total / static_cast<T>(s.R * s.S);
  });
}

template <class I, class T>
__global__ void __launch_bounds__(block_size)
    avg_pool_backward(Pool<I> s, const T* __restrict__ dy, T* __restrict__ dx) {
  wait_for_previous_kernels();
  s.template gather<T>([&](I out, I, I, Window<I>) { return dy[out] / static_cast<T>(s.R * s.S); },
                       [&](I e, I, T total) { dx[e] = total; });
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
