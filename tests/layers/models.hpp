#pragma once

/// The models that tell birds from planes, as torch_parity.py has them in PyTorch.

#include <tern/core/ops.hpp>
#include <tern/layers/layers.hpp>

#include <optional>

namespace tern::test {

/// Convolutions 3 -> width -> width / 2, then 512 or 1024 -> 32 -> 2.
struct Net : Module {
  explicit Net(std::int64_t width, bool batch_norm = false, std::optional<double> dropout = {})
      : conv1({.in_channels = 3, .out_channels = width, .kernel_size = 3, .padding = 1}),
        conv2({.in_channels = width, .out_channels = width / 2, .kernel_size = 3, .padding = 1}),
        fc1(width / 2 * 8 * 8, 32),
        fc2(32, 2) {
    if (batch_norm) {
      conv1_batchnorm.emplace(width);
      conv2_batchnorm.emplace(width / 2);
    }
    if (dropout) {
      conv1_dropout.emplace(*dropout);
      conv2_dropout.emplace(*dropout);
    }
  }

  Members members() override {
    Members m{.modules = {{"conv1", &conv1}, {"conv2", &conv2}, {"fc1", &fc1}, {"fc2", &fc2}}};
    if (conv1_batchnorm) m.modules.emplace_back("conv1_batchnorm", &*conv1_batchnorm);
    if (conv2_batchnorm) m.modules.emplace_back("conv2_batchnorm", &*conv2_batchnorm);
    if (conv1_dropout) m.modules.emplace_back("conv1_dropout", &*conv1_dropout);
    if (conv2_dropout) m.modules.emplace_back("conv2_dropout", &*conv2_dropout);
    return m;
  }

  Tensor forward(const Tensor& x) override {
    Tensor y = conv1(x);
    if (conv1_batchnorm) y = (*conv1_batchnorm)(y);
    y = max_pool2d(tanh(y), 2);
    if (conv1_dropout) y = (*conv1_dropout)(y);
    y = conv2(y);
    if (conv2_batchnorm) y = (*conv2_batchnorm)(y);
    y = max_pool2d(tanh(y), 2);
    if (conv2_dropout) y = (*conv2_dropout)(y);
    return fc2(tanh(fc1(y.flatten(1))));
  }

  Conv2d conv1, conv2;
  Linear fc1, fc2;
  std::optional<BatchNorm2d> conv1_batchnorm, conv2_batchnorm;
  std::optional<Dropout2d> conv1_dropout, conv2_dropout;
};

}  // namespace tern::test
