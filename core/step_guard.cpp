#include <tern/core/autograd.hpp>
#include <tern/core/cuda.hpp>
#include <tern/core/ops/broadcast.hpp>
#include <tern/core/step_guard.hpp>

#include <algorithm>
#include <utility>

namespace tern {
namespace {

/// The guard of this thread that was made last.
thread_local StepGuard* innermost = nullptr;

}  // namespace

StepGuard::StepGuard(Generator& generator)
    : generator_(generator), random_(generator.state()), outer_(std::exchange(innermost, this)) {}

StepGuard::~StepGuard() {
  innermost = outer_;
  if (kept_) return;
  generator_.set_state(random_);
  for (auto undo = undo_.rbegin(); undo != undo_.rend(); ++undo) (*undo)();
  try {
    for (const auto& [x, before] : held_) {
      copy_into(before, x);
      x.storage()->bump_version();
    }
  } catch (const Error&) {
    // Only after an error of the device, which whoever waits for it is told of.
  }
}

void StepGuard::note_undo(std::function<void()> undo) {
  if (innermost) innermost->undo_.push_back(std::move(undo));
}

void StepGuard::note(const Tensor& x) {
  if (!innermost || !x.defined() || cuda::is_capturing()) return;
  const NoGradGuard no_grad;
  for (StepGuard* guard = innermost; guard; guard = guard->outer_) {
    const auto same = [&x](const auto& held) { return held.first.is_same(x); };
    if (std::none_of(guard->held_.begin(), guard->held_.end(), same)) {
      guard->held_.emplace_back(x, x.clone());
    }
  }
}

}  // namespace tern
