#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

#include <tern/kernels/cuda/devices.hpp>

#include <python.hpp>
#include <random.hpp>

#include <algorithm>
#include <cstdlib>
#include <iostream>

namespace tern::test {

std::uint64_t base_seed() {
  static const std::uint64_t seed = [] {
    const char* text = std::getenv("TERN_TEST_SEED");
    return text ? std::strtoull(text, nullptr, 10) : 20260101;
  }();
  return seed;
}

}  // namespace tern::test

// Read by AddressSanitizer: an allocation too large to be had is to fail as it does without the sanitizer.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }

namespace {

/// Leaves out the cases with this tag, which test nothing without what they need, so that they do not pass.
void skip_unless(bool (*available)(), Catch::ConfigData& config, const std::string& tag, const char* why) {
  const std::vector<Catch::TestCase>& all = Catch::getAllTestCasesSorted(Catch::Config());
  const auto count = std::count_if(all.begin(), all.end(), [&](const Catch::TestCase& test) {
    return std::find(test.tags.begin(), test.tags.end(), tag) != test.tags.end();
  });
  if (count == 0 || available()) return;
  config.testsOrTags.push_back("~[" + tag + "]");
  std::cerr << count << (count == 1 ? " test case is" : " test cases are") << " skipped: " << why << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  Catch::StringMaker<float>::precision = 9;
  Catch::StringMaker<double>::precision = 17;
  std::cout << "TERN_TEST_SEED=" << tern::test::base_seed() << std::endl;
  Catch::Session session;
  if (const int status = session.applyCommandLine(argc, argv)) return status;
  skip_unless(tern::kernels::cuda::is_available, session.configData(), "cuda",
              "no CUDA device was found; TERN_CUDA=EMULATE runs them on the host");
  skip_unless([] { return !tern::test::python_with_torch().empty(); }, session.configData(), "torch",
              "no python3 that can import torch was found; scripts/setup test installs it");
  skip_unless([] { return !tern::test::onnxruntime().empty(); }, session.configData(), "onnxruntime",
              "onnxruntime for Node.js was not found; scripts/fetch_onnxruntime gets it");
  return session.run();
}
