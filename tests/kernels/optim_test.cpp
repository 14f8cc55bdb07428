#include "arrays.hpp"
#include "check.hpp"

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

TEMPLATE_TEST_CASE("sgd_step", "[optim]", float, double) {
  using T = TestType;
  for_each_case(40, [](Random& random) {
    const SgdStep s{.lr = random.pick({0.1, 1e-3}),
                    .momentum = random.pick({0.0, 0.9, 0.5}),
                    .dampening = random.pick({0.0, 0.3}),
                    .weight_decay = random.pick({0.0, 0.1}),
                    .nesterov = random.chance(0.5)};
    const std::vector<std::vector<T>> params = random_arrays<T>(random);
    std::vector<std::vector<T>> grads, momenta;
    std::vector<bool> is_new;
    for (const auto& p : params) {
      grads.push_back(random.values<T>(p.size()));
      momenta.push_back(random.values<T>(p.size()));
      is_new.push_back(random.chance(0.3));
      if (is_new.back()) random.spoil(momenta.back());
    }
    const RandomNumbers<T> numbers(random, {random.pick({0.03, 1e-2})});
    CAPTURE(s.lr, s.momentum, s.dampening, s.weight_decay, s.nesterov, params.size(), numbers.given, numbers.stopped);
    check_close<T>(random, whole, [&]<class Real>(Run<Real>& run) {
      std::vector<SgdParam<Real>> list;
      for (std::size_t i = 0; i < params.size(); ++i) {
        const int64_t n = static_cast<int64_t>(params[i].size());
        Real* param = run.inout("param " + std::to_string(i), {n}, params[i]);
        Real* momentum = s.momentum != 0 ? run.inout("momentum " + std::to_string(i), {n}, momenta[i]) : nullptr;
        list.push_back({n, param, run.in(grads[i]), momentum, is_new[i]});
      }
      const StepNumbers<Real> of_step = numbers.in(run);
      run.floating().sgd_step(s, list, numbers.given ? &of_step : nullptr);
    });
  });
}

TEMPLATE_TEST_CASE("adamw_step", "[optim]", float, double) {
  using T = TestType;
  for_each_case(40, [](Random& random) {
    const AdamWStep s{.lr = random.pick({0.1, 1e-3}),
                      .beta1 = random.pick({0.9, 0.5}),
                      .beta2 = random.pick({0.999, 0.9}),
                      .eps = random.pick({1e-8, 1e-3}),
                      .weight_decay = random.pick({0.0, 0.01, 0.5}),
                      .step = random.pick<int64_t>({1, 2, 10, 100'000})};
    const std::vector<std::vector<T>> params = random_arrays<T>(random);
    std::vector<std::vector<T>> grads, exp_avg, exp_avg_sq;
    for (const auto& p : params) {
      grads.push_back(random.values<T>(p.size()));
      exp_avg.push_back(random.values<T>(p.size()));
      exp_avg_sq.push_back(random.between<T>(p.size(), 0.01, 4));
    }
    const RandomNumbers<T> numbers(random, {0.02, 1 - std::pow(s.beta1, 7), 1 - std::pow(s.beta2, 7)});
    CAPTURE(s.lr, s.beta1, s.beta2, s.eps, s.weight_decay, s.step, params.size(), numbers.given, numbers.stopped);
    check_close<T>(random, whole, [&]<class Real>(Run<Real>& run) {
      std::vector<AdamWParam<Real>> list;
      for (std::size_t i = 0; i < params.size(); ++i) {
        const int64_t n = static_cast<int64_t>(params[i].size());
        Real* param = run.inout("param " + std::to_string(i), {n}, params[i]);
        Real* m = run.inout("exp_avg " + std::to_string(i), {n}, exp_avg[i]);
        Real* v = run.inout("exp_avg_sq " + std::to_string(i), {n}, exp_avg_sq[i]);
        list.push_back({n, param, run.in(grads[i]), m, v});
      }
      const StepNumbers<Real> of_step = numbers.in(run);
      run.floating().adamw_step(s, list, numbers.given ? &of_step : nullptr);
    });
  });
}

}  // namespace tern::test
