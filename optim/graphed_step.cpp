#include <tern/optim/graphed_step.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/step_guard.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>

namespace tern {

static_assert(sizeof(kernels::StepState) == 3 * sizeof(std::int64_t) && offsetof(kernels::StepState, step) == 0);

GraphedStep::GraphedStep(Optimizer& optimizer, Loss loss, const GraphedStepOptions& options)
    : optimizer_(optimizer), loss_(std::move(loss)), options_(options) {
  check(loss_ != nullptr, "GraphedStep: no loss, expected a function of the step's number");
}

void GraphedStep::begin(std::int64_t first, std::int64_t steps, kernels::StepState from) {
  constexpr std::int64_t most = std::int64_t{1} << 53;  // as a double, a whole number
  check(first >= 0 && steps >= 0 && 0 <= from.step && from.step <= steps && first <= most && steps <= most,
        "GraphedStep: begin at step {} of {}, the first being number {}, expected 0 to {}, and none beyond the end",
        from.step, steps, first, most);
  std::vector<double> rows;
  std::int64_t columns = 0;
  for (std::int64_t i = 0; i < steps; ++i) {
    const std::int64_t ahead = std::max<std::int64_t>(i - from.step, 0);
    if (options_.schedule) options_.schedule->set_epoch(first + i);
    std::vector<double> row = optimizer_.step_numbers(ahead);
    if (options_.average) row.push_back(options_.average->weight(ahead));
    columns = std::ssize(row);
    rows.insert(rows.end(), row.begin(), row.end());
  }
  const Device device = optimizer_.params()[0].device();
  if (!table_.numbers.defined() || table_.numbers.device() != device || table_.numbers.size(0) < steps) {
    Tensor numbers = empty({steps, columns}, {.dtype = DType::float64, .device = device});
    Tensor state = empty({3}, {.dtype = DType::int64, .device = device});
    recorded_.reset();  // which reads the smaller one
    table_.numbers = std::move(numbers);
    table_.state = std::move(state);
  }
  table_.numbers.narrow(0, 0, steps).copy_(tensor(rows).reshape({steps, columns}));
  table_.state.copy_(tensor({from.step, from.diverged_at, std::bit_cast<std::int64_t>(from.loss_sum)}));
  first_ = first;
  steps_ = steps;
  next_ = from.step;
}

void GraphedStep::run() {
  const Tensor loss = loss_(table_.state.narrow(0, 0, 1));
  check(loss.defined() && loss.numel() == 1, "GraphedStep: a loss of shape {}, expected one element",
        loss.defined() ? loss.shape().str() : "undefined");
  check_alike("GraphedStep", loss, optimizer_.params()[0]);
  GradScaler* const scaler = options_.scaler;
  if (loss.requires_grad()) {
    optimizer_.zero_grad();
    (scaler ? scaler->scale(loss) : loss).backward();
  } else {
    const auto& params = optimizer_.params();
    check(std::any_of(params.begin(), params.end(), [](const Tensor& p) { return p.grad().defined(); }),
          "GraphedStep: a loss that requires no grad, and no gradients either, expected one of them");
  }
  if (scaler) scaler->unscale_(optimizer_);
  if (options_.before_update) options_.before_update();
  table_.finite = loss.detach();
  if (scaler) {
    table_.finite = table_.finite + 0.0 * scaler->grad_squares(optimizer_).to(loss.dtype());
    scaler->update();  // here, where it may still fail and be put back
  }
  std::function<void()> average;
  if (options_.average) average = options_.average->prepared(&table_, table_.numbers.size(1) - 1);
  optimizer_.update(&table_);
  if (average) average();
  for_floating("GraphedStep", loss,
               [&]<class T>(kernels::FloatKernels<T>& k) { k.end_step(loss.data<T>(), table_.step_state()); });
}

bool GraphedStep::parameters_moved() const {
  for (std::size_t i = 0; i < recorded_->storage.size(); ++i) {
    if (optimizer_.params()[i].storage() != recorded_->storage[i]) return true;
  }
  return false;
}

void GraphedStep::record(Device device) {
  Recorded recorded;
  recorded.graph.emplace([&] { run(); }, device.index);
  for (const Tensor& p : optimizer_.params()) {
    recorded.grads.push_back(p.grad());
    recorded.storage.push_back(p.storage());
  }
  recorded_ = std::move(recorded);
}

void GraphedStep::operator()() {
  check(next_ < steps_, "GraphedStep: step {} of a run of {}, expected begin() before", next_ + 1, steps_);
  const Device device = optimizer_.params()[0].device();
  check(table_.state.device() == device, "GraphedStep: parameters on {} in a run that began on {}, expected begin()",
        device, table_.state.device());
  if (options_.schedule) options_.schedule->set_epoch(first_ + next_);
  if (recorded_ && parameters_moved()) {
    recorded_.reset();
    warm_ = false;
  }
  StepGuard guard;
  if (!recorded_ && warm_ && device.kind == Device::cuda) record(device);
  if (recorded_) {
    recorded_->graph->replay();
    for (std::size_t i = 0; i < recorded_->grads.size(); ++i) optimizer_.params()[i].set_grad(recorded_->grads[i]);
  } else {
    run();
  }
  guard.keep();
  warm_ = true;
  optimizer_.count_step();
  if (options_.average) options_.average->count_update();
  ++next_;
}

kernels::StepState GraphedStep::state() const {
  check(table_.state.defined(), "GraphedStep: state() before the first begin()");
  const std::vector<std::int64_t> words = table_.state.to_vector<std::int64_t>();
  return {words[0], words[1], std::bit_cast<double>(words[2])};
}

}  // namespace tern
