#include <birds_vs_planes/divergence.hpp>

#include <tern/core/autograd.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace birds_vs_planes {

bool all_finite(const tern::Tensor& x) {
  const auto values = x.to_vector<double>();
  return std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
}

std::string describe_divergence(tern::Module& model, const tern::Tensor& images, int epoch, std::int64_t step,
                                double loss) {
  std::string where = "every layer's output is finite";
  bool found = false;
  for (const auto& [name, layer] : model.named_modules()) {
    layer->register_forward_hook([&where, &found, name = name](tern::Module& self, const tern::Tensor& output) {
      if (found || all_finite(output)) return;
      found = true;
      where = fmt::format("the first output that is not finite is that of {}, {}", name, self.str());
      for (const auto& [parameter, x] : self.named_parameters()) {
        if (all_finite(x)) continue;
        where += fmt::format(", whose {} is not finite", parameter);
        return;
      }
    });
  }
  const tern::NoGradGuard no_grad;
  model(images);
  const double unsigned_if_nan = std::isnan(loss) ? std::abs(loss) : loss;
  return fmt::format("train: the loss is {} at step {} of epoch {}: {}: try a lower learning rate", unsigned_if_nan,
                     step, epoch, where);
}

}  // namespace birds_vs_planes
