/// Dropout: an element is read and written once; a draw costs a quarter of a Philox block, some 15 integer operations.
/// 32 blocks are drawn at once, in loops over them that the compiler turns into vectors.

#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/simd.hpp>
#include <tern/kernels/cpu/threads.hpp>

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tern/kernels/cpu/dropout.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tern::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr int blocks = 32;

/// bits[i] = draw first + i of the stream, for i in [0, 4 * blocks); first is a multiple of 4.
void draw(PhiloxState state, std::uint64_t first, std::uint32_t* HWY_RESTRICT bits) {
  std::uint32_t c0[blocks], c1[blocks], c2[blocks] = {}, c3[blocks] = {};
  for (int i = 0; i < blocks; ++i) {
    const std::uint64_t counter = state.offset + first / 4 + i;
    c0[i] = static_cast<std::uint32_t>(counter);
    c1[i] = static_cast<std::uint32_t>(counter >> 32);
  }
  std::uint32_t k0 = static_cast<std::uint32_t>(state.seed), k1 = static_cast<std::uint32_t>(state.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < blocks; ++i) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c0[i], p1 = std::uint64_t{0xCD9E8D57} * c2[i];
      c0[i] = static_cast<std::uint32_t>(p1 >> 32) ^ c1[i] ^ k0;
      c1[i] = static_cast<std::uint32_t>(p1);
      c2[i] = static_cast<std::uint32_t>(p0 >> 32) ^ c3[i] ^ k1;
      c3[i] = static_cast<std::uint32_t>(p0);
    }
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  for (int i = 0; i < blocks; ++i) {
    bits[4 * i] = c0[i];
    bits[4 * i + 1] = c1[i];
    bits[4 * i + 2] = c2[i];
    bits[4 * i + 3] = c3[i];
  }
}

/// Groups [begin, end), begin a multiple of 4. A group is zeroed where the top 24 bits of its draw are below `zeroed`.
void drop(const DropoutShape& s, PhiloxState state, int64_t begin, int64_t end, const float* x, float* y) {
  const float scale = static_cast<float>(1 / (1 - s.p));
  const std::uint32_t zeroed = static_cast<std::uint32_t>(std::ceil(s.p * 0x1p24));
  for (int64_t first = begin; first < end; first += 4 * blocks) {
    HWY_ALIGN std::uint32_t bits[4 * blocks];
    draw(state, first, bits);
    const int64_t count = std::min<int64_t>(4 * blocks, end - first);
    if (s.group == 1) {
#pragma omp simd
      for (int64_t i = 0; i < count; ++i) y[first + i] = bits[i] >> 8 < zeroed ? 0.0f : x[first + i] * scale;
      continue;
    }
    for (int64_t i = 0; i < count; ++i) {
      const int64_t at = (first + i) * s.group, n = std::min(s.group, s.n - at);
      if (bits[i] >> 8 < zeroed) {
        std::fill_n(y + at, n, 0.0f);
      } else {
#pragma omp simd
        for (int64_t j = at; j < at + n; ++j) y[j] = x[j] * scale;
      }
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tern::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tern::kernels {

HWY_EXPORT(drop);

void CpuFloat32::dropout(const DropoutShape& s, PhiloxState state, const float* x, float* y) {
  const int64_t groups = (s.n + s.group - 1) / s.group;
  const int64_t grain = std::max<int64_t>(4, (1 << 14) / s.group / 4 * 4);
  const auto drop_groups = HWY_DYNAMIC_DISPATCH(drop);
  parallel_for(groups, grain, [&](int64_t begin, int64_t end) { drop_groups(s, state, begin, end, x, y); });
}

}  // namespace tern::kernels
#endif
