#include <tern/kernels/cpu/memory.hpp>
#include <tern/kernels/error.hpp>

#include <random.hpp>

#include <atomic>
#include <cstring>
#include <map>
#include <thread>

namespace tern::test {

using kernels::CachingAllocator;
using kernels::MemoryStats;

TEST_CASE("blocks are aligned, apart from each other and at most an eighth too large", "[cpu]") {
  for_each_case(5, [](Random& random) {
    CachingAllocator memory;
    std::map<char*, std::size_t> blocks;
    std::size_t asked = 0;
    for (int i = 0; i < 200; ++i) {
      if (!blocks.empty() && random.chance(0.4)) {
        const auto [p, bytes] = *blocks.begin();
        memory.release(p, bytes);
        blocks.erase(blocks.begin());
        asked -= bytes;
      } else {
        const std::size_t bytes = random.integer(0, random.chance(0.5) ? 300 : 100'000);
        char* p = static_cast<char*>(memory.allocate(bytes));
        std::memset(p, i, bytes);
        REQUIRE(reinterpret_cast<std::uintptr_t>(p) % 64 == 0);
        blocks[p] = bytes;
        asked += bytes;
      }
      REQUIRE(memory.stats().bytes_in_use >= asked);
      REQUIRE(memory.stats().bytes_in_use <= asked + asked / 8 + 64 * blocks.size());
    }
    const char* end = nullptr;
    for (const auto& [p, bytes] : blocks) {
      CHECK(p >= end);
      end = p + bytes;
    }
    for (const auto& [p, bytes] : blocks) memory.release(p, bytes);
    CHECK(memory.stats().bytes_in_use == 0);
    memory.trim();
    CHECK(memory.stats().bytes_held == 0);
  });
}

TEST_CASE("blocks of a huge page or more begin with one", "[cpu]") {
  constexpr std::size_t huge_page = 1 << 21;
  CachingAllocator memory;
  for (const std::size_t bytes : {huge_page, huge_page + 1, 4 * huge_page, 9 * huge_page - 1}) {
    CAPTURE(bytes);
    void* const p = memory.allocate(bytes);
    std::memset(p, 1, bytes);
    CHECK(reinterpret_cast<std::uintptr_t>(p) % huge_page == 0);
    memory.release(p, bytes);
  }
  memory.trim();
  CHECK(memory.stats().bytes_held == 0);
}

TEST_CASE("the second round of the same work asks the system for nothing", "[cpu]") {
  CachingAllocator memory;
  std::uint64_t first = 0;
  for (int round = 0; round < 3; ++round) {
    std::vector<std::pair<void*, std::size_t>> blocks;
    for (std::size_t bytes = 1; bytes < 1 << 20; bytes += bytes / 2 + 1)
      blocks.push_back({memory.allocate(bytes), bytes});
    for (const auto& [p, bytes] : blocks) memory.release(p, bytes);
    if (round == 0) first = memory.stats().system_allocations;
  }
  CHECK(first > 0);
  CHECK(memory.stats().system_allocations == first);
  CHECK(memory.stats().bytes_peak == memory.stats().bytes_held);
  memory.reset_peak();
  CHECK(memory.stats().bytes_peak == 0);
}

TEST_CASE("more memory than there is, is an error that says how much", "[cpu]") {
  CachingAllocator memory;
  CHECK_THROWS_WITH(memory.allocate(std::size_t{1} << 62), Catch::Contains("4611686018427387904 bytes"));
  CHECK(memory.stats().bytes_in_use == 0);
  memory.release(nullptr, 100);
}

TEST_CASE("threads may share an allocator", "[cpu]") {
  CachingAllocator memory;
  std::atomic<int> wrong = 0;
  const auto work = [&](int thread) {
    Random random(base_seed(), thread);
    for (int i = 0; i < 2000; ++i) {
      const std::size_t bytes = random.integer(1, 500);
      char* p = static_cast<char*>(memory.allocate(bytes));
      std::memset(p, thread, bytes);
      std::this_thread::yield();
      for (std::size_t at = 0; at < bytes; ++at) wrong += p[at] != thread;
      memory.release(p, bytes);
    }
  };
  std::vector<std::thread> threads;
  for (int t = 1; t <= 4; ++t) threads.emplace_back(work, t);
  for (std::thread& t : threads) t.join();
  CHECK(wrong == 0);
  CHECK(memory.stats().bytes_in_use == 0);
}

}  // namespace tern::test
