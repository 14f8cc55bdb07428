#include <tern/optim/averaged_model.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/ops.hpp>

#include <algorithm>

namespace tern {

AveragedModel::AveragedModel(Module& model, double decay) : model_(model), decay_(decay) {
  check(0 <= decay && decay < 1, "AveragedModel: decay {}, expected at least 0 and below 1", decay);
  const NoGradGuard no_grad;
  for (const auto& [name, x] : model.state_dict()) averages_[name] = x.detach().clone();
}

void AveragedModel::update() {
  const NoGradGuard no_grad;
  ++updates_;
  const auto n = static_cast<double>(updates_);
  const double decay = std::min(decay_, (1 + n) / (10 + n));
  for (const auto& [name, x] : model_.state_dict()) {
    const Tensor& average = averages_.at(name);
    if (is_floating(x.dtype())) {
      average.add_(x.detach() - average, 1 - decay);  // exact where they are equal: a constant buffer stays
    } else {
      average.copy_(x);
    }
  }
}

StateDict AveragedModel::state_dict() const {
  StateDict state = averages_;
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
  for (const auto& [name, average] : averages_) average.copy_(state.at(name));
  updates_ = found->second.item<std::int64_t>();
}

}  // namespace tern
