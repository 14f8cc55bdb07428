#pragma once

#include "emulator.hpp"
#include "memory.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace tern::emulator {

/// Counts what the warps of a block ask of memory. A warp's accesses are those of its 32 lanes, each for the same time,
/// by the same instruction.
class WarpTraces {
 public:
  void begin_block(unsigned threads) {
    threads_ = threads;
    traces_.resize((threads + 31) / 32);
  }
  void note(unsigned thread, const volatile void* p, std::size_t bytes, bool is_shared, const void* call) {
    traces_[thread / 32].push_back({call, address_of(p), 0, static_cast<std::uint32_t>(bytes), thread % 32, is_shared});
  }
  /// Adds what was noted, which must be all that the warps did since a barrier, to the counts, and forgets it.
  void count(MemoryCounts& counts);

 private:
  struct Access {
    const void* call;
    Address address;
    std::uint32_t time;  ///< the how-manieth access of the lane by this call to that memory
    std::uint32_t bytes;
    unsigned lane;
    bool is_shared;
  };

  static void count_global(std::span<const Access> warp, MemoryCounts& counts);
  static void count_shared(std::span<const Access> warp, MemoryCounts& counts);

  std::size_t threads_ = 0;
  std::vector<std::vector<Access>> traces_;
};

}  // namespace tern::emulator
