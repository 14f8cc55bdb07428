#include "check.hpp"
#include "shapes.hpp"

namespace tern::test {

template <class T>
void check_matmul(Random& random, const MatmulShape& s) {
  const std::vector<T> a = random.values<T>(s.batch * s.m * s.k), b = random.values<T>(s.batch * s.k * s.n);
  CAPTURE(s);
  check_close<T>(random, whole_or_one, [&](auto& run) {
    run.floating().matmul(s, run.in(a), run.in(b), run.out("y", {s.batch, s.m, s.n}));
  });
}

TEMPLATE_TEST_CASE("matmul", "[matmul]", float, double) {
  for_each_case(80, [](Random& random) { check_matmul<TestType>(random, random_matmul(random)); });
}

TEMPLATE_TEST_CASE("matmul of many rows", "[matmul]", float, double) {
  for_each_case(2, [](Random& random) {
    MatmulShape s{.m = random.integer(150, 300), .n = random.integer(60, 130), .k = random.integer(250, 600)};
    for (const bool trans_a : {false, true}) {
      for (const bool trans_b : {false, true}) {
        s.trans_a = trans_a;
        s.trans_b = trans_b;
        check_matmul<TestType>(random, s);
      }
    }
  });
}

}  // namespace tern::test
