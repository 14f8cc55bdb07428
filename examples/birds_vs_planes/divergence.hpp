#pragma once

#include <tern/layers/module.hpp>

#include <cstdint>
#include <string>

namespace birds_vs_planes {

/// Whether no element is infinite or not a number.
bool all_finite(const tern::Tensor& x);

/// Says, for a training whose loss is not finite, at which step of which epoch, and where in the model it began: runs
/// it once more on the step's images and names the first layer whose output is not finite. The model's buffers change,
/// and its layers are watched from then on: it is of no use any more.
std::string describe_divergence(tern::Module& model, const tern::Tensor& images, int epoch, std::int64_t step,
                                double loss);

}  // namespace birds_vs_planes
