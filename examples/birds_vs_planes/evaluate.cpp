#include <birds_vs_planes/evaluate.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/ops.hpp>
#include <tern/distributed/distributed.hpp>

#include <numeric>
#include <vector>

namespace birds_vs_planes {

using tern::Tensor;

namespace {

/// x [N, C, H, W] with its columns in reverse order.
Tensor mirrored(const Tensor& x) {
  std::vector<std::int64_t> columns(static_cast<std::size_t>(x.size(3)));
  std::iota(columns.rbegin(), columns.rend(), 0);
  return x.index_select(3, tern::tensor(columns).to(x.device()));
}

}  // namespace

Tensor probabilities(tern::Module& model, const Tensor& images, bool flips) {
  const bool was_training = model.is_training();
  model.eval();
  const tern::NoGradGuard no_grad;
  Tensor p = softmax(model(images), 1);
  if (flips) p = (p + softmax(model(mirrored(images)), 1)) / 2;
  model.train(was_training);
  return p;
}

tern::DataLoader measuring_loader(const tern::Dataset& images, const Options& options, bool drop_last) {
  return tern::DataLoader(
      images,
      {.batch_size = options.batch_size.value_or(64), .drop_last = drop_last, .num_workers = options.num_workers});
}

Accuracy accuracy(tern::Module& model, tern::DataLoader& loader, tern::Device device, bool flips) {
  Accuracy result{0, 0};
  std::int64_t batch = 0;
  for (const auto& [imgs, labels] : loader) {
    if (batch++ % tern::distributed::world_size() != tern::distributed::rank()) continue;
    const Tensor predicted = probabilities(model, imgs.to(device), flips).argmax(1);
    result.total += labels.numel();
    result.correct += predicted.eq(labels.to(device)).sum().item<std::int64_t>();
  }
  if (tern::distributed::world_size() == 1) return result;
  const Tensor counts = tern::tensor({result.correct, result.total});
  tern::distributed::all_reduce(counts);
  return {counts.select(0, 0).item<std::int64_t>(), counts.select(0, 1).item<std::int64_t>()};
}

}  // namespace birds_vs_planes
