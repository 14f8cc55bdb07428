#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace tern::emulator {

#ifdef TERN_CUDA_CHECKED
inline constexpr bool checked = true;
#else
inline constexpr bool checked = false;
#endif

using Address = std::uintptr_t;
inline Address address_of(const volatile void* p) { return reinterpret_cast<Address>(p); }

/// What the checked build knows of each byte of device memory. A byte may be written if bit 1 is set.
enum class ByteState : std::uint8_t { outside = 0, freed = 1, uninitialised = 2, initialised = 3 };

/// The device's memory: one range of addresses, taken from the host once. New memory holds 0xFF bytes, which is NaN for
/// float and double. In the checked build a byte of state stands beside every byte; allocations keep a distance
/// from each other, freed ones are not used again for as long as there is room; and the host has no access
/// except while an `Access` lives. Callers hold the runtime's lock.
class DeviceMemory {
 public:
  static DeviceMemory& get();

  std::size_t capacity() const { return capacity_; }
  std::size_t used() const { return used_; }

  /// Null when there is no room.
  void* allocate(std::size_t bytes);
  /// False for what is not the start of a live allocation.
  bool release(void* p);

  bool contains(const volatile void* p) const { return address_of(p) - begin_ < span_; }
  /// Whether these bytes lie in one live allocation.
  bool is_allocated(const void* p, std::size_t bytes) const;
  /// Whether the checked build has seen a write to all of these bytes; always true in the plain one.
  bool is_initialised(const void* p, std::size_t bytes) const;
  void mark(const void* p, std::size_t bytes, ByteState state);
  /// After bytes have been copied between device addresses: their states follow.
  void mark_copied(const void* to, const void* from, std::size_t bytes);
  std::uint8_t* states(const volatile void* p) const { return states_ + (address_of(p) - begin_); }

  /// "4 bytes past the end of an allocation of 400 bytes": where an access of `bytes` at p lies.
  std::string describe(const volatile void* p, std::size_t bytes) const;

  /// While one lives, the host can read and write device memory.
  class Access {
   public:
    Access();
    ~Access();
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;
  };

 private:
  struct Allocation {
    std::size_t bytes = 0;
    bool live = true;
  };

  DeviceMemory();
  static std::size_t footprint(std::size_t bytes);
  void reuse(std::map<Address, Allocation>::iterator freed);
  bool reuse_oldest();
  void protect(int protection);

  std::size_t capacity_ = 0, used_ = 0, span_ = 0;
  Address begin_ = 0;
  std::uint8_t* states_ = nullptr;
  int accesses_ = 0;
  std::map<Address, Allocation> allocations_;  ///< the live, and in the checked build also the freed
  std::map<Address, std::size_t> gaps_;        ///< free ranges: begin and length
  std::map<std::uint64_t, Address> freed_;     ///< by age
  std::uint64_t frees_ = 0;
};

}  // namespace tern::emulator
