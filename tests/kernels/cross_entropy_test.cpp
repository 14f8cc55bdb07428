#include "check.hpp"
#include "shapes.hpp"

namespace tern::test {

TEMPLATE_TEST_CASE("cross_entropy", "[cross_entropy]", float, double) {
  using T = TestType;
  for_each_case(150, [](Random& random) {
    const CrossEntropyShape s = random_cross_entropy(random);
    const double reach = random.pick({1.0, 10.0, 300.0}), ignored = random.pick({0.0, 0.2, 0.2, 1.0});
    const std::vector<T> logits = random.between<T>(s.N * s.C, -reach, reach), weight = random.between<T>(s.C, 0.1, 3);
    std::vector<int64_t> target = random.indices(s.N, s.C);
    for (int64_t& t : target) {
      if (random.chance(ignored)) t = s.ignore_index;
    }
    const bool has_weight = random.chance(0.5);
    const Dims loss_dims{s.reduction == Reduction::none ? s.N : 1};
    CAPTURE(s, reach, ignored, has_weight);
    const bool has_gradient = random.chance(0.8);
    // Of a mean over many rows the gradient is small, all of it.
    check_close<T>(random, s.reduction == Reduction::mean ? whole : whole_or_one, [&](auto& run) {
      auto* loss = run.out("loss", loss_dims);
      auto* dlogits = has_gradient ? run.out("dlogits", {s.N, s.C}) : nullptr;
      run.floating().cross_entropy(s, run.in(logits), run.in(target), has_weight ? run.in(weight) : nullptr, loss,
                                   dlogits);
    });
  });
}

TEMPLATE_TEST_CASE("cross_entropy of many rows", "[cross_entropy]", float, double) {
  using T = TestType;
  for_each_case(6, [](Random& random) {
    const CrossEntropyShape s{.N = random.integer(4'000, 9'000),
                              .C = random.integer(1, 4),
                              .label_smoothing = random.pick({0.0, 0.1}),
                              .ignore_index = 0,
                              .reduction = random.pick({Reduction::mean, Reduction::mean, Reduction::sum})};
    const std::vector<T> logits = random.values<T>(s.N * s.C), weight = random.between<T>(s.C, 0.1, 3);
    const std::vector<int64_t> target = random.indices(s.N, s.C);
    CAPTURE(s);
    check_close<T>(random, whole, [&](auto& run) {
      run.floating().cross_entropy(s, run.in(logits), run.in(target), run.in(weight), run.out("loss", {1}),
                                   run.out("dlogits", {s.N, s.C}));
    });
  });
}

TEST_CASE("the mean of losses whose sum is too large for float", "[cross_entropy]") {
  for_each_case(5, [](Random& random) {
    const CrossEntropyShape s{.N = random.integer(10, 100), .C = 3, .reduction = Reduction::mean};
    std::vector<float> logits(s.N * s.C);
    for (int64_t n = 0; n < s.N; ++n) {
      logits[n * 3] = -2e38f;
      logits[n * 3 + 1] = n % 2 == 0 ? 0.0f : 2e38f;  // the loss of every other row, 4e38, is too large itself
    }
    const std::vector<int64_t> target(s.N, 0);
    CAPTURE(s);
    const double odd = static_cast<double>(s.N / 2);
    const double want = (2e38 * (static_cast<double>(s.N) - odd) + 4e38 * odd) / static_cast<double>(s.N);
    for (const Subject& subject : subjects()) {
      INFO(subject.name);
      Run<float> run(*subject.backend, random);
      run.floating().cross_entropy(s, run.in(logits), run.in(target), nullptr, run.out("loss", {1}), nullptr);
      CHECK(static_cast<double>(run.finish()[0].values[0]) == Approx(want).epsilon(1e-5));
    }
  });
}

TEMPLATE_TEST_CASE("cross_entropy with class weights that are not finite", "[cross_entropy]", float, double) {
  using T = TestType;
  for_each_case(40, [](Random& random) {
    CrossEntropyShape s = random_cross_entropy(random);
    s.label_smoothing = random.pick({0.0, 0.0, 0.1});
    const std::vector<T> logits = random.values<T>(s.N * s.C);
    std::vector<T> weight = random.between<T>(s.C, 0.1, 3);
    random.spoil(weight, 0.3);
    const std::vector<int64_t> target = random.indices(s.N, s.C);
    CAPTURE(s);
    check_close<T>(random, whole_or_one, [&](auto& run) {
      auto* loss = run.out("loss", {s.reduction == Reduction::none ? s.N : 1});
      run.floating().cross_entropy(s, run.in(logits), run.in(target), run.in(weight), loss,
                                   run.out("dlogits", {s.N, s.C}));
    });
  });
}

TEMPLATE_TEST_CASE("cross_entropy of logits that are not finite", "[cross_entropy]", float, double) {
  using T = TestType;
  for_each_case(30, [](Random& random) {
    CrossEntropyShape s = random_cross_entropy(random);
    s.label_smoothing = 0;
    std::vector<T> logits = random.values<T>(s.N * s.C);
    random.spoil(logits, random.pick({0.02, 0.5}));
    const std::vector<int64_t> target = random.indices(s.N, s.C);
    CAPTURE(s);
    check_close<T>(random, whole_or_one, [&](auto& run) {
      auto* loss = run.out("loss", {s.reduction == Reduction::none ? s.N : 1});
      run.floating().cross_entropy(s, run.in(logits), run.in(target), nullptr, loss, run.out("dlogits", {s.N, s.C}));
    });
  });
}

}  // namespace tern::test
