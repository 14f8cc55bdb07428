#include "check.hpp"
#include "shapes.hpp"

#include <tern/kernels/reference/reference.hpp>

#include <algorithm>
#include <limits>

namespace tern::test {

namespace {

template <class T>
void check_both(Random& random, bool log, const ReduceShape& r, const std::vector<T>& x, const Tolerance& tolerance) {
  CAPTURE(log, r);
  const Dims dims{r.outer, r.n, r.inner};
  check_close<T>(random, tolerance, [&](auto& run) { run.floating().softmax(log, r, run.in(x), run.out("y", dims)); });

  std::vector<T> y(x.size());
  ReferenceFloat<T>().softmax(log, r, x.data(), y.data());
  const std::vector<T> dy = random.values<T>(static_cast<int64_t>(x.size()));
  const int over = static_cast<int>(random.integer(0, 2));
  check_close<T>(random, tolerance, [&](auto& run) {
    auto* dx = over == 0 ? run.out("dx", dims) : run.inout("dx", dims, over == 1 ? y : dy);
    run.floating().softmax_backward(log, r, over == 1 ? dx : run.in(y), over == 2 ? dx : run.in(dy), dx);
  });
}

}  // namespace

TEMPLATE_TEST_CASE("softmax", "[softmax]", float, double) {
  using T = TestType;
  for_each_case(120, [](Random& random) {
    const ReduceShape r = random_reduce(random, 0);
    const double middle = random.chance(0.5) ? 0 : random.real(-300, 300);
    std::vector<T> x = random.between<T>(r.outer * r.n * r.inner, middle - 8, middle + 8);
    if (random.chance(0.3)) random.spoil(x, 0.01);
    if (random.chance(0.3)) {  // as masks do
      for (T& v : x) {
        if (random.chance(0.3)) v = -std::numeric_limits<T>::infinity();
      }
    }
    check_both(random, random.chance(0.5), r, x, whole_or_one);
  });
}

TEMPLATE_TEST_CASE("softmax of numbers that exp has no room for", "[softmax]", float, double) {
  using T = TestType;
  for_each_case(10, [](Random& random) {
    const ReduceShape r{.outer = 3, .n = random.integer(1, 40), .inner = random.pick<int64_t>({1, 5})};
    const T size = static_cast<T>(random.pick({1e3, 1e10, 1e30}));
    std::vector<T> x(r.outer * r.n * r.inner);
    for (T& v : x) v = size * static_cast<T>(random.integer(-2, 2));
    check_both(random, false, r, x, whole_or_one);
  });
}

}  // namespace tern::test
