#pragma once

/// What the kernels' host side shares: devices, the stream and the cuBLAS handle that work goes to, and memory.

#include <tern/kernels/cuda/error.hpp>

#include <cstddef>

namespace tern::kernels::cuda {

/// 0 where there is no GPU, or no driver for it; never throws.
int device_count() noexcept;
inline bool is_available() noexcept { return device_count() > 0; }

/// This host thread's device.
int current_device();

/// Makes `device` this host thread's, for as long as it lives. Throws CudaError if there is no such device.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device);
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int previous_;
};

/// Where this host thread's work on its device goes. Unless a StreamGuard says otherwise, that is the device's main
/// stream, which all host threads share, so that what one of them has queued is in order with what another queues.
cudaStream_t current_stream();

/// Sends this host thread's work to `stream`, a stream of the current device, for as long as it lives.
class StreamGuard {
 public:
  explicit StreamGuard(cudaStream_t stream);
  ~StreamGuard();
  StreamGuard(const StreamGuard&) = delete;
  StreamGuard& operator=(const StreamGuard&) = delete;

 private:
  int device_;
  cudaStream_t previous_;
};

/// This host thread's cuBLAS handle for its device, set to the current stream.
cublasHandle_t cublas();

/// Waits until the current stream has done its work, and throws what went wrong with it.
void synchronize();

/// Memory of the current device in the order of the current stream: it may be used by what that stream does after this
/// call. Null for 0 bytes. Throws CudaError, saying how much was asked for and how much is held, when there is none.
void* allocate(std::size_t bytes);
/// Gives memory back, in the order of the current stream. `bytes` is what was asked for.
void release(void* p, std::size_t bytes) noexcept;

struct MemoryStats {
  std::size_t held, peak;  ///< bytes that allocate has given and release has not taken back, now and at most
};
MemoryStats memory_stats(int device);
/// Peak begins again at what is held now.
void reset_peak_memory(int device);

}  // namespace tern::kernels::cuda
