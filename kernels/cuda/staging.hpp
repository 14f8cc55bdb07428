#pragma once

#include <tern/kernels/cuda/error.hpp>

#include <array>
#include <cstddef>
#include <mutex>

namespace tern::kernels::cuda {

/// Page-locked memory on the way from the host to one device. The host copies into it and goes on; the device fetches
/// from it when its stream gets there.
class Staging {
 public:
  /// Queues the copy on the current stream. `host` may be reused at once. Any thread may call.
  void upload(std::size_t bytes, const void* host, void* device);

 private:
  static constexpr std::size_t slot_bytes = std::size_t{1} << 20;

  struct Slot {
    void* memory = nullptr;
    cudaEvent_t fetched = nullptr;  ///< the device has taken what was last put here
  };

  std::mutex mutex_;
  std::array<Slot, 8> slots_;
  std::size_t next_ = 0;
};

}  // namespace tern::kernels::cuda
