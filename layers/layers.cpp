#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/ops/options.hpp>
#include <tern/layers/layers.hpp>

#include <cmath>

namespace tern {
namespace {

/// A parameter uniform in +-1 / sqrt(fan_in): what PyTorch's kaiming_uniform_(a=sqrt(5)) comes to.
Tensor uniform_parameter(const Shape& shape, std::int64_t fan_in) {
  const Tensor x = empty(shape);
  const double bound = fan_in > 0 ? 1 / std::sqrt(static_cast<double>(fan_in)) : 0;
  uniform_(x, -bound, bound);
  return x.set_requires_grad();
}

std::string both(HeightWidth v) { return v.h == v.w ? fmt::format("{}", v.h) : fmt::format("({}, {})", v.h, v.w); }

std::string pool_str(const char* name, HeightWidth kernel_size, const Pool2dOptions& options) {
  std::string text = fmt::format("{}(kernel_size={}", name, both(kernel_size));
  if (options.stride) text += ", stride=" + both(*options.stride);
  if (options.padding.h != 0 || options.padding.w != 0) text += ", padding=" + both(options.padding);
  return text + ")";
}

}  // namespace

Conv2d::Conv2d(const Options& o) : options_(o) {
  check_options("Conv2d", o.kernel_size, op_options());
  check(
      o.in_channels > 0 && o.out_channels > 0 && o.in_channels % o.groups == 0 && o.out_channels % o.groups == 0,
      "Conv2d: {} to {} channels, {} groups, kernel {}, expected positive numbers and groups that divide both channels",
      o.in_channels, o.out_channels, o.groups, both(o.kernel_size));
  const Shape shape{o.out_channels, o.in_channels / o.groups, o.kernel_size.h, o.kernel_size.w};
  const std::int64_t fan_in = shape.numel() / o.out_channels;
  weight = uniform_parameter(shape, fan_in);
  if (o.bias) bias = uniform_parameter({o.out_channels}, fan_in);
}

Conv2dOptions Conv2d::op_options() const {
  return {
      .stride = options_.stride, .padding = options_.padding, .dilation = options_.dilation, .groups = options_.groups};
}

Tensor Conv2d::forward(const Tensor& x) { return conv2d(x, weight, bias, op_options()); }

Tensor Conv2d::max_pool2d(const Tensor& x, HeightWidth kernel_size, Activation activation) {
  const Call call(*this);
  if (!has_forward_hooks()) return conv2d_max_pool2d(x, weight, bias, op_options(), kernel_size, activation);
  const Tensor y = (*this)(x);
  return activate(kernel_size.h == 1 && kernel_size.w == 1 ? y : tern::max_pool2d(y, kernel_size), activation);
}

Members Conv2d::members() {
  Members m{.parameters = {{"weight", weight}}};
  if (bias.defined()) m.parameters.emplace_back("bias", bias);
  return m;
}

std::string Conv2d::str() const {
  std::string text = fmt::format("Conv2d({}, {}, kernel_size={}", options_.in_channels, options_.out_channels,
                                 both(options_.kernel_size));
  if (options_.stride.h != 1 || options_.stride.w != 1) text += ", stride=" + both(options_.stride);
  if (options_.padding.h != 0 || options_.padding.w != 0) text += ", padding=" + both(options_.padding);
  if (options_.dilation.h != 1 || options_.dilation.w != 1) text += ", dilation=" + both(options_.dilation);
  if (options_.groups != 1) text += fmt::format(", groups={}", options_.groups);
  return text + (bias.defined() ? ")" : ", bias=False)");
}

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

Dropout::Dropout(double p) : p_(p) { check_probability("Dropout", p); }
Dropout2d::Dropout2d(double p) : p_(p) { check_probability("Dropout2d", p); }

MaxPool2d::MaxPool2d(HeightWidth kernel_size, const Pool2dOptions& options)
    : kernel_size_(kernel_size), options_(options) {
  check_options("MaxPool2d", kernel_size, options);
}

AvgPool2d::AvgPool2d(HeightWidth kernel_size, const Pool2dOptions& options)
    : kernel_size_(kernel_size), options_(options) {
  check_options("AvgPool2d", kernel_size, options);
}

std::string Dropout::str() const { return fmt::format("Dropout(p={})", p_); }
std::string Dropout2d::str() const { return fmt::format("Dropout2d(p={})", p_); }
std::string MaxPool2d::str() const { return pool_str("MaxPool2d", kernel_size_, options_); }
std::string AvgPool2d::str() const { return pool_str("AvgPool2d", kernel_size_, options_); }
std::string Flatten::str() const { return fmt::format("Flatten({}, {})", start_dim_, end_dim_); }

}  // namespace tern
