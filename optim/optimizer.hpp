#pragma once

#include <tern/core/tensor.hpp>
#include <tern/kernels/optim.hpp>
#include <tern/layers/module.hpp>

#include <cstdint>
#include <optional>
#include <vector>

namespace tern {

class StateReader;

/// What the steps of an epoch need that differs from one to the next, on the parameters' device: so a graph of a step
/// can be replayed. GraphedStep makes it.
struct StepTable {
  Tensor state;    ///< int64 [3]: a kernels::StepState
  Tensor numbers;  ///< float64 [steps, columns]
  Tensor finite;   ///< of the step in hand, one element of the parameters' dtype: finite if it is to be taken

  /// The state, as kernels take it.
  kernels::StepState* step_state() const { return reinterpret_cast<kernels::StepState*>(state.data<std::int64_t>()); }
  /// Each step's numbers from that column on.
  template <class T>
  kernels::StepNumbers<T> from(std::int64_t column) const {
    return {step_state(), numbers.data<double>() + column, numbers.size(1), finite.data<T>()};
  }
};

/// What all optimisers share. Parameters without a gradient are left alone; gradients are never changed. State follows
/// a parameter that Module::to moves. Parameters come in groups, each with options of its own; a parameter that is
/// there twice is an Error. step() and load_state_dict() change nothing where they throw; on a cuda device that takes a
/// StepGuard. One thread at a time.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// Updates every parameter from its gradient, all of a group in one kernel call.
  void step() {
    update(nullptr);
    count_step();
  }
  /// Drops the gradients: the next backward sets them anew. Without it they add up, over as many batches as one likes.
  void zero_grad();
  /// All groups' parameters, in order.
  const std::vector<Tensor>& params() const { return params_; }

  /// The learning rate of each group. set_lr throws Error unless there is one for each, finite and not below 0.
  /// @{
  std::vector<double> lr() const { return option(0); }
  void set_lr(const std::vector<double>& lr) { set_lr_and_momentum(lr, {}); }

  /// @}

  /// What the next step depends on besides parameters and gradients: each group's options, the rates that schedules
  /// start from, and each parameter's own. Of SGD these are "sgd.lr" and every other number likewise, float64 [groups];
  /// what is true or false, uint8 [groups]; "sgd.initial_lr", where a schedule was made; and "sgd.momentum.3" for
  /// parameter 3's, from its first step on. Where steps count there is "adamw.steps", int64, of each parameter, too.
  ///
  /// load_state_dict, like PyTorch's, puts the state's options in place of the optimiser's. It throws Error, before
  /// anything is changed, for the state of another optimiser or of other parameters, naming all that is wrong. States
  /// were once written with no option but the rate: of such a one it takes what is there, and the optimiser's other
  /// options stay. `maximize` and `amsgrad`, which a state may lack, too, are false there.
  /// @{
  StateDict state_dict() const;
  void load_state_dict(const StateDict& state);
  /// @}

  // What step() is made of, for GraphedStep.
  /// Updates the parameters, with the numbers of the table's first columns unless it is null, and counts nothing.
  void update(const StepTable* table);
  /// Counts a step of the parameters that have a gradient.
  void count_step();
  /// The row of such a table for the step after `ahead` more, at the present options.
  std::vector<double> step_numbers(std::int64_t ahead) const;

 protected:
  /// A group's options: the numbers, of which the learning rate is the first, and then what is true or false.
  using Values = std::vector<double>;

  /// What one optimiser differs in from the others.
  struct Kind {
    const char *name, *prefix;                ///< "SGD", and "sgd", for the names of its state
    std::vector<const char*> numbers, flags;  ///< the names of its options
    std::vector<const char*> states;          ///< of what it keeps of each parameter
    bool counts;                              ///< whether steps do
  };
  /// A step of it: what the kernel wants to know, which of its states the options ask for, and what these start as.
  struct Rule {
    kernels::OptimizerStep step;  ///< with its numbers
    bool uses[3] = {};            ///< which of Kind::states are kept
    double initial = 0;           ///< what fills them when they are made
  };
  /// Which one it is.
  virtual const Kind& kind() const = 0;
  /// Throws Error for options that are none.
  virtual void check_options(const Values& options) const = 0;
  /// The step-th of a parameter, the first being 1; where steps do not count, any after the first is the second.
  virtual Rule rule(const Values& options, std::int64_t step) const = 0;

  /// Throws Error for options that are none, and for parameters that the constructor would refuse.
  void add_group(const std::vector<Tensor>& params, Values options);

 private:
  friend class LRScheduler;

  struct Group {
    std::vector<Tensor> params;
    Values options;
  };
  /// What there is of a parameter besides its value.
  struct State {
    Tensor of[3];
    std::int64_t steps = 0;
  };

  std::vector<double> option(std::size_t i) const;
  void check_groups(const std::vector<Group>& groups) const;
  /// set_lr, and all groups' momentum or beta1. Throws Error where there is neither.
  void set_lr_and_momentum(const std::vector<double>& lr, std::optional<double> momentum);
  /// Options, and rates to begin with, taken from a state; checked later.
  void take_options(StateReader& reader, std::vector<Group>& groups, std::vector<double>& initial_lr) const;
  /// Before a step: throws where a group's parameters have parted, and lets the state follow a parameter that has
  /// moved.
  void gather();

  std::vector<Group> groups_;
  std::vector<Tensor> params_;
  std::vector<State> states_;  ///< of params_
  /// The groups' rates when the first schedule was made, empty before: PyTorch's initial_lr.
  std::vector<double> initial_lr_;
};

/// The optimiser of such options:
///
///     tern::AdamW optimizer(model.parameters(), {.lr = 1e-3});
///     tern::SGD in_groups({{backbone.parameters(), {.lr = 1e-3}},
///                          {head.parameters(), {.lr = 1e-2, .momentum = 0.9}}});
///
/// One more is its options here; their names, what it asks of them and what a step is in optimizer.cpp; and the
/// kernels' part, kernels/optim.hpp.
template <class OptionsOf>
class OptimizerOf : public Optimizer {
 public:
  /// lr and what else there is.
  using Options = OptionsOf;
  /// Parameters, and their options.
  struct Group {
    std::vector<Tensor> params;  ///< of one dtype and device
    Options options;             ///< for all of them
  };
  /// Throws Error for numbers that are not finite or, unless the options say otherwise, below 0; for a parameter twice,
  /// and for one that is not a contiguous float32 or float64 leaf; and where those of a group differ in dtype or
  /// device.
  explicit OptimizerOf(const std::vector<Tensor>& params, const Options& options = {})
      : OptimizerOf(std::vector<Group>{{params, options}}) {}
  explicit OptimizerOf(const std::vector<Group>& groups);  ///< likewise, with each group's options

  /// One more group. Throws Error as the constructor does.
  void add_param_group(const Group& group);

 private:
  struct Description;
  static const Description& description();
  const Kind& kind() const override;
  void check_options(const Values& options) const override;
  Rule rule(const Values& options, std::int64_t step) const override;
};

/// Stochastic gradient descent as torch.optim.SGD: g += weight_decay * p; m = momentum * m + (1 - dampening) * g;
/// p -= lr * (nesterov ? g + momentum * m : m). Nesterov wants momentum and no dampening, which may be below 0.
struct SGDOptions {
  double lr = 1e-3, momentum = 0, dampening = 0, weight_decay = 0;  ///< the first step takes g whole, undampened
  bool nesterov = false, maximize = false;                          ///< maximize: steps go up the gradient
};
using SGD = OptimizerOf<SGDOptions>;  ///< with these options

/// torch.optim.Adam: weight decay is part of the gradient. Betas are below 1.
/// Kingma, Ba, "Adam: a method for stochastic optimization", 2015; amsgrad: Reddi, Kale, Kumar, "On the convergence of
/// Adam and beyond", 2018.
struct AdamOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;  ///< betas of g, of g^2; eps on the root
  bool amsgrad = false, maximize = false;  ///< amsgrad: by the largest v so far; maximize: up the gradient
};
using Adam = OptimizerOf<AdamOptions>;  ///< with these options

/// Adam with decoupled weight decay, as torch.optim.AdamW. Betas are below 1.
/// Loshchilov, Hutter, "Decoupled weight decay regularization", 2019, algorithm 2.
struct AdamWOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 1e-2;  ///< as Adam's, but decoupled decay
  bool amsgrad = false, maximize = false;                                         ///< as Adam's
};
using AdamW = OptimizerOf<AdamWOptions>;  ///< with these options

/// torch.optim.RMSprop. Centred, it divides by a standard deviation whose square rounding may make negative: PyTorch
/// has NaN from there on, this takes 0.
struct RMSpropOptions {
  double lr = 1e-2, alpha = 0.99, eps = 1e-8, weight_decay = 0, momentum = 0;  ///< alpha of g^2; eps added to the root
  bool centered = false, maximize = false;  ///< centered: less the mean squared; maximize: up the gradient
};
using RMSprop = OptimizerOf<RMSpropOptions>;  ///< with these options

/// torch.optim.Adagrad: a step's rate is lr / (1 + (step - 1) * lr_decay), sums of g^2 start as the accumulator.
struct AdagradOptions {
  double lr = 1e-2, lr_decay = 0, weight_decay = 0, initial_accumulator_value = 0, eps = 1e-10;  ///< eps: on the root
  bool maximize = false;  ///< steps go up the gradient
};
using Adagrad = OptimizerOf<AdagradOptions>;  ///< with these options

/// torch.optim.Adadelta. rho is at most 1.
struct AdadeltaOptions {
  double lr = 1, rho = 0.9, eps = 1e-6, weight_decay = 0;  ///< rho: of both mean squares; eps is added within the roots
  bool maximize = false;                                   ///< steps go up the gradient
};
using Adadelta = OptimizerOf<AdadeltaOptions>;  ///< with these options

/// p -= lr * sign(beta1 * m + (1 - beta1) * g), m = beta2 * m + (1 - beta2) * g, with decoupled weight decay. Betas are
/// below 1. Chen et al., "Symbolic discovery of optimization algorithms", 2023, algorithm 2. PyTorch has none.
struct LionOptions {
  double lr = 1e-4, beta1 = 0.9, beta2 = 0.99, weight_decay = 0;  ///< in the formulas above
  bool maximize = false;                                          ///< steps go up the gradient
};
using Lion = OptimizerOf<LionOptions>;  ///< with these options

/// torch.optim.NAdam since PyTorch 2.0: Adam with Nesterov's momentum, which grows to beta1 as
/// mu = beta1 * (1 - 0.96^(step * momentum_decay) / 2). Betas are below 1. A beta1 that a schedule changes counts for
/// the steps before, too. Dozat, "Incorporating Nesterov momentum into Adam", 2016.
struct NAdamOptions {
  double lr = 2e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;  ///< as Adam's
  double momentum_decay = 4e-3;                                                ///< how fast mu grows
  bool maximize = false;                                                       ///< steps go up the gradient
};
using NAdam = OptimizerOf<NAdamOptions>;  ///< with these options

/// torch.optim.RAdam: Adam whose step is not divided by sqrt(v) while few gradients make v vary much, and then by a
/// factor that grows to 1. Betas are below 1. Liu et al., "On the variance of the adaptive learning rate and beyond",
/// 2020, algorithm 2.
struct RAdamOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;  ///< as Adam's
  bool maximize = false;                                                       ///< steps go up the gradient
};
using RAdam = OptimizerOf<RAdamOptions>;  ///< with these options

/// torch.optim.Adamax: Adam that divides by the largest |g|, of which beta2 fades what is past. Betas are below 1.
/// Kingma, Ba, "Adam: a method for stochastic optimization", 2015, algorithm 2.
struct AdamaxOptions {
  double lr = 2e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;  ///< as Adam's; eps is added to |g|
  bool maximize = false;                                                       ///< steps go up the gradient
};
using Adamax = OptimizerOf<AdamaxOptions>;  ///< with these options

}  // namespace tern
