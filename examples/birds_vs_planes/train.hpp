#pragma once

#include <tern/data/image_batches.hpp>
#include <tern/distributed/data_parallel.hpp>
#include <tern/layers/layers.hpp>
#include <tern/layers/losses.hpp>
#include <tern/optim/averaged_model.hpp>
#include <tern/optim/grad_scaler.hpp>
#include <tern/optim/schedules.hpp>

#include <cstdint>
#include <functional>

namespace birds_vs_planes {

/// What a training is made of. The batches say where it stands; the rest of its state is in the other parts.
struct Training {
  tern::Module& model;
  tern::Optimizer& optimizer;
  tern::ImageBatches& batches;
  tern::CrossEntropyLoss loss_fn;
  tern::Device device = tern::Device::cpu;      ///< of the model and of the batches
  tern::DType autocast = tern::DType::float32;  ///< what the model computes in: see AutocastGuard
  double l2_lambda = 0;                    ///< adds this times the sum of the squares of all parameters to the loss
  tern::LRScheduler* schedule = nullptr;   ///< set to the number of each step, from 0, before it
  tern::AveragedModel* average = nullptr;  ///< updated after each batch
  tern::GradScaler* scaler = nullptr;      ///< for float16
  /// Of the model, where a batch is cut into shards; they divide it.
  tern::distributed::DistributedDataParallel* parallel = nullptr;

  double seconds = 0;   ///< spent on the epoch in hand
  double loss_sum = 0;  ///< over its batches
};

struct Epoch {
  int number;      ///< from 1
  double loss;     ///< the mean over the epoch's batches, penalty included
  double lr;       ///< the learning rate of its last step
  double seconds;  ///< spent on training
};

/// What to call on the way. None may be empty.
struct TrainingEvents {
  std::function<void()> batch_done;
  std::function<void(const Epoch& epoch)> epoch_done;
  std::function<bool()> stop;  ///< asked after each batch and each epoch: true ends the training there
};

/// A loss, and so the weights to come, that is not finite.
struct Diverged : tern::Error {
  using tern::Error::Error;
};

/// The article's training loop, from where the batches stand to the end of epoch `n_epochs`. Returns whether it got
/// there; stopped on the way or as the last epoch was done, it can be called again and goes on with the next batch.
/// Throws Diverged, which names the step and the layer whose output first was not finite: such a loss changes no
/// weight, and none does after it. On devices whose host would have to wait for each loss it is thrown at the end of
/// the epoch. Several ranks go through it together: `stop` tells all of them the same, and Diverged is thrown on all.
bool training_loop(int n_epochs, Training& training, const TrainingEvents& events);

}  // namespace birds_vs_planes
