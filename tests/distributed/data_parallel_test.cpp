#include <birds_vs_planes/models.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/generator.hpp>
#include <tern/core/safetensors.hpp>
#include <tern/data/synthetic.hpp>
#include <tern/distributed/data_parallel.hpp>
#include <tern/layers/losses.hpp>
#include <tern/optim/graphed_step.hpp>

#include <ranks.hpp>

#include <array>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <string>

using namespace tern;
using namespace tern::distributed;
using Catch::Matchers::Contains;
using tern::test::same_bits;
using tern::test::values_of;

namespace {

/// A multiple of the ranks.
int some_shards() { return world_size() == 3 ? 6 : 4; }

Batch batch_of(const TensorDataset& images, std::int64_t step, std::int64_t n) {
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < n; ++i) indices.push_back((step * n + i) % images.size());
  return images.get(indices);
}

std::map<std::string, Tensor> copies(Module& module) {
  std::map<std::string, Tensor> state;
  for (const auto& [name, x] : module.state_dict()) state[name] = x.detach().clone();
  return state;
}

/// What training by shards is to give, worked out one shard after the other: four shards, whose gradients and running
/// statistics are (0 + 1) + (2 + 3) by four, each with random numbers of its own.
class FourShards {
 public:
  FourShards(Module& model, Optimizer& optimizer) : model_(model), optimizer_(optimizer) {}

  double step(const Batch& batch) {
    const kernels::PhiloxState random = default_generator().state();
    const auto before = copies(model_);
    std::array<std::map<std::string, Tensor>, 4> of;
    for (std::uint64_t shard = 0; shard < 4; ++shard) {
      for (const auto& [name, buffer] : model_.named_buffers()) buffer.copy_(before.at(name));
      default_generator().set_state({random.seed, random.offset + (shard << 26)});
      const std::int64_t n = batch.target.numel() / 4, first = n * static_cast<std::int64_t>(shard);
      const Tensor loss = cross_entropy(model_(batch.input.narrow(0, first, n)), batch.target.narrow(0, first, n));
      optimizer_.zero_grad();
      loss.backward();
      for (const auto& [name, p] : model_.named_parameters()) of[shard][name] = p.grad().clone();
      for (const auto& [name, b] : model_.named_buffers()) of[shard][name] = b.clone();
      of[shard]["loss"] = loss.detach();
    }
    default_generator().set_state({random.seed, random.offset + (4u << 26)});
    const auto mean = [&of](const std::string& name) {
      return (of[0].at(name) + of[1].at(name) + (of[2].at(name) + of[3].at(name))) / 4;
    };
    for (const auto& [name, p] : model_.named_parameters()) p.set_grad(mean(name));
    for (const auto& [name, b] : model_.named_buffers()) {
      if (is_floating(b.dtype())) b.copy_(mean(name));
    }
    optimizer_.step();
    return mean("loss").item();
  }

 private:
  Module& model_;
  Optimizer& optimizer_;
};

}  // namespace

TEST_CASE("after 50 steps the weights are the same bits for 1, 2 and 4 ranks", "[weights]") {
  if (4 % world_size() != 0) return;
  const TensorDataset images = synthetic_birds_and_planes(160, 5);
  const std::string kind = GENERATE(from_range(birds_vs_planes::model_names()));
  INFO(kind);
  const std::int64_t batch_size = 8;
  const auto make = [&](std::uint64_t seed) {
    manual_seed(seed);
    return birds_vs_planes::make_model(kind);
  };
  const auto expected = make(1), model = make(rank() == 0 ? 1 : 99);  // the others' weights come from rank 0
  SGD expected_optimizer(expected->parameters(), {.lr = 0.02, .momentum = 0.9, .weight_decay = 1e-3});
  SGD optimizer(model->parameters(), {.lr = 0.02, .momentum = 0.9, .weight_decay = 1e-3});
  DistributedDataParallel ddp(*model, {.shards = 4, .bucket_bytes = 40'000});
  FourShards reference(*expected, expected_optimizer);

  manual_seed(2);
  std::vector<double> expected_losses, losses;
  for (std::int64_t step = 0; step < 50; ++step)
    expected_losses.push_back(reference.step(batch_of(images, step, batch_size)));
  const kernels::PhiloxState random = default_generator().state();
  manual_seed(2);
  for (std::int64_t step = 0; step < 50; ++step) {
    const Batch batch = batch_of(images, step, batch_size);
    optimizer.zero_grad();
    losses.push_back(ddp.backward([&](int shard) {
                          return cross_entropy(ddp(share(batch.input, shard, 4)), share(batch.target, shard, 4));
                        })
                         .item());
    optimizer.step();
  }
  CHECK(losses == expected_losses);
  CHECK(losses.back() != losses.front());
  CHECK(default_generator().state().offset == random.offset);
  const StateDict state = model->state_dict();
  for (const auto& [name, x] : expected->state_dict()) {
    INFO(name);
    CHECK(same_bits(x, state.at(name)));
  }
  // For a comparison by file of runs with another number of ranks.
  const char* folder = std::getenv("TERN_TEST_WEIGHTS");
  if (folder && rank() == 0) save_safetensors(std::string(folder) + "/" + kind + ".safetensors", {state, {}});
}

TEST_CASE("gradients are the whole batch's") {
  const int shards = GENERATE(0, 1) == 0 ? world_size() : some_shards();
  manual_seed(3);
  Sequential net(Linear(7, 5), Tanh(), Linear(5, 3));
  net.to(DType::float64);
  DistributedDataParallel ddp(net, {.shards = shards, .bucket_bytes = 64});
  const Tensor x = values_of<double>(0, 1, {24, 7}), y = values_of<double>(0, 2, {24, 3});
  net.zero_grad();
  const Tensor before = values_of<double>(0, 3, {3, 5});
  net.named_parameters().at(2).second.set_grad(before.clone());  // as backward() does, gradients add up

  const Tensor loss =
      ddp.backward([&](int shard) { return mse_loss(ddp(share(x, shard, shards)), share(y, shard, shards)); });
  std::vector<Tensor> got;
  for (const Tensor& p : net.parameters()) got.push_back(p.grad().clone());

  Sequential alone = clone(net);
  const Tensor whole = mse_loss(alone(x), y);
  whole.backward();
  CHECK(std::abs(loss.item() - whole.item()) < 1e-14);
  CHECK(!loss.requires_grad());
  const std::vector<Tensor> parameters = alone.parameters();
  for (std::size_t i = 0; i < got.size(); ++i) {
    const Tensor expected = i == 2 ? parameters[i].grad() + before : parameters[i].grad();
    CHECK((got[i] - expected).abs().max().item() < 1e-14);
    for (const Tensor& other : all_gather(got[i])) CHECK(same_bits(other, got[i]));
  }
}

TEST_CASE("a rank's own backward pass gives what ddp.backward() gives") {
  manual_seed(4);
  Sequential net(Linear(6, 8), Tanh(), Linear(8, 2)), other = clone(net);
  DistributedDataParallel ddp(net, {.bucket_bytes = 100}), expected(other);
  const Tensor x = values_of<float>(rank(), 1, {5, 6});
  for (int step = 0; step < 3; ++step) {  // they add up
    square(ddp(x)).mean().backward();
    expected.backward([&](int) { return square(expected(x)).mean(); });
  }
  for (std::size_t i = 0; i < net.parameters().size(); ++i) {
    CHECK(same_bits(net.parameters()[i].grad(), other.parameters()[i].grad()));
  }
}

TEST_CASE("no_sync() keeps gradients until the next pass averages them all") {
  manual_seed(5);
  Linear net(4, 3), whole(4, 3);
  net.to(DType::float64);
  whole.to(DType::float64);
  DistributedDataParallel ddp(net);
  whole.load_state_dict(net.state_dict());
  const auto x = [](int r, int pass) { return values_of<double>(r, 10 + static_cast<std::uint64_t>(pass), {2, 4}); };
  {
    const auto no_sync = ddp.no_sync();
    const std::int64_t before = statistics().collectives;
    for (int pass = 0; pass < 2; ++pass) square(ddp(x(rank(), pass))).sum().backward();
    CHECK(statistics().collectives == before);
    Linear alone = clone(net);
    for (int pass = 0; pass < 2; ++pass) square(alone(x(rank(), pass))).sum().backward();
    CHECK(same_bits(net.weight.grad(), alone.weight.grad()));
  }
  square(ddp(x(rank(), 2))).sum().backward();
  for (int r = 0; r < world_size(); ++r) {
    for (int pass = 0; pass < 3; ++pass) (square(whole(x(r, pass))).sum() / world_size()).backward();
  }
  CHECK((net.weight.grad() - whole.weight.grad()).abs().max().item() < 1e-13);
  CHECK((net.bias.grad() - whole.bias.grad()).abs().max().item() < 1e-13);
  // And no longer than that.
  net.zero_grad();
  square(ddp(x(0, 0))).sum().backward();
  whole.zero_grad();
  square(whole(x(0, 0))).sum().backward();
  CHECK((net.weight.grad() - whole.weight.grad()).abs().max().item() < 1e-14);
}

TEST_CASE("parameters that some shards or none have a gradient by") {
  struct Parts : Module {
    Linear always{3, 2}, at_times{3, 2}, never{3, 2};
    Members members() override {
      return {.modules = {{"always", &always}, {"at_times", &at_times}, {"never", &never}}};
    }
  } parts;
  const int shards = some_shards();
  DistributedDataParallel ddp(parts, {.shards = shards});
  const Tensor x = ones({1, 3});
  ddp.backward([&](int shard) {
    const Tensor y = parts.always(x).sum();
    return shard == shards - 1 ? y + parts.at_times(x).sum() : y;
  });
  CHECK(!parts.never.weight.grad().defined());
  CHECK(parts.always.weight.grad().to_vector<float>() == std::vector<float>(6, 1));
  for (const float g : parts.at_times.weight.grad().to_vector<float>()) CHECK(g == 1.0F / static_cast<float>(shards));
}

TEST_CASE("a parameter that is used twice, and hooks") {
  manual_seed(6);
  Linear net(3, 3);
  net.to(DType::float64);
  const int shards = some_shards();
  DistributedDataParallel ddp(net, {.shards = shards});
  Linear alone = clone(net);
  int calls = 0;
  net.weight.register_hook([&calls](const Tensor& g) {
    ++calls;
    return g * 2;
  });
  const Tensor x = values_of<double>(0, 1, {static_cast<std::int64_t>(shards), 3});
  ddp.backward([&](int shard) { return square(ddp(tanh(ddp(share(x, shard, shards))))).sum(); });
  CHECK(calls == ddp.local_shards());
  (square(alone(tanh(alone(x)))).sum() / shards).backward();
  CHECK((net.weight.grad() - alone.weight.grad() * 2).abs().max().item() < 1e-14);
  CHECK((net.bias.grad() - alone.bias.grad()).abs().max().item() < 1e-14);
}

TEST_CASE("what goes along is summed up over the ranks") {
  Linear net(3, 1);
  DistributedDataParallel ddp(net, {.shards = some_shards()});
  const Tensor along = tensor({static_cast<float>(rank()), 1.0F, rank() == 0 ? 0.5F : 0.0F});
  const std::int64_t before = statistics().collectives;
  ddp.backward([&](int) { return net(ones({1, 3})).sum(); }, along);
  CHECK(statistics().collectives - before == (world_size() > 1 ? 1 : 0));
  const auto n = static_cast<float>(world_size());
  if (world_size() != 3) {
    CHECK(along.to_vector<float>() == std::vector<float>{n * (n - 1) / 2, n, 0.5F});
  }
}

TEST_CASE("a loss that is not finite on one rank is so on all, and its step changes nothing") {
  manual_seed(7);
  Linear net(3, 1);
  const int shards = some_shards();
  DistributedDataParallel ddp(net, {.shards = shards});
  SGD optimizer(net.parameters(), {.lr = 0.1});
  std::int64_t number = 0;
  GraphedStep step(optimizer, [&](const Tensor&) {
    optimizer.zero_grad();
    return ddp.backward([&](int shard) {
      const Tensor loss = square(net(ones({1, 3}) * (shard + 1))).sum();
      return number == 1 && shard == shards - 1 ? loss * std::nan("") : loss;
    });
  });
  step.begin(0, 3);
  step();
  const Tensor weight = net.weight.detach().clone();
  number = 1;
  step();
  CHECK(step.state().diverged_at == 1);
  CHECK(same_bits(weight, net.weight.detach()));
}

TEST_CASE("one shard computes what a plain run computes") {
  if (world_size() > 1) return;
  manual_seed(8);
  const auto plain = birds_vs_planes::make_model("dropout");
  manual_seed(8);
  const auto model = birds_vs_planes::make_model("dropout");
  DistributedDataParallel ddp(*model);
  const TensorDataset images = synthetic_birds_and_planes(8, 1);
  const Batch batch = batch_of(images, 0, 8);
  manual_seed(9);
  cross_entropy((*plain)(batch.input), batch.target).backward();
  const kernels::PhiloxState random = default_generator().state();
  manual_seed(9);
  ddp.backward([&](int) { return cross_entropy(ddp(batch.input), batch.target); });
  CHECK(default_generator().state().offset == random.offset);
  for (std::size_t i = 0; i < plain->parameters().size(); ++i) {
    CHECK(same_bits(plain->parameters()[i].grad(), model->parameters()[i].grad()));
  }
}

TEST_CASE("other models and options are refused, with the difference and its rank") {
  Linear net(3, 2), other(3, rank() == 1 ? 4 : 2);
  if (world_size() > 1) {
    CHECK_THROWS_WITH(DistributedDataParallel(other),
                      Contains("parameter 'bias' is float32 [4] on rank 1 and float32 [2] on rank 0"));
    CHECK_THROWS_WITH(DistributedDataParallel(net, {.shards = world_size() * (1 + rank())}),
                      Contains("shards is ") && Contains("on rank 1 and "));
    CHECK_THROWS_WITH(DistributedDataParallel(net, {.shards = world_size() + 1}),
                      Contains("expected a multiple of the ranks"));
  }
  CHECK_THROWS_WITH(DistributedDataParallel(net, {.bucket_bytes = 0}), Contains("bucket_bytes 0"));
  DistributedDataParallel ddp(net, {.shards = 2 * world_size()});
  CHECK_THROWS_WITH(net(ones({1, 3})).sum().backward(), Contains("expected ddp.backward()"));
  CHECK_THROWS_WITH(ddp.no_sync(), Contains("expected one"));
  CHECK_THROWS_WITH(ddp.backward([&](int) { return net(ones({1, 3})); }), Contains("expected one element"));
  CHECK_THROWS_WITH(DistributedDataParallel(net, {.shards = 2 * world_size()}), Contains("set_taker"));
  CHECK_THROWS_WITH(share(ones({4}), 2, 2), Contains("part 2 of 2"));
  // All that left nothing behind.
  ddp.backward([&](int) { return net(ones({1, 3})).sum(); });
  CHECK(net.bias.grad().to_vector<float>() == std::vector<float>(2, 1));
}
