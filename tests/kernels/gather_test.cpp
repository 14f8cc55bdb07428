#include "check.hpp"
#include "shapes.hpp"

namespace tern::test {

namespace {

/// Shapes with few lines and many additions among them, and with many lines.
ReduceShape random_picks(Random& random, int64_t* count) {
  const ReduceShape r = random.chance(0.1)   ? ReduceShape{1, random.integer(1, 300), random.integer(1, 2)}
                        : random.chance(0.1) ? ReduceShape{random.integer(1, 3), random.integer(1, 9), 2100}
                                             : random_reduce(random, 1);
  const int64_t lines = std::max<int64_t>(1, r.outer * r.inner);
  *count = random.chance(0.1) ? 0 : random.integer(1, std::max<int64_t>(2, std::min<int64_t>(3000, 20'000 / lines)));
  return r;
}

}  // namespace

TEMPLATE_TEST_CASE("gather and scatter", "[index]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(60, [](Random& random) {
    int64_t count = 0;
    const ReduceShape r = random_picks(random, &count);
    const int64_t n = r.outer * r.n * r.inner, picks = r.outer * count * r.inner;
    const std::vector<int64_t> index = random.indices(picks, random.integer(1, r.n));
    std::vector<T> full = random.values<T>(n), picked = random.values<T>(picks);
    random.spoil(full), random.spoil(picked);
    CAPTURE(r, count);
    check_exact<T>(random, [&](auto& run) {
      run.array().gather(r, count, run.in(full), run.in(index), run.out("picked", {r.outer, count, r.inner}));
      run.array().scatter(r, count, run.in(index), run.in(picked), run.inout("full", {r.outer, r.n, r.inner}, full));
    });
  });
}

TEMPLATE_TEST_CASE("scatter_add", "[index]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(60, [](Random& random) {
    int64_t count = 0;
    const ReduceShape r = random_picks(random, &count);
    const int64_t n = r.outer * r.n * r.inner, picks = r.outer * count * r.inner;
    const std::vector<int64_t> index = random.indices(picks, random.integer(1, r.n));
    const std::vector<T> full = random.values<T>(n), picked = random.values<T>(picks);
    CAPTURE(r, count);
    check_close<T>(random, whole_or_one, [&](auto& run) {
      run.array().scatter_add(r, count, run.in(index), run.in(picked),
                              run.inout("full", {r.outer, r.n, r.inner}, full));
    });
  });
}

}  // namespace tern::test
