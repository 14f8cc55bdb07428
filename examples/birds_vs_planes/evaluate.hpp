#pragma once

#include <tern/data/data_loader.hpp>
#include <tern/layers/module.hpp>

#include <cstdint>

namespace birds_vs_planes {

struct Accuracy {
  std::int64_t correct, total;
  double value() const { return static_cast<double>(correct) / static_cast<double>(total); }
};

/// How many of the loader's images the model, set to evaluation meanwhile, takes for what they are.
Accuracy accuracy(tern::Module& model, tern::DataLoader& loader, tern::Device device);

}  // namespace birds_vs_planes
