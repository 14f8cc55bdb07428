#pragma once

#include "memory.hpp"

#include <array>
#include <cstdint>
#include <memory>
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
/// What is copied asynchronously is written twice, at the copy and once it was waited for, and in between no one may
/// access it.
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

  enum class Fault : std::uint8_t { race, unwritten, on_its_way };
  struct Finding {
    Fault fault;
    unsigned other_thread;   ///< of a race, or the one that copies
    const char* other_verb;  ///< of a race: "reads", "writes"
    const void* other_call;  ///< where it does
  };
  std::optional<Finding> access(const volatile void* p, std::size_t bytes, unsigned thread, AccessKind kind,
                                const void* call);
  /// A thread, which has written these bytes, copies to them asynchronously; and it has waited for that.
  /// @{
  void begin_copy(const volatile void* p, std::size_t bytes);
  void end_copy(const volatile void* p, std::size_t bytes, unsigned thread, const void* call);
  /// @}

 private:
  /// When a thread accessed: at its warp epoch in a phase of the block.
  class Stamp {
   public:
    Stamp() = default;
    Stamp(std::uint32_t phase, unsigned thread, std::uint32_t epoch) : phase_(phase), bits_(epoch << 10 | thread) {}
    std::uint32_t phase() const { return phase_; }
    unsigned thread() const { return bits_ & 1023; }
    std::uint32_t epoch() const { return bits_ >> 10; }

   private:
    std::uint32_t phase_ = 0, bits_ = 0;  // not a bit field, which would be put together in memory
  };
  /// Half a cache line.
  struct Cell {
    Stamp write, reads[2];
    std::uint32_t block = 0;       ///< the first phase of the block that `set` is about
    std::uint8_t set = 0;          ///< bytes written, as bits
    std::uint8_t write_bytes = 0;  ///< those of the last write
    bool write_is_atomic = false;
    bool on_its_way = false;
  };
  struct Range {
    Address begin;
    std::size_t bytes, first_cell;
  };
  /// Where the kernel made a cell's accesses.
  struct Calls {
    const void *write = nullptr, *reads[2] = {};
  };
  using Clock = std::array<std::uint32_t, 32>;  ///< for each lane of a warp, the epochs of it that lie in the past

  Cell* cell_of(Address at) const {
    for (const Range& range : ranges_)
      if (at - range.begin < range.bytes) return cells_.get() + range.first_cell + at / 4 - range.begin / 4;
    return nullptr;
  }
  /// The epoch of the other lane that lies in this thread's past; its own epoch for its own lane.
  std::uint32_t clock(unsigned thread, unsigned lane) const {
    return warp_has_moved_[thread / 32] ? clocks_[thread][lane] : 0;
  }
  /// Whether nothing orders the earlier access before what `thread` does now.
  bool unordered(const Stamp& earlier, unsigned thread) const {
    const unsigned other = earlier.thread();
    if (earlier.phase() != phase_ || other == thread) return false;
    return other / 32 != thread / 32 || clock(thread, other % 32) <= earlier.epoch();
  }
  void note_read(Cell& cell, const Stamp& now, const void* call);

  std::vector<Range> ranges_;
  std::unique_ptr<Cell[]> cells_;
  std::unique_ptr<Calls[]> calls_;  ///< of the cells
  std::uint32_t phase_ = 1, first_phase_ = 1;
  std::vector<Clock> clocks_;         ///< by thread; its own entry is the epoch that it is in
  std::vector<char> warp_has_moved_;  ///< by warp: its clocks are not all zero
};

}  // namespace tern::emulator
