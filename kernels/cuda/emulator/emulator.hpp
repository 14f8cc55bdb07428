#pragma once

/// What a program may ask of the emulator itself, beyond CUDA's own functions.

#include <cstdint>

namespace tern::emulator {

/// Whether every access of a kernel is checked (TERN_CUDA_CHECKED).
bool is_checked();

/// Deferred, the work of a stream waits until something needs it done, as late as CUDA allows: that finds host code
/// that does not wait. Immediate, the default, it is done at once. Also set by TERN_EMULATOR_DEFERRED=1.
void set_deferred(bool deferred);

/// The order in which blocks and threads run: 0, the default, for the natural one. Also set by TERN_EMULATOR_SEED.
void set_seed(std::uint64_t seed);

}  // namespace tern::emulator
