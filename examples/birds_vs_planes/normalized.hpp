#pragma once

#include <tern/core/ops.hpp>
#include <tern/layers/module.hpp>

#include <memory>
#include <utility>

namespace birds_vs_planes {

/// A network that gets (image - mean) / std. The two are buffers, input_mean and input_std [3], so that they are saved
/// with the weights; the network's own names stay as they are.
struct Normalized : tern::Module {
  Normalized(std::unique_ptr<tern::Module> model, const tern::Tensor& mean, const tern::Tensor& std)
      : net(std::move(model)), input_mean(mean), input_std(std) {}

  tern::Members members() override {
    tern::Members all = net->members();
    all.buffers.emplace_back("input_mean", input_mean);
    all.buffers.emplace_back("input_std", input_std);
    return all;
  }

  tern::Tensor forward(const tern::Tensor& x) override {
    net->train(is_training());  // its modules are members here, it is none itself
    return (*net)((x - input_mean.reshape({1, -1, 1, 1})) / input_std.reshape({1, -1, 1, 1}));
  }

  std::unique_ptr<tern::Module> net;
  tern::Tensor input_mean, input_std;
};

}  // namespace birds_vs_planes
