#include <tern/optim/grad_scaler.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/step_guard.hpp>
#include <tern/optim/scale_all.hpp>
#include <tern/optim/state_reader.hpp>

#include <algorithm>
#include <cmath>

namespace tern {
namespace {

/// Whether float32 has it and its reciprocal.
bool is_scale(double x) {
  const auto f = static_cast<float>(x);
  return f > 0 && std::isfinite(f) && std::isfinite(1 / f);
}

}  // namespace

GradScaler::GradScaler(const GradScalerOptions& o)
    : options_(o), scale_(full({}, o.init_scale)), growth_tracker_(zeros({}, {.dtype = DType::int64})) {
  check(is_scale(o.init_scale) && o.growth_factor > 1 && std::isfinite(o.growth_factor) && o.backoff_factor > 0 &&
            o.backoff_factor < 1 && o.growth_interval > 0,
        "GradScaler: init_scale {}, growth_factor {} after {} steps, backoff_factor {}, expected positive numbers, one "
        "above and one below 1",
        o.init_scale, o.growth_factor, o.growth_interval, o.backoff_factor);
}

void GradScaler::move_to(Device device) {
  const NoGradGuard no_grad;
  scale_ = scale_.to(device);
  growth_tracker_ = growth_tracker_.to(device);
}

Tensor GradScaler::scale(const Tensor& loss) {
  check(loss.defined(), "GradScaler: the loss is undefined, expected a tensor");
  move_to(loss.device());
  return loss * scale_;
}

Tensor GradScaler::unscale(const Tensor& loss) {
  check(loss.defined(), "GradScaler: the loss is undefined, expected a tensor");
  move_to(loss.device());
  return loss / scale_;
}

GradScaler::Done* GradScaler::find(const Optimizer& optimizer) {
  const auto at = std::find_if(done_.begin(), done_.end(), [&](const Done& d) { return d.optimizer == &optimizer; });
  return at == done_.end() ? nullptr : &*at;
}

void GradScaler::unscale_(Optimizer& optimizer) {
  check(!find(optimizer), "GradScaler: unscale_ again for one optimiser, expected update() before");
  const NoGradGuard no_grad;
  std::vector<Tensor> grads;
  for (const Tensor& p : optimizer.params()) {
    if (p.grad().defined()) grads.push_back(p.grad().detach());
  }
  Tensor all;
  while (!grads.empty()) {  // almost always once
    const auto alike = [first = grads[0]](const Tensor& g) {
      return g.dtype() == first.dtype() && g.device() == first.device();
    };
    const auto rest = std::stable_partition(grads.begin(), grads.end(), alike);
    const std::vector<Tensor> these(grads.begin(), rest);
    scale_all_(these, reciprocal(scale_).to(these[0].dtype()).to(these[0].device()));
    const Tensor squares = sum_of_squares(these).to(DType::float32).to(scale_.device());
    all = all.defined() ? all + squares : squares;
    grads.erase(grads.begin(), rest);
  }
  StepGuard::note_undo([this, before = done_]() mutable { done_.swap(before); });
  done_.push_back({&optimizer, all.defined() ? all : zeros_like(scale_)});
}

const Tensor& GradScaler::grad_squares(const Optimizer& optimizer) {
  const Done* done = find(optimizer);
  check(done, "GradScaler: grad_squares of an optimiser without unscale_(), expected it before");
  return done->squares;
}

bool GradScaler::step(Optimizer& optimizer) {
  if (!find(optimizer)) unscale_(optimizer);
  Done& done = *find(optimizer);
  check(!done.stepped, "GradScaler: step again for one optimiser, expected update() before");
  const bool finite = std::isfinite(done.squares.item());
  if (finite) optimizer.step();
  done.stepped = true;
  return finite;
}

void GradScaler::update() {
  check(!done_.empty(), "GradScaler: update() without a step(), expected one");
  const NoGradGuard no_grad;
  Tensor squares = done_[0].squares;
  for (std::size_t i = 1; i < done_.size(); ++i) squares = squares + done_[i].squares;
  for (const Tensor& x : {scale_, growth_tracker_}) StepGuard::note(x);
  for_floating("GradScaler", squares, [&]<class T>(kernels::FloatKernels<T>& k) {
    k.update_scale({options_.growth_factor, options_.growth_interval, options_.backoff_factor}, squares.data<T>(),
                   scale_.data<T>(), growth_tracker_.data<std::int64_t>());
  });
  for (const Tensor& x : {scale_, growth_tracker_}) x.storage()->bump_version();
  done_.clear();
}

StateDict GradScaler::state_dict() const {
  return {{"scale", scale_.to(DType::float64)}, {"growth_tracker", growth_tracker_.clone()}};
}

void GradScaler::load_state_dict(const StateDict& state) {
  StateReader reader("GradScaler", state);
  const Tensor scale = reader.take("scale", {}, {DType::float64}),
               tracker = reader.take("growth_tracker", {}, {DType::int64});
  reader.finish();
  const double factor = scale.item();
  const auto steps = tracker.item<std::int64_t>();
  check(is_scale(factor) && 0 <= steps && steps < options_.growth_interval,
        "GradScaler: a scale of {} and {} steps, expected a positive number and 0 to {}", factor, steps,
        options_.growth_interval - 1);
  const NoGradGuard no_grad;  // in place: graphs have where they are
  scale_.copy_(scale.to(DType::float32));
  growth_tracker_.copy_(tracker);
}

}  // namespace tern
