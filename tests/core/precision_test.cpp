#include "support.hpp"

#include <tern/core/autograd.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/recurrent.hpp>
#include <tern/core/precision.hpp>

#include <catch2/catch.hpp>
#include <random.hpp>

#include <functional>

namespace tern::test {

namespace {

/// The largest difference, as a part of the largest element of b.
double distance(const Tensor& a, const Tensor& b) {
  const Tensor x = a.to(Device::cpu).to(DType::float64);
  return ((x - b).abs().max() / b.abs().max()).item();
}

/// Leaves the switch as it was.
struct Restore {
  ~Restore() { set_float32_precision({}); }
};

}  // namespace

TEST_CASE("float32 products are exact unless less is asked for, from the next op on", "[cuda]") {
  REQUIRE(float32_precision(Device::cuda) == Precision::highest);
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

  const Restore restore;
  for (const auto& [precision, least, most] :
       {std::tuple{Precision::highest, 0.0, 1e-6}, std::tuple{Precision::high, 1e-5, 1e-3},
        std::tuple{Precision::medium, 1e-5, 1e-2}}) {
    set_float32_precision(precision);
    CHECK(float32_precision(Device::cuda) == precision);
    const double of_conv = distance(conv2d(on_cuda(image), on_cuda(filter), {}, {.padding = 1}), conv);
    const double of_product = distance(matmul(on_cuda(a), on_cuda(b)), product);
    CAPTURE(static_cast<int>(precision), of_conv, of_product);
    CHECK((of_conv >= least && of_conv <= most));
    CHECK((of_product >= least && of_product <= most));
  }
}

TEST_CASE("linear, attention and recurrent layers are as exact as they are asked to be, and so are their gradients",
          "[cuda]") {
  Generator generator;
  generator.manual_seed(base_seed());
  const auto draw = [&](Shape shape) { return randn(shape, {.device = Device::cuda}, generator); };
  // Large enough for linear to leave them to cuBLAS.
  const Tensor x = draw({600, 200}), w = draw({200, 200}), q = draw({2, 40, 100}), k = draw({2, 50, 100}),
               v = draw({2, 50, 60});
  const Tensor sums = draw({2, 600, 200}), h = draw({600, 200});
  const std::vector<std::pair<const char*, std::function<Tensor(const std::vector<Tensor>&)>>> ops{
      {"linear", [](const auto& in) { return linear(in[0], in[1]); }},
      {"attention", [](const auto& in) { return scaled_dot_product_attention(in[0], in[1], in[2]); }},
      {"recurrent", [](const auto& in) { return recurrent(Cell::tanh, in[0], in[1], {}, in[2], {}, false); }}};
  const std::vector<std::vector<Tensor>> inputs{{x, w}, {q, k, v}, {sums, w * 0.05, h}};

  const Restore restore;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    // The result, and the gradients by the inputs.
    const auto results = [&](DType dtype, Precision of_op, Precision of_pass) {
      std::vector<Tensor> in;
      for (const Tensor& t : inputs[i]) in.push_back(t.to(dtype).clone().set_requires_grad(true));
      set_float32_precision(of_op);
      const Tensor y = ops[i].second(in);
      set_float32_precision(of_pass);
      Generator again;
      again.manual_seed(base_seed() + 1);
      y.backward(randn(y.shape(), {}, again).to(y.device()).to(dtype));
      std::vector<Tensor> all{y.detach()};
      for (const Tensor& t : in) all.push_back(t.grad());
      return all;
    };
    const auto exact = results(DType::float64, Precision::highest, Precision::highest);
    const auto off = [&](const std::vector<Tensor>& of) {
      std::vector<double> all;
      for (std::size_t j = 0; j < of.size(); ++j) all.push_back(distance(of[j], exact[j].to(Device::cpu)));
      return all;
    };
    const auto highest = off(results(DType::float32, Precision::highest, Precision::high));
    const auto high = off(results(DType::float32, Precision::high, Precision::highest));
    CAPTURE(ops[i].first, highest, high);
    for (std::size_t j = 0; j < high.size(); ++j) {
      CHECK(highest[j] <= 1e-5);
      CHECK((high[j] <= 1e-2 && high[j] >= 1e-5));
    }
    // 16 bits are exact as TensorFloat-32, so that it makes no difference what float32 is asked for.
    const auto half = results(DType::bfloat16, Precision::highest, Precision::highest);
    const auto half_high = results(DType::bfloat16, Precision::high, Precision::high);
    for (std::size_t j = 0; j < half.size(); ++j) CHECK(equal(half[j], half_high[j]));
  }
}

TEST_CASE("gradients have the precision that their op was asked for", "[precision]") {
  for (const Device device : devices()) {
    Generator generator;
    generator.manual_seed(base_seed());
    const Tensor x = randn({2, 64, 8, 16}, {}, generator).to(device),
                 w = randn({64, 64, 3, 3}, {}, generator).to(device);
    // By x, and by w.
    const auto gradients = [&](Precision of_op, Precision of_pass) {
      const Tensor image = x.clone().set_requires_grad(true), filter = w.clone().set_requires_grad(true);
      set_float32_precision(of_op);
      const Tensor y = conv2d(image, filter, {}, {.padding = 1});
      set_float32_precision(of_pass);
      y.sum().backward();
      set_float32_precision({});
      return std::pair{image.grad().to_vector<float>(), filter.grad().to_vector<float>()};
    };
    const auto exact = gradients(Precision::highest, Precision::highest);
    CHECK(gradients(Precision::highest, Precision::high) == exact);
    const auto high = gradients(Precision::high, Precision::highest);
    CAPTURE(device.str());
    CHECK((device == Device::reference || high.first != exact.first));
    CHECK((device == Device::reference || high.second != exact.second));
  }
}

TEST_CASE("under highest a pixel moves no output that does not see it, under high by little", "[cpu]") {
  Random random(base_seed(), 7);
  const Restore restore;
  CHECK(float32_precision(Device::cpu) == Precision::high);
  for (int i = 0; i < 20; ++i) {
    const std::int64_t C = random.integer(2, 20), K = random.integer(4, 20), H = random.integer(6, 24),
                       W = random.integer(8, 40);
    Generator generator;
    generator.manual_seed(base_seed() + static_cast<std::uint64_t>(i));
    const Tensor x = randn({2, C, H, W}, {}, generator), w = randn({K, C, 3, 3}, {}, generator);
    const std::int64_t h = random.integer(0, H - 1), v = random.integer(0, W - 1);
    // Where an output's filter covers the pixel.
    const Tensor sees = zeros({2, K, H, W}, {.dtype = DType::uint8});
    const std::int64_t top = std::max<std::int64_t>(0, h - 1), left = std::max<std::int64_t>(0, v - 1);
    sees.select(0, 0).narrow(1, top, std::min(H, h + 2) - top).narrow(2, left, std::min(W, v + 2) - left).fill_(1);
    const auto unseen = [&](double pixel) {
      const Tensor changed = x.clone();
      changed[0][C / 2][h].select(0, v).fill_(pixel);
      const Tensor y = conv2d(changed, w, {}, {.padding = 1});
      CHECK(isnan(y).any().item() == 0);
      return masked_fill(y, sees, 0);
    };
    CAPTURE(C, K, H, W, h, v);
    set_float32_precision(Precision::highest);
    const Tensor want = unseen(1);
    CHECK(equal(unseen(1e7), want));
    CHECK(equal(unseen(INFINITY), want));
    set_float32_precision(Precision::high);
    const Tensor got = unseen(1);
    CHECK((got - want).abs().max().item() < 1e-5 * want.abs().max().item());
    CHECK((unseen(1e7) - got).abs().max().item() < 1e-5 * 1e7 * w.abs().max().item());
  }
}

}  // namespace tern::test
