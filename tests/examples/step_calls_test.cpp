/// What the host asks of the device in a training step, counted by the emulator.

#ifdef TERN_EMULATOR

#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/train.hpp>

#include <tern/core/generator.hpp>
#include <tern/data/synthetic.hpp>

#include <catch2/catch.hpp>
#include <emulator.hpp>
#include <random.hpp>

using namespace tern;

namespace {

struct Job {
  const char* model;
  double l2;
  bool strong;  ///< augmentation, momentum, a schedule and a moving average
  std::int64_t batch_size;
  std::uint64_t most_nodes;
};

}  // namespace

TEST_CASE("a training step is one graph of few nodes, and an epoch waits once", "[cuda]") {
  for (const Job& job : {Job{"net", 0, false, 64, 12}, Job{"batchnorm", 0.001, false, 16, 30},
                         Job{"resstrong", 0, true, 2, 90}}) {
    INFO(job.model);
    constexpr std::int64_t steps = 3;
    const TensorDataset drawn = synthetic_birds_and_planes(steps * job.batch_size, test::base_seed());
    manual_seed(test::base_seed());
    const auto model = birds_vs_planes::make_model(job.model);
    model->to(Device::cuda);
    ImageBatches batches(drawn.inputs().to(Device::cuda), drawn.targets().to(Device::cuda),
                         {.batch_size = job.batch_size,
                          .shift = job.strong ? std::optional<std::int64_t>(4) : std::nullopt,
                          .cutout = job.strong ? 10 : 0});
    SGD optimizer(model->parameters(), {.lr = 0.01, .momentum = job.strong ? 0.9 : 0});
    WarmupCosineLR schedule(optimizer, 2, 2 * steps);
    AveragedModel average(*model, 0.99);
    birds_vs_planes::Training training{.model = *model,
                                       .optimizer = optimizer,
                                       .batches = batches,
                                       .loss_fn = CrossEntropyLoss({.label_smoothing = job.strong ? 0.1 : 0}),
                                       .device = Device::cuda,
                                       .l2_lambda = job.l2,
                                       .schedule = job.strong ? &schedule : nullptr,
                                       .average = job.strong ? &average : nullptr};
    emulator::CallCounts first, last;  // of the second epoch: after its first step, and after its last
    std::int64_t batch = 0;
    birds_vs_planes::training_loop(2, training,
                                   {.batch_done =
                                        [&] {
                                          ++batch;
                                          if (batch == steps + 1) first = emulator::calls();
                                          if (batch == 2 * steps) last = emulator::calls();
                                        },
                                    .epoch_done = [](const birds_vs_planes::Epoch&) {},
                                    .stop = [] { return false; }});
    const std::uint64_t replays = last.graph_launches - first.graph_launches;
    CHECK(replays == steps - 1);
    CHECK((last.graph_nodes - first.graph_nodes) / replays <= job.most_nodes);
    CHECK(last.launches == first.launches);
    CHECK(last.copies - first.copies <= 1 + 1);  // the sum of the losses at the end, and the next epoch's order
    CHECK(last.waits - first.waits == 1);
  }
}

#endif
