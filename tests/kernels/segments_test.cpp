#include "arrays.hpp"
#include "check.hpp"

#include <tern/kernels/optim.hpp>

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>

namespace tern::test {
namespace {

/// One array for each of x, which begins as y where given, else as garbage.
template <class Real, class T>
std::vector<Segment<Real>> segments(Run<Real>& run, const std::vector<std::vector<T>>& x,
                                    const std::vector<std::vector<T>>* y) {
  std::vector<Segment<Real>> all;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::string name = "y " + std::to_string(i);
    const Dims dims{static_cast<int64_t>(x[i].size())};
    all.push_back({dims[0], run.in(x[i]), y ? run.inout(name, dims, (*y)[i]) : run.out(name, dims)});
  }
  return all;
}

}  // namespace

TEMPLATE_TEST_CASE("sum_of_squares, scale_all and add_all", "[segments]", float, double) {
  using T = TestType;
  for_each_case(40, [](Random& random) {
    const std::vector<std::vector<T>> x = random_arrays<T>(random);
    std::vector<std::vector<T>> y;
    for (const auto& a : x) y.push_back(random.values<T>(std::ssize(a)));
    const std::vector<T> factor = random.values<T>(1);
    const double a = random.real(-2, 2);
    CAPTURE(x.size(), a);
    check_close<T>(random, each, [&]<class Real>(Run<Real>& run) {
      std::vector<Segment<Real>> all;
      for (const auto& array : x) all.push_back({std::ssize(array), run.in(array), nullptr});
      run.floating().sum_of_squares(all, run.out("sum", {1}));
    });
    check_close<T>(random, each, [&]<class Real>(Run<Real>& run) {
      run.floating().scale_all(segments<Real, T>(run, x, nullptr), static_cast<T>(a), run.in(factor));
    });
    check_exact<T>(random, [&]<class Real>(Run<Real>& run) { run.floating().add_all(segments(run, x, &y)); });
  });
}

TEMPLATE_TEST_CASE("lerp_all, by a weight and by a table's", "[segments]", float, double) {
  using T = TestType;
  for_each_case(40, [](Random& random) {
    const std::vector<std::vector<T>> x = random_arrays<T>(random);
    std::vector<std::vector<T>> y;
    for (const auto& a : x) {
      y.push_back(random.values<T>(std::ssize(a)));
      for (std::size_t i = 0; i < a.size(); i += 3) y.back()[i] = a[i];  // stays as it is
    }
    const std::vector<double> table = random.between<double>(12, 0, 1);
    const bool by_table = random.chance(0.7), stopped = random.chance(0.2);
    const int64_t column = random.integer(0, 2), step = random.integer(0, 3);
    const std::vector<int64_t> state{step, stopped ? int64_t{0} : int64_t{-1}, 0};
    CAPTURE(x.size(), by_table, stopped, column, step);
    check_close<T>(random, whole, [&]<class Real>(Run<Real>& run) {
      std::vector<double> rows = table;  // a table is in double whatever Real is
      const double* numbers = run.in_double(rows);
      const StepNumbers<Real> of_step{reinterpret_cast<const StepState*>(run.in(state)), numbers + column, 3, nullptr};
      run.floating().lerp_all(segments(run, x, &y), table[0], by_table ? &of_step : nullptr);
    });
  });
}

TEMPLATE_TEST_CASE("end_step counts steps, sums finite losses and notes the first that is not", "[segments]", float,
                   double) {
  using T = TestType;
  for_each_case(30, [](Random& random) {
    std::vector<T> loss = random.values<T>(1);
    random.spoil(loss, 0.5);
    const int64_t step = random.integer(0, 100), diverged = random.chance(0.3) ? random.integer(0, step) : -1;
    const double sum = random.real(0, 10);
    CAPTURE(step, diverged, sum, loss[0]);
    const std::vector<int64_t> before{step, diverged, std::bit_cast<int64_t>(sum)};
    const bool finite = std::isfinite(loss[0]);
    const std::vector<int64_t> after{step + 1, diverged < 0 && !finite ? step : diverged,
                                     std::bit_cast<int64_t>(finite ? sum + static_cast<double>(loss[0]) : sum)};
    for (const Subject& subject : subjects()) {
      INFO("backend " << subject.name);
      Run<T> run(*subject.backend, random);
      int64_t* state = run.inout("state", {3}, before);
      run.floating().end_step(run.in(loss), reinterpret_cast<StepState*>(state));
      const std::vector<Output> got = run.finish();
      for (std::size_t i = 0; i < 3; ++i) CHECK(static_cast<int64_t>(got[0].values[i]) == after[i]);
    }
  });
}

TEMPLATE_TEST_CASE("update_scale moves a loss's factor by its rule, and none out of range", "[segments]", float,
                   double) {
  using T = TestType;
  for_each_case(60, [](Random& random) {
    const ScaleRule rule{random.pick({2.0, 1.5}), random.integer(1, 4), random.pick({0.5, 0.25})};
    const T largest = std::numeric_limits<T>::max(), smallest = std::numeric_limits<T>::min();
    const T scale = random.pick({T{1024}, largest / T{1.5}, 2 * smallest, smallest});
    std::vector<T> squares = random.values<T>(1);
    random.spoil(squares, 0.5);
    const int64_t steps = random.integer(0, rule.growth_interval - 1);
    CAPTURE(rule.growth_factor, rule.growth_interval, rule.backoff_factor, scale, squares[0], steps);
    const bool taken = std::isfinite(squares[0]), grows = taken && steps + 1 == rule.growth_interval;
    const T moved = static_cast<T>(scale * (grows ? rule.growth_factor : taken ? 1 : rule.backoff_factor));
    const T after = std::isfinite(moved) && std::isfinite(1 / moved) ? moved : scale;
    for (const Subject& subject : subjects()) {
      INFO("backend " << subject.name);
      Run<T> run(*subject.backend, random);
      T* at = run.inout("scale", {1}, std::vector<T>{scale});
      int64_t* count = run.inout("steps", {1}, std::vector<int64_t>{steps});
      run.floating().update_scale(rule, run.in(squares), at, count);
      const std::vector<Output> got = run.finish();
      CHECK(static_cast<T>(got[0].values[0]) == after);
      CHECK(static_cast<int64_t>(got[1].values[0]) == (taken && !grows ? steps + 1 : 0));
    }
  });
}

}  // namespace tern::test
