#pragma once

/// A training run of a few steps that can be broken off anywhere, and what is left of it, bit by bit.

#include "../layers/models.hpp"

#include <tern/core/generator.hpp>
#include <tern/core/step_guard.hpp>
#include <tern/optim/averaged_model.hpp>
#include <tern/optim/optimizer.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace tern::test {

struct TrainingJob {
  const char* name;
  bool adamw;
  bool batch_norm;
  bool dropout;
};

/// A convolution and a linear layer for images of 4 x 4, for the emulator's sake.
struct TinyNet : Module {
  explicit TinyNet(const TrainingJob& job)
      : conv({.in_channels = 3, .out_channels = 2, .kernel_size = 3, .padding = 1}), fc(2 * 2 * 2, 2) {
    if (job.batch_norm) batch_norm.emplace(2);
    if (job.dropout) dropout.emplace(0.4);
  }
  Members members() override {
    Members m{.modules = {{"conv", &conv}, {"fc", &fc}}};
    if (batch_norm) m.modules.emplace_back("batch_norm", &*batch_norm);
    return m;
  }
  Tensor forward(const Tensor& x) override {
    Tensor y = batch_norm ? batch_norm->max_pool2d(conv(x), 2, Activation::tanh) : conv.max_pool2d(x, 2, Activation::tanh);
    if (dropout) y = (*dropout)(y);
    return fc(y.flatten(1));
  }

  Conv2d conv;
  Linear fc;
  std::optional<BatchNorm2d> batch_norm;
  std::optional<Dropout2d> dropout;
};

/// The bits of every tensor.
using Bits = std::map<std::string, std::vector<double>>;

class Training {
 public:
  explicit Training(const TrainingJob& job, Device device = Device::cpu)
      : device_(device),
        seed_((manual_seed(1), 1)),
        input_(device.on_host() ? randn({4, 3, 32, 32}) : randn({4, 3, 4, 4})),
        target_(tensor(std::vector<std::int64_t>{0, 1, 1, 0})) {
    if (device.on_host()) {
      model_ = std::make_unique<Net>(4, job.batch_norm, job.dropout ? std::optional(0.4) : std::nullopt);
    } else {
      model_ = std::make_unique<TinyNet>(job);
      model_->to(device);
    }
    if (job.adamw) {
      optimizer_ = std::make_unique<AdamW>(model_->parameters());
    } else {
      optimizer_ = std::make_unique<SGD>(model_->parameters(), SGDOptions{.lr = 0.05, .momentum = 0.9});
    }
    average_ = std::make_unique<AveragedModel>(*model_, 0.9);
  }

  void step() {
    StepGuard guard;
    const Tensor loss = cross_entropy((*model_)(input_.to(device_)), target_.to(device_));
    optimizer_->zero_grad();
    loss.backward();
    optimizer_->step();
    guard.keep();
  }
  /// Of parameters, buffers, optimiser, average and generator.
  Bits bits() {
    Bits all;
    const auto add = [&all](const std::string& prefix, const StateDict& state) {
      for (const auto& [name, x] : state) all[prefix + name] = x.to_vector<double>();
    };
    add("model.", model_->state_dict());
    add("optimizer.", optimizer_->state_dict());
    add("average.", average_->state_dict());
    const kernels::PhiloxState random = default_generator().state();
    all["generator"] = {static_cast<double>(random.seed), static_cast<double>(random.offset)};
    return all;
  }

  Module& model() { return *model_; }
  Optimizer& optimizer() { return *optimizer_; }
  AveragedModel& average() { return *average_; }
  const Tensor& input() const { return input_; }
  const Tensor& target() const { return target_; }

 private:
  Device device_;
  int seed_;  ///< set before the first number is drawn
  Tensor input_, target_;
  std::unique_ptr<Module> model_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<AveragedModel> average_;
};

}  // namespace tern::test
