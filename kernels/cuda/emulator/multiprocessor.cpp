#include "multiprocessor.hpp"

#include "builtins.hpp"
#include "runtime.hpp"
#include "symbols.hpp"

#include <tern/kernels/cpu/threads.hpp>
#include <tern/kernels/cuda/launch.hpp>

#include <fmt/format.h>
#include <link.h>
#include <sys/mman.h>

#include <bit>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace tern::emulator {
namespace {

namespace context = boost::context::detail;

constexpr std::size_t stack_bytes = 64 * 1024, guard_bytes = 4096;
/// Dynamic shared memory lies in the middle of an area in which every other address is out of bounds.
constexpr std::size_t shared_guard_bytes = 64 * 1024;
constexpr std::size_t shared_area_bytes = max_dynamic_shared_bytes + 2 * shared_guard_bytes;

/// Kernel code calls the emulator: until it returns, accesses are the emulator's own.
class InEmulator {
 public:
  explicit InEmulator(Multiprocessor*& running) : running_(running), saved_(std::exchange(running, nullptr)) {}
  ~InEmulator() { running_ = saved_; }
  InEmulator(const InEmulator&) = delete;
  InEmulator& operator=(const InEmulator&) = delete;

 private:
  Multiprocessor*& running_;
  Multiprocessor* saved_;
};

uint3 position(std::uint64_t i, dim3 size) {
  return {static_cast<unsigned>(i % size.x), static_cast<unsigned>(i / size.x % size.y),
          static_cast<unsigned>(i / size.x / size.y)};
}

const char* verb(AccessKind kind) {
  switch (kind) {
    case AccessKind::read:
      return "reads";
    case AccessKind::write:
      return "writes";
    case AccessKind::atomic:
      break;
  }
  return "atomically changes";
}

/// Whether p lies in the program as it was loaded: constants and tables.
bool is_constant_data(const volatile void* p) {
  const auto lies_in = [](dl_phdr_info* module, std::size_t, void* address) {
    for (int i = 0; i < module->dlpi_phnum; ++i) {
      const auto& segment = module->dlpi_phdr[i];
      const Address begin = module->dlpi_addr + segment.p_vaddr;
      if (segment.p_type == PT_LOAD && address_of(address) - begin < segment.p_memsz) return 1;
    }
    return 0;
  };
  return dl_iterate_phdr(lies_in, const_cast<void*>(p)) != 0;
}

bool same_place(const Site& a, const Site& b) {
  return a.line() == b.line() && (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

std::string text(uint3 v) { return fmt::format("({}, {}, {})", v.x, v.y, v.z); }

}  // namespace

constinit thread_local Multiprocessor* Multiprocessor::running_ = nullptr;

void run(Grid& grid) {
  const std::uint64_t blocks = std::uint64_t{grid.grid.x} * grid.grid.y * grid.grid.z;
  // With a seed, block i is the one at offset + i * step, which reaches all of them as step and blocks are coprime.
  std::mt19937_64 random(grid.seed);
  std::uint64_t step = 1, offset = 0;
  if (grid.seed != 0) {
    offset = random() % blocks;
    do step = 1 + random() % blocks;
    while (std::gcd(step, blocks) != 1);
  }
  std::atomic<std::uint64_t> next = 0;
  const std::uint64_t threads = std::min<std::uint64_t>(blocks, static_cast<std::uint64_t>(num_threads()));
  kernels::parallel_for(static_cast<std::int64_t>(threads), 1, [&](std::int64_t, std::int64_t) {
    static thread_local Multiprocessor multiprocessor;
    for (std::uint64_t i = next++; i < blocks && !grid.failed; i = next++)
      multiprocessor.run_block(grid, position((offset + i * step) % blocks, grid.grid));
  });
}

Multiprocessor::Multiprocessor() : thread_index_(emulator::thread_index()) {
  const auto map = [](std::size_t bytes) {
    void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::runtime_error("emulator: the host has no memory for the stacks of a block");
    return static_cast<std::byte*>(p);
  };
  stacks_ = map(max_block_threads * (stack_bytes + guard_bytes));
  shared_area_ = map(shared_area_bytes);
  dynamic_shared_ = shared_area_ + shared_guard_bytes;
  if constexpr (checked) shared_check_ = std::make_unique<SharedMemoryCheck>(shared_area_, shared_area_bytes);
}

Multiprocessor::~Multiprocessor() {
  munmap(stacks_, max_block_threads * (stack_bytes + guard_bytes));
  munmap(shared_area_, shared_area_bytes);
}

Multiprocessor::Fiber* Multiprocessor::make_fiber() {
  std::byte* guard = stacks_ + fibers_.size() * (stack_bytes + guard_bytes);
  mprotect(guard, guard_bytes, PROT_NONE);
  fibers_.push_back(std::make_unique<Fiber>(Fiber{this, guard + guard_bytes, nullptr}));
  reset(*fibers_.back());
  return fibers_.back().get();
}

/// Stacks begin at different places of their pages: the caches hold few lines of the same place.
void Multiprocessor::reset(Fiber& fiber) {
  const auto number = static_cast<std::size_t>(fiber.stack - stacks_) / (stack_bytes + guard_bytes);
  const std::size_t used = stack_bytes - number * 5 * 64 % 4096;
  fiber.context = context::make_fcontext(fiber.stack + used, used, &fiber_main);
}

/// Goes on in another fiber, until one goes on in this.
void Multiprocessor::switch_to(Fiber& fiber) {
  Fiber* const self = std::exchange(fiber_, &fiber);
  arrive(context::jump_fcontext(fiber.context, self));
}

/// What is to be done first in a fiber that another has switched to: note where that one is to go on.
void Multiprocessor::arrive(context::transfer_t from) { static_cast<Fiber*>(from.data)->context = from.fctx; }

/// Goes on with the thread that is next: in its fiber if it has one, else in one that is idle; or with the host
/// thread's own code when no thread can go on.
void Multiprocessor::switch_to_next() {
  if (grid_->failed || ready_count_ == 0) return switch_to(host_);
  Fiber* fiber = threads_[take_next()].fiber;
  if (fiber == nullptr && idle_.empty()) idle_.push_back(make_fiber());
  if (fiber == nullptr) {
    fiber = idle_.back();
    idle_.pop_back();
  }
  if (fiber != fiber_) switch_to(*fiber);
}

void Multiprocessor::fiber_main(context::transfer_t from) {
  Multiprocessor& self = *static_cast<Fiber*>(from.data)->owner;
  self.arrive(from);
  for (;;) {
    self.run_thread();
    self.idle_.push_back(self.fiber_);
    self.switch_to_next();
  }
}

/// The thread that runs waits; others go on until it is made ready.
void Multiprocessor::suspend() {
  const unsigned self = current_;
  threads_[self].fiber = fiber_;
  switch_to_next();
  thread_index_ = threads_[self].index;
  waited_ = threads_[self].waited;
}

void Multiprocessor::make_ready(unsigned thread) {
  threads_[thread].state = State::ready;
  std::size_t end = ready_head_ + ready_count_++;
  if (end >= ready_.size()) end -= ready_.size();
  ready_[end] = thread;
}

/// For lanes whose warp can go on: what a warp works with is still in the caches.
void Multiprocessor::make_ready_first(unsigned thread) {
  threads_[thread].state = State::ready;
  ready_head_ = (ready_head_ == 0 ? ready_.size() : ready_head_) - 1;
  ready_[ready_head_] = thread;
  ++ready_count_;
}

/// Makes the thread that is next the current one.
unsigned Multiprocessor::take_next() {
  if (grid_->seed != 0) {
    const std::size_t chosen = (ready_head_ + random_() % ready_count_) % ready_.size();
    std::swap(ready_[ready_head_], ready_[chosen]);
  }
  current_ = ready_[ready_head_];
  if (++ready_head_ == ready_.size()) ready_head_ = 0;
  --ready_count_;
  return current_;
}

void Multiprocessor::run_thread() {
  thread_index_ = threads_[current_].index;
  waited_ = threads_[current_].waited;
  running_ = this;
  grid_->kernel.invoke(grid_->kernel.function, grid_->kernel.arguments.get());
  running_ = nullptr;
  if (!waited_) fault("returns without having waited for the kernels before this one", "at its end");
  thread_returned();
}

void Multiprocessor::run_block(Grid& grid, uint3 block) {
  grid_ = &grid;
  block_ = block;
  set_block(block, grid.block, grid.grid);
  const unsigned count = grid.block.x * grid.block.y * grid.block.z;
  random_.seed(static_cast<std::minstd_rand::result_type>(
      grid.seed + 977 * (block.x + std::uint64_t{grid.grid.x} * (block.y + std::uint64_t{grid.grid.y} * block.z))));
  std::memset(dynamic_shared_, 0xFF, grid.shared_bytes);

  threads_.assign(count, Thread{});
  ready_.resize(count);
  ready_head_ = 0;
  ready_count_ = count;
  uint3 index = {};
  for (unsigned i = 0; i < count; ++i) {
    threads_[i].index = index;
    threads_[i].waited = !grid.early;
    ready_[i] = i;
    if (++index.x < grid.block.x) continue;
    index.x = 0;
    if (++index.y < grid.block.y) continue;
    index.y = 0;
    ++index.z;
  }
  warps_.assign((count + 31) / 32, Warp{0xffffffff, 0});
  if (count % 32 != 0) warps_.back().alive = (1u << count % 32) - 1;
  copies_.resize(count);
  for (Copies& copies : copies_) {
    copies.pending.clear();
    copies.committed = 0;
  }
  returned_ = at_barrier_ = 0;
  if constexpr (checked) shared_check_->begin_block(count);
  if (grid.profiling) traces_.begin_block(count);

  switch_to_next();
  if (!grid.failed && returned_ != count) report_stuck();
  count_accesses();
  if (!grid.failed) return;
  idle_.clear();
  for (auto& fiber : fibers_) {
    reset(*fiber);
    idle_.push_back(fiber.get());
  }
}

void Multiprocessor::thread_returned() {
  threads_[current_].state = State::returned;
  ++returned_;
  Warp& warp = warps_[current_ / 32];
  warp.alive &= ~(1u << lane());
  // Others of its warp may have waited for it.
  for (unsigned waiting = warp.waiting; waiting != 0 && !grid_->failed; waiting &= warp.waiting & (waiting - 1)) {
    const unsigned thread = current_ / 32 * 32 + static_cast<unsigned>(std::countr_zero(waiting));
    if (complete_warp_operation(thread)) make_ready_first(thread);
  }
}

int Multiprocessor::block_barrier(const char* name, bool predicate, const Site& site) {
  const InEmulator guard(running_);
  Thread& self = threads_[current_];
  self.state = State::at_block_barrier;
  self.name = name;
  self.site = site;
  self.value = predicate;
  if (++at_barrier_ == threads_.size())
    release_block_barrier();
  else
    suspend();
  return static_cast<int>(self.value);
}

/// Called by the last thread to arrive, which goes on without waiting.
void Multiprocessor::release_block_barrier() {
  const Thread& last = threads_[current_];
  int count = 0;
  for (unsigned i = 0; i < threads_.size(); ++i) {
    const Thread& other = threads_[i];
    if (!same_place(other.site, last.site))
      fault(fmt::format("{} waits for thread {}, which {}", last.name, text(other.index), whereabouts(i)),
            source_line(last.site));
    count += other.value != 0;
  }
  at_barrier_ = 0;
  if constexpr (checked) shared_check_->block_barrier();
  count_accesses();
  for (unsigned i = 0; i < threads_.size(); ++i) {
    threads_[i].value = static_cast<std::uint64_t>(count);
    if (i != current_) make_ready(i);
  }
}

unsigned Multiprocessor::warp_ballot(const char* name, unsigned mask, bool predicate, const Site& site) {
  const InEmulator guard(running_);
  return static_cast<unsigned>(warp_operation(Operation::ballot, name, mask, predicate, 0, site));
}

std::uint64_t Multiprocessor::warp_exchange(const char* name, unsigned mask, std::uint64_t value, int source,
                                            const Site& site) {
  const InEmulator guard(running_);
  return warp_operation(Operation::exchange, name, mask, value, source, site);
}

void Multiprocessor::warp_barrier(unsigned mask, const Site& site) {
  const InEmulator guard(running_);
  warp_operation(Operation::barrier, "__syncwarp", mask, 0, 0, site);
}

void Multiprocessor::multiply_add(MatrixFragments& lane, const Site& site) {
  const InEmulator guard(running_);
  warp_operation(Operation::multiply, "mma.sync", 0xffffffff, address_of(&lane), 0, site);
}

void Multiprocessor::load_matrices(MatrixRow& lane, const Site& site, const void* call) {
  const InEmulator guard(running_);
  if (const Address misplaced = address_of(lane.row) % 16; misplaced != 0)
    fault(fmt::format("ldmatrix of a row {} bytes past a multiple of 16", misplaced), source_line(site));
  if constexpr (checked) {
    if (!shared_check_->contains(lane.row))
      fault(fmt::format("ldmatrix reads {}, which is not shared memory", lane.row), source_line(site));
    access_shared(lane.row, 16, AccessKind::read, call);
  }
  warp_operation(Operation::load, "ldmatrix", 0xffffffff, address_of(&lane), 0, site);
}

void Multiprocessor::copy_to_shared(void* to, const void* from, std::size_t bytes, std::size_t taken, const Site& site,
                                    const void* call) {
  const InEmulator guard(running_);
  const Address misplaced = (address_of(to) | (taken > 0 ? address_of(from) : 0)) % bytes;
  if (misplaced != 0)
    fault(fmt::format("cp.async of {} bytes, {} bytes past a multiple of that", bytes, misplaced), source_line(site));
  Copies& own = copies_[current_];
  own.pending.push_back({static_cast<std::byte*>(to), bytes, own.committed, {}, site});
  if constexpr (checked) {
    if (taken > 0) access(from, taken, AccessKind::read, call);
    if (!shared_check_->contains(to))
      fault(fmt::format("cp.async writes to {}, which is not shared memory", to), source_line(site));
    access_shared(to, bytes, AccessKind::write, call);
    shared_check_->begin_copy(to, bytes);
  }
  std::memcpy(own.pending.back().data.data(), from, taken);
  std::memset(to, 0xFF, bytes);
}

void Multiprocessor::commit_copies() { ++copies_[current_].committed; }

void Multiprocessor::wait_for_copies(std::size_t but_latest, const void* call) {
  const InEmulator guard(running_);
  Copies& own = copies_[current_];
  auto copy = own.pending.begin();
  for (; copy != own.pending.end() && copy->group + but_latest < own.committed; ++copy) {
    std::memcpy(copy->to, copy->data.data(), copy->bytes);
    if constexpr (checked) shared_check_->end_copy(copy->to, copy->bytes, current_, call);
  }
  own.pending.erase(own.pending.begin(), copy);
}

std::uint64_t Multiprocessor::warp_operation(Operation operation, const char* name, unsigned mask, std::uint64_t value,
                                             int source, const Site& site) {
  if ((mask >> lane() & 1) == 0)
    fault(fmt::format("{} has a mask 0x{:08x} without the calling lane {}", name, mask, lane()), source_line(site));
  Thread& self = threads_[current_];
  self.state = State::at_warp_operation;
  self.name = name;
  self.site = site;
  self.operation = operation;
  self.mask = mask;
  self.source = source;
  self.value = value;
  warps_[current_ / 32].waiting |= 1u << lane();
  if (!complete_warp_operation(current_)) suspend();
  return self.value;
}

/// If all lanes that this waiting thread waits for are there, gives each its result and makes all ready but this
/// thread.
bool Multiprocessor::complete_warp_operation(unsigned thread) {
  Warp& warp = warps_[thread / 32];
  Thread* const lanes = &threads_[thread / 32 * 32];
  const Thread& first = threads_[thread];
  const unsigned taking_part = first.mask & warp.alive;
  if ((taking_part & ~warp.waiting) != 0) return false;
  const auto for_each_lane = [taking_part](auto&& act) {
    for (unsigned rest = taking_part; rest != 0; rest &= rest - 1) act(static_cast<unsigned>(std::countr_zero(rest)));
  };

  bool same_mask = true, same_call = true;
  for_each_lane([&](unsigned i) {
    same_mask &= lanes[i].mask == first.mask;
    same_call &= lanes[i].operation == first.operation && lanes[i].site.line() == first.site.line();
  });
  if (!same_mask || !same_call) return false;

  if (first.operation == Operation::multiply || first.operation == Operation::load) {
    if (taking_part != 0xffffffff) {
      const int missing = std::countr_one(taking_part);
      record_fault(thread,
                   fmt::format("{} is without lane {}, which has returned or does not exist", first.name, missing),
                   source_line(first.site));
      return false;
    }
    const auto brought = [&]<class Part>(std::array<Part*, 32> parts) {
      for (std::size_t i = 0; i < 32; ++i) parts[i] = reinterpret_cast<Part*>(lanes[i].value);
      return parts;
    };
    if (first.operation == Operation::multiply) {
      emulator::multiply_add(brought(std::array<MatrixFragments*, 32>()));
    } else {
      emulator::load_matrices(brought(std::array<MatrixRow*, 32>()));
    }
  }
  std::array<std::uint64_t, 32> results = {};
  std::uint64_t ballot = 0;
  for_each_lane([&](unsigned i) { ballot |= std::uint64_t{lanes[i].value != 0} << i; });
  for_each_lane([&](unsigned i) {
    results[i] = ballot;
    if (first.operation != Operation::exchange) return;
    const auto source = static_cast<unsigned>(lanes[i].source);
    if ((taking_part >> source & 1) == 0) {
      const char* why = (first.mask >> source & 1) == 0 ? "is not in the mask" : "has returned or does not exist";
      record_fault(thread / 32 * 32 + i, fmt::format("{} reads from lane {}, which {}", first.name, source, why),
                   source_line(lanes[i].site));
      return;
    }
    results[i] = lanes[source].value;
  });
  if (grid_->failed) return false;
  if (checked && first.operation == Operation::barrier) shared_check_->warp_barrier(thread / 32, taking_part);
  warp.waiting &= ~taking_part;
  for_each_lane([&](unsigned i) { lanes[i].value = results[i]; });
  for (unsigned i = 32; i-- > 0;)
    if ((taking_part >> i & 1) != 0 && thread / 32 * 32 + i != thread) make_ready_first(thread / 32 * 32 + i);
  return true;
}

unsigned Multiprocessor::active_lanes() const { return warps_[current_ / 32].alive; }

void Multiprocessor::fault(const std::string& what, const std::string& where) {
  running_ = nullptr;
  record_fault(current_, what, where);
  switch_to(host_);
  std::abort();  // not reached: nothing resumes the fibers of a grid that failed
}

void Multiprocessor::record_fault(unsigned thread, const std::string& what, const std::string& where) {
  const std::scoped_lock lock(grid_->mutex);
  if (grid_->failed) return;
  grid_->fault =
      fmt::format("kernel {}, block {}, thread {}, {}: {}", kernels::cuda::kernel_name(grid_->kernel.function),
                  text(block_), text(threads_[thread].index), where, what);
  grid_->failed = true;
}

/// "has returned" or "waits in __syncthreads at softmax.cu:41"
std::string Multiprocessor::whereabouts(unsigned thread) const {
  const Thread& t = threads_[thread];
  if (t.state == State::returned) return "has returned";
  const std::string mask = t.state == State::at_warp_operation ? fmt::format(" with mask 0x{:08x}", t.mask) : "";
  return fmt::format("waits in {}{} at {}", t.name, mask, source_line(t.site));
}

/// No thread can go on and some have not returned: names one that waits, and one that it waits for in vain.
void Multiprocessor::report_stuck() {
  for (unsigned i = 0; i < threads_.size(); ++i) {
    const Thread& waiting = threads_[i];
    if (waiting.state == State::returned) continue;
    const bool in_warp = waiting.state == State::at_warp_operation;
    for (unsigned j = in_warp ? i / 32 * 32 : 0;
         j < (in_warp ? std::min<std::size_t>(i / 32 * 32 + 32, threads_.size()) : threads_.size()); ++j) {
      const Thread& other = threads_[j];
      const bool awaited = in_warp ? (waiting.mask >> j % 32 & 1) != 0 && other.state != State::returned : true;
      const bool there = other.state == waiting.state && other.site.line() == waiting.site.line() &&
                         (!in_warp || (other.mask == waiting.mask && other.operation == waiting.operation));
      if (!awaited || there) continue;
      record_fault(i, fmt::format("{} waits for thread {}, which {}", waiting.name, text(other.index), whereabouts(j)),
                   source_line(waiting.site));
      return;
    }
  }
}

void Multiprocessor::count_accesses() {
  if (!grid_->profiling) return;
  MemoryCounts counts;
  traces_.count(counts);
  const std::scoped_lock lock(grid_->mutex);
  grid_->counts += counts;
}

void Multiprocessor::note_access(const volatile void* p, std::size_t bytes, bool is_shared, const void* call) {
  traces_.note(current_, p, bytes, is_shared, call);
}

void Multiprocessor::early_access(AccessKind kind, const void* call) {
  running_ = nullptr;
  fault(fmt::format("{} memory before it has waited for the kernels before this one", verb(kind)), source_line(call));
}

void Multiprocessor::global_fault(const volatile void* p, std::size_t bytes, AccessKind kind, const void* call) {
  running_ = nullptr;
  const void* device = memory_.device_address(const_cast<const void*>(p));
  const char* unset = memory_.is_allocated(device, bytes) ? ", which nothing has written" : "";
  fault(fmt::format("{} {} bytes at {}{}", verb(kind), bytes, memory_.describe(device, bytes), unset),
        source_line(call));
}

void Multiprocessor::access_shared(const volatile void* p, std::size_t bytes, AccessKind kind, const void* call) {
  const Address offset = address_of(p) - address_of(dynamic_shared_);
  const bool dynamic = address_of(p) - address_of(shared_area_) < shared_area_bytes;
  if (dynamic && (offset >= grid_->shared_bytes || bytes > grid_->shared_bytes - offset)) {
    running_ = nullptr;
    fault(fmt::format("{} {} bytes at byte {} of {} bytes of dynamic shared memory", verb(kind), bytes,
                      static_cast<std::intptr_t>(offset), grid_->shared_bytes),
          source_line(call));
  }
  if (grid_->profiling) note_access(p, bytes, true, call);
  const auto found = shared_check_->access(p, bytes, current_, kind, call);
  if (!found) return;
  running_ = nullptr;
  if (found->fault == SharedMemoryCheck::Fault::on_its_way) {
    const auto& copies = copies_[found->other_thread].pending;
    const auto copy = std::ranges::find_if(copies, [p, bytes](const Copy& c) {
      return address_of(p) < address_of(c.to) + c.bytes && address_of(c.to) < address_of(p) + bytes;
    });
    fault(fmt::format("{} {} bytes of shared memory that thread {} copies to by cp.async at {} and has not waited for yet",
                      verb(kind), bytes, text(threads_[found->other_thread].index), source_line(copy->site)),
          source_line(call));
  }
  if (found->fault == SharedMemoryCheck::Fault::race)
    fault(fmt::format("{} {} bytes of shared memory that thread {} {} at {}, and no barrier orders the two", verb(kind),
                      bytes, text(threads_[found->other_thread].index), found->other_verb,
                      source_line(found->other_call)),
          source_line(call));
  fault(fmt::format("{} {} bytes of shared memory that no thread of the block has written yet", verb(kind), bytes),
        source_line(call));
}

void Multiprocessor::access_elsewhere(const volatile void* p, std::size_t bytes, AccessKind kind, const void* call) {
  if (address_of(p) - address_of(fiber_->stack) < stack_bytes) return;  // the thread's own variables
  if (address_of(p) - address_of(grid_->kernel.arguments.get()) < grid_->kernel.argument_bytes) return;
  if (shared_check_->contains(p)) return access_shared(p, bytes, kind, call);
  if (memory_.contains(p)) {
    memory_.open();
    return access(memory_.mapped(p), bytes, kind, call);
  }
  running_ = nullptr;
  const bool allowed = is_constant_data(p) || Runtime::get().find_pinned(p) != nullptr;
  if (!allowed)
    fault(fmt::format("{} {} bytes at address {}, which is not device memory", verb(kind), bytes,
                      const_cast<const void*>(p)),
          source_line(call));
  running_ = this;
}

// The functions of device.hpp, which kernel code calls.

int block_barrier(const char* name, bool predicate, const Site& site) {
  return Multiprocessor::running()->block_barrier(name, predicate, site);
}
unsigned warp_ballot(const char* name, unsigned mask, bool predicate, const Site& site) {
  return Multiprocessor::running()->warp_ballot(name, mask, predicate, site);
}
std::uint64_t warp_exchange(const char* name, unsigned mask, std::uint64_t value, int source, const Site& site) {
  return Multiprocessor::running()->warp_exchange(name, mask, value, source, site);
}
void warp_barrier(unsigned mask, const Site& site) { Multiprocessor::running()->warp_barrier(mask, site); }
void multiply_add(MatrixFragments& lane, const Site& site) { Multiprocessor::running()->multiply_add(lane, site); }
void load_matrices(MatrixRow& lane, const Site& site) {
  Multiprocessor::running()->load_matrices(lane, site, __builtin_return_address(0));
}
void copy_to_shared(void* to, const void* from, std::size_t bytes, std::size_t taken, const Site& site) {
  Multiprocessor::running()->copy_to_shared(to, from, bytes, taken, site, __builtin_return_address(0));
}
void commit_copies() { Multiprocessor::running()->commit_copies(); }
void wait_for_copies(std::size_t but_latest) {
  Multiprocessor::running()->wait_for_copies(but_latest, __builtin_return_address(0));
}
unsigned active_lanes() { return Multiprocessor::running()->active_lanes(); }
int lane() { return Multiprocessor::running()->lane(); }
void wait_for_grids() { Multiprocessor::running()->wait_for_grids(); }
int block_threads() { return Multiprocessor::running()->block_threads(); }
void* dynamic_shared_memory() { return Multiprocessor::running()->dynamic_shared_memory(); }
void note_atomic(void* p, std::size_t bytes, const void* call) {
  if (checked) Multiprocessor::running()->access(p, bytes, AccessKind::atomic, call);
}
void trap(const Site& site) { Multiprocessor::stop_running()->fault("__trap", source_line(site)); }

}  // namespace tern::emulator
