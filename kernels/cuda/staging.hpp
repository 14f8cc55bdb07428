#pragma once

#include <tern/kernels/cuda/error.hpp>

#include <cstddef>
#include <deque>
#include <mutex>

namespace tern::kernels::cuda {

/// Page-locked memory on the way from the host to one device. The host copies into it and goes on; the device fetches
/// from it when its stream gets there. Grows as the host gets ahead of the device, and is kept.
class Staging {
 public:
  /// Holds `max_bytes` at most, at least one place: the host waits only when so much is on the way.
  explicit Staging(std::size_t max_bytes = std::size_t{256} << 20) : max_places_(max_bytes / place_bytes) {}
  /// Waits until all has been fetched.
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  /// Queues the copy on the current stream. `host` may be reused at once. Any thread may call. Throws CudaError where
  /// there is no page-locked memory for a single place; for want of more it waits.
  void upload(std::size_t bytes, const void* host, void* device);

 private:
  static constexpr std::size_t place_bytes = std::size_t{1} << 20;

  struct Place {
    void* memory = nullptr;
    cudaEvent_t fetched = nullptr;  ///< the device has taken what was last put here
  };

  /// A place that nothing is to be fetched from any more, now the last of places_.
  Place& take();
  /// A new place, the last of places_; none where there is no page-locked memory for it, which the status says.
  cudaError_t add();

  std::size_t max_places_;
  std::mutex mutex_;
  std::deque<Place> places_;  ///< the one used longest ago is the first
};

}  // namespace tern::kernels::cuda
