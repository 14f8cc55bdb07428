#pragma once

#include "vector_types.hpp"

namespace tern::emulator {

/// Sets blockIdx, blockDim and gridDim of the block that this host thread runs.
void set_block(uint3 block, dim3 block_size, dim3 grid_size);
/// Sets threadIdx of the thread that runs.
void set_thread(uint3 thread);

}  // namespace tern::emulator
