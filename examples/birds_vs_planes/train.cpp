#include <birds_vs_planes/divergence.hpp>
#include <birds_vs_planes/train.hpp>

#include <tern/core/ops.hpp>
#include <tern/data/augment.hpp>
#include <tern/optim/graphed_step.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

namespace birds_vs_planes {

using tern::Tensor;

namespace {

/// The sum of the squares of all parameters.
Tensor l2_norm(tern::Module& model) {
  Tensor norm;
  for (const Tensor& p : model.parameters()) {
    const Tensor squares = p.pow(2.0).sum();
    norm = norm.defined() ? norm + squares : squares;
  }
  return norm;
}

/// A batch of images as the training is to see it.
Tensor augmented(const Tensor& input, const Training& t) {
  constexpr double grey = 0.5;
  const Tensor images = t.shift ? tern::random_flip_and_shift(input, *t.shift) : input;
  if (t.cutout > 0) tern::random_cutout_(images, t.cutout, grey);
  return images;
}

/// What to throw where the loss of the batch in hand is not finite.
Diverged diverged(const Training& t, const Tensor& images, double loss) {
  const tern::DataLoader::State at = t.loader.state();
  return Diverged(describe_divergence(t.model, images, static_cast<int>(at.epoch) + 1, at.position, loss));
}

}  // namespace

bool training_loop(int n_epochs, Training& t, const TrainingEvents& events) {
  using Clock = std::chrono::steady_clock;
  t.model.train();
  t.loss_sum = t.loss_sum.to(t.device);  // summed there, so that no batch has to wait for the one before it
  const auto steps_done = [&] { return t.loader.state().epoch * t.loader.size() + t.loader.state().position; };
  const auto set_schedule = [&](std::int64_t step) {
    if (t.schedule) t.schedule->set_epoch(std::max<std::int64_t>(step, 0));
  };
  t.loader.set_state(t.loader.state());  // a training that was stopped goes on, in the middle of its epoch
  set_schedule(steps_done() - 1);  // of the step before, for an epoch of which only the end is left
  tern::GraphedStep step(t.optimizer, [&](const Tensor& imgs, const Tensor& labels) {
    Tensor loss = t.loss_fn(t.model(imgs), labels);
    if (t.l2_lambda != 0) loss = loss + t.l2_lambda * l2_norm(t.model);
    if (t.device.on_host() && !std::isfinite(loss.item())) throw diverged(t, imgs, loss.item());
    return loss;
  });
  while (t.loader.state().epoch < n_epochs) {
    const auto number = static_cast<int>(t.loader.state().epoch) + 1;
    auto start = Clock::now();
    for (const auto& [input, target] : t.loader) {
      const Tensor imgs = augmented(input, t).to(t.device);
      set_schedule(steps_done() - 1);
      t.loss_sum.add_(step(imgs, target.to(t.device)));
      if (t.average) t.average->update();

      t.seconds += std::chrono::duration<double>(Clock::now() - std::exchange(start, Clock::now())).count();
      events.batch_done();
      if (events.stop()) return false;
      if (t.loader.state().position == t.loader.size() && !t.device.on_host() && !std::isfinite(t.loss_sum.item())) {
        throw diverged(t, imgs, t.loss_sum.item());
      }
    }
    const double loss = t.loss_sum.item() / static_cast<double>(t.loader.size());
    const Epoch epoch{number, loss, t.optimizer.lr().front(), t.seconds};
    t.loss_sum.zero_();
    t.seconds = 0;
    events.epoch_done(epoch);
    if (events.stop()) return false;
  }
  return true;
}

}  // namespace birds_vs_planes
