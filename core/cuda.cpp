#include <tern/core/check.hpp>
#include <tern/core/cuda.hpp>
#include <tern/core/generator.hpp>

#include <atomic>

namespace tern {
namespace {

std::atomic<ConvBackend> chosen{ConvBackend::handwritten};

}  // namespace

void set_conv_backend(ConvBackend backend) {
#ifndef TERN_HAS_CUDNN
  check(backend != ConvBackend::cudnn, "set_conv_backend: this tern was built without cuDNN, expected TERN_CUDNN=ON");
#endif
  chosen = backend;
}

ConvBackend conv_backend() { return chosen; }

}  // namespace tern

namespace tern::cuda {

void synchronize(int device) {
  const DeviceGuard guard(device);
  kernels::cuda::synchronize_device();
}

std::size_t memory_allocated(int device) { return kernels::cuda::memory_stats(device).allocated; }
std::size_t max_memory_allocated(int device) { return kernels::cuda::memory_stats(device).peak; }
std::size_t memory_reserved(int device) { return kernels::cuda::memory_stats(device).reserved; }
void reset_peak_memory_stats(int device) { kernels::cuda::reset_peak_memory(device); }
void empty_cache(int device) { kernels::cuda::trim_pool(device); }

Graph::Graph(const std::function<void()>& work, int device) {
  struct Restore {
    kernels::PhiloxState start = default_generator().state();
    ~Restore() { default_generator().set_state(start); }  // nothing has been drawn yet
  } restore;
  graph_ = std::make_shared<kernels::cuda::Graph>(device, restore.start, [&] {
    work();
    return blocks_ = default_generator().state().offset - restore.start.offset;
  });
}

void Graph::replay() {
  const kernels::PhiloxState start = default_generator().state();
  graph_->launch(start);
  default_generator().set_state({start.seed, start.offset + blocks_});
}

}  // namespace tern::cuda

#ifndef TERN_HAS_CUDA
namespace tern::kernels::cuda {
namespace {

[[noreturn]] void no_device() {
  throw CudaError("cuda: this tern was built without CUDA, expected TERN_CUDA=ON or EMULATE");
}

}  // namespace

int device_count() noexcept { return 0; }
int current_device() { no_device(); }
DeviceGuard::DeviceGuard(int device) : device_(device), previous_(device_) { no_device(); }
DeviceGuard::~DeviceGuard() { (void)previous_; }  // clang warns of members that nothing uses
void synchronize_device() { no_device(); }
MemoryStats memory_stats(int) { no_device(); }
void reset_peak_memory(int) { no_device(); }
void trim_pool(int) { no_device(); }

bool is_capturing() noexcept { return false; }
struct Graph::State {};
Graph::Graph(int, PhiloxState, const std::function<std::uint64_t()>&) { no_device(); }
Graph::~Graph() = default;
void Graph::launch(PhiloxState) { no_device(); }

}  // namespace tern::kernels::cuda
#endif
