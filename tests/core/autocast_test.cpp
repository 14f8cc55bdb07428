#include "support.hpp"

#include <tern/tern.hpp>

#include <catch2/catch.hpp>
#include <random.hpp>

#include <cmath>

namespace tern::test {
namespace {

Tensor drawn(const Shape& shape, Device device, bool requires_grad = false) {
  static Generator generator;
  return randn(shape, {}, generator).to(device).detach().set_requires_grad(requires_grad);
}

}  // namespace

TEST_CASE("under autocast each op computes in the dtype that the table says", "[autocast]") {
  for (const Device device : devices()) {
    const Tensor a = drawn({2, 4, 4}, device), b = drawn({2, 4, 4}, device), image = drawn({1, 2, 5, 5}, device),
                 filter = drawn({2, 2, 3, 3}, device), line = drawn({2, 5, 3}, device),
                 target = tensor({1, 0, 3, 2}).to(device);
    const Tensor wide = a.to(DType::float64);
    for (const DType low : {DType::bfloat16, DType::float16}) {
      CAPTURE(device, low);
      const AutocastGuard autocast(low);
      CHECK(autocast_dtype() == low);
      const Tensor m = a[0], n = b[0], v = n[0], h = m.to(low);
      for (const Tensor& y :
           {matmul(m, n), mm(h, n), bmm(a, b), mv(m, v), addmm(m, m, h), baddbmm(a, a, b), linear(m, n, v),
            einsum("ij,jk->ik", {m, n}), conv2d(image, filter), conv1d(image[0], line), conv_transpose2d(image, filter),
            conv2d_max_pool2d(image, filter, {}, {}, 2, Activation::tanh), scaled_dot_product_attention(a, b, a),
            scaled_dot_product_attention(a, b, a, m), relu(matmul(m, n)), max_pool2d(conv2d(image, filter), 2),
            matmul(m, n) * 2, matmul(m, n) + h}) {
        CHECK(y.dtype() == low);
      }
      for (const Tensor& y : {exp(h),
                              log(h),
                              pow(h, 2),
                              pow(h, h),
                              sum(h),
                              prod(h),
                              cumsum(h, 0),
                              norm(h),
                              softmax(h, 1),
                              log_softmax(h, 1),
                              logsumexp(h, {1}),
                              layer_norm(h, {4}, v, v),
                              layer_norm(h, {4}, v.to(low), v),
                              group_norm(image.to(low), 2),
                              cross_entropy(h, target),
                              nll_loss(log_softmax(h, 1), target),
                              mse_loss(h, h),
                              l1_loss(h, m),
                              binary_cross_entropy_with_logits(h, h),
                              softplus(h),
                              matmul(m, n) + m}) {
        CHECK(y.dtype() == DType::float32);
      }
      CHECK(matmul(wide, wide).dtype() == DType::float64);
      CHECK(equal(matmul(m, n), matmul(m.to(low), n.to(low))));
      {
        const AutocastGuard off(DType::float32);
        CHECK(matmul(m, n).dtype() == DType::float32);
      }
      CHECK(matmul(m, n).dtype() == low);
    }
    CHECK(matmul(a, b).dtype() == DType::float32);
  }
  CHECK(autocast_dtype() == DType::float32);
  CHECK_THROWS_WITH(AutocastGuard(DType::int64), "AutocastGuard: int64, expected bfloat16, float16 or float32");
}

TEST_CASE("a parameter is converted once under autocast, and again after a change or a pass", "[autocast]") {
  for (const Device device : devices()) {
    CAPTURE(device);
    const Tensor w = drawn({3, 3}, device, true), x = drawn({2, 3}, device);
    const AutocastGuard autocast(DType::bfloat16);
    // Each product is of the parameter as it is then, and each pass gives it its gradient.
    const auto loss = [&] { return sum(linear(x, w) + linear(linear(x, w), w)); };
    const Tensor first = loss();
    CHECK(first.item() == loss().item());
    first.backward();
    const Tensor once = w.grad();
    w.set_grad({});
    loss().backward();
    CHECK(equal(w.grad(), once));
    {
      NoGradGuard no_grad;
      w.mul_(2);
    }
    CHECK(equal(linear(x, w), linear(x, w.detach())));
    {
      NoGradGuard no_grad;
      CHECK(!linear(x, w).requires_grad());
    }
    CHECK(linear(x, w).requires_grad());
  }
}

TEST_CASE("a pass under autocast, and a checkpoint within one, give the gradients of the pass without", "[autocast]") {
  for (const Device device : devices()) {
    CAPTURE(device);
    const Tensor w = drawn({4, 4}, device, true), x = drawn({5, 4}, device);
    const auto f = [&](const Tensor& in) { return tanh(linear(tanh(linear(in, w)), w)); };
    const auto gradient = [&](bool inside, bool again) {
      w.set_grad({});
      Tensor loss;
      const auto pass = [&] { loss.backward(); };
      {
        const AutocastGuard autocast(DType::bfloat16);
        loss = sum(again ? checkpoint(f, x) : f(x));
        if (inside) pass();
      }
      if (!inside) pass();
      return w.grad();
    };
    const Tensor want = gradient(false, false);
    CHECK(want.dtype() == DType::float32);
    CHECK(equal(gradient(true, false), want));
    CHECK(equal(gradient(false, true), want));
    CHECK(equal(gradient(true, true), want));
  }
}

TEST_CASE("training under autocast follows the losses of float32 within 2 %", "[autocast]") {
  struct Small : Module {
    Conv2d conv{{.in_channels = 3, .out_channels = 8, .kernel_size = 3, .padding = 1}};
    BatchNorm2d norm{8};
    Linear fc{128, 2};
    Tensor forward(const Tensor& x) override { return fc(max_pool2d(relu(norm(conv(x))), 2).flatten(1)); }
    Members members() override { return {.modules = {{"conv", &conv}, {"norm", &norm}, {"fc", &fc}}}; }
  };
  const auto losses = [](DType dtype) {
    manual_seed(5);
    Small model;
    SGD optimizer(model.parameters(), {.lr = 0.01, .momentum = 0.9});
    Generator generator;
    double total = 0;
    std::vector<double> means;
    for (int i = 1; i <= 300; ++i) {
      const Tensor target = tensor({0, 1, 0, 1, 0, 1, 0, 1}), x = randn({8, 3, 8, 8}, {}, generator);
      const Tensor shifted = x + (target * 2 - 1).reshape({8, 1, 1, 1}).to(DType::float32) * 0.04;
      Tensor loss;
      {
        const AutocastGuard autocast(dtype);
        loss = cross_entropy(model(shifted), target);
      }
      REQUIRE(loss.dtype() == DType::float32);
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
      total += loss.item();
      if (i % 100 == 0) means.push_back(std::exchange(total, 0) / 100);
    }
    return means;
  };
  const std::vector<double> want = losses(DType::float32);
  CHECK(want[2] < 0.95 * want[0]);  // it does learn
  for (const DType low : {DType::bfloat16, DType::float16}) {
    const std::vector<double> got = losses(low);
    for (std::size_t i = 0; i < want.size(); ++i) {
      INFO(low << ", steps " << 100 * i << " to " << 100 * (i + 1) << ": " << got[i] << " for " << want[i]);
      CHECK(std::abs(got[i] - want[i]) < 0.02 * want[i]);
    }
  }
}

}  // namespace tern::test
