#pragma once

#include "cuda_runtime.h"
#include "memory.hpp"
#include "profile.hpp"
#include "ptx.hpp"
#include "shared_check.hpp"

#include <boost/context/detail/fcontext.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace tern::emulator {

inline constexpr int max_block_threads = 1024;
inline constexpr std::size_t max_dynamic_shared_bytes = 99 * 1024;

/// A kernel on its way through the device.
struct Grid {
  const Kernel& kernel;
  dim3 grid, block;
  std::size_t shared_bytes;
  std::uint64_t seed;  ///< 0 runs blocks and threads in their natural order
  bool profiling;
  bool early;  ///< it may begin before the grids before it have ended: its threads must wait for them first

  std::atomic<bool> failed = false;
  std::mutex mutex;
  MemoryCounts counts;
  std::string fault;  ///< of the first thread that went wrong
};

/// Runs every block of the grid, on all host threads. Afterwards grid.failed says whether all went well.
void run(Grid& grid);

/// Runs blocks, one at a time, on the host thread that it belongs to.
///
/// A CUDA thread runs as a plain call until it waits, and only then gets a fiber to itself: the fiber that it runs on
/// stays with it, and another takes over the threads that have not begun. So a kernel without barriers never
/// switches, and one with barriers switches once per thread and barrier, from one to the next directly. Fibers are
/// kept from block to block.
///
/// fcontext is Boost.Context's inner layer, and used because a fiber whose thread has gone wrong must be forgotten:
/// boost::context::fiber would unwind it, through kernel code that expects no exception.
class Multiprocessor {
 public:
  /// The one whose kernel code runs on this host thread at this moment; null in host code and in the emulator's own.
  static Multiprocessor* running() { return running_; }
  /// The same, and its kernel code stops here: for a fault, so that composing its message is not taken for kernel code.
  static Multiprocessor* stop_running() { return std::exchange(running_, nullptr); }

  Multiprocessor();
  ~Multiprocessor();
  Multiprocessor(const Multiprocessor&) = delete;
  Multiprocessor& operator=(const Multiprocessor&) = delete;

  void run_block(Grid& grid, uint3 block);

  // What the functions of device.hpp come to.
  int block_barrier(const char* name, bool predicate, const Site& site);
  unsigned warp_ballot(const char* name, unsigned mask, bool predicate, const Site& site);
  std::uint64_t warp_exchange(const char* name, unsigned mask, std::uint64_t value, int source, const Site& site);
  void warp_barrier(unsigned mask, const Site& site);
  void multiply_add(MatrixFragments& lane, const Site& site);
  void load_matrices(MatrixRow& lane, const Site& site, const void* call);
  void copy_to_shared(void* to, const void* from, std::size_t bytes, std::size_t taken, const Site& site,
                      const void* call);
  void commit_copies();
  void wait_for_copies(std::size_t but_latest, const void* call);
  unsigned active_lanes() const;
  int lane() const { return static_cast<int>(current_ % 32); }
  int block_threads() const { return static_cast<int>(threads_.size()); }
  void wait_for_grids() { waited_ = threads_[current_].waited = true; }
  void* dynamic_shared_memory() { return dynamic_shared_; }

  /// Kernel code is about to access memory. Only the checked build tells.
  void access(const volatile void* p, std::size_t bytes, AccessKind kind, const void* call);

  /// Ends the launch with "kernel, block, thread, where: what". Does not return to the kernel.
  [[noreturn]] void fault(const std::string& what, const std::string& where);

 private:
  struct Fiber {
    Multiprocessor* owner;
    std::byte* stack;
    boost::context::detail::fcontext_t context;
  };
  enum class State : std::uint8_t { fresh, ready, at_block_barrier, at_warp_operation, returned };
  enum class Operation : std::uint8_t { barrier, ballot, exchange, multiply, load };
  struct Thread {
    uint3 index = {};
    State state = State::fresh;
    Fiber* fiber = nullptr;
    bool waited;  ///< for the grids before this one, or need not
    // What it waits in, with what it brought; afterwards `value` is what it takes away.
    const char* name;
    Site site;
    Operation operation;
    unsigned mask;
    int source;
    std::uint64_t value;
  };
  struct Warp {
    unsigned alive, waiting;  ///< lanes
  };
  /// To shared memory, and not yet waited for.
  struct Copy {
    std::byte* to;
    std::size_t bytes, group;
    std::array<std::byte, 16> data;
    Site site;
  };
  /// Of a thread, in their order, and how many groups it has committed.
  struct Copies {
    std::vector<Copy> pending;
    std::size_t committed = 0;
  };

  static void fiber_main(boost::context::detail::transfer_t from);
  Fiber* make_fiber();
  void reset(Fiber& fiber);
  void switch_to(Fiber& fiber);
  void arrive(boost::context::detail::transfer_t from);
  void switch_to_next();
  void suspend();
  void make_ready(unsigned thread);
  void make_ready_first(unsigned thread);
  unsigned take_next();
  void run_thread();
  void thread_returned();
  void release_block_barrier();
  std::uint64_t warp_operation(Operation operation, const char* name, unsigned mask, std::uint64_t value, int source,
                               const Site& site);
  bool complete_warp_operation(unsigned thread);
  void record_fault(unsigned thread, const std::string& what, const std::string& where);
  void report_stuck();
  std::string whereabouts(unsigned thread) const;
  void count_accesses();
  void access_shared(const volatile void* p, std::size_t bytes, AccessKind kind, const void* call);
  void access_elsewhere(const volatile void* p, std::size_t bytes, AccessKind kind, const void* call);
  void note_access(const volatile void* p, std::size_t bytes, bool is_shared, const void* call);
  [[noreturn]] void early_access(AccessKind kind, const void* call);
  [[noreturn]] void global_fault(const volatile void* p, std::size_t bytes, AccessKind kind, const void* call);

  static constinit thread_local Multiprocessor* running_;

  DeviceMemory& memory_ = DeviceMemory::get();
  const Address memory_begin_ = memory_.mapped_begin();
  const std::size_t memory_span_ = memory_.span();
  std::uint8_t* const memory_states_ = memory_.states(memory_.device_address(reinterpret_cast<void*>(memory_begin_)));
  uint3& thread_index_;  ///< what kernels know as threadIdx
  Grid* grid_ = nullptr;
  uint3 block_ = {};
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<Copies> copies_;  ///< by thread
  unsigned current_ = 0;  ///< the thread that runs
  bool waited_ = true;    ///< it, for the grids before this one
  unsigned returned_ = 0, at_barrier_ = 0;
  std::vector<unsigned> ready_;  ///< a ring: threads that can go on
  std::size_t ready_head_ = 0, ready_count_ = 0;
  std::minstd_rand random_;

  std::byte* stacks_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
  Fiber host_{this, nullptr, nullptr};  ///< the host thread's own code
  Fiber* fiber_ = &host_;               ///< the one that runs
  std::byte* shared_area_;
  std::byte* dynamic_shared_;
  WarpTraces traces_;
  std::unique_ptr<SharedMemoryCheck> shared_check_;  ///< null in the plain build
};

inline void Multiprocessor::access(const volatile void* p, std::size_t bytes, AccessKind kind, const void* call) {
  const Address offset = address_of(p) - memory_begin_;
  if (offset >= memory_span_) return access_elsewhere(p, bytes, kind, call);
  if (!waited_) early_access(kind, call);
  std::uint8_t* const states = memory_states_ + offset;
  constexpr auto initialised = static_cast<std::uint8_t>(ByteState::initialised);
  const auto wanted = kind == AccessKind::write ? static_cast<std::uint8_t>(ByteState::uninitialised) : initialised;
  unsigned bad = 0;
  for (std::size_t i = 0; i < bytes; ++i) bad |= (states[i] & wanted) ^ wanted;
  if (bad != 0) global_fault(p, bytes, kind, call);
  if (grid_->profiling) note_access(p, bytes, false, call);
  if (kind != AccessKind::read) std::memset(states, initialised, bytes);
}

/// The kernel that runs is about to change memory atomically.
void note_atomic(void* p, std::size_t bytes, const void* call);

}  // namespace tern::emulator
