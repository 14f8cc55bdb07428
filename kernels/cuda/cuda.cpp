#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/graph.hpp>
#include <tern/kernels/cuda/stream.hpp>

#include <fmt/format.h>

namespace tern::kernels {

CudaBackend::CudaBackend(int device)
    : device_(device),
      array_float_(device),
      array_double_(device),
      array_int64_(device),
      array_uint8_(device),
      float_(device),
      double_(device),
      bfloat16_(device),
      float16_(device) {}

void* CudaBackend::allocate(std::size_t bytes) {
  const cuda::DeviceGuard guard(device_);
  return cuda::allocate(bytes);
}

void CudaBackend::release(void* p, std::size_t bytes) noexcept try {
  const cuda::DeviceGuard guard(device_);
  cuda::release(p, bytes);
} catch (const Error&) {
  // Only after an error of the device, which whoever waits for it is told of: there is nothing to give back to.
}

void CudaBackend::upload(std::size_t bytes, const void* host, void* device) {
  if (cuda::is_capturing())
    throw Error(
        fmt::format("upload: {} bytes from the host inside a graph, expected them on cuda:{} before", bytes, device_));
  const cuda::DeviceGuard guard(device_);
  staging_.upload(bytes, host, device);
}

void CudaBackend::download(std::size_t bytes, const void* device, void* host) {
  if (bytes == 0) return;
  if (cuda::is_capturing())
    throw Error(
        fmt::format("download: {} bytes of cuda:{} to the host inside a graph, expected it after", bytes, device_));
  const cuda::DeviceGuard guard(device_);
  cuda::check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, cuda::current_stream()), "download");
  cuda::synchronize();
}

Backend& cuda_backend(int index) { return backend_of<CudaBackend>(index); }

}  // namespace tern::kernels
