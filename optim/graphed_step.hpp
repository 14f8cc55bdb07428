#pragma once

#include <tern/core/cuda.hpp>
#include <tern/optim/averaged_model.hpp>
#include <tern/optim/grad_scaler.hpp>
#include <tern/optim/schedules.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace tern {

/// What a GraphedStep does besides.
struct GraphedStepOptions {
  LRScheduler* schedule = nullptr;   ///< set to each step's number before it
  AveragedModel* average = nullptr;  ///< updated after each step
  /// Scales the loss. A step that it leaves out, for gradients that are not finite, counts as one for the schedule and
  /// for what the optimiser counts.
  GradScaler* scaler = nullptr;
  /// Called between backward() and the optimiser's step, of which it becomes a part: [&] { clip_grad_norm_(...); }.
  std::function<void()> before_update = {};
};

/// Training steps without the host in between: loss, backward, the optimiser's step at its scheduled learning rate, the
/// moving average, and the sum of the losses. On a cuda device the first step runs as it is, the second is recorded as
/// one cuda::Graph, and it and all later ones replay that, by one launch each; nothing waits, and nothing is copied,
/// between begin() and state(). On other devices every step runs as it is. The results are the same bits either way.
///
///     tern::GraphedStep step(optimizer, [&](const tern::Tensor& number) {
///       const auto [input, target] = batches.gather(number);
///       return cross_entropy(model(input), target);
///     });
///     for (int epoch = 0; epoch < 10; ++epoch) {
///       step.begin(epoch * batches.size(), batches.size());
///       for (int i = 0; i < batches.size(); ++i) {
///         step();
///         batches.advance();
///       }
///       std::cout << step.state().loss_sum << '\n';
///     }
///
/// A step whose loss is not finite changes no parameter, nor does any after it, until begin(). One that a GradScaler
/// leaves out changes none, either, but those after it do.
///
/// The loss function must have the device do the same each time: what cuda::Graph says of numbers and branches holds
/// for it. What differs from step to step it reads from memory: `number`, the step's within the run, or tensors that
/// the caller writes to before each step. After train(), eval() or a change of a number in the loss, make a new
/// GraphedStep.
class GraphedStep {
 public:
  /// From the step's number, int64 [1] on the optimiser's device, to the loss: one element. One that requires no grad
  /// is the loss of a function that has left the gradients itself, as DistributedDataParallel::backward does: where
  /// there is a scaler, those of the loss that it scales.
  using Loss = std::function<Tensor(const Tensor& number)>;

  /// The optimiser and what the options name must outlive it. Throws Error for an empty function.
  GraphedStep(Optimizer& optimizer, Loss loss, const GraphedStepOptions& options = {});

  /// Begins a run of `steps` steps, such as an epoch. Its first is number `first` for the schedule. A run that was
  /// broken off goes on `from` the state() it had.
  void begin(std::int64_t first, std::int64_t steps, kernels::StepState from = {});
  /// Queues the next step of the run. Throws Error where there is none left. What throws here has changed nothing, in
  /// the sense of StepGuard: the step can be done again.
  void operator()();
  /// How many steps are done, the sum of their losses, and the first whose loss was not finite. Waits for them.
  kernels::StepState state() const;

 private:
  struct Recorded {
    std::vector<Tensor> grads;                      ///< of the parameters
    std::vector<std::shared_ptr<Storage>> storage;  ///< of the parameters
    std::optional<cuda::Graph> graph;
  };

  void run();
  void record(Device device);
  bool parameters_moved() const;

  Optimizer& optimizer_;
  Loss loss_;
  GraphedStepOptions options_;
  StepTable table_;
  std::int64_t first_ = 0, steps_ = 0, next_ = 0;
  bool warm_ = false;  ///< all has run once
  std::optional<Recorded> recorded_;
};

}  // namespace tern
