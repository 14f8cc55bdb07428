// swiglu on cpu and cuda beside the ops that it stands for, which have gradients of their own, on the reference.

#include "swiglu.hpp"

#include <tern/tern.hpp>

#include <array>
#include <cstdint>
#include <exception>
#include <iostream>

using tern::Device;
using tern::Tensor;

namespace {

Tensor composed(const Tensor& x) {
  const std::int64_t n = x.size(-1) / 2;
  return silu(x.narrow(-1, 0, n)) * x.narrow(-1, n, n);
}

/// The value of f at x, and the gradient of its sum weighted by w.
template <class F>
std::array<Tensor, 2> value_and_gradient(F f, const Tensor& at, const Tensor& w, Device device) {
  const Tensor x = at.to(device).detach().set_requires_grad(), y = f(x);
  (y * w.to(device)).sum().backward();
  return {y.detach().to(Device::reference), x.grad().to(Device::reference)};
}

bool test(Device device) {
  for (const std::int64_t rows : {0, 1, 5, 130}) {
    for (const std::int64_t n : {1, 31, 64}) {
      const Tensor x = tern::randn({rows, 2 * n}) * 3, w = tern::randn({rows, n});
      const auto got = value_and_gradient(swiglu, x, w, device);
      const auto expected = value_and_gradient(composed, x, w, Device::reference);
      for (const int i : {0, 1}) {
        if (!allclose(got[i], expected[i], 1e-5, 1e-5)) {
          std::cout << (i == 0 ? "the value" : "the gradient") << " at [" << rows << ", " << 2 * n << "] on "
                    << device.str() << " differs from that of the ops\n";
          return false;
        }
      }
    }
  }
  return true;
}

}  // namespace

int main() {
  try {
    tern::manual_seed(1);
    if (!test(Device::cpu)) return 1;
    if (!tern::cuda::is_available()) return 77;  // skipped
    return test(Device::cuda) ? 0 : 1;
  } catch (const std::exception& e) {
    std::cout << e.what() << '\n';
    return 1;
  }
}
