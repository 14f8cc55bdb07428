#pragma once

#include <birds_vs_planes/history.hpp>
#include <birds_vs_planes/saved_model.hpp>

#include <tern/core/device.hpp>
#include <tern/data/data_loader.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace birds_vs_planes {

/// What a model makes of labelled images.
struct Judgement {
  std::vector<int> labels;          ///< of each image: what it is
  std::vector<double> probability;  ///< that it is a bird, as the model has it; from 0 to 1
  int predicted(std::size_t i) const { return probability[i] > 0.5; }
  double confidence(std::size_t i) const { return predicted(i) ? probability[i] : 1 - probability[i]; }

  /// [label][predicted].
  std::array<std::array<std::int64_t, 2>, 2> confusion() const;
  /// Those of the mistaken images that are of a class, the most confident first; at most so many.
  std::vector<std::int64_t> worst(int label, std::size_t at_most) const;
};

/// Of all the loader's images. Throws tern::Error where a probability is no number.
Judgement judge(NamedModel& model, tern::DataLoader& loader, tern::Device device);

/// The images of which the model was between `from` and `to` sure.
struct CalibrationBin {
  double from, to;
  std::int64_t count;
  double confidence, accuracy;  ///< their means; 0 for an empty bin
};

/// Ten bins of equal width from one half to one.
std::vector<CalibrationBin> calibration(const Judgement& judgement);

/// The mean distance of confidence and accuracy over the bins, weighted by their counts: the expected calibration error
/// of Guo et al., "On calibration of modern neural networks", 2017, equation 5.
double calibration_error(const std::vector<CalibrationBin>& bins);

}  // namespace birds_vs_planes
