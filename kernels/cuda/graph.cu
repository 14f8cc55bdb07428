/// Recording and replaying work as a CUDA graph, and the one thing that changes from replay to replay: where the random
/// numbers begin. That lies in device memory, moved on by the graph's last node, and set where the host has drawn or
/// reseeded in between: kernels of one thread that move 16 bytes.

#include <tern/kernels/cuda/device.cuh>
#include <tern/kernels/cuda/graph.hpp>
#include <tern/kernels/cuda/memory.hpp>

#include <optional>

namespace tern::kernels::cuda {
namespace {

__global__ void __launch_bounds__(1) set_random(PhiloxState value, PhiloxState* __restrict__ random) {
  wait_for_previous_kernels();
  *random = value;
}

__global__ void __launch_bounds__(1) advance_random(std::uint64_t blocks, PhiloxState* __restrict__ random) {
  wait_for_previous_kernels();
  random->offset += blocks;
}

}  // namespace

struct Graph::State {
  explicit State(int on) : device(on), random(static_cast<PhiloxState*>(allocate(sizeof(PhiloxState)))) {}
  ~State() {
    try {
      const DeviceGuard guard(device);
      if (executable) check(cudaGraphExecDestroy(executable), "cudaGraphExecDestroy");
      release(random, sizeof(PhiloxState));
      memory.reset();
    } catch (const Error&) {
      // Only after an error of the device, which whoever waits for it is told of.
    }
  }

  int device;
  cudaGraphExec_t executable = nullptr;
  bool draws = false;               ///< whether the work asks for random numbers
  std::uint64_t blocks = 0;         ///< how many of them
  PhiloxState* random;              ///< where they begin
  std::optional<PhiloxState> next;  ///< what that will be once all launches are done
  std::optional<GraphMemory> memory;
};

/// The recording of this host thread.
struct Recording {
  Graph::State& graph;
  PhiloxState random;
  static thread_local Recording* current;

  Recording(Graph::State& g, PhiloxState r) : graph(g), random(r) {
    if (current) throw Error("graph: recorded inside the recording of another, expected one at a time");
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    current = this;
  }
  ~Recording() {
    current = nullptr;
    static_cast<void>(cudaStreamDestroy(stream));
  }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  /// What `work` queues. Throws what it throws, and CudaError if it broke the recording.
  cudaGraph_t record(const std::function<void()>& work) const {
    const StreamGuard guard(stream);
    cudaGraph_t result = nullptr;
    // Relaxed: the graph's memory is made by this thread meanwhile, on another stream.
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
    try {
      work();
    } catch (...) {
      static_cast<void>(cudaStreamEndCapture(stream, &result));
      if (result) static_cast<void>(cudaGraphDestroy(result));
      static_cast<void>(cudaGetLastError());
      throw;
    }
    check(cudaStreamEndCapture(stream, &result), "cudaStreamEndCapture");
    return result;
  }

  cudaStream_t stream = nullptr;
};
thread_local Recording* Recording::current = nullptr;

bool is_capturing() noexcept { return Recording::current != nullptr; }

Draws draws_from(PhiloxState state) {
  Recording* recording = Recording::current;
  if (!recording) return {state, nullptr};
  recording->graph.draws = true;
  return {{state.seed, state.offset - recording->random.offset}, recording->graph.random};
}

Graph::Graph(int device, PhiloxState random, const std::function<std::uint64_t()>& work) {
  const DeviceGuard guard(device);
  state_ = std::make_unique<State>(device);
  const Recording recording(*state_, random);
  state_->memory.emplace();
  const cudaGraph_t graph = recording.record([&] {
    state_->blocks = work();
    if (state_->draws) cuda::launch(advance_random, 1, 1, 0, current_stream(), state_->blocks, state_->random);
  });
  state_->memory->close();
  const cudaError_t status = cudaGraphInstantiate(&state_->executable, graph, 0);
  static_cast<void>(cudaGraphDestroy(graph));
  check(status, "cudaGraphInstantiate");
}

Graph::~Graph() = default;

void Graph::launch(PhiloxState random) {
  const DeviceGuard guard(state_->device);
  State& s = *state_;
  if (s.draws && !(s.next && s.next->seed == random.seed && s.next->offset == random.offset)) {
    cuda::launch(set_random, 1, 1, 0, current_stream(), random, s.random);
  }
  check(cudaGraphLaunch(s.executable, current_stream()), "cudaGraphLaunch");
  s.next = {random.seed, random.offset + s.blocks};
}

}  // namespace tern::kernels::cuda
