#pragma once

#include "memory.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace tern::emulator {

enum class AccessKind : std::uint8_t { read, write, atomic };

/// Watches the shared memory of the blocks that one host thread runs, in the checked build: it finds reads of what the
/// block has not written, and races, which are two accesses to the same bytes by two threads, at least one of them a
/// write and not both atomic, that no barrier orders.
///
/// __syncthreads orders all that is before it against all that is after it, so accesses can only race within one
/// phase between two of them. __syncwarp orders the lanes that take part in it among each other, which vector
/// clocks follow as in Flanagan, Freund, "FastTrack: efficient and precise dynamic race detection", PLDI 2009.
/// For each 4 bytes it keeps the last write and two reads. With three or more reads that nothing orders, a race of a
/// later write with one of them can go unseen if __syncwarp orders that write after both reads that were kept.
class SharedMemoryCheck {
 public:
  /// Of the calling host thread: what it holds once per thread, where __shared__ variables are, and the given range.
  SharedMemoryCheck(const void* dynamic_begin, std::size_t dynamic_bytes);

  bool contains(const volatile void* p) const { return cell_of(address_of(p)) != nullptr; }

  void begin_block(unsigned threads);
  void block_barrier() { ++phase_; }
  void warp_barrier(unsigned warp, unsigned lanes);

  struct Finding {
    bool is_race;            ///< else the bytes are read unwritten
    unsigned other_thread;   ///< of a race
    const char* other_verb;  ///< "reads", "writes"
    const void* other_call;  ///< where it does
  };
  std::optional<Finding> access(const volatile void* p, std::size_t bytes, unsigned thread, AccessKind kind,
                                const void* call);

 private:
  /// When a thread accessed: at its warp epoch in a phase of the block.
  struct Stamp {
    std::uint32_t phase = 0;
    std::uint32_t thread : 10 = 0;
    std::uint32_t epoch : 22 = 0;
  };
  struct Access {
    Stamp stamp;
    const void* call = nullptr;
  };
  struct Cell {
    Access write, reads[2];
    std::uint32_t block = 0;       ///< the first phase of the block that `set` is about
    std::uint8_t set = 0;          ///< bytes written, as bits
    std::uint8_t write_bytes = 0;  ///< those of the last write
    bool write_is_atomic = false;
  };
  struct Range {
    Address begin;
    std::size_t bytes, first_cell;
  };
  using Clock = std::array<std::uint32_t, 32>;  ///< for each lane of a warp, the epochs of it that lie in the past

  Cell* cell_of(Address at) const {
    for (const Range& range : ranges_)
      if (at - range.begin < range.bytes) return &cells_[range.first_cell + at / 4 - range.begin / 4];
    return nullptr;
  }
  /// The epoch of the other lane that lies in this thread's past; its own epoch for its own lane.
  std::uint32_t clock(unsigned thread, unsigned lane) const {
    return warp_has_moved_[thread / 32] ? clocks_[thread][lane] : 0;
  }
  bool unordered(const Stamp& earlier, unsigned thread) const;
  void note_read(Cell& cell, const Access& read, unsigned thread);

  std::vector<Range> ranges_;
  mutable std::vector<Cell> cells_;
  std::uint32_t phase_ = 1, first_phase_ = 1;
  std::vector<Clock> clocks_;         ///< by thread; its own entry is the epoch that it is in
  std::vector<char> warp_has_moved_;  ///< by warp: its clocks are not all zero
};

}  // namespace tern::emulator
