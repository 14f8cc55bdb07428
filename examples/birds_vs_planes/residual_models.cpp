#include <birds_vs_planes/residual_models.hpp>

#include <tern/core/autograd.hpp>

#include <cmath>

namespace birds_vs_planes {

ConvNorm::ConvNorm(std::int64_t in_channels, std::int64_t out_channels, double scale)
    : conv({.in_channels = in_channels, .out_channels = out_channels, .kernel_size = 3, .padding = 1, .bias = false}),
      batch_norm(out_channels) {
  const tern::NoGradGuard no_grad;
  normal_(conv.weight, 0, std::sqrt(2.0 / static_cast<double>(in_channels * 9)));
  batch_norm.weight.fill_(scale);
}

tern::Tensor ConvNorm::relu(const tern::Tensor& x, const tern::Tensor& residual) {
  if (!has_hooks()) return batch_norm(conv(x), tern::Activation::relu, residual);
  const tern::Tensor y = (*this)(x);
  return tern::relu(residual.defined() ? y + residual : y);
}

tern::Tensor ConvNorm::max_pool2d_relu(const tern::Tensor& x) {
  if (!has_hooks()) return batch_norm.max_pool2d(conv, x, 2, tern::Activation::relu);
  return tern::relu(tern::max_pool2d((*this)(x), 2));
}

tern::Tensor ConvNormPool::relu(const tern::Tensor& x) {
  return has_hooks() ? tern::relu((*this)(x)) : batch_norm.max_pool2d(conv, x, 2, tern::Activation::relu);
}

}  // namespace birds_vs_planes
