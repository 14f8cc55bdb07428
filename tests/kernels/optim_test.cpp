#include "arrays.hpp"
#include "check.hpp"

#include <tern/kernels/optim.hpp>

#include <cmath>
#include <limits>

namespace tern::test {

/// A table of an optimiser's numbers, and a step to read in it: in a third of the cases none, in some one that is to
/// change nothing.
template <class T>
struct RandomNumbers {
  bool given, stopped;
  int64_t columns, step;
  std::vector<double> table;
  std::vector<int64_t> state;
  std::vector<T> loss{T{1}};

  RandomNumbers(Random& random, std::initializer_list<double> row) {
    given = random.chance(0.7);
    columns = std::ssize(row) + random.integer(0, 2);
    step = random.integer(0, 3);
    table = random.values<double>(4 * columns);
    std::copy(row.begin(), row.end(), table.begin() + step * columns);
    const int stop = static_cast<int>(random.integer(0, 9));
    stopped = stop < 2;
    state = {step, stop == 0 ? int64_t{0} : int64_t{-1}, 0};
    if (stop == 1) loss[0] = random.pick({std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity()});
  }

  template <class Real>
  StepNumbers<Real> in(Run<Real>& run) const {
    return {reinterpret_cast<const StepState*>(run.in(state)), run.in_double(table), columns, run.in(loss)};
  }
};

TEMPLATE_TEST_CASE("optimizer_step", "[optim]", float, double) {
  using T = TestType;
  for_each_case(150, [](Random& random) {
    const auto op = static_cast<OptimizerOp>(random.integer(0, static_cast<int>(OptimizerOp::adamax)));
    const OptimizerStep s{.op = op,
                          .lr = random.pick({0.1, 1e-3}),
                          .momentum = random.pick({0.9, 0.5}),
                          .correction1 = random.pick({1.0, 0.1}),
                          .correction2 = op == OptimizerOp::radam ? random.pick({0.0, 0.5}) : random.pick({1.0, 0.001}),
                          .decay = random.pick({0.1, 0.999, 0.5}),
                          .eps = random.pick({1e-8, 1e-3}),
                          .weight_decay = random.pick({0.0, 0.01, 0.5}),
                          .nesterov = random.chance(0.5),
                          .maximize = random.chance(0.3)};
    bool has[3] = {};
    switch (s.op) {
      case OptimizerOp::sgd:
        has[0] = random.chance(0.7);
        break;
      case OptimizerOp::adam:
      case OptimizerOp::adamw:
        has[0] = has[1] = true;
        has[2] = random.chance(0.5);
        break;
      case OptimizerOp::nadam:
      case OptimizerOp::radam:
      case OptimizerOp::adamax:
        has[0] = has[1] = true;
        break;
      case OptimizerOp::rmsprop:
        has[0] = true;
        has[1] = random.chance(0.5);
        has[2] = random.chance(0.5);
        break;
      case OptimizerOp::adadelta:
        has[1] = true;
        [[fallthrough]];
      case OptimizerOp::adagrad:
      case OptimizerOp::lion:
        has[0] = true;
        break;
    }
    // A mean of gradients is near 0, means of squares are not, nor what rmsprop takes the square of the mean from.
    const bool squares[3] = {s.op >= OptimizerOp::rmsprop && s.op < OptimizerOp::lion, s.op != OptimizerOp::rmsprop,
                             s.op != OptimizerOp::rmsprop};
    const std::vector<std::vector<T>> params = random_arrays<T>(random);
    std::vector<std::vector<T>> grads, states[3];
    for (const auto& p : params) {
      grads.push_back(random.values<T>(p.size()));
      for (int k = 0; k < 3; ++k) {
        states[k].push_back(squares[k] ? random.between<T>(p.size(), k == 0 ? 4 : 0.01, 8)
                                       : random.between<T>(p.size(), -1, 1));
      }
    }
    if (s.op == OptimizerOp::lion) {  // what is rounded must not decide about a sign
      for (std::size_t i = 0; i < params.size(); ++i) {
        for (std::size_t j = 0; j < params[i].size(); ++j) {
          T &m = states[0][i][j], &g = grads[i][j];
          if (std::abs(m) < 0.1) m = g = 0;
          g = std::copysign(g, s.maximize ? -m : m);
        }
      }
    }
    const RandomNumbers<T> numbers(random, {0.02, 0.75, 0.3, 0.01});
    CAPTURE(static_cast<int>(s.op), s.lr, s.momentum, s.correction1, s.correction2, s.decay, s.eps, s.weight_decay,
            s.nesterov, s.maximize, has[0], has[1], has[2], params.size(), numbers.given, numbers.stopped);
    check_close<T>(random, whole, [&]<class Real>(Run<Real>& run) {
      std::vector<OptimizerParam<Real>> list;
      for (std::size_t i = 0; i < params.size(); ++i) {
        const int64_t n = static_cast<int64_t>(params[i].size());
        OptimizerParam<Real> p{n, run.inout("param " + std::to_string(i), {n}, params[i]), run.in(grads[i]), {}};
        for (int k = 0; k < 3; ++k) {
          if (has[k])
            p.state[k] = run.inout("state " + std::to_string(k) + " of " + std::to_string(i), {n}, states[k][i]);
        }
        list.push_back(p);
      }
      const StepNumbers<Real> of_step = numbers.in(run);
      run.floating().optimizer_step(s, list, numbers.given ? &of_step : nullptr);
    });
  });
}

}  // namespace tern::test
