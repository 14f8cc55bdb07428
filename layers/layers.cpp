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
  if (!has_hooks()) return linear(x, weight, bias, activation);
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

Dropout::Dropout(double p) : p_(p) { check_probability("Dropout", p); }
Dropout2d::Dropout2d(double p) : p_(p) { check_probability("Dropout2d", p); }

std::string Dropout::str() const { return fmt::format("Dropout(p={})", p_); }
std::string Dropout2d::str() const { return fmt::format("Dropout2d(p={})", p_); }
std::string Flatten::str() const { return fmt::format("Flatten({}, {})", start_dim_, end_dim_); }

}  // namespace tern
