#include "check.hpp"

namespace tern::test {

/// Parameters of several sizes in one call, as a model has them.
template <class T>
std::vector<std::vector<T>> random_params(Random& random) {
  std::vector<std::vector<T>> params(random.integer(0, 9));
  for (auto& p : params) p = random.values<T>(random.length());
  return params;
}

TEMPLATE_TEST_CASE("sgd_step", "[optim]", float, double) {
  using T = TestType;
  for_each_case(40, [](Random& random) {
    const SgdStep s{.lr = random.pick({0.1, 1e-3}),
                    .momentum = random.pick({0.0, 0.9, 0.5}),
                    .dampening = random.pick({0.0, 0.3}),
                    .weight_decay = random.pick({0.0, 0.1}),
                    .nesterov = random.chance(0.5)};
    const std::vector<std::vector<T>> params = random_params<T>(random);
    std::vector<std::vector<T>> grads, momenta;
    std::vector<bool> is_new;
    for (const auto& p : params) {
      grads.push_back(random.values<T>(p.size()));
      momenta.push_back(random.values<T>(p.size()));
      is_new.push_back(random.chance(0.3));
      if (is_new.back()) random.spoil(momenta.back());
    }
    CAPTURE(s.lr, s.momentum, s.dampening, s.weight_decay, s.nesterov, params.size());
    check_close<T>(random, whole, [&]<class Real>(Run<Real>& run) {
      std::vector<SgdParam<Real>> list;
      for (std::size_t i = 0; i < params.size(); ++i) {
        const int64_t n = static_cast<int64_t>(params[i].size());
        Real* param = run.inout("param " + std::to_string(i), {n}, params[i]);
        Real* momentum = s.momentum != 0 ? run.inout("momentum " + std::to_string(i), {n}, momenta[i]) : nullptr;
        list.push_back({n, param, run.in(grads[i]), momentum, is_new[i]});
      }
      run.floating().sgd_step(s, list);
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
    const std::vector<std::vector<T>> params = random_params<T>(random);
    std::vector<std::vector<T>> grads, exp_avg, exp_avg_sq;
    for (const auto& p : params) {
      grads.push_back(random.values<T>(p.size()));
      exp_avg.push_back(random.values<T>(p.size()));
      exp_avg_sq.push_back(random.between<T>(p.size(), 0.01, 4));
    }
    CAPTURE(s.lr, s.beta1, s.beta2, s.eps, s.weight_decay, s.step, params.size());
    check_close<T>(random, whole, [&]<class Real>(Run<Real>& run) {
      std::vector<AdamWParam<Real>> list;
      for (std::size_t i = 0; i < params.size(); ++i) {
        const int64_t n = static_cast<int64_t>(params[i].size());
        Real* param = run.inout("param " + std::to_string(i), {n}, params[i]);
        Real* m = run.inout("exp_avg " + std::to_string(i), {n}, exp_avg[i]);
        Real* v = run.inout("exp_avg_sq " + std::to_string(i), {n}, exp_avg_sq[i]);
        list.push_back({n, param, run.in(grads[i]), m, v});
      }
      run.floating().adamw_step(s, list);
    });
  });
}

}  // namespace tern::test
