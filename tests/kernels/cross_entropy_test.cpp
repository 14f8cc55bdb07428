#include "check.hpp"
#include "shapes.hpp"

#include <tern/kernels/reference/reference.hpp>

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
    check_close<T>(random, whole_or_one, [&](auto& run) {
      auto *log_prob = run.out("log_prob", {s.N, s.C}), *norm = run.out("norm", {1}),
           *loss = run.out("loss", loss_dims);
      run.floating().cross_entropy(s, run.in(logits), run.in(target), has_weight ? run.in(weight) : nullptr, log_prob,
                                   norm, loss);
    });

    std::vector<T> log_prob(s.N * s.C), norm(1), loss(loss_dims[0]);
    ReferenceFloat<T>().cross_entropy(s, logits.data(), target.data(), has_weight ? weight.data() : nullptr,
                                      log_prob.data(), norm.data(), loss.data());
    // A gradient of the size of norm gives dlogits of the size of 1.
    std::vector<T> dloss = random.values<T>(loss_dims[0]);
    for (T& d : dloss) d *= norm[0];
    check_close<T>(random, whole_or_one, [&](auto& run) {
      run.floating().cross_entropy_backward(s, run.in(log_prob), run.in(target), has_weight ? run.in(weight) : nullptr,
                                            run.in(norm), run.in(dloss), run.out("dlogits", {s.N, s.C}));
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
      auto *log_prob = run.out("log_prob", {s.N, s.C}), *norm = run.out("norm", {1});
      auto* loss = run.out("loss", {s.reduction == Reduction::none ? s.N : 1});
      run.floating().cross_entropy(s, run.in(logits), run.in(target), nullptr, log_prob, norm, loss);
    });
  });
}

}  // namespace tern::test
