#pragma once

#include <tern/core/generator.hpp>
#include <tern/core/tensor.hpp>

#include <functional>
#include <utility>
#include <vector>

namespace tern {

/// Makes a training step all or nothing. Every op, backward() and Optimizer::step() each change nothing where they throw;
/// but a step that fails has already moved running statistics and a random generator in its forward pass. The guard puts
/// these back at its end, unless keep() was called, so that the step can be done again and gives the same bits:
///
///     tern::StepGuard guard;
///     const tern::Tensor loss = cross_entropy(model(input), target);
///     optimizer.zero_grad();
///     loss.backward();
///     optimizer.step();
///     guard.keep();
///
/// It sees what its own thread does. Guards may nest. On a cuda device optimiser and moving average are put back, too,
/// since a launch of theirs may fail after another; where the device itself has failed, nothing is. GraphedStep has its
/// own guard.
class StepGuard {
 public:
  /// The generator must outlive the guard.
  explicit StepGuard(Generator& generator = default_generator());
  ~StepGuard();
  StepGuard(const StepGuard&) = delete;
  StepGuard& operator=(const StepGuard&) = delete;

  /// The step is done: nothing is put back any more.
  void keep() { kept_ = true; }

  /// For what changes a contiguous tensor that such a guard is to put back: has this thread's guards note what it holds.
  /// Without effect where there is none, for an undefined tensor, and while a graph is recorded, which changes nothing.
  static void note(const Tensor& x);
  /// Has this thread's innermost guard call undo(), which must not throw, before it puts tensors back. What that changes
  /// must outlive the guard.
  static void note_undo(std::function<void()> undo);

 private:
  Generator& generator_;
  kernels::PhiloxState random_;
  std::vector<std::pair<Tensor, Tensor>> held_;  ///< tensors, and what they held
  std::vector<std::function<void()>> undo_;
  bool kept_ = false;
  StepGuard* outer_;
};

}  // namespace tern
