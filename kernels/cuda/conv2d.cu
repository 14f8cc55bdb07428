/// Convolution and its gradients: direct kernels for any stride, padding, dilation and groups, and tiled ones for the
/// filters of most networks, 3 x 3 with stride 1.
///
/// Direct. conv2d and conv2d_backward_input: a thread computes one element of y, or of dx, and reads what it needs
/// through the cache. conv2d_backward_weight: a block computes the R * S weights between one pair of channels over a
/// share of the batch, its threads taking turns at the pixels, and sums over the block for each weight.
///
/// Tiled, forward. A block computes 16 x 16 pixels of 8 output channels, a thread 2 pixels of each: 16 sums in
/// registers. The block stages 4 input channels at a time in shared memory, the tile with its rim and the weights; a
/// thread reads 12 of x and 9 x 8 weights (the same for all threads, 4 to a load) for 144 multiply-adds. The gradient
/// by x is the same kernel on dy with the channels of w exchanged and its taps reversed.
///
/// Tiled, gradient by w. A lane is a pair of 8 output and 4 input channels and keeps its 9 weights in registers; each
/// warp of the block takes one of 8 rows of dy and walks along it, for each pixel reading one dy and three new x, the
/// other six being those of the pixel before. The 8 warps' sums meet in shared memory.
///
/// Both gradients by w are made in two stages: each share of the batch has sums of its own, and `sum` adds the shares
/// up. So the order of addition hangs on the shape alone. dbias is two sums: of each plane, then over the batch.
///
/// Bytes: x, w and y once, when the tiles are large against their rims; the 8-channel blocks of one tile read x from
/// the L2 cache. Arithmetic: 2 * N * K * P * Q * C / groups * R * S, forward and for each of the gradients. Thin layers
/// (a few channels) are limited by bandwidth, or by too few blocks to fill the GPU, wide ones by fp32 arithmetic.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/device.cuh>

namespace tern::kernels {
namespace {

using namespace cuda;

/// Conv2dShape with its numbers in I, and the channels of one group.
template <class I>
struct Conv {
  I N, C, H, W, K, R, S, P, Q, group_C, group_K;
  I stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;

  explicit Conv(const Conv2dShape& s)
      : N(static_cast<I>(s.N)),
        C(static_cast<I>(s.C)),
        H(static_cast<I>(s.H)),
        W(static_cast<I>(s.W)),
        K(static_cast<I>(s.K)),
        R(static_cast<I>(s.R)),
        S(static_cast<I>(s.S)),
        P(static_cast<I>(s.P())),
        Q(static_cast<I>(s.Q())),
        group_C(static_cast<I>(s.C / s.groups)),
        group_K(static_cast<I>(s.K / s.groups)),
        stride_h(static_cast<I>(s.stride_h)),
        stride_w(static_cast<I>(s.stride_w)),
        pad_h(static_cast<I>(s.pad_h)),
        pad_w(static_cast<I>(s.pad_w)),
        dilation_h(static_cast<I>(s.dilation_h)),
        dilation_w(static_cast<I>(s.dilation_w)) {}
};

template <class I, class T>
__global__ void __launch_bounds__(block_size, 2)
    direct_forward(Conv<I> s, const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ bias,
                   T* __restrict__ y) {
  for (I e = grid_thread<I>(); e < s.N * s.K * s.P * s.Q; e += grid_threads<I>()) {
    const I row = e / s.Q, q = e - row * s.Q, plane = row / s.P, p = row - plane * s.P, n = plane / s.K,
            k = plane - n * s.K;
    const T* in = x + (n * s.C + k / s.group_K * s.group_C) * s.H * s.W;
    const T* filter = w + k * s.group_C * s.R * s.S;
    const I top = p * s.stride_h - s.pad_h, left = q * s.stride_w - s.pad_w;
    T total = 0;
    for (I c = 0; c < s.group_C; ++c, in += s.H * s.W) {
      for (I r = 0; r < s.R; ++r) {
        const I h = top + r * s.dilation_h;
        for (I t = 0; t < s.S; ++t, ++filter) {
          const I at = left + t * s.dilation_w;
          if (h >= 0 && h < s.H && at >= 0 && at < s.W) total += *filter * in[h * s.W + at];
        }
      }
    }
    y[e] = bias ? total + bias[k] : total;
  }
}

template <class I, class T>
__global__ void __launch_bounds__(block_size)
    direct_backward_input(Conv<I> s, const T* __restrict__ w, const T* __restrict__ dy, T* __restrict__ dx) {
  for (I e = grid_thread<I>(); e < s.N * s.C * s.H * s.W; e += grid_threads<I>()) {
    const I row = e / s.W, column = e - row * s.W, plane = row / s.H, h = row - plane * s.H, n = plane / s.C,
            channel = plane - n * s.C, group = channel / s.group_C, c = channel - group * s.group_C;
    T total = 0;
    for (I r = 0; r < s.R; ++r) {
      const I down = h + s.pad_h - r * s.dilation_h, p = down / s.stride_h;
      if (down < 0 || p * s.stride_h != down || p >= s.P) continue;
      for (I t = 0; t < s.S; ++t) {
        const I along = column + s.pad_w - t * s.dilation_w, q = along / s.stride_w;
        if (along < 0 || q * s.stride_w != along || q >= s.Q) continue;
        const I first = group * s.group_K;
        const T* out = dy + ((n * s.K + first) * s.P + p) * s.Q + q;
        const T* tap = w + ((first * s.group_C + c) * s.R + r) * s.S + t;
        for (I k = 0; k < s.group_K; ++k, out += s.P * s.Q, tap += s.group_C * s.R * s.S) total += *tap * *out;
      }
    }
    dx[e] = total;
  }
}

/// dw[share, k, c] of the batch's shares, `images` each.
template <class I, class T>
__global__ void __launch_bounds__(block_size, 4)
    direct_backward_weight(Conv<I> s, I shares, I images, const T* __restrict__ x, const T* __restrict__ dy,
                           T* __restrict__ dw) {
  for (I work = static_cast<I>(blockIdx.x); work < shares * s.K * s.group_C; work += static_cast<I>(gridDim.x)) {
    const I c = work % s.group_C, k = work / s.group_C % s.K, first = work / s.group_C / s.K * images;
    const I channel = k / s.group_K * s.group_C + c, pixels = (min(first + images, s.N) - first) * s.P * s.Q;
    for (I tap = 0; tap < s.R * s.S; ++tap) {
      const I down = tap / s.S * s.dilation_h - s.pad_h, along = tap % s.S * s.dilation_w - s.pad_w;
      T total = 0;
      for (I e = static_cast<I>(threadIdx.x); e < pixels; e += block_size) {
        const I row = e / s.Q, q = e - row * s.Q, image = row / s.P, p = row - image * s.P;
        const I h = p * s.stride_h + down, at = q * s.stride_w + along, n = first + image;
        if (h < 0 || h >= s.H || at < 0 || at >= s.W) continue;
        total += x[((n * s.C + channel) * s.H + h) * s.W + at] * dy[((n * s.K + k) * s.P + p) * s.Q + q];
      }
      total = block_sum<block_size>(total);
      if (threadIdx.x == 0) dw[work * s.R * s.S + tap] = total;
    }
  }
}

/// What the tiled forward kernel computes: y [N, K, P, Q] from x [N, C, H, W], stride 1, 3 x 3.
struct Conv3x3 {
  int64_t N, C, K;
  int H, W, P, Q, pad_h, pad_w;
};

constexpr int tile = 16, tile_k = 8, tile_c = 4, tile_rows = 2, tile_threads = tile * tile / tile_rows;

/// `exchanged` is for the gradient by x: w is [C, K, 3, 3] then, and its taps are reversed.
template <bool exchanged, class T>
__global__ void __launch_bounds__(tile_threads, 4)
    tiled_forward(Conv3x3 s, const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ bias,
                  T* __restrict__ y) {
  constexpr int pack = 4, side = tile + 2, pitch = 24;  // two rows are 16 banks apart, and so are the halves of a warp
  __shared__ T in[tile_c][side][pitch];
  __shared__ Pack<T, pack> filter[tile_c][9][tile_k / pack];
  const int column = threadIdx.x % tile, row = threadIdx.x / tile * tile_rows;
  const int across = (s.Q + tile - 1) / tile, down = (s.P + tile - 1) / tile;
  const int64_t k_tiles = ceil_div(s.K, tile_k);

  for (int64_t work = blockIdx.x; work < s.N * down * across * k_tiles; work += gridDim.x) {
    const int64_t place = work / k_tiles, k0 = work % k_tiles * tile_k, n = place / (down * across);
    const int where = static_cast<int>(place % (down * across)), p0 = where / across * tile, q0 = where % across * tile;
    T total[tile_rows][tile_k] = {};

    for (int64_t c0 = 0; c0 < s.C; c0 += tile_c) {
#pragma unroll 2
      for (int e = threadIdx.x; e < tile_c * side * side; e += tile_threads) {
        const int c = e / (side * side), i = e / side % side, j = e % side;
        const int h = p0 + i - s.pad_h, at = q0 + j - s.pad_w;
        const bool inside = c0 + c < s.C && h >= 0 && h < s.H && at >= 0 && at < s.W;
        in[c][i][j] = inside ? x[((n * s.C + c0 + c) * s.H + h) * s.W + at] : T{0};
      }
#pragma unroll 2
      for (int e = threadIdx.x; e < tile_c * 9 * tile_k; e += tile_threads) {
        const int tap = e % 9, k = e / 9 % tile_k, c = e / 9 / tile_k;
        const bool inside = c0 + c < s.C && k0 + k < s.K;
        const int64_t at = exchanged ? ((c0 + c) * s.K + k0 + k) * 9 + 8 - tap : ((k0 + k) * s.C + c0 + c) * 9 + tap;
        filter[c][tap][k / pack].at[k % pack] = inside ? w[at] : T{0};
      }
      __syncthreads();
#pragma unroll 1
      for (int c = 0; c < tile_c; ++c) {
        T seen[tile_rows + 2][3];
#pragma unroll
        for (int i = 0; i < tile_rows + 2; ++i) {
#pragma unroll
          for (int j = 0; j < 3; ++j) seen[i][j] = in[c][row + i][column + j];
        }
#pragma unroll
        for (int tap = 0; tap < 9; ++tap) {
#pragma unroll
          for (int part = 0; part < tile_k / pack; ++part) {
            const Pack<T, pack> weights = filter[c][tap][part];
#pragma unroll
            for (int k = 0; k < pack; ++k) {
#pragma unroll
              for (int i = 0; i < tile_rows; ++i) {
                total[i][part * pack + k] += weights.at[k] * seen[i + tap / 3][tap % 3];
              }
            }
          }
        }
      }
      __syncthreads();
    }

    const int q = q0 + column;
#pragma unroll
    for (int k = 0; k < tile_k; ++k) {
#pragma unroll
      for (int i = 0; i < tile_rows; ++i) {
        const int p = p0 + row + i;
        if (k0 + k >= s.K || p >= s.P || q >= s.Q) continue;
        y[((n * s.K + k0 + k) * s.P + p) * s.Q + q] = bias ? total[i][k] + bias[k0 + k] : total[i][k];
      }
    }
  }
}

constexpr int strip_rows = 8, strip_columns = 32, lane_k = 8, lane_c = 4;

/// dw[share, K, C, 3, 3] of the batch's shares, `images` each. Names as in the forward convolution.
template <class T>
__global__ void __launch_bounds__(block_size, 2)
    tiled_backward_weight(Conv3x3 s, int64_t shares, int64_t images, const T* __restrict__ x, const T* __restrict__ dy,
                          T* __restrict__ dw) {
  // Planes lie an odd, or twice odd, number of words apart: lanes of other channels read from other banks.
  constexpr int x_rows = strip_rows + 2, x_pitch = strip_columns + 3, x_plane = x_rows * x_pitch;
  constexpr int dy_pitch = strip_columns + 1, dy_plane = strip_rows * dy_pitch + 1;
  constexpr int warps = block_size / warp_threads;
  static_assert(warps == strip_rows && lane_k * lane_c == warp_threads);
  __shared__ T memory[lane_c * x_plane + lane_k * dy_plane];
  static_assert(sizeof(memory) / sizeof(T) >= warps * 9 * warp_threads);
  T *const in = memory, *const out = memory + lane_c * x_plane;

  const int lane = threadIdx.x % warp_threads, warp = threadIdx.x / warp_threads;
  const int my_k = lane / lane_c, my_c = lane % lane_c;
  const int64_t k_tiles = ceil_div(s.K, lane_k), c_tiles = ceil_div(s.C, lane_c);

  for (int64_t work = blockIdx.x; work < shares * k_tiles * c_tiles; work += gridDim.x) {
    const int64_t c0 = work % c_tiles * lane_c, k0 = work / c_tiles % k_tiles * lane_k,
                  share = work / c_tiles / k_tiles;
    T total[9] = {};
    for (int64_t n = share * images; n < min((share + 1) * images, s.N); ++n) {
      for (int p0 = 0; p0 < s.P; p0 += strip_rows) {
        for (int q0 = 0; q0 < s.Q; q0 += strip_columns) {
#pragma unroll 2
          for (int e = threadIdx.x; e < lane_c * x_plane; e += block_size) {
            const int c = e / x_plane, i = e / x_pitch % x_rows, j = e % x_pitch;
            const int h = p0 + i - s.pad_h, at = q0 + j - s.pad_w;
            const bool inside = c0 + c < s.C && h >= 0 && h < s.H && at >= 0 && at < s.W;
            in[e] = inside ? x[((n * s.C + c0 + c) * s.H + h) * s.W + at] : T{0};
          }
#pragma unroll 2
          for (int e = threadIdx.x; e < lane_k * strip_rows * strip_columns; e += block_size) {
            const int k = e / (strip_rows * strip_columns), i = e / strip_columns % strip_rows, j = e % strip_columns;
            const int p = p0 + i, q = q0 + j;
            const bool inside = k0 + k < s.K && p < s.P && q < s.Q;
            out[k * dy_plane + i * dy_pitch + j] = inside ? dy[((n * s.K + k0 + k) * s.P + p) * s.Q + q] : T{0};
          }
          __syncthreads();

          const T* const rows = in + my_c * x_plane + warp * x_pitch;
          const T* const g = out + my_k * dy_plane + warp * dy_pitch;
          T seen[3][3];
#pragma unroll
          for (int i = 0; i < 3; ++i) {
            seen[i][1] = rows[i * x_pitch];
            seen[i][2] = rows[i * x_pitch + 1];
          }
          constexpr int unroll = 8;
#pragma unroll 1
          for (int j0 = 0; j0 < min(s.Q - q0, strip_columns); j0 += unroll) {
#pragma unroll
            for (int j = j0; j < j0 + unroll; ++j) {
#pragma unroll
              for (int i = 0; i < 3; ++i) {
                seen[i][0] = seen[i][1];
                seen[i][1] = seen[i][2];
                seen[i][2] = rows[i * x_pitch + j + 2];
#pragma unroll
                for (int t = 0; t < 3; ++t) total[i * 3 + t] += g[j] * seen[i][t];
              }
            }
          }
          __syncthreads();
        }
      }
    }

    T* const of_warp = memory;  // [warps, 9, lanes]
#pragma unroll
    for (int tap = 0; tap < 9; ++tap) of_warp[(warp * 9 + tap) * warp_threads + lane] = total[tap];
    __syncthreads();
    for (int e = threadIdx.x; e < 9 * warp_threads; e += block_size) {
      const int tap = e / warp_threads, k = e % warp_threads / lane_c, c = e % lane_c;
      T all = 0;
      for (int i = 0; i < warps; ++i) all += of_warp[i * 9 * warp_threads + e];
      if (k0 + k < s.K && c0 + c < s.C) dw[((share * s.K + k0 + k) * s.C + c0 + c) * 9 + tap] = all;
    }
    __syncthreads();
  }
}

bool is_3x3(const Conv2dShape& s) {
  return s.R == 3 && s.S == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1 &&
         s.groups == 1;
}

Conv3x3 as_3x3(const Conv2dShape& s) {
  const auto narrow = [](int64_t v) { return static_cast<int>(v); };
  return {s.N, s.C, s.K, narrow(s.H), narrow(s.W), narrow(s.P()), narrow(s.Q()), narrow(s.pad_h), narrow(s.pad_w)};
}

template <bool exchanged, class T>
void launch_tiled_forward(const Conv3x3& s, const T* x, const T* w, const T* bias, T* y) {
  const int64_t tiles = ceil_div(s.P, tile) * ceil_div(s.Q, tile) * ceil_div(s.K, tile_k);
  launch(tiled_forward<exchanged, T>, grid_for(s.N * tiles, 1), tile_threads, 0, current_stream(), s, x, w, bias, y);
}

template <class F>
void with_conv(const Conv2dShape& s, int64_t others, F f) {
  const int64_t x = s.N * s.C * s.H * s.W, y = s.N * s.K * s.P() * s.Q(), w = s.K * s.C / s.groups * s.R * s.S;
  with_index(std::max({x, y, w, others}), [&]<class I>(I) { f(Conv<I>(s)); });
}

}  // namespace

template <class T>
void CudaFloat<T>::conv2d(const Conv2dShape& s, const T* x, const T* w, const T* bias, T* y) {
  const DeviceGuard guard(device_);
  if (is_3x3(s)) return launch_tiled_forward<false>(as_3x3(s), x, w, bias, y);
  with_conv(s, 0, [&]<class I>(const Conv<I>& conv) {
    launch(direct_forward<I, T>, grid_for(s.N * s.K * s.P() * s.Q()), block_size, 0, current_stream(), conv, x, w, bias,
           y);
  });
}

template <class T>
void CudaFloat<T>::conv2d_backward_input(const Conv2dShape& s, const T* w, const T* dy, T* dx) {
  const DeviceGuard guard(device_);
  if (is_3x3(s)) {
    const Conv3x3 f = as_3x3(s);
    const Conv3x3 transposed{f.N, f.K, f.C, f.P, f.Q, f.H, f.W, 2 - f.pad_h, 2 - f.pad_w};
    return launch_tiled_forward<true>(transposed, dy, w, static_cast<const T*>(nullptr), dx);
  }
  with_conv(s, 0, [&]<class I>(const Conv<I>& conv) {
    launch(direct_backward_input<I, T>, grid_for(s.N * s.C * s.H * s.W), block_size, 0, current_stream(), conv, w, dy,
           dx);
  });
}

template <class T>
void CudaFloat<T>::conv2d_backward_weight(const Conv2dShape& s, const T* x, const T* dy, T* dw, T* dbias) {
  const DeviceGuard guard(device_);
  const int64_t weights = s.K * s.C / s.groups * s.R * s.S;
  if (weights > 0) {
    const int64_t blocks = is_3x3(s) ? ceil_div(s.K, lane_k) * ceil_div(s.C, lane_c) : s.K * s.C / s.groups;
    constexpr int64_t blocks_wanted = 512;  // four for each multiprocessor of an H100
    const int64_t wanted = std::clamp<int64_t>(ceil_div(blocks_wanted, blocks), 1, std::max<int64_t>(s.N, 1));
    const int64_t images = ceil_div(s.N, wanted), shares = images > 0 ? ceil_div(s.N, images) : 1;
    const Scratch<T> sums(shares > 1 ? shares * weights : 0);
    T* const out = shares > 1 ? sums.data() : dw;
    if (is_3x3(s)) {
      launch(tiled_backward_weight<T>, grid_for(shares * blocks, 1), block_size, 0, current_stream(), as_3x3(s), shares,
             images, x, dy, out);
    } else {
      with_conv(s, shares * weights, [&]<class I>(const Conv<I>& conv) {
        launch(direct_backward_weight<I, T>, grid_for(shares * blocks, 1), block_size, 0, current_stream(), conv,
               shares, images, x, dy, out);
      });
    }
    if (shares > 1) sum({1, shares, weights}, out, dw);
  }
  if (dbias) {
    const Scratch<T> of_plane(s.N * s.K);
    sum({s.N * s.K, s.P() * s.Q(), 1}, dy, of_plane.data());
    sum({1, s.N, s.K}, of_plane.data(), dbias);
  }
}

template void CudaFloat<float>::conv2d(const Conv2dShape&, const float*, const float*, const float*, float*);
template void CudaFloat<float>::conv2d_backward_input(const Conv2dShape&, const float*, const float*, float*);
template void CudaFloat<float>::conv2d_backward_weight(const Conv2dShape&, const float*, const float*, float*, float*);
template void CudaFloat<double>::conv2d(const Conv2dShape&, const double*, const double*, const double*, double*);
template void CudaFloat<double>::conv2d_backward_input(const Conv2dShape&, const double*, const double*, double*);
template void CudaFloat<double>::conv2d_backward_weight(const Conv2dShape&, const double*, const double*, double*,
                                                        double*);

}  // namespace tern::kernels
