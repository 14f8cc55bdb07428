#include <tern/kernels/cuda/handles.hpp>
#include <tern/kernels/cuda/stream.hpp>

#include <cudaTypedefs.h>
#include <fmt/format.h>

#include <map>
#include <mutex>
#include <utility>

namespace tern::kernels::cuda {
namespace {

// What a host thread knows is in plain variables: tensors that are static, or the thread's own, are freed when others
// of its variables are gone.

/// This host thread's innermost guard.
thread_local const StreamGuard* innermost = nullptr;

/// A device that guards were to go back to where it has no context, and the one where they left CUDA instead.
struct Away {
  int from = -1, at = -1;
};
thread_local constinit Away away;

int device_of_cuda() {
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  return device;
}

/// Whether anything in this process has used the device. Only the driver can be asked without making it so.
bool has_context(int device) {
  static const auto state = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult result{};
    const cudaError_t status = cudaGetDriverEntryPointByVersion("cuDevicePrimaryCtxGetState", &function, 7000,
                                                                cudaEnableDefault, &result);
    return status == cudaSuccess ? reinterpret_cast<PFN_cuDevicePrimaryCtxGetState_v7000>(function) : nullptr;
  }();
  unsigned flags = 0;
  int active = 0;
  return state == nullptr || state(device, &flags, &active) != CUDA_SUCCESS || active != 0;
}

struct CublasHandle {
  cublasHandle_t handle = nullptr;
  void* workspace = nullptr;  ///< for the main stream
};

/// As NVIDIA's "cuBLAS" recommends for cublasSetWorkspace.
std::int64_t workspace_bytes() {
  int major = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, current_device()), "cudaDeviceGetAttribute");
  return std::int64_t{major >= 9 ? 32 : 4} << 20;
}

}  // namespace

int device_count() noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  static_cast<void>(cudaGetLastError());
  return 0;
}

int current_device() {
  const int device = device_of_cuda();
  return device == away.at ? away.from : device;
}

DeviceGuard::DeviceGuard(int device) : device_(device), previous_(current_device()) {
  if (device != previous_ || away.at >= 0) {
    if (device != device_of_cuda()) check(cudaSetDevice(device), fmt::format("cuda:{}", device).c_str());
    away = {};
  }
}

DeviceGuard::~DeviceGuard() {
  if (device_ == previous_) return;
  if (has_context(previous_)) {
    static_cast<void>(cudaSetDevice(previous_));
  } else {
    away = {previous_, device_};
  }
}

cudaStream_t main_stream() {
  static std::mutex mutex;
  static auto& streams = *new std::map<int, cudaStream_t>;  // never destroyed: tensors may outlive main
  const int device = current_device();
  const std::scoped_lock lock(mutex);
  cudaStream_t& stream = streams[device];
  if (stream == nullptr) {
    const DeviceGuard guard(device);
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  }
  return stream;
}

cudaStream_t current_stream() {
  const int device = current_device();
  for (const StreamGuard* guard = innermost; guard != nullptr; guard = guard->outer_) {
    if (guard->device_ == device) return guard->stream_;
  }
  return main_stream();
}

StreamGuard::StreamGuard(cudaStream_t stream)
    : device_(current_device()), stream_(stream), outer_(std::exchange(innermost, this)) {}

StreamGuard::~StreamGuard() { innermost = outer_; }

Cublas::Cublas() {
  thread_local ThreadHandles<CublasHandle> handles;
  CublasHandle& mine = handles.get(current_device(), [] {
    CublasHandle made;
    check(cublasCreate(&made.handle), "cublasCreate");
    return made;
  });
  const cudaStream_t stream = current_stream();
  const std::int64_t bytes = workspace_bytes();
  void* workspace = nullptr;
  if (stream == main_stream()) {
    if (mine.workspace == nullptr) mine.workspace = allocate(static_cast<std::size_t>(bytes));
    workspace = mine.workspace;
  } else {
    workspace = workspace_.emplace(bytes).data();
  }
  handle_ = mine.handle;
  check(cublasSetStream(handle_, stream), "cublasSetStream");  // takes the workspace away
  check(cublasSetWorkspace(handle_, workspace, static_cast<std::size_t>(bytes)), "cublasSetWorkspace");
}

void synchronize() { check(cudaStreamSynchronize(current_stream()), "cudaStreamSynchronize"); }

void synchronize_device() { check(cudaDeviceSynchronize(), "cudaDeviceSynchronize"); }

}  // namespace tern::kernels::cuda
