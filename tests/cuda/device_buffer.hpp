#pragma once

#include <tern/kernels/cuda/stream.hpp>

#include <cstddef>
#include <vector>

namespace tern::kernels::cuda {

/// n elements of device memory, on the current stream.
template <class T>
class DeviceBuffer {
 public:
  explicit DeviceBuffer(std::size_t n) : n_(n), data_(static_cast<T*>(allocate(n * sizeof(T)))) {}
  explicit DeviceBuffer(const std::vector<T>& values) : DeviceBuffer(values.size()) { upload(values); }
  ~DeviceBuffer() { release(data_, n_ * sizeof(T)); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  T* data() const { return data_; }

  void upload(const std::vector<T>& values) {
    check(cudaMemcpyAsync(data_, values.data(), n_ * sizeof(T), cudaMemcpyHostToDevice, current_stream()), "upload");
  }
  std::vector<T> download() const {
    std::vector<T> values(n_);
    check(cudaMemcpyAsync(values.data(), data_, n_ * sizeof(T), cudaMemcpyDeviceToHost, current_stream()), "download");
    synchronize();
    return values;
  }

 private:
  std::size_t n_;
  T* data_;
};

}  // namespace tern::kernels::cuda
