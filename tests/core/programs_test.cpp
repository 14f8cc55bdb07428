#include "support.hpp"

#include <fuzz/programs.hpp>

#include <catch2/catch.hpp>

#include <cstdlib>
#include <iostream>
#include <string>

using namespace tern;
using namespace tern::test;

namespace {

std::string random_program(Random& random) {
  std::string bytes(static_cast<std::size_t>(2 + 5 * random.integer(1, 12)), '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.integer(0, 255));
  return bytes;
}

/// TERN_TEST_PROGRAMS from the environment asks for other numbers.
int number_of_programs(Device device) {
  const char* asked = std::getenv("TERN_TEST_PROGRAMS");
  return asked ? std::atoi(asked) : device.on_host() ? 4000 : 400;
}

}  // namespace

TEST_CASE("random programs of ops give on each device what they give on the reference, gradients and errors too") {
  for (const Device device : devices()) {
    if (device == Device::reference) continue;
    ProgramCounts counts;
    for_each_case(number_of_programs(device), [&](Random& random) {
      try {
        run_program(random_program(random), device, counts);
      } catch (const Disagreement& e) {
        FAIL_CHECK(e.what());
      }
    });
    std::cout << device.str() << ": " << counts.programs << " programs of " << counts.ops << " ops, of which "
              << counts.errors << " are errors on both; " << counts.backward << " backward passes, " << counts.gradients
              << " gradients\n";
    CHECK(2 * counts.errors < counts.ops);
    CHECK(4 * counts.backward > counts.programs);
  }
}
