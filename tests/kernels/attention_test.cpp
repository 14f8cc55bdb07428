#include "check.hpp"
#include "shapes.hpp"

#include <cmath>

namespace tern::test {

template <class T>
void check_attention(Random& random, AttentionShape s, bool has_bias) {
  const std::vector<T> q = random.values<T>(s.B * s.L * s.E), k = random.values<T>(s.B * s.S * s.E),
                       v = random.values<T>(s.B * s.S * s.V), dy = random.values<T>(s.B * s.L * s.V);
  s.scale = random.real(0.1, 0.5) / std::sqrt(static_cast<double>(std::max<int64_t>(1, s.E)));
  std::vector<T> bias;
  if (has_bias) {
    const int64_t outer = s.heads == 0 ? 0 : s.B / s.heads;
    Strided box{.ndim = 4, .size = {outer, s.heads, s.L, s.S}};
    const int64_t n = view_strides(random, 4, box.size, true, box.a);
    s.bias_outer = box.a[0];
    s.bias_inner = box.a[1];
    s.bias_row = box.a[2];
    s.bias_column = box.a[3];
    bias = random.values<T>(n);
    for (T& x : bias) {
      if (random.chance(0.1)) x = -std::numeric_limits<T>::infinity();
    }
  }
  const PhiloxState state = random_state(random);
  CAPTURE(s.B, s.L, s.S, s.E, s.V, s.heads, s.is_causal, s.dropout_p, has_bias, s.bias_row, s.bias_column);
  check_close<T>(random, whole_or_one, [&](auto& run) {
    auto* y = run.out("y", {s.B, s.L, s.V});
    auto* log_sum = run.out("log_sum", {s.B, s.L});
    run.floating().attention(s, state, run.in(q), run.in(k), run.in(v), has_bias ? run.in(bias) : nullptr, y, log_sum);
  });
  std::vector<T> y(s.B * s.L * s.V), log_sum(s.B * s.L);
  reference_backend().floating(T{}).attention(s, state, q.data(), k.data(), v.data(), has_bias ? bias.data() : nullptr,
                                              y.data(), log_sum.data());
  check_close<T>(random, whole_or_one, [&](auto& run) {
    auto* dq = run.out("dq", {s.B, s.L, s.E});
    auto* dk = run.out("dk", {s.B, s.S, s.E});
    auto* dv = run.out("dv", {s.B, s.S, s.V});
    run.floating().attention_backward(s, state, run.in(q), run.in(k), run.in(v), has_bias ? run.in(bias) : nullptr,
                                      run.in(y), run.in(log_sum), run.in(dy), dq, dk, dv);
  });
}

TEMPLATE_TEST_CASE("attention", "[attention]", float, double) {
  for_each_case(60, [](Random& random) {
    const auto extent = [&](int64_t most) {
      return random.chance(0.1) ? random.integer(0, 1) : random.integer(1, most);
    };
    const int64_t heads = random.integer(1, 3);
    AttentionShape s{.B = heads * random.integer(0, 2),
                     .L = extent(40),
                     .S = extent(40),
                     .E = extent(20),
                     .V = extent(20),
                     .heads = heads};
    s.is_causal = random.chance(0.4);
    s.dropout_p = random.pick({0.0, 0.0, 0.3, 1.0});
    check_attention<TestType>(random, s, random.chance(0.5));
  });
}

/// Of more rows than a block, and more columns than a warp has lanes several times over.
TEMPLATE_TEST_CASE("attention of many rows", "[attention]", float, double) {
  for_each_case(2, [](Random& random) {
    AttentionShape s{.B = 2, .L = random.integer(129, 300), .S = random.integer(129, 300), .E = 8, .V = 8};
    check_attention<TestType>(random, s, true);
    s.is_causal = true;
    s.dropout_p = 0.2;
    check_attention<TestType>(random, s, false);
  });
}

}  // namespace tern::test
