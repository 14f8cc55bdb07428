#include "memory.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <stdexcept>

namespace tern::emulator {
namespace {

constexpr std::size_t alignment = 256;
constexpr std::size_t guard_bytes = checked ? 4096 : 0;
constexpr std::size_t default_capacity = std::size_t{4} << 30;
/// What is kept of freed memory before it is used again.
constexpr std::size_t most_freed = 4096, most_freed_bytes = std::size_t{64} << 20;

std::size_t chosen_capacity() {
  const char* text = std::getenv("TERN_EMULATOR_MEMORY");
  return text ? std::strtoull(text, nullptr, 10) : default_capacity;
}

/// Addresses of memory that the host provides as it is touched: of a file from its beginning, or anonymous.
void* map(std::size_t bytes, int protection, int file = -1) {
  const int kind = file == -1 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void* p = mmap(nullptr, bytes, protection, kind | MAP_NORESERVE, file, 0);
  if (p == MAP_FAILED) throw std::runtime_error(fmt::format("emulator: the host has no {} bytes of addresses", bytes));
  madvise(p, bytes, MADV_HUGEPAGE);  // fewer faults, where the host can
  return p;
}

struct sigaction handler_before;

/// The host has touched device memory: says so, and ends the program. Any other fault goes to the handler before.
void on_fault(int, siginfo_t* fault, void*) {
  const DeviceMemory& memory = DeviceMemory::get();
  if (!memory.contains(fault->si_addr)) {
    sigaction(SIGSEGV, &handler_before, nullptr);
    return;  // the access is made again, and faults again
  }
  std::fputs(fmt::format("tern: host code accesses {} in device memory; copy it to the host to read it there\n",
                         memory.describe(fault->si_addr, 1))
                 .c_str(),
             stderr);
  std::abort();
}

/// At every allocation, since test frameworks put handlers of their own in its place.
void name_faults_of_the_host() {
  struct sigaction ours = {}, now = {};
  sigaction(SIGSEGV, nullptr, &now);
  if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == &on_fault) return;
  handler_before = now;
  ours.sa_sigaction = &on_fault;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &ours, nullptr);
}

}  // namespace

DeviceMemory& DeviceMemory::get() {
  static DeviceMemory* memory = new DeviceMemory;  // outlives whatever is released at exit
  return *memory;
}

DeviceMemory::DeviceMemory() : capacity_(chosen_capacity()) {
  span_ = footprint(2 * capacity_);  // room for guards, freed allocations and fragmentation
  constexpr int all = PROT_READ | PROT_WRITE;
  if constexpr (checked) {
    const int file = memfd_create("tern device memory", 0);
    if (file == -1 || ftruncate(file, static_cast<off_t>(span_)) != 0)
      throw std::runtime_error(fmt::format("emulator: no device memory: {}", std::strerror(errno)));
    begin_ = address_of(map(span_, PROT_NONE, file));
    shift_ = address_of(map(span_, all, file)) - begin_;
    ::close(file);
    states_ = static_cast<std::uint8_t*>(map(span_, all));
  } else {
    begin_ = address_of(map(span_, all));
  }
  add_gap(begin_, span_);
}

std::size_t DeviceMemory::footprint(std::size_t bytes) {
  return (bytes + alignment - 1) / alignment * alignment + guard_bytes;
}

void* DeviceMemory::allocate(std::size_t bytes) {
  if (bytes > capacity_ - used_) return nullptr;
  const std::size_t needed = footprint(bytes);
  const auto find = [&] { return gaps_by_length_.lower_bound({needed, 0}); };
  auto gap = find();
  while (gap == gaps_by_length_.end() && reuse_oldest()) gap = find();
  if (gap == gaps_by_length_.end()) return nullptr;

  const auto [length, begin] = *gap;
  remove_gap(begin, length);
  if (length > needed) add_gap(begin + needed, length - needed);
  allocations_[begin] = {bytes, true};
  used_ += bytes;
  void* p = reinterpret_cast<void*>(begin);
  if constexpr (checked) name_faults_of_the_host();
  std::memset(mapped(p), 0xFF, bytes);
  mark(p, bytes, ByteState::uninitialised);
  return p;
}

bool DeviceMemory::release(void* p) {
  const auto found = allocations_.find(address_of(p));
  if (found == allocations_.end() || !found->second.live) return false;
  used_ -= found->second.bytes;
  found->second.live = false;
  if constexpr (!checked) {
    reuse(found);
    return true;
  }
  mark(p, found->second.bytes, ByteState::freed);
  freed_.push_back(found->first);
  freed_bytes_ += found->second.bytes;
  while (freed_.size() > most_freed || (freed_bytes_ > most_freed_bytes && freed_.size() > 1)) reuse_oldest();
  return true;
}

bool DeviceMemory::reuse_oldest() {
  if (freed_.empty()) return false;
  const auto oldest = allocations_.find(freed_.front());
  freed_.pop_front();
  freed_bytes_ -= oldest->second.bytes;
  reuse(oldest);
  return true;
}

void DeviceMemory::reuse(std::map<Address, Allocation>::iterator freed) {
  Address begin = freed->first;
  std::size_t length = footprint(freed->second.bytes);
  mark(reinterpret_cast<void*>(begin), freed->second.bytes, ByteState::outside);
  allocations_.erase(freed);
  const auto next = gaps_.lower_bound(begin);
  if (next != gaps_.begin())
    if (const auto [at, before] = *std::prev(next); at + before == begin) {
      remove_gap(at, before);
      begin = at;
      length += before;
    }
  if (next != gaps_.end() && begin + length == next->first) {
    const std::size_t after = next->second;
    remove_gap(next->first, after);
    length += after;
  }
  add_gap(begin, length);
}

void DeviceMemory::add_gap(Address begin, std::size_t length) {
  gaps_[begin] = length;
  gaps_by_length_.emplace(length, begin);
}

void DeviceMemory::remove_gap(Address begin, std::size_t length) {
  gaps_.erase(begin);
  gaps_by_length_.erase({length, begin});
}

bool DeviceMemory::is_allocated(const void* p, std::size_t bytes) const {
  auto after = allocations_.upper_bound(address_of(p));
  if (after == allocations_.begin()) return false;
  const auto& [begin, allocation] = *std::prev(after);
  return allocation.live && address_of(p) - begin <= allocation.bytes &&
         bytes <= allocation.bytes - (address_of(p) - begin);
}

bool DeviceMemory::is_initialised(const void* p, std::size_t bytes) const {
  if constexpr (!checked) return true;
  return std::all_of(states(p), states(p) + bytes,
                     [](std::uint8_t s) { return s == static_cast<std::uint8_t>(ByteState::initialised); });
}

void DeviceMemory::mark(const void* p, std::size_t bytes, ByteState state) {
  if constexpr (checked) std::memset(states(p), static_cast<int>(state), bytes);
}

void DeviceMemory::mark_copied(const void* to, const void* from, std::size_t bytes) {
  if constexpr (checked) std::memmove(states(to), states(from), bytes);
}

std::string DeviceMemory::describe(const volatile void* p, std::size_t bytes) const {
  const Address at = address_of(p);
  auto after = allocations_.upper_bound(at);
  if (after != allocations_.begin()) {
    const auto& [begin, allocation] = *std::prev(after);
    const std::size_t offset = at - begin;
    const char* what = allocation.live ? "an allocation" : "a freed allocation";
    if (offset + bytes <= allocation.bytes)
      return fmt::format("byte {} of {} of {} bytes", offset, what, allocation.bytes);
    if (offset < allocation.bytes || after == allocations_.end() || at - (begin + allocation.bytes) < after->first - at)
      return fmt::format("byte {}, past the end of {} of {} bytes", offset, what, allocation.bytes);
  }
  if (after != allocations_.end())
    return fmt::format("{} bytes before the start of an allocation of {} bytes", after->first - at,
                       after->second.bytes);
  return "device memory that was never allocated";
}

void DeviceMemory::open() {
  const std::scoped_lock lock(opening_);
  if (!open_) protect(PROT_READ | PROT_WRITE);
  open_ = true;
}

void DeviceMemory::close() {
  if (open_) protect(PROT_NONE);
  open_ = false;
}

void DeviceMemory::protect(int protection) {
  if (mprotect(reinterpret_cast<void*>(begin_), span_, protection) == 0) return;
  std::perror("emulator: mprotect of device memory");
  std::abort();
}

}  // namespace tern::emulator
