/// Threads that each train a model of their own, which is what threads may do side by side.

#include <tern/core/generator.hpp>
#include <tern/core/ops.hpp>
#include <tern/data/data_loader.hpp>
#include <tern/data/synthetic.hpp>
#include <tern/layers/layers.hpp>
#include <tern/optim/optimizer.hpp>

#include <catch2/catch.hpp>

#include <cstdint>
#include <thread>
#include <vector>

using namespace tern;

namespace {

struct Net : Module {
  Conv2d conv{{.in_channels = 3, .out_channels = 4, .kernel_size = 3, .padding = 1}};
  BatchNorm2d norm{4};
  Linear fc{4 * 8 * 8, 2};

  Members members() override { return {.modules = {{"conv", &conv}, {"norm", &norm}, {"fc", &fc}}}; }
  Tensor forward(const Tensor& x) override {
    return fc(dropout(max_pool2d(relu(norm(conv(x))), 4).flatten(1), 0.2, is_training()));
  }
};

/// The weights after two epochs on drawn images, from a generator of this thread's own.
std::vector<float> trained(std::uint64_t seed) {
  Generator generator(seed);
  const GeneratorGuard guard(generator);
  const TensorDataset images = synthetic_birds_and_planes(24, seed);
  DataLoader loader(images, {.batch_size = 8, .shuffle = true, .num_workers = 2, .seed = seed});
  Net net;
  SGD optimizer(net.parameters(), {.lr = 0.05, .momentum = 0.9});
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (const auto& [input, target] : loader) {
      optimizer.zero_grad();
      cross_entropy(net(input), target).backward();
      optimizer.step();
    }
  }
  std::vector<float> all;
  for (const auto& [name, x] : net.state_dict()) {
    const std::vector<float> values = x.to_vector<float>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

}  // namespace

TEST_CASE("two models that train in two threads come to the weights that each comes to alone", "[threads]") {
  const std::vector<float> want[] = {trained(1), trained(2)};
  REQUIRE(want[0] != want[1]);
  for (int time = 0; time < 3; ++time) {
    std::vector<float> got[2];
    std::thread one([&] { got[0] = trained(1); }), other([&] { got[1] = trained(2); });
    one.join();
    other.join();
    CHECK(got[0] == want[0]);
    CHECK(got[1] == want[1]);
  }
}
