/// Every allocation of a training step fails in turn.

#include "failing.hpp"
#include "training.hpp"

#include <tern/core/checkpoint.hpp>
#include <tern/core/generator.hpp>
#include <tern/core/ops.hpp>
#include <tern/data/data_loader.hpp>
#include <tern/data/image_batches.hpp>
#include <tern/data/synthetic.hpp>
#include <tern/kernels/cpu/threads.hpp>
#include <tern/optim/graphed_step.hpp>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

using namespace tern;
using namespace tern::test;

TEST_CASE("each allocation of a training step fails in turn, and the step done again gives the same bits") {
  const int before = num_threads();
  for (const int threads : {1, 2}) {
    set_num_threads(threads);
    for (const TrainingJob& job : {TrainingJob{"SGD with momentum", false, false, false},
                                   TrainingJob{"AdamW", true, false, false},
                                   TrainingJob{"SGD with momentum, batch norm and dropout", false, true, true},
                                   TrainingJob{"AdamW, batch norm and dropout", true, true, true}}) {
      for (const int done : {0, 1}) {  // the first step makes the optimiser's state
        const auto steps = [&](int n) {
          auto training = std::make_unique<Training>(job);
          for (int i = 0; i < n; ++i) training->step();
          return training;
        };
        const Bits old = steps(done)->bits(), expected = steps(done + 2)->bits();
        REQUIRE(old != expected);
        const Counts counts = fail_each([&](const AllocationFault& fault, const Attempt& attempt) {
          const auto training = steps(done);
          const bool failed = attempt(fault, [&] { training->step(); });
          CHECK((!failed || training->bits() == old));
          if (failed) training->step();
          training->step();
          CHECK(training->bits() == expected);
        });
        report(fmt::format("step {} with {}, {} threads", done + 1, job.name, threads), counts);
        CHECK(counts.errors > 100);
      }
    }
  }
  set_num_threads(before);
}

TEST_CASE("each allocation of a step of GraphedStep fails in turn, and the step done again gives the same bits") {
  struct Run {
    Run()
        : training({"", true, true, true}),
          data(synthetic_birds_and_planes(8, 1)),
          images(data.inputs(), data.targets(), {.batch_size = 2, .shift = 2}),
          schedule(training.optimizer(), 1, 8),
          step(training.optimizer(),
               [this](const Tensor& number) {
                 const Batch batch = images.gather(number);
                 return cross_entropy(training.model()(batch.input), batch.target);
               },
               {.schedule = &schedule, .average = &training.average(), .scaler = &scaler}) {
      step.begin(0, 4);
    }

    Training training;
    TensorDataset data;
    ImageBatches images;
    WarmupCosineLR schedule;
    GradScaler scaler{{.init_scale = 1024, .growth_interval = 1}};
    GraphedStep step;
  };
  for (const int done : {0, 1}) {
    const auto steps = [&](int n) {
      auto run = std::make_unique<Run>();
      for (int i = 0; i < n; ++i) run->step();
      return run;
    };
    const auto bits = [](Run& run) {
      Bits all = run.training.bits();
      all.erase("optimizer.adamw.lr");  // the schedule's, set again before each step
      all["loss"] = {run.step.state().loss_sum};
      all["scale"] = {run.scaler.get_scale()};
      return all;
    };
    const Bits old = bits(*steps(done)), expected = bits(*steps(done + 2));
    const Counts counts = fail_each([&](const AllocationFault& fault, const Attempt& attempt) {
      const auto run = steps(done);
      const bool failed = attempt(fault, [&] { run->step(); });
      CHECK((!failed || bits(*run) == old));
      if (failed) run->step();
      run->step();
      CHECK(bits(*run) == expected);
    });
    report(fmt::format("step {} of GraphedStep", done + 1), counts);
    CHECK(counts.errors > 100);
  }
}

TEST_CASE("backward that fails for want of memory leaves gradients that were there as they were") {
  const auto gradients = [](Training& training) {
    Bits all;
    for (const auto& [name, p] : training.model().named_parameters()) all[name] = p.grad().to_vector<double>();
    return all;
  };
  const auto pass = [](Training& training, const AllocationFault& fault, const Attempt& attempt) {
    const Tensor loss = cross_entropy(training.model()(training.input()), training.target()) +
                        sum_of_squares(training.model().parameters());  // a second gradient for each
    return attempt(fault, [&] { loss.backward(); });
  };
  const Attempt whole = [](const AllocationFault&, const std::function<void()>& work) { return work(), false; };
  const auto passes = [&](int n) {
    auto training = std::make_unique<Training>(TrainingJob{"", false, false, false});
    for (int i = 0; i < n; ++i) pass(*training, {}, whole);
    return training;
  };
  const Bits old = gradients(*passes(1)), expected = gradients(*passes(2));
  REQUIRE(old != expected);
  const Counts counts = fail_each([&](const AllocationFault& fault, const Attempt& attempt) {
    const auto training = passes(1);
    const bool failed = pass(*training, fault, attempt);
    CHECK(gradients(*training) == (failed ? old : expected));
    if (failed) pass(*training, {}, whole);
    CHECK(gradients(*training) == expected);
  });
  report("a backward pass that adds to gradients", counts);
  CHECK(counts.errors > 50);
}

TEST_CASE("a recorded pass through a checkpoint that fails for want of memory can be done again") {
  const Tensor points = tensor({0.5, -1.0, 2.0, 0.25, 1.0, -0.5}).view({2, 3});
  const auto step = [&](const Tensor& w) {
    manual_seed(1);
    const Tensor x = points.clone().set_requires_grad();
    const Tensor y = checkpoint([&w](const Tensor& in) { return dropout(linear(in, w, {}, Activation::tanh)); }, x);
    const Tensor slope = grad({y.sum()}, {x}, {.create_graph = true})[0];
    (square(slope).sum() + y.sum()).backward();
  };
  const auto passes = [&](int n) {
    const Tensor w = tensor({0.5, 0.25, -1.0, 0.75, 1.5, -0.5}).view({2, 3}).clone().set_requires_grad();
    for (int i = 0; i < n; ++i) step(w);
    return w;
  };
  const auto gradient = [](const Tensor& w) { return w.grad().to_vector<double>(); };
  const auto old = gradient(passes(1)), expected = gradient(passes(2));
  REQUIRE(old != expected);
  const Counts counts = fail_each([&](const AllocationFault& fault, const Attempt& attempt) {
    const Tensor w = passes(1);
    const bool failed = attempt(fault, [&] { step(w); });
    CHECK(is_grad_enabled());
    CHECK(Checkpoint::current() == nullptr);
    CHECK(gradient(w) == (failed ? old : expected));
    if (failed) step(w);
    CHECK(gradient(w) == expected);
  });
  report("a recorded pass through a checkpoint", counts);
  CHECK(counts.errors > 50);
}

TEST_CASE("each allocation of an epoch's loading fails in turn, in workers too, and no batch is lost") {
  const TensorDataset data = synthetic_birds_and_planes(7, 1);
  for (const int workers : {0, 2}) {
    long told_later = 0;
    const auto epoch = [&](const AllocationFault& fault, const Attempt& attempt) {
      std::vector<std::vector<double>> batches;
      DataLoader loader(data, {.batch_size = 2, .shuffle = true, .num_workers = workers});
      std::optional<DataLoader::Iterator> it;
      const auto next = [&] {
        if (it) {
          ++*it;
        } else {
          it.emplace(loader.begin());
        }
      };
      const auto next_or_again = [&] {
        try {
          next();
        } catch (const std::exception&) {  // what befell a worker, which has gathered ahead
          ++told_later;
          next();
        }
      };
      if (attempt(fault, next)) next_or_again();  // the first batch, for which workers are started
      for (; *it != loader.end(); next_or_again()) batches.push_back((*it)->input.to_vector<double>());
      return batches;
    };
    const Attempt whole = [](const AllocationFault&, const std::function<void()>& work) { return work(), false; };
    const auto expected = epoch({}, whole);
    REQUIRE(expected.size() == 4);
    Counts counts = fail_each([&](const AllocationFault& fault, const Attempt& attempt) {
      CHECK(epoch(fault, attempt) == expected);
    });
    counts.errors += told_later;
    report(fmt::format("the first batch of a DataLoader with {} workers", workers), counts);
    CHECK(counts.errors > 5);
  }
}
