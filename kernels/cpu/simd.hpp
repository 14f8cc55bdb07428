#pragma once

/// To be included before Highway by every file with vector code, and once only: which of Highway's targets are built.
/// Kernels keep vectors in arrays, as tiles of registers, which the sizeless vectors of SVE and RVV do not allow: arm64
/// runs on NEON. SSSE3 would serve processors from before 2008 only.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SVE | HWY_SVE_256 | HWY_SVE2 | HWY_SVE2_128 | HWY_RVV)
