/// Convolution, with max-pooling and an activation or without, and its gradients: direct kernels for any stride,
/// padding, dilation and groups, and tiled ones for the filters of most networks, 3 x 3 with stride 1. Windows of one
/// element and no activation are the plain convolution.
///
/// Direct. conv2d: a thread computes one element of y, the pixels of its window one after the other;
/// conv2d_backward_input: one element of dx. Both read what they need through the cache. conv2d_backward_weight: a
/// block computes the R * S weights between one pair of channels over a share of the batch, its threads taking turns at
/// the pixels, and sums over the block for each weight. What pooling and activation make of dy is written first
/// (`spread`).
///
/// Tiled, forward. A block computes 16 x 16 pixels of 8 output channels, a thread 2 pixels of each: 16 sums in
/// registers. The block stages 4 input channels at a time in shared memory, the tile with its rim and the weights; a
/// thread reads 12 of x and 9 x 8 weights (the same for all threads, 4 to a load) for 144 multiply-adds. Where windows
/// pool them, the tile is as many whole windows as fit; the pixels go to shared memory, 4 channels at a time, and a
/// thread picks from one window at a time. The gradient by x is the same on dy with the channels of w exchanged and its
/// taps reversed.
///
/// Tiled, gradient by w. A lane has one of 8 output channels and one of 4 rows, and keeps in registers the 9 weights
/// from each of 4 input channels, or 3 where that leaves fewer without one, or 1 of 1. The block stages 8 rows of x and
/// dy at a time, of which a warp takes 4, one half of their columns. It walks along them, for each pixel reading one dy
/// and 3 new x a channel, the others being those of the pixel before. The sums of a warp's rows meet by shuffles, the 4
/// warps' in shared memory. What a lane reads of dy it sums as well, for dbias.
///
/// Tiled, both gradients are one launch: the first blocks compute dw and dbias, the others dx. The gradient by what was
/// pooled is never written: who stages it in shared memory puts dy * f'(y) where a window picked, and 0 elsewhere.
///
/// Wide layers of floats are products by tensor cores, conv2d_gemm.cu, where the device has these. Their windows are
/// pooled by a kernel of their own (`pool`), and what becomes of dy is written first, as with the direct kernels.
///
/// Gradients by w are made in two stages: each share of the rows has sums of its own, and the last block of each group
/// of weights adds the shares up. So the order of addition hangs on the shape alone.
///
/// Bytes: x, w and y once, when the tiles are large against their rims; the 8-channel blocks of one tile read x from
/// the L2 cache. With pooling, y and dy have the size of the windows, and there is a byte a window of what was picked.
/// Arithmetic: 2 * N * K * P * Q * C / groups * R * S, forward and for each of the gradients. Thin layers (a few
/// channels) are limited by bandwidth, or by too few blocks to fill the GPU, wide ones by fp32 arithmetic.

#include <tern/kernels/cuda/activation.cuh>
#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/device.cuh>
#include <tern/kernels/cuda/gemm/conv2d.hpp>

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

/// Windows [R, S] side by side over a convolution's pixels, [P, Q] of them, and what their elements go through.
struct Windows {
  int R, S, P, Q;
  Activation activation;

  explicit Windows(const Conv2dMaxPool2dShape& s)
      : R(static_cast<int>(s.R)),
        S(static_cast<int>(s.S)),
        P(static_cast<int>(s.P())),
        Q(static_cast<int>(s.Q())),
        activation(s.activation) {}
  __host__ __device__ bool pool() const { return R * S > 1; }
};

/// The largest of what it has seen, the first of equals, and NaN before any number.
template <class T>
struct Best {
  T value = 0;
  int place = -1;

  __device__ void see(T v, int at) {
    if (place < 0 || v > value || (v != v && value == value)) {
      value = v;
      place = at;
    }
  }
};

/// picked may be null.
template <class I, class T>
__global__ void __launch_bounds__(block_size, 2)
    direct_forward(Conv<I> s, Windows windows, const T* __restrict__ x, const T* __restrict__ w,
                   const T* __restrict__ bias, T* __restrict__ y, uint8_t* __restrict__ picked) {
  wait_for_previous_kernels();
  for (I e = grid_thread<I>(); e < s.N * s.K * windows.P * windows.Q; e += grid_threads<I>()) {
    const I row = e / windows.Q, q = e - row * windows.Q, plane = row / windows.P, p = row - plane * windows.P,
            n = plane / s.K, k = plane - n * s.K;
    Best<T> best;
#pragma unroll 1
    for (int place = 0; place < windows.R * windows.S; ++place) {
      const T* in = x + (n * s.C + k / s.group_K * s.group_C) * s.H * s.W;
      const T* filter = w + k * s.group_C * s.R * s.S;
      const I top = (p * windows.R + place / windows.S) * s.stride_h - s.pad_h,
              left = (q * windows.S + place % windows.S) * s.stride_w - s.pad_w;
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
      best.see(bias ? total + bias[k] : total, place);
    }
    y[e] = activated(windows.activation, best.value);
    if (picked) picked[e] = static_cast<uint8_t>(best.place);
  }
}

/// What becomes of a convolution's pixels, planes of [H, W]. A thread computes one element of y. picked may be null.
template <class I, class T>
__global__ void __launch_bounds__(block_size) pool(Windows windows, I planes, I H, I W, const T* __restrict__ x,
                                                   T* __restrict__ y, uint8_t* __restrict__ picked) {
  wait_for_previous_kernels();
  for (I e = grid_thread<I>(); e < planes * windows.P * windows.Q; e += grid_threads<I>()) {
    const I row = e / windows.Q, q = e - row * windows.Q, plane = row / windows.P, p = row - plane * windows.P;
    const T* const window = x + (plane * H + p * windows.R) * W + q * windows.S;
    Best<T> best;
    for (int r = 0; r < windows.R; ++r) {
      for (int t = 0; t < windows.S; ++t) best.see(window[r * W + t], r * windows.S + t);
    }
    y[e] = activated(windows.activation, best.value);
    if (picked) picked[e] = static_cast<uint8_t>(best.place);
  }
}

/// The gradient by a convolution's pixels, planes of [H, W], from that by what became of them. A thread computes one.
template <class I, class T>
__global__ void __launch_bounds__(block_size)
    spread(Windows windows, I planes, I H, I W, const T* __restrict__ y, const uint8_t* __restrict__ picked,
           const T* __restrict__ dy, T* __restrict__ out) {
  wait_for_previous_kernels();
  for (I e = grid_thread<I>(); e < planes * H * W; e += grid_threads<I>()) {
    const I row = e / W, w = e - row * W, plane = row / H, h = row - plane * H, p = h / windows.R, q = w / windows.S;
    const I at = (plane * windows.P + p) * windows.Q + q, place = (h - p * windows.R) * windows.S + w - q * windows.S;
    const bool here = p < windows.P && q < windows.Q && (!picked || picked[at] == place);
    out[e] = here ? gradient_at(windows.activation, y, dy, at) : T{0};
  }
}

template <class I, class T>
__global__ void __launch_bounds__(block_size)
    direct_backward_input(Conv<I> s, const T* __restrict__ w, const T* __restrict__ dy, T* __restrict__ dx) {
  wait_for_previous_kernels();
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

/// How a gradient by w is cut into shares, and where it goes. Each group of weights has `shares` sums side by side, and
/// a counter. dw and dbias may be null.
template <class T>
struct WeightGradient {
  int64_t shares, of_share;  ///< how many, and the images or strips of each
  T* sums;                   ///< not needed for one share, as the counters
  unsigned* counters;
  T *dw, *dbias;
};

/// `of_share` counts images. A group is a pair of channels, its sums R * S weights and one of dy.
template <class I, class T>
__global__ void __launch_bounds__(block_size, sizeof(I) + sizeof(T) == 8 ? 4 : 3)
    direct_backward_weight(Conv<I> s, WeightGradient<T> g, const T* __restrict__ x, const T* __restrict__ dy) {
  wait_for_previous_kernels();
  const I inputs = g.dw ? max(s.group_C, I{1}) : I{1}, taps = s.R * s.S;
  const auto store = [&](I k, I c, I tap, T v) {
    if (tap == taps) {
      g.dbias[k] = v;
    } else if (c < s.group_C) {
      g.dw[(k * s.group_C + c) * taps + tap] = v;
    }
  };
  const I shares = static_cast<I>(g.shares), images = static_cast<I>(g.of_share);
  for (I work = static_cast<I>(blockIdx.x); work < shares * s.K * inputs; work += static_cast<I>(gridDim.x)) {
    const I pair = work % (s.K * inputs), share = work / (s.K * inputs), c = pair % inputs, k = pair / inputs;
    const I first = share * images, pixels = (min(first + images, s.N) - first) * s.P * s.Q;
    const I channel = k / s.group_K * s.group_C + c;
    const I wanted = taps + (c == 0 && g.dbias ? 1 : 0);
    T* const sums = g.sums + pair * shares * (taps + 1);
    for (I tap = g.dw ? I{0} : taps; tap < wanted; ++tap) {
      const I down = tap / s.S * s.dilation_h - s.pad_h, along = tap % s.S * s.dilation_w - s.pad_w;
      T total = 0;
      for (I e = static_cast<I>(threadIdx.x); e < pixels; e += block_size) {
        const I row = e / s.Q, q = e - row * s.Q, image = row / s.P, p = row - image * s.P;
        const I h = p * s.stride_h + down, at = q * s.stride_w + along, n = first + image;
        const T slope = dy[((n * s.K + k) * s.P + p) * s.Q + q];
        if (tap == taps) {
          total += slope;
          continue;
        }
        if (c >= s.group_C || h < 0 || h >= s.H || at < 0 || at >= s.W) continue;
        total += x[((n * s.C + channel) * s.H + h) * s.W + at] * slope;
      }
      total = block_sum<block_size>(total);
      if (threadIdx.x == 0) {
        if (shares > 1) {
          sums[share * (taps + 1) + tap] = total;
        } else {
          store(k, c, tap, total);
        }
      }
    }
    if (shares == 1 || !is_last_block(g.counters + pair, static_cast<unsigned>(shares))) continue;
    for (I tap = (g.dw ? I{0} : taps) + static_cast<I>(threadIdx.x); tap < wanted; tap += block_size) {
      T all = 0;
      for (I i = 0; i < shares; ++i) all += sums[i * (taps + 1) + tap];
      store(k, c, tap, all);
    }
  }
}

/// What the tiled kernels compute: y [N, K, P, Q] from x [N, C, H, W], stride 1, 3 x 3.
struct Conv3x3 {
  int64_t N, C, K;
  int H, W, P, Q, pad_h, pad_w;
};

constexpr int tiled_threads = 128;

/// A piece of some channels of an image in shared memory.
template <int channels_, int rows_, int cols_, int pitch_, int plane_>
struct Tile {
  static constexpr int channels = channels_, rows = rows_, cols = cols_;
  static constexpr int pitch = pitch_, plane = plane_;  ///< elements from row to row, and from channel to channel
  static constexpr int size = channels * plane;
};

/// Images [N, C, H, W] as they lie in memory.
template <class T>
struct Images {
  const T* x;
  int64_t C;
  int H, W;

  /// Fills the tile, all threads of the block together: channels from c0 on of image n, from row `top` and column
  /// `left` on, zeros outside of it. Neighbouring threads write neighbours.
  template <class To>
  __device__ void stage(int64_t n, int64_t c0, int top, int left, T* to) const {
    constexpr int elements = To::channels * To::rows * To::cols, at_once = 6;  // loads on the way at once
#pragma unroll 1
    for (int first = threadIdx.x; first < elements; first += at_once * tiled_threads) {
      T v[at_once];
#pragma unroll
      for (int u = 0; u < at_once; ++u) {
        const int e = first + u * tiled_threads, c = e / (To::rows * To::cols), h = top + e / To::cols % To::rows,
                  w = left + e % To::cols;
        const bool inside = e < elements && c0 + c < C && h >= 0 && h < H && w >= 0 && w < W;
        v[u] = inside ? x[((n * C + c0 + c) * H + h) * W + w] : T{0};
      }
#pragma unroll
      for (int u = 0; u < at_once; ++u) {
        const int e = first + u * tiled_threads, c = e / (To::rows * To::cols), row = e / To::cols % To::rows;
        if (e < elements) to[c * To::plane + row * To::pitch + e % To::cols] = v[u];
      }
    }
  }
};

/// The gradient by the pixels [N, C, ...] under windows, from that by what became of them.
template <class T>
struct PooledGradient {
  Windows windows;
  int64_t C;
  const T *y, *dy;
  const uint8_t* picked;

  static __device__ int floor_div(int a, int b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

  /// As Images has it. A thread fills the elements of one window at a time, with zeros where there is none.
  template <class To>
  __device__ void stage(int64_t n, int64_t c0, int top, int left, T* to) const {
    const int R = windows.R, S = windows.S, p0 = floor_div(top, R), q0 = floor_div(left, S);
    const int down = floor_div(top + To::rows - 1, R) - p0 + 1, across = floor_div(left + To::cols - 1, S) - q0 + 1;
#pragma unroll 1
    for (int e = threadIdx.x; e < To::channels * down * across; e += tiled_threads) {
      const int row = e / across, c = row / down, p = p0 + row - c * down, q = q0 + e - row * across;
      const bool inside = c0 + c < C && p >= 0 && p < windows.P && q >= 0 && q < windows.Q;
      T slope = 0;
      int place = -1;
      if (inside) {
        const int64_t at = ((n * C + c0 + c) * windows.P + p) * windows.Q + q;
        slope = gradient_at(windows.activation, y, dy, at);
        place = picked ? picked[at] : 0;
      }
#pragma unroll 1
      for (int r = 0; r < R; ++r) {
        const int i = p * R + r - top;
        if (i < 0 || i >= To::rows) continue;
#pragma unroll 1
        for (int t = 0; t < S; ++t) {
          const int j = q * S + t - left;
          if (j >= 0 && j < To::cols) to[c * To::plane + i * To::pitch + j] = place == r * S + t ? slope : T{0};
        }
      }
    }
  }
};

constexpr int tile = 16, tile_k = 8, tile_c = 4, tile_rows = 2;
static_assert(tiled_threads == tile * tile / tile_rows);

using InputTile = Tile<tile_c, tile + 2, tile + 2, tile + 2, (tile + 2) * (tile + 2)>;

template <class T>
struct ForwardMemory {
  static constexpr int pack = 4;
  T in[InputTile::size];
  Pack<T, pack> filter[tile_c][9][tile_k / pack];
};

int64_t forward_tiles(const Conv3x3& s, const Windows& windows) {
  return s.N * ceil_div(windows.P, tile / windows.R) * ceil_div(windows.Q, tile / windows.S) * ceil_div(s.K, tile_k);
}

/// One of forward_tiles(). `exchanged` is for the gradient by x: w is [C, K, 3, 3] then, its taps are reversed, and
/// nothing is pooled.
template <bool exchanged, class In, class T>
__device__ void forward_tile(const Conv3x3& s, const Windows& windows, int64_t number, const In& x,
                             const T* __restrict__ w, const T* __restrict__ bias, T* __restrict__ y,
                             uint8_t* __restrict__ picked, ForwardMemory<T>& memory) {
  constexpr int pack = ForwardMemory<T>::pack, side = tile + 2;
  // The halves of a warp are 8 rows apart, which are 16 banks.
  const int thread = threadIdx.x, column = thread % tile, row = (thread / 32 + thread / tile % 2 * 4) * tile_rows;
  const int tile_p = tile / windows.R, tile_q = tile / windows.S;  // windows of a tile
  const int down = (windows.P + tile_p - 1) / tile_p, across = (windows.Q + tile_q - 1) / tile_q;
  const int64_t k_tiles = ceil_div(s.K, tile_k), place = number / k_tiles, k0 = number % k_tiles * tile_k,
                n = place / (down * across);
  const int where = static_cast<int>(place % (down * across));
  const int first_p = where / across * tile_p, first_q = where % across * tile_q;  // windows
  const int p0 = first_p * windows.R, q0 = first_q * windows.S;                    // pixels
  T total[tile_rows][tile_k] = {};

  for (int64_t c0 = 0; c0 < s.C; c0 += tile_c) {
    x.template stage<InputTile>(n, c0, p0 - s.pad_h, q0 - s.pad_w, memory.in);
#pragma unroll 2
    for (int e = thread; e < tile_c * 9 * tile_k; e += tiled_threads) {
      const int tap = e % 9, k = e / 9 % tile_k, c = e / 9 / tile_k;
      const bool inside = c0 + c < s.C && k0 + k < s.K;
      const int64_t at = exchanged ? ((c0 + c) * s.K + k0 + k) * 9 + 8 - tap : ((k0 + k) * s.C + c0 + c) * 9 + tap;
      memory.filter[c][tap][k / pack].at[k % pack] = inside ? w[at] : T{0};
    }
    __syncthreads();
    const int channels = static_cast<int>(min(s.C - c0, int64_t{tile_c}));
#pragma unroll 1
    for (int c = 0; c < channels; ++c) {
      T seen[tile_rows + 2][3];
#pragma unroll
      for (int i = 0; i < tile_rows + 2; ++i) {
#pragma unroll
        for (int j = 0; j < 3; ++j) seen[i][j] = memory.in[c * InputTile::plane + (row + i) * side + column + j];
      }
#pragma unroll
      for (int tap = 0; tap < 9; ++tap) {
#pragma unroll
        for (int part = 0; part < tile_k / pack; ++part) {
          const Pack<T, pack> weights = memory.filter[c][tap][part];
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

  if (exchanged || (!windows.pool() && windows.activation == Activation::none && !picked)) {
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
    return;
  }

  constexpr int pitch = tile + 4, plane = tile * pitch;
  static_assert(pack * plane <= InputTile::size);
#pragma unroll
  for (int part = 0; part < tile_k / pack; ++part) {
#pragma unroll
    for (int j = 0; j < pack; ++j) {
      const int k = part * pack + j;
      const T shift = bias && k0 + k < s.K ? bias[k0 + k] : T{0};
#pragma unroll
      for (int i = 0; i < tile_rows; ++i) {
        memory.in[j * plane + (row + i) * pitch + column] = bias ? total[i][k] + shift : total[i][k];
      }
    }
    __syncthreads();
#pragma unroll 1
    for (int e = thread; e < pack * tile_p * tile_q; e += tiled_threads) {
      const int line = e / tile_q, q = e - line * tile_q, j = line / tile_p, p = line - j * tile_p;
      const int64_t k = k0 + part * pack + j;
      if (k >= s.K || first_p + p >= windows.P || first_q + q >= windows.Q) continue;
      const T* const window = memory.in + j * plane + p * windows.R * pitch + q * windows.S;
      Best<T> best;
      for (int r = 0; r < windows.R; ++r) {
        for (int t = 0; t < windows.S; ++t) best.see(window[r * pitch + t], r * windows.S + t);
      }
      const int64_t at = ((n * s.K + k) * windows.P + first_p + p) * windows.Q + first_q + q;
      y[at] = activated(windows.activation, best.value);
      if (picked) picked[at] = static_cast<uint8_t>(best.place);
    }
    __syncthreads();
  }
}

template <class T>
__global__ void __launch_bounds__(tiled_threads, 4)
    tiled_forward(Conv3x3 s, Windows windows, int64_t tiles, Images<T> x, const T* __restrict__ w,
                  const T* __restrict__ bias, T* __restrict__ y, uint8_t* __restrict__ picked) {
  wait_for_previous_kernels();
  __shared__ ForwardMemory<T> memory;
  for (int64_t work = blockIdx.x; work < tiles; work += gridDim.x) {
    forward_tile<false>(s, windows, work, x, w, bias, y, picked, memory);
  }
}

constexpr int strip_rows = 8, strip_columns = 32, lane_k = 8, lane_rows = 4;
static_assert(lane_k * lane_rows == warp_threads);

/// In shared memory x of `lane_c` channels, and dy: lanes of another channel or row read it from another bank.
template <class T, int lane_c>
struct WeightMemory {
  using InTile =
      Tile<lane_c, strip_rows + 2, strip_columns + 2, strip_columns + 2, (strip_rows + 2) * (strip_columns + 2)>;
  using SlopeTile =
      Tile<lane_k, strip_rows, strip_columns, strip_columns + 1, (strip_rows + 1) * strip_columns + lane_rows>;
  static_assert(SlopeTile::plane >= strip_rows * SlopeTile::pitch);
  T x[InTile::size];
  T dy[SlopeTile::size];
};

int64_t weight_tiles(const Conv3x3& s, int64_t lane_c) {
  return ceil_div(s.K, lane_k) * std::max<int64_t>(ceil_div(s.C, lane_c), 1);
}

/// One of weight_tiles(), over one share of the strips; `of_share` counts those. A group is a tile, its sums the
/// weights and the tile's output channels' dy. Names as in the forward convolution.
template <int lane_c, class In, class T>
__device__ void weight_tile(const Conv3x3& s, const WeightGradient<T>& g, int64_t number, int64_t share,
                            const Images<T>& x, const In& dy, WeightMemory<T, lane_c>& memory) {
  using InTile = typename WeightMemory<T, lane_c>::InTile;
  using SlopeTile = typename WeightMemory<T, lane_c>::SlopeTile;
  constexpr int warps = tiled_threads / warp_threads, warps_down = strip_rows / lane_rows, halves = warps / warps_down;
  constexpr int taps = 9 * lane_c, weights = lane_k * taps, sums = weights + lane_k;
  static_assert(SlopeTile::size >= warps * sums);
  const int thread = threadIdx.x, lane = thread % warp_threads, warp = thread / warp_threads;
  const int my_k = lane / lane_rows, row = warp % warps_down * lane_rows + lane % lane_rows, half = warp / warps_down;
  const int64_t c_tiles = max(ceil_div(s.C, lane_c), int64_t{1}), c0 = number % c_tiles * lane_c,
                k0 = number / c_tiles * lane_k;
  const int strips_down = (s.P + strip_rows - 1) / strip_rows;
  const bool with_dbias = g.dbias && c0 == 0;

  T total[taps] = {}, slopes = 0;
  for (int64_t strip = share * g.of_share; strip < min((share + 1) * g.of_share, s.N * strips_down); ++strip) {
    const int64_t n = strip / strips_down;
    const int p0 = static_cast<int>(strip - n * strips_down) * strip_rows;
    for (int q0 = 0; q0 < s.Q; q0 += strip_columns) {
      x.template stage<InTile>(n, c0, p0 - s.pad_h, q0 - s.pad_w, memory.x);
      dy.template stage<SlopeTile>(n, k0, p0, q0, memory.dy);
      __syncthreads();
      if (p0 + row < s.P) {
        const T* const rows = memory.x + row * InTile::pitch;
        const T* const slope = memory.dy + my_k * SlopeTile::plane + row * SlopeTile::pitch;
        const int columns = min(s.Q - q0, strip_columns), end = columns * (half + 1) / halves;
        int j = columns * half / halves;
        T seen[lane_c][3][3];
#pragma unroll
        for (int i = 0; i < 3 * lane_c; ++i) {
          const T* const from = rows + i / 3 * InTile::plane + i % 3 * InTile::pitch + j;
          seen[i / 3][i % 3][1] = from[0];
          seen[i / 3][i % 3][2] = from[1];
        }
        const auto step = [&](int at) {
          const T here = slope[at];
          slopes += here;
#pragma unroll
          for (int i = 0; i < 3 * lane_c; ++i) {
            T(&line)[3] = seen[i / 3][i % 3];
            line[0] = line[1];
            line[1] = line[2];
            line[2] = rows[i / 3 * InTile::plane + i % 3 * InTile::pitch + at + 2];
#pragma unroll
            for (int t = 0; t < 3; ++t) total[i * 3 + t] += here * line[t];
          }
        };
        constexpr int unroll = 3;  // after three steps each of seen is where it was
#pragma unroll 1
        for (; j + unroll <= end; j += unroll) {
#pragma unroll
          for (int u = 0; u < unroll; ++u) step(j + u);
        }
#pragma unroll 1
        for (; j < end; ++j) step(j);
      }
      __syncthreads();
    }
  }

  // The sums of a warp's rows, and then of the warps: [warps, sums].
  const auto over_rows = [](T v) {
#pragma unroll
    for (int lanes = 1; lanes < lane_rows; lanes *= 2) v += __shfl_xor_sync(all_lanes, v, lanes);
    return v;
  };
  T* const of_warp = memory.dy + warp * sums;
#pragma unroll
  for (int tap = 0; tap < taps; ++tap) {
    const T v = over_rows(total[tap]);
    if (lane % lane_rows == 0) of_warp[my_k * taps + tap] = v;
  }
  slopes = over_rows(slopes);
  if (lane % lane_rows == 0) of_warp[weights + my_k] = slopes;
  __syncthreads();
  const auto store = [&](int e, T v) {
    if (e >= weights) {
      if (k0 + e - weights < s.K) g.dbias[k0 + e - weights] = v;
      return;
    }
    const int k = e / taps, rest = e - k * taps;
    if (g.dw && k0 + k < s.K && c0 + rest / 9 < s.C) g.dw[((k0 + k) * s.C + c0) * 9 + rest] = v;
  };
  const int count = with_dbias ? sums : weights;
  T* const of_tile = g.sums + number * g.shares * sums;
  for (int e = thread; e < count; e += tiled_threads) {
    T all = 0;
    for (int i = 0; i < warps; ++i) all += memory.dy[i * sums + e];
    if (g.shares > 1) {
      of_tile[share * sums + e] = all;
    } else {
      store(e, all);
    }
  }

  if (g.shares > 1 && is_last_block(g.counters + number, static_cast<unsigned>(g.shares))) {
    constexpr int own = static_cast<int>(ceil_div(sums, tiled_threads));
    T all[own] = {};
#pragma unroll 8
    for (int64_t i = 0; i < g.shares; ++i) {
#pragma unroll
      for (int u = 0; u < own; ++u) {
        const int e = thread + u * tiled_threads;
        if (e < count) all[u] += of_tile[i * sums + e];
      }
    }
#pragma unroll
    for (int u = 0; u < own; ++u) {
      const int e = thread + u * tiled_threads;
      if (e < count) store(e, all[u]);
    }
  }
  __syncthreads();
}

/// The tiles of the gradient by w, each by its shares, and then those of dx, a convolution of dy: `turned`.
template <int lane_c, class In, class T>
__global__ void __launch_bounds__(tiled_threads, sizeof(T) == 4 ? 3 : 2)
    tiled_backward(Conv3x3 s, WeightGradient<T> g, int64_t w_tiles, Conv3x3 turned, Windows alone, int64_t x_tiles,
                   Images<T> x, const T* __restrict__ w, In dy, T* __restrict__ dx) {
  wait_for_previous_kernels();
  __shared__ union {
    WeightMemory<T, lane_c> weight;
    ForwardMemory<T> forward;
  } memory;
  const int64_t first = w_tiles * g.shares;
  for (int64_t work = blockIdx.x; work < first + x_tiles; work += gridDim.x) {
    if (work < first) {
      weight_tile(s, g, work % w_tiles, work / w_tiles, x, dy, memory.weight);
    } else {
      forward_tile<true>(turned, alone, work - first, dy, w, static_cast<const T*>(nullptr), dx, nullptr,
                         memory.forward);
    }
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

/// Shares of `all` images or strips, for so many groups of weights.
template <class T>
WeightGradient<T> shared_out(int64_t all, int64_t groups, T* dw, T* dbias) {
  constexpr int64_t blocks_wanted = 256;  // two for each multiprocessor of an H100: more shares take longer to add up
  const int64_t wanted = std::clamp<int64_t>(ceil_div(blocks_wanted, groups), 1, std::max<int64_t>(all, 1));
  const int64_t of_share = ceil_div(all, wanted), shares = of_share > 0 ? ceil_div(all, of_share) : 1;
  return {shares, of_share, nullptr, shares > 1 ? counters(groups) : nullptr, dw, dbias};
}

/// A lane of the gradient by w has `lane_c` input channels.
template <int lane_c, class In, class T>
void launch_tiled_backward_by(const Conv2dShape& shape, const T* x, const T* w, const In& dy, T* dx, T* dw, T* dbias) {
  const Conv3x3 s = as_3x3(shape), turned{s.N, s.K, s.C, s.P, s.Q, s.H, s.W, 2 - s.pad_h, 2 - s.pad_w};
  Conv2dShape of_dx{.H = s.H, .W = s.W, .R = 1, .S = 1};
  const Windows alone({.conv = of_dx});
  const int64_t w_tiles = dw || dbias ? weight_tiles(s, lane_c) : 0, x_tiles = dx ? forward_tiles(turned, alone) : 0;
  WeightGradient<T> g = shared_out(s.N * ceil_div(s.P, strip_rows), std::max<int64_t>(w_tiles, 1), dw, dbias);
  const Scratch<T> sums(g.shares > 1 ? w_tiles * g.shares * lane_k * (9 * lane_c + 1) : 0);
  g.sums = sums.data();
  launch(tiled_backward<lane_c, In, T>, grid_for(w_tiles * g.shares + x_tiles, 1), tiled_threads, 0, current_stream(),
         s, g, w_tiles, turned, alone, x_tiles, Images<T>{x, s.C, s.H, s.W}, w, dy, dx);
}

template <class In, class T>
void launch_tiled_backward(const Conv2dShape& s, const T* x, const T* w, const In& dy, T* dx, T* dw, T* dbias) {
  if (s.C == 1) return launch_tiled_backward_by<1>(s, x, w, dy, dx, dw, dbias);
  if constexpr (std::is_same_v<T, float>) {  // 4 channels of doubles would not fit the registers
    if (ceil_div(s.C, 4) * 4 <= ceil_div(s.C, 3) * 3) return launch_tiled_backward_by<4>(s, x, w, dy, dx, dw, dbias);
  }
  launch_tiled_backward_by<3>(s, x, w, dy, dx, dw, dbias);
}

template <class F>
void with_conv(const Conv2dShape& s, int64_t others, F f) {
  const int64_t x = s.N * s.C * s.H * s.W, y = s.N * s.K * s.P() * s.Q(), w = s.K * s.C / s.groups * s.R * s.S;
  with_index(std::max({x, y, w, others, s.H + 2 * s.pad_h, s.W + 2 * s.pad_w}), [&]<class I>(I) { f(Conv<I>(s)); });
}

}  // namespace

template <class T>
void CudaFloat<T>::conv2d(const Conv2dShape& s, const T* x, const T* w, const T* bias, T* y) {
  CudaFloat::conv2d_max_pool2d({.conv = s}, x, w, bias, y, nullptr);
}

template <class T>
void CudaFloat<T>::conv2d_backward_input(const Conv2dShape& s, const T* w, const T* dy, T* dx) {
  CudaFloat::conv2d_max_pool2d_backward({.conv = s}, nullptr, w, nullptr, nullptr, dy, dx, nullptr, nullptr);
}

template <class T>
void CudaFloat<T>::conv2d_backward_weight(const Conv2dShape& s, const T* x, const T* dy, T* dw, T* dbias) {
  CudaFloat::conv2d_max_pool2d_backward({.conv = s}, x, nullptr, nullptr, nullptr, dy, nullptr, dw, dbias);
}

template <class T>
void CudaFloat<T>::conv2d_max_pool2d(const Conv2dMaxPool2dShape& s, const T* x, const T* w, const T* bias, T* y,
                                     uint8_t* picked) {
  const DeviceGuard guard(device_);
  const Windows windows(s);
  if constexpr (std::is_same_v<T, float>) {
    if (is_gemm(s.conv)) {
      if (!s.pools() && !picked) return gemm_conv2d(s.conv, s.activation, x, w, bias, y);
      const int64_t planes = s.conv.N * s.conv.K, pixels = planes * s.conv.P() * s.conv.Q();
      const Scratch<T> convolved(pixels);
      gemm_conv2d(s.conv, Activation::none, x, w, bias, convolved.data());
      return with_index(pixels, [&]<class I>(I) {
        launch(pool<I, T>, grid_for(planes * s.P() * s.Q()), block_size, 0, current_stream(), windows, planes,
               s.conv.P(), s.conv.Q(), convolved.data(), y, picked);
      });
    }
  }
  if (is_3x3(s.conv) && s.R <= tile && s.S <= tile) {
    const Conv3x3 conv = as_3x3(s.conv);
    const int64_t tiles = forward_tiles(conv, windows);
    return launch(tiled_forward<T>, grid_for(tiles, 1), tiled_threads, 0, current_stream(), conv, windows, tiles,
                  Images<T>{x, conv.C, conv.H, conv.W}, w, bias, y, picked);
  }
  with_conv(s.conv, 0, [&]<class I>(const Conv<I>& conv) {
    launch(direct_forward<I, T>, grid_for(s.conv.N * s.conv.K * s.P() * s.Q()), block_size, 0, current_stream(), conv,
           windows, x, w, bias, y, picked);
  });
}

template <class T>
void CudaFloat<T>::conv2d_max_pool2d_backward(const Conv2dMaxPool2dShape& s, const T* x, const T* w, const T* y,
                                              const uint8_t* picked, const T* dy, T* dx, T* dw, T* dbias) {
  const DeviceGuard guard(device_);
  const Conv2dShape& c = s.conv;
  const Windows windows(s);
  const bool by_gemm = std::is_same_v<T, float> && is_gemm(c);
  if (is_3x3(c) && !by_gemm) {
    const Conv3x3 conv = as_3x3(c);
    if (s.is_conv2d()) return launch_tiled_backward(c, x, w, Images<T>{dy, conv.K, conv.P, conv.Q}, dx, dw, dbias);
    return launch_tiled_backward(c, x, w, PooledGradient<T>{windows, conv.K, y, dy, picked}, dx, dw, dbias);
  }

  const int64_t pixels = c.N * c.K * c.P() * c.Q();
  const Scratch<T> made(s.is_conv2d() ? 0 : pixels);
  if (!s.is_conv2d()) {
    with_index(pixels, [&]<class I>(I) {
      launch(spread<I, T>, grid_for(pixels), block_size, 0, current_stream(), windows, c.N * c.K, c.P(), c.Q(), y,
             picked, dy, made.data());
    });
    dy = made.data();
  }
  if constexpr (std::is_same_v<T, float>) {
    if (by_gemm) {
      if (dw) gemm_conv2d_backward_weight(c, x, dy, dw);
      dw = nullptr;  // which leaves dbias
      if (dx && is_gemm_by_input(c)) {
        gemm_conv2d_backward_input(c, w, dy, dx);
        dx = nullptr;
      }
    }
  }
  if (dx) {
    with_conv(c, 0, [&]<class I>(const Conv<I>& conv) {
      launch(direct_backward_input<I, T>, grid_for(c.N * c.C * c.H * c.W), block_size, 0, current_stream(), conv, w, dy,
             dx);
    });
  }
  if (dw || dbias) {
    const int64_t pairs = c.K * (dw ? std::max<int64_t>(c.C / c.groups, 1) : 1), sums_of_pair = c.R * c.S + 1;
    WeightGradient<T> g = shared_out(c.N, std::max<int64_t>(pairs, 1), dw, dbias);
    const Scratch<T> sums(g.shares > 1 ? pairs * g.shares * sums_of_pair : 0);
    g.sums = sums.data();
    with_conv(c, pairs * g.shares * sums_of_pair, [&]<class I>(const Conv<I>& conv) {
      launch(direct_backward_weight<I, T>, grid_for(g.shares * pairs, 1), block_size, 0, current_stream(), conv, g, x,
             dy);
    });
  }
}

template void CudaFloat<float>::conv2d(const Conv2dShape&, const float*, const float*, const float*, float*);
template void CudaFloat<float>::conv2d_backward_input(const Conv2dShape&, const float*, const float*, float*);
template void CudaFloat<float>::conv2d_backward_weight(const Conv2dShape&, const float*, const float*, float*, float*);
template void CudaFloat<float>::conv2d_max_pool2d(const Conv2dMaxPool2dShape&, const float*, const float*, const float*,
                                                  float*, uint8_t*);
template void CudaFloat<float>::conv2d_max_pool2d_backward(const Conv2dMaxPool2dShape&, const float*, const float*,
                                                           const float*, const uint8_t*, const float*, float*, float*,
                                                           float*);
template void CudaFloat<double>::conv2d(const Conv2dShape&, const double*, const double*, const double*, double*);
template void CudaFloat<double>::conv2d_backward_input(const Conv2dShape&, const double*, const double*, double*);
template void CudaFloat<double>::conv2d_backward_weight(const Conv2dShape&, const double*, const double*, double*,
                                                        double*);
template void CudaFloat<double>::conv2d_max_pool2d(const Conv2dMaxPool2dShape&, const double*, const double*,
                                                   const double*, double*, uint8_t*);
template void CudaFloat<double>::conv2d_max_pool2d_backward(const Conv2dMaxPool2dShape&, const double*, const double*,
                                                            const double*, const uint8_t*, const double*, double*,
                                                            double*, double*);

}  // namespace tern::kernels
