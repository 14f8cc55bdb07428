/// Sums of floats that lie beside each other, at the speed of their conversion to double: a vector of those a cycle.

#include <tern/kernels/cpu/simd.hpp>
#include <tern/kernels/cpu/sum.hpp>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tern/kernels/cpu/sum.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tern::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

HWY_INLINE double sum(std::int64_t n, const float* x) {
  constexpr int unroll = 4;  // covers the latency of an addition
#if HWY_TARGET == HWY_SCALAR
  double total[unroll] = {};
  std::int64_t i = 0;
  for (; i + unroll <= n; i += unroll) {
    for (int u = 0; u < unroll; ++u) total[u] += x[i + u];
  }
  double all = total[0] + total[1] + (total[2] + total[3]);
#else
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> of_x;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  hn::Vec<decltype(d)> total[unroll] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  std::int64_t i = 0;
  for (; i + unroll * lanes <= n; i += unroll * lanes) {
    for (int u = 0; u < unroll; ++u) {
      total[u] = hn::Add(total[u], hn::PromoteTo(d, hn::LoadU(of_x, x + i + u * lanes)));
    }
  }
  for (; i + lanes <= n; i += lanes) total[0] = hn::Add(total[0], hn::PromoteTo(d, hn::LoadU(of_x, x + i)));
  double all = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(total[0], total[1]), hn::Add(total[2], total[3]))));
#endif
  for (; i < n; ++i) all += x[i];
  return all;
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
