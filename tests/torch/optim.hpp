#pragma once

/// What rows of optimisers and schedules share; evaluate.py has the same in Python.

#include "rows.hpp"

#include <memory>

namespace tern::test {

/// The parameters after a step by each factor: the gradient of the parameter p is factor * cos(p).
/// make(parameters) gives the optimiser.
template <class Make>
std::vector<Tensor> stepped(Make make, const std::vector<double>& factors, const std::vector<Tensor>& start) {
  std::vector<Tensor> parameters, result;
  for (const Tensor& p : start) parameters.push_back(p.detach().clone().set_requires_grad());
  auto optimizer = make(parameters);
  for (const double factor : factors) {
    for (const Tensor& p : parameters) p.set_grad(factor * cos(p.detach()));
    optimizer.step();
  }
  for (const Tensor& p : parameters) result.push_back(p.detach());
  return result;
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

}  // namespace tern::test
