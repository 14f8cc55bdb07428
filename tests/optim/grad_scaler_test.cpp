#include <core/support.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/ops.hpp>
#include <tern/layers/layers.hpp>
#include <tern/optim/graphed_step.hpp>

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

TEST_CASE("a GraphedStep with a scaler is what step() and update() make of the same losses") {
  test::for_each_case(2, [](test::Random& random) {
    const auto values = random.between<float>(12, -1, 1);
    const bool leaves_gradients = random.chance(0.5);
    for (const Device device : devices()) {
      CAPTURE(device, leaves_gradients);
      const Tensor p = tensor(values, device).set_requires_grad(), q = p.detach().clone().set_requires_grad();
      SGD plain({p}, {.lr = 0.1, .momentum = 0.9}), graphed({q}, {.lr = 0.1, .momentum = 0.9});
      const GradScalerOptions options{.init_scale = 1U << 20, .growth_interval = 5};
      GradScaler eager(options), scaler(options);
      // Gradients of up to 40, of which float16 has not the first ones' scaled.
      const auto loss = [](const Tensor& x) { return square((x.to(DType::float16) * 4).to(DType::float32)).sum(); };
      GraphedStep step(graphed,
                       [&](const Tensor&) {
                         if (!leaves_gradients) return loss(q);
                         graphed.zero_grad();
                         const Tensor scaled = scaler.scale(loss(q));
                         scaled.backward();
                         return scaler.unscale(scaled.detach());
                       },
                       {.scaler = &scaler});
      double sum = 0;
      int left_out = 0;
      for (int epoch = 0; epoch < 2; ++epoch) {
        step.begin(20 * epoch, 20);
        for (int i = 0; i < 20; ++i) {
          step();
          plain.zero_grad();
          const Tensor of_step = loss(p);
          sum = epoch == 1 && i == 0 ? of_step.item() : sum + of_step.item();
          eager.scale(of_step).backward();
          left_out += !eager.step(plain);
          eager.update();
          REQUIRE(q.to_vector<float>() == p.to_vector<float>());
        }
        const kernels::StepState state = step.state();
        CHECK(state.diverged_at == -1);
        CHECK(state.loss_sum == sum);
        CHECK(scaler.get_scale() == eager.get_scale());
        CHECK(scaler.state_dict().at("growth_tracker").item() == eager.state_dict().at("growth_tracker").item());
        if (epoch == 0) {  // the graph has where the factor is
          const StateDict state_dict = scaler.state_dict();
          for (GradScaler* each : {&eager, &scaler}) {
            each->load_state_dict({{"scale", full({}, 1U << 18, {.dtype = DType::float64})},
                                   {"growth_tracker", state_dict.at("growth_tracker")}});
          }
        }
      }
      CHECK(left_out > 10);
      CHECK(left_out < 35);
    }
  });
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
