#pragma once

#include <tern/kernels/cuda/devices.hpp>
#include <tern/kernels/cuda/graph.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace tern {

/// What computes conv2d, pooling and batch_norm2d on cuda devices: tern's own kernels (`handwritten`), or cuDNN's, to
/// check and to time one against the other. Which of them cuDNN has: kernels/cuda/cudnn.hpp.
enum class ConvBackend { handwritten, cudnn };

/// For all threads, from the next op on. Handwritten at first. Throws Error for cudnn in a build without TERN_CUDNN=ON.
/// @{
void set_conv_backend(ConvBackend backend);
ConvBackend conv_backend();
/// @}

}  // namespace tern

/// NVIDIA GPUs, under the names of torch.cuda. In a build without CUDA there are none, and what asks for one throws
/// CudaError, as it does for a device that is not there.

namespace tern::cuda {

using kernels::cuda::device_count;
using kernels::cuda::is_available;

/// The device that this host thread's own calls of CUDA go to, and a change of it for as long as the guard lives.
/// Tensors name their device themselves: Device(Device::cuda, 1).
using kernels::cuda::current_device;
using kernels::cuda::DeviceGuard;

/// Waits until the device has done all that it was given, and throws what went wrong with it.
void synchronize(int device = 0);

/// Bytes in use by tensors and kernels, now and at most.
/// @{
std::size_t memory_allocated(int device = 0);
std::size_t max_memory_allocated(int device = 0);
/// @}

/// Bytes that the device's memory pool holds, in use or to be given out again.
std::size_t memory_reserved(int device = 0);
/// The most in use begins again at what is in use now.
void reset_peak_memory_stats(int device = 0);
/// Gives the driver back what the pool holds and nothing uses. Waits for the device.
void empty_cache(int device = 0);

/// Work on one device that is recorded once and then done again by one call, as torch.cuda.CUDAGraph: a launch in place
/// of one for every kernel. GraphedStep makes a training step of it.
///
/// A replay reads and writes the memory that the recording did: the tensors that `work` uses must outlive the graph,
/// and what it makes is overwritten by each replay. What `work` decides on the host is decided when it is recorded:
/// numbers such as a learning rate, branches, train() or eval(). Only the random numbers of dropout go on from
/// default_generator() with each replay, as they would without a graph.
class Graph {
 public:
  /// Records what `work` has the device do; nothing of it is done yet. Everything in it should have run once before.
  /// Throws what `work` throws, in particular Error if it copies between host and device, or draws from another
  /// generator.
  explicit Graph(const std::function<void()>& work, int device = 0);

  /// Queues the work; does not wait for it.
  void replay();

 private:
  std::shared_ptr<kernels::cuda::Graph> graph_;
  std::uint64_t blocks_;  ///< of random numbers that the work draws
};

/// Whether this host thread is recording a Graph.
using kernels::cuda::is_capturing;

}  // namespace tern::cuda
