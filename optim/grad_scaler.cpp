#include <tern/optim/grad_scaler.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/ops.hpp>
#include <tern/optim/state_reader.hpp>

#include <algorithm>
#include <cmath>

namespace tern {

GradScaler::GradScaler(const GradScalerOptions& o) : options_(o), scale_(o.init_scale) {
  check(o.init_scale > 0 && std::isfinite(o.init_scale) && o.growth_factor > 1 && std::isfinite(o.growth_factor) &&
            o.backoff_factor > 0 && o.backoff_factor < 1 && o.growth_interval > 0,
        "GradScaler: init_scale {}, growth_factor {} after {} steps, backoff_factor {}, expected positive numbers, one "
        "above and one below 1",
        o.init_scale, o.growth_factor, o.growth_interval, o.backoff_factor);
}

Tensor GradScaler::scale(const Tensor& loss) const {
  check(loss.defined(), "GradScaler: the loss is undefined, expected a tensor");
  return loss * scale_;
}

GradScaler::Done* GradScaler::find(const Optimizer& optimizer) {
  const auto at = std::find_if(done_.begin(), done_.end(), [&](const Done& d) { return d.optimizer == &optimizer; });
  return at == done_.end() ? nullptr : &*at;
}

void GradScaler::unscale_(Optimizer& optimizer) {
  check(!find(optimizer), "GradScaler: unscale_ again for one optimiser, expected update() before");
  const NoGradGuard no_grad;
  Done done{.optimizer = &optimizer, .largest = {}};
  for (const Tensor& p : optimizer.params()) {
    if (!p.grad().defined() || p.numel() == 0) continue;
    const Tensor g = p.grad().detach();
    g.mul_(1 / scale_);
    const Tensor largest = max(abs(g)).to(DType::float64);
    done.largest = done.largest.defined() ? maximum(done.largest, largest.to(done.largest.device())) : largest;
  }
  done_.push_back(std::move(done));
}

bool GradScaler::step(Optimizer& optimizer) {
  if (!find(optimizer)) unscale_(optimizer);
  Done& done = *find(optimizer);
  check(!done.stepped, "GradScaler: step again for one optimiser, expected update() before");
  const bool finite = !done.largest.defined() || std::isfinite(done.largest.item());
  if (finite) optimizer.step();
  done.stepped = true;
  done.taken = finite;
  return finite;
}

void GradScaler::update() {
  check(std::any_of(done_.begin(), done_.end(), [](const Done& d) { return d.stepped; }),
        "GradScaler: update() without a step(), expected one");
  const bool all = std::all_of(done_.begin(), done_.end(), [](const Done& d) { return !d.stepped || d.taken; });
  done_.clear();
  if (!all) {
    scale_ *= options_.backoff_factor;
    growth_tracker_ = 0;
  } else if (++growth_tracker_ == options_.growth_interval) {
    const double grown = scale_ * options_.growth_factor;
    if (grown <= largest_of(DType::float32)) scale_ = grown;
    growth_tracker_ = 0;
  }
}

StateDict GradScaler::state_dict() const {
  return {{"scale", tensor({scale_}).reshape({})}, {"growth_tracker", tensor({growth_tracker_}).reshape({})}};
}

void GradScaler::load_state_dict(const StateDict& state) {
  StateReader reader("GradScaler", state);
  const Tensor scale = reader.take("scale", {}, {DType::float64}),
               tracker = reader.take("growth_tracker", {}, {DType::int64});
  reader.finish();
  const double factor = scale.item();
  const auto steps = tracker.item<std::int64_t>();
  check(factor > 0 && std::isfinite(factor) && 0 <= steps && steps < options_.growth_interval,
        "GradScaler: a scale of {} and {} steps, expected a positive number and 0 to {}", factor, steps,
        options_.growth_interval - 1);
  scale_ = factor;
  growth_tracker_ = steps;
}

}  // namespace tern
