#include <tern/kernels/cuda/handles.hpp>
#include <tern/kernels/cuda/stream.hpp>

#include <fmt/format.h>

#include <map>
#include <mutex>
#include <utility>

namespace tern::kernels::cuda {
namespace {

/// The stream of a device that is current where no guard says otherwise.
cudaStream_t main_stream(int device) {
  static std::mutex mutex;
  static auto& streams = *new std::map<int, cudaStream_t>;  // never destroyed: tensors may outlive main
  const std::scoped_lock lock(mutex);
  cudaStream_t& stream = streams[device];
  if (stream == nullptr) {
    const DeviceGuard guard(device);
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  }
  return stream;
}

thread_local std::map<int, cudaStream_t> current_streams;  // by device

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
  cudaStream_t& stream = current_streams[device];
  if (stream == nullptr) stream = main_stream(device);
  return stream;
}

StreamGuard::StreamGuard(cudaStream_t stream)
    : device_(current_device()), previous_(std::exchange(current_streams[device_], stream)) {}

StreamGuard::~StreamGuard() { current_streams[device_] = previous_; }

cublasHandle_t cublas() {
  thread_local ThreadHandles<cublasHandle_t> handles;
  const cublasHandle_t handle = handles.get(current_device(), [] {
    cublasHandle_t made = nullptr;
    check(cublasCreate(&made), "cublasCreate");
    return made;
  });
  check(cublasSetStream(handle, current_stream()), "cublasSetStream");
  return handle;
}

void synchronize() { check(cudaStreamSynchronize(current_stream()), "cudaStreamSynchronize"); }

void synchronize_device() { check(cudaDeviceSynchronize(), "cudaDeviceSynchronize"); }

}  // namespace tern::kernels::cuda
