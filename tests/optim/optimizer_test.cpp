#include <core/support.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/safetensors.hpp>
#include <tern/optim/optimizer.hpp>

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
  CHECK(sgd.state_dict().size() == 2);
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

  CHECK(sgd_error(of_adamw) == "SGD: the state has no 'sgd.lr'");
  CHECK(adamw_error(of_sgd) == "AdamW: the state has no 'adamw.lr'");
  CHECK(sgd_error({}) == "SGD: the state has no 'sgd.lr'");

  StateDict bad = of_sgd;
  bad["sgd.momentum.0"] = q;
  CHECK(sgd_error(bad) == "SGD: state 'sgd.momentum.0' has shape [3], expected [2]");
  bad = of_sgd;
  bad["sgd.lr"] = tensor({0.1, 0.2});
  CHECK(sgd_error(bad) == "SGD: state 'sgd.lr' has shape [2], expected [1]");
  bad = of_adamw;
  bad.erase("adamw.exp_avg_sq.1");
  CHECK(adamw_error(bad) == "AdamW: the state has no 'adamw.exp_avg_sq.1'");
  bad = of_adamw;
  bad["adamw.steps"] = tensor<std::int64_t>({1});
  CHECK(adamw_error(bad) == "AdamW: state 'adamw.steps' has shape [1], expected [2]");

  // A model with a parameter more.
  SGD larger({p, q, r}, {.lr = 0.1, .momentum = 0.9});
  larger.step();
  CHECK(sgd_error(larger.state_dict()) ==
        "SGD: the state has 1 tensors 'sgd.momentum' for other than its 2 parameters");
  bad = of_adamw;
  bad["adamw.exp_avg.2"] = r;
  CHECK(adamw_error(bad) == "AdamW: the state has 1 tensors 'adamw.exp_avg' for other than its 2 parameters");

  const auto unchanged = [](const StateDict& now, const StateDict& before) {
    REQUIRE(now.size() == before.size());
    for (const auto& [name, x] : before) CHECK(now.at(name).to_vector<double>() == x.to_vector<double>());
  };
  unchanged(sgd.state_dict(), of_sgd);
  unchanged(adamw.state_dict(), of_adamw);
}

TEST_CASE("what optimisers refuse", "[optim]") {
  const Tensor p = parameter();
  CHECK(message_of([&] { SGD({p}, {.lr = -1}); }) == "SGD: lr -1, momentum 0, weight_decay 0, expected none below 0");
  CHECK(message_of([&] { SGD({p}, {.nesterov = true}); }) ==
        "SGD: nesterov with momentum 0 and dampening 0, expected a momentum and no dampening");
  CHECK(message_of([&] { SGD({p}, {.momentum = 0.9, .dampening = 0.1, .nesterov = true}); }) ==
        "SGD: nesterov with momentum 0.9 and dampening 0.1, expected a momentum and no dampening");
  CHECK(message_of([&] { AdamW({p}, {.beta2 = 1}); }) ==
        "AdamW: lr 0.001, betas 0.9 and 1, eps 1e-08, weight_decay 0.01, expected none below 0 and betas below 1");
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
