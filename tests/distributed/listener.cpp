#include <tern/distributed/distributed.hpp>
#include <tern/kernels/cpu/threads.hpp>

#define CATCH_CONFIG_EXTERNAL_INTERFACES  // of which the listener is one
#include <catch2/catch.hpp>

#include <cstdlib>

namespace {

/// Joins the ranks before the first case, and leaves them after the last.
struct Ranks : Catch::TestEventListenerBase {
  using TestEventListenerBase::TestEventListenerBase;

  void testRunStarting(const Catch::TestRunInfo&) override {
    const char* timeout = std::getenv("TERN_TEST_TIMEOUT");
    tern::distributed::init({.timeout = std::chrono::seconds(timeout ? std::atoi(timeout) : 120)});
    if (tern::distributed::world_size() > 1) tern::set_num_threads(1);
  }
  void testRunEnded(const Catch::TestRunStats& stats) override {
    if (stats.totals.testCases.allOk()) return tern::distributed::finalize();
    if (tern::distributed::world_size() > 1) tern::distributed::abort("tests failed");
  }
};
CATCH_REGISTER_LISTENER(Ranks)

}  // namespace
