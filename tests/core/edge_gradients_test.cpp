#include "support.hpp"

#include <tern/core/autograd.hpp>
#include <tern/core/ops.hpp>

#include <cmath>
#include <limits>

/// Gradients where a mask that multiplies, or a comparison that NaN fails, would be wrong. The numbers are those of
/// PyTorch 1.13.

namespace tern::test {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

using Values = std::vector<double>;

/// Of the sum of f(x), each element of f weighed by `dy` where there is one.
template <class F>
Values gradient(F f, const Values& x, Device device, const Values& dy = {}) {
  const Tensor leaf = tensor(x, device).set_requires_grad(), y = f(leaf);
  y.backward(dy.empty() ? ones_like(y) : tensor(dy, device));
  return leaf.grad().to_vector<double>();
}

void check_values(const Values& got, const Values& want) { CHECK(first_difference(want, got) == ""); }

/// Equal but for rounding, NaN and infinities included.
void check_near(const Tensor& got, const Tensor& want) {
  const Values a = got.to_vector<double>(), b = want.to_vector<double>();
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    CAPTURE(i, a[i], b[i]);
    CHECK((same(a[i], b[i]) || std::abs(a[i] - b[i]) <= 1e-4 * (1 + std::abs(b[i]))));
  }
}

}  // namespace

TEST_CASE("relu hands NaN's gradient on", "[edge_gradients]") {
  for (const Device device : devices()) {
    const Values x{nan, -1, 0, -0.0, 1, infinity, -infinity};
    check_values(gradient(relu, x, device), {1, 0, 0, 0, 1, 1, 0});
    check_values(gradient(relu, x, device, Values(7, infinity)), {infinity, 0, 0, 0, infinity, infinity, 0});
    check_values(gradient(relu, x, device, Values(7, nan)), {nan, 0, 0, 0, nan, nan, 0});
  }
}

TEST_CASE("maximum and minimum hand NaN's gradient to both", "[edge_gradients]") {
  const Values a{nan, nan, 1, 1, 2, infinity, infinity, 0}, b{nan, 1, nan, 1, 1, infinity, 1, -0.0};
  for (const Device device : devices()) {
    for (const DType dtype : {DType::float32, DType::float64}) {
      const auto gradients = [&](const auto& op) {
        const Tensor x = tensor(a, device).to(dtype).set_requires_grad();
        const Tensor z = tensor(b, device).to(dtype).set_requires_grad();
        op(x, z).sum().backward();
        return std::pair(x.grad().template to_vector<double>(), z.grad().template to_vector<double>());
      };
      const auto larger = gradients(maximum), smaller = gradients(minimum);
      check_values(larger.first, {1, 1, 1, 0.5, 1, 0.5, 1, 0.5});
      check_values(larger.second, {1, 1, 1, 0.5, 0, 0.5, 0, 0.5});
      check_values(smaller.first, {1, 1, 1, 0.5, 0, 0.5, 0, 0.5});
      check_values(smaller.second, {1, 1, 1, 0.5, 1, 0.5, 1, 0.5});
    }
  }
}

TEST_CASE("what a comparison takes away may be infinite", "[edge_gradients]") {
  for (const Device device : devices()) {
    const Tensor zero = zeros({}, {.dtype = DType::float64, .device = device});
    // The square root's slope at 0 is infinite.
    check_values(gradient([&](const Tensor& x) { return sqrt(maximum(x, zero)); }, {-1, 4}, device), {0, 0.25});
    check_values(gradient([&](const Tensor& x) { return sqrt(maximum(zero, x)); }, {-1, 0}, device), {0, infinity});
    check_values(gradient([&](const Tensor& x) { return sqrt(-minimum(x, zero)); }, {1, -4}, device), {0, -0.25});
    check_values(gradient([](const Tensor& x) { return sqrt(relu(x)); }, {-1, 4}, device), {0, 0.25});
    check_values(gradient([](const Tensor& x) { return log(relu(x)); }, {-1, 4}, device), {0, 0.25});
    check_values(gradient([](const Tensor& x) { return sqrt(max(x, 0).values); }, {0, -1}, device), {infinity, 0});
  }
}

TEST_CASE("cross_entropy with a class weight of infinity", "[edge_gradients]") {
  struct Case {
    Values weight;
    Reduction reduction;
    Values loss, gradient;
  };
  const Values plain{-0.90996947, 0.24472848, 0.66524094, 0.09003057, 0.24472848, -0.33475904};
  const Case cases[] = {
      {{1, infinity, 1}, Reduction::sum, {2.81521190}, plain},
      {{1, nan, 1}, Reduction::sum, {2.81521190}, plain},
      {{1, infinity, 1}, Reduction::none, {2.40760595, 0.40760595}, plain},
      {{infinity, 1, 1},
       Reduction::none,
       {infinity, 0.40760595},
       {nan, infinity, infinity, 0.09003057, 0.24472848, -0.33475904}},
      {{infinity, 1, 1}, Reduction::mean, {nan}, {nan, nan, nan, 0, 0, 0}},
  };
  for (const Device device : devices()) {
    for (const Case& c : cases) {
      CAPTURE(device, c.weight);
      const Tensor logits = tensor({1.0, 2.0, 3.0, 0.0, 1.0, 2.0}, device).reshape({2, 3}).detach().set_requires_grad();
      const Tensor loss = cross_entropy(logits, tensor<std::int64_t>({0, 2}, device),
                                        {.weight = tensor(c.weight, device), .reduction = c.reduction});
      loss.sum().backward();
      check_near(loss, tensor(c.loss));
      check_near(logits.grad(), tensor(c.gradient));
    }
  }
}

TEST_CASE("an ignored row has no gradient, even of an infinite one", "[edge_gradients]") {
  for (const Device device : devices()) {
    const auto ignoring = [&](Reduction reduction, std::int64_t second) {
      return [&, reduction, second](const Tensor& x) {
        return sqrt(
            cross_entropy(x.reshape({2, 2}), tensor<std::int64_t>({-100, second}, device), {.reduction = reduction}));
      };
    };
    // sqrt(log 2): the slope of the first row's, at 0, is infinite.
    const double slope = 0.25 / std::sqrt(std::log(2.0));
    const Values each = gradient(ignoring(Reduction::none, 0), {1, 2, 3, 3}, device);
    CHECK(each[0] == 0);
    CHECK(each[1] == 0);
    CHECK(each[2] == Approx(-slope));
    CHECK(each[3] == Approx(slope));
    check_values(gradient(ignoring(Reduction::sum, -100), {1, 2, 3, 3}, device), {0, 0, 0, 0});
    check_values(gradient(ignoring(Reduction::mean, -100), {1, 2, 3, 3}, device), {0, 0, 0, 0});
  }
}

TEST_CASE("fused activations hand NaN's gradient on as the ops do that they stand for", "[edge_gradients]") {
  for (const Device device : devices()) {
    for_each_case(6, [&](Random& random) {
      const DType dtype = random.pick({DType::float32, DType::float64});
      const Activation activation = random.pick({Activation::relu, Activation::relu, Activation::tanh});
      const std::int64_t N = random.integer(1, 3), C = random.integer(1, 9), H = random.integer(2, 9),
                         W = random.integer(2, 20);
      CAPTURE(device, dtype, N, C, H, W);
      const auto leaf = [&](const Shape& shape) {
        return random_tensor(random, shape, dtype, device).set_requires_grad();
      };
      const Tensor x = leaf({N, C, H, W}), filter = leaf({C, C, 3, 3}), weight = leaf({C}), flat = leaf({N * H, C}),
                   matrix = leaf({C, C});
      const Tensor bias = leaf({C}), residual = leaf({N, C, H, W});
      {
        NoGradGuard no_grad;
        bias[random.integer(0, C - 1)].fill_(nan);  // of values, of which none is in a gradient
        residual[0].select(0, C - 1).select(0, H - 1).fill_(nan);
        residual[0].select(0, 0).select(0, 0).fill_(infinity);
      }
      const Tensor mean = random_tensor(random, {C}, dtype, device), var = pow(mean, 2) + 0.5;
      const auto check_pair = [&](const char* name, const Tensor& fused, const Tensor& composed,
                                  const std::vector<Tensor>& leaves) {
        INFO(name);
        const Tensor dy = random_tensor(random, fused.shape(), dtype, device);
        std::vector<Tensor> grads;
        for (const Tensor& y : {fused, composed}) {
          for (const Tensor& l : leaves) l.set_grad({});
          y.backward(dy);
          for (const Tensor& l : leaves) grads.push_back(l.grad());
        }
        for (std::size_t i = 0; i < leaves.size(); ++i) {
          INFO("input " << i);
          check_near(grads[i], grads[leaves.size() + i]);
        }
      };
      check_pair("linear", linear(flat, matrix, bias, activation), activate(linear(flat, matrix, bias), activation),
                 {flat, matrix, bias});
      const Conv2dOptions padded{.padding = 1};
      check_pair("conv2d_max_pool2d", conv2d_max_pool2d(x, filter, bias, padded, 2, activation),
                 activate(max_pool2d(conv2d(x, filter, bias, padded), 2), activation), {x, filter, bias});
      check_pair("conv2d and activation", conv2d_max_pool2d(x, filter, bias, padded, 1, activation),
                 activate(conv2d(x, filter, bias, padded), activation), {x, filter, bias});
      for (const bool training : {false, true}) {
        BatchNorm2dOptions options{.training = training};
        const Tensor plain = batch_norm2d(x, mean.clone(), var.clone(), weight, bias, options);
        options.activation = activation;
        check_pair("batch_norm2d", batch_norm2d(x, mean.clone(), var.clone(), weight, bias, options),
                   activate(plain, activation), {x, weight, bias});
        for (const std::int64_t kernel : {2, 1}) {
          check_pair(
              "batch_norm2d_max_pool2d",
              batch_norm2d_max_pool2d(x, mean.clone(), var.clone(), weight, bias, options, kernel),
              activate(
                  max_pool2d(batch_norm2d(x, mean.clone(), var.clone(), weight, bias, {.training = training}), kernel),
                  activation),
              {x, weight, bias});
        }
        check_pair("conv2d_batch_norm2d_max_pool2d",
                   conv2d_batch_norm2d_max_pool2d(x, filter, bias, padded, mean.clone(), var.clone(), weight, bias,
                                                  options, 2),
                   batch_norm2d_max_pool2d(conv2d(x, filter, bias, padded), mean.clone(), var.clone(), weight, bias,
                                           options, 2),
                   {x, filter, weight, bias});
        const Tensor sound = bias.detach().clone();
        sound.fill_(0.5);
        const Tensor before = batch_norm2d(x, mean.clone(), var.clone(), weight, sound, {.training = training});
        options.residual = residual;
        check_pair("batch_norm2d with residual", batch_norm2d(x, mean.clone(), var.clone(), weight, sound, options),
                   activate(before + residual, activation), {x, weight, residual});
      }
    });
  }
}

}  // namespace tern::test
