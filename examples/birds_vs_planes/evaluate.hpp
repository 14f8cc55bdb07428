#pragma once

#include <birds_vs_planes/options.hpp>

#include <tern/data/data_loader.hpp>
#include <tern/layers/module.hpp>

#include <cstdint>

namespace birds_vs_planes {

struct Accuracy {
  std::int64_t correct, total;
  double value() const { return static_cast<double>(correct) / static_cast<double>(total); }
};

/// The probabilities [N, 2] that the model, set to evaluation meanwhile, gives images [N, 3, H, W]; with `flips` the
/// mean of those for the images and for their mirror images.
tern::Tensor probabilities(tern::Module& model, const tern::Tensor& images, bool flips);

/// Goes over images to measure on them: in order, in the options' batches, all of them unless `drop_last` leaves out an
/// incomplete batch at the end.
tern::DataLoader measuring_loader(const tern::Dataset& images, const Options& options, bool drop_last = false);

/// How many of the loader's images the model takes for what they are. Several ranks measure together: each takes its
/// share of the batches, and knows the result of all.
Accuracy accuracy(tern::Module& model, tern::DataLoader& loader, tern::Device device, bool flips = false);

}  // namespace birds_vs_planes
