#pragma once

#include <tern/layers/module.hpp>

namespace tern {

/// The exponential moving average of a model's parameters and floating buffers; of others the latest values.
/// After the n-th update with decay d = min(decay, (1 + n) / (10 + n)): average = d * average + (1 - d) * model, so
/// that the first weights are soon forgotten. As torch.optim.swa_utils.AveragedModel, with the warm-up of TensorFlow's
/// ExponentialMovingAverage.
class AveragedModel {
 public:
  /// Starts from the model's values as they are. Throws Error unless 0 <= decay < 1.
  AveragedModel(Module& model, double decay);

  /// Takes the model's values in.
  void update();
  /// Copies the averages into a model of the same kind, which may be the one that is averaged.
  void copy_to(Module& model) const { model.load_state_dict(averages_); }

  /// The averages under the model's names, and "num_updates". load_state_dict throws Error for those of another model.
  StateDict state_dict() const;
  void load_state_dict(const StateDict& state);

 private:
  Module& model_;
  double decay_;
  std::int64_t updates_ = 0;
  StateDict averages_;
};

}  // namespace tern
