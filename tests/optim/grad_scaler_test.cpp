#include <core/support.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/ops.hpp>
#include <tern/layers/layers.hpp>
#include <tern/optim/grad_scaler.hpp>

#include <catch2/catch.hpp>
#include <random.hpp>

#include <cmath>

using namespace tern;
using tern::test::devices;

TEST_CASE("a scaled step is the step itself, and one with a gradient that is not finite is left out") {
  for (const Device device : devices()) {
    CAPTURE(device);
    test::Random random(test::base_seed(), 1);
    const auto values = random.between<float>(6, -1, 1);
    const Tensor p = tensor(values, device).set_requires_grad(), q = tensor(values, device).set_requires_grad();
    SGD plain({p}, {.lr = 0.1, .momentum = 0.9}), scaled({q}, {.lr = 0.1, .momentum = 0.9});
    GradScaler scaler({.init_scale = 1024, .growth_interval = 3});
    int growths = 0;
    for (int i = 0; i < 12; ++i) {
      const bool breaks = i == 5 || i == 7;
      const double before = scaler.get_scale();
      if (!breaks) {
        plain.zero_grad();
        sum(square(p)).backward();
        plain.step();
      }
      scaled.zero_grad();
      scaler.scale(sum(square(q))).backward();
      if (breaks) {
        const NoGradGuard no_grad;
        q.grad().select(0, i % 6).fill_(i == 5 ? INFINITY : NAN);
      }
      if (i % 2 == 0) scaler.unscale_(scaled);
      CHECK(scaler.step(scaled) == !breaks);
      CHECK(scaler.get_scale() == before);
      scaler.update();
      CHECK(scaler.get_scale() / before == (breaks ? 0.5 : growths == 2 ? 2 : 1));
      growths = breaks ? 0 : (growths + 1) % 3;
      CHECK(q.to_vector<double>() == p.to_vector<double>());  // powers of two cost nothing
    }
  }
}

TEST_CASE("a loss of float16 whose gradients are too small gets them by a scaler") {
  for (const Device device : devices()) {
    CAPTURE(device);
    const Tensor p = full({3}, 1, {.device = device}).set_requires_grad();
    const auto gradient = [&](double by) {
      p.set_grad({});
      const Tensor small = p.to(DType::float16) * 1e-4;
      (sum(small * 1e-4) * by).backward();
      return p.grad().to_vector<double>()[0];
    };
    CHECK(gradient(1) == 0);
    CHECK(std::abs(gradient(4096) / 4096 / 1e-8 - 1) < 0.01);
  }
}

TEST_CASE("a scaler says what is wrong, and its state goes on") {
  const Tensor p = ones({2}).set_requires_grad();
  SGD optimizer({p}, {.lr = 0.1});
  GradScaler scaler({.init_scale = 8, .growth_interval = 2});
  CHECK_THROWS_WITH(scaler.update(), "GradScaler: update() without a step(), expected one");
  scaler.scale(sum(p)).backward();
  scaler.unscale_(optimizer);
  CHECK_THROWS_WITH(scaler.unscale_(optimizer),
                    "GradScaler: unscale_ again for one optimiser, expected update() before");
  scaler.step(optimizer);
  CHECK_THROWS_WITH(scaler.step(optimizer), "GradScaler: step again for one optimiser, expected update() before");
  scaler.update();
  GradScaler other({.growth_interval = 2});
  other.load_state_dict(scaler.state_dict());
  CHECK(other.get_scale() == 8);
  other.step(optimizer);
  other.update();
  CHECK(other.get_scale() == 16);  // the second in a row
  StateDict state = scaler.state_dict();
  state["scale"] = tensor({-1.0}).reshape({});
  CHECK_THROWS_WITH(other.load_state_dict(state),
                    "GradScaler: a scale of -1 and 1 steps, expected a positive number and 0 to 1");
  CHECK(other.get_scale() == 16);
  for (const GradScalerOptions& wrong :
       {GradScalerOptions{.init_scale = 0}, {.growth_factor = 1}, {.growth_interval = 0}, {.backoff_factor = 1}}) {
    CHECK_THROWS_AS(GradScaler(wrong), Error);
  }
}
