#include <tern/kernels/cpu/simd.hpp>
#include <tern/kernels/cpu/winograd.hpp>

#include <hwy/cache_control.h>

#include <algorithm>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tern/kernels/cpu/winograd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <tern/kernels/cpu/sum_lanes-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace tern::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Of the output: four to each, their sums for a column of places are to fit the registers.
constexpr int tile_channels = HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON ? 4 : 2;

/// y[0 .. 4) = B^T x.
template <class V>
HWY_INLINE void input_transform(const V* x, V* y) {
  y[0] = hn::Sub(x[0], x[2]);
  y[1] = hn::Add(x[1], x[2]);
  y[2] = hn::Sub(x[2], x[1]);
  y[3] = hn::Sub(x[1], x[3]);
}

/// y[0 .. 2) = A^T x.
template <class V>
HWY_INLINE void output_transform(const V* x, V* y) {
  y[0] = hn::Add(hn::Add(x[0], x[1]), x[2]);
  y[1] = hn::Sub(hn::Sub(x[1], x[2]), x[3]);
}

/// y[0 .. 4) = A x.
template <class V>
HWY_INLINE void output_gradient_transform(const V* x, V* y) {
  y[0] = x[0];
  y[1] = hn::Add(x[0], x[1]);
  y[2] = hn::Sub(x[0], x[1]);
  y[3] = hn::Neg(x[1]);
}

/// Calls f(d, at) for the vectors of a row of `cols` tiles: d is the widest tag that a row fills, the last vector
/// overlaps the one before it.
template <class Tag, class F>
HWY_INLINE void for_each_vector(Tag d, int64_t cols, const F& f) {
  const int64_t lanes = hn::Lanes(d);
  if constexpr (hn::MaxLanes(Tag()) > winograd_least_cols) {
    if (cols < lanes) return for_each_vector(hn::Half<Tag>(), cols, f);
  }
  for (int64_t at = 0; at < cols; at += lanes) f(d, std::min(at, cols - lanes));
}

/// The elements of low and high, one after the other, of even and of odd number.
template <class D, class V>
HWY_INLINE void deinterleave([[maybe_unused]] D d, V low, V high, V& even, V& odd) {
#if HWY_TARGET == HWY_SCALAR
  even = low;
  odd = high;
#else
  even = hn::ConcatEven(d, high, low);
  odd = hn::ConcatOdd(d, high, low);
#endif
}

/// B^T d B of neighbouring tiles, to dst[row * dst_row + column * dst_column].
template <class D>
HWY_INLINE void input_vector(D d, const float* HWY_RESTRICT src, int64_t width, float* HWY_RESTRICT dst,
                             int64_t dst_row, int64_t dst_column) {
  using V = hn::Vec<D>;
  const int64_t lanes = hn::Lanes(d);
  V column[4][4];
  for (int pair = 0; pair < 2; ++pair, src += 2) {
    V low[4], high[4], low_rows[4], high_rows[4];
    for (int r = 0; r < 4; ++r) {
      low[r] = hn::LoadU(d, src + r * width);
      high[r] = hn::LoadU(d, src + r * width + lanes);
    }
    input_transform(low, low_rows);
    input_transform(high, high_rows);
    for (int r = 0; r < 4; ++r) {
      deinterleave(d, low_rows[r], high_rows[r], column[r][2 * pair], column[r][2 * pair + 1]);
    }
  }
  for (int r = 0; r < 4; ++r) {
    V place[4];
    input_transform(column[r], place);
    for (int s = 0; s < 4; ++s) hn::StoreU(place[s], d, dst + r * dst_row + s * dst_column);
  }
}

void input_channels_last(const float* HWY_RESTRICT src, int64_t src_pixel, int64_t channels, int64_t rows, int64_t cols,
                         float* HWY_RESTRICT dst, int64_t dst_place, int64_t dst_tile) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = hn::Lanes(d), row = (2 * cols + 2) * src_pixel;
  for (int64_t i = 0; i < rows; ++i, src += 2 * row, dst += cols * dst_tile) {
    for (int64_t c = 0; c < channels; c += lanes) {
      V column[4][4];  // neighbours share two columns
      const float* from = src + c;
      const auto load = [&](V* to) HWY_ATTR {
        V x[4];
        for (int r = 0; r < 4; ++r) x[r] = hn::LoadU(d, from + r * row);
        input_transform(x, to);
        from += src_pixel;
      };
      load(column[0]);
      load(column[1]);
      for (int64_t j = 0; j < cols; ++j) {
        load(column[2]);
        load(column[3]);
        float* to = dst + j * dst_tile + c;
        for (int r = 0; r < 4; ++r) {
          const V x[4] = {column[0][r], column[1][r], column[2][r], column[3][r]};
          V place[4];
          input_transform(x, place);
          for (int s = 0; s < 4; ++s, to += dst_place) hn::StoreU(place[s], d, to);
          column[0][r] = column[2][r];
          column[1][r] = column[3][r];
        }
      }
    }
  }
}

template <class D>
HWY_INLINE void output_gradient_vector(D d, const float* HWY_RESTRICT dy, int64_t width, float* HWY_RESTRICT dst,
                                       int64_t dst_place) {
  using V = hn::Vec<D>;
  V even[2], odd[2], even_rows[4], odd_rows[4];
  for (int r = 0; r < 2; ++r) hn::LoadInterleaved2(d, dy + r * width, even[r], odd[r]);
  output_gradient_transform(even, even_rows);
  output_gradient_transform(odd, odd_rows);
  for (int r = 0; r < 4; ++r) {
    const V y[2] = {even_rows[r], odd_rows[r]};
    V place[4];
    output_gradient_transform(y, place);
    for (int s = 0; s < 4; ++s, dst += dst_place) hn::StoreU(place[s], d, dst);
  }
}

void output_gradient(const float* dy, int64_t rows, int64_t cols, float* dst, int64_t dst_place) {
  for (int64_t i = 0; i < rows; ++i, dy += 4 * cols, dst += cols) {
    for_each_vector(hn::ScalableTag<float>(), cols, [=](auto d, int64_t at) HWY_ATTR {
      output_gradient_vector(d, dy + 2 * at, 2 * cols, dst + at, dst_place);
    });
  }
}

/// A vector of tiles: neighbours in one row, or where rows are shorter than a vector, `count` whole rows.
struct Tiles {
  int64_t row, col, count;
};

/// Their transformed input, to in[column][C][row][lanes].
template <class D>
HWY_INLINE void input_of_tiles(D d, const WinogradInput& s, const Tiles& t, float* in) {
  const int64_t lanes = hn::Lanes(d), width = 2 * s.cols + 2, plane = (2 * s.rows + 2) * width;
  const int64_t column = s.C * 4 * lanes;
  const float* src = s.src + 2 * t.row * width + 2 * t.col;
  for (int64_t c = 0; c < s.C; ++c, src += plane, in += 4 * lanes) {
    if constexpr (hn::MaxLanes(D()) > winograd_least_cols) {
      if (s.cols < lanes) {
        for (int64_t i = 0; i < t.count; ++i) {
          for_each_vector(hn::Half<D>(), s.cols, [=, cols = s.cols](auto half, int64_t at) HWY_ATTR {
            input_vector(half, src + 2 * i * width + 2 * at, width, in + i * cols + at, lanes, column);
          });
        }
        continue;
      }
    }
    input_vector(d, src, width, in, lanes, column);
  }
}

/// Twice the lanes of pixels, those of even and of odd columns, of a row of y; dst_row from one row of tiles to the
/// next.
template <class D>
HWY_INLINE void store_pixels(D d, hn::Vec<D> even, hn::Vec<D> odd, int64_t cols, const Tiles& t, float* dst,
                             int64_t dst_row) {
  if (cols >= static_cast<int64_t>(hn::Lanes(d))) return hn::StoreInterleaved2(even, odd, d, dst);
#if HWY_TARGET != HWY_SCALAR
  if (2 * cols == static_cast<int64_t>(hn::Lanes(d))) {
    const hn::Half<D> half;
    hn::StoreInterleaved2(hn::LowerHalf(half, even), hn::LowerHalf(half, odd), half, dst);
    if (t.count == 2) hn::StoreInterleaved2(hn::UpperHalf(half, even), hn::UpperHalf(half, odd), half, dst + dst_row);
    return;
  }
#endif
  HWY_ALIGN float pixels[2 * hn::MaxLanes(D())];
  hn::StoreInterleaved2(even, odd, d, pixels);
  const float* from = pixels;
  for (int64_t i = 0; i < t.count; ++i, from += 2 * cols, dst += dst_row) {
    for_each_vector(d, 2 * cols,
                    [=](auto part, int64_t at) HWY_ATTR { hn::StoreU(hn::LoadU(part, from + at), part, dst + at); });
  }
}

/// `channels` outputs of the tiles. Each column of places is summed over the input's channels and goes into the outputs
/// at once. Output planes may be pages apart, where the processor's own prefetching stops: meanwhile those of the next
/// channels are fetched.
template <int channels>
void correlate_tile(const WinogradCorrelation& s, const Tiles& t, const float* HWY_RESTRICT w,
                    const float* HWY_RESTRICT bias, float* HWY_RESTRICT dst) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = hn::Lanes(d), width = 2 * s.x.cols;
  dst += 2 * t.row * width + 2 * t.col;
  for (int k = 0; k < channels; ++k) {
    const float* next = dst + (channels + k) * s.dst_channel;
    for (int64_t i = 0; i < 2 * lanes; i += 16) {
      hwy::Prefetch(next + i);
      hwy::Prefetch(next + i + std::max(width, 2 * lanes));
    }
  }
  V y[channels][2][2];  // row, column
  const float* HWY_RESTRICT x = s.scratch;
  for (int column = 0; column < 4; ++column) {
    V sum[channels][4];
    for (int k = 0; k < channels; ++k) {
      for (int r = 0; r < 4; ++r) sum[k][r] = column == 1 && r == 1 ? hn::Set(d, bias[k]) : hn::Zero(d);
    }
    for (int64_t c = 0; c < s.x.C; ++c) {
      for (int r = 0; r < 4; ++r, x += lanes, w += channels) {
        const V v = hn::Load(d, x);
        for (int k = 0; k < channels; ++k) sum[k][r] = hn::MulAdd(hn::Set(d, w[k]), v, sum[k][r]);
      }
    }
    for (int k = 0; k < channels; ++k) {
      V rows[2];
      output_transform(sum[k], rows);
      for (int r = 0; r < 2; ++r) {
        if (column == 0) y[k][r][0] = rows[r];
        if (column == 1) y[k][r][0] = hn::Add(y[k][r][0], rows[r]);
        if (column == 1) y[k][r][1] = rows[r];
        if (column == 2) y[k][r][0] = hn::Add(y[k][r][0], rows[r]);
        if (column >= 2) y[k][r][1] = hn::Sub(y[k][r][1], rows[r]);
      }
    }
  }
  for (int k = 0; k < channels; ++k, dst += s.dst_channel) {
    for (int r = 0; r < 2; ++r) store_pixels(d, y[k][r][0], y[k][r][1], s.x.cols, t, dst + r * width, 2 * width);
  }
}

/// Calls f with the number of channels of the block that starts where `remaining` are left, as a constant.
template <int n = tile_channels, class F>
HWY_INLINE void with_block_channels(int64_t remaining, const F& f) {
  if constexpr (n > 1) {
    if (remaining < n) return with_block_channels<n - 1>(remaining, f);
  }
  f(std::integral_constant<int, n>());
}

void correlate_tiles(const WinogradCorrelation& s, const Tiles& t) {
  input_of_tiles(hn::ScalableTag<float>(), s.x, t, s.scratch);
  const float* w = s.w;
  for (int64_t k = 0; k < s.K; k += tile_channels) {
    with_block_channels(s.K - k, [&](auto channels) HWY_ATTR {
      correlate_tile<channels.value>(s, t, w, s.bias + k, s.dst + k * s.dst_channel);
      w += channels.value * winograd_places * s.x.C;
    });
  }
}

void correlate(const WinogradCorrelation& s) {
  const int64_t lanes = hn::Lanes(hn::ScalableTag<float>());
  if (s.x.cols < lanes) {
    const int64_t rows = lanes / s.x.cols;
    for (int64_t i = 0; i < s.x.rows; i += rows) correlate_tiles(s, {i, 0, std::min(rows, s.x.rows - i)});
  } else {
    for (int64_t i = 0; i < s.x.rows; ++i) {
      for (int64_t j = 0; j < s.x.cols; j += lanes) correlate_tiles(s, {i, std::min(j, s.x.cols - lanes), 1});
    }
  }
}

/// A dy A^T but for its additions, for `channels` planes and a vector of tiles after the other: the even and the odd
/// columns of the upper pixels, then of the lower ones, with the signs that A and A^T give to what they only move:
/// out[channel][tiles][4][lanes].
template <int channels>
HWY_INLINE void split_pixels(const WinogradGradient& s, const float* dy, float* HWY_RESTRICT out) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = hn::Lanes(d), width = 2 * s.x.cols;
  for (int k = 0; k < channels; ++k) {
    for (int64_t i = 0; i < s.x.rows; ++i) {
      const float* HWY_RESTRICT row = dy + k * s.dy_channel + 2 * i * width;
      for (int64_t j = 0; j < width; j += 2 * lanes, out += 4 * lanes) {
        hn::Vec<decltype(d)> even[2], odd[2];
        for (int r = 0; r < 2; ++r) hn::LoadInterleaved2(d, row + r * width + j, even[r], odd[r]);
        hn::Store(even[0], d, out);
        hn::Store(hn::Neg(odd[0]), d, out + lanes);
        hn::Store(hn::Neg(even[1]), d, out + 2 * lanes);
        hn::Store(odd[1], d, out + 3 * lanes);
      }
    }
  }
}

/// The sums of two rows of one column of places, the outer or the inner ones, for `channels` x `inputs` planes. Planes
/// of dy may be pages apart: meanwhile an eighth of those that come next is fetched.
template <int channels, int inputs, int column, bool outer>
HWY_INLINE void gradient_tile(const WinogradGradient& s, const float* HWY_RESTRICT in, const float* HWY_RESTRICT out,
                              const float* next_dy, int64_t c0, float* dw) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = hn::Lanes(d), tiles = s.x.rows * s.x.cols / lanes;
  constexpr int rows[2] = {outer ? 0 : 1, outer ? 3 : 2}, sums = (2 * channels * inputs + 3) / 4 * 4;
  constexpr int pass = 2 * column + outer;
  in += (column * s.x.C + c0) * 4 * lanes;
  V sum[sums];
  for (V& v : sum) v = hn::Zero(d);
  for (int64_t t = 0; t < tiles; ++t, in += winograd_places * s.x.C * lanes) {
    V x[inputs][2];
    for (int c = 0; c < inputs; ++c) {
      for (int r = 0; r < 2; ++r) x[c][r] = hn::Load(d, in + (4 * c + rows[r]) * lanes);
    }
    for (int k = 0; k < channels; ++k) {
      if (k % 2 == pass % 2) hwy::Prefetch(next_dy + k * s.dy_channel + (pass / 2 * tiles + t) * lanes);
      V y[2];
      for (int r = 0; r < 2; ++r) {
        const float* HWY_RESTRICT from = out + ((k * tiles + t) * 4 + 2 * r) * lanes;
        if (column == 0) y[r] = hn::Load(d, from);
        if (column == 1) y[r] = hn::Sub(hn::Load(d, from), hn::Load(d, from + lanes));
        if (column == 2) y[r] = hn::Add(hn::Load(d, from), hn::Load(d, from + lanes));
        if (column == 3) y[r] = hn::Load(d, from + lanes);
      }
      const V place[2] = {outer ? y[0] : hn::Sub(y[0], y[1]), outer ? y[1] : hn::Add(y[0], y[1])};
      for (int c = 0; c < inputs; ++c) {
        for (int r = 0; r < 2; ++r) {
          V& to = sum[(k * inputs + c) * 2 + r];
          to = hn::MulAdd(x[c][r], place[r], to);
        }
      }
    }
  }
  float total[sums];
  for (int i = 0; i < sums; i += 4) sum_lanes_of_four(sum + i, total + i);
  for (int k = 0; k < channels; ++k) {
    for (int c = 0; c < inputs; ++c) {
      for (int r = 0; r < 2; ++r) {
        dw[k * s.dw_channel + (4 * rows[r] + column) * s.x.C + c0 + c] += total[(k * inputs + c) * 2 + r];
      }
    }
  }
}

template <int channels, int inputs>
HWY_INLINE void gradient_places(const WinogradGradient& s, const float* in, const float* out, const float* next_dy,
                                int64_t c0, float* dw) {
  gradient_tile<channels, inputs, 0, false>(s, in, out, next_dy, c0, dw);
  gradient_tile<channels, inputs, 0, true>(s, in, out, next_dy, c0, dw);
  gradient_tile<channels, inputs, 1, false>(s, in, out, next_dy, c0, dw);
  gradient_tile<channels, inputs, 1, true>(s, in, out, next_dy, c0, dw);
  gradient_tile<channels, inputs, 2, false>(s, in, out, next_dy, c0, dw);
  gradient_tile<channels, inputs, 2, true>(s, in, out, next_dy, c0, dw);
  gradient_tile<channels, inputs, 3, false>(s, in, out, next_dy, c0, dw);
  gradient_tile<channels, inputs, 3, true>(s, in, out, next_dy, c0, dw);
}

template <int channels>
void gradient_channels(const WinogradGradient& s, const float* in, float* out, int64_t k) {
  const float* dy = s.dy + k * s.dy_channel;
  float* dw = s.dw + k * s.dw_channel;
  split_pixels<channels>(s, dy, out);
  const float* next_dy = s.dy + std::min<int64_t>(k + channels, s.K - 1) * s.dy_channel;
  int64_t c = 0;
  for (; c + 3 <= s.x.C; c += 3) gradient_places<channels, 3>(s, in, out, next_dy, c, dw);
  for (; c < s.x.C; ++c) gradient_places<channels, 1>(s, in, out, next_dy, c, dw);
}

void gradient(const WinogradGradient& s) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = hn::Lanes(d), tiles = s.x.rows * s.x.cols;
  float *in = s.scratch, *out = in + winograd_places * s.x.C * tiles;
  for (int64_t t = 0; t < tiles; t += lanes) {
    input_of_tiles(d, s.x, {t / s.x.cols, t % s.x.cols, 1}, in + winograd_places * s.x.C * t);
  }
  int64_t k = 0;
  for (; k + tile_channels <= s.K; k += tile_channels) gradient_channels<tile_channels>(s, in, out, k);
  for (; k < s.K; ++k) gradient_channels<1>(s, in, out, k);
}

int64_t channels_of_tile() { return tile_channels; }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tern::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tern::kernels {

HWY_EXPORT(input_channels_last);
HWY_EXPORT(output_gradient);
HWY_EXPORT(correlate);
HWY_EXPORT(channels_of_tile);
HWY_EXPORT(gradient);

void winograd_input_channels_last(const float* src, int64_t src_pixel, int64_t channels, int64_t rows, int64_t cols,
                                  float* dst, int64_t dst_place, int64_t dst_tile) {
  HWY_DYNAMIC_DISPATCH(input_channels_last)(src, src_pixel, channels, rows, cols, dst, dst_place, dst_tile);
}
void winograd_output_gradient(const float* dy, int64_t rows, int64_t cols, float* dst, int64_t dst_place) {
  HWY_DYNAMIC_DISPATCH(output_gradient)(dy, rows, cols, dst, dst_place);
}

void winograd_correlate(const WinogradCorrelation& s) { HWY_DYNAMIC_DISPATCH(correlate)(s); }
void winograd_gradient(const WinogradGradient& s) { HWY_DYNAMIC_DISPATCH(gradient)(s); }
int64_t winograd_channels() { return HWY_DYNAMIC_DISPATCH(channels_of_tile)(); }

void winograd_filter(const float* g, float* u) {
  float rows[4][3];
  for (int c = 0; c < 3; ++c) {
    const float even = g[c] + g[6 + c];
    rows[0][c] = g[c];
    rows[1][c] = 0.5f * (even + g[3 + c]);
    rows[2][c] = 0.5f * (even - g[3 + c]);
    rows[3][c] = g[6 + c];
  }
  for (int r = 0; r < 4; ++r, u += 4) {
    const float even = rows[r][0] + rows[r][2];
    u[0] = rows[r][0];
    u[1] = 0.5f * (even + rows[r][1]);
    u[2] = 0.5f * (even - rows[r][1]);
    u[3] = rows[r][2];
  }
}

void winograd_filter_gradient(const float* du, int64_t du_place, float* dg) {
  float rows[3][4];
  for (int s = 0; s < 4; ++s) {
    const auto at = [&](int r) { return du[(4 * r + s) * du_place]; };
    rows[0][s] = at(0) + 0.5f * (at(1) + at(2));
    rows[1][s] = 0.5f * (at(1) - at(2));
    rows[2][s] = at(3) + 0.5f * (at(1) + at(2));
  }
  for (int r = 0; r < 3; ++r, dg += 3) {
    const float* row = rows[r];
    dg[0] = row[0] + 0.5f * (row[1] + row[2]);
    dg[1] = 0.5f * (row[1] - row[2]);
    dg[2] = row[3] + 0.5f * (row[1] + row[2]);
  }
}

}  // namespace tern::kernels
#endif
