/// Batch normalisation in two passes each way: statistics plane by plane, then the result. Forward moves 12 bytes to an
/// element, backward 20, for about ten operations.
///
/// Statistics are summed in double. All sums have an order that depends on the shape alone. The variance is summed
/// around the first element of each plane, in the same pass as the mean, and put together from the planes as in Chan,
/// Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979: a mean far from
/// zero costs no digits. Nor does it in the results, which are computed in float: the mean is taken off in two parts.

#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/memory.hpp>
#include <tern/kernels/cpu/pool2d_plane.hpp>
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

using D32 = hn::ScalableTag<float>;
using D64 = hn::ScalableTag<double>;

/// The two sums over i in [0, n) that f(d, i, first, second) adds to, as many elements from i on as d has lanes. They
/// are kept in d's type until the end.
struct TwoSums {
  double first = 0, second = 0;
};
template <class D, class F>
HWY_INLINE TwoSums sum_two(D d, int64_t n, const F& f) {
  constexpr int unroll = 4;  // covers the latency of an addition
  const int64_t lanes = hn::Lanes(d);
  hn::Vec<D> first[unroll], second[unroll];
  for (int u = 0; u < unroll; ++u) first[u] = second[u] = hn::Zero(d);
  int64_t i = 0;
  for (; i + unroll * lanes <= n; i += unroll * lanes) {
    for (int u = 0; u < unroll; ++u) f(d, i + u * lanes, first[u], second[u]);
  }
  for (; i + lanes <= n; i += lanes) f(d, i, first[0], second[0]);
  const hn::CappedTag<hn::TFromD<D>, 1> d1;
  hn::Vec<decltype(d1)> last_first = hn::Zero(d1), last_second = hn::Zero(d1);
  for (; i < n; ++i) f(d1, i, last_first, last_second);
  const auto total = [&](const hn::Vec<D>* v, auto last) HWY_ATTR {
    const auto whole = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(v[0], v[1]), hn::Add(v[2], v[3]))));
    return static_cast<double>(whole) + static_cast<double>(hn::GetLane(last));
  };
  return {total(first, last_first), total(second, last_second)};
}

/// As many floats as d has doubles.
template <class D>
HWY_INLINE hn::Vec<hn::Rebind<float, D>> load(D, const float* p) {
  return hn::LoadU(hn::Rebind<float, D>(), p);
}

/// The mean of n >= 1 elements, and the sum of squares around it.
Moments moments(int64_t n, const float* x) {
  const double origin = *x;
  const TwoSums sums = sum_two(D64(), n, [=](auto d, int64_t i, auto& sum, auto& squares) HWY_ATTR {
    const auto v = hn::Sub(hn::PromoteTo(d, load(d, x + i)), hn::Set(d, origin));
    sum = hn::Add(sum, v);
    squares = hn::MulAdd(v, v, squares);
  });
  return {origin + sums.first / n, sums.second - sums.first * sums.first / n};
}

/// The sums of dy and of dy * (x - mean). A block's terms are added in float, a few to each lane.
Slope slopes(int64_t n, const float* x, float mean, const float* dy) {
  constexpr int64_t block = 1024;
  Slope total;
  for (int64_t begin = 0; begin < n; begin += block, x += block, dy += block) {
    const TwoSums sums =
        sum_two(D32(), std::min(n - begin, block), [=](auto d, int64_t i, auto& sum, auto& product) HWY_ATTR {
          const auto g = hn::LoadU(d, dy + i);
          sum = hn::Add(sum, g);
          product = hn::MulAdd(g, hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean)), product);
        });
    total.dy += sums.first;
    total.product += sums.second;
  }
  return total;
}

/// y[i] = f(d, i) for i in [0, n), as many at a time as d has lanes.
template <class F>
HWY_INLINE void fill(int64_t n, float* y, const F& f) {
  const D32 d;
  const int64_t lanes = hn::Lanes(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(f(d, i), d, y + i);
  const hn::CappedTag<float, 1> d1;
  for (; i < n; ++i) hn::StoreU(f(d1, i), d1, y + i);
}

/// y = (x - mean) * gain + shift.
void normalize(int64_t n, const float* x, double mean, double gain, double shift, float* y) {
  const float high = static_cast<float>(mean), low = static_cast<float>(mean - high);
  const float by = static_cast<float>(gain), plus = static_cast<float>(shift);
  fill(n, y, [=](auto d, int64_t i) HWY_ATTR {
    const auto v = hn::Sub(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, high)), hn::Set(d, low));
    return hn::MulAdd(v, hn::Set(d, by), hn::Set(d, plus));
  });
}

/// dx = (dy - mean_dy + slope * (x - mean)) * gain. dx may be dy.
void combine(int64_t n, const float* x, float mean, const float* dy, float mean_dy, float slope, float gain,
             float* dx) {
  fill(n, dx, [=](auto d, int64_t i) HWY_ATTR {
    const auto v = hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean));
    const auto g = hn::Sub(hn::LoadU(d, dy + i), hn::Set(d, mean_dy));
    return hn::Mul(hn::MulAdd(v, hn::Set(d, slope), g), hn::Set(d, gain));
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tern::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tern::kernels {

HWY_EXPORT(moments);
HWY_EXPORT(slopes);
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

/// What batch_norm2d says of mean, invstd and the running statistics; mu and inv are the former two, unrounded.
void batch_statistics(const BatchNorm2dShape& s, double momentum, const float* x, float* running_mean,
                      float* running_var, float* mean, float* invstd, double* mu, double* inv) {
  const auto moments_of = HWY_DYNAMIC_DISPATCH(moments);
  Scratch<Moments> plane_moments(s.N * s.C);
  for_each_plane(s, [&](int64_t plane, int64_t) { plane_moments[plane] = moments_of(s.HW, x + plane * s.HW); });

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
}

/// The slopes of each channel, with those elements of x whose dy is not 0; and the gradients that they are.
void channel_slopes(const BatchNorm2dShape& s, const float* x, const float* mean, const float* invstd, const float* dy,
                    float* dweight, float* dbias, Slope* total) {
  const auto slope_of = HWY_DYNAMIC_DISPATCH(slopes);
  Scratch<Slope> plane_slope(s.N * s.C);
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
}

/// dx of one plane, of `count` elements to a channel; the slopes are zero in evaluation.
///
/// In training the mean and the variance depend on x as well: with xhat = (x - mean) * invstd,
/// dx = (dy - mean of dy - xhat * mean of dy * xhat) * invstd * weight.
void input_gradient(int64_t HW, int64_t count, const float* x, double mean, double invstd, double weight,
                    const Slope& total, const float* dy, float* dx) {
  const double n = static_cast<double>(count), slope = -invstd * invstd * total.product / n;
  HWY_DYNAMIC_DISPATCH(combine)
  (HW, x, static_cast<float>(mean), dy, static_cast<float>(total.dy / n), static_cast<float>(slope),
   static_cast<float>(invstd * weight), dx);
}

}  // namespace

void CpuFloat32::batch_norm2d(const BatchNorm2dShape& s, double momentum, const float* x, const float* weight,
                              const float* bias, float* running_mean, float* running_var, float* mean, float* invstd,
                              float* y) {
  if (s.N * s.HW == 0) {
    return ReferenceFloat<float>::batch_norm2d(s, momentum, x, weight, bias, running_mean, running_var, mean, invstd,
                                               y);
  }
  Scratch<double> mu(s.C), inv(s.C);
  batch_statistics(s, momentum, x, running_mean, running_var, mean, invstd, mu.data(), inv.data());
  const auto normalize_plane = HWY_DYNAMIC_DISPATCH(normalize);
  for_each_plane(s, [&](int64_t plane, int64_t c) {
    normalize_plane(s.HW, x + plane * s.HW, mu[c], inv[c] * (weight ? weight[c] : 1), bias ? bias[c] : 0,
                    y + plane * s.HW);
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
    normalize_plane(s.HW, x + plane * s.HW, running_mean[c], inv[c] * (weight ? weight[c] : 1), bias ? bias[c] : 0,
                    y + plane * s.HW);
  });
}

void CpuFloat32::batch_norm2d_backward(const BatchNorm2dShape& s, bool training, const float* x, const float* weight,
                                       const float* mean, const float* invstd, const float* dy, float* dx,
                                       float* dweight, float* dbias) {
  Scratch<Slope> total(s.C);
  channel_slopes(s, x, mean, invstd, dy, dweight, dbias, total.data());
  if (!dx) return;
  for_each_plane(s, [&](int64_t plane, int64_t c) {
    input_gradient(s.HW, s.N * s.HW, x + plane * s.HW, mean[c], invstd[c], weight ? weight[c] : 1,
                   training ? total[c] : Slope{}, dy + plane * s.HW, dx + plane * s.HW);
  });
}

void CpuFloat32::batch_norm2d_max_pool2d(const Pool2dShape& s, double eps, double momentum, const float* x,
                                         const float* weight, const float* bias, float* running_mean,
                                         float* running_var, float* mean, float* invstd, float* picked,
                                         int64_t* indices, float* y) {
  const BatchNorm2dShape all{s.N, s.C, s.H * s.W, eps};
  const int64_t PQ = s.P() * s.Q();
  if (s.N == 0) {
    return ReferenceFloat<float>::batch_norm2d_max_pool2d(s, eps, momentum, x, weight, bias, running_mean, running_var,
                                                          mean, invstd, picked, indices, y);
  }
  Scratch<double> mu(s.C), inv(s.C);
  batch_statistics(all, momentum, x, running_mean, running_var, mean, invstd, mu.data(), inv.data());
  const auto normalize_plane = HWY_DYNAMIC_DISPATCH(normalize);
  for_each_plane(all, [&](int64_t plane, int64_t c) {
    const float w = weight ? weight[c] : 1;
    max_pool2d_plane(s, w < 0, x + plane * all.HW, picked + plane * PQ, indices + plane * PQ);
    normalize_plane(PQ, picked + plane * PQ, mu[c], inv[c] * w, bias ? bias[c] : 0, y + plane * PQ);
  });
}

void CpuFloat32::batch_norm2d_max_pool2d_backward(const Pool2dShape& s, const float* x, const float* weight,
                                                  const float* mean, const float* invstd, const float* picked,
                                                  const int64_t* indices, const float* dy, float* dx, float* dweight,
                                                  float* dbias) {
  const int64_t HW = s.H * s.W, PQ = s.P() * s.Q();
  Scratch<Slope> total(s.C);
  channel_slopes({s.N, s.C, PQ}, picked, mean, invstd, dy, dweight, dbias, total.data());
  if (!dx) return;
  for_each_plane({s.N, s.C, HW}, [&](int64_t plane, int64_t c) {
    float* const dx_plane = dx + plane * HW;
    max_pool2d_plane_backward(s, indices + plane * PQ, dy + plane * PQ, dx_plane);  // in the cache until it is used
    input_gradient(HW, s.N * HW, x + plane * HW, mean[c], invstd[c], weight ? weight[c] : 1, total[c], dx_plane,
                   dx_plane);
  });
}

}  // namespace tern::kernels
#endif
