#include "support.hpp"

#include <tern/core/ops.hpp>

#include <cmath>
#include <limits>

namespace tern::test {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// Two shapes that broadcast to each other, and what to.
struct Pair {
  Shape a, b, both;
};

Pair random_pair(Random& random) {
  const Shape full = random_shape(random, 0, 5, 4, 0.03);
  const auto smaller = [&] {
    Shape shape = full;
    for (int d = 0; d < shape.size(); ++d) {
      if (random.chance(0.3)) shape[d] = 1;
    }
    while (!shape.empty() && random.chance(0.2)) shape.erase(0);
    return shape;
  };
  Pair p{smaller(), smaller(), {}};
  for (int back = std::max(p.a.size(), p.b.size()); back > 0; --back) {
    const bool a_is_one = back > p.a.size() || p.a[p.a.size() - back] == 1,
               b_is_one = back > p.b.size() || p.b[p.b.size() - back] == 1;
    p.both.push_back(a_is_one && b_is_one ? 1 : full[full.size() - back]);
  }
  return p;
}

Tensor uint8(std::initializer_list<double> values) { return tensor(std::vector<double>(values)).to(DType::uint8); }

}  // namespace

TEST_CASE("arithmetic and comparisons broadcast as an index computation says", "[elementwise]") {
  struct Op {
    const char* name;
    Tensor (*op)(const Tensor&, const Tensor&);
    double (*value)(double, double);
    bool compares = false;
  };
  const Op ops[] = {
      {"add", add, [](double a, double b) { return a + b; }},
      {"sub", sub, [](double a, double b) { return a - b; }},
      {"mul", mul, [](double a, double b) { return a * b; }},
      {"div", div, [](double a, double b) { return a / b; }},
      {"maximum", maximum, [](double a, double b) { return std::isnan(a) || std::isnan(b) ? nan : std::max(a, b); }},
      {"minimum", minimum, [](double a, double b) { return std::isnan(a) || std::isnan(b) ? nan : std::min(a, b); }},
      {"eq", eq, [](double a, double b) { return double(a == b); }, true},
      {"ne", ne, [](double a, double b) { return double(a != b); }, true},
      {"lt", lt, [](double a, double b) { return double(a < b); }, true},
      {"le", le, [](double a, double b) { return double(a <= b); }, true},
      {"gt", gt, [](double a, double b) { return double(a > b); }, true},
      {"ge", ge, [](double a, double b) { return double(a >= b); }, true},
  };
  for (const Device device : devices()) {
    for_each_case(60, [&](Random& random) {
      const Pair shapes = random_pair(random);
      const auto make = [&](const Shape& shape) {
        const Layout layout(random, shape);
        std::vector<double> values = random.ties<double>(layout.source_shape.numel());
        random.spoil(values);
        return layout.view(tensor(values, device).reshape(layout.source_shape));
      };
      const Tensor a = make(shapes.a), b = make(shapes.b);
      const Dense da(a), db(b);
      for (const Op& op : ops) {
        CAPTURE(op.name, shapes.a, shapes.b, device);
        const Tensor y = op.op(a, b);
        check_equal(y, Dense(shapes.both, [&](const Shape& i) { return op.value(da.broadcast(i), db.broadcast(i)); }));
        CHECK(y.is_contiguous());
        CHECK(y.dtype() == (op.compares ? DType::uint8 : DType::float64));
      }
    });
  }
}

TEST_CASE("shapes that do not broadcast", "[elementwise]") {
  CHECK(message_of([] { zeros({2, 3}) + zeros({2}); }) == "add: shapes [2, 3] and [2] do not broadcast: 3 against 2");
  CHECK(message_of([] { zeros({2}) * zeros({4, 3}); }) == "mul: shapes [2] and [4, 3] do not broadcast: 3 against 2");
  CHECK(message_of([] { lt(zeros({0}), zeros({2})); }) == "lt: shapes [0] and [2] do not broadcast: 0 against 2");
  CHECK((zeros({0}) + zeros({1})).shape() == Shape{0});
  CHECK((zeros({2, 0}) + zeros({})).shape() == Shape{2, 0});
}

TEST_CASE("the later dtype wins", "[elementwise]") {
  for (const Device device : devices()) {
    for (const DType a : all_dtypes) {
      for (const DType b : all_dtypes) {
        CAPTURE(a, b, device);
        const Tensor x = tensor({5.0, 6.0}).to(a).to(device), z = tensor({2.0, 4.0}).to(b).to(device);
        const DType later = promote_types(a, b);
        CHECK((x + z).dtype() == later);
        CHECK((x + z).to_vector<double>() == std::vector<double>{7, 10});
        CHECK((x * z).to_vector<double>() == std::vector<double>{10, 24});
        CHECK(maximum(x, z).dtype() == later);
        CHECK((x / z).dtype() == (is_floating(later) ? later : DType::float32));
        CHECK((x / z).to_vector<double>() == std::vector<double>{2.5, 1.5});
        CHECK(gt(x, z).dtype() == DType::uint8);
        CHECK(gt(x, z).to_vector<double>() == std::vector<double>{1, 1});
      }
    }
  }
  CHECK(message_of([] { zeros({2}) + zeros({2}, {.device = Device::reference}); }) ==
        "add: tensors on cpu and reference, expected one device");
}

TEST_CASE("a number takes the tensor's dtype where that can hold it", "[elementwise]") {
  for (const DType dtype : all_dtypes) {
    const Tensor x = tensor({5.0, 6.0}).to(dtype);
    CHECK((x + 1).dtype() == dtype);
    CHECK((1 + x).to_vector<double>() == std::vector<double>{6, 7});
    CHECK((7 - x).to_vector<double>() == std::vector<double>{2, 1});
    CHECK((x * 2.5).dtype() == (is_floating(dtype) ? dtype : DType::float32));
    CHECK((x * 2.5).to_vector<double>() == std::vector<double>{12.5, 15});
    CHECK((x / 2).to_vector<double>() == std::vector<double>{2.5, 3});
    CHECK((15 / x).to_vector<double>() == std::vector<double>{3, 2.5});
    CHECK(eq(x, 5).to_vector<double>() == std::vector<double>{1, 0});
    CHECK(ge(x, 5.5).to_vector<double>() == std::vector<double>{0, 1});
  }
  const Tensor bytes = uint8({0, 44, 255});
  CHECK(lt(bytes, 300).to_vector<double>() == std::vector<double>{1, 1, 1});
  CHECK(eq(bytes, 300).to_vector<double>() == std::vector<double>{0, 0, 0});
  CHECK(gt(bytes, -1).to_vector<double>() == std::vector<double>{1, 1, 1});
  CHECK((bytes * -1).to_vector<double>() == std::vector<double>{0, -44, -255});
  CHECK((bytes + 300).dtype() == DType::int64);
  const Tensor whole = tensor<std::int64_t>({-3, 0, 3});
  CHECK(lt(whole, infinity).to_vector<double>() == std::vector<double>{1, 1, 1});
  CHECK(lt(whole, 1e30).to_vector<double>() == std::vector<double>{1, 1, 1});
  CHECK(gt(whole, -1e30).to_vector<double>() == std::vector<double>{1, 1, 1});
  CHECK(ne(whole, nan).to_vector<double>() == std::vector<double>{1, 1, 1});
  CHECK((whole + infinity).dtype() == DType::float32);
}

TEST_CASE("whole numbers beyond 2^53 stay as they are", "[elementwise]") {
  constexpr std::int64_t odd = (std::int64_t{1} << 53) + 1;  // lies between two doubles
  using Whole = std::vector<std::int64_t>;
  for (const Device device : devices()) {
    const Tensor x = tensor<std::int64_t>({odd, 1}, device);
    CHECK((x + 2).to_vector<std::int64_t>() == Whole{odd + 2, 3});
    CHECK((odd + x).to_vector<std::int64_t>() == Whole{2 * odd, odd + 1});
    CHECK((x - odd).to_vector<std::int64_t>() == Whole{0, 1 - odd});
    CHECK((odd - x).to_vector<std::int64_t>() == Whole{0, odd - 1});
    CHECK((x * odd)[1].item<std::int64_t>() == odd);
    CHECK(eq(x, odd).to_vector<std::int64_t>() == Whole{1, 0});
    CHECK(eq(x, odd - 1).to_vector<std::int64_t>() == Whole{0, 0});
    CHECK(gt(x, odd - 1).to_vector<std::int64_t>() == Whole{1, 0});
    CHECK(full({}, odd, {.dtype = DType::int64, .device = device}).item<std::int64_t>() == odd);
    x.mul_(-1);
    CHECK(x.to_vector<std::int64_t>() == Whole{-odd, -1});
    CHECK(x.add_(tensor<std::int64_t>({1, 1}, device), odd).to_vector<std::int64_t>() == Whole{0, odd - 1});
  }
  // An unsigned number that int64 does not have is taken for a double.
  CHECK((tensor<std::int64_t>({1}) + UINT64_MAX).dtype() == DType::float32);
  CHECK(message_of([] { zeros({1}, {.dtype = DType::int64}).mul_(UINT64_MAX); }) ==
        "mul_: 1.8446744073709552e+19 into int64, which cannot hold it");
}

TEST_CASE("integers wrap, and do not divide by zero", "[elementwise]") {
  for (const Device device : devices()) {
    const Tensor a = uint8({250, 3, 16}).to(device), b = uint8({10, 5, 16}).to(device);
    CHECK((a + b).to_vector<double>() == std::vector<double>{4, 8, 32});
    CHECK((a - b).to_vector<double>() == std::vector<double>{240, 254, 0});
    CHECK((a * b).to_vector<double>() == std::vector<double>{196, 15, 0});
    CHECK(sum(a).item() == 269);
    const Tensor zero = tensor<std::int64_t>({0, 1}, device);
    CHECK((zero / zero).dtype() == DType::float32);
    CHECK(std::isnan((zero / zero)[0].item()));
  }
}

TEST_CASE("a minus sign goes before any dtype", "[elementwise]") {
  for (const Device device : devices()) {
    CHECK((-tensor({1.5, -2.0}, device)).to_vector<double>() == std::vector<double>{-1.5, 2});
    CHECK(std::signbit((-tensor({0.0}, device)).item()));
    CHECK((-tensor<std::int64_t>({1, -2}, device)).to_vector<double>() == std::vector<double>{-1, 2});
    CHECK((-uint8({1, 0}).to(device)).to_vector<double>() == std::vector<double>{255, 0});
  }
}

TEST_CASE("the ops as members are the free ones", "[elementwise]") {
  const Tensor x = tensor({0.5, 1.5, 1.5, 3.0}).reshape({2, 2});
  check_equal(x.neg(), neg(x));
  check_equal(x.exp(), exp(x));
  check_equal(x.log(), log(x));
  check_equal(x.sqrt(), sqrt(x));
  check_equal(x.pow(3), pow(x, 3));
  check_equal(x.tanh(), tern::tanh(x));
  check_equal(x.relu(), relu(x));
  check_equal(x.sigmoid(), sigmoid(x));
  check_equal(x.sin(), sin(x));
  check_equal(x.cos(), cos(x));
  check_equal(x.rsqrt(), rsqrt(x));
  check_equal(x.abs(), abs(x));
  check_equal(x.round(), round(x));
  check_equal(x.floor(), floor(x));
  check_equal(x.ceil(), ceil(x));
  check_equal(x.sign(), sign(x));
  check_equal(x.log1p(), log1p(x));
  check_equal(x.expm1(), expm1(x));
  check_equal(x.erf(), erf(x));
  check_equal(x.reciprocal(), reciprocal(x));
  check_equal(x.square(), square(x));
  check_equal(x.clamp(1, 2.5), clamp(x, 1, 2.5));
  check_equal(x.sum(), sum(x));
  check_equal(x.sum({0}, true), sum(x, {0}, true));
  check_equal(x.mean(), mean(x));
  check_equal(x.mean({1}), mean(x, {1}));
  check_equal(x.max(), max(x));
  check_equal(x.argmax(), argmax(x));
  check_equal(x.argmax(1, true), argmax(x, 1, true));
  check_equal(x.matmul(x.t()), matmul(x, x.t()));
  check_equal(x.eq(x.t()), eq(x, x.t()));
  check_equal(x.index_select(1, tensor<std::int64_t>({1})), index_select(x, 1, tensor<std::int64_t>({1})));
}

}  // namespace tern::test
