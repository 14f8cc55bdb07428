/// A step of a recurrent layer, and its gradient: the matrix products are done, what is left are functions of each
/// element.
///
/// A thread has one of the H numbers of one sequence, so that the lanes of a warp read and write neighbours of every
/// operand. Bytes: each operand once; of an lstm 4 * 15 an element forward and 4 * 14 backward, of a gru 4 * 12 and
/// 4 * 15. Arithmetic: some 40 operations and up to five exponentials. The limit is bandwidth, or for a few thousand
/// elements the launch.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/device.cuh>

#include <cmath>

namespace tern::kernels {
namespace {

using namespace cuda;

template <class T>
__device__ T sigmoid(T x) {
  return 1 / (1 + std::exp(-x));
}

template <class T, class I>
__global__ void __launch_bounds__(block_size)
    plain_cell(I elements, bool is_tanh, const T* __restrict__ x, const T* __restrict__ r, T* __restrict__ after) {
  wait_for_previous_kernels();
  for (I at = grid_thread<I>(); at < elements; at += grid_threads<I>()) {
    const T sum = x[at] + r[at];
    after[at] = is_tanh ? std::tanh(sum) : sum <= 0 ? T{0} : sum;
  }
}

/// kept may be x.
template <class T, class I>
__global__ void __launch_bounds__(block_size)
    lstm_cell(I elements, I H, const T* x, const T* __restrict__ r, const T* __restrict__ before, T* kept,
              T* __restrict__ after, T* __restrict__ h) {
  wait_for_previous_kernels();
  for (I at = grid_thread<I>(); at < elements; at += grid_threads<I>()) {
    const I first = at + at / H * 3 * H;
    // Each is stored as soon as it is made: there are not registers enough for all of them in double.
    const T i = kept[first] = sigmoid(x[first] + r[first]);
    const T g = kept[first + 2 * H] = std::tanh(x[first + 2 * H] + r[first + 2 * H]);
    const T f = kept[first + H] = sigmoid(x[first + H] + r[first + H]);
    const T c = after[at] = f * before[at] + i * g;
    const T o = kept[first + 3 * H] = sigmoid(x[first + 3 * H] + r[first + 3 * H]);
    h[at] = o * std::tanh(c);
  }
}

template <class T, class I>
__global__ void __launch_bounds__(block_size)
    gru_cell(I elements, I H, const T* __restrict__ x, const T* __restrict__ r, const T* __restrict__ before,
             T* __restrict__ kept, T* __restrict__ after) {
  wait_for_previous_kernels();
  for (I at = grid_thread<I>(); at < elements; at += grid_threads<I>()) {
    const I first = at + at / H * 2 * H, to = at + at / H * 3 * H;
    const T s = sigmoid(x[first] + r[first]), z = sigmoid(x[first + H] + r[first + H]), third = r[first + 2 * H];
    const T n = std::tanh(x[first + 2 * H] + s * third);
    kept[to] = s;
    kept[to + H] = z;
    kept[to + 2 * H] = n;
    kept[to + 3 * H] = third;
    after[at] = (1 - z) * n + z * before[at];
  }
}

/// dy + dh, of which either may be null.
template <class T, class I>
__device__ T gradient_by_output(const T* dy, const T* dh, I at) {
  return (dy ? dy[at] : T{0}) + (dh ? dh[at] : T{0});
}

template <class T, class I>
__global__ void __launch_bounds__(block_size)
    plain_cell_backward(I elements, bool is_tanh, const T* __restrict__ after, const T* __restrict__ dy,
                        const T* __restrict__ dh, T* __restrict__ dx) {
  wait_for_previous_kernels();
  for (I at = grid_thread<I>(); at < elements; at += grid_threads<I>()) {
    const T h = after[at], g = gradient_by_output(dy, dh, at);
    dx[at] = is_tanh ? g * (1 - h * h) : h <= 0 ? T{0} : g;
  }
}

/// dx may be kept.
template <class T, class I>
__global__ void __launch_bounds__(block_size)
    lstm_cell_backward(I elements, I H, const T* kept, const T* __restrict__ before, const T* __restrict__ after,
                       const T* __restrict__ dy, const T* __restrict__ dh, T* __restrict__ carry, T* dx) {
  wait_for_previous_kernels();
  for (I at = grid_thread<I>(); at < elements; at += grid_threads<I>()) {
    const I first = at + at / H * 3 * H;
    const T i = kept[first], f = kept[first + H], g = kept[first + 2 * H], o = kept[first + 3 * H];
    const T c = std::tanh(after[at]), d = gradient_by_output(dy, dh, at), dc = carry[at] + d * o * (1 - c * c);
    dx[first] = dc * g * i * (1 - i);
    dx[first + H] = dc * before[at] * f * (1 - f);
    dx[first + 2 * H] = dc * i * (1 - g * g);
    dx[first + 3 * H] = d * c * o * (1 - o);
    carry[at] = dc * f;
  }
}

template <class T, class I>
__global__ void __launch_bounds__(block_size)
    gru_cell_backward(I elements, I H, const T* __restrict__ kept, const T* __restrict__ before,
                      const T* __restrict__ dy, const T* __restrict__ dh, T* __restrict__ carry, T* __restrict__ dx,
                      T* __restrict__ dr) {
  wait_for_previous_kernels();
  for (I at = grid_thread<I>(); at < elements; at += grid_threads<I>()) {
    const I first = at + at / H * 2 * H, from = at + at / H * 3 * H;
    const T s = kept[from], z = kept[from + H], n = kept[from + 2 * H], third = kept[from + 3 * H];
    const T all = gradient_by_output(dy, dh, at) + carry[at], dn = all * (1 - z) * (1 - n * n);
    const T ds = dn * third * s * (1 - s), dz = all * (before[at] - n) * z * (1 - z);
    dx[first] = ds;
    dx[first + H] = dz;
    dx[first + 2 * H] = dn;
    dr[first] = ds;
    dr[first + H] = dz;
    dr[first + 2 * H] = dn * s;
    carry[at] = all * z;
  }
}

}  // namespace

template <class T>
void CudaFloat<T>::recurrent_cell(const CellShape& s, const T* x, const T* r, const T* before, T* kept, T* after,
                                  T* h) {
  const DeviceGuard guard(device_);
  const int64_t n = s.N * s.H;
  with_index(4 * n, [&]<class I>(I) {
    if (s.cell == Cell::lstm) {
      launch(lstm_cell<T, I>, grid_for(n), block_size, 0, current_stream(), n, s.H, x, r, before, kept, after, h);
    } else if (s.cell == Cell::gru) {
      launch(gru_cell<T, I>, grid_for(n), block_size, 0, current_stream(), n, s.H, x, r, before, kept, after);
    } else {
      launch(plain_cell<T, I>, grid_for(n), block_size, 0, current_stream(), n, s.cell == Cell::tanh, x, r, after);
    }
  });
}

template <class T>
void CudaFloat<T>::recurrent_cell_backward(const CellShape& s, const T* kept, const T* before, const T* after,
                                           const T* dy, const T* dh, T* carry, T* dx, T* dr) {
  const DeviceGuard guard(device_);
  const int64_t n = s.N * s.H;
  with_index(4 * n, [&]<class I>(I) {
    if (s.cell == Cell::lstm) {
      launch(lstm_cell_backward<T, I>, grid_for(n), block_size, 0, current_stream(), n, s.H, kept, before, after, dy,
             dh, carry, dx);
    } else if (s.cell == Cell::gru) {
      launch(gru_cell_backward<T, I>, grid_for(n), block_size, 0, current_stream(), n, s.H, kept, before, dy, dh, carry,
             dx, dr);
    } else {
      launch(plain_cell_backward<T, I>, grid_for(n), block_size, 0, current_stream(), n, s.cell == Cell::tanh, after,
             dy, dh, dx);
    }
  });
}

template void CudaFloat<float>::recurrent_cell(const CellShape&, const float*, const float*, const float*, float*,
                                               float*, float*);
template void CudaFloat<float>::recurrent_cell_backward(const CellShape&, const float*, const float*, const float*,
                                                        const float*, const float*, float*, float*, float*);
template void CudaFloat<double>::recurrent_cell(const CellShape&, const double*, const double*, const double*, double*,
                                                double*, double*);
template void CudaFloat<double>::recurrent_cell_backward(const CellShape&, const double*, const double*, const double*,
                                                         const double*, const double*, double*, double*, double*);

}  // namespace tern::kernels
