#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace tern::kernels {

struct MemoryStats {
  std::size_t bytes_in_use = 0;          ///< of blocks handed out, rounded up to their size class
  std::size_t bytes_peak = 0;            ///< the most that bytes_in_use has been
  std::size_t bytes_held = 0;            ///< from the system: in use or waiting to be
  std::uint64_t system_allocations = 0;  ///< how often the system was asked
};

/// Memory that comes back is kept for the next request of its size class (eight classes to each doubling), so that a
/// training step asks the system for nothing once the first one is over. Blocks are aligned to 64 bytes; those of 2 MiB
/// and more to 2 MiB, and they lie on huge pages where the system has some for who asks. Thread-safe.
class CachingAllocator {
 public:
  CachingAllocator() = default;
  CachingAllocator(const CachingAllocator&) = delete;
  CachingAllocator& operator=(const CachingAllocator&) = delete;
  ~CachingAllocator();

  /// Uninitialised memory. Throws tern::Error when the system has none, even after trim().
  void* allocate(std::size_t bytes);
  /// p may be null. bytes is what was asked for.
  void release(void* p, std::size_t bytes) noexcept;

  /// Gives every block that is not in use back to the system.
  void trim() noexcept;

  MemoryStats stats() const;
  /// bytes_peak starts again from bytes_in_use.
  void reset_peak();

 private:
  struct SizeClass {
    std::vector<void*> idle;      ///< its capacity covers every block of the class: release() never allocates
    std::size_t blocks = 0;       ///< from the system, idle or in use
    std::size_t block_bytes = 0;  ///< known once there is one
  };

  void free_idle() noexcept;

  static constexpr int classes = 64 * 8;

  mutable std::mutex mutex_;
  SizeClass class_[classes];
  MemoryStats stats_;
};

/// The one that cpu_backend() allocates from.
CachingAllocator& cpu_memory();

/// A kernel's working memory: n uninitialised elements of T, given back at the end of the scope.
template <class T>
class Scratch {
 public:
  explicit Scratch(std::int64_t n)
      : bytes_(static_cast<std::size_t>(n) * sizeof(T)), data_(static_cast<T*>(cpu_memory().allocate(bytes_))) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { cpu_memory().release(data_, bytes_); }

  T* data() const { return data_; }
  T& operator[](std::int64_t i) const { return data_[i]; }

 private:
  std::size_t bytes_;
  T* data_;
};

}  // namespace tern::kernels
