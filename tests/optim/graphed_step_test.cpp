#include <tern/core/autograd.hpp>
#include <tern/core/cuda.hpp>
#include <tern/core/generator.hpp>
#include <tern/layers/layers.hpp>
#include <tern/optim/graphed_step.hpp>

#include <catch2/catch.hpp>

#include <layers/models.hpp>
#include <random.hpp>

#include <cmath>
#include <memory>
#include <optional>
#include <vector>

namespace tern::test {
namespace {

struct Batch {
  Tensor input, target;
};

Batch random_batch(Random& random, std::int64_t n) {
  return {tensor(random.values<float>(n * 3 * 32 * 32)).reshape({n, 3, 32, 32}), tensor(random.indices(n, 2))};
}

/// What a training leaves behind: losses, parameters, buffers, gradients and where the random numbers stand.
struct Trained {
  std::vector<std::vector<float>> values;
  std::uint64_t offset;

  friend bool operator==(const Trained&, const Trained&) = default;
};

Trained trained(Module& model, const std::vector<Tensor>& losses) {
  Trained result{{}, default_generator().state().offset};
  for (const Tensor& loss : losses) result.values.push_back(loss.to_vector<float>());
  for (const auto& [name, x] : model.state_dict()) result.values.push_back(x.to_vector<float>());
  for (const Tensor& p : model.parameters()) result.values.push_back(p.grad().to_vector<float>());
  return result;
}

std::vector<Device> devices() {
  std::vector<Device> list{Device::cpu};
  if (cuda::is_available()) list.push_back(Device::cuda);
  return list;
}

/// Trains a Net with batch normalisation and dropout, its learning rate falling, from the same start each time.
template <class MakeOptimizer, class MakeStep>
Trained train(const std::vector<Batch>& batches, Device device, MakeOptimizer make_optimizer, MakeStep make_step) {
  manual_seed(5);
  Net net(4, true, 0.4);
  net.to(device);
  const auto optimizer = make_optimizer(net.parameters());
  auto step = make_step(*optimizer, net);
  StepLR schedule(*optimizer, 2, 0.5);
  std::vector<Tensor> losses;
  for (const auto& [input, target] : batches) {
    losses.push_back(step(input, target));
    schedule.step();
  }
  return trained(net, losses);
}

template <class MakeOptimizer>
void check_graphed(MakeOptimizer make_optimizer) {
  for_each_case(1, [&](Random& random) {
    std::vector<Batch> batches;
    for (const std::int64_t n : {2, 2, 2, 1, 2}) batches.push_back(random_batch(random, n));  // one is smaller
    for (const Device device : devices()) {
      INFO("device " << device.str());
      const Trained eager = train(batches, device, make_optimizer, [&](Optimizer& optimizer, Module& model) {
        return [&, device](const Tensor& input, const Tensor& target) {
          const Tensor loss = cross_entropy(model(input.to(device)), target.to(device));
          optimizer.zero_grad();
          loss.backward();
          optimizer.step();
          return loss.detach();
        };
      });
      const Trained graphed = train(batches, device, make_optimizer, [](Optimizer& optimizer, Module& model) {
        return GraphedStep(
            optimizer, [&](const Tensor& input, const Tensor& target) { return cross_entropy(model(input), target); });
      });
      CHECK(graphed == eager);
      CHECK(eager.offset > 0);
    }
  });
}

}  // namespace

TEST_CASE("GraphedStep: replayed steps are the steps themselves, bit by bit, with SGD") {
  check_graphed([](const std::vector<Tensor>& params) {
    return std::make_unique<SGD>(params, SGDOptions{.lr = 0.05, .momentum = 0.9, .weight_decay = 0.01});
  });
}

TEST_CASE("GraphedStep: replayed steps are the steps themselves, bit by bit, with AdamW") {
  check_graphed(
      [](const std::vector<Tensor>& params) { return std::make_unique<AdamW>(params, AdamWOptions{.lr = 0.01}); });
}

TEST_CASE("GraphedStep: follows a model that is moved, and gives its memory back", "[cuda]") {
  for_each_case(1, [](Random& random) {
    const Batch batch = random_batch(random, 2);
    const std::size_t before = cuda::memory_allocated();
    {
      Net net(4);
      net.to(Device::cuda);
      SGD optimizer(net.parameters(), {.lr = 0.1});
      GraphedStep step(optimizer, [&](const Tensor& x, const Tensor& y) { return cross_entropy(net(x), y); });
      for (int i = 0; i < 3; ++i) step(batch.input, batch.target);
      net.to(Device::cpu);
      CHECK(step(batch.input, batch.target).device() == Device(Device::cpu));
      net.to(Device::cuda);
      const std::size_t held = cuda::memory_allocated();
      double last = INFINITY;
      for (int i = 0; i < 4; ++i) {
        const double loss = step(batch.input, batch.target).item();
        CHECK(loss < last);
        last = loss;
      }
      CHECK(held > before);
    }
    CHECK(cuda::memory_allocated() == before);
  });
}

TEST_CASE("a whole training step waits for nothing: it can be recorded as a graph, and replayed", "[cuda]") {
  for_each_case(1, [](Random& random) {
    const Batch batch = random_batch(random, 3);
    const Tensor input = batch.input.to(Device::cuda), target = batch.target.to(Device::cuda);
    const int steps = 4;
    std::vector<Trained> results;
    for (const bool graphed : {false, true}) {
      manual_seed(6);
      Net net(8, false, 0.3);
      net.to(Device::cuda);
      SGD optimizer(net.parameters(), {.lr = 0.05, .momentum = 0.9});
      const Tensor total = zeros({}, {.dtype = DType::float64, .device = Device::cuda});
      const auto step = [&] {
        const Tensor loss = cross_entropy(net(input), target);
        optimizer.zero_grad();
        loss.backward();
        optimizer.step();
        total.add_(loss.detach());
      };
      step();
      std::optional<cuda::Graph> graph;
      if (graphed) graph.emplace(step);
      for (int i = 1; i < steps; ++i) graphed ? graph->replay() : step();
      results.push_back(trained(net, {total}));
    }
    CHECK(results[0] == results[1]);
  });
}

TEST_CASE("a graph keeps what its work lets go of", "[cuda]") {
  const TensorOptions on_device{.device = Device::cuda};
  const std::size_t before = cuda::memory_allocated();
  {
    Tensor x = full({64}, 3, on_device), y;
    cuda::Graph graph([&] {
      y = x + 1;
      x = {};
      const Tensor in_its_place = full({64}, 7, on_device);
    });
    for (int i = 0; i < 3; ++i) {
      graph.replay();
      CHECK(y.to_vector<float>() == std::vector<float>(64, 4));
    }
  }
  CHECK(cuda::memory_allocated() == before);
}

TEST_CASE("a graph of a backward pass alone gives the same each time", "[cuda]") {
  const Tensor x = full({64}, 0.5, {.device = Device::cuda, .requires_grad = true});
  const auto loss_of_x = [&] { return tanh(x * 2.0).sum(); };
  loss_of_x().backward();
  const std::vector<float> expected = x.grad().to_vector<float>();
  x.set_grad({});
  const Tensor loss = loss_of_x();
  cuda::Graph graph([&] { loss.backward(); });
  for (int i = 0; i < 3; ++i) {
    graph.replay();
    CHECK(x.grad().to_vector<float>() == expected);
  }
}

TEST_CASE("a graph refuses what a replay could not do again", "[cuda]") {
  const Tensor x = ones({4}, {.device = Device::cuda, .requires_grad = true});
  Generator own(1);
  const kernels::PhiloxState start = default_generator().state();
  CHECK_THROWS_WITH(cuda::Graph([&] { x.sum().item(); }),
                    "download: 8 bytes of cuda:0 to the host inside a graph, expected it after");
  CHECK_THROWS_WITH(cuda::Graph([&] { tensor({1.0f}, Device::cuda); }),
                    "upload: 4 bytes from the host inside a graph, expected them on cuda:0 before");
  CHECK_THROWS_WITH(cuda::Graph([&] { dropout(x, 0.5, true, own); }), Catch::Contains("expected default_generator()"));
  CHECK_THROWS_WITH(cuda::Graph([&] { cuda::Graph([] {}); }), Catch::StartsWith("graph: recorded inside"));
  AdamW optimizer({x}, {});
  x.sum().backward();
  CHECK_THROWS_WITH(cuda::Graph([&] { optimizer.step(); }), Catch::StartsWith("AdamW: a step inside a graph"));
  CHECK_FALSE(cuda::is_capturing());

  // After all of these a graph is what it was.
  Tensor y;
  cuda::Graph graph([&] { y = dropout(x.detach(), 0.5, true); });
  CHECK(default_generator().state().offset == start.offset);
  graph.replay();
  const std::vector<float> first = y.to_vector<float>();
  default_generator().set_state(start);
  CHECK(first == dropout(x.detach(), 0.5, true).to_vector<float>());
}

}  // namespace tern::test
