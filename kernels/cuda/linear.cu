/// y = f(x w' + bias), f an activation, and its gradient.
///
/// Small products, as those of a classifier's head, are bound by launches and by the time that a load takes, not by
/// arithmetic: here is one kernel each way, whose blocks are many and whose threads share the sums among themselves.
///
/// `forward`: a block computes 4 rows by 4 outputs. Its 128 threads each take every 128th element of the inner
/// dimension, 8 loads for 16 multiplications; their sums are joined through shared memory, 8 threads to an output.
/// `backward`: some blocks compute dx, others dw, each 4 rows by 32 columns of it. With g = dy * f'(y) both are sums of
/// g[l] times a row of w, or of x, and a lane has a column, so that a warp reads 128 neighbouring bytes. 64 values of l
/// at a time have their g in shared memory, computed there from dy and y; the 8 warps share them, and their sums are
/// joined at the end. The blocks of dw's first columns have all of g at hand, and sum it to dbias.
///
/// Large products are cuBLAS's, and then `finish` adds the bias and applies f in one pass over y, while
/// `gradient_before` computes g and dbias in one pass over dy, the last block of each 32 columns finishing their sums.
///
/// Bytes: x, w and y once, the second time from the cache: x is read by out / 4 blocks, w by rows / 4. Backward x, w, y
/// and dy, dx and dw. Arithmetic: 2 * rows * in * out, backward twice that.
///
/// Sums run in T. A thread adds up at most 32 products forward, 8 before it goes on to the next 64 of l backward.

#include <tern/kernels/cuda/activation.cuh>
#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/device.cuh>

#include <cmath>

namespace tern::kernels {
namespace {

using namespace cuda;

constexpr int tile_rows = 4, tile_outputs = 4;
constexpr int forward_threads = 128, longest_inner = 32 * forward_threads;

/// in is at most longest_inner.
template <class T>
__global__ void __launch_bounds__(forward_threads)
    forward(LinearShape s, const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ bias,
            T* __restrict__ y) {
  wait_for_previous_kernels();
  constexpr int outputs = tile_rows * tile_outputs, parts = forward_threads / outputs;
  constexpr int row = forward_threads + parts;  // the outputs of a warp's lanes begin in banks of their own
  __shared__ T sums[outputs * row];
  const int64_t across = ceil_div(s.out, tile_outputs), tiles = ceil_div(s.rows, tile_rows) * across;
  const int in = static_cast<int>(s.in), thread = static_cast<int>(threadIdx.x);
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const int64_t first_row = tile / across * tile_rows, first_output = tile % across * tile_outputs;
    // Beyond the edges the last row, and the last output, are computed again.
    const T *of_x[tile_rows], *of_w[tile_outputs];
#pragma unroll
    for (int r = 0; r < tile_rows; ++r) of_x[r] = x + min(first_row + r, s.rows - 1) * s.in;
#pragma unroll
    for (int o = 0; o < tile_outputs; ++o) of_w[o] = w + min(first_output + o, s.out - 1) * s.in;
    T total[tile_rows][tile_outputs] = {};
#pragma unroll 2
    for (int i = thread; i < in; i += forward_threads) {
      T a[tile_rows], b[tile_outputs];
#pragma unroll
      for (int r = 0; r < tile_rows; ++r) a[r] = of_x[r][i];
#pragma unroll
      for (int o = 0; o < tile_outputs; ++o) b[o] = of_w[o][i];
#pragma unroll
      for (int r = 0; r < tile_rows; ++r) {
#pragma unroll
        for (int o = 0; o < tile_outputs; ++o) total[r][o] += a[r] * b[o];
      }
    }
#pragma unroll
    for (int r = 0; r < tile_rows; ++r) {
#pragma unroll
      for (int o = 0; o < tile_outputs; ++o) sums[(r * tile_outputs + o) * row + thread] = total[r][o];
    }
    __syncthreads();
    const int output = thread / parts, part = thread % parts;
    T sum = 0;
#pragma unroll
    for (int j = 0; j < outputs; ++j) sum += sums[output * row + j * parts + part];
#pragma unroll
    for (int lanes = parts / 2; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(all_lanes, sum, lanes);
    const int64_t r = first_row + output / tile_outputs, o = first_output + output % tile_outputs;
    if (part == 0 && r < s.rows && o < s.out) y[r * s.out + o] = activated(s.activation, bias ? sum + bias[o] : sum);
    __syncthreads();  // or the next tile's sums would overwrite what a slow warp has yet to read
  }
}

constexpr int backward_rows = 4, chunk = 64, warps = block_size / warp_threads;

/// Of backward's blocks the first `dx_tiles` compute dx, the others dw and dbias.
template <class T>
__global__ void __launch_bounds__(block_size)
    backward(LinearShape s, int64_t dx_tiles, int64_t across, const T* __restrict__ x, const T* __restrict__ w,
             const T* __restrict__ y, const T* __restrict__ dy, T* __restrict__ dx, T* __restrict__ dw,
             T* __restrict__ dbias) {
  wait_for_previous_kernels();
  __shared__ T g[chunk][backward_rows], sums[warps][backward_rows][warp_threads];
  const int thread = static_cast<int>(threadIdx.x), lane = thread % warp_threads, warp = thread / warp_threads;
  // dx [rows, in] = g w, dw [out, in] = g' x: m counts the result's rows, l what is summed over.
  const bool is_dx = blockIdx.x < dx_tiles;
  const int64_t tile = is_dx ? blockIdx.x : blockIdx.x - dx_tiles;
  const int64_t first_m = tile / across * backward_rows, column = tile % across * warp_threads + lane;
  const int64_t M = is_dx ? s.rows : s.out, L = is_dx ? s.out : s.rows;
  const int64_t step_m = is_dx ? s.out : 1, step_l = is_dx ? 1 : s.out;
  const T* const from = is_dx ? w : x;
  T* const to = is_dx ? dx : dw;
  const bool has_bias = !is_dx && dbias && tile % across == 0, has_column = to && column < s.in;

  // Which g this thread computes: neighbours in memory by neighbouring threads.
  const int g_m = is_dx ? thread / chunk : thread % backward_rows,
            g_l = is_dx ? thread % chunk : thread / backward_rows;
  const int64_t own_m = first_m + g_m;

  T total[backward_rows] = {}, total_bias = 0;
  for (int64_t first_l = 0; first_l < L; first_l += chunk) {
    const int64_t l = first_l + g_l;
    g[g_l][g_m] = own_m < M && l < L ? gradient_at(s.activation, y, dy, own_m * step_m + l * step_l) : T{0};
    __syncthreads();
    if (has_column) {
      const int length = static_cast<int>(min(L - first_l, int64_t{chunk}));
      const T* const at = from + first_l * s.in + column;
      T part[backward_rows] = {};
#pragma unroll 4
      for (int j = warp; j < length; j += warps) {
        const T v = at[j * s.in];
#pragma unroll
        for (int m = 0; m < backward_rows; ++m) part[m] += g[j][m] * v;
      }
#pragma unroll
      for (int m = 0; m < backward_rows; ++m) total[m] += part[m];
    }
    if (has_bias && warp < backward_rows) total_bias += g[lane][warp] + g[lane + warp_threads][warp];
    __syncthreads();
  }
  if (has_bias && warp < backward_rows) {
    total_bias = warp_sum(total_bias);
    if (lane == 0 && first_m + warp < M) dbias[first_m + warp] = total_bias;
  }
#pragma unroll
  for (int m = 0; m < backward_rows; ++m) sums[warp][m][lane] = total[m];
  __syncthreads();
  if (warp < backward_rows && has_column && first_m + warp < M) {
    T sum = 0;
#pragma unroll
    for (int other = 0; other < warps; ++other) sum += sums[other][warp][lane];
    to[(first_m + warp) * s.in + column] = sum;
  }
}

/// y = f(y + bias), in place. bias may be null.
template <class T, class I>
__global__ void __launch_bounds__(block_size) finish(I n, I out, Activation f, const T* __restrict__ bias, T* y) {
  wait_for_previous_kernels();
  for (I i = grid_thread<I>(); i < n; i += grid_threads<I>()) y[i] = activated(f, bias ? y[i] + bias[i % out] : y[i]);
}

/// Rows that a thread of `gradient_before` adds up, and those of its block.
constexpr int strip = 16, run = strip * warps;

/// g = dy * f'(y), and dbias its sums down the columns. g may be null, or else dbias and what it needs. The blocks are
/// [runs, 32 columns]; partial [runs, out] is the sum over each run, and there is a counter for each 32 columns.
template <class T>
__global__ void __launch_bounds__(block_size)
    gradient_before(LinearShape s, const T* y, const T* dy, T* g, T* partial, unsigned* counter, T* dbias) {
  wait_for_previous_kernels();
  __shared__ T sums[warps][warp_threads];
  const int lane = static_cast<int>(threadIdx.x) % warp_threads, warp = static_cast<int>(threadIdx.x) / warp_threads;
  const int64_t column = int64_t{blockIdx.y} * warp_threads + lane, first = int64_t{blockIdx.x} * run;
  const int64_t end = min(first + run, s.rows);
  T total = 0;
  if (column < s.out) {
    for (int64_t r = first + warp; r < end; r += warps) {
      const T v = gradient_at(s.activation, y, dy, r * s.out + column);
      if (g) g[r * s.out + column] = v;
      total += v;
    }
  }
  if (dbias == nullptr) return;
  const auto over_warps = [&](T value) {
    sums[warp][lane] = value;
    __syncthreads();
    T sum = 0;
    for (const auto& of_warp : sums) sum += of_warp[lane];
    __syncthreads();
    return sum;
  };
  total = over_warps(total);
  if (warp == 0 && column < s.out) partial[blockIdx.x * s.out + column] = total;
  if (!is_last_block(counter + blockIdx.y, gridDim.x)) return;
  total = 0;
  if (column < s.out) {
    for (int64_t i = warp; i < gridDim.x;) {
      T sum = 0;
      for (int j = 0; j < strip && i < gridDim.x; ++j, i += warps) sum += partial[i * s.out + column];
      total += sum;
    }
  }
  total = over_warps(total);
  if (warp == 0 && column < s.out) dbias[column] = total;
}

/// Multiplications that the kernels here are as good for as cuBLAS's.
constexpr int64_t small = 1 << 24;

}  // namespace

template <class T>
void CudaFloat<T>::linear(const LinearShape& s, const T* x, const T* w, const T* bias, T* y) {
  const DeviceGuard guard(device_);
  const int64_t n = s.rows * s.out;
  if (n <= 1 << 16 && s.in <= longest_inner && n * s.in <= small) {
    const int64_t tiles = ceil_div(s.rows, tile_rows) * ceil_div(s.out, tile_outputs);
    launch(forward<T>, grid_for(tiles, 1), forward_threads, 0, current_stream(), s, x, w, bias, y);
    return;
  }
  matmul({.m = s.rows, .n = s.out, .k = s.in, .trans_b = true, .precision = s.precision}, x, w, y);
  if (bias == nullptr && s.activation == Activation::none) return;
  with_index(n, [&]<class I>(I) {
    launch(finish<T, I>, grid_for(n), block_size, 0, current_stream(), n, s.out, s.activation, bias, y);
  });
}

template <class T>
void CudaFloat<T>::linear_backward(const LinearShape& s, const T* x, const T* w, const T* y, const T* dy, T* dx, T* dw,
                                   T* dbias) {
  const DeviceGuard guard(device_);
  if (s.rows <= 1024 && s.out <= 1024 && std::max<int64_t>(s.rows * s.out, 1) * s.in <= small) {
    const int64_t across = std::max<int64_t>(ceil_div(s.in, warp_threads), 1);
    const int64_t dx_tiles = dx ? ceil_div(s.rows, backward_rows) * across : 0;
    // Without dw only dbias is left, which the blocks of its first columns compute.
    const int64_t dw_tiles = dw || dbias ? ceil_div(s.out, backward_rows) * across : 0;
    launch(backward<T>, static_cast<unsigned>(dx_tiles + dw_tiles), block_size, 0, current_stream(), s, dx_tiles,
           across, x, w, y, dy, dx, dw, dbias);
    return;
  }
  const bool has_activation = s.activation != Activation::none;
  const Scratch<T> before(has_activation && (dx || dw) ? s.rows * s.out : 0);
  if (before.data() || dbias) {
    const int64_t runs = std::max<int64_t>(ceil_div(s.rows, run), 1), across = ceil_div(s.out, warp_threads);
    const Scratch<T> partial(dbias ? runs * s.out : 0);
    launch(gradient_before<T>, dim3(static_cast<unsigned>(runs), static_cast<unsigned>(across)), block_size, 0,
           current_stream(), s, y, dy, before.data(), partial.data(), dbias ? counters(across) : nullptr, dbias);
  }
  const T* const g = has_activation ? before.data() : dy;
  if (dx) matmul({.m = s.rows, .n = s.in, .k = s.out, .precision = s.precision}, g, w, dx);
  if (dw) matmul({.m = s.out, .n = s.in, .k = s.rows, .trans_a = true, .precision = s.precision}, g, x, dw);
}

template void CudaFloat<float>::linear(const LinearShape&, const float*, const float*, const float*, float*);
template void CudaFloat<float>::linear_backward(const LinearShape&, const float*, const float*, const float*,
                                                const float*, float*, float*, float*);
template void CudaFloat<double>::linear(const LinearShape&, const double*, const double*, const double*, double*);
template void CudaFloat<double>::linear_backward(const LinearShape&, const double*, const double*, const double*,
                                                 const double*, double*, double*, double*);

}  // namespace tern::kernels
