#pragma once

/// What the kernels' host side shares: devices, memory, and the stream and the cuBLAS handle that work goes to.

#include <tern/kernels/cuda/devices.hpp>
#include <tern/kernels/cuda/error.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace tern::kernels::cuda {

/// Where this host thread's work on its device goes. Unless a StreamGuard says otherwise, that is the device's main
/// stream, which all host threads share, so that what one of them has queued is in order with what another queues.
cudaStream_t current_stream();
/// The current device's main stream.
cudaStream_t main_stream();

/// Sends this host thread's work to `stream`, a stream of the current device, for as long as it lives.
class StreamGuard {
 public:
  explicit StreamGuard(cudaStream_t stream);  ///< which must outlive it
  ~StreamGuard();
  StreamGuard(const StreamGuard&) = delete;
  StreamGuard& operator=(const StreamGuard&) = delete;

 private:
  friend cudaStream_t current_stream();

  int device_;
  cudaStream_t stream_;
  const StreamGuard* outer_;
};

/// Memory of the current device in the order of the current stream: it may be used by what that stream does after this
/// call. Null for 0 bytes. Where there is none, waits for what is about to be given back. Throws CudaError, saying how
/// much was asked for and how much is held, when there is none then either.
void* allocate(std::size_t bytes);
/// Gives memory back, `bytes` as asked for, in the order of the current stream and in that of the stream that was
/// current when it was allocated, which must still be there, or for a graph's memory of the main one: the former waits
/// for the latter. What a third stream does with it is for the caller to order before this.
void release(void* p, std::size_t bytes) noexcept;

/// Memory of a kernel's own, in the order of the current stream: the next user of it waits for this one.
template <class T>
class Scratch {
 public:
  explicit Scratch(std::int64_t n)
      : bytes_(static_cast<std::size_t>(n) * sizeof(T)), data_(static_cast<T*>(allocate(bytes_))) {}  ///< uninitialised
  ~Scratch() { release(data_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  /// The first of its n elements.
  T* data() const { return data_; }

 private:
  std::size_t bytes_;
  T* data_;
};

/// This host thread's cuBLAS handle for its device, set to the current stream, for the calls of one expression. It
/// works in memory of its own and not in cuBLAS's: products are the same each time, whatever other streams do, and in a
/// graph they need no memory nodes. Memory that is the handle's for good serves the main stream, which has one product
/// after the other; that for another stream, or a graph, is ordered like a kernel's own.
class Cublas {
 public:
  Cublas();
  /// The handle.
  operator cublasHandle_t() const { return handle_; }

 private:
  cublasHandle_t handle_;
  std::optional<Scratch<std::byte>> workspace_;
};

}  // namespace tern::kernels::cuda
