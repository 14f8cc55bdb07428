#pragma once

#include <tern/optim/optimizer.hpp>

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

/// PyTorch's learning-rate schedules under their names, with its numbers. Each is a formula of the epoch; those that
/// PyTorch computes from the rate before differ from it by rounding, and where the rate is changed by hand in between.
/// Two schedules on one optimiser do not multiply: the one that steps last sets the rates.

namespace tern {

/// A learning rate that follows a formula of the epoch, from the optimiser's rates when its first schedule was made:
/// the optimiser's state keeps those, so that a schedule that is made after load_state_dict goes on as the one before.
///
///     tern::LRScheduler schedule(optimizer, [](std::int64_t epoch, double base) { return base / (1 + epoch); });
///
/// step() is called after each epoch.
class LRScheduler {
 public:
  /// A group's rate in an epoch, the first being 0, from the rate it began with.
  using Formula = std::function<double(std::int64_t epoch, double base)>;

  /// Sets the rates of epoch 0 where they differ from those that the groups began with; as in PyTorch the others are
  /// left as they are. The optimiser must outlive it.
  LRScheduler(Optimizer& optimizer, Formula formula) : LRScheduler(optimizer, std::vector<Formula>{formula}) {}
  /// With a formula for each group, or one for all.
  LRScheduler(Optimizer& optimizer, std::vector<Formula> formulas);
  virtual ~LRScheduler() = default;

  /// Goes on to the next epoch.
  void step();
  /// As if step() had been called that often since the start. Throws Error for an epoch below 0, and for a rate that is
  /// not finite or below 0.
  void set_epoch(std::int64_t epoch);
  /// How often step() was called.
  std::int64_t epoch() const { return epoch_; }
  /// The optimiser's rates.
  std::vector<double> get_last_lr() const { return optimizer_.lr(); }

  /// "last_epoch", int64 [1], and "base_lrs", float64 [groups]. Loading sets the rates of that epoch, too.
  /// @{
  StateDict state_dict() const;
  void load_state_dict(const StateDict& state);
  /// @}

 protected:
  /// With a formula of the momentum, or of Adam's beta1, in an epoch. Throws Error where the optimiser has neither.
  LRScheduler(Optimizer& optimizer, std::vector<Formula> formulas, std::function<double(std::int64_t epoch)> momentum);

 private:
  friend class SequentialLR;

  Optimizer& optimizer_;
  std::vector<double> base_;
  std::vector<Formula> formulas_;
  std::function<double(std::int64_t epoch)> momentum_;
  std::int64_t epoch_ = 0;
};

/// base * factor(epoch), with one function for all groups or for each.
class LambdaLR : public LRScheduler {
 public:
  /// What base is multiplied by in an epoch, the first being 0.
  using Factor = std::function<double(std::int64_t epoch)>;
  LambdaLR(Optimizer& optimizer, Factor factor) : LambdaLR(optimizer, std::vector<Factor>{factor}) {}  ///< for all
  LambdaLR(Optimizer& optimizer, const std::vector<Factor>& factors);  ///< one for each group, or one for all
};

/// base * gamma^(epoch / step_size), in whole steps.
class StepLR : public LRScheduler {
 public:
  /// Throws Error unless step_size >= 1 and gamma is finite and not below 0.
  StepLR(Optimizer& optimizer, std::int64_t step_size, double gamma = 0.1);
};

/// base * gamma^(the number of milestones that are not after the epoch).
class MultiStepLR : public LRScheduler {
 public:
  MultiStepLR(Optimizer& optimizer, std::vector<std::int64_t> milestones, double gamma = 0.1);  ///< in any order
};

/// base * gamma^epoch.
class ExponentialLR : public LRScheduler {
 public:
  ExponentialLR(Optimizer& optimizer, double gamma);  ///< throws Error for a gamma below 0
};

/// base * factor before epoch total_iters, then base.
class ConstantLR : public LRScheduler {
 public:
  /// Throws Error unless 0 <= factor <= 1 and total_iters >= 0.
  explicit ConstantLR(Optimizer& optimizer, double factor = 1.0 / 3, std::int64_t total_iters = 5);
};

/// base * (start_factor at epoch 0, end_factor from total_iters on, linear between).
class LinearLR : public LRScheduler {
 public:
  /// Throws Error unless 0 < start_factor <= 1, 0 <= end_factor <= 1 and total_iters >= 1.
  explicit LinearLR(Optimizer& optimizer, double start_factor = 1.0 / 3, double end_factor = 1,
                    std::int64_t total_iters = 5);
};

/// base * (1 - epoch / total_iters)^power, 0 from total_iters on.
class PolynomialLR : public LRScheduler {
 public:
  /// Throws Error unless total_iters >= 1 and power is finite and not below 0.
  explicit PolynomialLR(Optimizer& optimizer, std::int64_t total_iters = 5, double power = 1);
};

/// eta_min + (base - eta_min) * (1 + cos(pi * epoch / T_max)) / 2. Loshchilov, Hutter, "SGDR", 2017, equation 5.
class CosineAnnealingLR : public LRScheduler {
 public:
  /// Throws Error unless T_max >= 1 and eta_min is finite and not below 0.
  CosineAnnealingLR(Optimizer& optimizer, std::int64_t T_max, double eta_min = 0);
};

/// The same down from base in T_0 epochs, then from base again in T_mult times as many as before, and so on.
class CosineAnnealingWarmRestarts : public LRScheduler {
 public:
  /// Throws Error unless T_0 >= 1, T_mult >= 1 and eta_min is finite and not below 0.
  CosineAnnealingWarmRestarts(Optimizer& optimizer, std::int64_t T_0, std::int64_t T_mult = 1, double eta_min = 0);
};

/// Linear from base / warmup at 0 to base at warmup - 1, then a cosine down to 0 at T_max: for step() after each batch.
/// The warm-up is of Goyal et al., "Accurate, large minibatch SGD", 2017, section 2.2; the cosine as above.
class WarmupCosineLR : public LRScheduler {
 public:
  /// Throws Error unless 0 <= warmup < T_max.
  WarmupCosineLR(Optimizer& optimizer, std::int64_t warmup, std::int64_t T_max);
};

/// How OneCycleLR goes from one rate to the next: along half a cosine (`cos`), or a line (`linear`).
enum class AnnealStrategy { cos, linear };
/// PyTorch's arguments of OneCycleLR.
struct OneCycleLROptions {
  std::vector<double> max_lr;                            ///< of each group, or one of all
  std::int64_t total_steps;                              ///< of the whole cycle, 1 or more
  double pct_start = 0.3;                                ///< 0 to 1: the share of them in which the rate rises
  AnnealStrategy anneal_strategy = AnnealStrategy::cos;  ///< of rate and momentum
  bool cycle_momentum = true;                            ///< whether the momentum goes the other way
  double base_momentum = 0.85, max_momentum = 0.95;      ///< momentum at the peak of the rate, and at either end
  double div_factor = 25, final_div_factor = 1e4;        ///< max_lr over the first rate; the first over the last
  bool three_phase = false;  ///< down to the first rate as it went up, and only then to the last
};
/// For step() after each batch: from max_lr / div_factor up to max_lr, in pct_start of the steps, and down to
/// max_lr / div_factor / final_div_factor; the momentum, or Adam's beta1, the other way. The groups' own rates do not
/// count. The step() after the last step changes nothing more, where PyTorch goes on beyond the end. Smith, Topin, "Super-convergence", 2018, as torch.optim.lr_scheduler.OneCycleLR has it.
class OneCycleLR : public LRScheduler {
 public:
  /// Throws Error for numbers that PyTorch refuses, too, and for an optimiser without a momentum to cycle.
  OneCycleLR(Optimizer& optimizer, const OneCycleLROptions& options);
};

/// Follows one schedule after the other: schedule i + 1 begins, at its own epoch 0, in epoch milestones[i]. They are
/// copied, and need not step themselves.
///
///     tern::LinearLR warmup(optimizer, 0.1);
///     tern::ExponentialLR decay(optimizer, 0.9);
///     tern::SequentialLR schedule(optimizer, {&warmup, &decay}, {5});
class SequentialLR : public LRScheduler {
 public:
  /// Throws Error unless there is a milestone between each two, in rising order; for a schedule of another optimiser,
  /// and for one that cycles the momentum.
  SequentialLR(Optimizer& optimizer, const std::vector<const LRScheduler*>& schedules,
               std::vector<std::int64_t> milestones);
};

/// Whether a metric is better where it is smaller, `min`, or larger, `max`.
enum class PlateauMode { min, max };
/// Whether the threshold is a share of the best so far, `rel`, or a difference from it, `abs`.
enum class ThresholdMode { rel, abs };
/// PyTorch's arguments of ReduceLROnPlateau.
struct ReduceLROnPlateauOptions {
  PlateauMode mode = PlateauMode::min;  ///< which metrics are better
  double factor = 0.1;                  ///< what a rate is multiplied by
  std::int64_t patience = 10;           ///< epochs without a better one that are let pass
  double threshold = 1e-4;              ///< by how much a metric must be better to count, relative or absolute
  ThresholdMode threshold_mode = ThresholdMode::rel;  ///< of what threshold is
  std::int64_t cooldown = 0;                          ///< epochs after a change in which none count as bad
  double min_lr = 0, eps = 1e-8;                      ///< for all groups; a change of eps or less is not made
};
/// Multiplies every rate by `factor`, down to min_lr, when a metric has not become better for more than `patience`
/// epochs. It follows no formula and so is no LRScheduler.
class ReduceLROnPlateau {
 public:
  /// Throws Error unless 0 <= factor < 1 and the other numbers are finite and not below 0.
  explicit ReduceLROnPlateau(Optimizer& optimizer, const ReduceLROnPlateauOptions& options = {});

  /// The metric of the epoch that has ended.
  void step(double metric);

  /// "best", float64 [1]; "num_bad_epochs", "cooldown_counter" and "last_epoch", int64 [1]. The rates are in the
  /// optimiser's state.
  /// @{
  StateDict state_dict() const;
  void load_state_dict(const StateDict& state);
  /// @}

 private:
  bool is_better(double metric) const;

  Optimizer& optimizer_;
  ReduceLROnPlateauOptions options_;
  double best_;
  std::int64_t num_bad_epochs_ = 0, cooldown_counter_ = 0, last_epoch_ = 0;
};

}  // namespace tern
