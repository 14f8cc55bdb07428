#include "check.hpp"

#include <tern/kernels/error.hpp>

namespace tern::test {

TEST_CASE("memory is aligned, apart from other memory, and keeps what is uploaded", "[memory]") {
  for (const Subject& subject : subjects()) {
    INFO("backend " << subject.name);
    for_each_case(5, [&](Random& random) {
      Backend& backend = *subject.backend;
      struct Block {
        void* memory;
        std::vector<uint8_t> content;
      };
      std::vector<Block> blocks(20);
      for (int round = 0; round < 3; ++round) {
        for (Block& block : blocks) {
          block.content = random.values<uint8_t>(random.length());
          block.memory = backend.allocate(block.content.size());
          CHECK(reinterpret_cast<std::uintptr_t>(block.memory) % 64 == 0);
          backend.upload(block.content.size(), block.content.data(), block.memory);
        }
        for (const Block& block : blocks) {
          std::vector<uint8_t> back(block.content.size());
          backend.download(back.size(), block.memory, back.data());
          CHECK(back == block.content);
          backend.release(block.memory, block.content.size());
        }
      }
    });
  }
}

TEST_CASE("memory that is not to be had is an error that says how much it was", "[memory]") {
  for (const Subject& subject : subjects()) {
    INFO("backend " << subject.name);
    CHECK_THROWS_AS(subject.backend->allocate(std::size_t{1} << 60), Error);
    CHECK_THROWS_WITH(subject.backend->allocate(std::size_t{1} << 60), Catch::Contains("1152921504606846976"));
  }
}

}  // namespace tern::test
