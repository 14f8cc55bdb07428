#include <tern/core/check.hpp>
#include <tern/core/ops.hpp>
#include <tern/optim/schedules.hpp>
#include <tern/optim/state_reader.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tern {
namespace {

using Formula = LRScheduler::Formula;

/// A finite number that is not below 0.
bool is_amount(double x) { return std::isfinite(x) && x >= 0; }

/// From `from` at share 0 to `to` at share 1, along half a cosine.
double cosine_between(double from, double to, double share) {
  return to + (from - to) * (1 + std::cos(std::numbers::pi * share)) / 2;
}

double share_of(std::int64_t part, std::int64_t whole) {
  return static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

LRScheduler::LRScheduler(Optimizer& optimizer, std::vector<Formula> formulas)
    : LRScheduler(optimizer, std::move(formulas), nullptr) {}

LRScheduler::LRScheduler(Optimizer& optimizer, std::vector<Formula> formulas,
                         std::function<double(std::int64_t)> momentum)
    : optimizer_(optimizer), formulas_(std::move(formulas)), momentum_(std::move(momentum)) {
  std::vector<double> lr = optimizer.lr();
  check(formulas_.size() == 1 || formulas_.size() == lr.size(),
        "LRScheduler: {} formulas for {} groups, expected one for each or for all", formulas_.size(), lr.size());
  formulas_.resize(lr.size(), formulas_[0]);
  for (const Formula& formula : formulas_) {
    check(formula != nullptr, "LRScheduler: no formula, expected a function of the epoch and the rate to begin with");
  }
  base_ = optimizer.initial_lr_.empty() ? lr : optimizer.initial_lr_;
  for (std::size_t i = 0; i < lr.size(); ++i) {
    const double first = formulas_[i](0, base_[i]);
    if (first != base_[i]) lr[i] = first;
  }
  optimizer.set_lr_and_momentum(lr, momentum_ ? std::optional(momentum_(0)) : std::nullopt);
  optimizer.initial_lr_ = base_;
}

void LRScheduler::step() {
  check(epoch_ < std::numeric_limits<std::int64_t>::max(), "LRScheduler: a step after epoch {}", epoch_);
  set_epoch(epoch_ + 1);
}

void LRScheduler::set_epoch(std::int64_t epoch) {
  check(epoch >= 0, "LRScheduler: epoch {}, expected 0 or more", epoch);
  std::vector<double> lr;
  for (std::size_t i = 0; i < base_.size(); ++i) lr.push_back(formulas_[i](epoch, base_[i]));
  optimizer_.set_lr_and_momentum(lr, momentum_ ? std::optional(momentum_(epoch)) : std::nullopt);
  epoch_ = epoch;
}

StateDict LRScheduler::state_dict() const { return {{"last_epoch", tensor({epoch_})}, {"base_lrs", tensor(base_)}}; }

void LRScheduler::load_state_dict(const StateDict& state) {
  StateReader reader("LRScheduler", state);
  const Tensor epoch = reader.take("last_epoch", {1}, {DType::int64});
  const Tensor base = reader.take("base_lrs", {std::ssize(base_)}, {DType::float64});
  reader.finish();
  std::vector<double> before = base.to_vector<double>();
  for (const double lr : before) check(is_amount(lr), "LRScheduler: base_lrs {}, expected none below 0", lr);
  base_.swap(before);
  try {
    set_epoch(epoch.item<std::int64_t>());
  } catch (...) {
    base_.swap(before);
    throw;
  }
}

LambdaLR::LambdaLR(Optimizer& optimizer, const std::vector<Factor>& factors)
    : LRScheduler(optimizer, [&] {
        std::vector<Formula> formulas;
        for (const Factor& factor : factors) {
          check(factor != nullptr, "LambdaLR: no function, expected one of the epoch");
          formulas.push_back([factor](std::int64_t epoch, double base) { return base * factor(epoch); });
        }
        return formulas;
      }()) {}

namespace {

Formula steps_down(const char* name, std::function<std::int64_t(std::int64_t)> count, double gamma) {
  check(is_amount(gamma), "{}: gamma {}, expected a finite number, not below 0", name, gamma);
  return [=](std::int64_t epoch, double base) { return base * std::pow(gamma, static_cast<double>(count(epoch))); };
}

Formula every(std::int64_t step_size, double gamma) {
  check(step_size > 0, "StepLR: step_size {}, expected 1 or more", step_size);
  return steps_down(
      "StepLR", [=](std::int64_t epoch) { return epoch / step_size; }, gamma);
}

Formula at_milestones(std::vector<std::int64_t> milestones, double gamma) {
  std::sort(milestones.begin(), milestones.end());
  const auto passed = [=](std::int64_t epoch) {
    return std::upper_bound(milestones.begin(), milestones.end(), epoch) - milestones.begin();
  };
  return steps_down("MultiStepLR", passed, gamma);
}

Formula constant(double factor, std::int64_t total_iters) {
  check(0 <= factor && factor <= 1 && total_iters >= 0,
        "ConstantLR: factor {} and total_iters {}, expected a factor from 0 to 1, and 0 or more", factor, total_iters);
  return [=](std::int64_t epoch, double base) { return epoch < total_iters ? base * factor : base; };
}

Formula linear(double start_factor, double end_factor, std::int64_t total_iters) {
  check(0 < start_factor && start_factor <= 1 && 0 <= end_factor && end_factor <= 1 && total_iters > 0,
        "LinearLR: start_factor {}, end_factor {} and total_iters {}, expected factors from 0 to 1, the first above 0, "
        "and 1 or more",
        start_factor, end_factor, total_iters);
  return [=](std::int64_t epoch, double base) {
    return base * (start_factor + (end_factor - start_factor) * share_of(std::min(epoch, total_iters), total_iters));
  };
}

Formula polynomial(std::int64_t total_iters, double power) {
  check(total_iters > 0 && is_amount(power),
        "PolynomialLR: total_iters {} and power {}, expected 1 or more, and a finite number, not below 0", total_iters,
        power);
  return [=](std::int64_t epoch, double base) {
    return base * std::pow(1 - share_of(std::min(epoch, total_iters), total_iters), power);
  };
}

Formula cosine(std::int64_t T_max, double eta_min) {
  check(T_max > 0, "CosineAnnealingLR: T_max {}, expected 1 or more", T_max);
  check(is_amount(eta_min), "CosineAnnealingLR: eta_min {}, expected a finite number, not below 0", eta_min);
  return [=](std::int64_t epoch, double base) {
    return epoch == 0 ? base : cosine_between(base, eta_min, share_of(epoch, T_max));
  };
}

Formula cosine_restarts(std::int64_t T_0, std::int64_t T_mult, double eta_min) {
  check(T_0 > 0 && T_mult > 0, "CosineAnnealingWarmRestarts: T_0 {} and T_mult {}, expected 1 or more", T_0, T_mult);
  check(is_amount(eta_min), "CosineAnnealingWarmRestarts: eta_min {}, expected a finite number, not below 0", eta_min);
  return [=](std::int64_t epoch, double base) {
    std::int64_t length = T_0;
    if (T_mult == 1) {
      epoch %= T_0;
    } else {
      constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
      for (; epoch >= length; length = length > most / T_mult ? most : length * T_mult) epoch -= length;
    }
    return epoch == 0 ? base : cosine_between(base, eta_min, share_of(epoch, length));
  };
}

Formula warmup_cosine(std::int64_t warmup, std::int64_t T_max) {
  check(0 <= warmup && warmup < T_max, "WarmupCosineLR: warmup {} and T_max {}, expected 0 <= warmup < T_max", warmup,
        T_max);
  return [=](std::int64_t step, double base) {
    if (step < warmup) return base * share_of(step + 1, warmup);
    return cosine_between(base, 0, share_of(step - warmup, T_max - warmup));
  };
}

/// What goes from `start` to `peak` to `end` in one cycle, or back to `start` before.
std::function<double(std::int64_t)> one_cycle(const OneCycleLROptions& o, double start, double peak, double end) {
  struct Phase {
    double last_step, from, to;
  };
  const auto steps = static_cast<double>(o.total_steps);
  std::vector<Phase> phases{{o.pct_start * steps - 1, start, peak}};
  if (o.three_phase) phases.push_back({2 * o.pct_start * steps - 2, peak, start});
  phases.push_back({steps - 1, phases.back().to, end});
  return [phases, o](std::int64_t epoch) {
    check(epoch <= o.total_steps, "OneCycleLR: step {} of {}", epoch, o.total_steps);
    const auto step = static_cast<double>(epoch);
    double first = 0;
    auto phase = phases.begin();
    for (; phase + 1 != phases.end() && step > phase->last_step; ++phase) first = phase->last_step;
    const double share = std::min((step - first) / (phase->last_step - first), 1.0);
    if (o.anneal_strategy == AnnealStrategy::cos) return cosine_between(phase->from, phase->to, share);
    return phase->from + (phase->to - phase->from) * share;
  };
}

std::vector<Formula> one_cycle_rates(const OneCycleLROptions& o) {
  check(o.total_steps > 0 && 0 <= o.pct_start && o.pct_start <= 1,
        "OneCycleLR: total_steps {} and pct_start {}, expected 1 or more, and 0 to 1", o.total_steps, o.pct_start);
  std::vector<Formula> formulas;
  for (const double max_lr : o.max_lr) {
    const double start = max_lr / o.div_factor, end = start / o.final_div_factor;
    check(is_amount(max_lr) && is_amount(start) && is_amount(end),
          "OneCycleLR: max_lr {}, div_factor {}, final_div_factor {}, expected finite numbers, none below 0", max_lr,
          o.div_factor, o.final_div_factor);
    formulas.push_back([rate = one_cycle(o, start, max_lr, end)](std::int64_t epoch, double) { return rate(epoch); });
  }
  return formulas;
}

std::function<double(std::int64_t)> one_cycle_momentum(const OneCycleLROptions& o) {
  if (!o.cycle_momentum) return nullptr;
  return one_cycle(o, o.max_momentum, o.base_momentum, o.max_momentum);
}

}  // namespace

StepLR::StepLR(Optimizer& optimizer, std::int64_t step_size, double gamma)
    : LRScheduler(optimizer, every(step_size, gamma)) {}

MultiStepLR::MultiStepLR(Optimizer& optimizer, std::vector<std::int64_t> milestones, double gamma)
    : LRScheduler(optimizer, at_milestones(std::move(milestones), gamma)) {}

ExponentialLR::ExponentialLR(Optimizer& optimizer, double gamma)
    : LRScheduler(optimizer, steps_down(
                                 "ExponentialLR", [](std::int64_t epoch) { return epoch; }, gamma)) {}

ConstantLR::ConstantLR(Optimizer& optimizer, double factor, std::int64_t total_iters)
    : LRScheduler(optimizer, constant(factor, total_iters)) {}

LinearLR::LinearLR(Optimizer& optimizer, double start_factor, double end_factor, std::int64_t total_iters)
    : LRScheduler(optimizer, linear(start_factor, end_factor, total_iters)) {}

PolynomialLR::PolynomialLR(Optimizer& optimizer, std::int64_t total_iters, double power)
    : LRScheduler(optimizer, polynomial(total_iters, power)) {}

CosineAnnealingLR::CosineAnnealingLR(Optimizer& optimizer, std::int64_t T_max, double eta_min)
    : LRScheduler(optimizer, cosine(T_max, eta_min)) {}

CosineAnnealingWarmRestarts::CosineAnnealingWarmRestarts(Optimizer& optimizer, std::int64_t T_0, std::int64_t T_mult,
                                                         double eta_min)
    : LRScheduler(optimizer, cosine_restarts(T_0, T_mult, eta_min)) {}

WarmupCosineLR::WarmupCosineLR(Optimizer& optimizer, std::int64_t warmup, std::int64_t T_max)
    : LRScheduler(optimizer, warmup_cosine(warmup, T_max)) {}

OneCycleLR::OneCycleLR(Optimizer& optimizer, const OneCycleLROptions& options)
    : LRScheduler(optimizer, one_cycle_rates(options), one_cycle_momentum(options)) {}

SequentialLR::SequentialLR(Optimizer& optimizer, const std::vector<const LRScheduler*>& schedules,
                           std::vector<std::int64_t> milestones)
    : LRScheduler(optimizer, [&] {
        check(!schedules.empty() && milestones.size() + 1 == schedules.size() &&
                  std::is_sorted(milestones.begin(), milestones.end()) && (milestones.empty() || milestones[0] >= 0),
              "SequentialLR: {} schedules and {} milestones, expected a milestone between each two, rising from 0 on",
              schedules.size(), milestones.size());
        for (const LRScheduler* s : schedules) {
          check(s && &s->optimizer_ == &optimizer && !s->momentum_,
                "SequentialLR: a schedule that is null, of another optimiser or cycles the momentum");
        }
        std::vector<Formula> formulas;
        for (std::size_t g = 0; g < optimizer.lr().size(); ++g) {
          std::vector<Formula> all;
          for (const LRScheduler* s : schedules) all.push_back(s->formulas_[g]);
          formulas.push_back([all, milestones](std::int64_t epoch, double base) {
            const auto i = std::upper_bound(milestones.begin(), milestones.end(), epoch) - milestones.begin();
            if (i > 0) epoch -= milestones[static_cast<std::size_t>(i - 1)];
            return all[static_cast<std::size_t>(i)](epoch, base);
          });
        }
        return formulas;
      }()) {
  set_epoch(0);  // whatever the making of the schedules has left
}

ReduceLROnPlateau::ReduceLROnPlateau(Optimizer& optimizer, const ReduceLROnPlateauOptions& options)
    : optimizer_(optimizer), options_(options), best_(options.mode == PlateauMode::min ? HUGE_VAL : -HUGE_VAL) {
  const ReduceLROnPlateauOptions& o = options;
  check(0 <= o.factor && o.factor < 1, "ReduceLROnPlateau: factor {}, expected at least 0 and below 1", o.factor);
  check(o.patience >= 0 && o.cooldown >= 0 && is_amount(o.threshold) && is_amount(o.min_lr) && is_amount(o.eps),
        "ReduceLROnPlateau: patience {}, cooldown {}, threshold {}, min_lr {}, eps {}, expected finite numbers, none "
        "below 0",
        o.patience, o.cooldown, o.threshold, o.min_lr, o.eps);
}

bool ReduceLROnPlateau::is_better(double metric) const {
  const double t = options_.threshold;
  const bool rel = options_.threshold_mode == ThresholdMode::rel;
  if (options_.mode == PlateauMode::min) return metric < (rel ? best_ * (1 - t) : best_ - t);
  return metric > (rel ? best_ * (1 + t) : best_ + t);
}

void ReduceLROnPlateau::step(double metric) {
  const bool better = is_better(metric);
  std::int64_t bad = better ? 0 : num_bad_epochs_ + 1, cooldown = cooldown_counter_;
  if (cooldown > 0) {
    --cooldown;
    bad = 0;
  }
  if (bad > options_.patience) {
    std::vector<double> rates = optimizer_.lr();
    for (double& lr : rates) {
      const double reduced = std::max(lr * options_.factor, options_.min_lr);
      if (lr - reduced > options_.eps) lr = reduced;
    }
    optimizer_.set_lr(rates);
    cooldown = options_.cooldown;
    bad = 0;
  }
  if (better) best_ = metric;
  num_bad_epochs_ = bad;
  cooldown_counter_ = cooldown;
  ++last_epoch_;
}

StateDict ReduceLROnPlateau::state_dict() const {
  return {{"best", tensor({best_})},
          {"num_bad_epochs", tensor({num_bad_epochs_})},
          {"cooldown_counter", tensor({cooldown_counter_})},
          {"last_epoch", tensor({last_epoch_})}};
}

void ReduceLROnPlateau::load_state_dict(const StateDict& state) {
  StateReader reader("ReduceLROnPlateau", state);
  const Tensor best = reader.take("best", {1}, {DType::float64});
  const Tensor counts[] = {reader.take("num_bad_epochs", {1}, {DType::int64}),
                           reader.take("cooldown_counter", {1}, {DType::int64}),
                           reader.take("last_epoch", {1}, {DType::int64})};
  reader.finish();
  std::int64_t values[3];
  for (int i = 0; i < 3; ++i) {
    values[i] = counts[i].item<std::int64_t>();
    check(values[i] >= 0 && values[i] < std::numeric_limits<std::int64_t>::max(),
          "ReduceLROnPlateau: a count of {}, expected 0 or more", values[i]);
  }
  best_ = best.item<double>();
  num_bad_epochs_ = values[0];
  cooldown_counter_ = values[1];
  last_epoch_ = values[2];
}

}  // namespace tern
