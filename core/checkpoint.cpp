#include <tern/core/autocast.hpp>
#include <tern/core/check.hpp>
#include <tern/core/checkpoint.hpp>
#include <tern/core/cuda.hpp>
#include <tern/core/generator.hpp>
#include <tern/core/step_guard.hpp>

namespace tern {
namespace {

thread_local Checkpoint* innermost = nullptr;

}  // namespace

Checkpoint::Scope::Scope(Checkpoint& checkpoint) : before_(std::exchange(innermost, &checkpoint)) {}
Checkpoint::Scope::~Scope() { innermost = before_; }

Checkpoint* Checkpoint::current() { return innermost; }

Checkpoint::Checkpoint(const std::vector<Tensor>& inputs, std::function<void(const std::vector<Tensor>&)> again)
    : again_(std::move(again)), random_(default_generator().state()), autocast_(autocast_dtype()) {
  for (const Tensor& x : inputs) inputs_.emplace_back(Saved(x), x.defined() && x.requires_grad());
}

std::size_t Checkpoint::save(const Tensor& x) {
  if (!runs_again_) {
    noted_.push_back({x.shape(), x.strides(), x.dtype(), x.device()});
    return noted_.size() - 1;
  }
  const std::size_t number = saved_.size();
  check(number < noted_.size() && x.shape() == noted_[number].shape && x.strides() == noted_[number].strides &&
            x.dtype() == noted_[number].dtype && x.device() == noted_[number].device,
        "checkpoint: the function saves a tensor {} {} as number {} when it runs again, expected the same as at first",
        x.dtype(), x.shape(), number);
  saved_.push_back(x.detach());
  return number;
}

const Tensor& Checkpoint::saved(std::size_t number) {
  if (saved_.empty()) run_again();
  return saved_[number];
}

void Checkpoint::run_again() {
  check(!cuda::is_capturing(), "checkpoint: its function is to run again while a graph is recorded, expected none");
  std::vector<Tensor> inputs;
  for (const auto& [input, requires_grad] : inputs_) {
    const Tensor& x = input.value();
    inputs.push_back(x.defined() ? x.detach().set_requires_grad(requires_grad) : x);
  }
  const StepGuard back;  // running statistics have moved, and numbers have been drawn, when it first ran
  default_generator().set_state(random_);
  const EnableGradGuard enable_grad;
  const AutocastGuard autocast(autocast_);
  const Scope scope(*this);
  runs_again_ = true;
  try {
    again_(inputs);
    check(saved_.size() == noted_.size(), "checkpoint: the function saves {} tensors when it runs again, {} at first",
          saved_.size(), noted_.size());
  } catch (...) {
    saved_.clear();
    runs_again_ = false;
    throw;
  }
  runs_again_ = false;
}

}  // namespace tern
