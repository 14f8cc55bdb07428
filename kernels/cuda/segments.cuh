#pragma once

/// Kernels over many arrays at once. The arguments hold a table of the arrays: sizes, pointers, and the block at which
/// each one ends. A block finds its array in the table and computes 1024 of its elements, a thread 4 of them, 256 apart.
/// More arrays than the table has room for take a launch for each table full; launched one by one, the small tensors of
/// a network would cost more in launches than in work.

#include <tern/kernels/cuda/device.cuh>

#include <span>

namespace tern::kernels::cuda {

inline constexpr int elements_per_thread = 4, elements_per_block = block_size * elements_per_thread;

/// Array has a member n, its number of elements.
template <class Array>
struct Table {
  static constexpr int capacity = 64;

  int arrays;
  int64_t end_block[capacity];  ///< of array i: the first block of array i + 1
  Array array[capacity];

  /// Calls f(array, i) for each of this thread's elements of that block.
  template <class F>
  __device__ void for_each(int64_t block, F f) const {
    int a = 0;
    while (end_block[a] <= block) ++a;
    const int64_t first_block = a == 0 ? 0 : end_block[a - 1];
    const int64_t first = (block - first_block) * elements_per_block + static_cast<int64_t>(threadIdx.x);
#pragma unroll
    for (int j = 0; j < elements_per_thread; ++j) {
      const int64_t i = first + j * block_size;
      if (i < array[a].n) f(array[a], i);
    }
  }
};

/// Calls launch_table(table, its number of blocks), for as many tables as the arrays fill. Empty arrays are left out.
template <class Array, class F>
void for_each_table(std::span<const Array> arrays, F launch_table) {
  Table<Array> table{};
  int64_t blocks = 0;
  for (const Array& array : arrays) {
    if (array.n == 0) continue;
    if (table.arrays == Table<Array>::capacity) {
      launch_table(table, blocks);
      table.arrays = 0;
      blocks = 0;
    }
    blocks += ceil_div(array.n, elements_per_block);
    table.array[table.arrays] = array;
    table.end_block[table.arrays++] = blocks;
  }
  if (blocks > 0) launch_table(table, blocks);
}

/// change(array, i) for every element, once change.begin(), which reads what is the same for all, says that there is
/// anything to do.
template <class Change, class Array>
__global__ void __launch_bounds__(block_size, 4)
    change_all(Change change, const __grid_constant__ Table<Array> table, int64_t blocks) {
  wait_for_previous_kernels();
  if (!change.begin()) return;
  for (int64_t block = blockIdx.x; block < blocks; block += gridDim.x) table.for_each(block, change);
}

template <class Change, class Array>
void launch_change(const Change& change, std::span<const Array> arrays) {
  for_each_table(arrays, [&](const Table<Array>& table, int64_t blocks) {
    launch(change_all<Change, Array>, grid_for(blocks, 1), block_size, 0, current_stream(), change, table, blocks);
  });
}

}  // namespace tern::kernels::cuda
