#include <tern/kernels/cpu/simd.hpp>
#include <tern/kernels/cpu/winograd.hpp>

#include <algorithm>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tern/kernels/cpu/winograd.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <tern/kernels/cpu/sum_lanes-inl.hpp>

#ifndef TERN_KERNELS_CPU_WINOGRAD
#define TERN_KERNELS_CPU_WINOGRAD
namespace tern::kernels {

constexpr float a = 0.70710678f, b = 1.41421356f;  // the points
constexpr int64_t summed_channels = 8;             // of output, whose sums are to stay in the cache

}  // namespace tern::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace tern::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr bool masks_borders = !HWY_MEM_OPS_MIGHT_FAULT;

// Of the output: four to each, their sums for the six places of a column are to fit the registers.
constexpr int tile_channels = HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON ? 4 : 2;

/// y[0 .. 6) = G x[0 .. 3).
template <class D, class V>
HWY_INLINE void filter_transform(D d, const V* x, V* y) {
  const auto pair = [&](float square, float scale, float point, V* to) HWY_ATTR {
    const V even = hn::Mul(hn::Set(d, scale), hn::MulAdd(hn::Set(d, square), x[2], x[0]));
    const V odd = hn::Mul(hn::Set(d, scale * point), x[1]);
    to[0] = hn::Add(even, odd);
    to[1] = hn::Sub(even, odd);
  };
  y[0] = x[0];
  y[1] = x[2];
  pair(0.5f, -2.0f / 3, a, y + 2);
  pair(2, 1.0f / 6, b, y + 4);
}

/// y[0 .. 6) = B^T x[0 .. 6).
template <class D, class V>
HWY_INLINE void input_transform(D d, const V* x, V* y) {
  const auto pair = [&](float square, float point, V* to) HWY_ATTR {
    const V even = hn::NegMulAdd(hn::Set(d, square), x[2], x[4]);
    const V odd = hn::Mul(hn::Set(d, point), hn::NegMulAdd(hn::Set(d, square), x[1], x[3]));
    to[0] = hn::Add(even, odd);
    to[1] = hn::Sub(even, odd);
  };
  y[0] = hn::NegMulAdd(hn::Set(d, 2.5f), x[2], hn::Add(x[0], x[4]));
  y[1] = hn::NegMulAdd(hn::Set(d, 2.5f), x[3], hn::Add(x[1], x[5]));
  pair(2, a, y + 2);
  pair(0.5f, b, y + 4);
}

/// y[0 .. 4) = A^T x[0 .. 6).
template <class D, class V>
HWY_INLINE void output_transform(D d, const V* x, V* y) {
  const V even_a = hn::Add(x[2], x[3]), odd_a = hn::Sub(x[2], x[3]);
  const V even_b = hn::Add(x[4], x[5]), odd_b = hn::Sub(x[4], x[5]);
  y[0] = hn::Add(hn::Add(x[0], even_a), even_b);
  y[1] = hn::MulAdd(hn::Set(d, a), odd_a, hn::Mul(hn::Set(d, b), odd_b));
  y[2] = hn::MulAdd(hn::Set(d, 0.5f), even_a, hn::Add(even_b, even_b));
  y[3] = hn::MulAdd(hn::Set(d, a / 2), odd_a, hn::MulAdd(hn::Set(d, 2 * b), odd_b, x[1]));
}

/// y[0 .. 6) = A x[0 .. 4).
template <class D, class V>
HWY_INLINE void output_gradient_transform(D d, const V* x, V* y) {
  const auto pair = [&](float square, float point, V* to) HWY_ATTR {
    const V even = hn::MulAdd(hn::Set(d, square), x[2], x[0]);
    const V odd = hn::Mul(hn::Set(d, point), hn::MulAdd(hn::Set(d, square), x[3], x[1]));
    to[0] = hn::Add(even, odd);
    to[1] = hn::Sub(even, odd);
  };
  y[0] = x[0];
  y[1] = x[3];
  pair(0.5f, a, y + 2);
  pair(2, b, y + 4);
}

#if HWY_TARGET == HWY_SCALAR
template <class D, class V>
HWY_INLINE void turn(D, V*) {}  // never called: winograd_lanes() is 0
#else
/// Turns the 4 x 4 elements of four vectors' blocks of four lanes round: columns of pixels from strips, and back.
template <class D, class V>
HWY_INLINE void turn(D d, V* v) {
  const V even_low = hn::InterleaveLower(d, v[0], v[2]), even_high = hn::InterleaveUpper(d, v[0], v[2]);
  const V odd_low = hn::InterleaveLower(d, v[1], v[3]), odd_high = hn::InterleaveUpper(d, v[1], v[3]);
  v[0] = hn::InterleaveLower(d, even_low, odd_low);
  v[1] = hn::InterleaveUpper(d, even_low, odd_low);
  v[2] = hn::InterleaveLower(d, even_high, odd_high);
  v[3] = hn::InterleaveUpper(d, even_high, odd_high);
}
#endif

/// Calls f with a tag of `lanes` lanes.
template <int widest = std::min<int>(16, hn::MaxLanes(hn::ScalableTag<float>())), class F>
HWY_INLINE void with_lanes(int64_t lanes, const F& f) {
  if constexpr (widest > 4) {
    if (lanes < widest) return with_lanes<widest / 2>(lanes, f);
  }
  f(hn::CappedTag<float, widest>());
}

/// Calls f with the number of channels of the block that starts where `remaining` are left, as a constant.
template <int n = tile_channels, class F>
HWY_INLINE void with_block_channels(int64_t remaining, const F& f) {
  if constexpr (n > 1) {
    if (remaining < n) return with_block_channels<n - 1>(remaining, f);
  }
  f(std::integral_constant<int, n>());
}

void filters(int64_t channels, const float* g, float* u, int64_t u_down, int64_t u_across) {
  const hn::CappedTag<float, tile_channels> d;
  using V = hn::Vec<decltype(d)>;
  V columns[6][3];
  for (int c = 0; c < 3; ++c) {
    V x[3], y[6];
    for (int r = 0; r < 3; ++r) x[r] = hn::LoadU(d, g + (3 * r + c) * tile_channels);
    filter_transform(d, x, y);
    for (int r = 0; r < 6; ++r) columns[r][c] = y[r];
  }
  for (int r = 0; r < 6; ++r) {
    V places[6];
    filter_transform(d, columns[r], places);
    for (int c = 0; c < 6; ++c) {
      float* to = u + r * u_down + c * u_across;
      if (channels == tile_channels) {
        hn::StoreU(places[c], d, to);
      } else {
        HWY_ALIGN float all[tile_channels];
        hn::StoreU(places[c], d, all);
        std::copy_n(all, channels, to);
      }
    }
  }
}

/// Which columns from `left` on row h of a plane has.
template <class D>
HWY_INLINE hn::Mask<D> columns_inside(D d, const WinogradInput& s, int64_t h, int64_t left) {
  const int64_t lanes = hn::Lanes(d), end = h >= 0 && h < s.H ? std::clamp<int64_t>(s.W - left, 0, lanes) : 0;
  return hn::AndNot(hn::FirstN(d, std::clamp<int64_t>(-left, 0, lanes)), hn::FirstN(d, end));
}

/// B^T d B of four strips, from the first on; the last one again where there are none. Place (r, c) of a channel goes
/// to dst[c * dst_column + r / 2 * dst_pair + r % 2 * lanes].
template <class D>
HWY_INLINE void transform_strips(D d, const WinogradInput& s, int64_t first, float* HWY_RESTRICT dst,
                                 int64_t dst_channel, int64_t dst_pair, int64_t dst_column) {
  using V = hn::Vec<D>;
  const int64_t lanes = hn::Lanes(d);
  const float* HWY_RESTRICT src[4];
  hn::Mask<D> inside[2][6][4];  // of each tile's columns, and of those of the one to its right
  for (int i = 0; i < 4; ++i) {
    const Strip& strip = s.strip[std::min(first + i, s.strips - 1)];
    src[i] = s.src + strip.src;
    if constexpr (masks_borders) {
      for (int r = 0; r < 6; ++r) {
        inside[0][r][i] = columns_inside(d, s, strip.top + r, strip.left);
        inside[1][r][i] = columns_inside(d, s, strip.top + r, strip.left + 4);
      }
    }
  }
  const auto load = [&](const hn::Mask<D>& mask, const float* from) HWY_ATTR {
    if constexpr (masks_borders) {
      return hn::MaskedLoad(mask, d, from);
    } else {
      return hn::LoadU(d, from);
    }
  };
  for (int64_t c = 0; c < s.C; ++c, dst += dst_channel) {
    V rows[6][6];
    for (int r = 0; r < 6; ++r) {
      const int64_t at = c * s.channel + r * s.row;
      V x[4], right[4];
      for (int i = 0; i < 4; ++i) x[i] = load(inside[0][r][i], src[i] + at);
      for (int i = 0; i < 4; ++i) right[i] = load(inside[1][r][i], src[i] + at + 4);
      turn(d, x);
      turn(d, right);
      const V all[6] = {x[0], x[1], x[2], x[3], right[0], right[1]};
      input_transform(d, all, rows[r]);
    }
    for (int column = 0; column < 6; ++column) {
      const V x[6] = {rows[0][column], rows[1][column], rows[2][column],
                      rows[3][column], rows[4][column], rows[5][column]};
      V y[6];
      input_transform(d, x, y);
      for (int r = 0; r < 6; ++r) {
        hn::Store(y[r], d, dst + column * dst_column + r / 2 * dst_pair + r % 2 * lanes);
      }
    }
  }
}

/// The places of one column of `channels` outputs, summed over the inputs' channels: A^T of them, to
/// out[channel][column][4][lanes].
template <int channels, class D>
HWY_INLINE void sum_column(D d, int64_t C, const float* HWY_RESTRICT x, const float* HWY_RESTRICT w,
                           float* HWY_RESTRICT out) {
  using V = hn::Vec<D>;
  const int64_t lanes = hn::Lanes(d);
  V sum[channels][6];
  for (int k = 0; k < channels; ++k) {
    for (int r = 0; r < 6; ++r) sum[k][r] = hn::Zero(d);
  }
  for (int64_t c = 0; c < C; ++c) {
    for (int r = 0; r < 6; ++r, x += lanes, w += channels) {
      const V v = hn::Load(d, x);
      for (int k = 0; k < channels; ++k) sum[k][r] = hn::MulAdd(hn::Set(d, w[k]), v, sum[k][r]);
    }
  }
  for (int k = 0; k < channels; ++k, out += 24 * lanes) {
    V rows[4];
    output_transform(d, sum[k], rows);
    for (int r = 0; r < 4; ++r) hn::Store(rows[r], d, out + r * lanes);
  }
}

/// The pixels of four strips from what sum_column made.
template <class D>
HWY_INLINE void store_strips(D d, const float* HWY_RESTRICT sums, float bias, float* const* strip, int64_t at,
                             int64_t row) {
  using V = hn::Vec<D>;
  const int64_t lanes = hn::Lanes(d);
  for (int r = 0; r < 4; ++r, sums += lanes, at += row) {
    V x[6], y[4];
    for (int column = 0; column < 6; ++column) x[column] = hn::Load(d, sums + column * 4 * lanes);
    output_transform(d, x, y);
    for (V& v : y) v = hn::Add(v, hn::Set(d, bias));
    turn(d, y);
    for (int i = 0; i < 4; ++i) hn::StoreU(y[i], d, strip[i] + at);
  }
}

/// Four strips of all outputs. Their pixels are fetched while sums are made, which need no memory.
template <class D>
HWY_INLINE void correlate_strips(D d, const WinogradCorrelation& s, int64_t first) {
  const int64_t lanes = hn::Lanes(d), C = s.x.C, column = 6 * C * lanes;
  float *in = s.scratch, *sums = in + 6 * column;
  transform_strips(d, s.x, first, in, 6 * lanes, 2 * lanes, column);
  float* strip[4];
  for (int i = 0; i < 4; ++i) strip[i] = s.dst + s.x.strip[std::min(first + i, s.x.strips - 1)].dst;
  for (int64_t k0 = 0; k0 < s.K; k0 += summed_channels) {
    const int64_t k1 = std::min(s.K, k0 + summed_channels);
    for (int c = 0; c < 6; ++c) {
      for (int64_t k = k0; k < k1; k += tile_channels) {
        for (int64_t n = k; c < 4 && n < std::min(k1, k + tile_channels); ++n) {
          for (int i = 0; i < 4; ++i) prefetch(strip[i] + n * s.dst_channel + c * s.dst_row);
        }
        with_block_channels(k1 - k, [&](auto channels) HWY_ATTR {
          const float* w = s.w + winograd_places * C * k + c * 6 * C * channels.value;
          sum_column<channels.value>(d, C, in + c * column, w, sums + ((k - k0) * 24 + c * 4) * lanes);
        });
      }
    }
    for (int64_t k = k0; k < k1; ++k) {
      store_strips(d, sums + (k - k0) * 24 * lanes, s.bias[k], strip, k * s.dst_channel, s.dst_row);
    }
  }
}

void correlate(const WinogradCorrelation& s) {
  with_lanes(s.x.lanes, [&](auto d) HWY_ATTR {
    for (int64_t i = 0; i < s.x.strips; i += 4) correlate_strips(d, s, i);
  });
}

void input_channels_last(const float* HWY_RESTRICT src, int64_t src_pixel, int64_t channels, int64_t rows, int64_t cols,
                         float* HWY_RESTRICT dst, int64_t dst_place, int64_t dst_tile) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = hn::Lanes(d), row = (4 * cols + 2) * src_pixel;
  for (int64_t i = 0; i < rows; ++i, src += 4 * row, dst += cols * dst_tile) {
    for (int64_t c = 0; c < channels; c += lanes) {
      V column[6][6];  // neighbours share two columns
      const float* from = src + c;
      const auto load = [&](V* to) HWY_ATTR {
        V x[6];
        for (int r = 0; r < 6; ++r) x[r] = hn::LoadU(d, from + r * row);
        input_transform(d, x, to);
        from += src_pixel;
      };
      load(column[0]);
      load(column[1]);
      for (int64_t j = 0; j < cols; ++j) {
        for (int next = 2; next < 6; ++next) load(column[next]);
        float* to = dst + j * dst_tile + c;
        for (int r = 0; r < 6; ++r) {
          const V x[6] = {column[0][r], column[1][r], column[2][r], column[3][r], column[4][r], column[5][r]};
          V place[6];
          input_transform(d, x, place);
          for (int p = 0; p < 6; ++p, to += dst_place) hn::StoreU(place[p], d, to);
          column[0][r] = column[4][r];
          column[1][r] = column[5][r];
        }
      }
    }
  }
}

/// A dy A^T of four strips of a plane from the first on, zeros where there are none. Place (r, c) goes to
/// dst[c * dst_column + r / 2 * dst_pair + r % 2 * dst_row].
template <class D>
HWY_INLINE void output_gradient_strips(D d, int64_t strips, const Strip* strip, int64_t first, const float* dy,
                                       int64_t dy_row, float* HWY_RESTRICT dst, int64_t dst_column, int64_t dst_pair,
                                       int64_t dst_row) {
  using V = hn::Vec<D>;
  V rows[4][6];
  V pixels[4][4];
  for (int i = 0; i < 4; ++i) {
    const float* from = first + i < strips ? dy + strip[first + i].dst : nullptr;
    for (int r = 0; r < 4; ++r) pixels[r][i] = from ? hn::LoadU(d, from + r * dy_row) : hn::Zero(d);
  }
  for (int r = 0; r < 4; ++r) {
    turn(d, pixels[r]);
    output_gradient_transform(d, pixels[r], rows[r]);
  }
  for (int c = 0; c < 6; ++c) {
    const V x[4] = {rows[0][c], rows[1][c], rows[2][c], rows[3][c]};
    V place[6];
    output_gradient_transform(d, x, place);
    for (int r = 0; r < 6; ++r) hn::StoreU(place[r], d, dst + c * dst_column + r / 2 * dst_pair + r % 2 * dst_row);
  }
}

void output_gradient(int64_t lanes, int64_t strips, const Strip* strip, const float* dy, int64_t dy_row, float* dst,
                     int64_t dst_place) {
  with_lanes(lanes, [=](auto d) HWY_ATTR {
    float* to = dst;
    for (int64_t first = 0; first < strips; first += 4, to += lanes) {
      output_gradient_strips(d, strips, strip, first, dy, dy_row, to, dst_place, 12 * dst_place, 6 * dst_place);
    }
  });
}

/// One row of four strips of dy from the first on.
HWY_INLINE void prefetch_strips(const WinogradGradient& s, const float* row, int64_t first) {
  for (int i = 0; i < 4; ++i) prefetch(row + s.x.strip[std::min(first + i, s.x.strips - 1)].dst);
}

/// Elements from one pair of places to the next, for n vectors of each: no multiple of a page, lest what is stored meet
/// in the same sets of the cache.
int64_t pair_step(int64_t n, int64_t lanes) { return (2 * n + 2) * lanes; }

/// The sums of two places for `channels` x `inputs` planes; in[vectors][C][2][lanes], out[vectors][channels][2][lanes].
/// Meanwhile a row of the planes of dy that come next is fetched, by the first pairs of places the lower two of each
/// strip.
template <int channels, int inputs>
HWY_INLINE void gradient_pair(const WinogradGradient& s, int64_t vectors, const float* HWY_RESTRICT in,
                              const float* HWY_RESTRICT out, const float* next_dy, int pair,
                              float* HWY_RESTRICT total) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = hn::Lanes(d);
  constexpr int sums = (2 * channels * inputs + 3) / 4 * 4;
  V sum[sums];
  for (V& v : sum) v = hn::Zero(d);
  for (int64_t t = 0; t < vectors; ++t, in += s.x.C * 2 * lanes, out += channels * 2 * lanes) {
    if (pair < 2 * channels) prefetch_strips(s, next_dy + pair / 2 * s.dy_channel + (pair % 2 + 2) * s.dy_row, 4 * t);
    V x[2 * inputs];
    for (int i = 0; i < 2 * inputs; ++i) x[i] = hn::Load(d, in + i * lanes);
    for (int k = 0; k < channels; ++k) {
      for (int r = 0; r < 2; ++r) {
        const V y = hn::Load(d, out + (2 * k + r) * lanes);
        for (int c = 0; c < inputs; ++c) {
          V& to = sum[(k * inputs + c) * 2 + r];
          to = hn::MulAdd(x[2 * c + r], y, to);
        }
      }
    }
  }
  for (int i = 0; i < sums; i += 4) sum_lanes_of_four(sum + i, total + i);
}

/// All places of `channels` x `inputs` planes; in[pair][vectors][C][2][lanes], out[pair][vectors][channels][2][lanes].
template <int channels, int inputs>
HWY_INLINE void gradient_places(const WinogradGradient& s, int64_t vectors, const float* in, const float* out,
                                const float* next_dy, int64_t c0, float* dw) {
  const int64_t lanes = s.x.lanes;
  for (int pair = 0; pair < winograd_places / 2; ++pair) {
    float total[2 * channels * inputs + 3];
    gradient_pair<channels, inputs>(s, vectors, in + c0 * 2 * lanes, out, next_dy, pair, total);
    for (int k = 0; k < channels; ++k) {
      float* HWY_RESTRICT to = dw + k * s.dw_channel + 2 * (pair * s.x.C + c0);
      for (int i = 0; i < 2 * inputs; ++i) to[i] += total[k * 2 * inputs + i];
    }
    in += pair_step(vectors * s.x.C, lanes);
    out += pair_step(vectors * channels, lanes);
  }
}

template <int channels>
void gradient_channels(const WinogradGradient& s, int64_t vectors, const float* in, float* out, int64_t k0) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = s.x.lanes, pair = pair_step(vectors * channels, lanes);
  const float* next_dy = k0 + channels < s.K ? s.dy + (k0 + channels) * s.dy_channel : s.next_dy;
  for (int k = 0; k < channels; ++k) {
    for (int64_t t = 0; t < vectors; ++t) {
      for (int r = 0; r < 2; ++r) prefetch_strips(s, next_dy + k * s.dy_channel + r * s.dy_row, 4 * t);
      output_gradient_strips(d, s.x.strips, s.x.strip, 4 * t, s.dy + (k0 + k) * s.dy_channel, s.dy_row,
                             out + (t * channels + k) * 2 * lanes, 3 * pair, pair, lanes);
    }
  }
  float* dw = s.dw + k0 * s.dw_channel;
  int64_t c = 0;
  for (; c + 3 <= s.x.C; c += 3) gradient_places<channels, 3>(s, vectors, in, out, next_dy, c, dw);
  for (; c < s.x.C; ++c) gradient_places<channels, 1>(s, vectors, in, out, next_dy, c, dw);
}

void gradient(const WinogradGradient& s) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = s.x.lanes, vectors = (s.x.strips + 3) / 4, pair = pair_step(vectors * s.x.C, lanes);
  float *in = s.scratch, *out = in + winograd_places / 2 * pair;
  for (int64_t t = 0; t < vectors; ++t) {
    transform_strips(d, s.x, 4 * t, in + t * s.x.C * 2 * lanes, 2 * lanes, pair, 3 * pair);
  }
  int64_t k = 0;
  for (; k + tile_channels <= s.K; k += tile_channels) gradient_channels<tile_channels>(s, vectors, in, out, k);
  for (; k < s.K; ++k) gradient_channels<1>(s, vectors, in, out, k);
}

int64_t lanes_of_tiles() {
  const int64_t lanes = std::min<int64_t>(16, hn::Lanes(hn::ScalableTag<float>()));
  return lanes < 4 ? 0 : lanes;
}

int64_t channels_of_tile() { return tile_channels; }
bool can_mask_borders() { return masks_borders; }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tern::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tern::kernels {

HWY_EXPORT(correlate);
HWY_EXPORT(gradient);
HWY_EXPORT(input_channels_last);
HWY_EXPORT(output_gradient);
HWY_EXPORT(filters);
HWY_EXPORT(lanes_of_tiles);
HWY_EXPORT(channels_of_tile);
HWY_EXPORT(can_mask_borders);

int64_t winograd_lanes() { return HWY_DYNAMIC_DISPATCH(lanes_of_tiles)(); }
int64_t winograd_channels() { return HWY_DYNAMIC_DISPATCH(channels_of_tile)(); }
bool winograd_masks_borders() { return HWY_DYNAMIC_DISPATCH(can_mask_borders)(); }

void winograd_correlate(const WinogradCorrelation& s) { HWY_DYNAMIC_DISPATCH(correlate)(s); }
int64_t winograd_scratch(int64_t C, int64_t K) {
  return (winograd_places * C + 24 * std::min(K, summed_channels)) * winograd_lanes();
}
void winograd_gradient(const WinogradGradient& s) { HWY_DYNAMIC_DISPATCH(gradient)(s); }

void winograd_input_channels_last(const float* src, int64_t src_pixel, int64_t channels, int64_t rows, int64_t cols,
                                  float* dst, int64_t dst_place, int64_t dst_tile) {
  HWY_DYNAMIC_DISPATCH(input_channels_last)(src, src_pixel, channels, rows, cols, dst, dst_place, dst_tile);
}
void winograd_output_gradient(int64_t lanes, int64_t strips, const Strip* strip, const float* dy, int64_t dy_row,
                              float* dst, int64_t dst_place) {
  HWY_DYNAMIC_DISPATCH(output_gradient)(lanes, strips, strip, dy, dy_row, dst, dst_place);
}

namespace {

/// g[i * g_stride] = row i of G^T u.
void filter_gradient_transform(const float* u, int64_t u_stride, float* g, int64_t g_stride) {
  const auto at = [&](int i) { return u[i * u_stride]; };
  const float even_a = (at(2) + at(3)) * (-2.0f / 3), odd_a = (at(2) - at(3)) * (-2 * a / 3);
  const float even_b = (at(4) + at(5)) / 6, odd_b = (at(4) - at(5)) * (b / 6);
  g[0] = at(0) + even_a + even_b;
  g[g_stride] = odd_a + odd_b;
  g[2 * g_stride] = at(1) + even_a / 2 + even_b * 2;
}

}  // namespace

void winograd_filters(int64_t channels, const float* g, float* u, int64_t u_down, int64_t u_across) {
  HWY_DYNAMIC_DISPATCH(filters)(channels, g, u, u_down, u_across);
}

void winograd_filter_gradient(const float* du, int64_t du_place, float* dg) {
  float columns[3][6];
  for (int c = 0; c < 6; ++c) filter_gradient_transform(du + c * du_place, 6 * du_place, &columns[0][c], 6);
  for (int r = 0; r < 3; ++r) filter_gradient_transform(columns[r], 1, dg + 3 * r, 1);
}

}  // namespace tern::kernels
#endif
