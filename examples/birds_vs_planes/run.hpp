#pragma once

#include <birds_vs_planes/data.hpp>
#include <birds_vs_planes/evaluate.hpp>
#include <birds_vs_planes/history.hpp>
#include <birds_vs_planes/recipe.hpp>
#include <birds_vs_planes/setup.hpp>
#include <birds_vs_planes/train.hpp>

#include <tern/core/safetensors.hpp>

#include <memory>
#include <optional>
#include <string>

namespace birds_vs_planes {

/// A training run: the parts that a recipe asks for, and the state of them all as one file, from which the run goes on
/// to bitwise the same weights.
class Run {
 public:
  /// Throws tern::Error, naming it, where a new run must not take that checkpoint's place: it is of a run that is not
  /// finished, or no checkpoint at all.
  static void check_replaceable(const std::string& checkpoint);

  /// Takes part of the training images for the hold-out. The data must outlive it. Several ranks make one together.
  /// Throws tern::Error unless the shards divide the batch, and the ranks the shards.
  Run(Setup setup, const Options& options, const Recipe& recipe, const Data& data);
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  /// training_loop() from where the run stands; returns whether it got to the end.
  bool train(const TrainingEvents& events) { return training_loop(recipe_.epochs, training_, events); }

  /// The state: weights, buffers, optimiser, moving average, loss scale, best so far; in the metadata schedule,
  /// generator, loader position, history, and what the run was asked for. Throws Diverged where a weight is not finite.
  tern::TensorFile checkpoint() const;
  /// Throws tern::Error, naming the file, where it is no checkpoint or of a run that was asked for something else.
  void resume(const tern::TensorFile& checkpoint, const std::string& file);

  /// Notes an epoch. With a hold-out, measures it and keeps the weights if they are the best so far.
  void note(const Epoch& epoch, std::optional<double> val_accuracy);

  /// The model to be judged: the moving average where the recipe has one.
  NamedModel& judged();
  /// The model to be saved: with a hold-out the one that did best on it, else the one to be judged.
  NamedModel& result();

  bool flips() const { return recipe_.flips; }
  tern::Device device() const { return setup_.device; }
  const Setup& setup() const { return setup_; }
  const Recipe& recipe() const { return recipe_; }
  const History& history() const { return history_; }
  const tern::Dataset& train_images() const { return train_images_; }
  const tern::Subset* holdout_images() const { return holdout_.size() > 0 ? &holdout_ : nullptr; }
  std::int64_t steps_per_epoch() const { return batches_.size(); }
  std::int64_t steps_done() const;
  /// Of each batch.
  int shards() const { return parallel_ ? parallel_->shards() : 1; }
  /// Of the best epoch on the hold-out so far; 0 before one is measured.
  int best_epoch() const { return best_epoch_; }

  /// The command, for a shell, that trains the same weights again: no threads, and no paths but that of loaded weights.
  std::string command() const;
  /// What is saved beside the weights.
  std::map<std::string, std::string> metadata() const;

 private:
  std::map<std::string, std::string> settings() const;

  const Options options_;
  Recipe recipe_;
  std::string data_name_;
  Setup setup_;
  tern::Subset train_images_, holdout_;
  tern::ImageBatches batches_;  ///< of what is trained on: those images, and others
  std::unique_ptr<tern::distributed::DistributedDataParallel> parallel_;  ///< null for one shard
  tern::SGD optimizer_;
  std::unique_ptr<tern::LRScheduler> schedule_;   ///< null for a constant rate
  std::unique_ptr<tern::AveragedModel> average_;  ///< null for none
  std::unique_ptr<tern::GradScaler> scaler_;      ///< null but for float16
  NamedModel judged_;                             ///< a model for the average, or the best, to be copied to
  Training training_;
  History history_;

  int best_epoch_ = 0;
  double best_accuracy_ = 0;
  tern::StateDict best_;
};

}  // namespace birds_vs_planes
