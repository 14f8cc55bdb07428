#pragma once

#include <birds_vs_planes/options.hpp>
#include <birds_vs_planes/saved_model.hpp>

#include <tern/core/device.hpp>

namespace birds_vs_planes {

/// The device, threads and model that the options ask for, the model moved to the device; where no file is loaded, the
/// model is `fresh` unless the options name one, and its weights are drawn from the seed.
struct Setup {
  Setup(const Options& options, const std::string& fresh);

  tern::Device device;
  NamedModel model;

  std::string str() const;
};

}  // namespace birds_vs_planes
