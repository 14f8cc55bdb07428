/// Sums of floats that lie beside each other. Conversion to double is what takes time: so four are added up before it.

#include <tern/kernels/cpu/simd.hpp>
#include <tern/kernels/cpu/sum.hpp>

#include <cmath>
#include <numeric>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tern/kernels/cpu/sum.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tern::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

double sum_one_by_one(std::int64_t n, const float* x) { return std::accumulate(x, x + n, 0.0); }

HWY_INLINE double sum(std::int64_t n, const float* x) {
#if HWY_TARGET == HWY_SCALAR
  return sum_one_by_one(n, x);
#else
  const hn::ScalableTag<float> d;
  const hn::Half<decltype(d)> half;
  const hn::Repartition<double, decltype(d)> wide;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto lower = hn::Zero(wide), upper = hn::Zero(wide);
  const auto add = [&](auto v) {
    lower = hn::Add(lower, hn::PromoteTo(wide, hn::LowerHalf(half, v)));
    upper = hn::Add(upper, hn::PromoteTo(wide, hn::UpperHalf(half, v)));
  };
  std::int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    add(hn::Add(hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, x + i + lanes)),
                hn::Add(hn::LoadU(d, x + i + 2 * lanes), hn::LoadU(d, x + i + 3 * lanes))));
  }
  for (; i + lanes <= n; i += lanes) add(hn::LoadU(d, x + i));
  double all = hn::GetLane(hn::SumOfLanes(wide, hn::Add(lower, upper)));
  for (; i < n; ++i) all += x[i];
  return std::isfinite(all) ? all : sum_one_by_one(n, x);  // four may be too much for a float
#endif
}

void sum_rows(std::int64_t rows, std::int64_t n, const float* x, double* y) {
  for (std::int64_t i = 0; i < rows; ++i) y[i] = sum(n, x + i * n);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tern::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tern::kernels {

HWY_EXPORT(sum_rows);

void sum_rows(std::int64_t rows, std::int64_t n, const float* x, double* y) {
  HWY_DYNAMIC_DISPATCH(sum_rows)(rows, n, x, y);
}

}  // namespace tern::kernels
#endif
