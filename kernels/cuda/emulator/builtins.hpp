#pragma once

#include "vector_types.hpp"

namespace tern::emulator {

/// Sets blockIdx, blockDim and gridDim of the block that this host thread runs.
void set_block(uint3 block, dim3 block_size, dim3 grid_size);
/// threadIdx of the thread that this host thread runs, to be written.
uint3& thread_index();

}  // namespace tern::emulator
