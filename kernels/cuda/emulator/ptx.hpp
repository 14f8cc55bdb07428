#pragma once

/// What kernels say in PTX (gemm/ptx.cuh), for the host: asynchronous copies to shared memory, matrices from there, and
/// products by tensor cores.

#include "device.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace tern::emulator {

/// cp.async: `to`, in shared memory, gets `taken` bytes of `from` and then zeros, `bytes` in all, once the calling
/// thread has waited for it. Until then it holds 0xFF, and no thread may access it.
void copy_to_shared(void* to, const void* from, std::size_t bytes, std::size_t taken, const Site& site);
/// cp.async.commit_group: the copies since the last one are a group.
void commit_copies();
/// cp.async.wait_group: waits for all groups of the calling thread but its latest so many. Others see what was copied
/// after a barrier.
void wait_for_copies(std::size_t but_latest);

/// What the elements of a and b are.
enum class MatrixElement : std::uint8_t { tf32, bf16 };
/// One lane's registers of d = a b + c, where a is 16 x k, b k x 8, and k 8 for tf32, 16 for bf16.
struct MatrixFragments {
  MatrixElement element;
  std::array<std::uint32_t, 4> a;
  std::array<std::uint32_t, 2> b;
  std::array<float, 4> c;  ///< afterwards d
};
/// mma.sync: waits for the whole warp, all lanes of which must come.
void multiply_add(MatrixFragments& lane, const Site& site);
/// The product of all 32 lanes' registers. matrix.cpp
void multiply_add(const std::array<MatrixFragments*, 32>& lanes);

/// One lane's part in reading four 8 x 4 matrices of 32 bits: lane 8 i + j has row j of matrix i, lane 4 g + t gets
/// element [g][t] of each.
struct MatrixRow {
  const void* row;  ///< 16 bytes in shared memory
  std::array<std::uint32_t, 4> elements;
};
/// ldmatrix: waits for the whole warp, all lanes of which must come.
void load_matrices(MatrixRow& lane, const Site& site);
/// What all 32 lanes get. matrix.cpp
void load_matrices(const std::array<MatrixRow*, 32>& lanes);

}  // namespace tern::emulator
