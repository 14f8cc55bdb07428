#pragma once

#include <tern/core/cuda.hpp>
#include <tern/optim/optimizer.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace tern {

/// A training step whose kernels are queued by one call instead of one by one. On a cuda device the first call runs as
/// it is, the second records the forward and the backward pass as a cuda::Graph, and it and all later calls replay
/// that. On other devices every call runs as it is. The results are the same bits either way.
///
///   tern::GraphedStep step(optimizer, [&](const tern::Tensor& input, const tern::Tensor& target) {
///     return loss_fn(model(input), target);
///   });
///   for (const auto& [input, target] : loader) total.add_(step(input, target));
///
/// The optimiser's step follows the graph as a launch of its own, so learning rates, schedules and AdamW's count are as
/// ever: to hand a graph those numbers would take a launch as well.
///
/// The loss function must have the device do the same each time. What cuda::Graph says of numbers and branches holds
/// for it: after train(), eval() or a change of a number in the loss, make a new GraphedStep.
class GraphedStep {
 public:
  /// From input and target, on the optimiser's device, to the loss: one element.
  using Loss = std::function<Tensor(const Tensor& input, const Tensor& target)>;

  /// The optimiser must outlive it.
  GraphedStep(Optimizer& optimizer, Loss loss) : optimizer_(optimizer), loss_(std::move(loss)) {}

  /// One step: loss, zero_grad, backward and the optimiser's step. Input and target may be on the host; with other
  /// shapes or dtypes than those recorded the step runs as it is. Returns the loss, without waiting for it.
  Tensor operator()(const Tensor& input, const Tensor& target);

 private:
  struct Recorded {
    Tensor input, target, loss;                     ///< what each replay reads and writes
    std::vector<Tensor> grads;                      ///< of the parameters
    std::vector<std::shared_ptr<Storage>> storage;  ///< of the parameters
    std::optional<cuda::Graph> graph;
  };

  Tensor forward_backward(const Tensor& input, const Tensor& target);
  void record(const Tensor& input, const Tensor& target, Device device);
  Tensor replay(const Tensor& input, const Tensor& target);
  bool parameters_moved() const;

  Optimizer& optimizer_;
  Loss loss_;
  bool warm_ = false;  ///< all has run once
  std::optional<Recorded> recorded_;
};

}  // namespace tern
