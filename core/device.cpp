#include <tern/core/cuda.hpp>
#include <tern/core/device.hpp>
#include <tern/kernels/cuda/cudnn.hpp>
#include <tern/kernels/error.hpp>

#include <charconv>

namespace tern {

Device Device::parse(const std::string& name) {
  if (name == "cpu") return cpu;
  if (name == "reference") return reference;
  if (name == "cuda") return cuda;
  if (name.starts_with("cuda:")) {
    int index = -1;
    const char* end = name.data() + name.size();
    const auto [rest, status] = std::from_chars(name.data() + 5, end, index);
    if (status == std::errc() && rest == end && index >= 0) return Device(cuda, index);
  }
  throw Error("device '" + name + "': expected cpu, cuda, cuda:<index> or reference");
}

std::string Device::str() const {
  switch (kind) {
    case cpu:
      return "cpu";
    case reference:
      return "reference";
    case cuda:
      break;
  }
  return "cuda:" + std::to_string(index);
}

kernels::Backend& backend(Device device) {
  switch (device.kind) {
    case Device::cpu:
      return kernels::cpu_backend();
    case Device::reference:
      return kernels::reference_backend();
    case Device::cuda:
      break;
  }
#ifdef TERN_HAS_CUDNN
  if (conv_backend() == ConvBackend::cudnn) return kernels::cudnn_backend(device.index);
#endif
#ifdef TERN_HAS_CUDA
  return kernels::cuda_backend(device.index);
#else
  throw Error("device " + device.str() + ": this tern was built without CUDA, expected TERN_CUDA=ON or EMULATE");
#endif
}

}  // namespace tern
