#pragma once

#include <tern/core/tensor.hpp>
#include <tern/kernels/backend.hpp>
#include <tern/layers/module.hpp>

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

  /// The learning rate of each group.
  virtual std::vector<double> lr() const = 0;
  virtual void set_lr(const std::vector<double>& lr) = 0;

  /// What the next step depends on besides parameters and gradients. load_state_dict throws Error for the state of
  /// another optimiser or of other parameters.
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
};

struct SGDOptions {
  double lr = 1e-3, momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false;
};

/// Stochastic gradient descent as torch.optim.SGD: g += weight_decay * p; m = momentum * m + (1 - dampening) * g;
/// p -= lr * (nesterov ? g + momentum * m : m). Nesterov wants momentum and no dampening.
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
/// Loshchilov, Hutter, "Decoupled weight decay regularization", 2019, algorithm 2.
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

/// A learning rate that follows a formula of the epoch. step() is called after each epoch.
class LRScheduler {
 public:
  explicit LRScheduler(Optimizer& optimizer) : optimizer_(optimizer), base_(optimizer.lr()) {}
  virtual ~LRScheduler() = default;

  void step() { set_epoch(epoch_ + 1); }
  /// As if step() had been called that often since the start.
  void set_epoch(std::int64_t epoch);
  std::int64_t epoch() const { return epoch_; }

 private:
  virtual double lr_at(std::int64_t epoch, double base) const = 0;

  Optimizer& optimizer_;
  std::vector<double> base_;
  std::int64_t epoch_ = 0;
};

/// base * gamma^(epoch / step_size), in whole steps.
class StepLR : public LRScheduler {
 public:
  StepLR(Optimizer& optimizer, std::int64_t step_size, double gamma = 0.1);

 private:
  double lr_at(std::int64_t epoch, double base) const override;
  std::int64_t step_size_;
  double gamma_;
};

/// eta_min + (base - eta_min) * (1 + cos(pi * epoch / T_max)) / 2. Loshchilov, Hutter, "SGDR", 2017, equation 5.
class CosineAnnealingLR : public LRScheduler {
 public:
  CosineAnnealingLR(Optimizer& optimizer, std::int64_t T_max, double eta_min = 0);

 private:
  double lr_at(std::int64_t epoch, double base) const override;
  std::int64_t T_max_;
  double eta_min_;
};

/// Linear from base / warmup at 0 to base at warmup - 1, then a cosine down to 0 at T_max: for step() after each batch.
/// The warm-up is of Goyal et al., "Accurate, large minibatch SGD", 2017, section 2.2; the cosine as above.
class WarmupCosineLR : public LRScheduler {
 public:
  /// Throws Error unless 0 <= warmup < T_max.
  WarmupCosineLR(Optimizer& optimizer, std::int64_t warmup, std::int64_t T_max);

 private:
  double lr_at(std::int64_t step, double base) const override;
  std::int64_t warmup_, T_max_;
};

}  // namespace tern
