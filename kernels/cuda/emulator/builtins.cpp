#include "builtins.hpp"

// Constants to kernels, as device.hpp declares them, and variables here, which is why this file does not include it.
// Within one call of a kernel they are constant.
thread_local constinit uint3 threadIdx = {};
thread_local constinit uint3 blockIdx = {};
thread_local constinit uint3 blockDim = {};
thread_local constinit uint3 gridDim = {};

namespace tern::emulator {

void set_block(uint3 block, dim3 block_size, dim3 grid_size) {
  blockIdx = block;
  blockDim = block_size;
  gridDim = grid_size;
}

uint3& thread_index() { return threadIdx; }

}  // namespace tern::emulator
