#include "allocations.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace tern::test {
namespace {

std::atomic<bool> on{false}, from_then_on{false};
std::atomic<long> counted{0}, fault_at{-1};

/// Counts an allocation; whether the fault befalls it.
bool befallen() {
  if (!on) return false;
  const long at = counted++, fault = fault_at;
  return fault >= 0 && (at == fault || (from_then_on && at > fault));
}

void* allocated(std::size_t size, std::size_t alignment = alignof(std::max_align_t)) noexcept {
  if (befallen()) return nullptr;
  if (alignment <= alignof(std::max_align_t)) return std::malloc(std::max<std::size_t>(size, 1));
  return std::aligned_alloc(alignment, (std::max<std::size_t>(size, 1) + alignment - 1) / alignment * alignment);
}

void* allocated_or_throw(std::size_t size, std::size_t alignment = alignof(std::max_align_t)) {
  if (void* p = allocated(size, alignment)) return p;
  throw std::bad_alloc();
}

}  // namespace

Allocations::Allocations(const AllocationFault& fault) {
  counted = 0;
  fault_at = fault.at;
  from_then_on = fault.from_then_on;
  on = true;
}

Allocations::~Allocations() { on = false; }

long Allocations::count() const { return counted; }

}  // namespace tern::test

using tern::test::allocated;
using tern::test::allocated_or_throw;

void* operator new(std::size_t size) { return allocated_or_throw(size); }
void* operator new[](std::size_t size) { return allocated_or_throw(size); }
void* operator new(std::size_t size, std::align_val_t a) { return allocated_or_throw(size, static_cast<std::size_t>(a)); }
void* operator new[](std::size_t size, std::align_val_t a) {
  return allocated_or_throw(size, static_cast<std::size_t>(a));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocated(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocated(size); }
void* operator new(std::size_t size, std::align_val_t a, const std::nothrow_t&) noexcept {
  return allocated(size, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t size, std::align_val_t a, const std::nothrow_t&) noexcept {
  return allocated(size, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
