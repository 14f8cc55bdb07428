#include <tern/optim/averaged_model.hpp>

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
      launches.emplace_back([&k, numbers, by = weight(0), all = std::move(all)] {
        k.lerp_all(all, by, numbers ? &*numbers : nullptr);
      });
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
  const auto found = state.find("num_updates");
  check(found != state.end() && found->second.numel() == 1, "AveragedModel: the state has no 'num_updates'");
  check(state.size() == averages_.size() + 1, "AveragedModel: a state of {} tensors, expected {}", state.size() - 1,
        averages_.size());
  for (const auto& [name, average] : averages_) {
    const auto given = state.find(name);
    check(given != state.end(), "AveragedModel: the state has no '{}'", name);
    check(given->second.shape() == average.shape(), "AveragedModel: '{}' has shape {}, expected {}", name,
          given->second.shape(), average.shape());
  }
  std::vector<std::pair<Tensor, Tensor>> loaded;
  for (const auto& [name, average] : averages_) {
    loaded.emplace_back(average, state.at(name).to(average.dtype()).to(average.device()));
  }
  const auto updates = found->second.item<std::int64_t>();
  for (const auto& [average, values] : loaded) average.copy_(values);
  updates_ = updates;
}

}  // namespace tern
