/// Layer, group and RMS normalisation: a thread takes whole rows, each of which is read from memory once and is in the
/// cache from then on. Forward sums a row's moments as batch_norm2d.cpp does, then writes y: 8 bytes an element, for
/// about ten operations. Backward sums g = dy * weight and g * xhat, then writes dx and adds to the gradients by weight
/// and bias: 12 bytes an element, for about fifteen.
///
/// Where each element of a row has a weight of its own, a piece of at most 128 rows adds up its gradients by weight and
/// bias in float, one pair of rows [C] a piece, which is less than a sixteenth of x unless there are few rows; else
/// each channel of each row has its sums. These are added up in double, in order. Pieces are a function of the shape
/// alone.

#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/memory.hpp>
#include <tern/kernels/cpu/moments.hpp>
#include <tern/kernels/cpu/simd.hpp>
#include <tern/kernels/cpu/threads.hpp>

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tern/kernels/cpu/group_norm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <tern/kernels/cpu/moments-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace tern::kernels {
namespace HWY_NAMESPACE {
namespace {

/// Of n >= 1 elements, or where they are not centred, those around 0.
Moments moments_of_row(int64_t n, bool centred, const float* x) {
  Moments m;
  if (centred) {
    m = moments(n, x);
  } else {
    for (int64_t i = 0; i < n; i += block) m.squares += sums_around(0, std::min(block, n - i), x + i).second;
  }
  if (std::isfinite(m.squares)) return m;
  if (centred) return wide_moments(n, x);
  m.squares = 0;
  for (int64_t i = 0; i < n; ++i) m.squares += static_cast<double>(x[i]) * x[i];
  return m;
}

/// The rows [begin, end).
void normalize_rows(const GroupNormShape& s, int64_t begin, int64_t end, const float* x, const float* weight,
                    const float* bias, double* mean, double* invstd, float* y) {
  const int64_t n = s.n(), run = s.run;
  for (int64_t row = begin; row < end; ++row) {
    const float* const in = x + row * n;
    float* const out = y + row * n;
    const int64_t first = row % s.groups * s.channels;
    const float *const w = weight ? weight + first : nullptr, *const b = bias ? bias + first : nullptr;
    const Moments m = moments_of_row(n, s.centred, in);
    mean[row] = m.mean;
    invstd[row] = 1 / std::sqrt(m.squares / static_cast<double>(n) + s.eps);
    if (run == 1) {
      const Rounded of({m.mean, invstd[row], 0});
      fill(n, out, [=](auto d, int64_t i) HWY_ATTR {
        const auto v = normalized(d, of, hn::LoadU(d, in + i));
        if (w && b) return hn::MulAdd(v, hn::LoadU(d, w + i), hn::LoadU(d, b + i));
        return w ? hn::Mul(v, hn::LoadU(d, w + i)) : b ? hn::Add(v, hn::LoadU(d, b + i)) : v;
      });
      continue;
    }
    for (int64_t c = 0; c < s.channels; ++c) {
      const Rounded of({m.mean, invstd[row] * (w ? w[c] : 1), b ? b[c] : 0});
      const float* const from = in + c * run;
      fill(run, out + c * run, [=](auto d, int64_t i) HWY_ATTR { return normalized(d, of, hn::LoadU(d, from + i)); });
    }
  }
}

/// Adds the sums of dy and of dy * xhat over n elements. w, one weight for each of them, may be null.
HWY_INLINE Sums slopes(int64_t n, const Rounded& xhat, const float* x, const float* dy, const float* w) {
  Sums total{};
  for (int64_t at = 0; at < n; at += block) {
    const Sums part = sum_two(std::min(block, n - at), [=](auto d, int64_t i, auto& sum, auto& product) HWY_ATTR {
      auto g = hn::LoadU(d, dy + at + i);
      if (w) g = hn::Mul(g, hn::LoadU(d, w + at + i));
      sum = hn::Add(sum, g);
      product = hn::MulAdd(g, normalized(d, xhat, hn::LoadU(d, x + at + i)), product);
    });
    total.first += part.first;
    total.second += part.second;
  }
  return total;
}

/// dx = (g - mean of g - xhat * mean of g * xhat) * invstd.
struct RowGradient {
  float mean, slope, invstd;

  RowGradient(const GroupNormShape& s, const Sums& sums, double inv)
      : mean(static_cast<float>(s.centred ? sums.first / static_cast<double>(s.n()) : 0)),
        slope(static_cast<float>(sums.second / static_cast<double>(s.n()))),
        invstd(static_cast<float>(inv)) {}
};
template <class D>
HWY_INLINE hn::Vec<D> gradient(D d, const RowGradient& of, hn::Vec<D> g, hn::Vec<D> xhat) {
  const auto rest = hn::NegMulAdd(xhat, hn::Set(d, of.slope), hn::Sub(g, hn::Set(d, of.mean)));
  return hn::Mul(rest, hn::Set(d, of.invstd));
}

/// The rows [begin, end), each element of which has a weight of its own: dx, and added to `dweight` and `dbias` [C].
/// Either dx, or both of those, may be null.
void gradient_rows(const GroupNormShape& s, int64_t begin, int64_t end, const float* x, const float* weight,
                   const double* mean, const double* invstd, const float* dy, float* dx, float* dweight, float* dbias) {
  const int64_t n = s.n();
  for (int64_t row = begin; row < end; ++row) {
    const float *const in = x + row * n, *const g = dy + row * n;
    float* const out = dx ? dx + row * n : nullptr;
    const int64_t first = row % s.groups * s.channels;
    const float* const w = weight ? weight + first : nullptr;
    float *const dw = dweight ? dweight + first : nullptr, *const db = dbias ? dbias + first : nullptr;
    const Rounded xhat_of({mean[row], invstd[row], 0});
    const RowGradient of(s, dx ? slopes(n, xhat_of, in, g, w) : Sums{}, invstd[row]);
    // Two loops: six streams at once that begin a power of two apart take 1.5 times as long on some processors.
    if (dw) {
      for_vectors(n, [=](auto d, int64_t i) HWY_ATTR {
        const auto v = hn::LoadU(d, g + i), xhat = normalized(d, xhat_of, hn::LoadU(d, in + i));
        hn::StoreU(hn::MulAdd(v, xhat, hn::LoadU(d, dw + i)), d, dw + i);
        hn::StoreU(hn::Add(v, hn::LoadU(d, db + i)), d, db + i);
      });
    }
    if (out) {
      for_vectors(n, [=](auto d, int64_t i) HWY_ATTR {
        auto v = hn::LoadU(d, g + i);
        if (w) v = hn::Mul(v, hn::LoadU(d, w + i));
        hn::StoreU(gradient(d, of, v, normalized(d, xhat_of, hn::LoadU(d, in + i))), d, out + i);
      });
    }
  }
}

/// The same where a channel's elements share a weight: the sums of dy * xhat and of dy go to dweight and dbias
/// [N * groups, channels].
void gradient_rows_of_channels(const GroupNormShape& s, int64_t begin, int64_t end, const float* x, const float* weight,
                               const double* mean, const double* invstd, const float* dy, float* dx, float* dweight,
                               float* dbias) {
  const int64_t n = s.n(), run = s.run;
  for (int64_t row = begin; row < end; ++row) {
    const float* const w = weight ? weight + row % s.groups * s.channels : nullptr;
    const Rounded xhat_of({mean[row], invstd[row], 0});
    Sums total{};
    for (int64_t c = 0; c < s.channels; ++c) {
      const int64_t at = row * n + c * run;
      const Sums sums = slopes(run, xhat_of, x + at, dy + at, nullptr);
      dweight[row * s.channels + c] = static_cast<float>(sums.second);
      dbias[row * s.channels + c] = static_cast<float>(sums.first);
      total.first += sums.first * (w ? w[c] : 1);
      total.second += sums.second * (w ? w[c] : 1);
    }
    if (!dx) continue;
    const RowGradient of(s, total, invstd[row]);
    for (int64_t c = 0; c < s.channels; ++c) {
      const float *const in = x + row * n + c * run, *const g = dy + row * n + c * run;
      const float factor = w ? w[c] : 1;
      fill(run, dx + row * n + c * run, [=](auto d, int64_t i) HWY_ATTR {
        const auto xhat = normalized(d, xhat_of, hn::LoadU(d, in + i));
        return gradient(d, of, hn::Mul(hn::LoadU(d, g + i), hn::Set(d, factor)), xhat);
      });
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tern::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tern::kernels {

HWY_EXPORT(normalize_rows);
HWY_EXPORT(gradient_rows);
HWY_EXPORT(gradient_rows_of_channels);

namespace {
constexpr int64_t piece = 1 << 15;  // elements worth a thread's while
}

void CpuFloat32::group_norm(const GroupNormShape& s, const float* x, const float* weight, const float* bias,
                            double* mean, double* invstd, float* y) {
  if (s.n() == 0) return ReferenceFloat<float>::group_norm(s, x, weight, bias, mean, invstd, y);
  const auto normalize = HWY_DYNAMIC_DISPATCH(normalize_rows);
  parallel_for(s.rows(), std::max<int64_t>(1, piece / s.n()),
               [&](int64_t begin, int64_t end) { normalize(s, begin, end, x, weight, bias, mean, invstd, y); });
}

void CpuFloat32::group_norm_backward(const GroupNormShape& s, const float* x, const float* weight, const double* mean,
                                     const double* invstd, const float* dy, float* dx, float* dweight, float* dbias) {
  if (s.n() == 0) return ReferenceFloat<float>::group_norm_backward(s, x, weight, mean, invstd, dy, dx, dweight, dbias);
  const int64_t C = s.groups * s.channels;
  const bool own = s.run == 1, sums = dweight || dbias;
  // Of the N rows of groups.
  const int64_t share = std::max<int64_t>(1, piece / (C * s.run));
  const int64_t grain = own && sums ? std::min<int64_t>(128, std::max(share, s.N / 32)) : share;
  const int64_t parts = own ? (s.N + grain - 1) / grain : s.N;
  const Scratch<float> part(own && !sums ? 0 : 2 * parts * C);  // [2, parts, C]
  const auto rows = own ? HWY_DYNAMIC_DISPATCH(gradient_rows) : HWY_DYNAMIC_DISPATCH(gradient_rows_of_channels);
  parallel_for(s.N, grain, [&](int64_t begin, int64_t end) {
    float *dw = own && !sums ? nullptr : part.data(), *db = own && !sums ? nullptr : dw + parts * C;
    if (own && sums) {
      dw += begin / grain * C;
      db += begin / grain * C;
      std::fill_n(dw, C, 0.0F);
      std::fill_n(db, C, 0.0F);
    }
    rows(s, begin * s.groups, end * s.groups, x, weight, mean, invstd, dy, dx, dw, db);
  });
  CpuArray<float> array;
  if (dweight) array.reduce({ReduceOp::sum}, {1, parts, C}, part.data(), dweight);
  if (dbias) array.reduce({ReduceOp::sum}, {1, parts, C}, part.data() + parts * C, dbias);
}

}  // namespace tern::kernels
#endif
