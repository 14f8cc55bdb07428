#include "support.hpp"

#include <tern/core/autograd.hpp>
#include <tern/core/ops.hpp>

#include <cmath>

namespace tern::test {

namespace {

using InPlace = std::function<const Tensor&(const Tensor&, const Tensor&)>;

struct Op {
  const char* name;
  InPlace op;
  double (*value)(double, double);
};

const std::vector<Op>& ops() {
  using T = const Tensor&;
  static const std::vector<Op> all{
      {"add_", [](T x, T y) -> T { return x.add_(y); }, [](double a, double b) { return a + b; }},
      {"add_ of 3 times", [](T x, T y) -> T { return x.add_(y, 3); }, [](double a, double b) { return a + b * 3; }},
      {"sub_", [](T x, T y) -> T { return x.sub_(y); }, [](double a, double b) { return a - b; }},
      {"mul_", [](T x, T y) -> T { return x.mul_(y); }, [](double a, double b) { return a * b; }},
      {"div_", [](T x, T y) -> T { return x.div_(y); }, [](double a, double b) { return a / b; }},
      {"copy_", [](T x, T y) -> T { return x.copy_(y); }, [](double, double b) { return b; }},
      {"mul_ by 2.5", [](T x, T) -> T { return x.mul_(2.5); }, [](double a, double) { return a * 2.5; }},
      {"fill_", [](T x, T) -> T { return x.fill_(2.5); }, [](double, double) { return 2.5; }},
      {"zero_", [](T x, T) -> T { return x.zero_(); }, [](double, double) { return 0.0; }},
  };
  return all;
}

/// One of the shapes that broadcast to `shape`.
Shape narrower(Random& random, Shape shape) {
  for (int d = 0; d < shape.size(); ++d) {
    if (random.chance(0.3)) shape[d] = 1;
  }
  while (!shape.empty() && random.chance(0.2)) shape.erase(0);
  return shape;
}

}  // namespace

TEST_CASE("in-place ops change the target, nothing beside it, and its version", "[in_place]") {
  for (const Device device : devices()) {
    for_each_case(60, [&](Random& random) {
      for (const Op& op : ops()) {
        const Shape shape = random_shape(random, 0, 4, 4, 0.03);
        const Layout layout(random, shape, false);
        const Tensor base = random_tensor(random, layout.source_shape, DType::float64, device);
        const Tensor target = layout.view(base),
                     other = random_view(random, narrower(random, shape), DType::float64, device);
        CAPTURE(op.name, shape, target.strides(), other.shape(), other.strides(), device);
        // What lies outside the target in its own memory must stay: mark what lies inside.
        const Tensor mask = zeros_like(base);
        layout.view(mask).fill_(1);
        const Dense a(target), b(other), outside(base), inside(mask);
        const std::uint32_t version = target.storage()->version();
        CHECK(op.op(target, other).is_same(target));
        check_equal(target, Dense(shape, [&](const Shape& i) { return op.value(a[i], b.broadcast(i)); }));
        CHECK(target.storage()->version() > version);
        const std::vector<double> after = base.to_vector<double>();
        for (std::size_t i = 0; i < after.size(); ++i) {
          if (inside.values[i] == 0) CHECK(same(after[i], outside.values[i]));
        }
      }
    });
  }
}

TEST_CASE("in-place ops whose operand shares the target's memory", "[in_place]") {
  for (const Device device : devices()) {
    for (const Op& op : ops()) {
      for_each_case(10, [&](Random& random) {
        CAPTURE(op.name, device);
        const std::int64_t n = random.integer(2, 5);
        const auto check = [&](const std::function<Tensor(const Tensor&)>& to,
                               const std::function<Tensor(const Tensor&)>& from) {
          const Tensor base = random_tensor(random, {n, n}, DType::float64, device), apart = base.clone();
          const Tensor target = to(base);
          const Dense a(target), b(from(apart));
          op.op(target, from(base));
          check_equal(target, Dense(target.shape(), [&](const Shape& i) { return op.value(a[i], b.broadcast(i)); }));
        };
        const auto whole = [](const Tensor& x) { return x; };
        const auto turned = [](const Tensor& x) { return x.t(); };
        const auto row = [](const Tensor& x) { return x[1]; };
        const auto left = [n](const Tensor& x) { return x.narrow(1, 0, n - 1); };
        const auto right = [n](const Tensor& x) { return x.narrow(1, 1, n - 1); };
        const auto upper = [n](const Tensor& x) { return x.narrow(0, 0, n - 1); };
        const auto lower = [n](const Tensor& x) { return x.narrow(0, 1, n - 1); };
        check(whole, whole);
        check(whole, turned);
        check(turned, whole);
        check(whole, row);
        check(left, right);
        check(right, left);
        check(upper, lower);
        check(lower, upper);
      });
    }
  }
}

TEST_CASE("in-place ops keep the target's dtype", "[in_place]") {
  for (const Device device : devices()) {
    const Tensor x = tensor({1.5, 2.0}, device);
    x.add_(tensor<std::int64_t>({1, 2}, device)).mul_(tensor({2.0f, 3.0f}, device));
    CHECK(x.dtype() == DType::float64);
    CHECK(x.to_vector<double>() == std::vector<double>{5, 12});
    const Tensor whole = tensor<std::int64_t>({7, 8}, device);
    whole.sub_(tensor({2.0, 3.0}).to(DType::uint8).to(device)).add_(whole, 2).mul_(-1);
    CHECK(whole.to_vector<std::int64_t>() == std::vector<std::int64_t>{-15, -15});
    whole.copy_(tensor({1.9, -1.9}));
    CHECK(whole.to_vector<std::int64_t>() == std::vector<std::int64_t>{1, -1});
    whole.fill_(-4);
    CHECK(whole.to_vector<std::int64_t>() == std::vector<std::int64_t>{-4, -4});
    for (const Device from : devices()) {
      x.copy_(tensor<std::int64_t>({4, 5}, from));
      CHECK(x.to_vector<double>() == std::vector<double>{4, 5});
    }
  }
}

TEST_CASE("in-place functions write through views, and are seen by what was saved", "[in_place]") {
  for (const Device device : devices()) {
    const Tensor x = tensor({{1.0, 4.0}, {9.0, -16.0}}, device);
    x.t()[0].sqrt_();
    x[1] *= 2;
    x.t()[1].relu_().add_(0.5);
    CHECK(x.to_vector<double>() == std::vector<double>{1, 4.5, 6, 0.5});
    const Tensor w = ones(2, {.device = device, .requires_grad = true}), y = w * 3, z = y * y;
    {
      const NoGradGuard no_grad;
      y.exp_();
    }
    CHECK_THROWS_AS(z.sum().backward(), Error);
    CHECK_THROWS_AS(w += 1, Error);
    CHECK_THROWS_AS(w.clamp_(0, 1), Error);
  }
}

TEST_CASE("what an in-place op refuses leaves the target as it is", "[in_place]") {
  const Tensor x = tensor({1.0f, 2.0f, 3.0f}), n = arange(3), bytes = n.to(DType::uint8);
  const std::uint32_t version = x.storage()->version();
  CHECK(message_of([&] { x.add_(zeros({2, 3})); }) == "add_: shape [2, 3] does not broadcast to [3]");
  CHECK(message_of([&] { x.copy_(zeros({2})); }) == "copy_: shapes [3] and [2] do not broadcast: 3 against 2");
  CHECK(message_of([&] { x.copy_(zeros({1, 3})); }) == "copy_: shape [1, 3] does not broadcast to [3]");
  CHECK(message_of([&] { x.add_(zeros({3}, {.dtype = DType::float64})); }) ==
        "add_: float64 into float32, which cannot hold it");
  CHECK(message_of([&] { n.mul_(x); }) == "mul_: float32 into int64, which cannot hold it");
  CHECK(message_of([&] { n.div_(n); }) == "div_: tensor of int64, expected float32 or float64");
  CHECK(message_of([&] { x.sub_(zeros({3}, {.device = Device::reference})); }) ==
        "sub_: tensors on cpu and reference, expected one device");
  CHECK(message_of([&] { n.add_(n, 0.5); }) == "add_: float32 into int64, which cannot hold it");
  CHECK(message_of([&] { n.mul_(0.5); }) == "mul_: 0.5 into int64, which cannot hold it");
  CHECK(message_of([&] { n += 0.5; }) == "add_: 0.5 into int64, which cannot hold it");
  CHECK(message_of([&] { bytes -= -1; }) == "sub_: -1 into uint8, which cannot hold it");
  CHECK(message_of([&] { n /= 2; }) == "div_: tensor of int64, expected float32 or float64");
  CHECK(message_of([&] { n.clamp_(0.5); }) == "clamp_: float32 into int64, which cannot hold it");
  CHECK(message_of([&] { n.sqrt_(); }) == "sqrt_: float32 into int64, which cannot hold it");
  CHECK(message_of([&] { n.fill_(0.5); }) == "fill_: 0.5 into int64, which cannot hold it");
  CHECK(message_of([&] { bytes.fill_(256); }) == "fill_: 256 into uint8, which cannot hold it");
  CHECK(message_of([&] { bytes.fill_(-1); }) == "fill_: -1 into uint8, which cannot hold it");
  CHECK(message_of([&] { n.fill_(NAN); }) == "fill_: nan into int64, which cannot hold it");
  CHECK(message_of([&] { full({2}, 1e30, {.dtype = DType::int64}); }) ==
        "fill_: 1e+30 into int64, which cannot hold it");
  CHECK(x.to_vector<double>() == std::vector<double>{1, 2, 3});
  CHECK(n.to_vector<double>() == std::vector<double>{0, 1, 2});
  CHECK(x.storage()->version() == version);
}

TEST_CASE("an expanded tensor holds elements more than once and cannot be written to", "[in_place]") {
  for (const Device device : devices()) {
    const Tensor x = tensor({1.0, 2.0}, device), wide = x.expand({3, 2});
    for (const Op& op : ops()) {
      CAPTURE(op.name, device);
      const std::string name = std::string(op.name).substr(0, std::string(op.name).find(' '));
      CHECK(message_of([&] { op.op(wide, ones_like(wide)); }) ==
            (name == "zero_" ? "fill_" : name) +
                ": shape [3, 2] with strides [0, 1] shows elements more than once, expected a clone");
      CHECK(x.to_vector<double>() == std::vector<double>{1, 2});
    }
    x.expand({1, 2}).add_(ones_like(x));
    CHECK(x.to_vector<double>() == std::vector<double>{2, 3});
  }
}

}  // namespace tern::test
