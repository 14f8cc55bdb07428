#include <tern/core/precision.hpp>

#include <atomic>

namespace tern {
namespace {

std::atomic<std::optional<Precision>> chosen;

}  // namespace

void set_float32_precision(std::optional<Precision> precision) { chosen = precision; }

Precision float32_precision(Device device) {
  return chosen.load().value_or(device.kind == Device::cpu ? Precision::high : Precision::highest);
}

Precision precision_of(const Tensor& x) {
  if (x.dtype() == DType::bfloat16) return Precision::medium;
  return x.dtype() == DType::float16 ? Precision::high : float32_precision(x.device());
}

}  // namespace tern
