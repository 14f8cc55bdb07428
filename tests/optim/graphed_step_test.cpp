#include <tern/core/autocast.hpp>
#include <tern/core/autograd.hpp>
#include <tern/core/cuda.hpp>
#include <tern/core/generator.hpp>
#include <tern/layers/embedding.hpp>
#include <tern/layers/layers.hpp>
#include <tern/optim/clip.hpp>
#include <tern/optim/graphed_step.hpp>

#include <catch2/catch.hpp>

#include <layers/models.hpp>
#include <random.hpp>

#include <cmath>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace tern::test {
namespace {

struct Batch {
  Tensor input, target;
};

Batch random_batch(Random& random, std::int64_t n) {
  return {tensor(random.values<float>(n * 3 * 32 * 32)).reshape({n, 3, 32, 32}), tensor(random.indices(n, 2))};
}

/// What a training leaves behind: the sum of its losses, parameters, buffers, gradients, averages, the optimiser's
/// state and where the random numbers stand.
struct Trained {
  std::vector<std::vector<double>> values;
  std::uint64_t offset;

  friend bool operator==(const Trained&, const Trained&) = default;
};

void add(Trained& trained, const StateDict& state) {
  for (const auto& [name, x] : state) trained.values.push_back(x.to_vector<double>());
}

Trained trained(Module& model, double loss_sum) {
  Trained result{{{loss_sum}}, default_generator().state().offset};
  add(result, model.state_dict());
  for (const Tensor& p : model.parameters()) result.values.push_back(p.grad().to_vector<double>());
  return result;
}

std::vector<Device> devices() {
  std::vector<Device> list{Device::cpu};
  if (cuda::is_available()) list.push_back(Device::cuda);
  return list;
}

/// Steps of a Net with batch normalisation and dropout, at a learning rate that falls, with a moving average and
/// clipped gradients, in two runs, from the same start each time: `graphed` or one after the other, computed in
/// `dtype`.
template <class MakeOptimizer>
Trained train(const std::vector<Batch>& batches, Device device, bool graphed, MakeOptimizer make_optimizer,
              DType dtype = DType::float32) {
  manual_seed(5);
  Net net(4, true, 0.4);
  net.to(device);
  const auto optimizer = make_optimizer(net.parameters());
  AveragedModel average(net, 0.9);
  StepLR schedule(*optimizer, 2, 0.5);
  const auto clip = [&] { clip_grad_norm_(net.parameters(), 0.5); };
  const std::int64_t half = std::ssize(batches) / 2;
  double loss_sum = 0;
  if (graphed) {
    const Tensor input = empty_like(batches[0].input.to(device)), target = empty_like(batches[0].target.to(device));
    const auto loss = [&](const Tensor&) {
      const AutocastGuard autocast(dtype);
      return cross_entropy(net(input), target);
    };
    GraphedStep step(*optimizer, loss, {.schedule = &schedule, .average = &average, .before_update = clip});
    for (const std::int64_t first : {std::int64_t{0}, half}) {
      step.begin(first, first == 0 ? half : std::ssize(batches) - half);
      for (std::int64_t i = first; i < (first == 0 ? half : std::ssize(batches)); ++i) {
        input.copy_(batches[i].input);
        target.copy_(batches[i].target);
        step();
      }
      CHECK(step.state().diverged_at == -1);
      loss_sum += step.state().loss_sum;
    }
  } else {
    double of_run = 0;
    for (std::int64_t i = 0; i < std::ssize(batches); ++i) {
      schedule.set_epoch(i);
      std::optional<AutocastGuard> autocast(dtype);
      const Tensor loss = cross_entropy(net(batches[i].input.to(device)), batches[i].target.to(device));
      autocast.reset();
      optimizer->zero_grad();
      loss.backward();
      clip();
      optimizer->step();
      average.update();
      if (i == half) loss_sum = std::exchange(of_run, 0);
      of_run += loss.item();
    }
    loss_sum += of_run;
  }
  Trained result = trained(net, loss_sum);
  add(result, average.state_dict());
  add(result, optimizer->state_dict());
  return result;
}

template <class MakeOptimizer>
void check_graphed(MakeOptimizer make_optimizer, DType dtype = DType::float32) {
  for_each_case(1, [&](Random& random) {
    std::vector<Batch> batches;
    for (int i = 0; i < 7; ++i) batches.push_back(random_batch(random, 2));
    for (const Device device : devices()) {
      INFO("device " << device.str());
      const Trained eager = train(batches, device, false, make_optimizer, dtype);
      CHECK(train(batches, device, true, make_optimizer, dtype) == eager);
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

TEST_CASE("GraphedStep: replayed steps are the steps themselves, bit by bit, under autocast") {
  check_graphed(
      [](const std::vector<Tensor>& params) { return std::make_unique<SGD>(params, SGD::Options{.lr = 0.05}); },
      DType::bfloat16);
}

TEST_CASE("GraphedStep: every optimiser's replayed steps are the steps themselves, its momentum cycling") {
  const auto check_small = [](auto make_optimizer) {
    for (const Device device : devices()) {
      std::vector<std::vector<double>> ends;
      for (const bool graphed : {false, true}) {
        const Tensor w = tensor({1.0, -2.0, 0.5}, device).set_requires_grad();
        const auto optimizer = make_optimizer(std::vector<Tensor>{w});
        using O = std::remove_reference_t<decltype(*optimizer)>;
        constexpr bool cycles = !std::is_same_v<O, Adagrad> && !std::is_same_v<O, Adadelta>;
        OneCycleLR schedule(*optimizer, {.max_lr = {0.1}, .total_steps = 8, .cycle_momentum = cycles});
        const auto loss = [&] { return (w * w * w - w).sum(); };
        if (graphed) {
          GraphedStep step(*optimizer, [&](const Tensor&) { return loss(); }, {.schedule = &schedule});
          step.begin(0, 8);
          for (int i = 0; i < 8; ++i) step();
        } else {
          for (int i = 0; i < 8; ++i) {
            schedule.set_epoch(i);
            optimizer->zero_grad();
            loss().backward();
            optimizer->step();
          }
        }
        std::vector<double> end = w.to_vector<double>();
        for (const auto& [name, x] : optimizer->state_dict()) {
          for (const double v : x.template to_vector<double>()) end.push_back(v);
        }
        ends.push_back(end);
      }
      INFO("device " << device.str());
      CHECK(ends[0] == ends[1]);
      CHECK(ends[0][0] != 1);
    }
  };
  using Params = std::vector<Tensor>;
  check_small([](const Params& p) { return std::make_unique<SGD>(p, SGDOptions{.momentum = 0.9, .nesterov = true}); });
  check_small(
      [](const Params& p) { return std::make_unique<Adam>(p, AdamOptions{.weight_decay = 0.1, .amsgrad = true}); });
  check_small(
      [](const Params& p) { return std::make_unique<RMSprop>(p, RMSpropOptions{.momentum = 0.5, .centered = true}); });
  check_small([](const Params& p) { return std::make_unique<Adagrad>(p, AdagradOptions{.lr_decay = 0.1}); });
  check_small([](const Params& p) { return std::make_unique<Adadelta>(p); });
  check_small([](const Params& p) { return std::make_unique<Lion>(p, LionOptions{.weight_decay = 0.1}); });
  check_small([](const Params& p) { return std::make_unique<NAdam>(p, NAdamOptions{.momentum_decay = 0.5}); });
  check_small([](const Params& p) { return std::make_unique<RAdam>(p, RAdamOptions{.beta2 = 0.8}); });
  check_small([](const Params& p) { return std::make_unique<Adamax>(p, AdamaxOptions{.weight_decay = 0.1}); });
}

TEST_CASE("GraphedStep: a loss that is not finite changes nothing, nor does any step after it, and is noted") {
  for_each_case(3, [](Random& random) {
    const std::int64_t bad = random.integer(0, 5);
    for (const Device device : devices()) {
      INFO("device " << device.str() << ", step " << bad);
      const Tensor w = tensor(random.values<float>(5), device).set_requires_grad();
      const Tensor x = zeros({5}, {.device = device});
      AdamW optimizer({w}, {.lr = 0.1});
      GraphedStep step(optimizer, [&](const Tensor&) { return (w * x).sum(); });
      step.begin(0, 6);
      std::vector<float> before;
      for (std::int64_t i = 0; i < 6; ++i) {
        const float value = i == bad ? random.pick({NAN, INFINITY}) : static_cast<float>(i + 1);
        x.copy_(full({5}, value));
        if (i == bad) before = w.to_vector<float>();
        step();
      }
      CHECK(w.to_vector<float>() == before);
      const kernels::StepState state = step.state();
      CHECK(state.step == 6);
      CHECK(state.diverged_at == bad);
      if (bad == 0) CHECK(std::isfinite(state.loss_sum));
      step.begin(6, 1);  // begins anew
      x.copy_(ones({5}));
      step();
      CHECK(w.to_vector<float>() != before);
      CHECK(step.state().diverged_at == -1);
    }
  });
}

TEST_CASE("GraphedStep: steps are numbered from begin(), which may begin in the middle; beyond the end is an Error") {
  for (const Device device : devices()) {
    INFO("device " << device.str());
    const Tensor w = zeros({1}, {.device = device, .requires_grad = true});
    SGD optimizer({w}, {.lr = 0.5});
    GraphedStep step(optimizer, [&](const Tensor& number) { return (w * number.to(DType::float32)).sum(); });
    CHECK_THROWS_WITH(step(), "GraphedStep: step 1 of a run of 0, expected begin() before");
    CHECK_THROWS_WITH(step.begin(0, 3, {.step = 4}), Catch::Contains("begin at step 4 of 3"));
    CHECK_THROWS_WITH(step.begin(INT64_MAX, 3), Catch::Contains("the first being number 9223372036854775807"));
    CHECK_THROWS_WITH(step.begin(0, INT64_MAX), Catch::Contains("begin at step 0 of 9223372036854775807"));
    CHECK_THROWS_WITH(GraphedStep(optimizer, nullptr), Catch::Contains("GraphedStep: no loss"));
    step.begin(0, 4, {.step = 1, .loss_sum = 10});
    for (int i = 1; i < 4; ++i) step();
    CHECK(w.item() == -0.5 * (1 + 2 + 3));
    CHECK(step.state().step == 4);
    CHECK(step.state().loss_sum == 10 + 0 - 0.5 * 1 * 2 - 0.5 * (1 + 2) * 3);
    CHECK_THROWS_WITH(step(), "GraphedStep: step 5 of a run of 4, expected begin() before");
  }
}

TEST_CASE("GraphedStep: a loss function may leave the gradients itself") {
  for (const Device device : devices()) {
    INFO("device " << device.str());
    const Tensor w = full({1}, 3, {.device = device, .requires_grad = true});
    SGD optimizer({w}, {.lr = 0.5});
    bool does_nothing = true;
    GraphedStep step(optimizer, [&](const Tensor&) {
      const Tensor loss = square(w).sum();
      if (does_nothing) return loss.detach();
      optimizer.zero_grad();
      (loss * 0.5).backward();
      return loss.detach();
    });
    step.begin(0, 4);
    CHECK_THROWS_WITH(step(),
                      "GraphedStep: a loss that requires no grad, and no gradients either, expected one of them");
    does_nothing = false;
    for (int i = 0; i < 4; ++i) step();
    CHECK(w.item() == 3.0 / 16);  // half each time
    CHECK(step.state().loss_sum == 9 * (1 + 0.25 + 0.0625 + 0.015625));
  }
}

TEST_CASE("GraphedStep: follows a model that is moved, and gives its memory back", "[cuda]") {
  for_each_case(1, [](Random& random) {
    const Batch batch = random_batch(random, 2);
    const std::size_t before = cuda::memory_allocated();
    {
      Net net(4);
      net.to(Device::cuda);
      SGD optimizer(net.parameters(), {.lr = 0.1});
      Tensor input = batch.input.to(Device::cuda), target = batch.target.to(Device::cuda);
      GraphedStep step(optimizer, [&](const Tensor&) { return cross_entropy(net(input), target); });
      double last = INFINITY;
      const auto steps = [&] {
        step.begin(0, 4);
        for (int i = 0; i < 4; ++i) step();
        CHECK(step.state().loss_sum < last);
        last = step.state().loss_sum;
      };
      steps();
      net.to(Device::cpu);
      CHECK_THROWS_WITH(step(), Catch::StartsWith("GraphedStep: "));
      input = batch.input;
      target = batch.target;
      steps();
      net.to(Device::cuda);
      input = batch.input.to(Device::cuda);
      target = batch.target.to(Device::cuda);
      steps();
      CHECK(cuda::memory_allocated() > before);
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
      results.push_back(trained(net, total.item()));
    }
    CHECK(results[0] == results[1]);
  });
}

TEST_CASE("a graph counts the batches of batch norm without a momentum", "[cuda]") {
  for_each_case(1, [](Random& random) {
    const Tensor index = tensor<std::int64_t>({0, 3, 1, 3, 2, 0}).to(Device::cuda);
    const Tensor wanted = tensor(random.values<float>(6 * 8)).reshape({6, 8}).to(Device::cuda);
    std::vector<Trained> results;
    for (const bool graphed : {false, true}) {
      manual_seed(6);
      Sequential model(Embedding(4, 8, 2), BatchNorm1d(8, 1e-5, {}), LayerNorm(8));
      model.to(Device::cuda);
      SGD optimizer(model.parameters(), {.lr = 0.05});
      const auto step = [&] {
        const Tensor loss = mse_loss(model(index), wanted);
        optimizer.zero_grad();
        loss.backward();
        optimizer.step();
      };
      step();
      std::optional<cuda::Graph> graph;
      if (graphed) graph.emplace(step);
      for (int i = 1; i < 4; ++i) graphed ? graph->replay() : step();
      results.push_back(trained(model, 0));
      CHECK(model.state_dict().at("1.num_batches_tracked").item() == 4);
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
