#include "rows.hpp"

#include <cmath>
#include <limits>
#include <memory>

namespace tern::test {

namespace {

/// evaluate.py's stepped(..., [1, -0.5, 2, 0, 0.25] * 4, a, b), saved and loaded after 7 of the 20 steps. The second
/// parameter is a group of its own.
template <class O>
std::vector<Tensor> stepped(const typename O::Options& first, const typename O::Options& second, T a, T b) {
  std::vector<Tensor> params;
  for (const Tensor& x : {a, b}) params.push_back(x.detach().clone().set_requires_grad());
  const std::vector<typename O::Group> groups{{{params[0]}, first}, {{params[1]}, second}};
  auto optimizer = std::make_unique<O>(groups);
  const double factors[] = {1, -0.5, 2, 0, 0.25};
  for (int step = 0; step < 20; ++step) {
    if (step == 7) {
      StateDict state;
      for (const auto& [name, x] : optimizer->state_dict()) state[name] = x.clone();
      optimizer = std::make_unique<O>(std::vector<typename O::Group>{{{params[0]}, {}}, {{params[1]}, {}}});
      optimizer->load_state_dict(state);
    }
    for (const Tensor& p : params) p.set_grad(cos(p.detach()) * factors[step % 5]);
    optimizer->step();
  }
  return params;
}
template <class O>
std::vector<Tensor> stepped(const typename O::Options& options, T a, T b) {
  return stepped<O>(options, options, a, b);
}

/// evaluate.py's rates, saved and loaded half-way.
template <class Make, class Read>
std::vector<double> read_over(Make make, int steps, Read read) {
  const Tensor p = zeros({1}).set_requires_grad();
  auto optimizer = std::make_unique<SGD>(std::vector<Tensor>{p}, SGDOptions{.lr = 0.5, .momentum = 0.9});
  auto schedule = std::make_unique<decltype(make(*optimizer))>(make(*optimizer));
  std::vector<double> all;
  for (int step = 0; step < steps; ++step) {
    all.push_back(read(*optimizer));
    if (step == steps / 2) {
      const StateDict state = optimizer->state_dict(), of_schedule = schedule->state_dict();
      auto second = std::make_unique<SGD>(std::vector<Tensor>{p}, SGDOptions{.lr = 0.25, .momentum = 0.9});
      schedule = std::make_unique<decltype(make(*second))>(make(*second));
      optimizer = std::move(second);
      optimizer->load_state_dict(state);
      schedule->load_state_dict(of_schedule);
    }
    schedule->step();
  }
  all.push_back(read(*optimizer));
  return all;
}
template <class Make>
std::vector<double> rates(Make make, int steps) {
  return read_over(make, steps, [](const SGD& o) { return o.lr()[0]; });
}

/// Where a tensor's elements do not have this mean and standard deviation, or lie outside +-bound.
std::string distributed(const Tensor& y, double mean, double std, double bound) {
  double sum = 0, squares = 0, largest = 0;
  for (const double v : y.to_vector<double>()) {
    sum += v - mean;
    squares += (v - mean) * (v - mean);
    largest = std::max(largest, std::abs(v));
  }
  const auto n = static_cast<double>(y.numel());
  if (largest > bound || largest < std) return "has up to " + std::to_string(largest);
  if (std::abs(sum / n) > 6 * std / std::sqrt(n)) return "has a mean off by " + std::to_string(sum / n);
  const double variance = squares / n / (std * std);
  return std::abs(variance - 1) > 10 / std::sqrt(n) ? "has a variance off by a factor " + std::to_string(variance) : "";
}

constexpr double none = std::numeric_limits<double>::infinity();

Tensor weight(T a) { return a.detach().clone().set_requires_grad(); }

}  // namespace

static const Rows optimisers{
    {"optim.SGD, maximize",
     "stepped(lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5, weight_decay=0.1, maximize=True), "
     "[1, -0.5, 2, 0, 0.25] * 4, a, b)",
     [](T a, T b) {
       return stepped<SGD>({.lr = 0.1, .momentum = 0.9, .dampening = 0.5, .weight_decay = 0.1, .maximize = true}, a, b);
     },
     "[2,3] [0] | [] [1]",
     {.gradient = false, .call = "SGD(parameters, {.lr = 0.1, .maximize = true})"}},
    {"optim.Adam",
     "stepped(lambda p: optim.Adam(p), [1, -0.5, 2, 0, 0.25] * 4, a, b)",
     [](T a, T b) { return stepped<Adam>({}, a, b); },
     "[2,3] [0] | [] [1]",
     {.gradient = false, .call = "Adam(parameters)"}},
    {"optim.Adam, options",
     "stepped(lambda p: optim.Adam(p, lr=0.1, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1, maximize=True), "
     "[1, -0.5, 2, 0, 0.25] * 4, a, b)",
     [](T a, T b) {
       return stepped<Adam>({.lr = 0.1, .beta1 = 0.8, .beta2 = 0.9, .eps = 1e-3, .weight_decay = 0.1, .maximize = true},
                            a, b);
     },
     "[2,3] [70]",
     {.gradient = false, .call = "Adam(parameters, {.lr = 0.1, .beta1 = 0.8, .beta2 = 0.9, .weight_decay = 0.1})"}},
    {"optim.Adam, amsgrad",
     "stepped(lambda p: optim.Adam(p, lr=0.1, betas=(0.8, 0.5), amsgrad=True), [1, -0.5, 2, 0, 0.25] * 4, a, b)",
     [](T a, T b) { return stepped<Adam>({.lr = 0.1, .beta1 = 0.8, .beta2 = 0.5, .amsgrad = true}, a, b); },
     "[2,3] [7]",
     {.gradient = false, .call = "Adam(parameters, {.amsgrad = true})"}},
    {"optim.AdamW, amsgrad",
     "stepped(lambda p: optim.AdamW(p, lr=0.1, betas=(0.8, 0.5), amsgrad=True, maximize=True), "
     "[1, -0.5, 2, 0, 0.25] * 4, a, b)",
     [](T a, T b) {
       return stepped<AdamW>({.lr = 0.1, .beta1 = 0.8, .beta2 = 0.5, .amsgrad = true, .maximize = true}, a, b);
     },
     "[2,3] [7]",
     {.gradient = false, .call = "AdamW(parameters, {.amsgrad = true})"}},
    {"optim.RMSprop",
     "stepped(lambda p: optim.RMSprop(p), [1, -0.5, 2, 0, 0.25] * 4, a, b)",
     [](T a, T b) { return stepped<RMSprop>({}, a, b); },
     "[2,3] [0] | [] [1]",
     {.gradient = false, .call = "RMSprop(parameters)"}},
    {"optim.RMSprop, momentum",
     "stepped(lambda p: optim.RMSprop(p, lr=0.01, alpha=0.9, eps=1e-3, weight_decay=0.1, momentum=0.9, maximize=True), "
     "[1, -0.5, 2, 0, 0.25] * 4, a, b)",
     [](T a, T b) {
       return stepped<RMSprop>(
           {.lr = 0.01, .alpha = 0.9, .eps = 1e-3, .weight_decay = 0.1, .momentum = 0.9, .maximize = true}, a, b);
     },
     "[2,3] [7]",
     {.gradient = false, .call = "RMSprop(parameters, {.alpha = 0.9, .momentum = 0.9})"}},
    {"optim.RMSprop, centered",
     "(stepped(lambda p: optim.RMSprop(p, alpha=0.5, eps=0.1, centered=True), [1, -0.5, 2, 0, 0.25] * 4, a, b), "
     "stepped(lambda p: optim.RMSprop(p, alpha=0.5, eps=0.1, centered=True, momentum=0.5), "
     "[1, -0.5, 2, 0, 0.25] * 4, a, b))",
     [](T a, T b) {
       return std::pair(stepped<RMSprop>({.alpha = 0.5, .eps = 0.1, .centered = true}, a, b),
                        stepped<RMSprop>({.alpha = 0.5, .eps = 0.1, .momentum = 0.5, .centered = true}, a, b));
     },
     "[2,3] [7]",
     {.looser = 10, .gradient = false, .call = "RMSprop(parameters, {.centered = true})"}},
    {"optim.Adagrad",
     "stepped(lambda p: optim.Adagrad(p), [1, -0.5, 2, 0, 0.25] * 4, a, b)",
     [](T a, T b) { return stepped<Adagrad>({}, a, b); },
     "[2,3] [0] | [] [1]",
     {.gradient = false, .call = "Adagrad(parameters)"}},
    {"optim.Adagrad, options",
     "stepped(lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.5, "
     "maximize=True), [1, -0.5, 2, 0, 0.25] * 4, a, b)",
     [](T a, T b) {
       return stepped<Adagrad>(
           {.lr = 0.1, .lr_decay = 0.1, .weight_decay = 0.1, .initial_accumulator_value = 0.5, .maximize = true}, a, b);
     },
     "[2,3] [7]",
     {.gradient = false, .call = "Adagrad(parameters, {.lr = 0.1, .lr_decay = 0.1})"}},
    {"optim.Adadelta",
     "stepped(lambda p: optim.Adadelta(p), [1, -0.5, 2, 0, 0.25] * 4, a, b)",
     [](T a, T b) { return stepped<Adadelta>({}, a, b); },
     "[2,3] [0] | [] [1]",
     {.gradient = false, .call = "Adadelta(parameters)"}},
    {"optim.Adadelta, options",
     "stepped(lambda p: optim.Adadelta(p, lr=0.5, rho=0.8, eps=1e-3, weight_decay=0.1, maximize=True), "
     "[1, -0.5, 2, 0, 0.25] * 4, a, b)",
     [](T a, T b) {
       return stepped<Adadelta>({.lr = 0.5, .rho = 0.8, .eps = 1e-3, .weight_decay = 0.1, .maximize = true}, a, b);
     },
     "[2,3] [7]",
     {.gradient = false, .call = "Adadelta(parameters, {.lr = 0.5, .rho = 0.8})"}},
    {"optim.NAdam",
     "stepped(lambda p: NAdam(p), [1, -0.5, 2, 0, 0.25] * 4, a, b)",
     [](T a, T b) { return stepped<NAdam>({}, a, b); },
     "[2,3] [0] | [] [1]",
     {.gradient = false, .differs = "as PyTorch's since 2.0", .call = "NAdam(parameters)"}},
    {"optim.NAdam, options",
     "stepped(lambda p: NAdam(p, lr=0.1, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1, momentum_decay=0.5), "
     "[-1, 0.5, -2, 0, -0.25] * 4, a, b)",
     [](T a, T b) {
       return stepped<NAdam>({.lr = 0.1,
                              .beta1 = 0.8,
                              .beta2 = 0.9,
                              .eps = 1e-3,
                              .weight_decay = 0.1,
                              .momentum_decay = 0.5,
                              .maximize = true},
                             a, b);
     },
     "[2,3] [70]",
     {.gradient = false,
      .differs = "as PyTorch's since 2.0",
      .call = "NAdam(parameters, {.lr = 0.1, .momentum_decay = 0.5, .maximize = true})"}},
    {"optim.RAdam",
     "stepped(lambda p: optim.RAdam(p), [1, -0.5, 2, 0, 0.25] * 4, a, b)",
     [](T a, T b) { return stepped<RAdam>({}, a, b); },
     "[2,3] [0] | [] [1]",
     {.gradient = false, .call = "RAdam(parameters)"}},
    {"optim.RAdam, options",
     "stepped(lambda p: optim.RAdam(p, lr=0.1, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1), "
     "[-1, 0.5, -2, 0, -0.25] * 4, a, b)",
     [](T a, T b) {
       return stepped<RAdam>(
           {.lr = 0.1, .beta1 = 0.8, .beta2 = 0.9, .eps = 1e-3, .weight_decay = 0.1, .maximize = true}, a, b);
     },
     "[2,3] [70]",
     {.gradient = false, .call = "RAdam(parameters, {.lr = 0.1, .beta2 = 0.9, .maximize = true})"}},
    {"optim.Adamax",
     "stepped(lambda p: optim.Adamax(p), [1, -0.5, 2, 0, 0.25] * 4, a, b)",
     [](T a, T b) { return stepped<Adamax>({}, a, b); },
     "[2,3] [0] | [] [1]",
     {.gradient = false, .call = "Adamax(parameters)"}},
    {"optim.Adamax, options",
     "stepped(lambda p: optim.Adamax(p, lr=0.1, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1, maximize=True), "
     "[1, -0.5, 2, 0, 0.25] * 4, a, b)",
     [](T a, T b) {
       return stepped<Adamax>(
           {.lr = 0.1, .beta1 = 0.8, .beta2 = 0.9, .eps = 1e-3, .weight_decay = 0.1, .maximize = true}, a, b);
     },
     "[2,3] [70]",
     {.gradient = false, .call = "Adamax(parameters, {.lr = 0.1, .beta2 = 0.9, .maximize = true})"}},
    {"optim.Optimizer.add_param_group",
     R"(
       def groups(p):
         optimizer = optim.Adam(p[:1], lr=0.1, weight_decay=0.1)
         optimizer.add_param_group({"params": p[1:], "lr": 0.01, "betas": (0.5, 0.5), "weight_decay": 0})
         return optimizer
       return stepped(groups, [1, -0.5, 2, 0, 0.25] * 4, a, b)
     )",
     [](T a, T b) {
       return stepped<Adam>({.lr = 0.1, .weight_decay = 0.1},
                            {.lr = 0.01, .beta1 = 0.5, .beta2 = 0.5, .weight_decay = 0}, a, b);
     },
     "[2,3] [7]",
     {.gradient = false,
      .differs = "what a group does not say is the default, not what the optimiser was made with",
      .call = "optimizer.add_param_group({parameters, {.lr = 0.01}})"}},
    {"nn.utils.clip_grad_norm_",
     "a.grad, b.grad = b.detach() * 3, a.detach() * 2; "
     "n = [utils.clip_grad_norm_([a, b], 1.5, p) for p in (2, 1, math.inf, 3)]; return (n, a.grad, b.grad)",
     [](T a, T b) {
       const std::vector<Tensor> params{weight(a), weight(b)};
       params[0].set_grad(b.detach() * 3);
       params[1].set_grad(a.detach() * 2);
       std::vector<Tensor> norms;
       for (const double p : {2.0, 1.0, none, 3.0}) norms.push_back(clip_grad_norm_(params, 1.5, p));
       return std::tuple(norms, params[0].grad(), params[1].grad());
     },
     "[2,3] [2,3] | [] [] | nan[5] [5]",
     {.gradient = false, .call = "clip_grad_norm_(parameters, 1.5)"}},
    {"nn.utils.clip_grad_value_",
     "a.grad = a.detach() * 2; utils.clip_grad_value_([a], 1.5); return a.grad",
     [](T a) {
       const Tensor p = weight(a);
       p.set_grad(a.detach() * 2);
       clip_grad_value_({p}, 1.5);
       return p.grad();
     },
     "[2,3] | nan[9] | [0]",
     {.gradient = false, .call = "clip_grad_value_(parameters, 1.5)"}},
};

static const Rows schedules{
    {"lr_scheduler.MultiStepLR",
     "rates(lambda o: lr_scheduler.MultiStepLR(o, [3, 2, 5, 5], 0.5), 8)",
     [] {
       return rates([](SGD& o) { return MultiStepLR(o, {3, 2, 5, 5}, 0.5); }, 8);
     },
     "",
     {.call = "MultiStepLR(optimizer, {3, 2, 5, 5}, 0.5)"}},
    {"lr_scheduler.ExponentialLR",
     "rates(lambda o: lr_scheduler.ExponentialLR(o, 0.9), 7)",
     [] { return rates([](SGD& o) { return ExponentialLR(o, 0.9); }, 7); },
     "",
     {.call = "ExponentialLR(optimizer, 0.9)"}},
    {"lr_scheduler.ConstantLR",
     "(rates(lambda o: lr_scheduler.ConstantLR(o), 8), rates(lambda o: lr_scheduler.ConstantLR(o, 0.5, 2), 4))",
     [] {
       return std::pair(rates([](SGD& o) { return ConstantLR(o); }, 8),
                        rates([](SGD& o) { return ConstantLR(o, 0.5, 2); }, 4));
     },
     "",
     {.call = "ConstantLR(optimizer, 0.5, 2)"}},
    {"lr_scheduler.LinearLR",
     "(rates(lambda o: lr_scheduler.LinearLR(o), 8), rates(lambda o: lr_scheduler.LinearLR(o, 0.5, 0.125, 3), 6))",
     [] {
       return std::pair(rates([](SGD& o) { return LinearLR(o); }, 8),
                        rates([](SGD& o) { return LinearLR(o, 0.5, 0.125, 3); }, 6));
     },
     "",
     {.call = "LinearLR(optimizer, 0.5, 0.125, 3)"}},
    {"lr_scheduler.PolynomialLR",
     "(rates(lambda o: lr_scheduler.PolynomialLR(o), 8), rates(lambda o: lr_scheduler.PolynomialLR(o, 7, 2.5), 9))",
     [] {
       return std::pair(rates([](SGD& o) { return PolynomialLR(o); }, 8),
                        rates([](SGD& o) { return PolynomialLR(o, 7, 2.5); }, 9));
     },
     "",
     {.call = "PolynomialLR(optimizer, 7, 2.5)"}},
    {"lr_scheduler.CosineAnnealingLR, beyond T_max",
     "rates(lambda o: lr_scheduler.CosineAnnealingLR(o, 5, 0.1), 23)",
     [] { return rates([](SGD& o) { return CosineAnnealingLR(o, 5, 0.1); }, 23); },
     "",
     {.call = "CosineAnnealingLR(optimizer, 5, 0.1)"}},
    {"lr_scheduler.CosineAnnealingWarmRestarts",
     "(rates(lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3), 8), "
     "rates(lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2, 3, 0.1), 30))",
     [] {
       return std::pair(rates([](SGD& o) { return CosineAnnealingWarmRestarts(o, 3); }, 8),
                        rates([](SGD& o) { return CosineAnnealingWarmRestarts(o, 2, 3, 0.1); }, 30));
     },
     "",
     {.call = "CosineAnnealingWarmRestarts(optimizer, 2, 3, 0.1)"}},
    {"lr_scheduler.OneCycleLR",
     "(rates(lambda o: lr_scheduler.OneCycleLR(o, 2, 20), 19, make=lambda p, lr: optim.SGD(p, lr=lr, momentum=0.9)), "
     "rates(lambda o: lr_scheduler.OneCycleLR(o, 1, 17, pct_start=0.4, anneal_strategy='linear', cycle_momentum=False, "
     "div_factor=10, final_div_factor=100, three_phase=True), 16))",
     [] {
       return std::pair(rates([](SGD& o) { return OneCycleLR(o, {.max_lr = {2}, .total_steps = 20}); }, 19),
                        rates(
                            [](SGD& o) {
                              return OneCycleLR(o, {.max_lr = {1},
                                                    .total_steps = 17,
                                                    .pct_start = 0.4,
                                                    .anneal_strategy = AnnealStrategy::linear,
                                                    .cycle_momentum = false,
                                                    .div_factor = 10,
                                                    .final_div_factor = 100,
                                                    .three_phase = true});
                            },
                            16));
     },
     "",
     {.call = "OneCycleLR(optimizer, {.max_lr = {2}, .total_steps = 20})"}},
    {"lr_scheduler.OneCycleLR, momentum",
     R"(
       optimizer = optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5, momentum=0.9)
       schedule = lr_scheduler.OneCycleLR(optimizer, 2, 20, base_momentum=0.5)
       result = []
       for _ in range(19):
         result.append(optimizer.param_groups[0]["momentum"])
         optimizer.step()
         schedule.step()
       return result + [optimizer.param_groups[0]["momentum"]]
     )",
     [] {
       return read_over([](SGD& o) { return OneCycleLR(o, {.max_lr = {2}, .total_steps = 20, .base_momentum = 0.5}); },
                        19, [](const SGD& o) { return o.state_dict().at("sgd.momentum").item(); });
     },
     "",
     {.call = "OneCycleLR(optimizer, {.max_lr = {2}, .total_steps = 20, .base_momentum = 0.5})"}},
    {"lr_scheduler.SequentialLR",
     "rates(lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.LinearLR(o, 0.25, total_iters=3), "
     "lr_scheduler.ExponentialLR(o, 0.5), lr_scheduler.CosineAnnealingWarmRestarts(o, 3), "
     "lr_scheduler.StepLR(o, 2)], [3, 6, 11]), 16)",
     [] {
       return rates(
           [](SGD& o) {
             const LinearLR warmup(o, 0.25, 1, 3);
             const ExponentialLR decay(o, 0.5);
             const CosineAnnealingWarmRestarts restarts(o, 3);
             const StepLR steps(o, 2);
             return SequentialLR(o, {&warmup, &decay, &restarts, &steps}, {3, 6, 11});
           },
           16);
     },
     "",
     {.call = "SequentialLR(optimizer, {&warmup, &decay}, {3})"}},
    {"lr_scheduler.ReduceLROnPlateau",
     R"(
       def rates_of(losses, **options):
         optimizer = optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
         schedule = lr_scheduler.ReduceLROnPlateau(optimizer, **options)
         result = []
         for loss in losses:
           schedule.step(loss)
           result.append(optimizer.param_groups[0]["lr"])
         return result
       losses = [5, 4, 4.1, 4.2, math.nan, 3.9999, 3, 3, 3, 3, 3, 3, 2.9, 2.85, 2.8, 9, 9, 9, 9, 9, 9, 9, 9]
       return (rates_of(losses, patience=2), rates_of(losses, mode="max", patience=1, factor=0.5, cooldown=2),
               rates_of(losses, patience=0, threshold=0.2, threshold_mode="abs", min_lr=0.01, eps=0.004, factor=0.3),
               rates_of(losses, mode="max", patience=0, threshold=1, threshold_mode="abs", factor=0.9))
     )",
     [] {
       const auto rates_of = [](const ReduceLROnPlateauOptions& options) {
         const Tensor p = zeros({1}).set_requires_grad();
         SGD optimizer({p}, {.lr = 0.5});
         auto schedule = std::make_unique<ReduceLROnPlateau>(optimizer, options);
         std::vector<double> rates;
         for (const double loss : {5.0, 4.0,  4.1, 4.2, std::nan(""), 3.9999, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0,
                                   2.9, 2.85, 2.8, 9.0, 9.0,          9.0,    9.0, 9.0, 9.0, 9.0, 9.0}) {
           const StateDict state = schedule->state_dict();
           schedule = std::make_unique<ReduceLROnPlateau>(optimizer, options);
           schedule->load_state_dict(state);
           schedule->step(loss);
           rates.push_back(optimizer.lr()[0]);
         }
         return rates;
       };
       return std::tuple(rates_of({.patience = 2}),
                         rates_of({.mode = PlateauMode::max, .factor = 0.5, .patience = 1, .cooldown = 2}),
                         rates_of({.factor = 0.3,
                                   .patience = 0,
                                   .threshold = 0.2,
                                   .threshold_mode = ThresholdMode::abs,
                                   .min_lr = 0.01,
                                   .eps = 0.004}),
                         rates_of({.mode = PlateauMode::max,
                                   .factor = 0.9,
                                   .patience = 0,
                                   .threshold = 1,
                                   .threshold_mode = ThresholdMode::abs}));
     },
     "",
     {.call = "ReduceLROnPlateau(optimizer, {.patience = 2})"}},
};

static const Rows initialisation{
    {"nn.init.constant_",
     "init.constant_(a.detach(), 0.3)",
     [](T a) { return init::constant_(weight(a), 0.3).detach(); },
     "[2,3] | [] | [0]",
     {.gradient = false, .call = "init::constant_(a, 0.3)"}},
    {"nn.init.ones_",
     "init.ones_(a.detach())",
     [](T a) { return init::ones_(weight(a)).detach(); },
     "[2,3]",
     {.gradient = false, .call = "init::ones_(a)"}},
    {"nn.init.zeros_",
     "init.zeros_(a.detach())",
     [](T a) { return init::zeros_(weight(a)).detach(); },
     "[2,3]",
     {.gradient = false, .call = "init::zeros_(a)"}},
    {"nn.init.eye_",
     "init.eye_(a.detach())",
     [](T a) { return init::eye_(weight(a)).detach(); },
     "[2,3] | [3,3] | [4,2] | [0,3]",
     {.gradient = false, .call = "init::eye_(a)"}},
    {"nn.init.trunc_normal_",
     "init.trunc_normal_(a.detach(), 0.5, 2, -1, 3)",
     [](T a) { return init::trunc_normal_(weight(a), 0.5, 2, -1, 3).detach(); },
     "[200,300]",
     // The variance of a normal distribution cut off at mean +-0.75 and 1.25 standard deviations, by its formulas.
     {.gradient = false,
      .call = "init::trunc_normal_(a, 0.5, 2, -1, 3)",
      .check =
          [](const std::vector<Tensor>& y, const std::vector<Tensor>&) {
            const double low = -0.75, high = 1.25;
            const auto density = [](double x) { return std::exp(-x * x / 2) / std::sqrt(2 * M_PI); };
            const double z = (std::erf(high / M_SQRT2) - std::erf(low / M_SQRT2)) / 2;
            const double m = (density(low) - density(high)) / z;
            const double v = 1 + (low * density(low) - high * density(high)) / z - m * m;
            for (const double x : y[0].to_vector<double>()) {
              if (x < -1 || x > 3) return "has " + std::to_string(x);
            }
            return distributed(y[0], 0.5 + 2 * m, 2 * std::sqrt(v), 3);
          }}},
    {"nn.init.xavier_uniform_",
     "init.xavier_uniform_(a.detach(), 2)",
     [](T a) { return init::xavier_uniform_(weight(a), 2).detach(); },
     "[40,20,3,5]",
     {.gradient = false,
      .call = "init::xavier_uniform_(a, 2)",
      .check =
          [](const std::vector<Tensor>& y, const std::vector<Tensor>&) {
            const double bound = 2 * std::sqrt(6.0 / (300 + 600));
            return distributed(y[0], 0, bound / std::sqrt(3.0), bound);
          }}},
    {"nn.init.xavier_normal_",
     "init.xavier_normal_(a.detach(), 2)",
     [](T a) { return init::xavier_normal_(weight(a), 2).detach(); },
     "[40,20,3,5]",
     {.gradient = false,
      .call = "init::xavier_normal_(a, 2)",
      .check =
          [](const std::vector<Tensor>& y, const std::vector<Tensor>&) {
            return distributed(y[0], 0, 2 * std::sqrt(2.0 / (300 + 600)), none);
          }}},
    {"nn.init.kaiming_uniform_",
     "init.kaiming_uniform_(a.detach(), math.sqrt(5), 'fan_out')",
     [](T a) { return init::kaiming_uniform_(weight(a), {.a = std::sqrt(5), .mode = init::Fan::out}).detach(); },
     "[40,20,3,5]",
     {.gradient = false,
      .call = "init::kaiming_uniform_(a, {.a = std::sqrt(5), .mode = init::Fan::out})",
      .check =
          [](const std::vector<Tensor>& y, const std::vector<Tensor>&) {
            const double bound = 1 / std::sqrt(600.0);
            return distributed(y[0], 0, bound / std::sqrt(3.0), bound);
          }}},
    {"nn.init.kaiming_normal_",
     "init.kaiming_normal_(a.detach(), nonlinearity='relu')",
     [](T a) { return init::kaiming_normal_(weight(a), {.nonlinearity = init::Nonlinearity::relu}).detach(); },
     "[40,20,3,5]",
     {.gradient = false,
      .call = "init::kaiming_normal_(a, {.nonlinearity = init::Nonlinearity::relu})",
      .check = [](const std::vector<Tensor>& y,
                  const std::vector<Tensor>&) { return distributed(y[0], 0, std::sqrt(2.0 / 300), none); }}},
    {"nn.init.orthogonal_",
     "init.orthogonal_(a.detach(), 1.5)",
     [](T a) { return init::orthogonal_(weight(a), 1.5).detach(); },
     "[6,4,2] | [7,3] | [5,5] | [1,3]",
     {.gradient = false,
      .call = "init::orthogonal_(a, 1.5)",
      .check =
          [](const std::vector<Tensor>& y, const std::vector<Tensor>&) {
            const Tensor m = y[0].flatten(1).to(DType::float64);
            const Tensor products = m.size(0) <= m.size(1) ? m.matmul(m.t()) : m.t().matmul(m);
            const double off = max(abs(products - init::eye_(zeros_like(products)) * (1.5 * 1.5))).item();
            return off < 1e-5 ? "" : "has rows whose products are off by " + std::to_string(off);
          }}},
    {"nn.init.calculate_gain",
     "(init.calculate_gain('relu'), init.calculate_gain('tanh'), init.calculate_gain('selu'), "
     "init.calculate_gain('linear'), init.calculate_gain('leaky_relu'), init.calculate_gain('leaky_relu', 0.3), "
     "float(init.calculate_gain('sigmoid')))",
     [] {
       using enum init::Nonlinearity;
       using init::calculate_gain;
       return std::tuple(calculate_gain(relu), calculate_gain(init::Nonlinearity::tanh), calculate_gain(selu),
                         std::int64_t{1}, calculate_gain(leaky_relu), calculate_gain(leaky_relu, 0.3),
                         calculate_gain(init::Nonlinearity::sigmoid));
     },
     "",
     {.call = "init::calculate_gain(init::Nonlinearity::relu)"}},
};

}  // namespace tern::test
