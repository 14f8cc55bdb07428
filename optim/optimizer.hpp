#pragma once

#include <tern/core/tensor.hpp>
#include <tern/kernels/backend.hpp>
#include <tern/layers/module.hpp>

#include <cstdint>
#include <functional>
#include <vector>

namespace tern {

/// What the steps of an epoch need that differs from one to the next, on the parameters' device: so a graph of a step
/// can be replayed. GraphedStep makes it.
struct StepTable {
  Tensor state;    ///< int64 [3]: a kernels::StepState
  Tensor numbers;  ///< float64 [steps, columns]
  Tensor loss;     ///< of the step in hand, one element of the parameters' dtype

  kernels::StepState* step_state() const { return reinterpret_cast<kernels::StepState*>(state.data<std::int64_t>()); }
  /// Each step's numbers from that column on.
  template <class T>
  kernels::StepNumbers<T> from(std::int64_t column) const {
    return {step_state(), numbers.data<double>() + column, numbers.size(1), loss.data<T>()};
  }
};

/// What all optimisers share. Parameters without a gradient are left alone; gradients are never changed. State follows
/// a parameter that Module::to moves. A constructor throws Error for a parameter that it gets twice. step() and
/// load_state_dict() change nothing where they throw; on a cuda device that takes a StepGuard. One thread at a time.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// Updates every parameter from its gradient, all of a group in one kernel call.
  void step() {
    update(nullptr);
    count_step();
  }
  /// Drops the gradients: the next backward sets them anew.
  void zero_grad();
  /// All groups' parameters, in order.
  const std::vector<Tensor>& params() const { return params_; }

  /// The learning rate of each group. set_lr throws Error unless there is one for each, finite and not below 0.
  virtual std::vector<double> lr() const = 0;
  virtual void set_lr(const std::vector<double>& lr) = 0;

  /// What the next step depends on besides parameters and gradients: each group's options, the rates that schedules
  /// start from, and each parameter's own. load_state_dict, like PyTorch's, puts the state's options in place of the
  /// optimiser's. It throws Error, before anything is changed, for the state of another optimiser or of other
  /// parameters, naming all that is wrong. States were once written with no option but the rate: of such a one it takes
  /// what is there, and the optimiser's other options stay.
  virtual StateDict state_dict() const = 0;
  virtual void load_state_dict(const StateDict& state) = 0;

  // What step() is made of, for GraphedStep.
  /// Updates the parameters, with the numbers of the table's first columns unless it is null, and counts nothing.
  virtual void update(const StepTable* table) = 0;
  /// Counts a step of the parameters that have a gradient.
  virtual void count_step() {}
  /// The row of such a table for the step after `ahead` more, at the present learning rates.
  virtual std::vector<double> step_numbers(std::int64_t ahead) const = 0;

 protected:
  std::vector<Tensor> params_;
  /// The groups' rates when the first schedule was made, empty before: PyTorch's initial_lr.
  std::vector<double> initial_lr_;

  friend class LRScheduler;
};

struct SGDOptions {
  double lr = 1e-3, momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false;
};

/// Stochastic gradient descent as torch.optim.SGD: g += weight_decay * p; m = momentum * m + (1 - dampening) * g;
/// p -= lr * (nesterov ? g + momentum * m : m). Nesterov wants momentum and no dampening. The numbers must be finite,
/// none but the dampening below 0. The state is "sgd.lr" and each other option likewise, float64 [groups];
/// "sgd.initial_lr", where a schedule was made; and "sgd.momentum.3" for parameter 3's m, from its first step on.
class SGD : public Optimizer {
 public:
  using Options = SGDOptions;
  struct Group {
    std::vector<Tensor> params;
    Options options;
  };
  SGD(const std::vector<Tensor>& params, const Options& options) : SGD(std::vector<Group>{{params, options}}) {}
  explicit SGD(std::vector<Group> groups);

  std::vector<double> lr() const override;
  void set_lr(const std::vector<double>& lr) override;
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;
  void update(const StepTable* table) override;
  std::vector<double> step_numbers(std::int64_t ahead) const override;

 private:
  std::vector<Group> groups_;
  std::vector<Tensor> momentum_;  ///< one a parameter, in the groups' order, undefined before its first step
};

struct AdamWOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 1e-2;
};

/// Adam with decoupled weight decay, as torch.optim.AdamW.
/// Loshchilov, Hutter, "Decoupled weight decay regularization", 2019, algorithm 2. The numbers must be finite, none
/// below 0, betas below 1. The state is "adamw.lr" and the other options as SGD's; "adamw.steps", int64, of each
/// parameter; and "adamw.exp_avg.3" and "adamw.exp_avg_sq.3" from a parameter's first step on.
class AdamW : public Optimizer {
 public:
  using Options = AdamWOptions;
  struct Group {
    std::vector<Tensor> params;
    Options options;
  };
  AdamW(const std::vector<Tensor>& params, const Options& options = {})
      : AdamW(std::vector<Group>{{params, options}}) {}
  explicit AdamW(std::vector<Group> groups);

  std::vector<double> lr() const override;
  void set_lr(const std::vector<double>& lr) override;
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;
  void update(const StepTable* table) override;
  void count_step() override;
  std::vector<double> step_numbers(std::int64_t ahead) const override;

 private:
  std::vector<Group> groups_;
  std::vector<Tensor> exp_avg_, exp_avg_sq_;
  std::vector<std::int64_t> steps_;  ///< of each parameter
};

/// A learning rate that follows a formula of the epoch, from the optimiser's rates when its first schedule was made:
/// the optimiser's state keeps those, so that a schedule that is made after load_state_dict goes on as the one before.
///
///   tern::LRScheduler schedule(optimizer, [](std::int64_t epoch, double base) { return base / (1 + epoch); });
///
/// step() is called after each epoch.
class LRScheduler {
 public:
  /// A group's rate in an epoch, the first being 0, from the rate it began with.
  using Formula = std::function<double(std::int64_t epoch, double base)>;

  /// Sets the rates of epoch 0 where they differ from those that the groups began with; as in PyTorch the others are
  /// left as they are. The optimiser must outlive it.
  LRScheduler(Optimizer& optimizer, Formula formula);
  virtual ~LRScheduler() = default;

  void step();
  /// As if step() had been called that often since the start. Throws Error for an epoch below 0, and for a rate that is
  /// not finite or below 0.
  void set_epoch(std::int64_t epoch);
  std::int64_t epoch() const { return epoch_; }

 private:
  Optimizer& optimizer_;
  std::vector<double> base_;
  Formula formula_;
  std::int64_t epoch_ = 0;
};

/// base * gamma^(epoch / step_size), in whole steps.
class StepLR : public LRScheduler {
 public:
  /// Throws Error unless step_size >= 1 and gamma is finite and not below 0.
  StepLR(Optimizer& optimizer, std::int64_t step_size, double gamma = 0.1);
};

/// eta_min + (base - eta_min) * (1 + cos(pi * epoch / T_max)) / 2. Loshchilov, Hutter, "SGDR", 2017, equation 5.
class CosineAnnealingLR : public LRScheduler {
 public:
  /// Throws Error unless T_max >= 1 and eta_min is finite and not below 0.
  CosineAnnealingLR(Optimizer& optimizer, std::int64_t T_max, double eta_min = 0);
};

/// Linear from base / warmup at 0 to base at warmup - 1, then a cosine down to 0 at T_max: for step() after each batch.
/// The warm-up is of Goyal et al., "Accurate, large minibatch SGD", 2017, section 2.2; the cosine as above.
class WarmupCosineLR : public LRScheduler {
 public:
  /// Throws Error unless 0 <= warmup < T_max.
  WarmupCosineLR(Optimizer& optimizer, std::int64_t warmup, std::int64_t T_max);
};

}  // namespace tern
