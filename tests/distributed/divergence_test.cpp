#include <birds_vs_planes/train.hpp>

#include <ranks.hpp>

#include <string>

using namespace tern;
using namespace tern::distributed;
using Catch::Matchers::Contains;
using tern::test::same_bits;

namespace {

/// log(1 - x), of images in which no byte is 255: of that the logarithm is -infinity.
class Darkness : public Module {
 public:
  Tensor forward(const Tensor& x) override { return log(1 - x); }
};

}  // namespace

TEST_CASE("a loss that is no number in one rank's images ends training on all ranks, which say the same") {
  const int shards = world_size() == 3 ? 6 : 4;
  const std::int64_t n = 2 * shards;
  const Tensor images = full({3 * n, 1, 2, 2}, 100, {.dtype = DType::uint8});
  images[2 * n - 1].fill_(255);  // the last of the second batch, and so the last rank's
  ImageBatches batches(images, arange(3 * n) % 2, {.batch_size = n, .shuffle = false});
  manual_seed(3);
  Sequential model{Darkness(), Flatten(), Linear(4, 2)};
  DistributedDataParallel parallel(model, {.shards = shards});
  SGD optimizer(model.parameters(), {.lr = 0.1});
  birds_vs_planes::Training training{
      .model = model, .optimizer = optimizer, .batches = batches, .loss_fn = CrossEntropyLoss(), .parallel = &parallel};
  bool stop = true;
  const birds_vs_planes::TrainingEvents events{
      .batch_done = [] {}, .epoch_done = [](const auto&) {}, .stop = [&stop] { return stop; }};
  REQUIRE(!birds_vs_planes::training_loop(1, training, events));  // after its first step
  std::vector<Tensor> before;
  for (const Tensor& p : model.parameters()) before.push_back(p.detach().clone());

  stop = false;
  std::string said;
  try {
    birds_vs_planes::training_loop(1, training, events);
  } catch (const birds_vs_planes::Diverged& e) {
    said = e.what();
  }
  CHECK_THAT(said, Contains("at step 2 of epoch 1: the first output that is not finite is that of 0, Darkness"));
  for (const std::string& there : all_gather_object(said)) CHECK(there == said);
  for (std::size_t i = 0; i < before.size(); ++i) CHECK(same_bits(before[i], model.parameters()[i].detach()));
}
