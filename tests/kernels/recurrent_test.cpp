#include "check.hpp"
#include "shapes.hpp"

namespace tern::test {

template <class T>
void check_recurrent_cell(Random& random, const CellShape& s) {
  const int64_t n = s.N * s.H, sums = s.sums();
  const bool is_lstm = s.cell == Cell::lstm, has_kept = s.kept() > 0, has_carry = has_kept;
  std::vector<T> x = random.values<T>(n * sums), r = random.values<T>(n * sums), before = random.values<T>(n);
  if (random.chance(0.2)) random.spoil(x, 0.02);
  const bool in_place = is_lstm && random.chance(0.5);
  CAPTURE(static_cast<int>(s.cell), s.N, s.H, in_place);
  check_close<T>(random, whole_or_one, [&](auto& run) {
    auto* kept = in_place   ? run.inout("kept", {s.N, sums, s.H}, x)
                 : has_kept ? run.out("kept", {s.N, s.kept(), s.H})
                            : nullptr;
    auto* after = run.out("after", {s.N, s.H});
    auto* h = is_lstm ? run.out("h", {s.N, s.H}) : nullptr;
    run.floating().recurrent_cell(s, in_place ? kept : run.in(x), run.in(r), run.in(before), kept, after, h);
  });

  std::vector<T> kept(n * s.kept()), after(n), h(n), dy = random.values<T>(n), dh = random.values<T>(n),
                                                     carry = random.values<T>(n);
  reference_backend().floating(T{}).recurrent_cell(s, x.data(), r.data(), before.data(), kept.data(), after.data(),
                                                   h.data());
  const bool has_dy = random.chance(0.8), has_dh = random.chance(0.8);
  CAPTURE(has_dy, has_dh);
  check_close<T>(random, whole_or_one, [&](auto& run) {
    auto* of_kept = in_place   ? run.inout("dx", {s.N, sums, s.H}, kept)
                    : has_kept ? run.inout("kept", {s.N, s.kept(), s.H}, kept)
                               : nullptr;
    auto* dx = in_place ? of_kept : run.out("dx", {s.N, sums, s.H});
    auto* dr = s.cell == Cell::gru ? run.out("dr", {s.N, sums, s.H}) : nullptr;
    auto* over = has_carry ? run.inout("carry", {s.N, s.H}, carry) : nullptr;
    run.floating().recurrent_cell_backward(s, of_kept, run.in(before), run.in(after), has_dy ? run.in(dy) : nullptr,
                                           has_dh ? run.in(dh) : nullptr, over, dx, dr);
  });
}

TEMPLATE_TEST_CASE("recurrent_cell", "[recurrent]", float, double) {
  for_each_case(60, [](Random& random) {
    const CellShape s{.cell = random.pick({Cell::tanh, Cell::relu, Cell::lstm, Cell::gru}),
                      .N = random.chance(0.1) ? 0 : random.integer(1, 40),
                      .H = random.chance(0.1) ? random.integer(256, 600) : random.integer(1, 70)};
    check_recurrent_cell<TestType>(random, s);
  });
}

}  // namespace tern::test
