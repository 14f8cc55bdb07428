#pragma once

/// To be included before Highway by every file with vector code, and once only: which of Highway's targets are built.
/// Kernels keep vectors in arrays, as tiles of registers, which the sizeless vectors of SVE and RVV do not allow: arm64
/// runs on NEON. SSSE3 would serve processors from before 2008 only.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SVE | HWY_SVE_256 | HWY_SVE2 | HWY_SVE2_128 | HWY_RVV)

namespace tern::kernels {

/// Starts to bring p's line into the second-level cache, where the processor's own prefetching stops: at the end of a
/// page. Fetched into the first level, lines from memory would hold up those that the inner loops take from the second.
/// Always inline: GCC takes a call of a function that does no more than this for one without effect.
[[gnu::always_inline]] inline void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace tern::kernels
