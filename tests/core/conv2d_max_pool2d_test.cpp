#include "support.hpp"

#include <tern/core/autograd.hpp>
#include <tern/core/ops.hpp>

namespace tern::test {

namespace {

/// x, w and bias, then what they give, and their gradients.
struct Layer {
  std::vector<Tensor> inputs = {};
  Conv2dOptions options;
  HeightWidth kernel = 1;
  Activation activation = Activation::none;
};

Layer random_layer(Random& random, Device device, DType dtype) {
  Layer layer{.options = {.stride = {random.integer(1, 2), random.integer(1, 2)},
                          .padding = random.integer(0, 2),
                          .dilation = {1, random.integer(1, 2)},
                          .groups = random.integer(1, 2)},
              .kernel = {random.integer(1, 3), random.integer(1, 4)},
              .activation = random.pick({Activation::none, Activation::tanh, Activation::relu})};
  if (random.chance(0.4)) layer.options = {.padding = 1};
  const std::int64_t groups = layer.options.groups, C = groups * random.integer(1, 4),
                     K = groups * random.integer(1, 9);
  const Shape shapes[] = {
      {random.integer(1, 3), C, random.integer(10, 20), random.integer(12, 20)}, {K, C / groups, 3, 3}, {K}};
  for (const Shape& shape : shapes) layer.inputs.push_back(random_tensor(random, shape, dtype, device));
  return layer;
}

/// The output of f, and the gradients of all inputs that f's tensors need one for.
template <class F>
std::vector<Tensor> run(const Layer& layer, const std::vector<bool>& needed, F f) {
  std::vector<Tensor> leaves;
  for (std::size_t i = 0; i < layer.inputs.size(); ++i) {
    leaves.push_back(layer.inputs[i].clone().set_requires_grad(needed[i]));
  }
  const Tensor y = f(leaves);
  std::vector<Tensor> results{y.detach()};
  if (y.requires_grad()) (y * y + y).sum().backward();
  for (const Tensor& leaf : leaves) results.push_back(leaf.grad());
  return results;
}

std::vector<Tensor> fused(const Layer& l, const std::vector<bool>& needed) {
  return run(l, needed, [&](const std::vector<Tensor>& x) {
    return conv2d_max_pool2d(x[0], x[1], x[2], l.options, l.kernel, l.activation);
  });
}

std::vector<Tensor> composed(const Layer& l, const std::vector<bool>& needed) {
  return run(l, needed, [&](const std::vector<Tensor>& x) {
    const Tensor y = max_pool2d(conv2d(x[0], x[1], x[2], l.options), l.kernel);
    return l.activation == Activation::tanh ? tanh(y) : l.activation == Activation::relu ? relu(y) : y;
  });
}

}  // namespace

TEST_CASE("conv2d_max_pool2d is the three ops that it stands for, gradients included", "[conv2d][pool2d]") {
  for (const Device device : devices()) {
    for (const DType dtype : {DType::float32, DType::float64}) {
      INFO(device << ", " << dtype);
      for_each_case(20, [&](Random& random) {
        const Layer layer = random_layer(random, device, dtype);
        const std::vector<bool> needed{random.chance(0.7), random.chance(0.7), random.chance(0.7)};
        CAPTURE(layer.inputs[0].shape(), layer.inputs[1].shape(), layer.kernel.h, layer.kernel.w);
        const std::vector<Tensor> got = fused(layer, needed), want = composed(layer, needed);
        check_equal(got[0], want[0]);
        for (std::size_t i = 1; i < got.size(); ++i) {
          CHECK(got[i].defined() == want[i].defined());
          if (got[i].defined()) check_equal(got[i], want[i]);
        }
      });
    }
  }
}

TEST_CASE("windows with more places than a byte can name are pooled by max_pool2d", "[conv2d][pool2d]") {
  for (const Device device : devices()) {
    for_each_case(2, [&](Random& random) {
      Layer layer = random_layer(random, device, DType::float64);
      layer.inputs[0] = random_tensor(random, {2, layer.inputs[0].size(1), 50, 60}, DType::float64, device);
      layer.kernel = {17, 16};
      const std::vector<Tensor> got = fused(layer, {true, true, true}), want = composed(layer, {true, true, true});
      for (std::size_t i = 0; i < got.size(); ++i) check_equal(got[i], want[i]);
    });
  }
}

TEST_CASE("what conv2d_max_pool2d refuses", "[conv2d][pool2d]") {
  const Tensor x = zeros({1, 2, 6, 5}), w = zeros({3, 2, 3, 3});
  const auto error = [&](HeightWidth kernel) { return message_of([&] { conv2d_max_pool2d(x, w, {}, {}, kernel); }); };
  CHECK(conv2d_max_pool2d(x, w, {}, {}, {4, 3}).shape() == Shape{1, 3, 1, 1});
  CHECK(error({5, 3}) == "conv2d_max_pool2d: kernel [5, 3], expected 1 to what it pools, [4, 3]");
  CHECK(error({1, 0}) == "conv2d_max_pool2d: kernel [1, 0], expected 1 to what it pools, [4, 3]");
  CHECK(message_of([&] {
          conv2d_max_pool2d(x, zeros({3, 1, 3, 3}), {}, {}, 2);
        }) == "conv2d: input [1, 2, 6, 5] has 2 channels, weight [3, 1, 3, 3] wants 1");
}

}  // namespace tern::test
