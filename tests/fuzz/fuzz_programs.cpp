/// Any bytes are a program of ops (programs.hpp), which the cpu runs as the reference does.

#include "fuzz.hpp"
#include "programs.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static tern::test::ProgramCounts counts;
  try {
    tern::test::run_program(tern::test::as_text(data, size), tern::Device::cpu, counts);
  } catch (const tern::test::Disagreement& e) {
    tern::test::require(false, e.what());
  }
  return 0;
}
