#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

#include <random.hpp>

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

int main(int argc, char** argv) {
  Catch::StringMaker<float>::precision = 9;
  Catch::StringMaker<double>::precision = 17;
  std::cout << "TERN_TEST_SEED=" << tern::test::base_seed() << std::endl;
  return Catch::Session().run(argc, argv);
}
