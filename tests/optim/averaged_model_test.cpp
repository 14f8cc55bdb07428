#include <core/support.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/layers/layers.hpp>
#include <tern/optim/averaged_model.hpp>
#include <tern/optim/schedules.hpp>

#include <catch2/catch.hpp>
#include <random.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <vector>

using namespace tern;

namespace {

std::map<std::string, std::vector<double>> values(const StateDict& state) {
  std::map<std::string, std::vector<double>> all;
  for (const auto& [name, x] : state) all[name] = x.to_vector<double>();
  return all;
}

/// Other weights, and statistics of another batch.
void change(Module& model, test::Random& random) {
  const NoGradGuard no_grad;
  for (const Tensor& p : model.parameters())
    p.copy_(tensor(random.between<float>(p.numel(), -1, 1)).reshape(p.shape()));
  model(tensor(random.between<float>(2 * 3 * 4 * 4, -1, 1)).reshape({2, 3, 4, 4}));
}

}  // namespace

TEST_CASE("an averaged model follows the formula for parameters and buffers, and counts go along") {
  test::for_each_case(5, [](test::Random& random) {
    Sequential model(Conv2d({.in_channels = 3, .out_channels = 2, .kernel_size = 3}), BatchNorm2d(2));
    const double decay = random.real(0, 0.5);
    AveragedModel average(model, decay);
    auto expected = values(model.state_dict());
    for (int n = 1; n <= 12; ++n) {
      change(model, random);
      average.update();
      const double d = std::min(decay, (1.0 + n) / (10.0 + n));
      for (const auto& [name, now] : values(model.state_dict())) {
        for (std::size_t i = 0; i < now.size(); ++i) {
          double& e = expected[name][i];
          e = name == "1.num_batches_tracked" ? now[i] : d * e + (1 - d) * now[i];
        }
      }
    }
    Sequential other(Conv2d({.in_channels = 3, .out_channels = 2, .kernel_size = 3}), BatchNorm2d(2));
    average.copy_to(other);
    for (const auto& [name, got] : values(other.state_dict())) {
      INFO(name);
      REQUIRE(got.size() == expected.at(name).size());
      for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(expected.at(name)[i]).margin(1e-5));
    }

    // Its state carries on bit by bit.
    AveragedModel second(model, decay);
    second.load_state_dict(average.state_dict());
    change(model, random);
    average.update();
    second.update();
    CHECK(values(second.state_dict()) == values(average.state_dict()));
  });
}

TEST_CASE("an averaged model refuses a wrong decay and the state of another") {
  Linear a(2, 3), b(2, 4);
  CHECK_THROWS_WITH(AveragedModel(a, 1), "AveragedModel: decay 1, expected at least 0 and below 1");
  CHECK_THROWS_AS(AveragedModel(a, -0.1), Error);
  AveragedModel average(a, 0.5), other(b, 0.5);
  const auto before = values(average.state_dict());
  CHECK_THROWS_WITH(average.load_state_dict(other.state_dict()),
                    "AveragedModel: state 'bias' has shape [4], expected [3]; "
                    "state 'weight' has shape [4, 2], expected [3, 2]");
  CHECK_THROWS_WITH(
      average.load_state_dict({}),
      "AveragedModel: the state has no 'num_updates'; the state has no 'bias'; the state has no 'weight'");
  const auto refused = [&](const std::string& name, const Tensor& x) {
    StateDict state = average.state_dict();
    state[name] = x;
    CAPTURE(name);
    return test::message_of([&] { average.load_state_dict(state); });
  };
  CHECK(refused("bias", {}) == "AveragedModel: state 'bias' is undefined, expected shape [3]");
  CHECK(refused("bias", arange(3)) == "AveragedModel: state 'bias' is of int64, expected float32 or float64");
  CHECK(refused("num_updates", tensor({3.0})) == "AveragedModel: state 'num_updates' is of float64, expected int64");
  CHECK(refused("num_updates", tensor<std::int64_t>({-1})) ==
        "AveragedModel: num_updates -1, expected 0 to 9007199254740992");
  CHECK(refused("num_updates", tensor<std::int64_t>({INT64_MAX})) ==
        "AveragedModel: num_updates 9223372036854775807, expected 0 to 9007199254740992");
  CHECK(refused("third", tensor({1.0})) == "AveragedModel: the state has 'third', which is none of it");
  StateDict state = average.state_dict();
  state.erase("bias");
  CHECK_THROWS_AS(average.load_state_dict(state), Error);
  CHECK(values(average.state_dict()) == before);
}

TEST_CASE("warm-up and cosine: a line up, half a wave down, in each group") {
  test::for_each_case(10, [](test::Random& random) {
    const std::int64_t T_max = random.integer(2, 60), warmup = random.integer(0, T_max - 1);
    const Tensor p = zeros({1}), q = zeros({1});
    SGD sgd({SGD::Group{{p}, {.lr = 0.4}}, SGD::Group{{q}, {.lr = 0.1}}});
    WarmupCosineLR schedule(sgd, warmup, T_max);
    for (std::int64_t step = 0; step <= T_max; ++step) {
      const double done = static_cast<double>(step), up = static_cast<double>(warmup);
      const double turn = std::numbers::pi * (done - up) / (static_cast<double>(T_max) - up);
      const double share = step < warmup ? (done + 1) / up : 0.5 + 0.5 * std::cos(turn);
      CHECK(sgd.lr()[0] == Approx(0.4 * share).margin(1e-12));
      CHECK(sgd.lr()[1] == Approx(0.1 * share).margin(1e-12));
      schedule.step();
    }
  });
  SGD sgd({zeros({1})}, {.lr = 1});
  CHECK_THROWS_WITH(WarmupCosineLR(sgd, 5, 5), "WarmupCosineLR: warmup 5 and T_max 5, expected 0 <= warmup < T_max");
  CHECK_THROWS_AS(WarmupCosineLR(sgd, -1, 5), Error);
}
