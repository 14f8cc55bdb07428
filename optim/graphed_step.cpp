#include <tern/optim/graphed_step.hpp>

namespace tern {

Tensor GraphedStep::forward_backward(const Tensor& input, const Tensor& target) {
  const Tensor loss = loss_(input, target);
  optimizer_.zero_grad();
  loss.backward();
  return loss.detach();
}

bool GraphedStep::parameters_moved() const {
  for (std::size_t i = 0; i < recorded_->storage.size(); ++i) {
    if (optimizer_.params()[i].storage() != recorded_->storage[i]) return true;
  }
  return false;
}

void GraphedStep::record(const Tensor& input, const Tensor& target, Device device) {
  Recorded recorded;
  recorded.input = empty(input.shape(), {.dtype = input.dtype(), .device = device});
  recorded.target = empty(target.shape(), {.dtype = target.dtype(), .device = device});
  recorded.graph.emplace([&] { recorded.loss = forward_backward(recorded.input, recorded.target); }, device.index);
  for (const Tensor& p : optimizer_.params()) {
    recorded.grads.push_back(p.grad());
    recorded.storage.push_back(p.storage());
  }
  recorded_ = std::move(recorded);
}

Tensor GraphedStep::replay(const Tensor& input, const Tensor& target) {
  recorded_->input.copy_(input);
  recorded_->target.copy_(target);
  recorded_->graph->replay();
  for (std::size_t i = 0; i < recorded_->grads.size(); ++i) optimizer_.params()[i].set_grad(recorded_->grads[i]);
  return recorded_->loss.clone();
}

Tensor GraphedStep::operator()(const Tensor& input, const Tensor& target) {
  const Device device = optimizer_.params()[0].device();
  if (recorded_ && parameters_moved()) {
    recorded_.reset();
    warm_ = false;
  }
  if (!recorded_ && warm_ && device.kind == Device::cuda) record(input, target, device);

  const auto fits = [](const Tensor& x, const Tensor& place) {
    return x.shape() == place.shape() && x.dtype() == place.dtype();
  };
  const bool can_replay = recorded_ && fits(input, recorded_->input) && fits(target, recorded_->target);
  const Tensor loss = can_replay ? replay(input, target) : forward_backward(input.to(device), target.to(device));
  warm_ = true;
  optimizer_.step();
  return loss;
}

}  // namespace tern
