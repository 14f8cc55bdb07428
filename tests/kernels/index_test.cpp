#include "check.hpp"
#include "shapes.hpp"

namespace tern::test {

TEMPLATE_TEST_CASE("index_select", "[index]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(40, [](Random& random) {
    const ReduceShape r = random_reduce(random, 1);
    const int64_t count = random.chance(0.1) ? 0 : random.integer(1, 90);
    const std::vector<int64_t> index = random.indices(count, r.n);
    std::vector<T> x = random.values<T>(r.outer * r.n * r.inner);
    random.spoil(x);
    CAPTURE(r, count);
    check_exact<T>(random, [&](auto& run) {
      run.array().index_select(r, count, run.in(x), run.in(index), run.out("y", {r.outer, count, r.inner}));
    });
  });
}

/// More indices than a block lists at a time, of a table of many rows, most of one row.
TEST_CASE("index_select_backward of many indices", "[index]") {
  for_each_case(8, [](Random& random) {
    const ReduceShape r{.n = random.pick<int64_t>({1, 3, 1500, 3000}), .inner = random.pick<int64_t>({1, 3, 130})};
    const int64_t count = random.integer(1'000, 4'000);
    std::vector<int64_t> index = random.indices(count, r.n);
    for (int64_t& k : index) k = random.chance(0.5) ? r.n / 2 : random.chance(0.1) ? -1 : k;
    const std::vector<float> dy = random.values<float>(count * r.inner);
    CAPTURE(r, count);
    check_close<float>(random, whole_or_one, [&](auto& run) {
      run.array().index_select_backward(r, count, run.in(index), run.in(dy), run.out("dx", {r.n, r.inner}));
    });
  });
}

TEMPLATE_TEST_CASE("index_select_backward", "[index]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(40, [](Random& random) {
    const ReduceShape r = random_reduce(random, 1);
    const int64_t count = random.chance(0.1) ? 0 : random.integer(1, 90);
    // Out of a few of the n only, so that most are chosen often and the rest never.
    std::vector<int64_t> index = random.indices(count, random.integer(1, r.n));
    for (int64_t& k : index) k = random.chance(0.1) ? -1 : k;
    const std::vector<T> dy = random.values<T>(r.outer * count * r.inner);
    CAPTURE(r, count);
    check_close<T>(random, whole_or_one, [&](auto& run) {
      run.array().index_select_backward(r, count, run.in(index), run.in(dy), run.out("dx", {r.outer, r.n, r.inner}));
    });
  });
}

}  // namespace tern::test
