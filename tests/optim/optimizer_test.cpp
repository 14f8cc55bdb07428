#include <core/support.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/safetensors.hpp>
#include <tern/optim/clip.hpp>
#include <tern/optim/schedules.hpp>

#include <folders.hpp>
#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>
#include <memory>

namespace tern::test {

namespace {

using nlohmann::json;

const json& golden() {
  static const json all = json::parse(std::ifstream(in_tree("tests/golden/optimizers.json")));
  return all;
}

Tensor shaped(const json& values, const json& shape, Device device, DType dtype = DType::float64) {
  const std::vector<std::int64_t> sizes = shape;
  return tensor(values.get<std::vector<double>>()).to(dtype).to(device).reshape(Shape(std::span(sizes)));
}

std::unique_ptr<Optimizer> make(const std::string& kind, const std::vector<Tensor>& params, const json& groups) {
  const std::size_t each = params.size() / groups.size();
  const auto part = [&](std::size_t i) {
    const auto first = params.begin() + static_cast<std::ptrdiff_t>(i * each);
    return std::vector<Tensor>(first, first + static_cast<std::ptrdiff_t>(each));
  };
  if (kind == "SGD") {
    std::vector<SGD::Group> all;
    for (std::size_t i = 0; i < groups.size(); ++i) {
      const json& o = groups[i];
      all.push_back({part(i),
                     {.lr = o.at("lr"),
                      .momentum = o.value("momentum", 0.0),
                      .dampening = o.value("dampening", 0.0),
                      .weight_decay = o.value("weight_decay", 0.0),
                      .nesterov = o.value("nesterov", false)}});
    }
    return std::make_unique<SGD>(std::move(all));
  }
  std::vector<AdamW::Group> all;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const json& o = groups[i];
    const std::vector<double> betas = o.value("betas", std::vector<double>{0.9, 0.999});
    all.push_back({part(i),
                   {.lr = o.at("lr"),
                    .beta1 = betas[0],
                    .beta2 = betas[1],
                    .eps = o.value("eps", 1e-8),
                    .weight_decay = o.value("weight_decay", 1e-2)}});
  }
  return std::make_unique<AdamW>(std::move(all));
}

struct Job {
  const json& golden;
  std::vector<Tensor> params;
  std::unique_ptr<Optimizer> optimizer;

  Job(const json& from, Device device, DType dtype = DType::float64) : golden(from) {
    const json& shapes = golden.at("shapes");
    for (const json& start : golden.at("start")) {
      params.push_back(shaped(start, shapes[params.size() % shapes.size()], device, dtype).set_requires_grad());
    }
    optimizer = make(golden.at("kind"), params, golden.at("options"));
  }

  void step(std::size_t i) {
    for (std::size_t k = 0; k < params.size(); ++k) {
      const json& g = golden.at("steps")[i].at("grads")[k];
      params[k].set_grad(g.is_null() ? Tensor()
                                     : tensor(g.get<std::vector<double>>())
                                           .to(params[k].dtype())
                                           .to(params[k].device())
                                           .reshape(params[k].shape()));
    }
    optimizer->step();
  }

  std::vector<std::vector<double>> values() const {
    std::vector<std::vector<double>> all;
    for (const Tensor& p : params) all.push_back(p.to_vector<double>());
    return all;
  }
};

StateDict copied(const StateDict& state) {
  StateDict copy;
  for (const auto& [name, x] : state) copy[name] = x.clone();
  return copy;
}

Tensor parameter(const std::vector<double>& values = {1, 2}) { return tensor(values).set_requires_grad(); }

}  // namespace

TEST_CASE("SGD and AdamW are PyTorch's", "[optim]") {
  for (const Device device : devices()) {
    for (const json& run : golden().at("optimizers")) {
      for (const DType dtype : {DType::float64, DType::float32}) {
        Job job(run, device, dtype);
        for (std::size_t i = 0; i < run.at("steps").size(); ++i) {
          job.step(i);
          CAPTURE(run.at("kind"), run.at("options"), i, dtype, device);
          for (std::size_t k = 0; k < job.params.size(); ++k) {
            const std::vector<double> want = run.at("steps")[i].at("params")[k],
                                      got = job.params[k].to_vector<double>();
            for (std::size_t j = 0; j < want.size(); ++j) {
              const double tolerance = dtype == DType::float64 ? 1e-12 : 1e-5;
              CHECK(std::abs(got[j] - want[j]) <= tolerance * std::max(1.0, std::abs(want[j])));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("a step leaves gradients as they are", "[optim]") {
  for (const Device device : devices()) {
    for (const json& run : golden().at("optimizers")) {
      Job job(run, device);
      for (std::size_t i = 0; i < 3; ++i) {
        job.step(i);
        for (std::size_t k = 0; k < job.params.size(); ++k) {
          const json& g = run.at("steps")[i].at("grads")[k];
          REQUIRE(job.params[k].grad().defined() == !g.is_null());
          if (!g.is_null()) {
            CHECK(job.params[k].grad().to_vector<double>() == g.get<std::vector<double>>());
            CHECK(job.params[k].grad().storage()->version() == 0);
          }
        }
      }
    }
  }
}

TEST_CASE("a step counts as a change in place, of what has a gradient", "[optim]") {
  const Tensor with = parameter(), without = parameter();
  SGD sgd({with, without}, {.lr = 0.5, .momentum = 0.9, .weight_decay = 0.1});
  const Tensor loss = (with * with).sum(), other = (without * without).sum();
  with.set_grad(ones_like(with));
  sgd.step();
  CHECK(without.to_vector<double>() == std::vector<double>{1, 2});
  CHECK(sgd.state_dict().contains("sgd.momentum.0"));
  CHECK_FALSE(sgd.state_dict().contains("sgd.momentum.1"));
  CHECK(message_of([&] { loss.backward(); }).find("was changed in place") != std::string::npos);
  other.backward();
  sgd.zero_grad();
  CHECK_FALSE(without.grad().defined());
}

TEST_CASE("a gradient that does not lie densely", "[optim]") {
  for (const Device device : devices()) {
    const Tensor p = zeros({2, 3}, {.dtype = DType::float64, .device = device}).set_requires_grad();
    p.set_grad(arange(6).to(DType::float64).to(device).reshape({3, 2}).t());
    SGD({p}, {.lr = 1}).step();
    CHECK(p.to_vector<double>() == std::vector<double>{0, -2, -4, -1, -3, -5});
  }
}

TEST_CASE("a state that is saved and loaded goes on bit by bit", "[optim]") {
  for (const Device device : devices()) {
    for (const DType dtype : {DType::float64, DType::float32}) {
      for (const json& run : golden().at("optimizers")) {
        const std::size_t apart = device.on_host() ? 1 : 4;  // an emulated device is slow
        for (std::size_t stop = 0; stop < run.at("steps").size(); stop += apart) {
          Job whole(run, device, dtype), first(run, device, dtype);
          for (std::size_t i = 0; i < stop; ++i) first.step(i);
          Job second(run, device, dtype);
          {
            const NoGradGuard no_grad;
            for (std::size_t k = 0; k < first.params.size(); ++k) second.params[k].copy_(first.params[k]);
          }
          std::vector<double> rates = first.optimizer->lr();
          for (double& rate : rates) rate *= 0.7;
          second.optimizer->set_lr(rates);  // which the state brings back
          second.optimizer->load_state_dict(copied(first.optimizer->state_dict()));
          CHECK(second.optimizer->lr() == first.optimizer->lr());
          for (std::size_t i = 0; i < run.at("steps").size(); ++i) {
            whole.step(i);
            if (i >= stop) second.step(i);
          }
          CAPTURE(run.at("kind"), run.at("options"), stop, dtype, device);
          CHECK(second.values() == whole.values());
        }
      }
    }
  }
}

TEST_CASE("a loaded state is a copy, on the parameters' device", "[optim]") {
  const Tensor p = parameter();
  SGD source({p}, {.lr = 0.1, .momentum = 0.9});
  p.set_grad(ones_like(p));
  source.step();
  const StateDict state = copied(source.state_dict());
  for (const Device device : devices()) {
    const Tensor q = p.detach().to(DType::float32).to(device).clone().set_requires_grad();
    SGD target({q}, {.lr = 0.1, .momentum = 0.9});
    target.load_state_dict(state);
    q.set_grad(ones_like(q));
    target.step();
    CHECK(state.at("sgd.momentum.0").to_vector<double>() == std::vector<double>{1, 1});
    CHECK(target.state_dict().at("sgd.momentum.0").to_vector<float>() == std::vector<float>{1.9f, 1.9f});
    CHECK(target.state_dict().at("sgd.momentum.0").device() == device);
  }
}

TEST_CASE("a state that is not this optimiser's is an error and changes nothing", "[optim]") {
  const Tensor p = parameter(), q = parameter({1, 2, 3}), r = parameter();
  for (const Tensor& x : {p, q, r}) x.set_grad(ones_like(x));
  SGD sgd({p, q}, {.lr = 0.1, .momentum = 0.9});
  AdamW adamw({p, q}, {.lr = 0.2});
  sgd.step();
  adamw.step();
  const StateDict of_sgd = copied(sgd.state_dict()), of_adamw = copied(adamw.state_dict());
  const auto sgd_error = [&](const StateDict& state) { return message_of([&] { sgd.load_state_dict(state); }); };
  const auto adamw_error = [&](const StateDict& state) { return message_of([&] { adamw.load_state_dict(state); }); };

  CHECK(sgd_error(of_adamw).starts_with("SGD: the state has no 'sgd.lr'; "));
  CHECK(sgd_error(of_adamw).find("the state has 'adamw.exp_avg.0', which is none of it") != std::string::npos);
  CHECK(adamw_error(of_sgd).starts_with("AdamW: the state has no 'adamw.lr'; the state has no 'adamw.steps'; "));
  CHECK(sgd_error({}) == "SGD: the state has no 'sgd.lr'");

  const auto sgd_with = [&](const std::string& name, const Tensor& x) {
    StateDict state = of_sgd;
    state[name] = x;
    return sgd_error(state);
  };
  const auto adamw_with = [&](const std::string& name, const Tensor& x) {
    StateDict state = of_adamw;
    state[name] = x;
    return adamw_error(state);
  };
  const auto whole = [](std::int64_t a, std::int64_t b) { return tensor<std::int64_t>({a, b}); };
  CHECK(sgd_with("sgd.momentum.0", q) == "SGD: state 'sgd.momentum.0' has shape [3], expected [2]");
  CHECK(sgd_with("sgd.momentum.0", {}) == "SGD: state 'sgd.momentum.0' is undefined, expected shape [2]");
  CHECK(sgd_with("sgd.momentum.0", whole(1, 2)) ==
        "SGD: state 'sgd.momentum.0' is of int64, expected float32 or float64");
  CHECK(sgd_with("sgd.lr", tensor({0.1, 0.2})) == "SGD: state 'sgd.lr' has shape [2], expected [1]");
  CHECK(sgd_with("sgd.lr", tensor<std::int64_t>({1})) == "SGD: state 'sgd.lr' is of int64, expected float64");
  CHECK(sgd_with("sgd.lr", tensor({NAN}).to(DType::float64)).starts_with("SGD: lr nan, momentum 0.9, "));
  CHECK(sgd_with("sgd.lr", tensor({INFINITY}).to(DType::float64)).starts_with("SGD: lr inf, momentum 0.9, "));
  CHECK(sgd_with("sgd.weight_decay", tensor({-1.0})).find("weight_decay -1, expected") != std::string::npos);
  CHECK(sgd_with("sgd.initial_lr", tensor({-1.0})) == "SGD: initial_lr -1, expected finite numbers, none below 0");
  CHECK(sgd_with("sgd.nesterov", tensor({1.0})) == "SGD: state 'sgd.nesterov' is of float64, expected uint8");
  CHECK(adamw_with("adamw.beta2", tensor({1.0})).starts_with("AdamW: lr 0.2, betas 0.9 and 1, "));
  CHECK(adamw_with("adamw.steps", tensor<std::int64_t>({1})) ==
        "AdamW: state 'adamw.steps' has shape [1], expected [2]");
  CHECK(adamw_with("adamw.steps", tensor({1.0, 1.0})) == "AdamW: state 'adamw.steps' is of float64, expected int64");
  CHECK(adamw_with("adamw.steps", whole(1, -1)) == "AdamW: -1 steps of parameter 1, expected 0 to 9007199254740992");
  CHECK(adamw_with("adamw.steps", whole(INT64_MAX, 1)) ==
        "AdamW: 9223372036854775807 steps of parameter 0, expected 0 to 9007199254740992");

  // What is missing, and all that is wrong at once.
  StateDict bad = of_adamw;
  bad.erase("adamw.exp_avg_sq.1");
  CHECK(adamw_error(bad) == "AdamW: the state has no 'adamw.exp_avg_sq.1'");
  bad.erase("adamw.exp_avg.1");  // both, of a parameter that has taken a step
  CHECK(adamw_error(bad) == "AdamW: the state has no 'adamw.exp_avg.1'; the state has no 'adamw.exp_avg_sq.1'");
  bad = of_adamw;
  bad.erase("adamw.eps");
  bad["adamw.exp_avg.0"] = q;
  bad["adamw.exp_avg_sq.1"] = p;
  CHECK(adamw_error(bad) ==
        "AdamW: the state has no 'adamw.eps'; state 'adamw.exp_avg.0' has shape [3], expected [2]; "
        "state 'adamw.exp_avg_sq.1' has shape [2], expected [3]");

  // A model with a parameter more.
  SGD larger({p, q, r}, {.lr = 0.1, .momentum = 0.9});
  larger.step();
  CHECK(sgd_error(larger.state_dict()) == "SGD: the state has 'sgd.momentum.2', which is none of it");
  CHECK(adamw_with("adamw.exp_avg.2", r) == "AdamW: the state has 'adamw.exp_avg.2', which is none of it");

  const auto unchanged = [](const StateDict& now, const StateDict& before) {
    REQUIRE(now.size() == before.size());
    for (const auto& [name, x] : before) CHECK(now.at(name).to_vector<double>() == x.to_vector<double>());
  };
  unchanged(sgd.state_dict(), of_sgd);
  unchanged(adamw.state_dict(), of_adamw);
}

TEST_CASE("what optimisers refuse", "[optim]") {
  const Tensor p = parameter();
  CHECK(message_of([&] { SGD({p}, {.lr = -1}); }) ==
        "SGD: lr -1, momentum 0, dampening 0, weight_decay 0, expected finite numbers, none but dampening below 0");
  CHECK(message_of([&] { SGD({p}, {.nesterov = true}); }) ==
        "SGD: nesterov with momentum 0 and dampening 0, expected a momentum and no dampening");
  CHECK(message_of([&] { SGD({p}, {.momentum = 0.9, .dampening = 0.1, .nesterov = true}); }) ==
        "SGD: nesterov with momentum 0.9 and dampening 0.1, expected a momentum and no dampening");
  CHECK(message_of([&] { AdamW({p}, {.beta2 = 1}); }) ==
        "AdamW: lr 0.001, betas 0.9 and 1, eps 1e-08, weight_decay 0.01, expected finite numbers, none below 0 and "
        "betas below 1");
  CHECK(message_of([&] { SGD(std::vector<Tensor>{}, {}); }) == "SGD: a group without parameters");
  CHECK(message_of([&] { SGD({p * 2.0}, {}); }) ==
        "SGD: a parameter of shape [2], expected a contiguous float32 or float64 leaf");
  CHECK(message_of([&] { SGD({arange(2)}, {}); }) ==
        "SGD: a parameter of shape [2], expected a contiguous float32 or float64 leaf");
  CHECK(message_of([&] { SGD({p, zeros({2})}, {}); }) == "SGD: tensors of float64 and float32, expected one dtype");
  CHECK(message_of([&] { SGD({p, p}, {}); }) == "SGD: a parameter of shape [2] twice, expected each once");
  CHECK(message_of([&] {
          AdamW(std::vector<AdamW::Group>{{{p}, {}}, {{p}, {}}});
        }) == "AdamW: a parameter of shape [2] twice, expected each once");
  SGD sgd({p}, {});
  CHECK(message_of([&] { sgd.set_lr({0.1, 0.2}); }) == "SGD: 2 learning rates for 1 groups");
  CHECK(message_of([&] { SGD({p, Tensor()}, {}); }) == "SGD: parameter 1 is undefined, expected a tensor");
}

TEST_CASE("every number of an optimiser is checked, in its constructor, by set_lr and in a state alike", "[optim]") {
  const Tensor p = parameter();
  SGD sgd({p}, {.lr = 0.1});
  AdamW adamw({p}, {.lr = 0.1});
  for (const double bad : {-1.0, std::numeric_limits<double>::quiet_NaN(), HUGE_VAL}) {
    CAPTURE(bad);
    for (double SGDOptions::*const number : {&SGDOptions::lr, &SGDOptions::momentum, &SGDOptions::weight_decay}) {
      SGDOptions options;
      options.*number = bad;
      CHECK_THROWS_AS(SGD({p}, options), Error);
    }
    for (double AdamWOptions::*const number : {&AdamWOptions::lr, &AdamWOptions::beta1, &AdamWOptions::beta2,
                                               &AdamWOptions::eps, &AdamWOptions::weight_decay}) {
      AdamWOptions options;
      options.*number = bad;
      CHECK_THROWS_AS(AdamW({p}, options), Error);
    }
    CHECK_THROWS_AS(sgd.set_lr({bad}), Error);
    CHECK_THROWS_AS(adamw.set_lr({bad}), Error);
    CHECK_THROWS_AS(StepLR(sgd, 1, bad), Error);
    CHECK_THROWS_AS(CosineAnnealingLR(sgd, 1, bad), Error);
    CHECK_THROWS_AS(LRScheduler(sgd, [=](std::int64_t, double) { return bad; }), Error);
    LRScheduler later(sgd, [=](std::int64_t epoch, double base) { return epoch < 2 ? base : bad; });
    later.step();
    CHECK_THROWS_AS(later.step(), Error);
    CHECK(later.epoch() == 1);
    CHECK(sgd.lr() == std::vector<double>{0.1});
    CHECK(adamw.lr() == std::vector<double>{0.1});
  }
  SGD({p}, {.momentum = 1.5, .dampening = -1});  // which PyTorch takes, too
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), HUGE_VAL}) {
    CHECK_THROWS_AS(SGD({p}, {.dampening = bad}), Error);
  }
  StepLR schedule(sgd, 1);
  CHECK(message_of([&] { schedule.set_epoch(-1); }) == "LRScheduler: epoch -1, expected 0 or more");
  CHECK(message_of([&] { LRScheduler(sgd, nullptr); }).starts_with("LRScheduler: no formula"));
  schedule.set_epoch(INT64_MAX);
  CHECK(sgd.lr() == std::vector<double>{0});
  CHECK(message_of([&] { schedule.step(); }) == "LRScheduler: a step after epoch 9223372036854775807");
}

TEST_CASE("a state brings every option back", "[optim]") {
  const auto stepped = [](auto& optimizer, std::initializer_list<double> gradients) {
    for (const double g : gradients) {
      for (const Tensor& p : optimizer.params()) p.set_grad(full(p.shape(), g, {.dtype = p.dtype()}));
      optimizer.step();
    }
  };
  const auto check = [&](auto& whole, auto& second) {
    const std::vector<Tensor>&from = whole.params(), &to = second.params();
    stepped(whole, {0.5, -1});
    second.load_state_dict(copied(whole.state_dict()));
    for (std::size_t i = 0; i < to.size(); ++i) to[i].detach().copy_(from[i].detach());
    stepped(whole, {0.25, 2, -3});
    stepped(second, {0.25, 2, -3});
    for (std::size_t i = 0; i < to.size(); ++i) CHECK(to[i].to_vector<double>() == from[i].to_vector<double>());
  };
  {
    SGD whole({SGD::Group{{parameter()}, {.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true}},
               SGD::Group{{parameter()}, {.lr = 0.2, .momentum = 0.5, .dampening = 0.25}}});
    SGD second({SGD::Group{{parameter()}, {}}, SGD::Group{{parameter()}, {.momentum = 0.3, .nesterov = true}}});
    check(whole, second);
  }
  {
    AdamW whole({parameter()}, {.lr = 0.1, .beta1 = 0.5, .beta2 = 0.75, .eps = 0.01, .weight_decay = 0.25});
    AdamW second({parameter()});
    check(whole, second);
  }
}

TEST_CASE("Lion is its paper's algorithm 2", "[optim]") {
  // By hand, from p = 1, m = 0: u = 0.9 m + 0.1 g, p = 0.99 p - 0.1 sign(u), m = 0.99 m + 0.01 g.
  for (const Device device : devices()) {
    const Tensor p = tensor({1.0}, device).set_requires_grad();
    Lion lion({p}, {.lr = 0.1, .weight_decay = 0.1});
    const std::pair<double, double> steps[] = {{0.5, 0.89}, {-0.03, 0.7811}, {-0.5, 0.873289}, {0, 0.96455611}};
    for (const auto& [g, want] : steps) {
      p.set_grad(full({1}, g, {.dtype = DType::float64, .device = device}));
      lion.step();
      CHECK(p.item() == Approx(want).epsilon(1e-14));
    }
    CHECK(lion.state_dict().at("lion.exp_avg.0").item() == Approx(-0.000392535).epsilon(1e-10));
  }
}

TEST_CASE("NAdam's momentum is that of any number of steps at once", "[optim]") {
  const Tensor p = parameter();
  NAdam nadam({p}, {.beta1 = std::nextafter(1.0, 0.0), .momentum_decay = 10});
  StateDict state = copied(nadam.state_dict());
  state["nadam.steps"] = tensor<std::int64_t>({std::int64_t{1} << 52});
  state["nadam.exp_avg.0"] = state["nadam.exp_avg_sq.0"] = ones_like(p.detach());
  nadam.load_state_dict(state);
  p.set_grad(ones_like(p));
  nadam.step();
  for (const double v : p.to_vector<double>()) CHECK(std::isfinite(v));
  CHECK(message_of([&] { NAdam({p}, {.momentum_decay = -1}); }) ==
        "NAdam: momentum_decay -1, expected a finite number, not below 0");
}

TEST_CASE("a state from before amsgrad and maximize were options has neither", "[optim]") {
  const Tensor p = parameter();
  p.set_grad(ones_like(p));
  AdamW before({p});
  before.step();
  StateDict state = copied(before.state_dict());
  state.erase("adamw.amsgrad");
  state.erase("adamw.maximize");
  AdamW adamw({p}, {.amsgrad = true, .maximize = true});
  adamw.load_state_dict(state);
  CHECK(adamw.state_dict().at("adamw.amsgrad").item() == 0);
  CHECK(adamw.state_dict().at("adamw.maximize").item() == 0);
  RMSprop rmsprop({p});
  StateDict of_rmsprop = copied(rmsprop.state_dict());
  of_rmsprop.erase("rmsprop.centered");
  CHECK(message_of([&] { rmsprop.load_state_dict(of_rmsprop); }) == "RMSprop: the state has no 'rmsprop.centered'");
}

TEST_CASE("gradients add up over batches until zero_grad, and a step takes their sum", "[optim]") {
  const Tensor whole = parameter({1, 2, 3}), parts = parameter({1, 2, 3});
  Adam one({whole}), two({parts});
  const Tensor x = tensor({1.0, -1.0, 2.0}), y = tensor({0.5, 3.0, -2.0});
  for (int step = 0; step < 3; ++step) {
    one.zero_grad();
    two.zero_grad();
    ((whole * x).sum() + (whole * y).sum()).backward();
    (parts * x).sum().backward();
    (parts * y).sum().backward();
    one.step();
    two.step();
    CHECK(parts.to_vector<double>() == whole.to_vector<double>());
  }
}

TEST_CASE("a group that is added has its own options, rate and schedule", "[optim]") {
  const Tensor p = parameter(), q = parameter();
  Adam adam({p}, {.lr = 0.1});
  ExponentialLR first(adam, 0.5);
  adam.add_param_group({{q}, {.lr = 0.01}});
  CHECK(adam.lr() == std::vector<double>{0.1, 0.01});
  CHECK(message_of([&] {
          adam.add_param_group({{p}, {}});
        }) == "Adam: a parameter of shape [2] twice, expected each once");
  CHECK_THROWS_AS(adam.add_param_group({{parameter()}, {.lr = -1}}), Error);
  CHECK(adam.params().size() == 2);
  CHECK(message_of([&] { first.step(); }) == "Adam: 1 learning rates for 2 groups");
  ExponentialLR second(adam, 0.5);
  second.step();
  CHECK(adam.lr() == std::vector<double>{0.05, 0.005});
  Adam other({Adam::Group{{p}, {}}, Adam::Group{{q}, {}}});
  other.load_state_dict(adam.state_dict());
  CHECK(other.lr() == adam.lr());
}

TEST_CASE("clip_grad_norm_ and clip_grad_value_", "[optim]") {
  for (const Device device : devices()) {
    const Tensor p = tensor({1.0, 2.0, 3.0, 4.0, 5.0, 6.0}, device).reshape({2, 3}).set_requires_grad();
    const Tensor none = tensor({1.0}, device).set_requires_grad();
    CHECK(clip_grad_norm_({none}, 1).item() == 0);
    p.set_grad(tensor({1.0, 4.0, 2.0, 5.0, 3.0, 6.0}, device).reshape({3, 2}).t());  // not dense
    CHECK(clip_grad_norm_({p, none}, 100).item() == Approx(std::sqrt(91.0)));
    CHECK(p.grad().to_vector<double>() == std::vector<double>{1, 2, 3, 4, 5, 6});
    clip_grad_norm_({p, none}, 1);
    CHECK(sum_of_squares({p.grad()}).item() == Approx(1).epsilon(1e-5));
    CHECK_FALSE(none.grad().defined());
    clip_grad_value_({p, none}, 0.25);
    CHECK(max(p.grad()).item() == 0.25);
    p.set_grad(full({2, 3}, std::numeric_limits<double>::infinity(), {.dtype = DType::float64, .device = device}));
    CHECK(message_of([&] { clip_grad_norm_({p}, 1, 2, true); }) ==
          "clip_grad_norm_: a norm of inf, expected a finite one");
    CHECK(std::isinf(p.grad().to_vector<double>()[0]));
  }
  CHECK_THROWS_AS(clip_grad_norm_({parameter()}, 1, 0), Error);
  CHECK_THROWS_AS(clip_grad_norm_({Tensor()}, 1), Error);
  CHECK_THROWS_AS(clip_grad_value_({parameter()}, -1), Error);
}

TEST_CASE("what schedules refuse", "[optim]") {
  SGD sgd({parameter()}, {.lr = 0.1});
  Adagrad adagrad({parameter()});
  CHECK_THROWS_AS(ConstantLR(sgd, 1.5), Error);
  CHECK_THROWS_AS(LinearLR(sgd, 0), Error);
  CHECK_THROWS_AS(LinearLR(sgd, 0.5, 1, 0), Error);
  CHECK_THROWS_AS(PolynomialLR(sgd, 0), Error);
  CHECK_THROWS_AS(ExponentialLR(sgd, -1), Error);
  CHECK_THROWS_AS(MultiStepLR(sgd, {1}, NAN), Error);
  CHECK_THROWS_AS(CosineAnnealingWarmRestarts(sgd, 0), Error);
  CHECK_THROWS_AS(OneCycleLR(sgd, {.max_lr = {0.1}, .total_steps = 0}), Error);
  CHECK_THROWS_AS(OneCycleLR(sgd, {.max_lr = {}, .total_steps = 5}), Error);
  CHECK_THROWS_AS(OneCycleLR(sgd, {.max_lr = {0.1, 0.2}, .total_steps = 5}), Error);
  CHECK(message_of([&] { OneCycleLR(adagrad, {.max_lr = {0.1}, .total_steps = 5}); }) ==
        "Adagrad: it has no momentum that a schedule could change");
  CHECK_THROWS_AS(LambdaLR(sgd, LambdaLR::Factor()), Error);
  CHECK_THROWS_AS(ReduceLROnPlateau(sgd, {.factor = 1}), Error);
  const ExponentialLR decay(sgd, 0.5), of_other(adagrad, 0.5);
  CHECK_THROWS_AS(SequentialLR(sgd, {&decay}, {3}), Error);
  CHECK_THROWS_AS(SequentialLR(sgd, {&decay, &decay, &decay}, {3, 2}), Error);
  CHECK_THROWS_AS(SequentialLR(sgd, {&decay, &of_other}, {3}), Error);
  CHECK(sgd.lr() == std::vector<double>{0.1});
  OneCycleLR cycle(sgd, {.max_lr = {0.1}, .total_steps = 2});
  cycle.set_epoch(2);
  CHECK(message_of([&] { cycle.step(); }) == "OneCycleLR: step 3 of 2");
  const StateDict state = cycle.state_dict();
  StateDict bad = state;
  bad["base_lrs"] = tensor({-1.0});
  CHECK_THROWS_AS(cycle.load_state_dict(bad), Error);
  bad = state;
  bad["last_epoch"] = tensor<std::int64_t>({3});
  CHECK_THROWS_AS(cycle.load_state_dict(bad), Error);
  CHECK(cycle.epoch() == 2);
  CosineAnnealingWarmRestarts far(sgd, 3, 1'000'000'007);
  far.set_epoch(INT64_MAX);
  CHECK(std::isfinite(sgd.lr()[0]));
}

TEST_CASE("a state that was written with the rates as its only option leaves the others as they are", "[optim]") {
  const Tensor p = parameter();
  SGD sgd({p}, {.lr = 0.1, .momentum = 0.5, .weight_decay = 0.25});
  const StateDict before = copied(sgd.state_dict());
  sgd.load_state_dict({{"sgd.lr", tensor({0.3})}, {"sgd.momentum.0", tensor({1.0, 2.0})}});
  CHECK(sgd.lr() == std::vector<double>{0.3});
  for (const auto& [name, x] : before) {
    if (name != "sgd.lr") CHECK(sgd.state_dict().at(name).to_vector<double>() == x.to_vector<double>());
  }
  CHECK(sgd.state_dict().at("sgd.momentum.0").to_vector<double>() == std::vector<double>{1, 2});

  AdamW adamw({p}, {.beta1 = 0.5});
  StepLR schedule(adamw, 1);
  adamw.load_state_dict({{"adamw.lr", tensor({0.3})}, {"adamw.steps", tensor<std::int64_t>({0})}});
  CHECK(adamw.state_dict().at("adamw.beta1").item() == 0.5);
  CHECK(adamw.state_dict().at("adamw.initial_lr").item() == 1e-3);
}

TEST_CASE("schedules start from the rates of the first one, through a state, too: PyTorch's initial_lr", "[optim]") {
  // torch 1.13: SGD(lr=0.1), StepLR(1, 0.1), two steps; state_dict into SGD(lr=0.5); a new StepLR, LambdaLR, ...
  SGD first({parameter()}, {.lr = 0.1});
  StepLR decay(first, 1, 0.1);
  decay.step();
  decay.step();
  const double decayed = first.lr()[0];
  CHECK(decayed == Approx(0.001));
  const StateDict state = copied(first.state_dict());
  CHECK(state.at("sgd.initial_lr").item() == 0.1);

  const auto loaded = [&](auto make) {
    SGD second({parameter()}, {.lr = 0.5});
    second.load_state_dict(state);
    make(second);
  };
  loaded([&](SGD& sgd) {
    StepLR schedule(sgd, 1, 0.1);
    CHECK(sgd.lr()[0] == decayed);
    schedule.set_epoch(2);
    CHECK(sgd.lr()[0] == decayed);
    schedule.step();
    CHECK(sgd.lr()[0] == Approx(0.0001));
  });
  loaded([&](SGD& sgd) {
    CosineAnnealingLR schedule(sgd, 10);
    CHECK(sgd.lr()[0] == decayed);
    schedule.set_epoch(5);
    CHECK(sgd.lr()[0] == Approx(0.05));
  });
  loaded([&](SGD& sgd) {
    LRScheduler schedule(sgd, [](std::int64_t epoch, double base) { return base / static_cast<double>(2 + epoch); });
    CHECK(sgd.lr()[0] == Approx(0.05));
  });
  // A schedule that is there keeps what it began with; the state replaces what the next one will.
  SGD third({parameter()}, {.lr = 0.5});
  StepLR before(third, 1, 0.1);
  third.load_state_dict(state);
  CHECK(third.lr()[0] == decayed);
  before.step();
  CHECK(third.lr()[0] == Approx(0.05));
  CHECK(third.state_dict().at("sgd.initial_lr").item() == 0.1);
  SGD none({parameter()}, {.lr = 0.5});
  third.load_state_dict(copied(none.state_dict()));
  CHECK_FALSE(third.state_dict().contains("sgd.initial_lr"));
}

TEST_CASE("a schedule of one's own holds from the first step on", "[optim]") {
  const Tensor p = tensor({0.0, 0.0}).set_requires_grad();
  SGD sgd({p}, {.lr = 1});
  LRScheduler schedule(sgd, [](std::int64_t epoch, double base) { return base * (epoch == 0 ? 0.25 : 0.5); });
  CHECK(sgd.lr() == std::vector<double>{0.25});
  p.set_grad(ones_like(p));
  sgd.step();
  schedule.step();
  sgd.step();
  CHECK(p.to_vector<double>() == std::vector<double>{-0.75, -0.75});
}

TEST_CASE("learning rates follow PyTorch's schedules", "[optim]") {
  for (const json& run : golden().at("schedules")) {
    const json &rates = run.at("rates"), &arguments = run.at("arguments");
    std::vector<SGD::Group> groups;
    for (const double lr : rates[0]) groups.push_back({{parameter()}, {.lr = lr}});
    SGD sgd(std::move(groups));
    std::unique_ptr<LRScheduler> scheduler;
    if (run.at("kind") == "StepLR")
      scheduler = std::make_unique<StepLR>(sgd, arguments.at("step_size"), arguments.value("gamma", 0.1));
    else
      scheduler = std::make_unique<CosineAnnealingLR>(sgd, arguments.at("T_max"), arguments.value("eta_min", 0.0));
    const auto check = [&](std::size_t epoch) {
      CAPTURE(run.at("kind"), arguments, epoch);
      CHECK(scheduler->epoch() == static_cast<std::int64_t>(epoch));
      const std::vector<double> got = sgd.lr(), want = rates[epoch];
      REQUIRE(got.size() == want.size());
      for (std::size_t i = 0; i < want.size(); ++i)
        CHECK(std::abs(got[i] - want[i]) <= 1e-12 * rates[0][i].get<double>());
    };
    for (std::size_t epoch = 0; epoch < rates.size(); ++epoch) {
      check(epoch);
      scheduler->step();
    }
    for (const std::size_t epoch : {7, 0, 24, 3}) {
      scheduler->set_epoch(static_cast<std::int64_t>(epoch));
      check(epoch);
    }
  }
  SGD sgd({parameter()}, {});
  CHECK(message_of([&] { StepLR(sgd, 0); }) == "StepLR: step_size 0, expected 1 or more");
  CHECK(message_of([&] { CosineAnnealingLR(sgd, 0); }) == "CosineAnnealingLR: T_max 0, expected 1 or more");
}

}  // namespace tern::test
