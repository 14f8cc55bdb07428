#include "rows.hpp"

namespace tern::test {

namespace {

using Parameters = std::vector<Tensor>;

// evaluate.py has the same two in Python.

/// The parameters after a step by each factor: the gradient of the parameter p is factor * cos(p).
/// make(parameters) gives the optimiser.
template <class Make>
std::vector<Tensor> stepped(Make make, const std::vector<double>& factors, const std::vector<Tensor>& start) {
  std::vector<Tensor> parameters;
  for (const Tensor& p : start) parameters.push_back(p.detach().clone().set_requires_grad());
  auto optimizer = make(parameters);
  for (const double factor : factors) {
    for (const Tensor& p : parameters) p.set_grad(factor * cos(p.detach()));
    optimizer.step();
  }
  return parameters;
}

/// The learning rates of SGD at 0.5 in this many epochs, and what follows them. make(optimizer) gives the schedule.
template <class Make>
std::vector<double> rates(Make make, int epochs) {
  SGD optimizer({zeros(1).set_requires_grad()}, {.lr = 0.5});
  auto schedule = make(optimizer);
  std::vector<double> result{optimizer.lr()[0]};
  for (int epoch = 0; epoch < epochs; ++epoch) {
    optimizer.step();
    schedule.step();
    result.push_back(optimizer.lr()[0]);
  }
  return result;
}

}  // namespace

static const Rows optimisers{
    {"optim.SGD",
     "stepped(lambda p: optim.SGD(p, lr=0.1), [1, -2, 3], a, b)",
     [](T a, T b) {
       return stepped([](const Parameters& p) { return SGD(p, {.lr = 0.1}); }, {1, -2, 3}, {a, b});
     },
     "[2,3] [1] | [] [0]",
     {.gradient = false, .call = "SGD(model.parameters(), {.lr = 0.1})"}},
    {"optim.SGD, momentum",
     "stepped(lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.01), [1, -2, 3], a, b)",
     [](T a, T b) {
       return stepped(
           [](const Parameters& p) {
             return SGD(p, {.lr = 0.1, .momentum = 0.9, .dampening = 0.1, .weight_decay = 0.01});
           },
           {1, -2, 3}, {a, b});
     },
     "[2,3] [1]",
     {.gradient = false,
      .call = "SGD(parameters, {.lr = 0.1, .momentum = 0.9, .dampening = 0.1, .weight_decay = 0.01})"}},
    {"optim.SGD, nesterov",
     "stepped(lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True), [1, -2, 3], a)",
     [](T a) {
       return stepped([](const Parameters& p) { return SGD(p, {.lr = 0.1, .momentum = 0.9, .nesterov = true}); },
                      {1, -2, 3}, {a});
     },
     "[2,3]",
     {.gradient = false, .call = "SGD(parameters, {.lr = 0.1, .momentum = 0.9, .nesterov = true})"}},
    {"optim.AdamW",
     "stepped(lambda p: optim.AdamW(p, lr=0.1, betas=(0.8, 0.9), weight_decay=0.1), [1, -2, 3], a, b)",
     [](T a, T b) {
       return stepped(
           [](const Parameters& p) { return AdamW(p, {.lr = 0.1, .beta1 = 0.8, .beta2 = 0.9, .weight_decay = 0.1}); },
           {1, -2, 3}, {a, b});
     },
     "[2,3] [1] | [] [0]",
     {.gradient = false, .call = "AdamW(parameters, {.lr = 0.1, .beta1 = 0.8, .beta2 = 0.9, .weight_decay = 0.1})"}},
    {"optim.Optimizer.zero_grad",
     "a.grad = a.detach() * 2; optim.SGD([a], lr=1).zero_grad(set_to_none=True); return a.grad is None",
     [](T a) {
       a.set_grad(a.detach() * 2);
       SGD({a}, {.lr = 1}).zero_grad();
       return !a.grad().defined();
     },
     "[3]",
     {.gradient = false,
      .differs = "the gradients become undefined, as PyTorch's since 2.0",
      .call = "optimizer.zero_grad()"}},
};

static const Rows schedules{
    {"lr_scheduler.StepLR",
     "rates(lambda o: lr_scheduler.StepLR(o, 2, 0.5), 6)",
     [] { return rates([](SGD& o) { return StepLR(o, 2, 0.5); }, 6); },
     "",
     {.call = "StepLR(optimizer, 2, 0.5)"}},
    {"lr_scheduler.CosineAnnealingLR",
     "rates(lambda o: lr_scheduler.CosineAnnealingLR(o, 5, 0.01), 5)",
     [] { return rates([](SGD& o) { return CosineAnnealingLR(o, 5, 0.01); }, 5); },
     "",
     {.call = "CosineAnnealingLR(optimizer, 5, 0.01)"}},
    {"lr_scheduler.LambdaLR",
     "rates(lambda o: lr_scheduler.LambdaLR(o, lambda e: 1 / (1 + e)), 6)",
     [] {
       return rates(
           [](SGD& o) {
             return LRScheduler(o,
                                [](std::int64_t epoch, double base) { return base / static_cast<double>(1 + epoch); });
           },
           6);
     },
     "",
     {.differs = "the formula gives the rate, from the epoch and the rate at first",
      .call = "LRScheduler(optimizer, [](std::int64_t epoch, double base) { return base / (1 + epoch); })"}},
};

}  // namespace tern::test
