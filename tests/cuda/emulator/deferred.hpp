#pragma once

#include <tern/kernels/cuda/emulator/emulator.hpp>
#include <tern/kernels/cuda/error.hpp>

/// While it lives, the emulator does the work of a stream as late as CUDA allows; then all that is left.
class Deferred {
 public:
  Deferred() { tern::emulator::set_deferred(true); }
  ~Deferred() {
    static_cast<void>(cudaDeviceSynchronize());
    tern::emulator::set_deferred(false);
  }
  Deferred(const Deferred&) = delete;
  Deferred& operator=(const Deferred&) = delete;
};
