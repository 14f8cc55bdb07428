/// 12 chains keep two units busy for a latency of up to six cycles, and with their factor fit the 16 registers of AVX2.

#include "fma_peak.hpp"

#include <tern/kernels/cpu/simd.hpp>

#include <benchmark/benchmark.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/fma_peak.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

std::int64_t fused_multiply_adds(std::int64_t rounds) {
  constexpr int chains = 12;
  const hn::ScalableTag<float> d;
  const auto half = hn::Set(d, 0.5f);
  hn::Vec<decltype(d)> sum[chains];
  for (int i = 0; i < chains; ++i) sum[i] = hn::Set(d, static_cast<float>(i));
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (int i = 0; i < chains; ++i) sum[i] = hn::MulAdd(sum[i], half, half);
  }
  for (const auto& v : sum) benchmark::DoNotOptimize(hn::GetLane(v));
  return rounds * chains * static_cast<std::int64_t>(hn::Lanes(d)) * 2;
}

}  // namespace HWY_NAMESPACE
}  // namespace
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace {
HWY_EXPORT(fused_multiply_adds);
}

std::int64_t fused_multiply_adds(std::int64_t rounds) { return HWY_DYNAMIC_DISPATCH(fused_multiply_adds)(rounds); }
#endif
