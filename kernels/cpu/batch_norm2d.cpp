/// Batch normalisation in two passes each way: statistics plane by plane, then the result. Forward moves 12 bytes to an
/// element, backward 20, for about ten operations.
///
/// Statistics are summed in double, blocks of 1024 elements first in float, a few to each lane. All sums have an order
/// that depends on the shape alone. The variance is summed around the mean of each block, and put together from blocks
/// and planes as in Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances",
/// 1979: a mean far from zero costs no digits. Nor does it in the results, which are computed in float: the mean is
/// taken off in two parts.

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

/// dx = (dy - mean_dy + slope * (x - mean)) * gain.
struct InputGradient {
  float mean, mean_dy, slope, gain;
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

constexpr int64_t block = 1024;  // elements that are summed in float

/// The two sums over i in [0, n), n up to a block, that f(d, i, first, second) adds to, as many elements from i on as d
/// has lanes.
struct TwoSums {
  double first = 0, second = 0;
};
template <class F>
HWY_INLINE TwoSums sum_two(int64_t n, const F& f) {
  constexpr int unroll = 4;  // covers the latency of an addition
  const D32 d;
  const int64_t lanes = hn::Lanes(d);
  hn::Vec<D32> first[unroll], second[unroll];
  for (int u = 0; u < unroll; ++u) first[u] = second[u] = hn::Zero(d);
  int64_t i = 0;
  for (; i + unroll * lanes <= n; i += unroll * lanes) {
    for (int u = 0; u < unroll; ++u) f(d, i + u * lanes, first[u], second[u]);
  }
  for (; i + lanes <= n; i += lanes) f(d, i, first[0], second[0]);
  const hn::CappedTag<float, 1> d1;
  hn::Vec<decltype(d1)> last_first = hn::Zero(d1), last_second = hn::Zero(d1);
  for (; i < n; ++i) f(d1, i, last_first, last_second);
  const auto total = [&](const hn::Vec<D32>* v, auto last) HWY_ATTR {
    const float whole = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(v[0], v[1]), hn::Add(v[2], v[3]))));
    return static_cast<double>(whole) + static_cast<double>(hn::GetLane(last));
  };
  return {total(first, last_first), total(second, last_second)};
}

/// The mean of n >= 1 elements, and the sum of squares around it: of each block around its own mean.
Moments moments(int64_t n, const float* x) {
  Moments total;
  for (int64_t begin = 0; begin < n; begin += block, x += block) {
    const int64_t size = std::min(n - begin, block);
    const auto sum_up = [=](auto d, int64_t i, auto& sum, auto&) HWY_ATTR { sum = hn::Add(sum, hn::LoadU(d, x + i)); };
    const float origin = static_cast<float>(sum_two(size, sum_up).first / size);
    const TwoSums sums = sum_two(size, [=](auto d, int64_t i, auto& sum, auto& squares) HWY_ATTR {
      const auto v = hn::Sub(hn::LoadU(d, x + i), hn::Set(d, origin));
      sum = hn::Add(sum, v);
      squares = hn::MulAdd(v, v, squares);
    });
    const double all = static_cast<double>(begin + size), delta = origin + sums.first / size - total.mean;
    total.mean += delta * (size / all);
    total.squares += sums.second - sums.first * sums.first / size + delta * delta * (begin * (size / all));
  }
  return total;
}

/// The sums of dy and of dy * (x - mean).
Slope slopes(int64_t n, const float* x, float mean, const float* dy) {
  Slope total;
  for (int64_t begin = 0; begin < n; begin += block, x += block, dy += block) {
    const TwoSums sums = sum_two(std::min(n - begin, block), [=](auto d, int64_t i, auto& sum, auto& product) HWY_ATTR {
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

template <class D>
HWY_INLINE hn::Vec<D> gradient(D d, const InputGradient& of, hn::Vec<D> x, hn::Vec<D> dy) {
  const auto v = hn::Sub(x, hn::Set(d, of.mean)), g = hn::Sub(dy, hn::Set(d, of.mean_dy));
  return hn::Mul(hn::MulAdd(v, hn::Set(d, of.slope), g), hn::Set(d, of.gain));
}

/// dx may be x.
void input_gradient(int64_t n, const InputGradient& of, const float* x, const float* dy, float* dx) {
  fill(n, dx, [=](auto d, int64_t i) HWY_ATTR { return gradient(d, of, hn::LoadU(d, x + i), hn::LoadU(d, dy + i)); });
}

/// Two rows of dx below the windows [0, Q) that fill whole vectors; returns how many.
template <class D>
HWY_INLINE int64_t input_gradient_rows(D d, int64_t Q, int64_t W, const InputGradient& of, const float* x,
                                       const float* picked, const float* dy, float* dx) {
  const int64_t lanes = hn::Lanes(d);
  int64_t q = 0;
  for (; q + lanes <= Q; q += lanes) {
    hn::Vec<D> left, right, below, last;
    hn::LoadInterleaved2(d, x + 2 * q, left, right);
    hn::LoadInterleaved2(d, x + W + 2 * q, below, last);
    const auto wanted = hn::LoadU(d, picked + q);
    auto g = hn::LoadU(d, dy + q);  // until it has found its element
    const auto take = [&](hn::Vec<D> v) HWY_ATTR {
      const auto here = hn::Eq(v, wanted);
      const auto dx_here = gradient(d, of, v, hn::IfThenElseZero(here, g));
      g = hn::IfThenZeroElse(here, g);
      return dx_here;
    };
    left = take(left), right = take(right), below = take(below), last = take(last);
    hn::StoreInterleaved2(left, right, d, dx + 2 * q);
    hn::StoreInterleaved2(below, last, d, dx + W + 2 * q);
  }
  return q;
}

/// One plane, under windows of 2 x 2. Rows shorter than the longest vector go by shorter ones. The next plane is
/// fetched meanwhile: the processor's own prefetching stops at the end of a page. dx may be x.
void input_gradient_2x2(const Pool2dShape& s, const InputGradient& of, const float* x, const float* picked,
                        const float* dy, float* dx) {
  const int64_t P = s.P(), Q = s.Q(), W = s.W;
  const auto in_no_window = [&](int64_t from, int64_t to) HWY_ATTR {
    fill(to - from, dx + from,
         [&](auto d, int64_t i) HWY_ATTR { return gradient(d, of, hn::LoadU(d, x + from + i), hn::Zero(d)); });
  };
  for (int64_t p = 0; p < P; ++p) {
    const int64_t above = 2 * p * W;
    for (int64_t i = above; i < above + 2 * W; i += 16) {
      prefetch(x + s.H * W + i);
      prefetch(dx + s.H * W + i);
    }
    int64_t q = 0;
    const auto rows = [&](auto d) HWY_ATTR {
      const int64_t at = above + 2 * q, window = p * Q + q;
      q += input_gradient_rows(d, Q - q, W, of, x + at, picked + window, dy + window, dx + at);
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

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tern::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tern::kernels {

HWY_EXPORT(moments);
HWY_EXPORT(slopes);
HWY_EXPORT(normalize);
HWY_EXPORT(input_gradient);
HWY_EXPORT(input_gradient_2x2);

namespace {

/// Calls f(plane, channel) for all planes.
template <class F>
void for_each_plane(const BatchNorm2dShape& s, const F& f) {
  const int64_t grain = std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, s.HW));
  parallel_for(s.N * s.C, grain, [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) f(plane, plane % s.C);
  });
}

/// What batch_norm2d says of mean, invstd and the running statistics, from the moments of all planes; mu and inv are
/// the former two, unrounded.
void batch_statistics(const BatchNorm2dShape& s, double momentum, const Moments* plane_moments, float* running_mean,
                      float* running_var, float* mean, float* invstd, double* mu, double* inv) {
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

/// Of a channel of `count` elements; the slopes are zero in evaluation.
///
/// In training the mean and the variance depend on x as well: with xhat = (x - mean) * invstd,
/// dx = (dy - mean of dy - xhat * mean of dy * xhat) * invstd * weight.
InputGradient input_gradient_of(int64_t count, double mean, double invstd, double weight, const Slope& total) {
  const double n = static_cast<double>(count);
  return {.mean = static_cast<float>(mean),
          .mean_dy = static_cast<float>(total.dy / n),
          .slope = static_cast<float>(-invstd * invstd * total.product / n),
          .gain = static_cast<float>(invstd * weight)};
}

/// dx = the sum of dy over the windows that picked the element, in one plane.
void spread(const Pool2dShape& s, const float* x, const float* picked, const float* dy, float* dx) {
  std::fill_n(dx, s.H * s.W, 0.0f);
  for_each_window(s, [&](int64_t window, int64_t h0, int64_t h1, int64_t w0, int64_t w1) {
    for (int64_t h = h0; h < h1; ++h) {
      const float *const row = x + h * s.W, *const at = std::find(row + w0, row + w1, picked[window]);
      if (at == row + w1) continue;
      dx[at - x] += dy[window];
      return;
    }
  });
}

}  // namespace

void CpuFloat32::batch_norm2d(const BatchNorm2dShape& s, double momentum, const float* x, const float* weight,
                              const float* bias, float* running_mean, float* running_var, float* mean, float* invstd,
                              float* y) {
  if (s.N * s.HW == 0) {
    return ReferenceFloat<float>::batch_norm2d(s, momentum, x, weight, bias, running_mean, running_var, mean, invstd,
                                               y);
  }
  const auto moments_of = HWY_DYNAMIC_DISPATCH(moments);
  const auto normalize_plane = HWY_DYNAMIC_DISPATCH(normalize);
  Scratch<Moments> plane_moments(s.N * s.C);
  Scratch<double> mu(s.C), inv(s.C);
  for_each_plane(s, [&](int64_t plane, int64_t) { plane_moments[plane] = moments_of(s.HW, x + plane * s.HW); });
  batch_statistics(s, momentum, plane_moments.data(), running_mean, running_var, mean, invstd, mu.data(), inv.data());
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
  const auto gradient_of_plane = HWY_DYNAMIC_DISPATCH(input_gradient);
  for_each_plane(s, [&](int64_t plane, int64_t c) {
    const InputGradient of =
        input_gradient_of(s.N * s.HW, mean[c], invstd[c], weight ? weight[c] : 1, training ? total[c] : Slope{});
    gradient_of_plane(s.HW, of, x + plane * s.HW, dy + plane * s.HW, dx + plane * s.HW);
  });
}

void CpuFloat32::batch_norm2d_max_pool2d(const Pool2dShape& s, double eps, double momentum, const float* x,
                                         const float* weight, const float* bias, float* running_mean,
                                         float* running_var, float* mean, float* invstd, float* picked, float* y) {
  const BatchNorm2dShape all{s.N, s.C, s.H * s.W, eps};
  const int64_t PQ = s.P() * s.Q();
  if (s.N == 0) {
    return ReferenceFloat<float>::batch_norm2d_max_pool2d(s, eps, momentum, x, weight, bias, running_mean, running_var,
                                                          mean, invstd, picked, y);
  }
  const auto moments_of = HWY_DYNAMIC_DISPATCH(moments);
  const auto normalize_plane = HWY_DYNAMIC_DISPATCH(normalize);
  Scratch<Moments> plane_moments(s.N * s.C);
  Scratch<double> mu(s.C), inv(s.C);
  for_each_plane(all, [&](int64_t plane, int64_t c) {
    const float* const in = x + plane * all.HW;
    plane_moments[plane] = moments_of(all.HW, in);
    max_pool2d_plane(s, weight && weight[c] < 0, in, picked + plane * PQ, nullptr);  // while x is in the cache
  });
  batch_statistics(all, momentum, plane_moments.data(), running_mean, running_var, mean, invstd, mu.data(), inv.data());
  for_each_plane(all, [&](int64_t plane, int64_t c) {
    normalize_plane(PQ, picked + plane * PQ, mu[c], inv[c] * (weight ? weight[c] : 1), bias ? bias[c] : 0,
                    y + plane * PQ);
  });
}

void CpuFloat32::batch_norm2d_max_pool2d_backward(const Pool2dShape& s, const float* x, const float* weight,
                                                  const float* mean, const float* invstd, const float* picked,
                                                  const float* dy, float* dx, float* dweight, float* dbias) {
  const int64_t HW = s.H * s.W, PQ = s.P() * s.Q();
  Scratch<Slope> total(s.C);
  channel_slopes({s.N, s.C, PQ}, picked, mean, invstd, dy, dweight, dbias, total.data());
  if (!dx) return;
  const bool windows_of_2 = is_2x2(s);
  const auto gradient_2x2 = HWY_DYNAMIC_DISPATCH(input_gradient_2x2);
  const auto gradient_of_plane = HWY_DYNAMIC_DISPATCH(input_gradient);
  for_each_plane({s.N, s.C, HW}, [&](int64_t plane, int64_t c) {
    const InputGradient of = input_gradient_of(s.N * HW, mean[c], invstd[c], weight ? weight[c] : 1, total[c]);
    const float *const x_plane = x + plane * HW, *const wanted = picked + plane * PQ, *const g = dy + plane * PQ;
    float* const dx_plane = dx + plane * HW;
    if (windows_of_2) return gradient_2x2(s, of, x_plane, wanted, g, dx_plane);
    Scratch<float> spread_dy(HW);
    spread(s, x_plane, wanted, g, spread_dy.data());
    gradient_of_plane(HW, of, x_plane, spread_dy.data(), dx_plane);
  });
}

}  // namespace tern::kernels
#endif
