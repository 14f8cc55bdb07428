#pragma once

#include <tern/data/dataset.hpp>

#include <optional>
#include <string>

namespace birds_vs_planes {

struct Data {
  tern::TensorDataset train, validation;
  std::string name;                                ///< "CIFAR-10" or what was asked for
  std::string description;                         ///< for people: what it is, how much, from where
  std::optional<tern::TensorDataset> others = {};  ///< the training images of CIFAR-10's other classes, labels 2 to 9
};

/// Airplanes (label 0) and birds (1) of CIFAR-10 from a folder or a file, as Cifar10::load takes it, or drawn ones: for
/// "synthetic" 2,000 to train on, for "synthetic:N" N, and a quarter as many to validate. With nothing given, from the
/// folder that scripts/fetch_cifar10 fills: $TERN_DATA, else $XDG_CACHE_HOME/tern/cifar10, else ~/.cache/tern/cifar10.
/// The other classes are read where they are asked for; drawn data have none.
/// Throws tern::Error where a file is missing or is not the published one, and where nothing names a folder.
Data load_data(const std::optional<std::string>& place_or_synthetic, bool with_others = false);

}  // namespace birds_vs_planes
