/// What the public types promise to threads. Built with -fsanitize=thread, this program also shows that nothing races.

#include "../layers/models.hpp"

#include <tern/core/autograd.hpp>
#include <tern/core/generator.hpp>
#include <tern/data/data_loader.hpp>
#include <tern/data/synthetic.hpp>
#include <tern/optim/optimizer.hpp>

#include <catch2/catch.hpp>
#include <random.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

using namespace tern;
using namespace tern::test;

namespace {

/// Does work(0), work(1) ... at once.
void in_threads(int n, const std::function<void(int)>& work) {
  std::vector<std::thread> threads;
  for (int i = 0; i < n; ++i) threads.emplace_back([&work, i] { work(i); });
  for (std::thread& thread : threads) thread.join();
}

/// The weights after an epoch with batch norm and dropout, all random numbers of it from `seed`.
std::vector<std::vector<double>> trained(const Dataset& data, std::uint64_t seed, bool adamw) {
  Generator generator(seed);
  const GeneratorGuard guard(generator);
  Net model(4, true, 0.4);
  std::unique_ptr<Optimizer> optimizer;
  if (adamw) {
    optimizer = std::make_unique<AdamW>(model.parameters());
  } else {
    optimizer = std::make_unique<SGD>(model.parameters(), SGDOptions{.lr = 0.05, .momentum = 0.9});
  }
  DataLoader loader(data, {.batch_size = 4, .shuffle = true, .num_workers = 2, .seed = seed});
  for (const auto& [input, target] : loader) {
    const Tensor loss = cross_entropy(model(input), target);
    optimizer->zero_grad();
    loss.backward();
    optimizer->step();
  }
  std::vector<std::vector<double>> weights;
  for (const auto& [name, x] : model.state_dict()) weights.push_back(x.to_vector<double>());
  return weights;
}

}  // namespace

TEST_CASE("two models trained in two threads, on one dataset, get the bits of one after the other", "[threads]") {
  const TensorDataset data = synthetic_birds_and_planes(12, base_seed());
  const auto one = trained(data, 1, false), other = trained(data, 2, true);
  REQUIRE(one != other);
  std::vector<std::vector<double>> at_once[2];
  in_threads(2, [&](int i) { at_once[i] = trained(data, static_cast<std::uint64_t>(i + 1), i == 1); });
  CHECK(at_once[0] == one);
  CHECK(at_once[1] == other);
}

TEST_CASE("one model predicts in four threads", "[threads]") {
  Generator generator(base_seed());
  const GeneratorGuard guard(generator);
  Net model(4, true, 0.4);
  model.eval();
  const Tensor x = randn({4, 3, 32, 32});
  const auto predict = [&](int i) {
    const NoGradGuard no_grad;
    return model(x.narrow(0, i, 1)).to_vector<double>();
  };
  std::vector<std::vector<double>> expected, found(4);
  for (int i = 0; i < 4; ++i) expected.push_back(predict(i));
  in_threads(4, [&](int i) { found[static_cast<std::size_t>(i)] = predict(i); });
  CHECK(found == expected);
}

TEST_CASE("handles on one tensor are copied, read and let go by many threads, and graphs that share it end in any", "[threads]") {
  const Tensor w = ones({64}, {.requires_grad = true});
  std::optional<Tensor> y = (w * 2.0);
  std::vector<std::vector<double>> sums(4);
  in_threads(4, [&](int i) {
    for (int round = 0; round < 20; ++round) {
      const Tensor mine = *y + static_cast<double>(i);  // a graph of this thread's, on top of what all share
      sums[static_cast<std::size_t>(i)] = mine.sum().to_vector<double>();
    }
  });
  for (int i = 0; i < 4; ++i) CHECK(sums[static_cast<std::size_t>(i)] == std::vector<double>{64.0 * (2 + i)});
  std::vector<Tensor> ends;
  for (int i = 0; i < 4; ++i) ends.push_back(*y + static_cast<double>(i));
  y.reset();
  in_threads(4, [&](int i) { ends[static_cast<std::size_t>(i)] = {}; });  // who is last frees what they share
}

TEST_CASE("each thread has its own mode of recording and its own generator", "[threads]") {
  std::vector<std::vector<double>> expected, found(4);
  const auto draw = [](int i) {
    Generator generator(static_cast<std::uint64_t>(i));
    const GeneratorGuard guard(generator);
    return randn({100}).to_vector<double>();
  };
  for (int i = 0; i < 4; ++i) expected.push_back(draw(i));
  in_threads(4, [&](int i) {
    std::optional<NoGradGuard> no_grad;
    if (i % 2 == 0) no_grad.emplace();
    found[static_cast<std::size_t>(i)] = draw(i);
    if (is_grad_enabled() != (i % 2 == 1)) found.clear();
  });
  CHECK(found == expected);
}
