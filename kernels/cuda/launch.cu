#include <tern/kernels/cuda/launch.hpp>

#include <cxxabi.h>
#include <fmt/format.h>

#include <cstdlib>
#include <memory>
#include <string_view>

namespace tern::kernels::cuda {
namespace {

/// "void a::(anonymous namespace)::f<float>(int, float*)" -> "f<float>"
std::string bare_name(std::string_view name) {
  const auto is_outside = [depth = 0](char c) mutable {
    if (c == '<' || c == '(') ++depth;
    if (c == '>' || c == ')') --depth;
    return depth == 0;
  };
  constexpr std::string_view anonymous = "(anonymous namespace)::";
  std::string text(name);
  for (auto at = text.find(anonymous); at != text.npos; at = text.find(anonymous)) text.erase(at, anonymous.size());

  std::size_t begin = 0, end = text.size();
  auto outside = is_outside;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool top = outside(text[i]);
    if (top && (text[i] == ' ' || text[i] == ':')) begin = i + 1;
    if (text[i] == '(' && i > begin) {
      end = i;
      break;
    }
  }
  return text.substr(begin, end - begin);
}

}  // namespace

std::string kernel_name(const void* kernel) {
  const char* mangled = nullptr;
  if (cudaFuncGetName(&mangled, kernel) != cudaSuccess || mangled == nullptr) return "kernel";
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> demangled(abi::__cxa_demangle(mangled, nullptr, nullptr, &status),
                                                              &std::free);
  return status == 0 ? bare_name(demangled.get()) : mangled;
}

void launch_failed(cudaError_t status, const void* kernel, const cudaLaunchConfig_t& config) {
  const std::string why = cudaGetErrorString(status);
  static_cast<void>(cudaGetLastError());
  const dim3 grid = config.gridDim, block = config.blockDim;
  throw CudaError(fmt::format("launch of {}, grid ({}, {}, {}), block ({}, {}, {}), {} bytes of shared memory: {}",
                              kernel_name(kernel), grid.x, grid.y, grid.z, block.x, block.y, block.z,
                              config.dynamicSmemBytes, why));
}

}  // namespace tern::kernels::cuda
