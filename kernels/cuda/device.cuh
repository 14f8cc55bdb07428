#pragma once

/// What the kernels share: how threads divide the work, wide loads and stores, sums over warps and blocks.

#include <tern/kernels/backend.hpp>
#include <tern/kernels/cuda/counters.hpp>
#include <tern/kernels/cuda/launch.hpp>
#include <tern/kernels/cuda/stream.hpp>
#include <tern/kernels/integer.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace tern::kernels::cuda {

inline constexpr int warp_threads = 32;
inline constexpr unsigned all_lanes = 0xffffffff;

/// Threads of a block, unless a kernel says otherwise: eight blocks fill a multiprocessor of 2048 threads.
inline constexpr int block_size = 256;

__host__ __device__ constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Blocks for a grid-stride loop over n elements, of which a block takes `per_block` each time round.
inline unsigned grid_for(int64_t n, int64_t per_block = block_size) {
  constexpr int64_t most = 1 << 14;  // some fifteen times what the largest GPUs run at once
  return static_cast<unsigned>(std::min(ceil_div(n, per_block), most));
}

/// This thread's number among all of the grid, and how many there are: for (I i = ...; i < n; i += ...).
template <class I = int64_t>
__device__ I grid_thread() {
  return static_cast<I>(blockIdx.x) * static_cast<I>(blockDim.x) + static_cast<I>(threadIdx.x);
}
template <class I = int64_t>
__device__ I grid_threads() {
  return static_cast<I>(gridDim.x) * static_cast<I>(blockDim.x);
}

/// Calls f(I{}) with the type to count to n in. A division of 64 bits takes some four times the instructions of one of
/// 32; the margin leaves room for a last stride of the grid.
template <class F>
void with_index(int64_t n, F f) {
  if (n <= int64_t{1} << 30) {
    f(int32_t{});
  } else {
    f(int64_t{});
  }
}

/// `width` neighbours in memory, read and written by accesses of up to 128 bits.
template <class T, int width>
struct alignas(std::min<std::size_t>(sizeof(T) * width, 16)) Pack {
  T at[width];
};

template <class T, int width>
bool is_aligned(const T* p) {
  return reinterpret_cast<std::uintptr_t>(p) % alignof(Pack<T, width>) == 0;
}

template <int width, class T>
__device__ Pack<T, width> load_pack(const T* p) {
  return *reinterpret_cast<const Pack<T, width>*>(p);
}

template <int width, class T>
__device__ void store_pack(T* p, const Pack<T, width>& pack) {
  *reinterpret_cast<Pack<T, width>*>(p) = pack;
}

/// What a sum of T runs in. Integers wrap, so for bytes any wider unsigned number has the right low bits.
template <class T>
using Sum = std::conditional_t<std::is_same_v<T, uint8_t>, unsigned, Wrapping<T>>;

/// The sum over the warp, in each of its lanes.
template <class T>
__device__ T warp_sum(T value) {
  for (int lanes = warp_threads / 2; lanes > 0; lanes /= 2) value += __shfl_xor_sync(all_lanes, value, lanes);
  return value;
}

/// The sum over the block, in each of its threads. All of them call it.
template <int threads, class T>
__device__ T block_sum(T value) {
  __shared__ T of_warp[threads / warp_threads];
  value = warp_sum(value);
  if (threadIdx.x % warp_threads == 0) of_warp[threadIdx.x / warp_threads] = value;
  __syncthreads();
  T total = 0;
  for (const T part : of_warp) total += part;
  __syncthreads();  // or the next call would overwrite what a slow warp has yet to read
  return total;
}

/// Called by all threads of a block that has written its share of a result, `blocks` blocks in all: whether it is the
/// last one, which now sees what the others wrote, but not through a pointer that is const and __restrict__. `counter` is
/// one of counters(), and 0 again afterwards. So a sum over blocks ends in the order of the blocks without a launch.
__device__ inline bool is_last_block(unsigned* counter, unsigned blocks) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0 && threadIdx.y == 0 && threadIdx.z == 0) {
    last = atomicAdd(counter, 1) == blocks - 1;
    if (last) *counter = 0;
  }
  __syncthreads();
  __threadfence();
  return last;
}

/// Where a kernel reads its random numbers: from `state`; in a graph so many blocks after `*start`, where the replay
/// begins.
struct Draws {
  PhiloxState state;
  const PhiloxState* start;

  __device__ PhiloxState now() const { return start ? PhiloxState{start->seed, start->offset + state.offset} : state; }
};
/// For a kernel that is queued now. graph.cu
Draws draws_from(PhiloxState state);

/// CudaArray<T>::sum on the current device: kernels that sum in two stages end with it. reduce.cu
template <class T>
void sum(const ReduceShape& r, const T* x, T* y);
/// CudaArray<T>::sort on the current device. sort.cu
template <class T>
void sort(int64_t rows, int64_t n, int64_t k, bool descending, const T* x, T* y, int64_t* indices);

}  // namespace tern::kernels::cuda
