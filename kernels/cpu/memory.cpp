#include <tern/kernels/cpu/memory.hpp>
#include <tern/kernels/error.hpp>

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <new>
#include <string>

namespace tern::kernels {

namespace {

constexpr std::size_t huge_page = std::size_t{1} << 21;

/// Blocks of a huge page or more begin with one.
std::align_val_t alignment_of(std::size_t bytes) { return std::align_val_t{bytes < huge_page ? 64 : huge_page}; }

/// On huge pages, if the system has any: a pass over a large tensor would look up hundreds of small ones.
void* system_block(std::size_t bytes) {
  void* const p = ::operator new(bytes, alignment_of(bytes), std::nothrow);
#ifdef MADV_HUGEPAGE
  if (p && bytes >= huge_page) madvise(p, bytes / huge_page * huge_page, MADV_HUGEPAGE);
#endif
  return p;
}

struct Class {
  int index;
  std::size_t bytes;  ///< of its blocks
};

/// Up to 16 lines of 64 bytes there is a class for each number of lines, and from there on eight to each doubling.
Class class_of(std::size_t bytes) {
  const std::size_t lines = (std::max<std::size_t>(bytes, 1) + 63) / 64;
  const int shift = std::max(0, static_cast<int>(std::bit_width(lines - 1)) - 4);
  const std::size_t steps = ((lines - 1) >> shift) + 1;
  return {8 * shift + static_cast<int>(steps), (steps << shift) * 64};
}

}  // namespace

CachingAllocator::~CachingAllocator() { trim(); }

void* CachingAllocator::allocate(std::size_t bytes) {
  const auto fail = [bytes] {
    throw Error("allocate: no " + std::to_string(bytes) + " bytes of host memory to be had");
  };
  if (bytes > std::size_t{1} << 48) fail();
  const Class c = class_of(bytes);
  char* p = nullptr;
  {
    const std::lock_guard lock(mutex_);
    SizeClass& size_class = class_[c.index];
    if (!size_class.idle.empty()) {
      p = static_cast<char*>(size_class.idle.back());
      size_class.idle.pop_back();
    } else {
      const auto ask = [&] { p = static_cast<char*>(system_block(c.bytes)); };
      if (size_class.idle.capacity() <= size_class.blocks) size_class.idle.reserve(2 * size_class.blocks + 8);
      ask();
      if (!p) {
        free_idle();
        ask();
      }
      if (!p) fail();
      ++size_class.blocks;
      size_class.block_bytes = c.bytes;
      ++stats_.system_allocations;
      stats_.bytes_held += c.bytes;
    }
    stats_.bytes_in_use += c.bytes;
    stats_.bytes_peak = std::max(stats_.bytes_peak, stats_.bytes_in_use);
  }
  ASAN_UNPOISON_MEMORY_REGION(p, bytes);
  ASAN_POISON_MEMORY_REGION(p + bytes, c.bytes - bytes);
  return p;
}

void CachingAllocator::release(void* p, std::size_t bytes) noexcept {
  if (!p) return;
  const Class c = class_of(bytes);
  ASAN_POISON_MEMORY_REGION(p, c.bytes);
  const std::lock_guard lock(mutex_);
  class_[c.index].idle.push_back(p);
  stats_.bytes_in_use -= c.bytes;
}

void CachingAllocator::trim() noexcept {
  const std::lock_guard lock(mutex_);
  free_idle();
}

void CachingAllocator::free_idle() noexcept {
  for (SizeClass& size_class : class_) {
    for (void* p : size_class.idle) {
      ASAN_UNPOISON_MEMORY_REGION(p, size_class.block_bytes);
      ::operator delete(p, alignment_of(size_class.block_bytes));
    }
    size_class.blocks -= size_class.idle.size();
    stats_.bytes_held -= size_class.idle.size() * size_class.block_bytes;
    size_class.idle.clear();
  }
}

MemoryStats CachingAllocator::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void CachingAllocator::reset_peak() {
  const std::lock_guard lock(mutex_);
  stats_.bytes_peak = stats_.bytes_in_use;
}

CachingAllocator& cpu_memory() {
  static CachingAllocator& memory = *new CachingAllocator;  // never destroyed: tensors may outlive main
  return memory;
}

}  // namespace tern::kernels
