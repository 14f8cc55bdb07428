/// Every test of this program needs a CUDA device: without one it ends before the first, as skipped.

#include <tern/kernels/cuda/stream.hpp>

#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <catch2/catch.hpp>

#include <cstdlib>
#include <iostream>

namespace {

struct NeedsDevice : Catch::TestEventListenerBase {
  using TestEventListenerBase::TestEventListenerBase;

  void testRunStarting(const Catch::TestRunInfo&) override {
    if (tern::kernels::cuda::is_available()) return;
    std::cout << "skipped: no CUDA device was found; TERN_CUDA=EMULATE checks the kernels here" << std::endl;
    std::_Exit(77);
  }
};

CATCH_REGISTER_LISTENER(NeedsDevice)

}  // namespace
