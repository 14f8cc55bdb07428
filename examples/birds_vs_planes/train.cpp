#include <birds_vs_planes/train.hpp>

#include <tern/core/check.hpp>
#include <tern/core/ops.hpp>

#include <chrono>
#include <cmath>

namespace birds_vs_planes {

using tern::Tensor;

namespace {

/// The sum of the squares of all parameters.
Tensor l2_norm(tern::Module& model) {
  Tensor norm;
  for (const Tensor& p : model.parameters()) {
    const Tensor squares = p.pow(2.0).sum();
    norm = norm.defined() ? norm + squares : squares;
  }
  return norm;
}

}  // namespace

void training_loop(int n_epochs, tern::Optimizer& optimizer, tern::Module& model, const tern::CrossEntropyLoss& loss_fn,
                   tern::DataLoader& train_loader, tern::Device device, double l2_lambda,
                   const TrainingEvents& events) {
  model.train();
  for (int epoch = 1; epoch <= n_epochs; ++epoch) {
    const auto start = std::chrono::steady_clock::now();
    // Summed on the device, so that no batch has to wait for the one before it.
    const Tensor loss_train = tern::zeros({}, {.dtype = tern::DType::float64, .device = device});
    for (const auto& [input, target] : train_loader) {
      const Tensor imgs = input.to(device), labels = target.to(device);
      const Tensor outputs = model(imgs);
      Tensor loss = loss_fn(outputs, labels);
      if (l2_lambda != 0) loss = loss + l2_lambda * l2_norm(model);

      optimizer.zero_grad();
      loss.backward();
      optimizer.step();

      loss_train.add_(loss.detach());
      events.batch_done();
    }
    const double loss = loss_train.item() / static_cast<double>(train_loader.size());
    tern::check(std::isfinite(loss), "train: the loss of epoch {} is {}, expected a number: try a lower learning rate",
                epoch, loss);
    events.epoch_done({epoch, loss, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()});
  }
}

}  // namespace birds_vs_planes
