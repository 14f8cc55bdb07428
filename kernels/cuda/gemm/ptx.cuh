#pragma once

/// What has no name in CUDA C++ but one in PTX, and what the emulator has for it: asynchronous copies to shared memory,
/// matrices from there, and products by tensor cores. It takes compute capability 8.0; on older ones these do nothing,
/// and nobody calls them.

#include <tern/kernels/cuda/device.cuh>

#ifndef __CUDACC__
#include <tern/kernels/cuda/emulator/ptx.hpp>
#endif

namespace tern::kernels::cuda {

/// One lane's share of a 16 x k matrix, of a k x 8 one, and of 16 x 8 sums. With lane = 4 g + t and k = 8, of TF32:
///   a: rows g and g + 8 of column t, then the same of column t + 4;
///   b: rows t and t + 4 of column g;
///   sums: columns 2 t and 2 t + 1 of row g, then of row g + 8.
/// With k = 16, of bfloat16, two columns of a, and rows of b, take the place of one.
/// (PTX ISA, "Matrix fragments for mma.m16n8k8" and "... for mma.m16n8k16")
struct FragmentA {
  uint32_t at[4];
};
struct FragmentB {
  uint32_t at[2];
};
struct Sums {
  float at[4];
};

#ifdef __CUDACC__

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define TERN_PTX(...) asm volatile(__VA_ARGS__)
#else
#define TERN_PTX(...)
#endif

/// The nearest float of 11 significant bits, ties away from zero.
__device__ __forceinline__ uint32_t to_tf32(float v) {
  uint32_t rounded = 0;
  TERN_PTX("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(v));
  return rounded;
}

/// The nearest two of 8 significant bits, ties to even, `low` in the lower half.
__device__ __forceinline__ uint32_t to_bf16(float low, float high) {
  uint32_t rounded = 0;
  TERN_PTX("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(rounded) : "f"(high), "f"(low));
  return rounded;
}

/// sums += a b, by the whole warp.
/// @{
__device__ __forceinline__ void multiply_add_tf32(const FragmentA& a, const FragmentB& b, Sums& sums) {
  TERN_PTX(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(sums.at[0]), "+f"(sums.at[1]), "+f"(sums.at[2]), "+f"(sums.at[3])
      : "r"(a.at[0]), "r"(a.at[1]), "r"(a.at[2]), "r"(a.at[3]), "r"(b.at[0]), "r"(b.at[1]));
}
__device__ __forceinline__ void multiply_add_bf16(const FragmentA& a, const FragmentB& b, Sums& sums) {
  TERN_PTX(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(sums.at[0]), "+f"(sums.at[1]), "+f"(sums.at[2]), "+f"(sums.at[3])
      : "r"(a.at[0]), "r"(a.at[1]), "r"(a.at[2]), "r"(a.at[3]), "r"(b.at[0]), "r"(b.at[1]));
}
/// @}

/// Four 8 x 4 matrices from shared memory, by the whole warp: lane 8 i + j says where row j of matrix i lies, four
/// elements side by side, aligned to 16 bytes, and lane 4 g + t gets element [g][t] of each. (PTX ISA, ldmatrix; what
/// it calls an 8 x 8 matrix of 16 bits has two of them for each of these elements.)
__device__ __forceinline__ void load_matrices(const float* row, float (&v)[4]) {
  [[maybe_unused]] const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  for (int i = 0; i < 4; ++i) v[i] = 0;
  TERN_PTX("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
           : "=f"(v[0]), "=f"(v[1]), "=f"(v[2]), "=f"(v[3])
           : "r"(address)
           : "memory");
}

/// Copies `bytes`, 4, 8 or 16, from global to shared memory, or zeros; both aligned to so many. It is done when the
/// thread has waited for it, and others see it after a barrier.
template <int bytes>
__device__ __forceinline__ void copy_async(void* to, const void* from, bool take) {
  [[maybe_unused]] const auto address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  [[maybe_unused]] const int taken = take ? bytes : 0;
  if constexpr (bytes == 16) {  // past the L1 cache
    TERN_PTX("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(taken) : "memory");
  } else {
    TERN_PTX("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(address), "l"(from), "n"(bytes), "r"(taken)
             : "memory");
  }
}

/// What the thread has copied since the last one is a group.
__device__ __forceinline__ void commit_copies() { TERN_PTX("cp.async.commit_group;" ::: "memory"); }

/// Waits for all groups but the latest so many.
template <int but_latest>
__device__ __forceinline__ void wait_for_copies() {
  TERN_PTX("cp.async.wait_group %0;" ::"n"(but_latest) : "memory");
}

#undef TERN_PTX

#else

inline bool is_finite(uint32_t bits) { return (bits & 0x7f800000) != 0x7f800000; }

inline uint32_t to_tf32(float v) {
  const uint32_t bits = __float_as_uint(v);
  return is_finite(bits) ? (bits + 0x1000) & 0xffffe000 : bits;
}

inline uint32_t to_bf16(float low, float high) {
  const auto round = [](float v) {
    const uint32_t bits = __float_as_uint(v);
    if (v != v) return uint32_t{0x7fff};
    return (is_finite(bits) ? bits + 0x7fff + (bits >> 16 & 1) : bits) >> 16;
  };
  return round(high) << 16 | round(low);
}

inline void multiply_add(emulator::MatrixElement element, const FragmentA& a, const FragmentB& b, Sums& sums,
                         emulator::Site site) {
  emulator::MatrixFragments lane{element,
                                 {a.at[0], a.at[1], a.at[2], a.at[3]},
                                 {b.at[0], b.at[1]},
                                 {sums.at[0], sums.at[1], sums.at[2], sums.at[3]}};
  emulator::multiply_add(lane, site);
  for (int i = 0; i < 4; ++i) sums.at[i] = lane.c[i];
}
inline void multiply_add_tf32(const FragmentA& a, const FragmentB& b, Sums& sums,
                              emulator::Site site = emulator::Site::current()) {
  multiply_add(emulator::MatrixElement::tf32, a, b, sums, site);
}
inline void multiply_add_bf16(const FragmentA& a, const FragmentB& b, Sums& sums,
                              emulator::Site site = emulator::Site::current()) {
  multiply_add(emulator::MatrixElement::bf16, a, b, sums, site);
}

[[gnu::always_inline]] inline void load_matrices(const float* row, float (&v)[4],
                                                 emulator::Site site = emulator::Site::current()) {
  emulator::MatrixRow lane{row, {}};
  emulator::load_matrices(lane, site);
  for (int i = 0; i < 4; ++i) v[i] = __uint_as_float(lane.elements[i]);
}

template <int bytes>
[[gnu::always_inline]] inline void copy_async(void* to, const void* from, bool take,
                                              emulator::Site site = emulator::Site::current()) {
  static_assert(bytes == 4 || bytes == 8 || bytes == 16);
  emulator::copy_to_shared(to, from, bytes, take ? bytes : 0, site);
}

inline void commit_copies() { emulator::commit_copies(); }

template <int but_latest>
[[gnu::always_inline]] inline void wait_for_copies() {
  emulator::wait_for_copies(but_latest);
}

#endif

}  // namespace tern::kernels::cuda
