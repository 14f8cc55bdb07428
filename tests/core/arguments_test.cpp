#include "support.hpp"

#include <tern/core/ops.hpp>

#include <cmath>
#include <functional>
#include <limits>

/// What ops say of arguments that are none.

namespace tern::test {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();

struct Call {
  std::string message;
  std::function<void()> call;
};

}  // namespace

TEST_CASE("an undefined tensor is named by every op that gets it", "[arguments]") {
  const Tensor none, x = ones({2, 3}), images = ones({2, 3, 4, 4}), w = ones({3, 3, 1, 1}), c = ones({3});
  const Tensor target = arange(2), into = zeros({2, 3});
  using Unary = Tensor (*)(const Tensor&);
  using Binary = Tensor (*)(const Tensor&, const Tensor&);
  std::vector<Call> calls;
  const auto add = [&](const std::string& op, const std::string& argument, std::function<void()> call) {
    calls.push_back({op + ": " + argument + " is undefined, expected a tensor", std::move(call)});
  };
  for (const auto& [op, f] : std::vector<std::pair<const char*, Unary>>{{"neg", neg},
                                                                        {"exp", exp},
                                                                        {"log", log},
                                                                        {"sqrt", sqrt},
                                                                        {"tanh", tanh},
                                                                        {"relu", relu},
                                                                        {"sigmoid", sigmoid},
                                                                        {"sum", sum},
                                                                        {"mean", mean},
                                                                        {"max", max},
                                                                        {"argmax", argmax},
                                                                        {"neg", operator-},
                                                                        {"empty_like", empty_like},
                                                                        {"zeros_like", zeros_like},
                                                                        {"ones_like", ones_like}}) {
    add(op, "x", [f = f, none] { f(none); });
  }
  for (const auto& [op, f] : std::vector<std::pair<const char*, Binary>>{{"add", tern::add},
                                                                         {"sub", sub},
                                                                         {"mul", mul},
                                                                         {"div", div},
                                                                         {"maximum", maximum},
                                                                         {"minimum", minimum},
                                                                         {"eq", eq},
                                                                         {"ne", ne},
                                                                         {"lt", lt},
                                                                         {"le", le},
                                                                         {"gt", gt},
                                                                         {"ge", ge},
                                                                         {"matmul", matmul}}) {
    add(op, "a", [f = f, none, x] { f(none, x); });
    add(op, "b", [f = f, none, x] { f(x, none); });
  }
  add("pow", "x", [&] { pow(none, 2); });
  for (const Activation a : {Activation::none, Activation::tanh, Activation::relu})
    add("activate", "x", [&, a] { activate(none, a); });
  add("sum", "x", [&] { sum(none, {0}); });
  add("mean", "x", [&] { mean(none, {0}); });
  add("max", "x", [&] { max(none, 0); });
  add("argmax", "x", [&] { argmax(none, 0); });
  add("softmax", "x", [&] { softmax(none, 0); });
  add("log_softmax", "x", [&] { log_softmax(none, 0); });
  add("sum_of_squares", "tensor 1", [&] { sum_of_squares({x, none}); });
  add("cat", "tensor 0", [&] { cat({none, x}); });
  add("stack", "tensor 1", [&] { stack({x, none}); });
  add("index_select", "x", [&] { index_select(none, 0, target); });
  add("index_select", "index", [&] { index_select(x, 0, none); });
  add("linear", "x", [&] { linear(none, ones({4, 3})); });
  add("linear", "weight", [&] { linear(x, none); });
  add("conv2d", "x", [&] { conv2d(none, w); });
  add("conv2d", "weight", [&] { conv2d(images, none); });
  add("conv2d_max_pool2d", "x", [&] { conv2d_max_pool2d(none, w, none, {}, 2); });
  add("conv2d", "weight", [&] { conv2d_max_pool2d(images, none, none, {}, 2); });
  add("max_pool2d", "x", [&] { max_pool2d(none, 2); });
  add("max_pool2d", "x", [&] { max_pool2d_with_indices(none, 2); });
  add("avg_pool2d", "x", [&] { avg_pool2d(none, 2); });
  add("conv_transpose2d", "x", [&] { conv_transpose2d(none, w); });
  add("conv_transpose2d", "weight", [&] { conv_transpose2d(images, none); });
  add("conv1d", "x", [&] { conv1d(none, w); });
  add("conv_transpose1d", "weight", [&] { conv_transpose1d(images, none); });
  add("max_pool1d", "x", [&] { max_pool1d(none, 2); });
  add("avg_pool1d", "x", [&] { avg_pool1d(none, 2); });
  add("adaptive_avg_pool2d", "x", [&] { adaptive_avg_pool2d(none, 2); });
  add("adaptive_max_pool2d", "x", [&] { adaptive_max_pool2d(none, 2); });
  add("interpolate", "x", [&] { interpolate(none, {.size = 2}); });
  add("pixel_shuffle", "x", [&] { pixel_shuffle(none, 2); });
  add("pixel_unshuffle", "x", [&] { pixel_unshuffle(none, 2); });
  add("dropout", "x", [&] { dropout(none); });
  add("dropout2d", "x", [&] { dropout2d(none); });
  add("batch_norm2d", "x", [&] { batch_norm2d(none, c, c); });
  for (const bool training : {false, true}) {
    add("batch_norm2d", "x", [&, training] { batch_norm2d_max_pool2d(none, c, c, c, c, {.training = training}, 2); });
    add("conv2d_batch_norm2d_max_pool2d", "x",
        [&, training] { conv2d_batch_norm2d_max_pool2d(none, x, none, {}, c, c, c, c, {.training = training}, 2); });
  }
  add("cross_entropy", "logits", [&] { cross_entropy(none, target); });
  add("cross_entropy", "target", [&] { cross_entropy(x, none); });
  add("mse_loss", "x", [&] { mse_loss(none, x); });
  add("mse_loss", "target", [&] { mse_loss(x, none); });
  add("uniform_", "x", [&] { uniform_(none, 0, 1); });
  add("normal_", "x", [&] { normal_(none, 0, 1); });
  add("add_", "the other tensor", [&] { into.add_(none); });
  add("sub_", "the other tensor", [&] { into.sub_(none); });
  add("mul_", "the other tensor", [&] { into.mul_(none); });
  add("div_", "the other tensor", [&] { into.div_(none); });
  add("copy_", "the other tensor", [&] { into.copy_(none); });
  add("add_", "the tensor to be changed", [&] { none.add_(x); });
  add("fill_", "the tensor to be changed", [&] { none.fill_(1); });
  add("copy_", "the tensor to be changed", [&] { none.copy_(x); });
  add("backward", "gradient", [&] { ones({2}, {.requires_grad = true}).backward(none); });
  for (const Call& call : calls) CHECK(message_of(call.call) == call.message);
  for (const auto& call : std::initializer_list<std::function<void()>>{
           [&] { none + 2; }, [&] { 2 - none; }, [&] { none / 2.5; }, [&] { 1 / none; }, [&] { eq(none, 2); }}) {
    CHECK(message_of(call).find("the tensor with which ") == 0);
  }
}

TEST_CASE("numbers that cannot be are refused before a random number is drawn", "[arguments]") {
  Generator generator(3);
  const kernels::PhiloxState before = generator.state();
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const std::int64_t n : {0, 3}) {
      const Tensor x = zeros({n}, {.dtype = dtype});
      // torch 1.13: "normal expects std >= 0.0, but found std nan"
      for (const double std : {-1.0, -infinity, nan}) CHECK_THROWS_AS(normal_(x, 0, std, generator), Error);
      const double most =
          dtype == DType::float32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
      for (const auto& [low, high] : std::vector<std::pair<double, double>>{
               {2, 1}, {nan, 1}, {0, nan}, {0, infinity}, {-infinity, 0}, {-most, most}, {0, most * 1.01}}) {
        CAPTURE(low, high);
        CHECK_THROWS_AS(uniform_(x, low, high, generator), Error);
      }
      CHECK(x.to_vector<double>() == std::vector<double>(static_cast<std::size_t>(n), 0));
    }
  }
  CHECK(generator.state().offset == before.offset);
  const Tensor x = zeros({3});
  uniform_(x, 2, 2, generator);
  CHECK(x.to_vector<double>() == std::vector<double>{2, 2, 2});
  normal_(x, 5, 0, generator);
  CHECK(x.to_vector<double>() == std::vector<double>{5, 5, 5});
  CHECK(message_of([&] { normal_(x, 0, -1); }) == "normal_: standard deviation -1, expected 0 or more");

  const Tensor images = ones({2, 3, 4, 4}), c = ones({3});
  for (const double p : {-0.1, 1.5, nan}) {
    for (const bool training : {false, true}) {
      CHECK_THROWS_AS(dropout(images, p, training), Error);
      CHECK_THROWS_AS(dropout2d(images, p, training), Error);
    }
    CHECK_THROWS_AS(cross_entropy(ones({2, 3}), arange(2), {.label_smoothing = p}), Error);
  }
  for (const auto& [momentum, eps] :
       std::vector<std::pair<double, double>>{{0.1, -1}, {0.1, nan}, {nan, 0.1}, {infinity, 0.1}, {0.1, infinity}}) {
    for (const bool training : {false, true}) {
      const BatchNorm2dOptions options{.training = training, .momentum = momentum, .eps = eps};
      CHECK_THROWS_AS(batch_norm2d(images, c, c, {}, {}, options), Error);
      CHECK_THROWS_AS(batch_norm2d_max_pool2d(images, c, c, {}, {}, options, 2), Error);
      CHECK_THROWS_AS(conv2d_batch_norm2d_max_pool2d(images, ones({3, 3, 1, 1}), {}, {}, c, c, {}, {}, options, 2),
                      Error);
    }
  }
  CHECK(c.to_vector<double>() == std::vector<double>{1, 1, 1});
}

}  // namespace tern::test
