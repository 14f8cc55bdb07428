#include <tern/kernels/cpu/conv2d_tiles.hpp>
#include <tern/kernels/cpu/simd.hpp>

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tern/kernels/cpu/conv2d_tiles.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tern::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

// A tile's accumulators are to fill the registers but for one vector of each operand: 8 x 3 of 32 registers (AVX-512,
// NEON), 4 x 3 of 16 (AVX2, SSE4).
constexpr bool many_registers = HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON;
constexpr int tile_channels = many_registers ? 8 : 4;
constexpr int tile_vectors = 3;
constexpr int tile_taps = 3;

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

struct PixelVector {
  const float* src;
  float* dst;
  int64_t count;  ///< pixels of the vector that exist
};

/// A tile of `channels` x (`vectors` vectors of pixels): per tap one multiply-add for each of its accumulators, for
/// `vectors` vectors and `channels` broadcast scalars loaded.
template <int channels, int vectors>
HWY_INLINE void correlate_tile(const Correlation& s, const float* HWY_RESTRICT w, int64_t used_channels,
                               const PixelVector* pixels, int64_t dst_channel) {
  const D d;
  V acc[channels][vectors];
  for (int k = 0; k < channels; ++k) {
    for (int v = 0; v < vectors; ++v) acc[k][v] = hn::Set(d, w[k]);
  }
  const float* src[vectors];
  for (int v = 0; v < vectors; ++v) src[v] = pixels[v].src;
  const int64_t* HWY_RESTRICT offset = s.offset;
  for (int64_t j = 0; j < s.taps; ++j) {
    w += channels;
    V x[vectors];
    for (int v = 0; v < vectors; ++v) x[v] = hn::LoadU(d, src[v] + offset[j]);
    for (int k = 0; k < channels; ++k) {
      const V wk = hn::Set(d, w[k]);
      for (int v = 0; v < vectors; ++v) acc[k][v] = hn::MulAdd(wk, x[v], acc[k][v]);
    }
  }
  const int64_t lanes = hn::Lanes(d);
  for (int v = 0; v < vectors; ++v) {
    float* dst = pixels[v].dst + dst_channel;
    if (pixels[v].count == lanes) {
      for (int k = 0; k < channels && k < used_channels; ++k) hn::StoreU(acc[k][v], d, dst + k * s.dst_channel);
    } else {
      for (int k = 0; k < channels && k < used_channels; ++k) {
        HWY_ALIGN float part[HWY_LANES(float)];
        hn::Store(acc[k][v], d, part);
        std::copy_n(part, pixels[v].count, dst + k * s.dst_channel);
      }
    }
  }
}

template <int vectors>
HWY_INLINE void correlate_all_channels(const Correlation& s, const PixelVector* pixels) {
  const float* w = s.w;
  for (int64_t k = 0; k < s.K; k += tile_channels) {
    with_block_channels(s.K - k, [&](auto channels) HWY_ATTR {
      correlate_tile<channels.value, vectors>(s, w, s.K - k, pixels, k * s.dst_channel);
      w += (1 + s.taps) * channels.value;
    });
  }
}

void correlate(const Correlation& s) {
  const int64_t lanes = hn::Lanes(D());
  PixelVector pixels[tile_vectors];
  int filled = 0;
  for (int64_t p = 0; p < s.rows; ++p) {
    for (int64_t q = 0; q < s.cols; q += lanes) {
      pixels[filled++] = {s.src + p * s.src_row + q, s.dst + p * s.dst_row + q, std::min(lanes, s.cols - q)};
      if (filled == tile_vectors) {
        correlate_all_channels<tile_vectors>(s, pixels);
        filled = 0;
      }
    }
  }
  static_assert(tile_vectors == 3);
  if (filled == 2) correlate_all_channels<2>(s, pixels);
  if (filled == 1) correlate_all_channels<1>(s, pixels);
}

int64_t block_channels(int64_t remaining) {
  int64_t channels = 0;
  with_block_channels(remaining, [&](auto n) HWY_ATTR { channels = n.value; });
  return channels;
}

TileSizes tile_sizes() { return {static_cast<int64_t>(hn::Lanes(D())), tile_channels}; }

/// A tile of `channels` x tile_taps sums, in vectors over the pixels: per vector of pixels one multiply-add for each of
/// the sums, for `channels` + tile_taps vectors loaded. Taps beyond the last repeat it and are dropped.
template <int channels>
HWY_INLINE void gradient_tile(const CorrelationGradient& s, int64_t k0, int64_t j0) {
  const D d;
  const int64_t lanes = hn::Lanes(d);
  const int64_t whole = s.cols / lanes * lanes;
  const auto mask = hn::FirstN(d, s.cols - whole);

  int64_t offset[tile_taps];
  for (int t = 0; t < tile_taps; ++t) offset[t] = s.offset[std::min(j0 + t, s.taps - 1)];
  V acc[channels][tile_taps];
  for (int k = 0; k < channels; ++k) {
    for (int t = 0; t < tile_taps; ++t) acc[k][t] = hn::Zero(d);
  }
  for (int64_t i = 0; i < s.images; ++i) {
    for (int64_t p = 0; p < s.rows; ++p) {
      const float* HWY_RESTRICT src = s.src + i * s.src_image + p * s.src_row;
      const float* HWY_RESTRICT dy = s.dy + i * s.dy_image + k0 * s.dy_channel + p * s.dy_row;
      for (int64_t q = 0; q < whole; q += lanes) {
        V x[tile_taps];
        for (int t = 0; t < tile_taps; ++t) x[t] = hn::LoadU(d, src + q + offset[t]);
        for (int k = 0; k < channels; ++k) {
          const V g = hn::LoadU(d, dy + q + k * s.dy_channel);
          for (int t = 0; t < tile_taps; ++t) acc[k][t] = hn::MulAdd(g, x[t], acc[k][t]);
        }
      }
      if (whole < s.cols) {
        // Both operands are masked: zero times what lies beyond the row might be NaN.
        V x[tile_taps];
        for (int t = 0; t < tile_taps; ++t) x[t] = hn::IfThenElseZero(mask, hn::LoadU(d, src + whole + offset[t]));
        for (int k = 0; k < channels; ++k) {
          HWY_ALIGN float part[HWY_LANES(float)] = {};
          std::copy_n(dy + whole + k * s.dy_channel, s.cols - whole, part);
          const V g = hn::Load(d, part);
          for (int t = 0; t < tile_taps; ++t) acc[k][t] = hn::MulAdd(g, x[t], acc[k][t]);
        }
      }
    }
  }
  for (int k = 0; k < channels; ++k) {
    for (int t = 0; t < tile_taps && j0 + t < s.taps; ++t) {
      s.dw[(k0 + k) * s.dw_channel + j0 + t] += hn::GetLane(hn::SumOfLanes(d, acc[k][t]));
    }
  }
}

float row_sum(const float* x, int64_t n) {
  const D d;
  const int64_t lanes = hn::Lanes(d);
  V acc = hn::Zero(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) acc = hn::Add(acc, hn::LoadU(d, x + i));
  float sum = hn::GetLane(hn::SumOfLanes(d, acc));
  for (; i < n; ++i) sum += x[i];
  return sum;
}

void correlate_gradient(const CorrelationGradient& s) {
  if (s.dbias) {
    for (int64_t k = 0; k < s.K; ++k) {
      float sum = 0;
      for (int64_t i = 0; i < s.images; ++i) {
        for (int64_t p = 0; p < s.rows; ++p) {
          sum += row_sum(s.dy + i * s.dy_image + k * s.dy_channel + p * s.dy_row, s.cols);
        }
      }
      s.dbias[k] += sum;
    }
  }
  for (int64_t k = 0; k < s.K;) {
    // Whole blocks only: 13 channels are 8 + 4 + 1.
    const auto largest = [&](auto self, auto channels) HWY_ATTR -> int64_t {
      constexpr int n = channels.value;
      if constexpr (n > 1) {
        if (s.K - k < n) return self(self, Constant<n / 2>());
      }
      for (int64_t j = 0; j < s.taps; j += tile_taps) gradient_tile<n>(s, k, j);
      return n;
    };
    k += largest(largest, Constant<tile_channels>());
  }
}

void padded_copy(const PaddedCopy& s) {
  const D d;
  const int64_t lanes = hn::Lanes(d);
  const int64_t first = std::clamp<int64_t>(-s.left, 0, s.cols);  // columns [first, last) exist in src
  const int64_t last = std::clamp<int64_t>(s.W - s.left, first, s.cols);
  float* dst = s.dst;
  for (int64_t plane = 0; plane < s.planes; ++plane) {
    for (int64_t row = 0; row < s.rows; ++row, dst += s.cols) {
      const int64_t h = s.top + row;
      if (h < 0 || h >= s.H) {
        std::fill_n(dst, s.cols, 0.0f);
        continue;
      }
      const float* src = s.src + (plane * s.H + h) * s.W + s.left;
      int64_t i = 0;
      for (; i < first; ++i) dst[i] = 0;
      for (; i + lanes <= last; i += lanes) hn::StoreU(hn::LoadU(d, src + i), d, dst + i);
      for (; i < last; ++i) dst[i] = src[i];
      for (; i < s.cols; ++i) dst[i] = 0;
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
HWY_EXPORT(padded_copy);

TileSizes conv2d_tile_sizes() { return HWY_DYNAMIC_DISPATCH(tile_sizes)(); }
int64_t conv2d_block_channels(int64_t remaining) { return HWY_DYNAMIC_DISPATCH(block_channels)(remaining); }
void conv2d_correlate(const Correlation& s) { HWY_DYNAMIC_DISPATCH(correlate)(s); }
void conv2d_correlate_gradient(const CorrelationGradient& s) { HWY_DYNAMIC_DISPATCH(correlate_gradient)(s); }
void conv2d_padded_copy(const PaddedCopy& s) { HWY_DYNAMIC_DISPATCH(padded_copy)(s); }

}  // namespace tern::kernels
#endif
