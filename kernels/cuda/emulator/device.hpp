#pragma once

/// What a kernel sees: CUDA's keywords, built-in variables, barriers, warp functions, atomics and mathematics.

#include "vector_types.hpp"

#include <math.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <numbers>
#include <source_location>
#include <type_traits>

#define __global__
#define __constant__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) alignas(bytes)
/// A host thread runs one block at a time, so what it holds once per thread is shared by that block.
#define __shared__ static thread_local

extern thread_local constinit const uint3 threadIdx;
extern thread_local constinit const uint3 blockIdx;
extern thread_local constinit const uint3 blockDim;
extern thread_local constinit const uint3 gridDim;
inline constexpr int warpSize = 32;

namespace tern::emulator {

/// Where a kernel calls; shown when the call goes wrong.
using Site = std::source_location;

/// Waits for the whole block. The number of threads whose predicate is true.
int block_barrier(const char* name, bool predicate, const Site& site);
/// Waits for the lanes of the mask. The 32 predicates as bits, 0 for lanes that take no part.
unsigned warp_ballot(const char* name, unsigned mask, bool predicate, const Site& site);
/// Waits for the lanes of the mask. The value that lane `source` brought.
std::uint64_t warp_exchange(const char* name, unsigned mask, std::uint64_t value, int source, const Site& site);
/// Waits for the lanes of the mask, and orders their memory accesses.
void warp_barrier(unsigned mask, const Site& site);

unsigned active_lanes();
int lane();
int block_threads();
void wait_for_grids();
void* dynamic_shared_memory();
[[noreturn]] void trap(const Site& site);

template <class T>
T shuffle(const char* name, unsigned mask, T value, int source, const Site& site) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(std::uint64_t));
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = warp_exchange(name, mask, bits, source, site);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace tern::emulator

inline void __syncthreads(tern::emulator::Site site = tern::emulator::Site::current()) {
  tern::emulator::block_barrier("__syncthreads", false, site);
}
inline int __syncthreads_count(int predicate, tern::emulator::Site site = tern::emulator::Site::current()) {
  return tern::emulator::block_barrier("__syncthreads_count", predicate != 0, site);
}
inline int __syncthreads_and(int predicate, tern::emulator::Site site = tern::emulator::Site::current()) {
  return tern::emulator::block_barrier("__syncthreads_and", predicate != 0, site) == tern::emulator::block_threads();
}
inline int __syncthreads_or(int predicate, tern::emulator::Site site = tern::emulator::Site::current()) {
  return tern::emulator::block_barrier("__syncthreads_or", predicate != 0, site) != 0;
}
inline void __syncwarp(unsigned mask = 0xffffffff, tern::emulator::Site site = tern::emulator::Site::current()) {
  tern::emulator::warp_barrier(mask, site);
}
inline void __threadfence_block() {}
inline void cudaGridDependencySynchronize() { tern::emulator::wait_for_grids(); }
void __threadfence();

/// In all four a warp falls into segments of `width` lanes, and a lane that would read beyond its segment keeps its own
/// value (CUDA C++ Programming Guide, "Warp shuffle functions").
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              tern::emulator::Site site = tern::emulator::Site::current()) {
  const int self = tern::emulator::lane();
  return tern::emulator::shuffle("__shfl_sync", mask, value, (self & -width) | (source & (width - 1)), site);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 tern::emulator::Site site = tern::emulator::Site::current()) {
  const int self = tern::emulator::lane(), source = self - static_cast<int>(delta);
  return tern::emulator::shuffle("__shfl_up_sync", mask, value, source < (self & -width) ? self : source, site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   tern::emulator::Site site = tern::emulator::Site::current()) {
  const int self = tern::emulator::lane(), source = self + static_cast<int>(delta);
  return tern::emulator::shuffle("__shfl_down_sync", mask, value, source > (self | (width - 1)) ? self : source, site);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  tern::emulator::Site site = tern::emulator::Site::current()) {
  const int self = tern::emulator::lane(), source = self ^ lane_mask;
  return tern::emulator::shuffle("__shfl_xor_sync", mask, value, source > (self | (width - 1)) ? self : source, site);
}
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              tern::emulator::Site site = tern::emulator::Site::current()) {
  return tern::emulator::warp_ballot("__ballot_sync", mask, predicate != 0, site);
}
inline int __any_sync(unsigned mask, int predicate, tern::emulator::Site site = tern::emulator::Site::current()) {
  return tern::emulator::warp_ballot("__any_sync", mask, predicate != 0, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, tern::emulator::Site site = tern::emulator::Site::current()) {
  return tern::emulator::warp_ballot("__all_sync", mask, predicate == 0, site) == 0;
}
inline unsigned __activemask() { return tern::emulator::active_lanes(); }
inline void __trap(tern::emulator::Site site = tern::emulator::Site::current()) { tern::emulator::trap(site); }

/// For int, unsigned and unsigned long long; atomicAdd and atomicExch for float, and atomicAdd for double as well.
template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value);
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value);
template <class T>
T atomicMin(T* address, std::type_identity_t<T> value);
template <class T>
T atomicExch(T* address, std::type_identity_t<T> value);
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> compare, std::type_identity_t<T> value);

template <class T>
T __ldg(const T* address) {
  return *address;
}

using std::max;
using std::min;

inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline float sinpi(float x) { return static_cast<float>(sin(std::numbers::pi * double{x})); }
inline double sinpi(double x) { return static_cast<double>(sinl(std::numbers::pi_v<long double> * x)); }
inline float __expf(float x) { return expf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __umulhi(unsigned x, unsigned y) { return static_cast<unsigned>((std::uint64_t{x} * y) >> 32); }
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  __extension__ using Product = unsigned __int128;
  return static_cast<unsigned long long>((Product{x} * y) >> 64);
}
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }
