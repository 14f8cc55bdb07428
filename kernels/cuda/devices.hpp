#pragma once

/// CUDA devices and their memory, for code that has no CUDA headers. In a build without CUDA there are none, and what
/// asks for one throws CudaError.

#include <cstddef>

namespace tern::kernels::cuda {

/// 0 where there is no GPU, or no driver for it.
int device_count() noexcept;
/// Whether there is one.
inline bool is_available() noexcept { return device_count() > 0; }

/// This host thread's device.
int current_device();

/// Makes `device` this host thread's, for as long as it lives. Throws CudaError if there is no such device.
///
/// On a device that this process has not used, cudaSetDevice makes a context, which takes hundreds of MB of its memory.
/// A guard therefore does not have CUDA go back to such a device: current_device() says that it has, and who calls CUDA
/// itself after that calls cudaSetDevice first.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device);  ///< from 0
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int device_, previous_;
};

/// Waits until the current stream has done its work, and throws what went wrong with it.
void synchronize();
/// The same for all streams of the current device.
void synchronize_device();

/// In bytes.
struct MemoryStats {
  std::size_t allocated;  ///< what tensors and kernels use
  std::size_t peak;       ///< the most that `allocated` has been
  std::size_t reserved;   ///< what the device's pool has taken from the driver
};
/// Of a device.
MemoryStats memory_stats(int device);
/// Peak begins again at what is allocated now.
void reset_peak_memory(int device);
/// The pool gives the driver back what nothing uses. Waits for the device.
void trim_pool(int device);

}  // namespace tern::kernels::cuda
