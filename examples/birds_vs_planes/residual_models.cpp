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

}  // namespace birds_vs_planes
