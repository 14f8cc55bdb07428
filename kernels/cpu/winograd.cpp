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

/// y[0 .. 4) = A^T x[0 .. 6). Twice a number is a product here, though a sum would do: as many of the operations are
/// sums as are not, and processors do the two in different units.
template <class D, class V>
HWY_INLINE void output_transform(D d, const V* x, V* y) {
  const V even_a = hn::Add(x[2], x[3]), odd_a = hn::Sub(x[2], x[3]);
  const V even_b = hn::Add(x[4], x[5]), odd_b = hn::Sub(x[4], x[5]);
  y[0] = hn::Add(hn::Add(x[0], even_a), even_b);
  y[1] = hn::MulAdd(hn::Set(d, a), odd_a, hn::Mul(hn::Set(d, b), odd_b));
  y[2] = hn::MulAdd(hn::Set(d, 0.5f), even_a, hn::Mul(hn::Set(d, 2), even_b));
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

/// The pixels of four strips from what sum_column made. The last rows go first: of strips that lie over each other the
/// later one, which begins further down, has the last word, whether or not the two are among the same four.
template <class D>
HWY_INLINE void store_strips(D d, const float* HWY_RESTRICT sums, float bias, float* const* strip, int64_t at,
                             int64_t row) {
  using V = hn::Vec<D>;
  const int64_t lanes = hn::Lanes(d);
  for (int r = 3; r >= 0; --r) {
    V x[6], y[4];
    for (int column = 0; column < 6; ++column) x[column] = hn::Load(d, sums + (column * 4 + r) * lanes);
    output_transform(d, x, y);
    for (V& v : y) v = hn::Add(v, hn::Set(d, bias));
    turn(d, y);
    for (int i = 0; i < 4; ++i) hn::StoreU(y[i], d, strip[i] + at + r * row);
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

#if HWY_TARGET == HWY_SCALAR
void gradient(const WinogradGradient&) {}  // never called: winograd_lanes() is 0
#else
// Outputs of the gradient that go together: their sums of three inputs are to fit the registers.
constexpr int gradient_channels = HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON ? 4 : 2;

/// 1 in even lanes, -1 in odd ones.
template <class D>
HWY_INLINE hn::Vec<D> alternating(D d) {
  return hn::OddEven(hn::Set(d, -1), hn::Set(d, 1));
}

/// Elements from one row of places to the next: no multiple of a page, lest they meet in the same sets of the cache.
int64_t places_row(const WinogradGradient& s) { return s.C * s.rows * s.cols + hn::Lanes(hn::ScalableTag<float>()); }

/// B^T d B of all tiles, in[down][rows / 2][cols / lanes][C][2][lanes], the rows of places places_row() apart. The
/// first of two vectors has places 0 and 3 across of tiles side by side in turns, the second places 1 and 2.
void gradient_input(const WinogradGradient& s, float* HWY_RESTRICT in) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = hn::Lanes(d), width = s.cols + 2, down = places_row(s);
  for (int64_t p = 0; p < s.rows; p += 2) {
    for (int64_t q = 0; q < s.cols; q += lanes) {
      for (int64_t c = 0; c < s.C; ++c, in += 2 * lanes) {
        const float* from = s.x + (c * (s.rows + 2) + p) * width + q;
        V row[4][2];
        for (int r = 0; r < 4; ++r, from += width) {
          const V x0 = hn::LoadU(d, from), x1 = hn::LoadU(d, from + 1), x2 = hn::LoadU(d, from + 2);
          row[r][0] = hn::Mul(hn::Sub(x0, x2), alternating(d));
          row[r][1] = hn::Add(x1, hn::OddEven(hn::Neg(x0), x2));
        }
        for (int i = 0; i < 2; ++i) {
          float* const to = in + i * lanes;
          hn::StoreU(hn::Sub(row[0][i], row[2][i]), d, to);
          hn::StoreU(hn::Add(row[1][i], row[2][i]), d, to + down);
          hn::StoreU(hn::Sub(row[2][i], row[1][i]), d, to + 2 * down);
          hn::StoreU(hn::Sub(row[3][i], row[1][i]), d, to + 3 * down);
        }
      }
    }
  }
}

/// Adds the sums for one row of places of `channels` x `inputs` planes, from k0 and c0 on. Meanwhile a half of the
/// planes of dy that come next is fetched by every other row.
template <int channels, int inputs, int down>
HWY_INLINE void gradient_row(const WinogradGradient& s, int64_t k0, int64_t c0) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const int64_t lanes = hn::Lanes(d);
  V sum[channels][inputs][2];
  for (int k = 0; k < channels; ++k) {
    for (int c = 0; c < inputs; ++c) sum[k][c][0] = sum[k][c][1] = hn::Zero(d);
  }
  const float* const dy = s.dy + k0 * s.dy_channel;
  const float* const next = k0 + channels < s.K ? dy + channels * s.dy_channel : s.next_dy;
  const float* HWY_RESTRICT in = s.scratch + down * places_row(s) + c0 * 2 * lanes;
  for (int64_t p = 0; p < s.rows; p += 2) {
    for (int64_t q = 0; q < s.cols; q += lanes, in += s.C * 2 * lanes) {
      V place[channels];  // 0 and 3, then 1 and 2
      for (int k = 0; k < channels; ++k) {
        const int64_t at = k * s.dy_channel + p * s.dy_row + q;
        if (down % 2 == 0) prefetch(next + at + down / 2 * s.dy_row);
        if (down == 0) place[k] = hn::LoadU(d, dy + at);
        if (down == 1) place[k] = hn::Add(hn::LoadU(d, dy + at), hn::LoadU(d, dy + at + s.dy_row));
        if (down == 2) place[k] = hn::Sub(hn::LoadU(d, dy + at), hn::LoadU(d, dy + at + s.dy_row));
        if (down == 3) place[k] = hn::LoadU(d, dy + at + s.dy_row);
      }
      for (int i = 0; i < 2; ++i) {
        for (int c = 0; c < inputs; ++c) {
          const V x = hn::LoadU(d, in + (2 * c + i) * lanes);
          for (int k = 0; k < channels; ++k) sum[k][c][i] = hn::MulAdd(x, place[k], sum[k][c][i]);
        }
        for (int k = 0; k < channels; ++k) place[k] = hn::MulAdd(place[k], alternating(d), hn::Shuffle2301(place[k]));
      }
    }
  }
  const hn::CappedTag<float, 4> four;
  for (int k = 0; k < channels; ++k) {
    float* to = s.dw + (k0 + k) * s.dw_channel + (down * s.C + c0) * 4;
    for (int c = 0; c < inputs; ++c, to += 4) {
      const V *const v = sum[k][c],
                     pairs = hn::Add(hn::InterleaveLower(d, v[0], v[1]), hn::InterleaveUpper(d, v[0], v[1]));
      hn::StoreU(hn::Add(hn::LoadU(four, to), add_blocks(d, pairs)), four, to);
    }
  }
}

template <int channels, int inputs>
HWY_INLINE void gradient_rows(const WinogradGradient& s, int64_t k0, int64_t c0) {
  gradient_row<channels, inputs, 0>(s, k0, c0);
  gradient_row<channels, inputs, 1>(s, k0, c0);
  gradient_row<channels, inputs, 2>(s, k0, c0);
  gradient_row<channels, inputs, 3>(s, k0, c0);
}

template <int channels>
void gradient_of(const WinogradGradient& s, int64_t k0) {
  int64_t c = 0;
  for (; c + 3 <= s.C; c += 3) gradient_rows<channels, 3>(s, k0, c);
  for (; c < s.C; ++c) gradient_rows<channels, 1>(s, k0, c);
}

void gradient(const WinogradGradient& s) {
  gradient_input(s, s.scratch);
  int64_t k = 0;
  for (; k + gradient_channels <= s.K; k += gradient_channels) gradient_of<gradient_channels>(s, k);
  for (; k < s.K; ++k) gradient_of<1>(s, k);
}
#endif

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

void winograd_gradient_filter(const float* du, int64_t du_row, float* dg) {
  // Places 0, 1, 3 and 2 in a row of du, and in order in a column.
  const auto transform = [](float u0, float u1, float u2, float u3, float* g, int64_t g_stride) {
    const float even = (u1 + u2) / 2;
    g[0] = u0 + even;
    g[g_stride] = (u1 - u2) / 2;
    g[2 * g_stride] = even + u3;
  };
  float rows[4][3];
  for (int r = 0; r < 4; ++r, du += du_row) transform(du[0], du[1], du[3], du[2], rows[r], 1);
  for (int c = 0; c < 3; ++c) transform(rows[0][c], rows[1][c], rows[2][c], rows[3][c], dg + c, 3);
}

}  // namespace tern::kernels
#endif
