#pragma once

#include <tern/kernels/philox.hpp>

#include <functional>
#include <memory>

namespace tern::kernels::cuda {

/// Work that is recorded once and then done again and again, each time by one call, as a CUDA graph.
///
/// A replay reads and writes where the recording did. Memory allocated while recording therefore stays the graph's: it
/// is given out again only within the recording, and freed with the graph, except for what is in use then. Random
/// numbers are the exception to "the same again": they begin where `launch` says.
class Graph {
 public:
  /// Records what `work`, called once, has the device do; nothing of it is done yet. `random` is where the random
  /// numbers that `work` asks for begin; it returns how many blocks of them it took. Throws what `work` throws; that
  /// includes CudaError if it waits for the device or copies between it and the host.
  Graph(int device, PhiloxState random, const std::function<std::uint64_t()>& work);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  /// Queues the work on the current stream, its random numbers beginning at `random`: one launch where that is where
  /// the last one ended.
  void launch(PhiloxState random);

 private:
  struct State;
  friend struct Recording;
  std::unique_ptr<State> state_;
};

/// Whether this host thread is inside the constructor of a Graph.
bool is_capturing() noexcept;

}  // namespace tern::kernels::cuda
