#include <tern/kernels/cuda/launch.hpp>

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <sstream>
#include <string_view>

namespace tern::kernels::cuda {
namespace {

/// "void a::(anonymous namespace)::f<(b::Op)1>(int, float*)" -> "f<(b::Op)1>"
std::string bare_name(std::string name) {
  constexpr std::string_view anonymous = "(anonymous namespace)::";
  for (auto at = name.find(anonymous); at != name.npos; at = name.find(anonymous)) name.erase(at, anonymous.size());

  std::size_t begin = 0, end = 0;
  for (int depth = 0; end < name.size() && (depth > 0 || name[end] != '('); ++end) {
    const char c = name[end];
    if (c == '<' || c == '(') ++depth;
    if (c == '>' || c == ')') --depth;
    if (depth == 0 && (c == ' ' || c == ':')) begin = end + 1;
  }
  return name.substr(begin, end - begin);
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

bool begins_early(const void* kernel) {
  static const bool asked_for = [] {
    const char* const value = std::getenv("TERN_DEPENDENT_LAUNCH");
    return value != nullptr && std::string_view(value) == "1";
  }();
  cudaFuncAttributes attributes{};
  return asked_for && cudaFuncGetAttributes(&attributes, kernel) == cudaSuccess && attributes.ptxVersion >= 90;
}

void launch_failed(cudaError_t status, const void* kernel, const cudaLaunchConfig_t& config) {
  const std::string why = cudaGetErrorString(status);
  static_cast<void>(cudaGetLastError());
  std::ostringstream text;
  const auto shape = [&text](dim3 d) { text << "(" << d.x << ", " << d.y << ", " << d.z << ")"; };
  text << "launch of " << kernel_name(kernel) << ", grid ";
  shape(config.gridDim);
  text << ", block ";
  shape(config.blockDim);
  text << ", " << config.dynamicSmemBytes << " bytes of shared memory: " << why;
  throw CudaError(text.str());
}

}  // namespace tern::kernels::cuda
