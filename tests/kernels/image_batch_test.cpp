#include "check.hpp"
#include "shapes.hpp"

#include <tern/kernels/reference/reference.hpp>

#include <algorithm>
#include <cmath>

namespace tern::test {
namespace {

/// Images of all sizes, a single pixel and none at all among them, and all that a recipe may ask for.
ImageBatchShape random_image_batch(Random& random) {
  const auto side = [&] {
    return random.chance(0.2) ? 1 : random.chance(0.4) ? 4 * random.integer(1, 9) : random.integer(1, 40);
  };
  ImageBatchShape s;
  s.N = random.chance(0.2) ? random.integer(0, 1) : random.integer(2, random.chance(0.2) ? 80 : 9);
  s.C = random.chance(0.03) ? 0 : random.integer(1, 4);
  s.H = side();
  s.W = side();
  const int64_t largest = std::min(s.H, s.W) - 1;
  s.shift = random.chance(0.3) ? -1 : random.chance(0.3) ? largest : random.integer(0, largest);
  s.cutout = random.chance(0.3)   ? 0
             : random.chance(0.1) ? std::numeric_limits<int64_t>::max()
                                  : random.integer(1, 2 * std::max(s.H, s.W) + 2);
  s.fill = static_cast<float>(random.real(-2, 2));
  return s;
}

}  // namespace

TEMPLATE_TEST_CASE("image_batch", "[image_batch]", float, double) {
  using T = TestType;
  for_each_case(60, [](Random& random) {
    const ImageBatchShape s = random_image_batch(random);
    const int64_t n = std::max<int64_t>(1, random.integer(s.N, 3 * s.N)), steps = s.N == 0 ? 1 : n / s.N;
    const PhiloxState flips = random_state(random), cutouts = random_state(random);
    const auto images = random.values<uint8_t>(n * s.C * s.H * s.W);
    const auto labels = random.values<int64_t>(n), order = random.indices(n, n);
    const std::vector<int64_t> step{random.integer(0, steps - 1)};
    CAPTURE(s, n, step[0], flips.seed, flips.offset, cutouts.seed, cutouts.offset);
    check_exact<T>(random, [&](auto& run) {
      run.floating().image_batch(s, flips, cutouts, run.in(images), run.in(labels), run.in(order), run.in(step),
                                 run.out("x", {s.N, s.C, s.H, s.W}), run.template out<int64_t>("target", {s.N}));
    });
  });
}

TEST_CASE("image_batch gives each byte's 255th part, in either type", "[image_batch]") {
  const ImageBatchShape s{.N = 1, .C = 1, .H = 8, .W = 32};
  std::vector<uint8_t> image(256);
  std::iota(image.begin(), image.end(), uint8_t{0});
  const std::vector<int64_t> labels{7}, order{0}, step{0};
  for (const Subject& subject : subjects()) {
    INFO("backend " << subject.name);
    Random random(base_seed(), 0);
    const auto run_as = [&]<class T>(T) {
      Run<T> run(*subject.backend, random);
      T* x = run.out("x", {256});
      int64_t* target = run.template out<int64_t>("target", {1});
      run.floating().image_batch(s, {}, {}, run.in(image), run.in(labels), run.in(order), run.in(step), x, target);
      const std::vector<Output> got = run.finish();
      for (int i = 0; i < 256; ++i) CHECK(got[0].values[static_cast<std::size_t>(i)] == static_cast<T>(i) / T{255});
      CHECK(got[1].values[0] == 7);
    };
    run_as(float{});
    run_as(double{});
  }
}

}  // namespace tern::test
