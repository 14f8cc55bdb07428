#pragma once

#include <tern/layers/module.hpp>
#include <tern/optim/optimizer.hpp>

#include <functional>
#include <utility>
#include <vector>

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
  void update() {
    prepared(nullptr, 0)();
    count_update();
  }
  /// Copies the averages into a model of the same kind, which may be the one that is averaged.
  void copy_to(Module& model) const { model.load_state_dict(averages()); }

  /// The averages under the model's names, and "num_updates". load_state_dict throws Error for those of another model.
  /// @{
  StateDict state_dict() const;
  void load_state_dict(const StateDict& state);
  /// @}

  // What update() is made of, for GraphedStep.
  /// What takes the values in, by the weight in that column of the table unless it is null, and counts nothing. All that
  /// it needs is there: on the host it does not fail.
  std::function<void()> prepared(const StepTable* table, std::int64_t column) const;
  /// Counts an update.
  void count_update() { ++updates_; }
  /// That weight, of the model's values, for the update after `ahead` more.
  double weight(std::int64_t ahead) const;

 private:
  /// With the latest values of what is not averaged.
  const StateDict& averages() const;

  Module& model_;
  double decay_;
  std::int64_t updates_ = 0;
  StateDict averages_;
  std::vector<std::pair<Tensor, Tensor>> averaged_;  ///< the model's floating tensors, and their averages
};

}  // namespace tern
