#include <tern/kernels/cpu/conv2d_tiles.hpp>
#include <tern/kernels/cpu/simd.hpp>

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tern/kernels/cpu/conv2d_tiles.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <tern/kernels/cpu/sum_lanes-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace tern::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

// A tile's accumulators are to fill the registers but for the operands of the next products: 8 x 3 and 4 x 6 of 32
// registers (AVX-512, NEON), 4 x 3 of 16 (AVX2, SSE4).
constexpr bool many_registers = HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON;
constexpr int tile_channels = many_registers ? 8 : 4;
constexpr int tile_vectors = 3;
constexpr int gradient_channels = 4;
constexpr int gradient_taps = many_registers ? 6 : 3;

template <int n>
struct Constant {
  static constexpr int value = n;
};

/// Calls f with the number of channels of the block that starts where `remaining` are left, as a constant.
template <int n = tile_channels, class F>
HWY_INLINE void with_block_channels(int64_t remaining, const F& f) {
  if constexpr (n > 1) {
    if (remaining <= n / 2) return with_block_channels<n / 2>(remaining, f);
  }
  f(Constant<n>());
}

/// A tile of `channels` x (`vectors` vectors of pixels), over the taps [first, last): per tap one multiply-add for each
/// of its accumulators, for `vectors` vectors and `channels` broadcast scalars loaded.
template <int channels, int vectors, bool packed>
HWY_INLINE void correlate_tile(const Correlation& s, const float* HWY_RESTRICT w, int64_t used_channels, int64_t first,
                               int64_t last, const PixelVector* pixels, float* dst) {
  const D d;
  V acc[channels][vectors];
  for (int k = 0; k < channels; ++k) {
    for (int v = 0; v < vectors; ++v) acc[k][v] = packed ? hn::Set(d, w[k]) : hn::Zero(d);
  }
  if (!packed || first > 0) {
    for (int k = 0; k < channels && k < used_channels; ++k) {
      for (int v = 0; v < vectors; ++v) acc[k][v] = hn::LoadU(d, dst + k * s.dst_channel + pixels[v].dst);
    }
  }
  const float* src[vectors];
  for (int v = 0; v < vectors; ++v) src[v] = s.src + pixels[v].src;
  const float* HWY_RESTRICT row[channels];  // where the weights of channel k are, if not packed
  for (int k = 0; k < channels; ++k) row[k] = w + std::min<int64_t>(k, used_channels - 1) * s.w_channel;
  const int64_t* HWY_RESTRICT offset = s.offset;
  w += first * channels;
  for (int64_t j = first; j < last; ++j) {
    w += channels;
    V x[vectors];
    for (int v = 0; v < vectors; ++v) x[v] = hn::LoadU(d, src[v] + offset[j]);
    for (int k = 0; k < channels; ++k) {
      const V wk = hn::Set(d, packed ? w[k] : row[k][j]);
      for (int v = 0; v < vectors; ++v) acc[k][v] = hn::MulAdd(wk, x[v], acc[k][v]);
    }
  }
  for (int k = 0; k < channels && k < used_channels; ++k) {
    for (int v = 0; v < vectors; ++v) hn::StoreU(acc[k][v], d, dst + k * s.dst_channel + pixels[v].dst);
  }
}

template <int vectors>
HWY_INLINE void correlate_all_channels(const Correlation& s, int64_t first, int64_t last, const PixelVector* pixels) {
  const float* w = s.w;
  for (int64_t k = 0; k < s.K; k += tile_channels) {
    with_block_channels(s.K - k, [&](auto channels) HWY_ATTR {
      constexpr int n = channels.value;
      if (s.w_channel > 0) {
        correlate_tile<n, vectors, false>(s, w, s.K - k, first, last, pixels, s.dst + k * s.dst_channel);
        w += n * s.w_channel;
      } else {
        correlate_tile<n, vectors, true>(s, w, s.K - k, first, last, pixels, s.dst + k * s.dst_channel);
        w += (1 + s.taps) * n;
      }
    });
  }
}

void correlate(const Correlation& s) {
  static_assert(tile_vectors == 3);
  int64_t first = 0;
  do {
    const int64_t last = std::min(s.taps, first + s.tap_block);
    int64_t v = 0;
    for (; v + 3 <= s.vectors; v += 3) correlate_all_channels<3>(s, first, last, s.vector + v);
    if (s.vectors - v == 2) correlate_all_channels<2>(s, first, last, s.vector + v);
    if (s.vectors - v == 1) correlate_all_channels<1>(s, first, last, s.vector + v);
    first = last;
  } while (first < s.taps);
}

int64_t block_channels(int64_t remaining) {
  int64_t channels = 0;
  with_block_channels(remaining, [&](auto n) HWY_ATTR { channels = n.value; });
  return channels;
}

TileSizes tile_sizes() { return {static_cast<int64_t>(hn::Lanes(D())), tile_channels}; }

/// A tile of `channels` x `taps` sums, in vectors over the pixels: per vector of pixels one multiply-add for each of
/// the sums, for `channels` + `taps` vectors loaded. Taps beyond the last repeat it and are dropped.
template <int channels, int taps>
HWY_INLINE void gradient_tile(const CorrelationGradient& s, int64_t k0, int64_t j0) {
  const D d;
  constexpr int sums = (channels * taps + 3) / 4 * 4;
  V acc[sums];
  for (V& a : acc) a = hn::Zero(d);
  const float* HWY_RESTRICT src[taps];
  for (int t = 0; t < taps; ++t) src[t] = s.src + s.offset[std::min(j0 + t, s.taps - 1)];
  const float* HWY_RESTRICT dy = s.dy + k0 * s.dy_channel;
  // Planes are pages apart, where the processor's own prefetching stops: meanwhile one that the next channels need is
  // fetched.
  const float* HWY_RESTRICT next_dy = s.dy + std::min(k0 + channels + j0 / taps % channels, s.K - 1) * s.dy_channel;
  for (int64_t v = 0; v < s.vectors; ++v) {
    const PixelVector pixels = s.vector[v];
    prefetch(next_dy + pixels.dst);
    V x[taps];
    for (int t = 0; t < taps; ++t) x[t] = hn::LoadU(d, src[t] + pixels.src);
    for (int k = 0; k < channels; ++k) {
      const V g = hn::LoadU(d, dy + pixels.dst + k * s.dy_channel);
      for (int t = 0; t < taps; ++t) acc[k * taps + t] = hn::MulAdd(g, x[t], acc[k * taps + t]);
    }
  }
  float sum[sums];
  for (int i = 0; i < sums; i += 4) sum_lanes_of_four(acc + i, sum + i);
  for (int k = 0; k < channels; ++k) {
    for (int t = 0; t < taps && j0 + t < s.taps; ++t) s.dw[(k0 + k) * s.dw_channel + j0 + t] += sum[k * taps + t];
  }
}

template <int channels>
void gradient_all_taps(const CorrelationGradient& s, int64_t k0) {
  int64_t j = 0;
  for (; j + gradient_taps <= s.taps; j += gradient_taps) gradient_tile<channels, gradient_taps>(s, k0, j);
  for (; j < s.taps; j += 3) gradient_tile<channels, 3>(s, k0, j);
}

void correlate_gradient(const CorrelationGradient& s) {
  static_assert(gradient_channels == 4);
  int64_t k = 0;
  for (; k + 4 <= s.K; k += 4) gradient_all_taps<4>(s, k);
  for (; k + 2 <= s.K; k += 2) gradient_all_taps<2>(s, k);
  for (; k < s.K; ++k) gradient_all_taps<1>(s, k);
}

void add_row_sums(int64_t K, int64_t n, const float* x, int64_t stride, float* sum) {
  const D d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t k = 0; k < K; ++k, x += stride) {
    V partial[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
    int64_t i = 0;
    for (; i + 4 * lanes <= n; i += 4 * lanes) {
      for (int v = 0; v < 4; ++v) partial[v] = hn::Add(partial[v], hn::LoadU(d, x + i + v * lanes));
    }
    for (; i + lanes <= n; i += lanes) partial[0] = hn::Add(partial[0], hn::LoadU(d, x + i));
    for (; i < n; ++i) sum[k] += x[i];
    const V all = hn::Add(hn::Add(partial[0], partial[1]), hn::Add(partial[2], partial[3]));
    sum[k] += hn::GetLane(hn::SumOfLanes(d, all));
  }
}

/// Zeros p[0 .. n), and what follows up to a whole vector. Most often one vector is all.
HWY_INLINE void zero_vectors(float* p, int64_t n) {
  const D d;
  const int64_t lanes = hn::Lanes(d);
  if (n > 0) hn::StoreU(hn::Zero(d), d, p);
  for (int64_t i = lanes; i < n; i += lanes) hn::StoreU(hn::Zero(d), d, p + i);
}

HWY_INLINE void copy_row(const float* HWY_RESTRICT from, int64_t n, float* HWY_RESTRICT to) {
  const D d;
  const int64_t lanes = hn::Lanes(d);
  if (n < lanes) {
    for (int64_t i = 0; i < n; ++i) to[i] = from[i];
    return;
  }
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(hn::LoadU(d, from + i), d, to + i);
  if (i < n) hn::StoreU(hn::LoadU(d, from + n - lanes), d, to + n - lanes);
}

/// Zeros are stored as whole vectors, over the start of the next row, which is written afterwards. Those to the right
/// of a row and to the left of the next one are neighbours.
void padded_copy(const PaddedCopy& s) {
  const int64_t left = std::clamp<int64_t>(-s.left, 0, s.cols);  // columns [left, right) exist in src
  const int64_t right = std::clamp<int64_t>(s.W - s.left, left, s.cols);
  const int64_t top = std::clamp<int64_t>(-s.top, 0, s.rows);  // rows likewise
  const int64_t bottom = std::clamp<int64_t>(s.H - s.top, top, s.rows);
  float* dst = s.dst;
  for (int64_t plane = 0; plane < s.planes; ++plane) {
    zero_vectors(dst, top * s.cols + (top < bottom ? left : 0));
    dst += top * s.cols;
    const float* src = s.src + plane * s.src_plane + (s.top + top) * s.W + s.left + left;
    for (int64_t h = top; h < bottom; ++h, src += s.W, dst += s.cols) {
      copy_row(src, right - left, dst + left);
      zero_vectors(dst + right, s.cols - right + (h + 1 < bottom ? left : 0));
    }
    zero_vectors(dst, (s.rows - bottom) * s.cols);
    dst += (s.rows - bottom) * s.cols;
  }
}

/// Four pixels of four channels, channel c at src[c], to dst[i * stride + c]: turned round.
HWY_INLINE void transpose_4x4(const float* const* src, int64_t at, float* dst, int64_t stride) {
#if HWY_TARGET == HWY_SCALAR
  for (int i = 0; i < 4; ++i) {
    for (int c = 0; c < 4; ++c) dst[i * stride + c] = src[c][at + i];
  }
#else
  const hn::CappedTag<float, 4> d;
  const auto a = hn::LoadU(d, src[0] + at), b = hn::LoadU(d, src[1] + at);
  const auto c = hn::LoadU(d, src[2] + at), e = hn::LoadU(d, src[3] + at);
  const auto ac_low = hn::InterleaveLower(d, a, c), ac_high = hn::InterleaveUpper(d, a, c);
  const auto be_low = hn::InterleaveLower(d, b, e), be_high = hn::InterleaveUpper(d, b, e);
  hn::StoreU(hn::InterleaveLower(d, ac_low, be_low), d, dst);
  hn::StoreU(hn::InterleaveUpper(d, ac_low, be_low), d, dst + stride);
  hn::StoreU(hn::InterleaveLower(d, ac_high, be_high), d, dst + 2 * stride);
  hn::StoreU(hn::InterleaveUpper(d, ac_high, be_high), d, dst + 3 * stride);
#endif
}

/// One row of `planes` planes, n pixels. Channels go in fours, the last planes again where these are no multiple of it.
/// Planes may be pages apart, where the processor's own prefetching stops: meanwhile the next row is fetched.
void interleave_row(const float* src, int64_t src_plane, int64_t src_row, int64_t planes, int64_t n, float* dst,
                    int64_t dst_pixel) {
  for (int64_t c = 0; c < planes; c += 4) {
    const float* four[4];
    for (int64_t i = 0; i < 4; ++i) {
      four[i] = src + std::min(c + i, planes - 1) * src_plane;
      for (int64_t q = 0; q < n; q += 16) prefetch(four[i] + src_row + q);
    }
    if (n < 4) {
      for (int64_t q = 0; q < n; ++q) {
        for (int64_t i = 0; i < 4; ++i) dst[q * dst_pixel + c + i] = four[i][q];
      }
    } else {
      for (int64_t q = 0; q < n; q += 4) {
        const int64_t at = std::min(q, n - 4);
        transpose_4x4(four, at, dst + at * dst_pixel + c, dst_pixel);
      }
    }
  }
}

void padded_copy_channels_last(const PaddedCopy& s, int64_t dst_pixel) {
  const int64_t left = std::clamp<int64_t>(-s.left, 0, s.cols);  // columns [left, right) exist in src
  const int64_t right = std::clamp<int64_t>(s.W - s.left, left, s.cols);
  float* dst = s.dst;
  for (int64_t h = s.top; h < s.top + s.rows; ++h, dst += s.cols * dst_pixel) {
    if (h < 0 || h >= s.H) {
      std::fill_n(dst, s.cols * dst_pixel, 0.0f);
      continue;
    }
    std::fill_n(dst, left * dst_pixel, 0.0f);
    interleave_row(s.src + h * s.W + s.left + left, s.src_plane, s.W, s.planes, right - left, dst + left * dst_pixel,
                   dst_pixel);
    std::fill(dst + right * dst_pixel, dst + s.cols * dst_pixel, 0.0f);
  }
}

/// Rows are stored as whole vectors, over the start of the next row, which is written afterwards.
void unfold(const Unfold& s) {
  const D d;
  const int64_t lanes = hn::Lanes(d), pixels = s.images * s.rows * s.cols;
  float* column = s.dst;
  for (int64_t r = 0; r < s.R; ++r) {
    for (int64_t t = 0; t < s.S; ++t, column += s.dst_tap) {
      float* to = column;
      for (int64_t i = 0; i < s.images; ++i) {
        const float* from = s.src + (i * s.height + r * s.dilation_h) * s.width + t * s.dilation_w;
        for (int64_t p = 0; p < s.rows; ++p, from += s.stride_h * s.width, to += s.cols) {
          if (s.stride_w == 1) {
            for (int64_t q = 0; q < s.cols; q += lanes) hn::StoreU(hn::LoadU(d, from + q), d, to + q);
          } else {
            for (int64_t q = 0; q < s.cols; ++q) to[q] = from[q * s.stride_w];
          }
        }
      }
      zero_vectors(to, s.dst_tap - pixels);
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tern::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tern::kernels {

HWY_EXPORT(tile_sizes);
HWY_EXPORT(block_channels);
HWY_EXPORT(correlate);
HWY_EXPORT(correlate_gradient);
HWY_EXPORT(add_row_sums);
HWY_EXPORT(padded_copy);
HWY_EXPORT(padded_copy_channels_last);
HWY_EXPORT(unfold);

TileSizes conv2d_tile_sizes() { return HWY_DYNAMIC_DISPATCH(tile_sizes)(); }
int64_t conv2d_block_channels(int64_t remaining) { return HWY_DYNAMIC_DISPATCH(block_channels)(remaining); }
void conv2d_correlate(const Correlation& s) { HWY_DYNAMIC_DISPATCH(correlate)(s); }
void conv2d_correlate_gradient(const CorrelationGradient& s) { HWY_DYNAMIC_DISPATCH(correlate_gradient)(s); }
void conv2d_add_row_sums(int64_t K, int64_t n, const float* x, int64_t stride, float* sum) {
  HWY_DYNAMIC_DISPATCH(add_row_sums)(K, n, x, stride, sum);
}
void conv2d_padded_copy(const PaddedCopy& s) { HWY_DYNAMIC_DISPATCH(padded_copy)(s); }
void conv2d_padded_copy_channels_last(const PaddedCopy& s, int64_t dst_pixel) {
  HWY_DYNAMIC_DISPATCH(padded_copy_channels_last)(s, dst_pixel);
}
void conv2d_unfold(const Unfold& s) { HWY_DYNAMIC_DISPATCH(unfold)(s); }

}  // namespace tern::kernels
#endif
