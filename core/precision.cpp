#include <tern/core/precision.hpp>

#include <atomic>

namespace tern {
namespace {

constexpr int nothing = -1;
std::atomic<int> chosen{nothing};  // a Precision; an atomic optional would need a library of its own

}  // namespace

void set_float32_precision(std::optional<Precision> precision) {
  chosen = precision ? static_cast<int>(*precision) : nothing;
}

Precision float32_precision(Device device) {
  if (const int set = chosen; set != nothing) return static_cast<Precision>(set);
  return device.kind == Device::cpu ? Precision::high : Precision::highest;
}

Precision precision_of(const Tensor& x) {
  if (x.dtype() == DType::bfloat16) return Precision::medium;
  return x.dtype() == DType::float16 ? Precision::high : float32_precision(x.device());
}

}  // namespace tern
