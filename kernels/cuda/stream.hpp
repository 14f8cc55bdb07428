#pragma once

/// What the kernels' host side shares: devices, memory, and the stream and the cuBLAS handle that work goes to.

#include <tern/kernels/cuda/devices.hpp>
#include <tern/kernels/cuda/error.hpp>

#include <cstddef>
#include <cstdint>

namespace tern::kernels::cuda {

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

/// Memory of the current device in the order of the current stream: it may be used by what that stream does after this
/// call. Null for 0 bytes. Throws CudaError, saying how much was asked for and how much is held, when there is none.
void* allocate(std::size_t bytes);
/// Gives memory back, in the order of the current stream. `bytes` is what was asked for.
void release(void* p, std::size_t bytes) noexcept;

/// Memory of a kernel's own, in the order of the current stream: the next user of it waits for this one.
template <class T>
class Scratch {
 public:
  explicit Scratch(std::int64_t n)
      : bytes_(static_cast<std::size_t>(n) * sizeof(T)), data_(static_cast<T*>(allocate(bytes_))) {}
  ~Scratch() { release(data_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  T* data() const { return data_; }

 private:
  std::size_t bytes_;
  T* data_;
};

}  // namespace tern::kernels::cuda
