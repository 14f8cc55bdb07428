#pragma once

#include <tern/data/data_loader.hpp>
#include <tern/layers/layers.hpp>
#include <tern/optim/averaged_model.hpp>
#include <tern/optim/optimizer.hpp>

#include <cstdint>
#include <functional>
#include <optional>

namespace birds_vs_planes {

/// What a training is made of. The loader says where it stands; the rest of its state is in the other parts.
struct Training {
  tern::Module& model;
  tern::Optimizer& optimizer;
  tern::DataLoader& loader;
  tern::CrossEntropyLoss loss_fn;
  tern::Device device = tern::Device::cpu;
  double l2_lambda = 0;                    ///< adds this times the sum of the squares of all parameters to the loss
  std::optional<std::int64_t> shift = {};  ///< flip images, and move them by up to so many pixels, at random
  std::int64_t cutout = 0;                 ///< then grey a square of so many pixels at random
  tern::LRScheduler* schedule = nullptr;   ///< set to the number of each step, from 0, before it
  tern::AveragedModel* average = nullptr;  ///< updated after each batch

  double seconds = 0;                                                        ///< spent on the epoch in hand
  tern::Tensor loss_sum = tern::zeros({}, {.dtype = tern::DType::float64});  ///< over its batches
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

/// The article's training loop, from where the loader stands to the end of epoch `n_epochs`. Returns whether it got
/// there; stopped on the way or as the last epoch was done, it can be called again and goes on with the next batch.
/// Throws Diverged, which names the step and the layer whose output first was not finite, before such a loss has
/// changed a weight; on devices whose host would have to wait for each loss, at the end of the epoch.
bool training_loop(int n_epochs, Training& training, const TrainingEvents& events);

}  // namespace birds_vs_planes
