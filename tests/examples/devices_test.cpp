/// The models and their training on every device that this build and this machine have.

#include "child.hpp"

#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/train.hpp>
#include <core/support.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/generator.hpp>
#include <tern/data/synthetic.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

using namespace tern;
using namespace tern::test;

namespace {

/// Fails the test unless both agree to `tolerance` of the largest element, or of 1.
void check_near(const std::string& what, const Tensor& got, const Tensor& want, double tolerance) {
  REQUIRE(got.shape() == want.shape());
  const std::vector<double> a = got.to_vector<double>(), b = want.to_vector<double>();
  double largest = 1;
  for (const double v : b) largest = std::max(largest, std::abs(v));
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(a[i] - b[i]) <= tolerance * largest)) {
      FAIL_CHECK(what << " " << i << " is " << a[i] << ", expected " << b[i]);
      return;
    }
  }
}

/// The losses of 50 steps, each on its own batch of drawn images, as the program trains.
std::vector<double> first_losses(Device device) {
  constexpr std::int64_t steps = 50, batch_size = 8;
  const TensorDataset drawn = synthetic_birds_and_planes(steps * batch_size, base_seed());
  manual_seed(base_seed());
  const auto model = birds_vs_planes::make_model("net");
  model->to(device);
  SGD optimizer(model->parameters(), {.lr = 0.01});
  std::vector<double> losses;
  for (std::int64_t step = 0; step < steps; ++step) {
    const TensorDataset batch(drawn.inputs().narrow(0, step * batch_size, batch_size).contiguous(),
                              drawn.targets().narrow(0, step * batch_size, batch_size).contiguous());
    ImageBatches batches(batch.inputs().to(device), batch.targets().to(device),
                         {.batch_size = batch_size, .seed = base_seed()});
    birds_vs_planes::Training training{
        .model = *model, .optimizer = optimizer, .batches = batches, .loss_fn = CrossEntropyLoss(), .device = device};
    birds_vs_planes::training_loop(1, training,
                                   {.batch_done = [] {},
                                    .epoch_done = [&](const birds_vs_planes::Epoch& e) { losses.push_back(e.loss); },
                                    .stop = [] { return false; }});
  }
  return losses;
}

double logged_loss(const std::string& path) {
  const auto rows = Outcome{0, read_file(path), ""}.lines();
  REQUIRE(rows.size() == 2);
  return std::stod(rows[1].substr(2));
}

}  // namespace

TEST_CASE("the four models on every device are as on the reference: logits, loss, gradients, three steps") {
  for (const std::string kind : {"net", "width", "dropout", "batchnorm"}) {
    Random random(base_seed(), 0);
    const Tensor images = tensor(random.between<double>(2 * 3 * 32 * 32, 0, 1)).reshape({2, 3, 32, 32});
    const Tensor labels = tensor<std::int64_t>({1, 0});
    manual_seed(base_seed());
    const auto start = birds_vs_planes::make_model(kind);
    start->to(DType::float64);
    // Logits, loss, gradients and weights, in that order. Masks of dropout are drawn from the same seed.
    const auto run = [&](Device device) {
      const auto model = birds_vs_planes::make_model(kind);
      model->to(DType::float64);
      model->load_state_dict(start->state_dict());
      model->to(device);
      manual_seed(base_seed());
      SGD optimizer(model->parameters(), {.lr = 0.05, .momentum = 0.9, .weight_decay = 0.01});
      std::vector<std::pair<std::string, Tensor>> results;
      for (int step = 0; step < 3; ++step) {
        const Tensor logits = (*model)(images.to(device)), loss = cross_entropy(logits, labels.to(device));
        optimizer.zero_grad();
        loss.backward();
        results.emplace_back("logits", logits.detach());
        results.emplace_back("loss", loss.detach());
        for (const auto& [name, p] : model->named_parameters()) results.emplace_back("gradient of " + name, p.grad());
        optimizer.step();
      }
      for (const auto& [name, x] : model->state_dict()) results.emplace_back(name, x);
      return results;
    };
    const auto want = run(Device::reference);
    for (const Device device : devices()) {
      INFO(kind << " on " << device << ", TERN_TEST_SEED=" << base_seed());
      const auto got = run(device);
      REQUIRE(got.size() == want.size());
      for (std::size_t i = 0; i < want.size(); ++i) {
        CHECK(got[i].second.device() == device);
        check_near(want[i].first, got[i].second, want[i].second, 1e-10);
      }
    }
  }
}

TEST_CASE("the losses of the first 50 steps are those of the CPU") {
  const std::vector<double> want = first_losses(Device::cpu);
  CHECK(want.front() != want.back());
  for (const Device device : devices()) {
    if (device == Device(Device::cpu)) continue;
    const std::vector<double> got = first_losses(device);
    REQUIRE(got.size() == 50);
    for (std::size_t i = 0; i < got.size(); ++i) {
      INFO("step " << i << " on " << device << ", TERN_TEST_SEED=" << base_seed());
      CHECK(std::abs(got[i] - want[i]) <= 1e-6 * want[i]);
    }
  }
}

TEST_CASE("a loss that is not finite names its step on every device, and leaves the weights of the step before") {
  const TensorDataset drawn = synthetic_birds_and_planes(48, base_seed());
  for (const Device device : devices()) {
    INFO("device " << device << ", TERN_TEST_SEED=" << base_seed());
    const auto trained_on = [&](std::int64_t images) {
      manual_seed(base_seed());
      const auto model = birds_vs_planes::make_model("net");
      model->to(device);
      SGD optimizer(model->parameters(), {.lr = 0.01});
      // The fifth step goes too far, and so the sixth loss is no number.
      LRScheduler schedule(optimizer, [](std::int64_t step, double base) { return step < 4 ? base : 1e300; });
      ImageBatches batches(drawn.inputs().narrow(0, 0, images).to(device),
                           drawn.targets().narrow(0, 0, images).to(device), {.batch_size = 4, .shuffle = false});
      birds_vs_planes::Training training{.model = *model,
                                         .optimizer = optimizer,
                                         .batches = batches,
                                         .loss_fn = CrossEntropyLoss(),
                                         .device = device,
                                         .schedule = &schedule};
      const birds_vs_planes::TrainingEvents events{
          .batch_done = [] {}, .epoch_done = [](const auto&) {}, .stop = [] { return false; }};
      if (images > 20) {
        CHECK_THROWS_WITH(birds_vs_planes::training_loop(1, training, events),
                          Catch::StartsWith("train: the loss is nan at step 6 of epoch 1: the first output that is not "
                                            "finite is that of conv1") &&
                              Catch::Contains("whose weight is not finite"));
      } else {
        CHECK(birds_vs_planes::training_loop(1, training, events));
      }
      std::vector<std::uint64_t> weights;  // as bits, since some are NaN
      for (const auto& [name, p] : model->named_parameters()) {
        for (const double w : p.to_vector<double>()) weights.push_back(std::bit_cast<std::uint64_t>(w));
      }
      return weights;
    };
    CHECK(trained_on(48) == trained_on(20));
  }
}

TEST_CASE("the program trains on the CUDA device as on the CPU", "[slow][cuda]") {
  const TemporaryFolder folder;
  const auto train = [&](const std::string& device) {
    const Outcome outcome = run_program({"train", "--data", "synthetic", "--device", device, "--epochs", "1", "--seed",
                                         "1", "--save", folder / device, "--log", folder / (device + ".csv")});
    INFO(outcome.err);
    REQUIRE(outcome.code == 0);
    CHECK(outcome.err == "");
    CHECK_THAT(outcome.out, Catch::Contains("\nsaved: " + (folder / device) + "\n"));
    return outcome.lines();
  };
  const auto cpu = train("cpu"), cuda = train("cuda");
  REQUIRE(cuda.size() == cpu.size());
  CHECK_THAT(cuda[1], Catch::Contains("device: cuda:0"));
  CHECK(std::abs(logged_loss(folder / "cuda.csv") - logged_loss(folder / "cpu.csv")) <= 1e-4);
}
