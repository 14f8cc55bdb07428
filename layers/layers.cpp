#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/ops/options.hpp>
#include <tern/layers/layers.hpp>
#include <tern/layers/parameters.hpp>

namespace tern {
Linear::Linear(std::int64_t in_features, std::int64_t out_features, bool with_bias) {
  check(in_features > 0 && out_features > 0, "Linear: {} to {} features, expected positive numbers", in_features,
        out_features);
  weight = uniform_parameter({out_features, in_features}, in_features);
  if (with_bias) bias = uniform_parameter({out_features}, in_features);
}

Tensor Linear::forward(const Tensor& x) { return linear(x, weight, bias); }

Tensor Linear::operator()(const Tensor& x, Activation activation) {
  const Call call(*this);
  if (!has_forward_hooks()) return linear(x, weight, bias, activation);
  const Tensor y = (*this)(x);
  switch (activation) {
    case Activation::tanh:
      return tanh(y);
    case Activation::relu:
      return relu(y);
    case Activation::none:
      break;
  }
  return y;
}

Members Linear::members() {
  Members m{.parameters = {{"weight", weight}}};
  if (bias.defined()) m.parameters.emplace_back("bias", bias);
  return m;
}

std::string Linear::str() const {
  return fmt::format("Linear({}, {}{})", weight.size(1), weight.size(0), bias.defined() ? "" : ", bias=False");
}

BatchNorm2d::BatchNorm2d(std::int64_t num_features, double eps, double momentum) : eps_(eps), momentum_(momentum) {
  check_batch_norm("BatchNorm2d", eps, momentum);
  check(num_features >= 0, "BatchNorm2d: {} features, expected 0 or more", num_features);
  weight = ones({num_features}, {.requires_grad = true});
  bias = zeros({num_features}, {.requires_grad = true});
  running_mean = zeros({num_features});
  running_var = ones({num_features});
  num_batches_tracked = zeros({}, {.dtype = DType::int64});
}

BatchNorm2dOptions BatchNorm2d::options(Activation activation, const Tensor& residual) const {
  return {.training = is_training(),
          .momentum = momentum_,
          .eps = eps_,
          .activation = activation,
          .residual = residual,
          .num_batches_tracked = num_batches_tracked};
}

Tensor BatchNorm2d::forward(const Tensor& x) {
  return batch_norm2d(x, running_mean, running_var, weight, bias, options(Activation::none));
}

Tensor BatchNorm2d::operator()(const Tensor& x, Activation activation, const Tensor& residual) {
  const Call call(*this);
  if (!has_forward_hooks()) {
    return batch_norm2d(x, running_mean, running_var, weight, bias, options(activation, residual));
  }
  const Tensor y = (*this)(x);
  return activate(residual.defined() ? y + residual : y, activation);
}

Tensor BatchNorm2d::max_pool2d(const Tensor& x, HeightWidth kernel_size, Activation activation,
                               const Pool2dOptions& pool) {
  const Call call(*this);
  if (has_forward_hooks()) return activate(tern::max_pool2d((*this)(x), kernel_size, pool), activation);
  return batch_norm2d_max_pool2d(x, running_mean, running_var, weight, bias, options(activation), kernel_size, pool);
}

Members BatchNorm2d::members() {
  return {
      .parameters = {{"weight", weight}, {"bias", bias}},
      .buffers = {
          {"running_mean", running_mean}, {"running_var", running_var}, {"num_batches_tracked", num_batches_tracked}}};
}

Dropout::Dropout(double p) : p_(p) { check_probability("Dropout", p); }
Dropout2d::Dropout2d(double p) : p_(p) { check_probability("Dropout2d", p); }

CrossEntropyLoss::CrossEntropyLoss(const CrossEntropyOptions& options) : options_(options) {
  check_options("CrossEntropyLoss", options);
}

std::string BatchNorm2d::str() const { return fmt::format("BatchNorm2d({})", weight.size(0)); }
std::string Dropout::str() const { return fmt::format("Dropout(p={})", p_); }
std::string Dropout2d::str() const { return fmt::format("Dropout2d(p={})", p_); }
std::string Flatten::str() const { return fmt::format("Flatten({}, {})", start_dim_, end_dim_); }

Tensor Sequential::forward(const Tensor& x) {
  Tensor y = x;
  for (const auto& layer : layers_) y = (*layer)(y);
  return y;
}

Members Sequential::members() {
  Members m;
  for (std::size_t i = 0; i < layers_.size(); ++i) m.modules.emplace_back(std::to_string(i), layers_[i].get());
  return m;
}

std::string Sequential::str() const { return fmt::format("Sequential({} layers)", layers_.size()); }

}  // namespace tern
