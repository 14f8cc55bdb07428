#include <birds_vs_planes/divergence.hpp>
#include <birds_vs_planes/train.hpp>

#include <tern/core/autocast.hpp>
#include <tern/core/autograd.hpp>
#include <tern/core/generator.hpp>
#include <tern/core/ops.hpp>
#include <tern/optim/graphed_step.hpp>

#include <chrono>
#include <cmath>
#include <string>
#include <utility>

namespace birds_vs_planes {

using tern::Tensor;

namespace {

/// The loss of a batch, penalty included.
Tensor loss_of(Training& t, const tern::Batch& batch) {
  const tern::AutocastGuard autocast(t.autocast);
  const Tensor loss = t.loss_fn(t.model(batch.input), batch.target);
  return t.l2_lambda != 0 ? loss + t.l2_lambda * tern::sum_of_squares(t.model.parameters()) : loss;
}

/// The loss of step `number`. Cut into shards, of all of them, and without a graph: the gradients are then there.
Tensor loss_of_step(Training& t, const Tensor& number) {
  if (!t.parallel) return loss_of(t, t.batches.gather(number));
  t.optimizer.zero_grad();
  const Tensor loss = t.parallel->backward([&](int shard) {
    const Tensor part = loss_of(t, t.batches.gather(number, shard, t.parallel->shards()));
    return t.scaler ? t.scaler->scale(part) : part;
  });
  return t.scaler ? t.scaler->unscale(loss) : loss;
}

/// What to throw where the loss of step `number` of the epoch in hand is not finite: no step since has changed a
/// parameter, so it is done once more, with the random numbers it had.
Diverged diverged(Training& t, std::int64_t number, tern::kernels::PhiloxState random) {
  const Tensor step = tern::tensor({number}).to(t.device);
  std::string where;  // of the first shard whose loss is not finite
  const auto look = [&](int shard, int shards) {
    const tern::Batch batch = t.batches.gather(step, shard, shards);
    const tern::kernels::PhiloxState after_gathering = tern::default_generator().state();
    const Tensor loss = loss_of(t, batch);
    if (where.empty() && !std::isfinite(loss.item())) {
      tern::default_generator().set_state(after_gathering);
      const auto epoch = static_cast<int>(t.batches.state().epoch) + 1;
      const tern::AutocastGuard autocast(t.autocast);
      where = describe_divergence(t.model, batch.input, epoch, number + 1, loss.item());
    }
    return loss;
  };
  tern::default_generator().set_state(random);
  if (!t.parallel) {
    const tern::NoGradGuard no_grad;
    look(0, 1);
    return Diverged(where);
  }
  t.parallel->backward([&](int shard) { return look(shard, t.parallel->shards()); });
  for (const std::string& text : tern::distributed::all_gather_object(where)) {
    if (!text.empty()) return Diverged(text);
  }
  return Diverged("train: the mean of the shards' losses is too large for a float: try a lower learning rate");
}

}  // namespace

bool training_loop(int n_epochs, Training& t, const TrainingEvents& events) {
  using Clock = std::chrono::steady_clock;
  t.model.train();
  tern::GraphedStep step(t.optimizer, [&t](const Tensor& number) { return loss_of_step(t, number); },
                         {.schedule = t.schedule, .average = t.average, .scaler = t.scaler});
  const std::int64_t size = t.batches.size();
  for (auto at = t.batches.state(); at.epoch < n_epochs; at = t.batches.state()) {
    auto start = Clock::now();
    step.begin(at.epoch * size, size, {.step = at.position, .loss_sum = t.loss_sum});
    const tern::kernels::PhiloxState random = tern::default_generator().state();
    std::uint64_t blocks = 0;  // of random numbers that a step takes
    for (std::int64_t i = at.position; i < size; ++i) {
      step();
      if (i == at.position) blocks = tern::default_generator().state().offset - random.offset;
      const bool last = i + 1 == size, stopped = !last && events.stop();
      if (last || stopped || t.device.on_host()) {  // else the host would have to wait for the device
        const tern::kernels::StepState state = step.state();
        if (state.diverged_at >= 0) {
          const auto steps = static_cast<std::uint64_t>(state.diverged_at - at.position);
          throw diverged(t, state.diverged_at, {random.seed, random.offset + steps * blocks});
        }
        t.loss_sum = state.loss_sum;
      }
      t.seconds += std::chrono::duration<double>(Clock::now() - std::exchange(start, Clock::now())).count();
      t.batches.advance();
      events.batch_done();
      if (stopped) return false;
    }
    if (at.position == size) t.batches.advance();  // resumed where only the epoch's end was left
    const Epoch epoch{static_cast<int>(at.epoch) + 1, std::exchange(t.loss_sum, 0) / static_cast<double>(size),
                      t.optimizer.lr().front(), std::exchange(t.seconds, 0)};
    events.epoch_done(epoch);
    if (events.stop()) return false;
  }
  return true;
}

}  // namespace birds_vs_planes
