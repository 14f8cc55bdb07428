#include <tern/optim/averaged_model.hpp>
#include <tern/optim/state_reader.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/step_guard.hpp>

#include <algorithm>
#include <optional>

namespace tern {

AveragedModel::AveragedModel(Module& model, double decay) : model_(model), decay_(decay) {
  check(0 <= decay && decay < 1, "AveragedModel: decay {}, expected at least 0 and below 1", decay);
  const NoGradGuard no_grad;
  for (const auto& [name, x] : model.state_dict()) {
    const Tensor average = x.detach().clone();
    averages_[name] = average;
    check(!is_half(x.dtype()), "AveragedModel: '{}' of {}, expected float32 or float64", name, x.dtype());
    if (is_floating(x.dtype())) averaged_.emplace_back(x, average);
  }
}

double AveragedModel::weight(std::int64_t ahead) const {
  const auto n = static_cast<double>(updates_ + 1 + ahead);
  return 1 - std::min(decay_, (1 + n) / (10 + n));
}

std::function<void()> AveragedModel::prepared(const StepTable* table, std::int64_t column) const {
  std::vector<std::function<void()>> launches;
  for (const DType dtype : {DType::float32, DType::float64}) {
    const auto is_of = [dtype](const auto& pair) { return pair.first.dtype() == dtype; };
    const auto first = std::find_if(averaged_.begin(), averaged_.end(), is_of);
    if (first == averaged_.end()) continue;
    for_floating("AveragedModel", first->second, [&]<class T>(kernels::FloatKernels<T>& k) {
      std::vector<kernels::Segment<T>> all;
      for (const auto& pair : averaged_) {
        if (!is_of(pair)) continue;
        check_alike("AveragedModel", pair.first, pair.second);
        all.push_back({pair.first.numel(), pair.first.data<T>(), pair.second.data<T>()});
        if (!pair.second.device().on_host()) StepGuard::note(pair.second);
      }
      const auto numbers = table ? std::optional(table->from<T>(column)) : std::nullopt;
      launches.emplace_back(
          [&k, numbers, by = weight(0), all = std::move(all)] { k.lerp_all(all, by, numbers ? &*numbers : nullptr); });
    });
  }
  return [this, launches = std::move(launches)] {
    for (const auto& launch : launches) launch();
    for (const auto& [x, average] : averaged_) average.storage()->bump_version();
  };
}

const StateDict& AveragedModel::averages() const {
  for (const auto& [name, x] : model_.state_dict()) {
    if (!is_floating(x.dtype())) averages_.at(name).copy_(x);
  }
  return averages_;
}

StateDict AveragedModel::state_dict() const {
  StateDict state = averages();
  state["num_updates"] = tensor({updates_});
  return state;
}

void AveragedModel::load_state_dict(const StateDict& state) {
  constexpr std::int64_t most = std::int64_t{1} << 53;  // as a double, a whole number
  StateReader reader("AveragedModel", state);
  const Tensor count = reader.take("num_updates", {1}, {DType::int64});
  std::vector<std::pair<Tensor, Tensor>> copies;
  for (const auto& [name, average] : averages_) {
    const bool floating = is_floating(average.dtype());
    const Tensor given = floating ? reader.take(name, average.shape(), {DType::float32, DType::float64})
                                  : reader.take(name, average.shape(), {average.dtype()});
    if (given.defined()) copies.emplace_back(average, given.to(average.dtype()).to(average.device()));
  }
  reader.finish();
  const auto updates = count.item<std::int64_t>();
  check(0 <= updates && updates <= most, "AveragedModel: num_updates {}, expected 0 to {}", updates, most);
  for (const auto& [average, given] : copies) average.copy_(given);
  updates_ = updates;
}

}  // namespace tern
