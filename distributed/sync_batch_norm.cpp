#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/step_guard.hpp>
#include <tern/distributed/sync_batch_norm.hpp>
#include <tern/distributed/transport.hpp>

namespace tern::distributed {
namespace {

/// The sum of all ranks' x, on each. Since each rank's loss depends on it, so is its gradient.
Tensor sum_of_ranks(const Tensor& x) {
  const Tensor y = no_grad([&] {
    Tensor sum = x.detach().clone();
    all_reduce(sum);
    return sum;
  });
  return record("all_reduce", {x}, y, [](const Tensor& g) { return sum_of_ranks(g); });
}

}  // namespace

SyncBatchNorm::SyncBatchNorm(std::int64_t num_features, double eps, std::optional<double> momentum, bool affine,
                             bool track_running_stats)
    : BatchNorm("SyncBatchNorm", "[N, C, ...]", 2, 5, num_features, eps, momentum, affine, track_running_stats),
      eps_(eps),
      momentum_(momentum) {}

Tensor SyncBatchNorm::forward(const Tensor& x) {
  if (!(is_training() || !running_mean.defined()) || world_size() == 1) return BatchNorm::forward(x);
  check(!is_among_local_shards(),
        "SyncBatchNorm: one of several shards on this rank, expected as many ranks as shards");
  check(x.defined() && 2 <= x.dim() && x.dim() <= 5, "SyncBatchNorm: input {}, expected [N, C, ...]",
        x.defined() ? x.shape().str() : "undefined");
  Shape others{0}, channels{x.size(1)};  // the dimensions beside the channels'; a channel's number for each element
  for (int d = 2; d < x.dim(); ++d) {
    others.push_back(d);
    channels.push_back(1);
  }
  const std::int64_t C = x.size(1);
  const auto each = [&](const Tensor& of_channels) { return of_channels.view(channels); };
  const Tensor mine = full({1}, C == 0 ? 0 : x.numel() / C, {.dtype = x.dtype(), .device = x.device()});
  const Tensor sums = sum_of_ranks(cat({x.sum(others), mine}, 0));
  const Tensor n = sums.narrow(0, C, 1).detach();
  check(n.item() > 1, "SyncBatchNorm: {} values a channel on all ranks, expected more in training", n.item());
  const Tensor mean = sums.narrow(0, 0, C) / n;
  const Tensor centred = x - each(mean);
  const Tensor var = sum_of_ranks(square(centred).sum(others)) / n;
  if (running_mean.defined()) {
    const NoGradGuard no_grad;
    for (const Tensor& moved : {running_mean, running_var, num_batches_tracked}) StepGuard::note(moved);
    num_batches_tracked.add_(1);
    const double momentum = momentum_ ? *momentum_ : 1 / num_batches_tracked.item();
    running_mean.mul_(1 - momentum).add_(mean.detach(), momentum);
    running_var.mul_(1 - momentum).add_(var.detach() * (n / (n - 1)), momentum);
  }
  const Tensor y = centred * each(rsqrt(var + eps_));
  return weight.defined() ? y * each(weight) + each(bias) : y;
}

}  // namespace tern::distributed
