#include <tern/core/cuda.hpp>
#include <tern/core/ops.hpp>
#include <tern/distributed/data_parallel.hpp>
#include <tern/layers/layers.hpp>
#include <tern/optim/graphed_step.hpp>

#include <ranks.hpp>

using namespace tern;
using namespace tern::distributed;
using tern::test::for_each_case;
using tern::test::Random;
using tern::test::same_bits;
using tern::test::values_of;

// By NCCL, or through the host in a build without it: what is on a device beside the same on the host.

TEST_CASE("collectives of cuda tensors are those of host tensors", "[cuda][nccl]") {
  for_each_case(6, [](Random& random) {
    const Shape shape{random.length()};
    const auto stream = static_cast<std::uint64_t>(random.integer(0, 1'000'000));
    const int root = static_cast<int>(random.integer(0, world_size() - 1));
    const Tensor x = values_of<float>(rank(), stream, shape);
    for (const ReduceOp op : {ReduceOp::sum, ReduceOp::avg, ReduceOp::min, ReduceOp::max}) {
      const Tensor on_host = x.clone(), on_device = x.to(Device::cuda) * 1;
      all_reduce(on_host, op);
      Work work = all_reduce_async(on_device, op);
      const Tensor meanwhile = values_of<float>(rank(), stream, {100}).to(Device::cuda) + 1;
      work.wait();
      CHECK(same_bits(on_host, on_device * 1));
    }
    const Tensor on_host = x.clone(), on_device = x.to(Device::cuda);
    broadcast(on_host, root);
    broadcast(on_device, root);
    CHECK(same_bits(on_host, on_device));
    const std::vector<Tensor> all = all_gather(x.to(Device::cuda));
    for (int r = 0; r < world_size(); ++r) {
      CHECK(same_bits(all[static_cast<std::size_t>(r)], values_of<float>(r, stream, shape)));
    }
  });
}

TEST_CASE("training on cuda devices gives the same bits for any number of ranks", "[cuda][nccl]") {
  const int shards = world_size() == 3 ? 3 : 4;
  const Tensor x = values_of<float>(0, 1, {12, 5}).to(Device::cuda),
               y = values_of<float>(0, 2, {12, 2}).to(Device::cuda);
  const auto make = [] {
    manual_seed(3);
    Sequential net(Linear(5, 8), BatchNorm1d(8), Tanh(), Dropout(0.3), Linear(8, 2));
    net.to(Device::cuda);
    return net;
  };
  Sequential net = make(), expected = make();
  SGD optimizer(net.parameters(), {.lr = 0.1, .momentum = 0.9}),
      by_hand(expected.parameters(), {.lr = 0.1, .momentum = 0.9});
  DistributedDataParallel ddp(net, {.shards = shards, .bucket_bytes = 100});
  manual_seed(4);
  for (int step = 0; step < 3; ++step) {
    optimizer.zero_grad();
    ddp.backward([&](int s) { return mse_loss(ddp(share(x, s, shards)), share(y, s, shards)); });
    optimizer.step();
  }
  manual_seed(4);
  for (int step = 0; step < 3; ++step) {
    const kernels::PhiloxState random = default_generator().state();
    const std::vector<std::pair<std::string, Tensor>> buffers = expected.named_buffers();
    std::vector<Tensor> before;
    for (const auto& named : buffers) before.push_back(named.second.clone());
    std::vector<std::vector<Tensor>> grads, moved;
    for (int s = 0; s < shards; ++s) {
      for (std::size_t i = 0; i < buffers.size(); ++i) buffers[i].second.copy_(before[i]);
      default_generator().set_state({random.seed, random.offset + (static_cast<std::uint64_t>(s) << 26)});
      by_hand.zero_grad();
      mse_loss(expected(share(x, s, shards)), share(y, s, shards)).backward();
      grads.emplace_back();
      for (const Tensor& p : expected.parameters()) grads.back().push_back(p.grad().clone());
      moved.emplace_back();
      for (const auto& named : buffers) moved.back().push_back(named.second.clone());
    }
    default_generator().set_state({random.seed, random.offset + (static_cast<std::uint64_t>(shards) << 26)});
    const auto mean = [&](const std::vector<std::vector<Tensor>>& of, std::size_t i) {
      const Tensor left = of[0][i] + of[1][i];
      return (shards == 3 ? left + of[2][i] : left + (of[2][i] + of[3][i])) / shards;
    };
    for (std::size_t i = 0; i < expected.parameters().size(); ++i) expected.parameters()[i].set_grad(mean(grads, i));
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      if (is_floating(buffers[i].second.dtype())) buffers[i].second.copy_(mean(moved, i));
    }
    by_hand.step();
  }
  const StateDict state = net.state_dict();
  for (const auto& [name, value] : expected.state_dict()) {
    INFO(name);
    CHECK(same_bits(value, state.at(name)));
  }
}

#ifdef TERN_HAS_NCCL
TEST_CASE("a step on several ranks can be replayed as a graph", "[cuda][nccl]") {
  const int shards = 2 * world_size();
  const Tensor x = values_of<float>(0, 1, {24, 5}).to(Device::cuda),
               y = values_of<float>(0, 2, {24, 2}).to(Device::cuda);
  const auto trained = [&](bool as_graph) {
    manual_seed(3);
    Sequential net(Linear(5, 8), BatchNorm1d(8), Tanh(), Dropout(0.3), Linear(8, 2));
    net.to(Device::cuda);
    SGD optimizer(net.parameters(), {.lr = 0.1, .momentum = 0.9});
    DistributedDataParallel ddp(net, {.shards = shards, .bucket_bytes = 100});
    const auto backward = [&] {
      optimizer.zero_grad();
      return ddp.backward([&](int s) { return mse_loss(ddp(share(x, s, shards)), share(y, s, shards)); });
    };
    manual_seed(4);
    if (as_graph) {
      GraphedStep step(optimizer, [&](const Tensor&) { return backward(); });
      step.begin(0, 5);
      for (int i = 0; i < 5; ++i) step();
      CHECK(step.state().step == 5);
    } else {
      for (int i = 0; i < 5; ++i) {
        backward();
        optimizer.step();
      }
    }
    return net.state_dict();
  };
  const StateDict expected = trained(false), got = trained(true);
  for (const auto& [name, value] : expected) {
    INFO(name);
    CHECK(same_bits(value, got.at(name)));
  }
}
#endif
