/// Interpolation of planes, nearest or linear, and its gradient.
///
/// Forward: a thread computes one element of y, from one of x or four. Backward: a thread computes one element of dx,
/// from those of dy that it has a share in, in row-major order: first(), which finds them, is a guess that is put
/// right.
///
/// Bytes: x and y once, as long as neighbours find each other's elements in the cache. Arithmetic: a place in each
/// direction, some 10 operations, and 4 multiply-adds; backward the same for each element of dy that has to do with the
/// one of dx. The limit is bandwidth.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/device.cuh>
#include <tern/kernels/interpolate2d.hpp>

#include <algorithm>

namespace tern::kernels {
namespace {

using namespace cuda;

template <class I, class T>
__global__ void __launch_bounds__(block_size)
    interpolate(I n, InterpolationAxis<I, T> rows, InterpolationAxis<I, T> columns, const T* __restrict__ x,
                T* __restrict__ y) {
  wait_for_previous_kernels();
  for (I e = grid_thread<I>(); e < n; e += grid_threads<I>()) {
    const I line = e / columns.out, q = e - line * columns.out, plane = line / rows.out, p = line - plane * rows.out;
    const InterpolationSource<I, T> row = rows.source(p), column = columns.source(q);
    const T* const upper = x + (plane * rows.in + row.at) * columns.in;
    if (!rows.linear) {
      y[e] = upper[column.at];
      continue;
    }
    const T* const lower = x + (plane * rows.in + row.next) * columns.in;
    const T left = 1 - column.weight, up = 1 - row.weight;
    y[e] = up * (left * upper[column.at] + column.weight * upper[column.next]) +
           row.weight * (left * lower[column.at] + column.weight * lower[column.next]);
  }
}

template <class I, class T>
__global__ void __launch_bounds__(block_size, 4)
    interpolate_backward(I n, InterpolationAxis<I, T> rows, InterpolationAxis<I, T> columns, const T* __restrict__ dy,
                         T* __restrict__ dx) {
  wait_for_previous_kernels();
  for (I e = grid_thread<I>(); e < n; e += grid_threads<I>()) {
    const I line = e / columns.in, w = e - line * columns.in, plane = line / rows.in, h = line - plane * rows.in;
    const I to_p = rows.first(h + 1), from_q = columns.first_with(w), to_q = columns.first(w + 1);
    T total = 0;
#pragma unroll 1
    for (I p = rows.first_with(h); p < to_p; ++p) {
      const T* const in = dy + (plane * rows.out + p) * columns.out;
      T of_row = 0;
#pragma unroll 1
      for (I q = from_q; q < to_q; ++q) of_row += columns.source(q).part_of(w, in[q]);
      total += rows.source(p).part_of(h, of_row);
    }
    dx[e] = total;
  }
}

/// Calls f with the axes, their numbers in I.
template <class T, class F>
void with_axes(const Interpolate2dShape& s, F f) {
  with_index(std::max(s.N * s.H * s.W, s.N * s.P * s.Q), [&]<class I>(I) { f(rows_of<T, I>(s), columns_of<T, I>(s)); });
}

}  // namespace

template <class T>
void CudaFloat<T>::interpolate2d(const Interpolate2dShape& s, const T* x, T* y) {
  const DeviceGuard guard(device_);
  const int64_t n = s.N * s.P * s.Q;
  with_axes<T>(s, [&]<class I>(const InterpolationAxis<I, T>& rows, const InterpolationAxis<I, T>& columns) {
    launch(interpolate<I, T>, grid_for(n), block_size, 0, current_stream(), static_cast<I>(n), rows, columns, x, y);
  });
}

template <class T>
void CudaFloat<T>::interpolate2d_backward(const Interpolate2dShape& s, const T* dy, T* dx) {
  const DeviceGuard guard(device_);
  const int64_t n = s.N * s.H * s.W;
  with_axes<T>(s, [&]<class I>(const InterpolationAxis<I, T>& rows, const InterpolationAxis<I, T>& columns) {
    launch(interpolate_backward<I, T>, grid_for(n), block_size, 0, current_stream(), static_cast<I>(n), rows, columns,
           dy, dx);
  });
}

template void CudaFloat<float>::interpolate2d(const Interpolate2dShape&, const float*, float*);
template void CudaFloat<float>::interpolate2d_backward(const Interpolate2dShape&, const float*, float*);
template void CudaFloat<double>::interpolate2d(const Interpolate2dShape&, const double*, double*);
template void CudaFloat<double>::interpolate2d_backward(const Interpolate2dShape&, const double*, double*);

}  // namespace tern::kernels
