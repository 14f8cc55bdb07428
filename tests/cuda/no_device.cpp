#include <tern/kernels/cuda/devices.hpp>

#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <catch2/catch.hpp>

#include <cstdlib>
#include <iostream>

namespace {

/// The kernels here are as anybody writes them, and do not begin by waiting for those before them.
[[maybe_unused]] const int waits = unsetenv("TERN_DEPENDENT_LAUNCH");

/// Without a device nothing here is tested, so nothing passes either: the run ends with the code that ctest knows as
/// skipped.
struct NoDevice : Catch::TestEventListenerBase {
  using TestEventListenerBase::TestEventListenerBase;

  void testRunStarting(const Catch::TestRunInfo&) override {
    if (tern::kernels::cuda::is_available()) return;
    std::cout << "skipped: no CUDA device was found; a build with TERN_CUDA=EMULATE checks the kernels here"
              << std::endl;
    std::exit(77);
  }
};
CATCH_REGISTER_LISTENER(NoDevice)

}  // namespace
