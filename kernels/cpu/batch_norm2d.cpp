/// Batch normalisation in two passes each way: statistics plane by plane, then the result. Forward moves 12 bytes to an
/// element, backward 20, for about ten operations.
///
/// Sums run in float over blocks of at most 1024 elements, a few vectors wide, and in double across blocks and planes,
/// always in the same order. The variance of a block is summed around the block's own mean while the block is in the
/// first-level cache, and blocks are put together as in Chan, Golub, LeVeque, "Updating formulae and a pairwise
/// algorithm for computing sample variances", 1979: a mean far from zero costs no digits.

#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/memory.hpp>
#include <tern/kernels/cpu/simd.hpp>
#include <tern/kernels/cpu/threads.hpp>

#include <algorithm>
#include <cmath>

#ifndef TERN_KERNELS_CPU_BATCH_NORM2D
#define TERN_KERNELS_CPU_BATCH_NORM2D
namespace tern::kernels {

/// Of some elements x: their mean and the sum of squares around it.
struct Moments {
  double mean = 0, squares = 0;
};

/// The sums of dy and of dy * (x - mean).
struct Slope {
  double dy = 0, product = 0;
};

}  // namespace tern::kernels
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tern/kernels/cpu/batch_norm2d.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tern::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

constexpr int64_t block = 1024;

/// The sums over i in [0, n) of f's two terms, in two vectors each. f(d, i, terms) gives those of a vector from element
/// i on; what is left after the last whole vector goes by vectors of one.
struct TwoSums {
  double first = 0, second = 0;
};
template <class F>
HWY_INLINE TwoSums sum_two(int64_t n, const F& f) {
  const D d;
  const hn::CappedTag<float, 1> d1;
  const int64_t lanes = hn::Lanes(d);
  V first[2] = {hn::Zero(d), hn::Zero(d)}, second[2] = {hn::Zero(d), hn::Zero(d)};
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    for (int u = 0; u < 2; ++u) f(d, i + u * lanes, first[u], second[u]);
  }
  for (; i + lanes <= n; i += lanes) f(d, i, first[0], second[0]);
  hn::Vec<decltype(d1)> rest_first = hn::Zero(d1), rest_second = hn::Zero(d1);
  for (; i < n; ++i) f(d1, i, rest_first, rest_second);
  return {double{hn::GetLane(hn::SumOfLanes(d, hn::Add(first[0], first[1])))} + hn::GetLane(rest_first),
          double{hn::GetLane(hn::SumOfLanes(d, hn::Add(second[0], second[1])))} + hn::GetLane(rest_second)};
}

/// The mean of n elements, and the sum of squares around it.
Moments moments(int64_t n, const float* x) {
  Moments all;
  for (int64_t begin = 0; begin < n; begin += block) {
    const int64_t count = std::min(block, n - begin);
    const float* HWY_RESTRICT at = x + begin;
    const double sum = sum_two(count, [at](auto d, int64_t i, auto& total, auto&) HWY_ATTR {
                         total = hn::Add(total, hn::LoadU(d, at + i));
                       }).first;
    const float center = static_cast<float>(sum / count);
    const TwoSums around = sum_two(count, [at, center](auto d, int64_t i, auto& total, auto& squares) HWY_ATTR {
      const auto v = hn::Sub(hn::LoadU(d, at + i), hn::Set(d, center));
      total = hn::Add(total, v);
      squares = hn::MulAdd(v, v, squares);
    });
    const double mean = center + around.first / count, squares = around.second - around.first * around.first / count;
    const double delta = mean - all.mean, total = static_cast<double>(begin + count);
    all.mean += delta * count / total;
    all.squares += squares + delta * delta * begin * count / total;
  }
  return all;
}

/// The sums of dy and of dy * (x - mean).
Slope slope(int64_t n, const float* x, float mean, const float* dy) {
  Slope all;
  for (int64_t begin = 0; begin < n; begin += block) {
    const float* HWY_RESTRICT x_at = x + begin;
    const float* HWY_RESTRICT dy_at = dy + begin;
    const TwoSums part =
        sum_two(std::min(block, n - begin), [x_at, dy_at, mean](auto d, int64_t i, auto& sum, auto& product) HWY_ATTR {
          const auto g = hn::LoadU(d, dy_at + i);
          sum = hn::Add(sum, g);
          product = hn::MulAdd(g, hn::Sub(hn::LoadU(d, x_at + i), hn::Set(d, mean)), product);
        });
    all.dy += part.first;
    all.product += part.second;
  }
  return all;
}

/// Calls f(d, i) for vectors from element i on that cover [0, n).
template <class F>
HWY_INLINE void for_each_vector(int64_t n, const F& f) {
  const D d;
  const int64_t lanes = hn::Lanes(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) f(d, i);
  for (; i < n; ++i) f(hn::CappedTag<float, 1>(), i);
}

/// y = (x - mean) * gain + shift, the mean in two parts: one float would not do where it is large.
void normalize(int64_t n, const float* x, double mean, float gain, float shift, float* y) {
  const float high = static_cast<float>(mean), low = static_cast<float>(mean - high);
  for_each_vector(n, [=](auto d, int64_t i) HWY_ATTR {
    const auto v = hn::Sub(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, high)), hn::Set(d, low));
    hn::StoreU(hn::MulAdd(v, hn::Set(d, gain), hn::Set(d, shift)), d, y + i);
  });
}

/// dx = (dy - mean_dy + slope * (x - mean)) * gain, differences first: where dy is constant, nothing is left of it.
void combine(int64_t n, const float* x, float mean, const float* dy, float mean_dy, float slope_x, float gain,
             float* dx) {
  for_each_vector(n, [=](auto d, int64_t i) HWY_ATTR {
    const auto v = hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean));
    const auto g = hn::Sub(hn::LoadU(d, dy + i), hn::Set(d, mean_dy));
    hn::StoreU(hn::Mul(hn::MulAdd(v, hn::Set(d, slope_x), g), hn::Set(d, gain)), d, dx + i);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tern::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tern::kernels {

HWY_EXPORT(moments);
HWY_EXPORT(slope);
HWY_EXPORT(normalize);
HWY_EXPORT(combine);

namespace {

/// Calls f(plane, channel) for all planes.
template <class F>
void for_each_plane(const BatchNorm2dShape& s, const F& f) {
  const int64_t grain = std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, s.HW));
  parallel_for(s.N * s.C, grain, [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) f(plane, plane % s.C);
  });
}

}  // namespace

void CpuFloat32::batch_norm2d(const BatchNorm2dShape& s, double momentum, const float* x, const float* weight,
                              const float* bias, float* running_mean, float* running_var, float* mean, float* invstd,
                              float* y) {
  const auto moments_of = HWY_DYNAMIC_DISPATCH(moments);
  const auto normalize_plane = HWY_DYNAMIC_DISPATCH(normalize);
  Scratch<Moments> plane_moments(s.N * s.C);
  for_each_plane(s, [&](int64_t plane, int64_t) { plane_moments[plane] = moments_of(s.HW, x + plane * s.HW); });

  Scratch<double> mu(s.C), inv(s.C);
  const double count = static_cast<double>(s.N * s.HW);
  for (int64_t c = 0; c < s.C; ++c) {
    double sum = 0, squares = 0;
    for (int64_t n = 0; n < s.N; ++n) sum += plane_moments[n * s.C + c].mean;
    mu[c] = sum / s.N;
    for (int64_t n = 0; n < s.N; ++n) {
      const Moments& m = plane_moments[n * s.C + c];
      squares += m.squares + s.HW * (m.mean - mu[c]) * (m.mean - mu[c]);
    }
    inv[c] = 1 / std::sqrt(squares / count + s.eps);
    mean[c] = static_cast<float>(mu[c]);
    invstd[c] = static_cast<float>(inv[c]);
    if (running_mean) running_mean[c] = static_cast<float>((1 - momentum) * running_mean[c] + momentum * mu[c]);
    if (running_var) {
      running_var[c] = static_cast<float>((1 - momentum) * running_var[c] + momentum * squares / (count - 1));
    }
  }
  for_each_plane(s, [&](int64_t plane, int64_t c) {
    normalize_plane(s.HW, x + plane * s.HW, mu[c], static_cast<float>(inv[c] * (weight ? weight[c] : 1)),
                    bias ? bias[c] : 0, y + plane * s.HW);
  });
}

void CpuFloat32::batch_norm2d_eval(const BatchNorm2dShape& s, const float* x, const float* weight, const float* bias,
                                   const float* running_mean, const float* running_var, float* invstd, float* y) {
  const auto normalize_plane = HWY_DYNAMIC_DISPATCH(normalize);
  Scratch<double> inv(s.C);
  for (int64_t c = 0; c < s.C; ++c) {
    inv[c] = 1 / std::sqrt(running_var[c] + s.eps);
    invstd[c] = static_cast<float>(inv[c]);
  }
  for_each_plane(s, [&](int64_t plane, int64_t c) {
    normalize_plane(s.HW, x + plane * s.HW, running_mean[c], static_cast<float>(inv[c] * (weight ? weight[c] : 1)),
                    bias ? bias[c] : 0, y + plane * s.HW);
  });
}

void CpuFloat32::batch_norm2d_backward(const BatchNorm2dShape& s, bool training, const float* x, const float* weight,
                                       const float* mean, const float* invstd, const float* dy, float* dx,
                                       float* dweight, float* dbias) {
  const auto slope_of = HWY_DYNAMIC_DISPATCH(slope);
  const auto combine_plane = HWY_DYNAMIC_DISPATCH(combine);
  Scratch<Slope> plane_slope(s.N * s.C), total(s.C);
  for_each_plane(s, [&](int64_t plane, int64_t c) {
    plane_slope[plane] = slope_of(s.HW, x + plane * s.HW, mean[c], dy + plane * s.HW);
  });
  for (int64_t c = 0; c < s.C; ++c) {
    total[c] = {};
    for (int64_t n = 0; n < s.N; ++n) {
      total[c].dy += plane_slope[n * s.C + c].dy;
      total[c].product += plane_slope[n * s.C + c].product;
    }
    if (dweight) dweight[c] = static_cast<float>(total[c].product * invstd[c]);
    if (dbias) dbias[c] = static_cast<float>(total[c].dy);
  }
  if (!dx) return;
  // In training the mean and the variance depend on x as well: with xhat = (x - mean) * invstd,
  // dx = (dy - mean of dy - xhat * mean of dy * xhat) * invstd * weight.
  const double count = static_cast<double>(s.N * s.HW);
  for_each_plane(s, [&](int64_t plane, int64_t c) {
    const double inv = invstd[c];
    const double mean_dy = training ? total[c].dy / count : 0;
    const double slope_x = training ? -inv * inv * total[c].product / count : 0;
    combine_plane(s.HW, x + plane * s.HW, mean[c], dy + plane * s.HW, static_cast<float>(mean_dy),
                  static_cast<float>(slope_x), static_cast<float>(inv * (weight ? weight[c] : 1)), dx + plane * s.HW);
  });
}

}  // namespace tern::kernels
#endif
