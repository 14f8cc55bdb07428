#include "support.hpp"

#include <tern/core/ops.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace tern::test {

namespace {

/// The indices of x that fall on an index of the result, where the dimensions in `named` (a bit each) are reduced.
template <class F>
void for_each_reduced(const Shape& shape, unsigned named, const Shape& kept_index, F f) {
  for_each_index(shape, [&](const Shape& index) {
    for (int d = 0; d < shape.size(); ++d) {
      if (!(named >> d & 1) && index[d] != kept_index[d]) return;
    }
    f(index);
  });
}

Shape kept_shape(const Shape& shape, unsigned named) {
  Shape kept = shape;
  for (int d = 0; d < shape.size(); ++d) {
    if (named >> d & 1) kept[d] = 1;
  }
  return kept;
}

Shape dropped(const Shape& shape, unsigned named) {
  Shape rest;
  for (int d = 0; d < shape.size(); ++d) {
    if (!(named >> d & 1)) rest.push_back(shape[d]);
  }
  return rest;
}

/// NaN before any number, the first of equals.
bool beats(double a, double best) { return a > best || (std::isnan(a) && !std::isnan(best)); }

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("sum over every set of dimensions", "[reduce]") {
  for (const Device device : devices()) {
    for_each_case(40, [&](Random& random) {
      const Shape shape = random_shape(random, 0, 4, 4, 0.05);
      const DType dtype = random.pick({DType::uint8, DType::int64, DType::float64});
      // Whole numbers, whose sums are exact in any order.
      const Layout layout(random, shape);
      const Tensor x = layout.view(random_tensor(random, layout.source_shape, DType::uint8, device).to(dtype));
      const Dense values(x);
      for (unsigned bits = 0; bits < 1u << shape.size(); ++bits) {
        const unsigned named = bits == 0 ? (1u << shape.size()) - 1 : bits;  // none named are all, as in PyTorch
        Shape dims;
        for (const std::int64_t d : random_order(random, shape.size())) {
          if (bits >> d & 1) dims.push_back(random.chance(0.5) ? d : d - shape.size());
        }
        CAPTURE(shape, dims, dtype, device);
        const Dense kept(kept_shape(shape, named), [&](const Shape& at) {
          double total = 0;
          for_each_reduced(shape, named, at, [&](const Shape& index) { total += values[index]; });
          return total;
        });
        const Tensor with = sum(x, dims, true), without = sum(x, dims);
        check_equal(with, kept);
        CHECK(without.shape() == dropped(shape, named));
        CHECK(without.to_vector<double>() == kept.values);
        CHECK(with.dtype() == (is_floating(dtype) ? dtype : DType::int64));
        CHECK(with.storage() != x.storage());
        if (dims.empty() || dims.size() == shape.size()) {
          CHECK(sum(x).shape() == Shape{});
          CHECK(sum(x).item() == kept.values[0]);
        }
      }
    });
  }
}

TEST_CASE("sum and mean of a number within a larger tensor", "[reduce]") {
  for (const Device device : devices()) {
    const Tensor x = tensor({1.0, 2.0, 3.0}, device);
    CHECK(x[2].sum().item() == 3);
    CHECK(x[2].mean().item() == 3);
  }
}

TEST_CASE("mean", "[reduce]") {
  for (const Device device : devices()) {
    const Tensor x = tensor({1.0, 2.0, 3.0, 4.0, 5.0, 9.0}, device).reshape({2, 3});
    CHECK(mean(x).item() == 4);
    CHECK(mean(x, {0}).to_vector<double>() == std::vector<double>{2.5, 3.5, 6});
    CHECK(mean(x, {}).item() == 4);
    CHECK(mean(x, {}, true).shape() == Shape{1, 1});
    CHECK(mean(x, {-1}, true).shape() == Shape{2, 1});
    CHECK(mean(x, {-1}).to_vector<double>() == std::vector<double>{2, 6});
    CHECK(std::isnan(mean(x.narrow(0, 0, 0)).item()));
  }
  CHECK(message_of([] { mean(arange(3)); }) == "mean: got int64, expected float32 or float64");
  CHECK(message_of([] {
          mean(zeros({2, 2}), {2});
        }) == "mean: dimension 2 of a tensor with 2 dimensions, expected -2 to 1");
  CHECK(message_of([] { mean(zeros({2, 2}), {1, 1}); }) == "mean: dimensions [1, 1], expected each once");
}

TEST_CASE("a dimension may be summed over once", "[reduce]") {
  CHECK(message_of([] { sum(zeros({2, 3}), {0, -2}); }) == "sum: dimensions [0, -2], expected each once");
  CHECK(message_of([] {
          sum(zeros({2, 3}), {2});
        }) == "sum: dimension 2 of a tensor with 2 dimensions, expected -2 to 1");
}

TEST_CASE("max and argmax along every dimension", "[reduce]") {
  for (const Device device : devices()) {
    for_each_case(60, [&](Random& random) {
      const Shape shape = random_shape(random, 1, 4, 4);
      const DType dtype = random.pick({DType::uint8, DType::int64, DType::float32, DType::float64});
      const Layout layout(random, shape);
      // Few values, so that many are equal, and some NaN.
      std::vector<double> few = random.ties<double>(layout.source_shape.numel());
      if (is_floating(dtype)) random.spoil(few);
      if (dtype == DType::uint8) std::transform(few.begin(), few.end(), few.begin(), [](double v) { return v + 2; });
      const Tensor x = layout.view(tensor(few).to(dtype).to(device).reshape(layout.source_shape));
      const Dense values(x);
      for (int d = 0; d < shape.size(); ++d) {
        CAPTURE(shape, d, dtype, device);
        std::vector<double> largest, at;
        for_each_index(kept_shape(shape, 1u << d), [&](const Shape& kept) {
          Shape best = kept;
          for_each_reduced(shape, 1u << d, kept, [&](const Shape& index) {
            if (beats(values[index], values[best])) best = index;
          });
          largest.push_back(values[best]);
          at.push_back(static_cast<double>(best[d]));
        });
        const bool keepdim = random.chance(0.5);
        const auto [y, indices] = max(x, random.chance(0.5) ? d : d - shape.size(), keepdim);
        CHECK(y.shape() == (keepdim ? kept_shape(shape, 1u << d) : dropped(shape, 1u << d)));
        CHECK(y.dtype() == dtype);
        CHECK(first_difference(largest, y.to_vector<double>()) == "");
        CHECK(indices.dtype() == DType::int64);
        CHECK(indices.shape() == y.shape());
        CHECK(indices.to_vector<double>() == at);
        CHECK(argmax(x, d, keepdim).to_vector<double>() == at);
      }
      std::size_t best = 0;
      for (std::size_t i = 1; i < values.values.size(); ++i) {
        if (beats(values.values[i], values.values[best])) best = i;
      }
      CHECK(same(max(x).item(), values.values[best]));
      CHECK(argmax(x).item<std::int64_t>() == static_cast<std::int64_t>(best));
    });
  }
}

TEST_CASE("max takes the first of equals, and NaN before anything", "[reduce]") {
  for (const Device device : devices()) {
    CHECK(argmax(tensor({1.0, 3.0, 3.0, 2.0}, device)).item<std::int64_t>() == 1);
    CHECK(argmax(tensor({infinity, nan, 3.0, nan}, device)).item<std::int64_t>() == 1);
    CHECK(std::isnan(max(tensor({infinity, nan, 3.0}, device)).item()));
    CHECK(max(tensor({-infinity, -3.0}, device)).item() == -3);
    CHECK(max(tensor({-infinity, -infinity}, device)).item() == -infinity);
  }
  CHECK(message_of([] {
          max(zeros({2, 0}), 1);
        }) == "max: dimension 1 of shape [2, 0] is empty, expected at least one element");
  CHECK(max(zeros({2, 0}), 0).values.shape() == Shape{0});
  CHECK(message_of([] { argmax(zeros({0})); }) ==
        "argmax: dimension 0 of shape [0] is empty, expected at least one element");
}

TEST_CASE("the largest of all share the gradient, along a dimension the first takes it", "[reduce]") {
  using Values = std::vector<double>;
  for (const Device device : devices()) {
    const auto gradient = [&](const Values& values, auto f) {
      const Tensor x = tensor(values, device).set_requires_grad();
      f(x).backward();
      return x.grad().to_vector<double>();
    };
    const auto of_all = [](const Tensor& x) { return max(x); };
    CHECK(gradient({1, 3, 3, 2}, of_all) == Values{0, 0.5, 0.5, 0});
    CHECK(gradient({3, 3, 1, 3}, of_all) == Values{1.0 / 3, 1.0 / 3, 0, 1.0 / 3});
    CHECK(gradient({1, 3, nan, nan}, of_all) == Values{0, 0, 0.5, 0.5});
    CHECK(gradient({infinity, 0, infinity, infinity}, of_all) == Values{1.0 / 3, 0, 1.0 / 3, 1.0 / 3});
    CHECK(gradient({-2}, of_all) == Values{1});
    CHECK(gradient({1, 3, 3, 0}, [](const Tensor& x) { return max(x.reshape({2, 2}).t()); }) == Values{0, 0.5, 0.5, 0});
    CHECK(gradient({0, -1}, [](const Tensor& x) { return sqrt(max(x)); }) == Values{infinity, 0});
    CHECK(gradient({1, 3, 3, 2}, [](const Tensor& x) { return max(x, 0).values; }) == Values{0, 1, 0, 0});
  }
  CHECK(message_of([] { max(zeros({0, 3})); }) == "max: shape [0, 3] has no elements, expected at least one");
}

TEST_CASE("min is max of the negatives", "[reduce]") {
  for (const Device device : devices()) {
    for_each_case(20, [&](Random& random) {
      const Shape shape = random_shape(random, 1, 4, 4);
      std::vector<double> few = random.ties<double>(shape.numel());
      if (random.chance(0.5)) random.spoil(few);
      const Tensor x = tensor(few, device).reshape(shape);
      const std::int64_t d = random.integer(-shape.size(), shape.size() - 1);
      CAPTURE(shape, d, device);
      check_equal(min(x), -max(-x));
      check_equal(min(x, d).values, -max(-x, d).values);
      check_equal(min(x, d).indices, max(-x, d).indices);
      check_equal(argmin(x, d, true), argmax(-x, d, true));
      check_equal(amin(x, Shape{d}, true), -amax(-x, Shape{d}, true));
      check_equal(cummin(x, d).values, -cummax(-x, d).values);
      check_equal(cummin(x, d).indices, cummax(-x, d).indices);
    });
  }
}

TEST_CASE("a variance far from 0 keeps its digits", "[reduce]") {
  for (const Device device : devices()) {
    CAPTURE(device);
    // Floats are 8 apart there. By hand: mean 1e8 + 8, squares 64 + 0 + 64 + 0.
    const Tensor x = tensor({1e8f, 1e8f + 8, 1e8f + 16, 1e8f + 8}, device);
    const VarMean both = var_mean(x);
    CHECK(both.mean.item() == 1e8 + 8);
    CHECK(both.var.item() == Approx(128.0 / 3));
    CHECK(std(x, {}, 0).item() == Approx(std::sqrt(32.0)));
    CHECK(var(tensor({1e8, 1e8 + 0.25, 1e8 + 0.5}, device)).item() == Approx(0.0625));
    CHECK(std::isnan(var(tensor({3.0}, device)).item()));
    CHECK(var(tensor({3.0}, device), {}, 0).item() == 0);
    CHECK(std::isnan(var(zeros({0}, {.device = device})).item()));
  }
}

TEST_CASE("reductions say what they cannot reduce", "[reduce]") {
  CHECK(message_of([] { min(zeros({0})); }) == "min: shape [0] has no elements, expected at least one");
  CHECK(message_of([] {
          amax(zeros({2, 0}), Shape{1});
        }) == "amax: shape [2, 0] has no elements, expected at least one");
  CHECK(amin(zeros({2, 0}), Shape{0}).shape() == Shape{0});
  CHECK(message_of([] { norm(zeros({0}), infinity); }) ==
        "norm: shape [0] has no elements, expected at least one for p = inf");
  CHECK(message_of([] { norm(zeros({2}, {.dtype = DType::int64})); }) ==
        "norm: got int64, expected float32 or float64");
  CHECK(message_of([] { var(zeros({2}, {.dtype = DType::int64})); }) == "var: got int64, expected float32 or float64");
  CHECK(message_of([] { prod(zeros({2}), 1); }).find("prod: ") == 0);
  CHECK(message_of([] { cumsum(Tensor(), 0); }) == "cumsum: x is undefined, expected a tensor");
}

TEST_CASE("softmax of nothing is nothing", "[reduce]") {
  for (const Device device : devices()) {
    for (const Shape& shape : {Shape{0, 3}, Shape{3, 0}, Shape{0, 0}, Shape{0}, Shape{2, 0, 3}}) {
      for (int d = 0; d < shape.size(); ++d) {
        CAPTURE(device, shape, d);
        for (const auto f : {softmax, log_softmax}) {
          const Tensor x = zeros(shape, {.dtype = DType::float64, .device = device, .requires_grad = true});
          const Tensor y = f(x, d);
          CHECK(y.shape() == shape);
          y.sum().backward();
          CHECK(x.grad().shape() == shape);
        }
      }
    }
  }
}

TEST_CASE("softmax keeps its head with large numbers", "[reduce]") {
  for (const Device device : devices()) {
    const Tensor x = tensor({1000.0, 1001.0, -1000.0, 1001.0}, device).reshape({2, 2});
    const std::vector<double> p = softmax(x, 1).to_vector<double>();
    CHECK(p[0] == Approx(1 / (1 + std::exp(1))).epsilon(1e-12));
    CHECK(p[0] + p[1] == Approx(1).epsilon(1e-15));
    CHECK(p[2] == 0);
    CHECK(p[3] == 1);
    const std::vector<double> l = log_softmax(x, -1).to_vector<double>();
    CHECK(l[1] == Approx(-std::log1p(std::exp(-1))).epsilon(1e-12));
    CHECK(l[2] == -2001);
    CHECK(l[3] == 0);
  }
}

TEST_CASE("mode is the smallest of the most frequent, at its last place", "[reduce]") {
  for_each_case(20, [](Random& random) {
    const std::int64_t n = random.integer(1, 200);
    const std::vector<std::int64_t> v = random.indices(n, random.integer(1, 20));
    std::map<std::int64_t, std::int64_t> counts;
    for (const std::int64_t value : v) ++counts[value];
    const auto most = std::max_element(counts.begin(), counts.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    const std::int64_t place = std::find(v.rbegin(), v.rend(), most->first).base() - v.begin() - 1;
    for (const Device device : devices()) {
      const MaxResult of = mode(tensor(v, device));
      CHECK(of.values.item<std::int64_t>() == most->first);
      CHECK(of.indices.item<std::int64_t>() == place);
    }
  });
  const double nan = std::nan("");
  CHECK(std::isnan(mode(tensor({nan, 1.0, nan})).values.item()));
  CHECK(message_of([] {
          mode(zeros({2, 0}));
        }) == "mode: dimension 1 of shape [2, 0] is empty, expected at least one element");
}

TEST_CASE("what quantile refuses", "[reduce]") {
  CHECK(message_of([&] { quantile(zeros({}), 0.5, 7); }).starts_with("quantile: dim"));
  const Tensor x = zeros({2, 3});
  CHECK(message_of([&] { quantile(x, 1.5); }) == "quantile: q 1.5, expected 0 to 1");
  CHECK(message_of([&] { nanquantile(x, std::nan("")); }) == "nanquantile: q nan, expected 0 to 1");
  CHECK(message_of([&] { quantile(arange(3), 0.5); }) == "quantile: got int64, expected float32 or float64");
  CHECK(message_of([&] { quantile(x, zeros({})); }) == "quantile: q [], expected [m]");
  CHECK(message_of([&] {
          quantile(zeros({2, 0}), 0.5, 1);
        }) == "quantile: dimension 1 of shape [2, 0] is empty, expected at least one element");
}

}  // namespace tern::test
