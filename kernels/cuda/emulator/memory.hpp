#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

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
/// float and double. Callers hold the runtime's lock.
///
/// In the checked build a byte of state stands beside every byte; allocations keep a distance from each other, and
/// freed ones are not used again for a while. The memory is mapped twice: at the device addresses, which programs are
/// given and where the host has no access, and at addresses for the emulator and for kernels, whose arguments are moved
/// there. One that a kernel has from elsewhere, a struct or memory, opens the device addresses until the launch ends.
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
  /// Where the emulator and kernels find what is at device address p.
  template <class T>
  T* mapped(T* p) const {
    return reinterpret_cast<T*>(address_of(p) + shift_);
  }
  /// The other way round; any other address stays.
  template <class T>
  T* device_address(T* p) const {
    return address_of(p) - mapped_begin() < span_ ? reinterpret_cast<T*>(address_of(p) - shift_) : p;
  }
  Address mapped_begin() const { return begin_ + shift_; }
  std::size_t span() const { return span_; }
  /// Whether these bytes lie in one live allocation.
  bool is_allocated(const void* p, std::size_t bytes) const;
  /// Whether the checked build has seen a write to all of these bytes; always true in the plain one.
  bool is_initialised(const void* p, std::size_t bytes) const;
  void mark(const void* p, std::size_t bytes, ByteState state);
  /// After bytes have been copied between device addresses: their states follow.
  void mark_copied(const void* to, const void* from, std::size_t bytes);
  std::uint8_t* states(const volatile void* p) const { return states_ + (address_of(p) - begin_); }

  /// Lets kernels use device addresses as they are, until `close`.
  void open();
  void close();

  /// "4 bytes past the end of an allocation of 400 bytes": where an access of `bytes` at p lies.
  std::string describe(const volatile void* p, std::size_t bytes) const;

 private:
  struct Allocation {
    std::size_t bytes = 0;
    bool live = true;
  };

  DeviceMemory();
  static std::size_t footprint(std::size_t bytes);
  void reuse(std::map<Address, Allocation>::iterator freed);
  void add_gap(Address begin, std::size_t length);
  void remove_gap(Address begin, std::size_t length);
  bool reuse_oldest();
  void protect(int protection);

  std::size_t capacity_ = 0, used_ = 0, span_ = 0;
  Address begin_ = 0, shift_ = 0;
  std::uint8_t* states_ = nullptr;
  std::atomic<bool> open_ = false;
  std::mutex opening_;
  std::map<Address, Allocation> allocations_;  ///< the live, and in the checked build also the freed
  std::map<Address, std::size_t> gaps_;        ///< free ranges: begin and length
  std::set<std::pair<std::size_t, Address>> gaps_by_length_;
  std::deque<Address> freed_;  ///< not used again yet; the oldest first
  std::size_t freed_bytes_ = 0;
};

}  // namespace tern::emulator
