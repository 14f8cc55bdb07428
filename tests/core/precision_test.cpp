#include <tern/core/autograd.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/precision.hpp>

#include <catch2/catch.hpp>
#include <random.hpp>

namespace tern::test {

namespace {

/// The largest difference, as a part of the largest element of b.
double distance(const Tensor& a, const Tensor& b) {
  const Tensor x = a.to(Device::cpu).to(DType::float64);
  return ((x - b).abs().max() / b.abs().max()).item();
}

}  // namespace

TEST_CASE("float32 products are exact unless less is asked for, from the next op on", "[cuda]") {
  REQUIRE(float32_precision() == Precision::highest);
  Generator generator;
  generator.manual_seed(base_seed());
  const TensorOptions exact{.dtype = DType::float64};
  const Tensor image = randn({2, 64, 8, 8}, exact, generator), filter = randn({64, 64, 3, 3}, exact, generator);
  const Tensor a = randn({40, 300}, exact, generator), b = randn({300, 30}, exact, generator);
  // As floats, whose rounding is not of the products.
  const auto rounded = [](const Tensor& x) { return x.to(DType::float32); };
  const auto again = [&](const Tensor& x) { return rounded(x).to(DType::float64); };
  const auto on_cuda = [&](const Tensor& x) { return rounded(x).to(Device::cuda); };
  const Tensor conv = conv2d(again(image), again(filter), {}, {.padding = 1}), product = matmul(again(a), again(b));

  struct Restore {
    ~Restore() { set_float32_precision(Precision::highest); }
  } restore;
  for (const auto& [precision, least, most] : {std::tuple{Precision::highest, 0.0, 1e-6},
                                               std::tuple{Precision::high, 1e-5, 1e-3},
                                               std::tuple{Precision::medium, 1e-5, 1e-2}}) {
    set_float32_precision(precision);
    CHECK(float32_precision() == precision);
    const double of_conv = distance(conv2d(on_cuda(image), on_cuda(filter), {}, {.padding = 1}), conv);
    const double of_product = distance(matmul(on_cuda(a), on_cuda(b)), product);
    CAPTURE(static_cast<int>(precision), of_conv, of_product);
    CHECK((of_conv >= least && of_conv <= most));
    CHECK((of_product >= least && of_product <= most));
  }
}

TEST_CASE("a gradient has the precision that its op was asked for", "[cuda]") {
  Generator generator;
  generator.manual_seed(base_seed());
  const Tensor x = randn({2, 64, 8, 8}, {.device = Device::cuda}, generator);
  const Tensor w = randn({64, 64, 3, 3}, {.device = Device::cuda}, generator);
  const auto gradient = [&](Precision of_op, Precision of_pass) {
    const Tensor filter = w.clone().set_requires_grad(true);
    set_float32_precision(of_op);
    const Tensor y = conv2d(x, filter, {}, {.padding = 1});
    set_float32_precision(of_pass);
    y.sum().backward();
    set_float32_precision(Precision::highest);
    return filter.grad().to_vector<float>();
  };
  const auto exact = gradient(Precision::highest, Precision::highest);
  CHECK(gradient(Precision::highest, Precision::high) == exact);
  CHECK(gradient(Precision::high, Precision::highest) != exact);
}

}  // namespace tern::test
