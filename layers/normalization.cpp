#include <tern/core/check.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops/options.hpp>
#include <tern/layers/normalization.hpp>

#include <algorithm>

namespace tern {
namespace {

// As Python writes them; None for none.
std::string number(std::optional<double> x) {
  if (!x) return "None";
  const std::string text = fmt::format("{}", *x);
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}
const char* boolean(bool x) { return x ? "True" : "False"; }
std::string tuple(const Shape& shape) {
  return fmt::format("({}{})", fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
}

Members defined(const Tensor& weight, const Tensor& bias) {
  Members m;
  if (weight.defined()) m.parameters.emplace_back("weight", weight);
  if (bias.defined()) m.parameters.emplace_back("bias", bias);
  return m;
}

/// Throws for a shape that nothing has, and eps as its op does.
void check_normalized(const char* who, const Shape& shape, double eps) {
  const bool sizes = std::all_of(shape.begin(), shape.end(), [](std::int64_t n) { return n >= 0; });
  check(!shape.empty() && sizes, "{}: normalized_shape {}, expected one dimension or more", who, shape);
  check_eps(who, eps);
}

constexpr TensorOptions learned{.requires_grad = true};

}  // namespace

BatchNorm::BatchNorm(const char* name, const char* shape, int min_dims, int max_dims, std::int64_t num_features,
                     double eps, std::optional<double> momentum, bool affine, bool track_running_stats)
    : name_(name),
      shape_(shape),
      min_dims_(min_dims),
      max_dims_(max_dims),
      num_features_(num_features),
      eps_(eps),
      momentum_(momentum) {
  check_batch_norm(name, eps, momentum);
  check(num_features >= 0, "{}: {} features, expected 0 or more", name, num_features);
  if (affine) {
    weight = ones({num_features}, learned);
    bias = zeros({num_features}, learned);
  }
  if (track_running_stats) {
    running_mean = zeros({num_features});
    running_var = ones({num_features});
    num_batches_tracked = zeros({}, {.dtype = DType::int64});
  }
}

BatchNorm2dOptions BatchNorm::options(Activation activation, const Tensor& residual) const {
  return {.training = is_training() || !running_mean.defined(),
          .momentum = momentum_,
          .eps = eps_,
          .activation = activation,
          .residual = residual,
          .num_batches_tracked = num_batches_tracked};
}

Tensor BatchNorm::normalize(const Tensor& x, const BatchNorm2dOptions& options) const {
  check_defined(name_, "x", x);
  check(min_dims_ <= x.dim() && x.dim() <= max_dims_, "{}: input {}, expected {}", name_, x.shape(), shape_);
  check(x.size(1) == num_features_, "{}: input {}, expected {} channels", name_, x.shape(), num_features_);
  return batch_norm(x, running_mean, running_var, weight, bias, options);
}

Tensor BatchNorm::forward(const Tensor& x) { return normalize(x, options(Activation::none)); }

Tensor BatchNorm::operator()(const Tensor& x, Activation activation, const Tensor& residual) {
  const Call call(*this);
  if (!has_hooks()) return normalize(x, options(activation, residual));
  const Tensor y = (*this)(x);
  return activate(residual.defined() ? y + residual : y, activation);
}

Tensor BatchNorm2d::max_pool2d(const Tensor& x, HeightWidth kernel_size, Activation activation,
                               const Pool2dOptions& pool) {
  const Call call(*this);
  if (has_hooks()) return activate(tern::max_pool2d((*this)(x), kernel_size, pool), activation);
  return batch_norm2d_max_pool2d(x, running_mean, running_var, weight, bias, options(activation), kernel_size, pool);
}

Tensor BatchNorm2d::max_pool2d(Conv2d& conv, const Tensor& x, HeightWidth kernel_size, Activation activation) {
  if (has_hooks() || conv.has_hooks()) return max_pool2d(conv(x), kernel_size, activation);
  { const Call convolution(conv); }  // each is looked for on its own: alone, the one is no part of the other
  const Call call(*this);
  return conv2d_batch_norm2d_max_pool2d(x, conv.weight, conv.bias, conv.op_options(), running_mean, running_var, weight,
                                        bias, options(activation), kernel_size);
}

Members BatchNorm::members() {
  Members m = defined(weight, bias);
  if (running_mean.defined()) {
    m.buffers = {
        {"running_mean", running_mean}, {"running_var", running_var}, {"num_batches_tracked", num_batches_tracked}};
  }
  return m;
}

std::string BatchNorm::str() const {
  return fmt::format("{}({}, eps={}, momentum={}, affine={}, track_running_stats={})", name_, num_features_,
                     number(eps_), number(momentum_), boolean(weight.defined()), boolean(running_mean.defined()));
}

LayerNorm::LayerNorm(const Shape& normalized_shape, double eps, bool elementwise_affine, bool with_bias)
    : normalized_shape_(normalized_shape), eps_(eps) {
  check_normalized("LayerNorm", normalized_shape, eps);
  if (elementwise_affine) weight = ones(normalized_shape, learned);
  if (elementwise_affine && with_bias) bias = zeros(normalized_shape, learned);
}

Members LayerNorm::members() { return defined(weight, bias); }

std::string LayerNorm::str() const {
  return fmt::format("LayerNorm({}, eps={}, elementwise_affine={})", tuple(normalized_shape_), number(eps_),
                     boolean(weight.defined()));
}

RMSNorm::RMSNorm(const Shape& normalized_shape, std::optional<double> eps, bool elementwise_affine)
    : normalized_shape_(normalized_shape), eps_(eps) {
  check_normalized("RMSNorm", normalized_shape, eps.value_or(0));
  if (elementwise_affine) weight = ones(normalized_shape, learned);
}

Members RMSNorm::members() { return defined(weight, {}); }

std::string RMSNorm::str() const {
  return fmt::format("RMSNorm({}, eps={}, elementwise_affine={})", tuple(normalized_shape_), number(eps_),
                     boolean(weight.defined()));
}

GroupNorm::GroupNorm(std::int64_t num_groups, std::int64_t num_channels, double eps, bool affine)
    : num_groups_(num_groups), num_channels_(num_channels), eps_(eps) {
  check(num_groups > 0 && num_channels >= 0 && num_channels % num_groups == 0,
        "GroupNorm: {} groups of {} channels, expected a divisor", num_groups, num_channels);
  check_eps("GroupNorm", eps);
  if (!affine) return;
  weight = ones({num_channels}, learned);
  bias = zeros({num_channels}, learned);
}

Tensor GroupNorm::forward(const Tensor& x) {
  check_defined("GroupNorm", "x", x);
  check(x.dim() >= 2 && x.size(1) == num_channels_, "GroupNorm: input {}, expected [N, {}, ...]", x.shape(),
        num_channels_);
  return group_norm(x, num_groups_, weight, bias, eps_);
}

Members GroupNorm::members() { return defined(weight, bias); }

std::string GroupNorm::str() const {
  return fmt::format("GroupNorm({}, {}, eps={}, affine={})", num_groups_, num_channels_, number(eps_),
                     boolean(weight.defined()));
}

InstanceNorm2d::InstanceNorm2d(std::int64_t num_features, double eps, bool affine)
    : num_features_(num_features), eps_(eps) {
  check(num_features >= 0, "InstanceNorm2d: {} features, expected 0 or more", num_features);
  check_eps("InstanceNorm2d", eps);
  if (!affine) return;
  weight = ones({num_features}, learned);
  bias = zeros({num_features}, learned);
}

Tensor InstanceNorm2d::forward(const Tensor& x) {
  check_defined("InstanceNorm2d", "x", x);
  check(x.dim() == 3 || x.dim() == 4, "InstanceNorm2d: input {}, expected [N, C, H, W] or [C, H, W]", x.shape());
  const Tensor images = x.dim() == 3 ? x.unsqueeze(0) : x;
  const Tensor y = instance_norm(images, weight, bias, eps_);
  return x.dim() == 3 ? y.squeeze(0) : y;
}

Members InstanceNorm2d::members() { return defined(weight, bias); }

std::string InstanceNorm2d::str() const {
  return fmt::format("InstanceNorm2d({}, eps={}, momentum=0.1, affine={}, track_running_stats=False)", num_features_,
                     number(eps_), boolean(weight.defined()));
}

}  // namespace tern
