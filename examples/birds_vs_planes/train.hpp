#pragma once

#include <tern/data/data_loader.hpp>
#include <tern/layers/layers.hpp>
#include <tern/optim/optimizer.hpp>

#include <cstdint>
#include <functional>

namespace birds_vs_planes {

struct Epoch {
  int number;      ///< from 1
  double loss;     ///< the mean over the epoch's batches, penalty included
  double seconds;  ///< spent on training
};

/// What to call on the way. Neither may be empty.
struct TrainingEvents {
  std::function<void()> batch_done;
  std::function<void(const Epoch& epoch)> epoch_done;
};

/// The article's training loop. Adds l2_lambda times the sum of the squares of all parameters to the loss.
/// Throws tern::Error once an epoch's loss is not a number.
void training_loop(int n_epochs, tern::Optimizer& optimizer, tern::Module& model, const tern::CrossEntropyLoss& loss_fn,
                   tern::DataLoader& train_loader, tern::Device device, double l2_lambda, const TrainingEvents& events);

}  // namespace birds_vs_planes
