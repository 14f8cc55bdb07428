#include "check.hpp"
#include "shapes.hpp"

#include <tern/kernels/interpolate2d.hpp>

namespace tern::test {

/// Places are computed in T, so the truth is computed in T, too, but for its sums.
TEMPLATE_TEST_CASE("interpolate2d", "[interpolate2d]", float, double) {
  using T = TestType;
  for_each_case(150, [](Random& random) {
    const Interpolate2dShape s = random_interpolate2d(random);
    std::vector<T> x = random.values<T>(s.N * s.H * s.W), dy = random.values<T>(s.N * s.P * s.Q);
    if (random.chance(0.2)) random.spoil(x, 0.1);
    if (random.chance(0.2)) random.spoil(dy, 0.1);
    CAPTURE(s);
    check_against<T, T>(
        random, &whole_or_one,
        [&](auto& run) {
          run.floating().interpolate2d(s, run.in(x), run.out("y", {s.N, s.P, s.Q}));
        },
        subjects());
    check_against<T, T>(
        random, &whole_or_one,
        [&](auto& run) {
          run.floating().interpolate2d_backward(s, run.in(dy), run.out("dx", {s.N, s.H, s.W}));
        },
        subjects());
  });
}

/// Which elements of y an element of x has a share in is found from a guess: any will do, also far from the place.
TEST_CASE("an axis knows which elements it is a source of", "[interpolate2d]") {
  for_each_case(200, [](Random& random) {
    const Interpolate2dShape s = random_interpolate2d(random);
    CAPTURE(s);
    const auto axis = rows_of<float>(s);
    for (int64_t i = 0; i < s.H; ++i) {
      std::vector<int64_t> mine, found;
      for (int64_t p = 0; p < s.P; ++p) {
        const auto source = axis.source(p);
        REQUIRE((source.at >= 0 && source.at < s.H));
        REQUIRE(source.next == (s.linear ? std::min(source.at + 1, s.H - 1) : -1));
        if (source.at == i || source.next == i) mine.push_back(p);
      }
      for (int64_t p = axis.first_with(i); p < axis.first(i + 1); ++p) found.push_back(p);
      CHECK(found == mine);
    }
  });
}

}  // namespace tern::test
