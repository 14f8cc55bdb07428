#include <birds_vs_planes/evaluate.hpp>

#include <tern/core/autograd.hpp>

namespace birds_vs_planes {

Accuracy accuracy(tern::Module& model, tern::DataLoader& loader, tern::Device device) {
  const bool was_training = model.is_training();
  model.eval();
  const tern::NoGradGuard no_grad;
  Accuracy result{0, 0};
  for (const auto& [imgs, labels] : loader) {
    const tern::Tensor predicted = model(imgs.to(device)).argmax(1);
    result.total += labels.numel();
    result.correct += predicted.eq(labels.to(device)).sum().item<std::int64_t>();
  }
  model.train(was_training);
  return result;
}

}  // namespace birds_vs_planes
