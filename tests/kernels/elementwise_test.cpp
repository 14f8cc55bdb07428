#include "check.hpp"
#include "shapes.hpp"

#include <tern/kernels/reference/reference.hpp>

#include <cmath>

namespace tern::test {

TEMPLATE_TEST_CASE("fill", "[elementwise]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(20, [](Random& random) {
    const int64_t n = random.length();
    std::vector<T> value = random.values<T>(1);
    random.spoil(value);
    CAPTURE(n);
    check_exact<T>(random, [&](auto& run) { run.array().fill(n, value[0], run.out("y", {n})); });
  });
}

TEMPLATE_TEST_CASE("copy", "[elementwise]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(60, [](Random& random) {
    const Box box = random_box(random, false);
    std::vector<T> a = random.values<T>(box.n_a), b = random.values<T>(box.n_b);
    random.spoil(a);
    CAPTURE(box.s);
    // What lies in b's gaps has to stay, hence inout.
    check_exact<T>(random, [&](auto& run) { run.array().copy(box.s, run.in(a), run.inout("b", {box.n_b}, b)); });
  });
}

template <class T, class To>
void check_cast(Random& random, const std::vector<T>& x) {
  const int64_t n = static_cast<int64_t>(x.size());
  CAPTURE(n);
  check_exact<T>(random, [&](auto& run) { run.array().cast(n, run.in(x), run.template out<To>("y", {n})); });
}

TEMPLATE_TEST_CASE("cast", "[elementwise]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(20, [](Random& random) {
    // Fractions of either sign, and no value that the other dtype does not have.
    std::vector<T> x =
        random.between<T>(random.length(), std::is_signed_v<T> ? -1e5 : 0, std::is_signed_v<T> ? 1e5 : 255);
    check_cast<T, int64_t>(random, x);
    random.spoil(x);
    check_cast<T, float>(random, x);
    check_cast<T, double>(random, x);
    check_cast<T, uint8_t>(random, random.between<T>(random.length(), 0, 255.99));
  });
}

TEST_CASE("cast rounds float's overlong numbers to the nearest", "[elementwise]") {
  for_each_case(5, [](Random& random) {
    std::vector<int64_t> integers(random.length());
    for (int64_t& v : integers) v = random.integer(-(int64_t{1} << 62), int64_t{1} << 62);
    check_cast<int64_t, float>(random, integers);
    check_cast<int64_t, double>(random, integers);
    check_cast<double, float>(random, random.between<double>(random.length(), -1e39, 1e39));
    check_cast<double, int64_t>(random, random.between<double>(random.length(), -9e18, 9e18));
  });
}

constexpr auto binary_ops = {BinaryOp::add, BinaryOp::sub,     BinaryOp::mul,
                             BinaryOp::div, BinaryOp::maximum, BinaryOp::minimum};
constexpr auto compare_ops = {CompareOp::eq, CompareOp::ne, CompareOp::lt, CompareOp::le, CompareOp::gt, CompareOp::ge};

TEMPLATE_TEST_CASE("binary", "[elementwise]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(100, [](Random& random) {
    const Box box = random_box(random, true);
    std::vector<T> a = random.values<T>(box.n_a),
                   b = random.chance(0.5) ? random.values<T>(box.n_b) : random.ties<T>(box.n_b);
    if (random.chance(0.3)) random.spoil(a);
    if (random.chance(0.3)) random.spoil(b);
    const BinaryOp op = random.pick(binary_ops);
    CAPTURE(op, box.s);
    check_exact<T>(random,
                   [&](auto& run) { run.array().binary(op, box.s, run.in(a), run.in(b), run.out("y", box.dims())); });
    if (box.dense_a) {
      INFO("y is a");
      check_exact<T>(random, [&](auto& run) {
        auto* y = run.inout("y", box.dims(), a);
        run.array().binary(op, box.s, y, run.in(b), y);
      });
    }
    if (box.dense_b) {
      INFO("y is b");
      check_exact<T>(random, [&](auto& run) {
        auto* y = run.inout("y", box.dims(), b);
        run.array().binary(op, box.s, run.in(a), y, y);
      });
    }
    if (box.dense_a && box.dense_b) {
      INFO("y is a and b");
      check_exact<T>(random, [&](auto& run) {
        auto* y = run.inout("y", box.dims(), a);
        run.array().binary(op, box.s, y, y, y);
      });
    }
  });
}

constexpr auto functions = {BinaryOp::pow,  BinaryOp::atan2,     BinaryOp::hypot,
                            BinaryOp::fmod, BinaryOp::remainder, BinaryOp::floor_divide};
constexpr auto integer_functions = {BinaryOp::pow, BinaryOp::fmod, BinaryOp::remainder, BinaryOp::floor_divide};

TEMPLATE_TEST_CASE("functions of two tensors", "[elementwise]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(100, [](Random& random) {
    const Box box = random_box(random, true);
    std::vector<T> a = random.values<T>(box.n_a),
                   b = random.chance(0.5) ? random.values<T>(box.n_b) : random.ties<T>(box.n_b);
    if (random.chance(0.3)) random.spoil(a);
    if (random.chance(0.3)) random.spoil(b);
    const std::vector<T> number = random.ties<T>(1);
    const BinaryOp op = std::is_integral_v<T> ? random.pick(integer_functions) : random.pick(functions);
    CAPTURE(op, box.s, number[0]);
    check_close<T>(random, {.floor = 1e-30}, [&](auto& run) {
      run.array().binary(op, box.s, run.in(a), run.in(b), run.out("y", box.dims()));
      run.array().binary(op, box.s, run.in(a), number[0], run.out("a op number", box.dims()));
      run.array().binary(op, box.s, number[0], run.in(b), run.out("number op b", box.dims()));
    });
  });
}

TEST_CASE("functions of integers", "[elementwise]") {
  constexpr int64_t least = INT64_MIN;
  const auto value = [](BinaryOp op, auto a, decltype(a) b) {
    decltype(a) y = 0;
    ReferenceArray<decltype(a)>().binary(op, {}, &a, &b, &y);
    return y;
  };
  for (const int64_t a : {-9, -7, -1, 0, 1, 6, 7}) {
    for (const int64_t b : {-7, -3, -1, 1, 2, 9}) {
      CAPTURE(a, b);
      const auto floor = static_cast<int64_t>(std::floor(static_cast<double>(a) / static_cast<double>(b)));
      CHECK(value(BinaryOp::floor_divide, a, b) == floor);
      CHECK(value(BinaryOp::remainder, a, b) == a - b * floor);
      CHECK(value(BinaryOp::fmod, a, b) == a % b);
      CHECK(value(BinaryOp::pow, a, b) == (a == 0 && b < 0 ? 0 : static_cast<int64_t>(std::pow(a, b))));
    }
  }
  CHECK(value(BinaryOp::remainder, least, int64_t{-1}) == 0);
  CHECK(value(BinaryOp::fmod, least, int64_t{-1}) == 0);
  CHECK(value(BinaryOp::remainder, int64_t{5}, int64_t{0}) == 0);
  CHECK(value(BinaryOp::floor_divide, int64_t{5}, int64_t{0}) == 0);
  CHECK(value(BinaryOp::pow, int64_t{3}, int64_t{41}) == -420491770248316829);
  CHECK(value(BinaryOp::pow, uint8_t{2}, uint8_t{9}) == 0);
  CHECK(value(BinaryOp::pow, uint8_t{3}, uint8_t{5}) == 243);
  CHECK(value(BinaryOp::remainder, uint8_t{250}, uint8_t{7}) == 5);
  CHECK(value(BinaryOp::fmod, uint8_t{250}, uint8_t{255}) == 250);
}

TEST_CASE("int64 wraps, and divides by anything", "[elementwise]") {
  constexpr int64_t least = INT64_MIN, most = INT64_MAX;
  const auto value = [](BinaryOp op, int64_t a, int64_t b) {
    int64_t y = 0;
    ReferenceArray<int64_t>().binary(op, {}, &a, &b, &y);
    return y;
  };
  CHECK(value(BinaryOp::add, most, 1) == least);
  CHECK(value(BinaryOp::sub, least, 1) == most);
  CHECK(value(BinaryOp::mul, most, most) == 1);
  CHECK(value(BinaryOp::mul, least, -1) == least);
  CHECK(value(BinaryOp::div, least, -1) == least);
  CHECK(value(BinaryOp::div, most, -1) == -most);
  CHECK(value(BinaryOp::div, least, 0) == 0);
  for_each_case(60, [](Random& random) {
    const Box box = random_box(random, true);
    const auto wide = [&](int64_t n) {
      std::vector<int64_t> values(n);
      for (int64_t& v : values) {
        v = random.chance(0.5) ? random.integer(least, most) : random.pick<int64_t>({least, most, -1, 0, 1, 1 << 16});
      }
      return values;
    };
    const std::vector<int64_t> a = wide(box.n_a), b = wide(box.n_b);
    const BinaryOp op = random.pick(binary_ops);
    CAPTURE(op, box.s);
    check_exact<int64_t>(random, [&](auto& run) {
      run.array().binary(op, box.s, run.in(a), run.in(b), run.out("y", box.dims()));
      run.array().binary(op, box.s, run.in(a), int64_t{-1}, run.out("a op -1", box.dims()));
    });
  });
}

TEMPLATE_TEST_CASE("cast from floats that no integer is", "[elementwise]", float, double) {
  using T = TestType;
  for_each_case(20, [](Random& random) {
    std::vector<T> x = random.between<T>(random.length(), -1e3, 1e3);
    for (T& v : x) {
      if (random.chance(0.3)) v *= random.pick<T>({T(1e15), T(1e17), T(1e30)});
    }
    random.spoil(x);
    check_cast<T, int64_t>(random, x);
    check_cast<T, uint8_t>(random, x);
  });
}

/// The reference with a number in place of an operand gives what it gives for an array of that one number.
template <class T>
void check_reference(BinaryOp op, CompareOp comparison, const Strided& s, const std::vector<T>& a,
                     const std::vector<T>& b, T number) {
  Strided with_a = s, with_b = s;
  std::fill_n(with_a.a, max_dims, 0);
  std::fill_n(with_b.b, max_dims, 0);
  ReferenceArray<T> reference;
  std::vector<T> want(s.numel()), got(s.numel());
  const auto same = [](const auto& x, const auto& y) {
    return x.empty() || std::memcmp(x.data(), y.data(), x.size() * sizeof(x[0])) == 0;
  };
  reference.binary(op, with_b, a.data(), &number, want.data());
  reference.binary(op, s, a.data(), number, got.data());
  CHECK(same(want, got));
  reference.binary(op, with_a, &number, b.data(), want.data());
  reference.binary(op, s, number, b.data(), got.data());
  CHECK(same(want, got));
  std::vector<uint8_t> wanted(s.numel()), compared(s.numel());
  reference.compare(comparison, with_b, a.data(), &number, wanted.data());
  reference.compare(comparison, s, a.data(), number, compared.data());
  CHECK(same(wanted, compared));
}

TEMPLATE_TEST_CASE("binary and compare with a number", "[elementwise]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(60, [](Random& random) {
    const Box box = random_box(random, true);
    std::vector<T> a = random.ties<T>(box.n_a), b = random.ties<T>(box.n_b), number = random.ties<T>(1);
    if (random.chance(0.5)) random.spoil(a), random.spoil(b), random.spoil(number);
    if constexpr (std::is_same_v<T, int64_t>) {  // beyond 2^53, where a double would round
      if (random.chance(0.3)) number[0] = (int64_t{1} << 53) + random.integer(1, 9);
    }
    const BinaryOp op = random.pick(binary_ops);
    const CompareOp comparison = random.pick(compare_ops);
    CAPTURE(op, comparison, box.s, number[0]);
    check_reference<T>(op, comparison, box.s, a, b, number[0]);
    check_exact<T>(random, [&](auto& run) {
      run.array().binary(op, box.s, run.in(a), number[0], run.out("a op number", box.dims()));
      run.array().binary(op, box.s, number[0], run.in(b), run.out("number op b", box.dims()));
      run.array().compare(comparison, box.s, run.in(a), number[0],
                          run.template out<uint8_t>("a compared with number", box.dims()));
    });
    if (box.dense_a) {
      INFO("y is a");
      check_exact<T>(random, [&](auto& run) {
        auto* y = run.inout("y", box.dims(), a);
        run.array().binary(op, box.s, y, number[0], y);
      });
    }
  });
}

TEMPLATE_TEST_CASE("masked_fill", "[elementwise]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(30, [](Random& random) {
    const int64_t n = random.length();
    std::vector<T> x = random.values<T>(n), value = random.values<T>(1);
    random.spoil(x), random.spoil(value);
    std::vector<uint8_t> mask = random.between<uint8_t>(n, 0, 3);  // any number but 0 fills
    CAPTURE(n, value[0]);
    check_exact<T>(random, [&](auto& run) {
      run.array().masked_fill(n, run.in(mask), value[0], run.in(x), run.out("y", {n}));
      auto* y = run.inout("y, which is x", {n}, x);
      run.array().masked_fill(n, run.in(mask), value[0], y, y);
    });
  });
}

TEMPLATE_TEST_CASE("where", "[elementwise]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(60, [](Random& random) {
    const Box box = random_box(random, true);
    std::vector<T> a = random.values<T>(box.n_a), b = random.values<T>(box.s.numel());
    random.spoil(a), random.spoil(b);
    const std::vector<uint8_t> mask = random.between<uint8_t>(box.n_b, 0, 3);
    CAPTURE(box.s);
    check_exact<T>(random, [&](auto& run) {
      run.array().where(box.s, run.in(a), run.in(mask), run.in(b), run.out("y", box.dims()));
      auto* y = run.inout("y, which is b", box.dims(), b);
      run.array().where(box.s, run.in(a), run.in(mask), y, y);
    });
  });
}

TEMPLATE_TEST_CASE("compare", "[elementwise]", float, double, int64_t, uint8_t) {
  using T = TestType;
  for_each_case(60, [](Random& random) {
    const Box box = random_box(random, true);
    std::vector<T> a = random.ties<T>(box.n_a), b = random.ties<T>(box.n_b);
    if (random.chance(0.5)) random.spoil(a), random.spoil(b);
    const CompareOp op = random.pick(compare_ops);
    CAPTURE(op, box.s);
    check_exact<T>(random, [&](auto& run) {
      run.array().compare(op, box.s, run.in(a), run.in(b), run.template out<uint8_t>("y", box.dims()));
    });
  });
}

}  // namespace tern::test
