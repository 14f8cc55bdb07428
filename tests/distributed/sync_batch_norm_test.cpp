#include <tern/core/autograd.hpp>
#include <tern/core/ops.hpp>
#include <tern/distributed/data_parallel.hpp>
#include <tern/distributed/sync_batch_norm.hpp>
#include <tern/layers/layers.hpp>

#include <ranks.hpp>

using namespace tern;
using namespace tern::distributed;
using Catch::Matchers::Contains;
using tern::test::for_each_case;
using tern::test::Random;
using tern::test::values_of;

TEST_CASE("SyncBatchNorm is BatchNorm of all ranks' images together") {
  for_each_case(8, [](Random& random) {
    const std::int64_t C = random.integer(1, 5);
    const auto images = [](int r) { return static_cast<std::int64_t>(2 + 3 * r); };  // another number on each rank
    Shape shape{0, C};
    for (std::int64_t d = random.integer(0, 2); d > 0; --d) shape.push_back(random.integer(1, 4));
    const std::optional<double> momentum = random.chance(0.3) ? std::nullopt : std::optional(0.3);
    const auto stream = static_cast<std::uint64_t>(random.integer(0, 1'000'000));
    const auto values = [&](int r, std::uint64_t which) {
      Shape s = shape;
      s[0] = images(r);
      return values_of<double>(r, 3 * stream + which, s);
    };
    std::vector<Tensor> xs, gs;
    for (int r = 0; r < world_size(); ++r) {
      xs.push_back(values(r, 0));
      gs.push_back(values(r, 1));
    }
    const Tensor x = cat(xs, 0).set_requires_grad(), mine = values(rank(), 0).set_requires_grad();

    // By formula, in double, of the whole.
    Shape others{0}, channels{C};
    for (int d = 2; d < x.dim(); ++d) {
      others.push_back(d);
      channels.push_back(1);
    }
    const Tensor weight = values_of<double>(0, stream + 5, {C}).set_requires_grad();
    const Tensor bias = values_of<double>(0, stream + 6, {C}).set_requires_grad();
    const Tensor mean = x.mean(others, true), var = square(x - mean).mean(others, true);
    const Tensor y = (x - mean) / sqrt(var + 1e-3) * weight.view(channels) + bias.view(channels);
    y.backward(cat(gs, 0));

    SyncBatchNorm norm(C, 1e-3, momentum);
    norm.to(DType::float64);
    no_grad([&] {
      norm.weight.copy_(weight);
      norm.bias.copy_(bias);
    });
    const Tensor got = norm(mine);
    got.backward(values(rank(), 1));

    std::int64_t first = 0;
    for (int r = 0; r < rank(); ++r) first += images(r);
    const auto error = [](const Tensor& a, const Tensor& b) { return (a - b).detach().abs().max().item(); };
    const auto part = [&](const Tensor& whole) { return whole.narrow(0, first, images(rank())); };
    CHECK(error(got, part(y)) < 1e-11);
    CHECK(error(mine.grad(), part(x.grad())) < 1e-11);
    const Tensor weight_grad = norm.weight.grad().clone(), bias_grad = norm.bias.grad().clone();
    all_reduce(weight_grad);
    all_reduce(bias_grad);
    CHECK(error(weight_grad, weight.grad()) < 1e-10);
    CHECK(error(bias_grad, bias.grad()) < 1e-10);

    const double m = momentum.value_or(1), n = static_cast<double>(x.numel() / C);
    CHECK(error(norm.running_mean, mean.reshape({C}) * m) < 1e-12);
    CHECK(error(norm.running_var, var.reshape({C}) * (m * n / (n - 1)) + (1 - m)) < 1e-12);
    CHECK(norm.num_batches_tracked.item<std::int64_t>() == 1);

    norm.eval();
    BatchNorm2d plain(C, 1e-3, momentum);
    if (x.dim() == 4) {
      plain.to(DType::float64);
      plain.load_state_dict(norm.state_dict());
      plain.eval();
      CHECK(error(norm(mine), plain(mine)) == 0);
    }
  });
}

TEST_CASE("SyncBatchNorm trains within DistributedDataParallel as BatchNorm does on the whole batch") {
  const auto make = [](auto norm) {
    manual_seed(3);
    Sequential net(Conv2d({.in_channels = 2, .out_channels = 4, .kernel_size = 3}), std::move(norm), Flatten(),
                   Linear(4 * 3 * 3, 2));
    net.to(DType::float64);
    return net;
  };
  Sequential net = make(SyncBatchNorm(4)), whole = make(BatchNorm2d(4));
  DistributedDataParallel ddp(net, {.bucket_bytes = 300});
  const std::int64_t n = 3 * world_size();
  const Tensor x = values_of<double>(0, 1, {n, 2, 5, 5});
  square(ddp(share(x, rank(), world_size()))).mean().backward();
  square(whole(x)).mean().backward();
  for (std::size_t i = 0; i < net.parameters().size(); ++i) {
    INFO(net.named_parameters()[i].first);
    CHECK((net.parameters()[i].grad() - whole.parameters()[i].grad()).abs().max().item() < 1e-11);
  }
  for (const auto& [name, x1] : whole.named_buffers()) {
    CHECK((net.state_dict().at(name) - x1).to(DType::float64).abs().max().item() < 1e-12);
  }
}

TEST_CASE("SyncBatchNorm refuses what it cannot normalise") {
  if (world_size() == 1) return;
  SyncBatchNorm norm(2);
  CHECK_THROWS_WITH(norm(ones({3})), Contains("expected [N, C, ...]"));
  DistributedDataParallel ddp(norm, {.shards = 2 * world_size()});
  CHECK_THROWS_WITH(ddp.backward([&](int) {
    return norm(ones({3, 2})).sum();
  }),
                    Contains("expected as many ranks as shards"));
}
