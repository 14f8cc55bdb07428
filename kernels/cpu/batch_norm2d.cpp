/// Batch normalisation in two passes each way: statistics plane by plane, then the result. Forward moves 12 bytes to an
/// element, backward 20, for about ten operations; a residual, or an activation's gradient, 4 bytes more a pass. The
/// activation is taken from a block of elements that is still in the cache.
///
/// Statistics are summed in double, blocks of 1024 elements first in float, a few to each lane. All sums have an order
/// that depends on the shape alone. The variance is summed around a point near the mean of each block, and put together
/// from blocks and planes as in Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
/// variances", 1979: a mean far from zero costs no digits. Nor does it in the results, which are computed in float: the
/// mean is taken off in two parts. Planes whose squares no float can hold are summed in double.
///
/// A matrix [N, C], whose planes are of one element, goes by strips of columns, and then by rows: a thread finds the
/// mean of a few vectors of columns, and then the squares around it, from the cache.
///
/// Where windows of 2 x 2 are pooled, the first pass picks their largest elements as well, of a plane in the cache, or
/// the smallest where the weight is negative: their normalised values are the largest, and x need not be read again.
/// Which element of a window was picked could only be wrong where rounding makes equal what is not, so the pass keeps
/// the least difference that a pick was decided by: the second pass takes planes where it is that small anew, from x,
/// as it does all other windows.

#include <tern/kernels/cpu/conv2d_planes.hpp>
#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/memory.hpp>
#include <tern/kernels/cpu/moments.hpp>
#include <tern/kernels/cpu/pool2d_plane.hpp>
#include <tern/kernels/cpu/simd.hpp>
#include <tern/kernels/cpu/threads.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#ifndef TERN_KERNELS_CPU_BATCH_NORM2D
#define TERN_KERNELS_CPU_BATCH_NORM2D
namespace tern::kernels {

/// The sums of dy and of dy * xhat, with xhat = (x - mean) * invstd.
struct Slope {
  double dy = 0, product = 0;
};

/// The gradient by y = activation(...). y is null where there is none.
struct OutputGradient {
  Activation activation;
  const float *y, *dy;

  OutputGradient from(int64_t at) const { return {activation, y ? y + at : nullptr, dy + at}; }
};

/// dx = (dy + (x - mean) * slope + shift) * gain.
struct InputGradient {
  float mean, slope, shift, gain;
};

}  // namespace tern::kernels
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tern/kernels/cpu/batch_norm2d.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <tern/kernels/cpu/moments-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace tern::kernels {
namespace HWY_NAMESPACE {
namespace {

/// The windows [0, Q) of two rows that fill whole vectors, of which it returns the number: picks their largest
/// elements, or the smallest, the first of equals. gap is lowered to the bits of each negative difference between what
/// was the best and a better one: of negative numbers, the smaller ones have the smaller bits, as integers with a sign,
/// and all others and NaN have larger ones.
template <bool smallest, class D>
HWY_INLINE int64_t pick_rows(D d, int64_t Q, int64_t W, const float* x, hn::Vec<hn::RebindToSigned<D>>& gap,
                             float* picked) {
  const hn::RebindToSigned<D> di;
  const int64_t lanes = hn::Lanes(d);
  int64_t q = 0;
  for (; q + lanes <= Q; q += lanes) {
    hn::Vec<D> v[4];
    hn::LoadInterleaved2(d, x + 2 * q, v[0], v[1]);
    hn::LoadInterleaved2(d, x + W + 2 * q, v[2], v[3]);
    auto best = v[0];
    for (int u = 1; u < 4; ++u) {
      gap = hn::Min(gap, hn::BitCast(di, smallest ? hn::Sub(v[u], best) : hn::Sub(best, v[u])));
      best = smallest ? hn::Min(v[u], best) : hn::Max(v[u], best);
    }
    hn::StoreU(best, d, picked + q);
  }
  return q;
}

/// The moments of one plane, to the bit as batch_norm2d has them, and what its windows of 2 x 2 pick.
template <bool smallest, class D>
HWY_INLINE Moments moments_and_picked(D d, const Pool2dShape& s, const float* x, float* picked) {
  const D1 d1;
  const hn::RebindToSigned<D> di;
  const hn::RebindToSigned<D1> di1;
  const int64_t P = s.P(), Q = s.Q(), W = s.W;
  Moments total = moments(s.H * W, x);
  const auto none = std::bit_cast<std::int32_t>(-total.gap);
  auto gap = hn::Set(di, none);
  auto gap_of_rest = hn::Set(di1, none);
  for (int64_t p = 0; p < P; ++p) {
    const float* const row = x + 2 * p * W;
    const int64_t q = pick_rows<smallest>(d, Q, W, row, gap, picked + p * Q);
    pick_rows<smallest>(d1, Q - q, W, row + 2 * q, gap_of_rest, picked + p * Q + q);
  }
  total.gap = -std::bit_cast<float>(std::min(hn::GetLane(hn::MinOfLanes(di, gap)), hn::GetLane(gap_of_rest)));
  return total;
}

/// The same by vectors that are no longer than a row of windows.
template <bool smallest>
HWY_INLINE Moments moments_and_picked(const Pool2dShape& s, const float* x, float* picked) {
  const int64_t Q = s.Q();
  const D32 d;
  if (Q >= static_cast<int64_t>(hn::Lanes(d))) return moments_and_picked<smallest>(d, s, x, picked);
  if (Q >= 8) return moments_and_picked<smallest>(hn::CappedTag<float, 8>(), s, x, picked);
  if (Q >= 4) return moments_and_picked<smallest>(hn::CappedTag<float, 4>(), s, x, picked);
  return moments_and_picked<smallest>(D1(), s, x, picked);
}

Moments moments_and_picked_2x2(const Pool2dShape& s, bool smallest, const float* x, float* picked) {
  return smallest ? moments_and_picked<true>(s, x, picked) : moments_and_picked<false>(s, x, picked);
}

/// dy from before the activation, of the elements from i on. y may be null where there is none.
template <class D>
HWY_INLINE hn::Vec<D> gradient_at(D d, const OutputGradient& of, int64_t i) {
  const auto g = hn::LoadU(d, of.dy + i);
  if (of.activation == Activation::none) return g;
  const auto y = hn::LoadU(d, of.y + i);
  if (of.activation == Activation::tanh) return hn::Mul(g, hn::NegMulAdd(y, y, hn::Set(d, 1)));
  return hn::IfThenZeroElse(hn::Le(y, hn::Zero(d)), g);
}

/// Calls f with the activation as a constant.
template <class F>
HWY_INLINE void with_activation(Activation activation, const F& f) {
  if (activation == Activation::tanh) return f(std::integral_constant<Activation, Activation::tanh>());
  if (activation == Activation::relu) return f(std::integral_constant<Activation, Activation::relu>());
  f(std::integral_constant<Activation, Activation::none>());
}

/// The sums of dy and of dy * xhat over n elements, n up to a block; and unless null, dresidual = dy.
Slope slopes(int64_t n, const float* x, float mean, float invstd, const OutputGradient& from_y, float* dresidual) {
  Sums sums{};
  with_activation(from_y.activation, [&](auto activation) HWY_ATTR {
    const OutputGradient dy{activation, from_y.y, from_y.dy};
    sums = sum_two(n, [=](auto d, int64_t i, auto& sum, auto& product) HWY_ATTR {
      const auto g = gradient_at(d, dy, i);
      if (dresidual) hn::StoreU(g, d, dresidual + i);
      const auto xhat = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean)), hn::Set(d, invstd));
      sum = hn::Add(sum, g);
      product = hn::MulAdd(g, xhat, product);
    });
  });
  return {sums.first, sums.second};
}

/// y = (x - mean) * gain + shift + residual, which may be null.
void normalize(int64_t n, const Normalization& exact, const float* x, const float* residual, float* y) {
  const Rounded of(exact);
  if (!residual) {
    return fill(n, y, [=](auto d, int64_t i) HWY_ATTR { return normalized(d, of, hn::LoadU(d, x + i)); });
  }
  fill(n, y, [=](auto d, int64_t i) HWY_ATTR {
    return hn::Add(normalized(d, of, hn::LoadU(d, x + i)), hn::LoadU(d, residual + i));
  });
}

/// The windows [0, Q) of two rows that fill whole vectors, of which it returns the number: y, and the x it is of.
template <class D>
HWY_INLINE int64_t normalize_and_pick_rows(D d, int64_t Q, int64_t W, const Rounded& of, const float* x, float* picked,
                                           float* y) {
  const int64_t lanes = hn::Lanes(d);
  int64_t q = 0;
  for (; q + lanes <= Q; q += lanes) {
    hn::Vec<D> v[4];
    hn::LoadInterleaved2(d, x + 2 * q, v[0], v[1]);
    hn::LoadInterleaved2(d, x + W + 2 * q, v[2], v[3]);
    auto best = normalized(d, of, v[0]);
    for (int u = 1; u < 4; ++u) {
      const auto next = normalized(d, of, v[u]);
      const auto keep = hn::Or(hn::Le(next, best), hn::IsNaN(best));
      best = hn::IfThenElse(keep, best, next);
      v[0] = hn::IfThenElse(keep, v[0], v[u]);
    }
    hn::StoreU(best, d, y + q);
    hn::StoreU(v[0], d, picked + q);
  }
  return q;
}

/// One plane, under windows of 2 x 2.
void normalize_and_pick_2x2(const Pool2dShape& s, const Normalization& exact, const float* x, float* picked, float* y) {
  const Rounded of(exact);
  const int64_t P = s.P(), Q = s.Q();
  for (int64_t p = 0; p < P; ++p) {
    int64_t q = 0;
    const auto windows = [&](auto d) HWY_ATTR {
      const int64_t at = p * Q + q;
      q += normalize_and_pick_rows(d, Q - q, s.W, of, x + 2 * (p * s.W + q), picked + at, y + at);
    };
    windows(D32());
    windows(hn::CappedTag<float, 8>());
    windows(hn::CappedTag<float, 4>());
    windows(D1());
  }
}

/// The largest |x[i]|, or NaN where one is NaN.
float largest_magnitude(int64_t n, const float* x) {
  const D32 d;
  const D1 d1;
  const hn::RebindToUnsigned<D32> du;  // numbers without a sign are in the order of their bits, and NaN is after them
  const hn::RebindToUnsigned<D1> du1;
  const int64_t lanes = hn::Lanes(d);
  auto largest = hn::Zero(du);
  auto largest_of_rest = hn::Zero(du1);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) largest = hn::Max(largest, hn::BitCast(du, hn::Abs(hn::LoadU(d, x + i))));
  for (; i < n; ++i) {
    largest_of_rest = hn::Max(largest_of_rest, hn::BitCast(du1, hn::Abs(hn::LoadU(d1, x + i))));
  }
  const std::uint32_t bits = std::max(hn::GetLane(hn::MaxOfLanes(du, largest)), hn::GetLane(largest_of_rest));
  return std::bit_cast<float>(bits);
}

/// The gradient by the mean and the variance, to be added to dy before the gain.
template <class D>
HWY_INLINE hn::Vec<D> gradient_by_moments(D d, const InputGradient& of, hn::Vec<D> x) {
  return hn::MulAdd(hn::Sub(x, hn::Set(d, of.mean)), hn::Set(d, of.slope), hn::Set(d, of.shift));
}

/// dx may be x.
void input_gradient(int64_t n, const InputGradient& of, const float* x, const OutputGradient& from_y, float* dx) {
  with_activation(from_y.activation, [&](auto activation) HWY_ATTR {
    const OutputGradient dy{activation, from_y.y, from_y.dy};
    fill(n, dx, [=](auto d, int64_t i) HWY_ATTR {
      return hn::Mul(hn::Add(gradient_at(d, dy, i), gradient_by_moments(d, of, hn::LoadU(d, x + i))),
                     hn::Set(d, of.gain));
    });
  });
}

/// The gradient below the windows from q on, whose elements are v[4], as many as d has lanes.
template <class D>
HWY_INLINE void window_gradient(D d, const InputGradient& of, const float* picked, const OutputGradient& dy, int64_t q,
                                hn::Vec<D>* v) {
  const auto wanted = hn::LoadU(d, picked + q);
  auto g = gradient_at(d, dy, q);  // until it has found its element
  for (int u = 0; u < 4; ++u) {
    const auto here = hn::Eq(v[u], wanted);
    const auto rest = gradient_by_moments(d, of, v[u]);
    v[u] = hn::Mul(hn::IfThenElse(here, hn::Add(rest, g), rest), hn::Set(d, of.gain));
    g = hn::IfThenZeroElse(here, g);
  }
}

/// Two rows of dx below the windows [0, Q) that fill whole vectors; returns how many.
template <class D>
HWY_INLINE int64_t input_gradient_rows(D d, int64_t Q, int64_t W, const InputGradient& of, const float* x,
                                       const float* picked, const OutputGradient& dy, float* dx) {
  const int64_t lanes = hn::Lanes(d);
  int64_t q = 0;
  for (; q + lanes <= Q; q += lanes) {
    hn::Vec<D> v[4];
    hn::LoadInterleaved2(d, x + 2 * q, v[0], v[1]);
    hn::LoadInterleaved2(d, x + W + 2 * q, v[2], v[3]);
    window_gradient(d, of, picked, dy, q, v);
    hn::StoreInterleaved2(v[0], v[1], d, dx + 2 * q);
    hn::StoreInterleaved2(v[2], v[3], d, dx + W + 2 * q);
  }
  return q;
}

/// The next plane's part of a row of windows: the processor's own prefetching stops at the end of a page.
HWY_INLINE void prefetch_rows(const Pool2dShape& s, int64_t p, const float* x, const float* dx) {
  for (int64_t i = (s.H + 2 * p) * s.W; i < (s.H + 2 * p + 2) * s.W; i += 16) {
    prefetch(x + i);
    if (dx != x) prefetch(dx + i);
  }
}

/// One plane that windows of 2 x 2 cover, with rows of them that fill vectors. dx may be x.
template <class D>
HWY_INLINE void input_gradient_of_whole_vectors(D d, const Pool2dShape& s, const InputGradient& of, const float* x,
                                                const float* picked, const OutputGradient& dy, float* dx) {
  const int64_t Q = s.W / 2;
  for (int64_t p = 0; p < s.H / 2; ++p) {
    prefetch_rows(s, p, x, dx);
    input_gradient_rows(d, Q, s.W, of, x + 2 * p * s.W, picked + p * Q, dy.from(p * Q), dx + 2 * p * s.W);
  }
}

/// The same of any plane. Rows shorter than the longest vector go by shorter ones.
HWY_INLINE void input_gradient_of_any_rows(const Pool2dShape& s, const InputGradient& of, const float* x,
                                           const float* picked, const OutputGradient& dy, float* dx) {
  const int64_t P = s.P(), Q = s.Q(), W = s.W;
  const auto in_no_window = [&](int64_t from, int64_t to) HWY_ATTR {
    fill(to - from, dx + from, [&](auto d, int64_t i) HWY_ATTR {
      return hn::Mul(gradient_by_moments(d, of, hn::LoadU(d, x + from + i)), hn::Set(d, of.gain));
    });
  };
  for (int64_t p = 0; p < P; ++p) {
    prefetch_rows(s, p, x, dx);
    const int64_t above = 2 * p * W;
    int64_t q = 0;
    const auto rows = [&](auto d) HWY_ATTR {
      const int64_t at = above + 2 * q, window = p * Q + q;
      q += input_gradient_rows(d, Q - q, W, of, x + at, picked + window, dy.from(window), dx + at);
    };
    rows(D32());
    rows(hn::CappedTag<float, 8>());
    rows(hn::CappedTag<float, 4>());
    rows(hn::CappedTag<float, 1>());
    in_no_window(above + 2 * Q, above + W);
    in_no_window(above + W + 2 * Q, above + 2 * W);
  }
  in_no_window(2 * P * W, s.H * W);
}

void input_gradient_2x2(const Pool2dShape& s, const InputGradient& of, const float* x, const float* picked,
                        const OutputGradient& from_y, float* dx) {
  with_activation(from_y.activation, [&](auto activation) HWY_ATTR {
    const OutputGradient dy{activation, from_y.y, from_y.dy};
    const auto covered_by = [&](auto d) HWY_ATTR {
      const int64_t lanes = hn::Lanes(d);
      if (s.H % 2 != 0 || s.W % (2 * lanes) != 0) return false;
      input_gradient_of_whole_vectors(d, s, of, x, picked, dy, dx);
      return true;
    };
    if (covered_by(D32()) || covered_by(hn::CappedTag<float, 8>())) return;
    input_gradient_of_any_rows(s, of, x, picked, dy, dx);
  });
}

// Planes of one element: x is a matrix [N, C], and vectors lie across its columns.

constexpr int strip = 4;  // vectors of columns that go down together
constexpr std::size_t strip_lanes = strip * hn::MaxLanes(D32());

/// Calls f(how many vectors as a constant, d, c) for the columns [begin, end).
template <class F>
HWY_INLINE void for_columns(int64_t begin, int64_t end, const F& f) {
  const D32 d;
  const int64_t lanes = hn::Lanes(d);
  int64_t c = begin;
  for (; c + strip * lanes <= end; c += strip * lanes) f(std::integral_constant<int, strip>(), d, c);
  for (; c + lanes <= end; c += lanes) f(std::integral_constant<int, 1>(), d, c);
  for (; c < end; ++c) f(std::integral_constant<int, 1>(), D1(), c);
}

/// The sums down N rows that f(i, u, first, second) adds to, for vector u of a strip.
template <int vectors, class D, class F>
HWY_INLINE void sum_columns(D d, int64_t N, double* first, double* second, const F& f) {
  const int64_t lanes = hn::Lanes(d);
  std::fill_n(first, vectors * lanes, 0.0);
  std::fill_n(second, vectors * lanes, 0.0);
  for (int64_t begin = 0; begin < N; begin += block) {
    hn::Vec<D> a[vectors], b[vectors];
    for (int u = 0; u < vectors; ++u) a[u] = b[u] = hn::Zero(d);
    for (int64_t i = begin; i < std::min(N, begin + block); ++i) {
      for (int u = 0; u < vectors; ++u) f(i, u, a[u], b[u]);
    }
    for (int u = 0; u < vectors; ++u) {
      float of_a[hn::MaxLanes(D())], of_b[hn::MaxLanes(D())];
      hn::StoreU(a[u], d, of_a);
      hn::StoreU(b[u], d, of_b);
      for (int64_t l = 0; l < lanes; ++l) {
        first[u * lanes + l] += of_a[l];
        second[u * lanes + l] += of_b[l];
      }
    }
  }
}

/// The moments of the columns [begin, end), around the mean as a first pass finds it. x is read from the cache then.
void column_moments(int64_t N, int64_t C, int64_t begin, int64_t end, const float* x, Moments* of) {
  for_columns(begin, end, [=](auto vectors, auto d, int64_t c) HWY_ATTR {
    const int64_t lanes = hn::Lanes(d);
    double first[strip_lanes], second[strip_lanes];
    float near[strip_lanes];
    sum_columns<vectors>(d, N, first, second, [=](int64_t i, int u, auto& a, auto&) HWY_ATTR {
      a = hn::Add(a, hn::LoadU(d, x + i * C + c + u * lanes));
    });
    for (int64_t k = 0; k < vectors * lanes; ++k) near[k] = static_cast<float>(first[k] / static_cast<double>(N));
    sum_columns<vectors>(d, N, first, second, [=, &near](int64_t i, int u, auto& a, auto& b) HWY_ATTR {
      const auto v = hn::Sub(hn::LoadU(d, x + i * C + c + u * lanes), hn::LoadU(d, near + u * lanes));
      a = hn::Add(a, v);
      b = hn::MulAdd(v, v, b);
    });
    for (int64_t k = 0; k < vectors * lanes; ++k) {
      const double rest = first[k] / static_cast<double>(N);
      of[c + k] = {.mean = near[k] + rest, .squares = second[k] - rest * first[k]};
    }
  });
}

/// The sums of dy and of dy * xhat of the columns [begin, end); and unless null, dresidual = dy.
void column_slopes(int64_t N, int64_t C, int64_t begin, int64_t end, const float* x, const float* mean,
                   const float* invstd, const OutputGradient& from_y, float* dresidual, Slope* of) {
  with_activation(from_y.activation, [&](auto activation) HWY_ATTR {
    const OutputGradient dy{activation, from_y.y, from_y.dy};
    for_columns(begin, end, [=](auto vectors, auto d, int64_t c) HWY_ATTR {
      const int64_t lanes = hn::Lanes(d);
      double first[strip_lanes], second[strip_lanes];
      sum_columns<vectors>(d, N, first, second, [=](int64_t i, int u, auto& a, auto& b) HWY_ATTR {
        const int64_t of_column = c + u * lanes, at = i * C + of_column;
        const auto g = gradient_at(d, dy, at);
        if (dresidual) hn::StoreU(g, d, dresidual + at);
        const auto v = hn::Sub(hn::LoadU(d, x + at), hn::LoadU(d, mean + of_column));
        a = hn::Add(a, g);
        b = hn::MulAdd(g, hn::Mul(v, hn::LoadU(d, invstd + of_column)), b);
      });
      for (int64_t k = 0; k < vectors * lanes; ++k) of[c + k] = {.dy = first[k], .product = second[k]};
    });
  });
}

/// One row: y = (x - high - low) * gain + shift + residual, which may be null. of is [4, C], in that order.
void normalize_row(int64_t C, const float* of, const float* x, const float* residual, float* y) {
  fill(C, y, [=](auto d, int64_t c) HWY_ATTR {
    const auto at = [=](int64_t row) HWY_ATTR { return hn::LoadU(d, of + row * C + c); };
    const auto v = hn::MulAdd(hn::Sub(hn::Sub(hn::LoadU(d, x + c), at(0)), at(1)), at(2), at(3));
    return residual ? hn::Add(v, hn::LoadU(d, residual + c)) : v;
  });
}

/// One row of input_gradient, whose mean, slope, shift and gain are of [4, C]. dx may be x.
void input_gradient_row(int64_t C, const float* of, const float* x, const OutputGradient& from_y, float* dx) {
  with_activation(from_y.activation, [&](auto activation) HWY_ATTR {
    const OutputGradient dy{activation, from_y.y, from_y.dy};
    fill(C, dx, [=](auto d, int64_t c) HWY_ATTR {
      const auto at = [=](int64_t row) HWY_ATTR { return hn::LoadU(d, of + row * C + c); };
      const auto rest = hn::MulAdd(hn::Sub(hn::LoadU(d, x + c), at(0)), at(1), at(2));
      return hn::Mul(hn::Add(gradient_at(d, dy, c), rest), at(3));
    });
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tern::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tern::kernels {

HWY_EXPORT(moments);
HWY_EXPORT(moments_and_picked_2x2);
HWY_EXPORT(slopes);
HWY_EXPORT(normalize);
HWY_EXPORT(normalize_and_pick_2x2);
HWY_EXPORT(largest_magnitude);
HWY_EXPORT(input_gradient);
HWY_EXPORT(input_gradient_2x2);
HWY_EXPORT(column_moments);
HWY_EXPORT(column_slopes);
HWY_EXPORT(normalize_row);
HWY_EXPORT(input_gradient_row);

namespace {

constexpr int64_t block = 1024;  // elements that stay in the first-level cache from one function to the next

/// Calls f(plane, channel) for all planes.
template <class F>
void for_each_plane(const BatchNorm2dShape& s, const F& f) {
  const int64_t grain = std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, s.HW));
  parallel_for(s.N * s.C, grain, [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) f(plane, plane % s.C);
  });
}

/// Calls f(begin, elements) for the blocks of one plane of x.
template <class F>
void for_each_block(const BatchNorm2dShape& s, int64_t plane, const F& f) {
  for (int64_t at = 0; at < s.HW; at += block) f(plane * s.HW + at, std::min(block, s.HW - at));
}

/// Calls f(begin, end) for the columns of a matrix [N, C].
template <class F>
void for_each_strip(const BatchNorm2dShape& s, const F& f) {
  constexpr int64_t columns = 64;  // a whole strip of any vectors
  parallel_for(s.C, columns * std::max<int64_t>(1, (1 << 15) / (columns * s.N)), f);
}

/// Calls f(where it lies) for its rows.
template <class F>
void for_each_row(const BatchNorm2dShape& s, const F& f) {
  parallel_for(s.N, std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, s.C)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i * s.C);
  });
}

/// What batch_norm2d says of mean, invstd, the running statistics and num_batches, from the moments of all planes; `of`
/// gets what is to be done to each channel.
void batch_statistics(const BatchNorm2dShape& s, double momentum, const Moments* plane_moments, const float* weight,
                      const float* bias, float* running_mean, float* running_var, int64_t* num_batches, float* mean,
                      float* invstd, Normalization* of) {
  const double count = static_cast<double>(s.N * s.HW);
  if (num_batches) ++*num_batches;
  if (std::isnan(momentum)) momentum = 1 / static_cast<double>(*num_batches);
  for (int64_t c = 0; c < s.C; ++c) {
    double sum = 0, squares = 0;
    for (int64_t n = 0; n < s.N; ++n) sum += plane_moments[n * s.C + c].mean;
    const double mu = sum / static_cast<double>(s.N);
    for (int64_t n = 0; n < s.N; ++n) {
      const Moments& m = plane_moments[n * s.C + c];
      squares += m.squares + static_cast<double>(s.HW) * (m.mean - mu) * (m.mean - mu);
    }
    const double inv = 1 / std::sqrt(squares / count + s.eps);
    of[c] = {.mean = mu, .gain = inv * (weight ? weight[c] : 1), .shift = bias ? bias[c] : 0};
    mean[c] = static_cast<float>(mu);
    invstd[c] = static_cast<float>(inv);
    if (running_mean) running_mean[c] = static_cast<float>((1 - momentum) * running_mean[c] + momentum * mu);
    if (running_var) {
      running_var[c] = static_cast<float>((1 - momentum) * running_var[c] + momentum * (squares / (count - 1)));
    }
  }
}

/// y = activation(y), of a few elements.
void activate(CpuFloat32& kernels, Activation activation, int64_t n, float* y) {
  if (activation != Activation::none) kernels.unary(unary_of(activation), n, y, y);
}

/// y = activation(x normalised, plus residual).
void normalize_all(CpuFloat32& kernels, const BatchNorm2dShape& s, const Normalization* of, const float* x,
                   const float* residual, float* y) {
  if (s.HW == 1) {
    const auto normalize_a_row = HWY_DYNAMIC_DISPATCH(normalize_row);
    const Scratch<float> rounded(4 * s.C);
    for (int64_t c = 0; c < s.C; ++c) {
      rounded[c] = static_cast<float>(of[c].mean);
      rounded[s.C + c] = static_cast<float>(of[c].mean - rounded[c]);
      rounded[2 * s.C + c] = static_cast<float>(of[c].gain);
      rounded[3 * s.C + c] = static_cast<float>(of[c].shift);
    }
    return for_each_row(s, [&](int64_t at) {
      normalize_a_row(s.C, rounded.data(), x + at, residual ? residual + at : nullptr, y + at);
      activate(kernels, s.activation, s.C, y + at);
    });
  }
  const auto normalize_block = HWY_DYNAMIC_DISPATCH(normalize);
  for_each_plane(s, [&](int64_t plane, int64_t c) {
    for_each_block(s, plane, [&](int64_t at, int64_t n) {
      normalize_block(n, of[c], x + at, residual ? residual + at : nullptr, y + at);
      activate(kernels, s.activation, n, y + at);
    });
  });
}

/// The slopes of each channel, with those elements of x whose dy is not 0; and the gradients that they are. dresidual,
/// unless null, gets dy from before the activation.
void channel_slopes(const BatchNorm2dShape& s, const float* x, const float* mean, const float* invstd,
                    const OutputGradient& dy, float* dweight, float* dbias, float* dresidual, Slope* total) {
  if (s.HW == 1 && s.N > 0) {
    const auto slopes_of = HWY_DYNAMIC_DISPATCH(column_slopes);
    for_each_strip(
        s, [&](int64_t begin, int64_t end) { slopes_of(s.N, s.C, begin, end, x, mean, invstd, dy, dresidual, total); });
  } else {
    const auto slopes_of = HWY_DYNAMIC_DISPATCH(slopes);
    Scratch<Slope> plane_slope(s.N * s.C);
    for_each_plane(s, [&](int64_t plane, int64_t c) {
      Slope sum;
      for_each_block(s, plane, [&](int64_t at, int64_t n) {
        const Slope more = slopes_of(n, x + at, mean[c], invstd[c], dy.from(at), dresidual ? dresidual + at : nullptr);
        sum.dy += more.dy;
        sum.product += more.product;
      });
      plane_slope[plane] = sum;
    });
    for (int64_t c = 0; c < s.C; ++c) {
      total[c] = {};
      for (int64_t n = 0; n < s.N; ++n) {
        total[c].dy += plane_slope[n * s.C + c].dy;
        total[c].product += plane_slope[n * s.C + c].product;
      }
    }
  }
  for (int64_t c = 0; c < s.C; ++c) {
    if (dweight) dweight[c] = static_cast<float>(total[c].product);
    if (dbias) dbias[c] = static_cast<float>(total[c].dy);
  }
}

/// Of a channel of `count` elements; the slopes are zero in evaluation.
///
/// In training the mean and the variance depend on x as well: dx = (dy - mean of dy - xhat * mean of dy * xhat) *
/// invstd * weight.
InputGradient input_gradient_of(int64_t count, float mean, float invstd, double weight, const Slope& total) {
  const double n = static_cast<double>(count);
  return {.mean = mean,
          .slope = static_cast<float>(-total.product / n * invstd),
          .shift = static_cast<float>(-total.dy / n),
          .gain = static_cast<float>(invstd * weight)};
}

/// dx = the sum of dy over the windows that picked the element, in one plane.
void spread(const Pool2dShape& s, const float* x, const float* picked, const float* dy, float* dx) {
  std::fill_n(dx, s.H * s.W, 0.0f);
  for_each_window(s, [&](int64_t window, const PoolWindow<int64_t>& rows, const PoolWindow<int64_t>& columns) {
    for (int64_t h = rows.begin; h < rows.end; ++h) {
      const float *const row = x + h * s.W, *const end = row + columns.end;
      const float* const at = std::find(row + columns.begin, end, picked[window]);
      if (at == end) continue;
      dx[at - x] += dy[window];
      return;
    }
  });
}

/// One plane of max_pool2d(batch_norm2d(x)), by the ops themselves.
void pool_plane(const Pool2dShape& s, const Normalization& of, const float* x, float* picked, float* y) {
  const int64_t HW = s.H * s.W, PQ = s.P() * s.Q();
  Scratch<float> normalized(HW);
  Scratch<int64_t> indices(PQ);
  HWY_DYNAMIC_DISPATCH(normalize)(HW, of, x, nullptr, normalized.data());
  max_pool2d_plane(s, normalized.data(), y, indices.data());
  for (int64_t i = 0; i < PQ; ++i) picked[i] = x[indices[i]];
}

/// Whether the normalised values of two elements differ, of which the one is larger by `gap` and the other's is y in
/// magnitude, or less. The two differences and the product with the sum, by which they are computed, are off by half a
/// unit in their last place each.
bool told_apart(const Normalization& of, float gap, double y) {
  const double rounding = 0x1p-21 * (y + std::abs(of.shift)) + 0x1p-46 * std::abs(of.mean * of.gain);
  return gap * std::abs(of.gain) > rounding + std::numeric_limits<float>::min();
}

/// batch_norm2d_max_pool2d, where first_pass(look) calls look(plane) for each plane of x.
template <class F>
void normalize_and_pool(CpuFloat32& kernels, const Pool2dShape& s, Activation activation, double eps, double momentum,
                        const float* x, const float* weight, const float* bias, float* running_mean, float* running_var,
                        int64_t* num_batches, float* mean, float* invstd, float* picked, float* y,
                        const F& first_pass) {
  const BatchNorm2dShape all{s.N, s.C, s.H * s.W, eps};
  const int64_t PQ = s.P() * s.Q();
  const bool windows_of_2 = is_2x2(s);
  const auto moments_of = HWY_DYNAMIC_DISPATCH(moments);
  const auto moments_and_picked_of = HWY_DYNAMIC_DISPATCH(moments_and_picked_2x2);
  const auto normalize_plane = HWY_DYNAMIC_DISPATCH(normalize);
  const auto normalize_and_pick = HWY_DYNAMIC_DISPATCH(normalize_and_pick_2x2);
  const auto largest_of = HWY_DYNAMIC_DISPATCH(largest_magnitude);
  Scratch<Moments> plane_moments(s.N * s.C);
  Scratch<Normalization> of(s.C);
  first_pass([&](int64_t plane) {
    const float* const in = x + plane * all.HW;
    Moments& m = plane_moments[plane];
    m = windows_of_2 ? moments_and_picked_of(s, weight && weight[plane % s.C] < 0, in, picked + plane * PQ)
                     : moments_of(all.HW, in);
    if (!std::isfinite(m.squares)) m = wide_moments(all.HW, in);
  });
  batch_statistics(all, momentum, plane_moments.data(), weight, bias, running_mean, running_var, num_batches, mean,
                   invstd, of.data());
  for_each_plane(all, [&](int64_t plane, int64_t c) {
    float *const from = picked + plane * PQ, *const to = y + plane * PQ;
    const float* const in = x + plane * all.HW;
    if (windows_of_2) {
      normalize_plane(PQ, of[c], from, nullptr, to);
      const Moments& m = plane_moments[plane];
      const double most = (std::abs(m.mean - of[c].mean) + std::sqrt(m.squares)) * std::abs(of[c].gain);
      const bool surely = told_apart(of[c], m.gap, most + std::abs(of[c].shift));
      if (!surely && !told_apart(of[c], m.gap, largest_of(PQ, to))) normalize_and_pick(s, of[c], in, from, to);
    } else {
      pool_plane(s, of[c], in, from, to);
    }
    activate(kernels, activation, PQ, to);
  });
}

/// Its gradient, where all_planes(make) calls make(plane, to) for each plane of dx that is wanted.
template <class F>
void pooled_gradient(CpuFloat32& kernels, const Pool2dShape& s, Activation activation, const float* x,
                     const float* weight, const float* mean, const float* invstd, const float* picked, const float* y,
                     const float* dy, float* dweight, float* dbias, const F& all_planes) {
  const int64_t HW = s.H * s.W, PQ = s.P() * s.Q();
  Scratch<Slope> total(s.C);
  const OutputGradient from_y{activation, y, dy};
  channel_slopes({s.N, s.C, PQ}, picked, mean, invstd, from_y, dweight, dbias, nullptr, total.data());
  const bool windows_of_2 = is_2x2(s);
  const auto gradient_2x2 = HWY_DYNAMIC_DISPATCH(input_gradient_2x2);
  const auto gradient_of_plane = HWY_DYNAMIC_DISPATCH(input_gradient);
  all_planes([&](int64_t plane, float* to) {
    const int64_t c = plane % s.C;
    const InputGradient of = input_gradient_of(s.N * HW, mean[c], invstd[c], weight ? weight[c] : 1, total[c]);
    const float *const x_plane = x + plane * HW, *const wanted = picked + plane * PQ;
    const OutputGradient g = from_y.from(plane * PQ);
    if (windows_of_2) return gradient_2x2(s, of, x_plane, wanted, g, to);
    Scratch<float> before(PQ), spread_dy(HW);
    std::copy_n(g.dy, PQ, before.data());
    if (activation != Activation::none) kernels.unary_backward(unary_of(activation), PQ, g.y, g.dy, before.data());
    spread(s, x_plane, wanted, before.data(), spread_dy.data());
    gradient_of_plane(HW, of, x_plane, {Activation::none, nullptr, spread_dy.data()}, to);
  });
}

}  // namespace

void CpuFloat32::batch_norm2d(const BatchNorm2dShape& s, double momentum, const float* x, const float* weight,
                              const float* bias, const float* residual, float* running_mean, float* running_var,
                              int64_t* num_batches, float* mean, float* invstd, float* y) {
  if (s.N * s.HW == 0) {
    return ReferenceFloat<float>::batch_norm2d(s, momentum, x, weight, bias, residual, running_mean, running_var,
                                               num_batches, mean, invstd, y);
  }
  // The moments of a matrix's columns are as of one image that has them for planes.
  const BatchNorm2dShape of_moments = s.HW == 1 ? BatchNorm2dShape{1, s.C, s.N, s.eps} : s;
  Scratch<Moments> plane_moments(of_moments.N * s.C);
  Scratch<Normalization> of(s.C);
  if (s.HW == 1) {
    const auto moments_of = HWY_DYNAMIC_DISPATCH(column_moments);
    for_each_strip(s, [&](int64_t begin, int64_t end) {
      moments_of(s.N, s.C, begin, end, x, plane_moments.data());
      for (int64_t c = begin; c < end; ++c) {
        if (!std::isfinite(plane_moments[c].squares)) plane_moments[c] = wide_moments(s.N, x + c, s.C);
      }
    });
  } else {
    const auto moments_of = HWY_DYNAMIC_DISPATCH(moments);
    for_each_plane(s, [&](int64_t plane, int64_t) {
      const float* const in = x + plane * s.HW;
      plane_moments[plane] = moments_of(s.HW, in);
      if (!std::isfinite(plane_moments[plane].squares)) plane_moments[plane] = wide_moments(s.HW, in);
    });
  }
  batch_statistics(of_moments, momentum, plane_moments.data(), weight, bias, running_mean, running_var, num_batches,
                   mean, invstd, of.data());
  normalize_all(*this, s, of.data(), x, residual, y);
}

void CpuFloat32::batch_norm2d_eval(const BatchNorm2dShape& s, const float* x, const float* weight, const float* bias,
                                   const float* residual, const float* running_mean, const float* running_var,
                                   float* invstd, float* y) {
  Scratch<Normalization> of(s.C);
  for (int64_t c = 0; c < s.C; ++c) {
    const double inv = 1 / std::sqrt(running_var[c] + s.eps);
    of[c] = {.mean = running_mean[c], .gain = inv * (weight ? weight[c] : 1), .shift = bias ? bias[c] : 0};
    invstd[c] = static_cast<float>(inv);
  }
  normalize_all(*this, s, of.data(), x, residual, y);
}

void CpuFloat32::batch_norm2d_backward(const BatchNorm2dShape& s, bool training, const float* x, const float* weight,
                                       const float* mean, const float* invstd, const float* y, const float* dy,
                                       float* dx, float* dweight, float* dbias, float* dresidual) {
  Scratch<Slope> total(s.C);
  const OutputGradient from_y{s.activation, y, dy};
  channel_slopes(s, x, mean, invstd, from_y, dweight, dbias, dresidual, total.data());
  if (!dx) return;
  const OutputGradient g = dresidual ? OutputGradient{Activation::none, nullptr, dresidual} : from_y;
  const auto gradient_of_channel = [&](int64_t c) {
    return input_gradient_of(s.N * s.HW, mean[c], invstd[c], weight ? weight[c] : 1, training ? total[c] : Slope{});
  };
  if (s.HW == 1) {
    const auto gradient_of_row = HWY_DYNAMIC_DISPATCH(input_gradient_row);
    const Scratch<float> all(4 * s.C);
    for (int64_t c = 0; c < s.C; ++c) {
      const InputGradient of = gradient_of_channel(c);
      all[c] = of.mean;
      all[s.C + c] = of.slope;
      all[2 * s.C + c] = of.shift;
      all[3 * s.C + c] = of.gain;
    }
    return for_each_row(s, [&](int64_t at) { gradient_of_row(s.C, all.data(), x + at, g.from(at), dx + at); });
  }
  const auto gradient_of_block = HWY_DYNAMIC_DISPATCH(input_gradient);
  for_each_plane(s, [&](int64_t plane, int64_t c) {
    const InputGradient of = gradient_of_channel(c);
    for_each_block(s, plane, [&](int64_t at, int64_t n) { gradient_of_block(n, of, x + at, g.from(at), dx + at); });
  });
}

void CpuFloat32::batch_norm2d_max_pool2d(const Pool2dShape& s, Activation activation, double eps, double momentum,
                                         const float* x, const float* weight, const float* bias, float* running_mean,
                                         float* running_var, int64_t* num_batches, float* mean, float* invstd,
                                         float* picked, float* y) {
  if (s.N == 0) {
    return ReferenceFloat<float>::batch_norm2d_max_pool2d(s, activation, eps, momentum, x, weight, bias, running_mean,
                                                          running_var, num_batches, mean, invstd, picked, y);
  }
  normalize_and_pool(*this, s, activation, eps, momentum, x, weight, bias, running_mean, running_var, num_batches, mean,
                     invstd, picked, y, [&](const auto& look) {
                       for_each_plane({s.N, s.C, s.H * s.W}, [&](int64_t plane, int64_t) { look(plane); });
                     });
}

void CpuFloat32::batch_norm2d_max_pool2d_backward(const Pool2dShape& s, Activation activation, const float* x,
                                                  const float* weight, const float* mean, const float* invstd,
                                                  const float* picked, const float* y, const float* dy, float* dx,
                                                  float* dweight, float* dbias) {
  const int64_t HW = s.H * s.W;
  pooled_gradient(*this, s, activation, x, weight, mean, invstd, picked, y, dy, dweight, dbias, [&](const auto& make) {
    if (dx) for_each_plane({s.N, s.C, HW}, [&](int64_t plane, int64_t) { make(plane, dx + plane * HW); });
  });
}

void CpuFloat32::conv2d_batch_norm2d_max_pool2d(const Conv2dMaxPool2dShape& s, double eps, double momentum,
                                                const float* x, const float* w, const float* b, const float* weight,
                                                const float* bias, float* running_mean, float* running_var,
                                                int64_t* num_batches, float* mean, float* invstd, float* conv,
                                                float* picked, float* y) {
  if (s.conv.N == 0) {
    return ReferenceFloat<float>::conv2d_batch_norm2d_max_pool2d(
        s, eps, momentum, x, w, b, weight, bias, running_mean, running_var, num_batches, mean, invstd, conv, picked, y);
  }
  normalize_and_pool(*this, s.pool(), s.activation, eps, momentum, conv, weight, bias, running_mean, running_var,
                     num_batches, mean, invstd, picked, y,
                     [&](const auto& look) { conv2d_by_planes(*this, s.conv, x, w, b, conv, look); });
}

void CpuFloat32::conv2d_batch_norm2d_max_pool2d_backward(const Conv2dMaxPool2dShape& s, const float* x, const float* w,
                                                         const float* conv, const float* weight, const float* mean,
                                                         const float* invstd, const float* picked, const float* y,
                                                         const float* dy, float* dconv, float* dx, float* dw, float* db,
                                                         float* dweight, float* dbias) {
  // By planes it would be made twice, or not at all, or once for each part of an image that does not fit the cache.
  if (dx || !(dw || db) || !conv2d_planes_fit(s.conv)) {
    return ReferenceFloat<float>::conv2d_batch_norm2d_max_pool2d_backward(s, x, w, conv, weight, mean, invstd, picked,
                                                                          y, dy, dconv, dx, dw, db, dweight, dbias);
  }
  pooled_gradient(*this, s.pool(), s.activation, conv, weight, mean, invstd, picked, y, dy, dweight, dbias,
                  [&](const auto& make) { conv2d_backward_weight_by_planes(s.conv, x, make, dw, db); });
}

}  // namespace tern::kernels
#endif
