#pragma once

#include <tern/kernels/cuda/stream.hpp>

#include <map>

namespace tern::kernels::cuda {

/// The memory that a graph works in, on the current device. From its making until close(), what its host thread
/// allocates comes from here, and what that thread releases comes here. What came from here is given out again: the
/// recorded work is in order, so a later piece of it may use what an earlier one is done with. CUDA's own way,
/// allocations as nodes of the graph, does not let a tensor outlive the recording, or be freed in it if it is older.
class GraphMemory {
 public:
  GraphMemory();
  /// Frees, in the order of the current stream of its device, which must be this host thread's, all but what is in use:
  /// that becomes memory like any other.
  ~GraphMemory();
  GraphMemory(const GraphMemory&) = delete;
  GraphMemory& operator=(const GraphMemory&) = delete;

  /// Bytes that are 0 before the first replay, and not given out again.
  void* zeros(std::size_t bytes);
  /// The one that this host thread's work is recorded with, or null.
  static GraphMemory* recording();

  /// The recording is over. Waits until the memory may be used.
  void close();

 private:
  friend void* allocate(std::size_t bytes);
  friend void release(void* p, std::size_t bytes) noexcept;
  void* take(std::size_t bytes);

  int device_;
  cudaStream_t stream_ = nullptr;  ///< that memory is made on: one that is not being captured
  std::multimap<std::size_t, void*> idle_;
};

}  // namespace tern::kernels::cuda
