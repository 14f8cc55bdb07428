#include <tern/kernels/cuda/stream.hpp>

#include <fmt/format.h>

#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace tern::kernels::cuda {
namespace {

/// What the process keeps for one device, until it ends.
struct DeviceState {
  cudaStream_t main_stream = nullptr;
  std::mutex mutex;
  std::vector<cublasHandle_t> idle_handles;  // under the mutex
};

std::unique_ptr<DeviceState> make_state(int device) {
  const DeviceGuard guard(device);
  auto state = std::make_unique<DeviceState>();
  check(cudaStreamCreateWithFlags(&state->main_stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return state;
}

DeviceState& state_of(int device) {
  static std::mutex mutex;
  // Never destroyed: tensors in static variables outlive it, and the driver may be gone before it.
  static auto& states = *new std::map<int, std::unique_ptr<DeviceState>>;
  const std::scoped_lock lock(mutex);
  auto& state = states[device];
  if (state == nullptr) state = make_state(device);
  return *state;
}

/// What a host thread keeps for its devices. Handles are costly to make, so they go back when the thread ends.
struct ThreadState {
  std::map<int, cudaStream_t> streams;
  std::map<int, cublasHandle_t> handles;

  ~ThreadState() {
    for (const auto& [device, handle] : handles) {
      DeviceState& state = state_of(device);
      const std::scoped_lock lock(state.mutex);
      state.idle_handles.push_back(handle);
    }
  }
};
thread_local ThreadState this_thread;

}  // namespace

int device_count() noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  static_cast<void>(cudaGetLastError());
  return 0;
}

int current_device() {
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  return device;
}

DeviceGuard::DeviceGuard(int device) : previous_(current_device()) {
  if (device != previous_) check(cudaSetDevice(device), fmt::format("cuda:{}", device).c_str());
}

DeviceGuard::~DeviceGuard() { static_cast<void>(cudaSetDevice(previous_)); }

cudaStream_t current_stream() {
  const int device = current_device();
  cudaStream_t& stream = this_thread.streams[device];
  if (stream == nullptr) stream = state_of(device).main_stream;
  return stream;
}

StreamGuard::StreamGuard(cudaStream_t stream)
    : device_(current_device()), previous_(std::exchange(this_thread.streams[device_], stream)) {}

StreamGuard::~StreamGuard() { this_thread.streams[device_] = previous_; }

cublasHandle_t cublas() {
  const int device = current_device();
  cublasHandle_t& handle = this_thread.handles[device];
  if (handle == nullptr) {
    DeviceState& state = state_of(device);
    const std::scoped_lock lock(state.mutex);
    if (state.idle_handles.empty()) {
      check(cublasCreate(&handle), "cublasCreate");
    } else {
      handle = state.idle_handles.back();
      state.idle_handles.pop_back();
    }
  }
  check(cublasSetStream(handle, current_stream()), "cublasSetStream");
  return handle;
}

void synchronize() { check(cudaStreamSynchronize(current_stream()), "cudaStreamSynchronize"); }

void synchronize_device() { check(cudaDeviceSynchronize(), "cudaDeviceSynchronize"); }

}  // namespace tern::kernels::cuda
