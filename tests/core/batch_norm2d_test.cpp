#include "support.hpp"

#include <tern/core/ops.hpp>

#include <cmath>
#include <limits>

namespace tern::test {

namespace {

constexpr Activation activations[] = {Activation::none, Activation::tanh, Activation::relu};

struct Inputs {
  Tensor x, weight, bias, residual, running_mean, running_var, num_batches;

  Inputs(Random& random, const Shape& shape, DType dtype, Device device) {
    const std::int64_t n = shape.numel(), C = shape[1];
    std::vector<double> values = random.chance(0.5) ? random.ties<double>(n) : random.between<double>(n, -2, 2);
    if (random.chance(0.2)) random.spoil(values, 0.005);
    if (random.chance(0.2)) {  // small beside the mean: what differs in x may be equal once it is normalised
      for (double& v : values) v = random.chance(0.3) ? v * 1e-6 : v + 40;
    }
    std::vector<double> w = random.between<double>(C, -2, 2), b = random.between<double>(C, -2, 2);
    for (double& v : w) {
      if (random.chance(0.5))
        v = random.pick({0.0, -0.0, 1e-30, -1e-7, 1e-3, std::numeric_limits<double>::quiet_NaN()});
    }
    for (double& v : b) {
      if (random.chance(0.3)) v = random.pick({0.0, 50.0, 1000.0});
    }
    const auto on_device = [&](const std::vector<double>& v, const Shape& of) {
      return tensor(v).reshape(of).to(dtype).to(device).clone();
    };
    x = on_device(values, shape).set_requires_grad();
    weight = on_device(w, {C}).set_requires_grad();
    bias = on_device(b, {C}).set_requires_grad();
    residual = on_device(random.between<double>(n, -2, 2), shape).set_requires_grad();
    running_mean = on_device(random.between<double>(C, -1, 1), {C});
    running_var = on_device(random.between<double>(C, 0.5, 2), {C});
    num_batches = tensor<std::int64_t>({41}, device);
  }

  BatchNorm2dOptions options(bool training, Activation activation, bool adds) const {
    return {.training = training,
            .eps = 1e-3,
            .activation = activation,
            .residual = adds ? residual : Tensor(),
            .num_batches_tracked = num_batches};
  }

  /// y, the gradients of its product with dy, and what has moved.
  std::vector<Tensor> results(const Tensor& y, const Tensor& dy) const {
    y.backward(dy);
    std::vector<Tensor> all{y.detach()};
    for (const Tensor& t : {x, weight, bias, residual}) {
      all.push_back(t.grad().defined() ? t.grad().clone() : Tensor());
    }
    for (const Tensor& t : {running_mean, running_var, num_batches}) all.push_back(t.clone());
    return all;
  }
};

/// The output bit by bit, the rest but for the order of sums.
void check_results(const std::vector<Tensor>& want, const std::vector<Tensor>& got, double tolerance) {
  REQUIRE(want.size() == got.size());
  CHECK(first_difference(want[0].to_vector<double>(), got[0].to_vector<double>()) == "");
  for (std::size_t i = 1; i < want.size(); ++i) {
    REQUIRE(want[i].defined() == got[i].defined());
    if (!want[i].defined()) continue;
    const std::vector<double> a = want[i].to_vector<double>(), b = got[i].to_vector<double>();
    REQUIRE(a.size() == b.size());
    double largest = i == 2 || i == 3 ? 1 : 1e-3;  // by weight and bias: sums, which cancel
    for (const double v : a) {
      if (std::isfinite(v)) largest = std::max(largest, std::abs(v));
    }
    for (std::size_t j = 0; j < a.size(); ++j) {
      INFO("result " << i << ", element " << j << ": " << b[j] << ", expected " << a[j]);
      CHECK((same(a[j], b[j]) || std::abs(a[j] - b[j]) <= tolerance * largest));
    }
  }
}

}  // namespace

TEST_CASE("batch_norm2d with residual and activation is the ops it stands for", "[batch_norm2d]") {
  for (const Device device : devices()) {
    for_each_case(60, [&](Random& random) {
      const DType dtype = random.pick({DType::float32, DType::float64});
      const Shape shape{random.integer(2, 4), random.integer(1, 4), random.integer(1, 9), random.integer(1, 9)};
      const std::uint64_t seed = random.integer(0, 1'000'000);
      const Activation activation = random.pick({Activation::none, Activation::tanh, Activation::relu});
      const bool training = random.chance(0.6), adds = random.chance(0.6);
      INFO(device << ", " << dtype << ", " << shape << ", activation " << static_cast<int>(activation) << ", training "
                  << training << ", residual " << adds);
      const Tensor dy = tensor(random.between<double>(shape.numel(), -2, 2)).reshape(shape).to(dtype).to(device);
      Random first(seed, 0), second(seed, 0);
      const Inputs one(first, shape, dtype, device), other(second, shape, dtype, device);
      const Tensor y = batch_norm2d(one.x, one.running_mean, one.running_var, one.weight, one.bias,
                                    one.options(training, activation, adds));
      Tensor composed = batch_norm2d(other.x, other.running_mean, other.running_var, other.weight, other.bias,
                                     other.options(training, Activation::none, false));
      if (adds) composed = composed + other.residual;
      check_results(other.results(activate(composed, activation), dy), one.results(y, dy),
                    dtype == DType::float32 ? 1e-5 : 1e-12);
    });
  }
}

TEST_CASE("batch_norm2d_max_pool2d is the ops it stands for", "[batch_norm2d][pool2d]") {
  for (const Device device : devices()) {
    for_each_case(150, [&](Random& random) {
      const DType dtype = random.chance(0.8) ? DType::float32 : DType::float64;
      const Shape shape{random.integer(2, 4), random.integer(1, 4), random.integer(2, 24), random.integer(2, 40)};
      const std::uint64_t seed = random.integer(0, 1'000'000);
      const Activation activation = random.pick({Activation::none, Activation::tanh, Activation::relu});
      const HeightWidth kernel = random.chance(0.7) ? HeightWidth(2) : HeightWidth(random.integer(1, 2), 2);
      Pool2dOptions pool;
      if (random.chance(0.2)) pool.stride = HeightWidth(1);
      INFO(device << ", " << dtype << ", " << shape << ", activation " << static_cast<int>(activation) << ", kernel "
                  << kernel.h << " x " << kernel.w << (pool.stride ? ", stride 1" : ""));
      Random first(seed, 0), second(seed, 0);
      const Inputs one(first, shape, dtype, device), other(second, shape, dtype, device);
      const Tensor y = batch_norm2d_max_pool2d(one.x, one.running_mean, one.running_var, one.weight, one.bias,
                                               one.options(true, activation, false), kernel, pool);
      const Tensor normalised = batch_norm2d(other.x, other.running_mean, other.running_var, other.weight, other.bias,
                                             other.options(true, Activation::none, false));
      const Tensor composed = activate(max_pool2d(normalised, kernel, pool), activation);
      const Tensor dy = tensor(random.between<double>(y.numel(), -2, 2)).reshape(y.shape()).to(dtype).to(device);
      check_results(other.results(composed, dy), one.results(y, dy), dtype == DType::float32 ? 1e-5 : 1e-12);
    });
  }
}

TEST_CASE("conv2d_batch_norm2d_max_pool2d is the ops it stands for, bit by bit", "[conv2d][batch_norm2d][pool2d]") {
  for (const Device device : devices()) {
    for_each_case(80, [&](Random& random) {
      const DType dtype = random.pick({DType::float32, DType::float32, DType::float64, DType::bfloat16});
      const std::int64_t C = random.integer(1, 4), K = random.integer(1, 9);
      const Shape shape{random.integer(2, 4), C, random.integer(7, 24), random.integer(7, 36)};
      const bool training = random.chance(0.8), of_x = random.chance(0.4), has_bias = random.chance(0.5),
                 affine = random.chance(0.7), retain = random.chance(0.3), same = random.chance(0.1);
      Conv2dOptions conv{.stride = same ? 1 : random.integer(1, 2)};
      if (same)
        conv.padding = "same";
      else
        conv.padding = random.integer(0, 2);
      const Activation activation = random.pick({Activation::none, Activation::tanh, Activation::relu});
      const HeightWidth kernel = random.chance(0.7) ? HeightWidth(2) : HeightWidth(random.integer(1, 2), 1);
      INFO(device << ", " << dtype << ", " << shape << " to " << K << ", training " << training << ", of x " << of_x
                  << ", bias " << has_bias << ", affine " << affine << ", kernel " << kernel.h << " x " << kernel.w);
      const auto seed = static_cast<std::uint64_t>(random.integer(0, 1'000'000));
      const auto results = [&](bool fused) {
        Random r(seed, 0);
        const auto make = [&](const Shape& of, bool learned) {
          return random_tensor(r, of, dtype, device).clone().set_requires_grad(learned);
        };
        const Tensor x = make(shape, of_x), w = make({K, C, 3, 3}, true), b = make({K}, true), weight = make({K}, true),
                     bias = make({K}, true), mean = make({K}, false), var = ones_like(mean),
                     count = zeros({}, {.dtype = DType::int64, .device = device});
        const Tensor no_bias = has_bias ? b : Tensor(), gain = affine ? weight : Tensor(),
                     shift = affine ? bias : Tensor();
        const BatchNorm2dOptions o{.training = training, .activation = activation, .num_batches_tracked = count};
        const Tensor y = fused
                             ? conv2d_batch_norm2d_max_pool2d(x, w, no_bias, conv, mean, var, gain, shift, o, kernel)
                             : batch_norm2d_max_pool2d(conv2d(x, w, no_bias, conv), mean, var, gain, shift, o, kernel);
        const Tensor dy = random_tensor(r, y.shape(), dtype, device);
        if (retain) y.backward(dy, true);
        y.backward(dy);
        std::vector<Tensor> all{y.detach(), mean, var, count};
        for (const Tensor& t : {x, w, b, weight, bias}) all.push_back(t.grad());
        return all;
      };
      const std::vector<Tensor> want = results(false), got = results(true);
      for (std::size_t i = 0; i < want.size(); ++i) {
        INFO("result " << i);
        REQUIRE(want[i].defined() == got[i].defined());
        if (want[i].defined()) {
          CHECK(first_difference(want[i].to_vector<double>(), got[i].to_vector<double>()) == "");
        }
      }
    });
    const Tensor none = zeros({0, 2, 6, 6}, {.device = device}), filter = ones({3, 2, 3, 3}, {.device = device});
    CHECK(conv2d_batch_norm2d_max_pool2d(none, filter, {}, {}, {}, {}, {}, {}, {.training = true}, 2).shape() ==
          Shape{0, 3, 2, 2});
  }
}

TEST_CASE("batch norm of no elements answers, as PyTorch does", "[batch_norm2d]") {
  for (const Device device : devices()) {
    INFO(device);
    for (const Shape& shape : {Shape{0, 3, 2, 2}, Shape{2, 3, 0, 2}, Shape{2, 0, 2, 2}}) {
      for (const bool training : {true, false}) {
        for (const Activation activation : activations) {
          const std::int64_t C = shape[1];
          const TensorOptions like{.device = device};
          const Tensor x = zeros(shape, like).set_requires_grad(), weight = ones({C}, like).set_requires_grad(),
                       mean = full({C}, 0.25, like), var = full({C}, 0.5, like),
                       count = zeros({}, {.dtype = DType::int64, .device = device});
          const Tensor y = batch_norm2d(
              x, mean, var, weight, {},
              {.training = training, .activation = activation, .residual = x, .num_batches_tracked = count});
          CHECK(y.shape() == shape);
          y.sum().backward();
          CHECK(x.grad().shape() == shape);
          check_equal(weight.grad(), zeros({C}));
          check_equal(mean, full({C}, 0.25));
          check_equal(var, full({C}, 0.5));
          CHECK(count.item<std::int64_t>() == (training ? 1 : 0));
        }
      }
    }
    const Tensor no_images = zeros({0, 2, 4, 4}, {.device = device});
    CHECK(batch_norm2d_max_pool2d(no_images, {}, {}, {}, {}, {.training = true}, 2).shape() == Shape{0, 2, 2, 2});
  }
}

TEST_CASE("batch_norm of any shape is that of its images", "[batch_norm2d]") {
  for (const Device device : devices()) {
    for_each_case(20, [&](Random& random) {
      Shape shape{random.integer(2, 4), random.integer(1, 3)};
      for (std::int64_t d = random.integer(0, 3); d > 0; --d) shape.push_back(random.integer(1, 4));
      Shape images{shape[0], shape[1], shape.numel() / (shape[0] * shape[1]), 1};
      const std::uint64_t seed = random.integer(0, 1'000'000);
      const bool training = random.chance(0.5);
      INFO(device << ", " << shape << ", training " << training);
      Random first(seed, 0), second(seed, 0);
      const Inputs one(first, shape, DType::float32, device), other(second, images, DType::float32, device);
      const Tensor dy = random_tensor(random, shape, DType::float32, device);
      const Tensor y = batch_norm(one.x, one.running_mean, one.running_var, one.weight, one.bias,
                                  one.options(training, Activation::relu, true));
      const Tensor want = batch_norm2d(other.x, other.running_mean, other.running_var, other.weight, other.bias,
                                       other.options(training, Activation::relu, true));
      CHECK(y.shape() == shape);
      check_results(other.results(want, dy.reshape(images)), one.results(y, dy), 0);
    });
  }
}

TEST_CASE("batch norm without a momentum has the mean of all batches' statistics", "[batch_norm2d]") {
  for (const Device device : devices()) {
    for_each_case(10, [&](Random& random) {
      const std::int64_t C = random.integer(1, 40);
      const bool pools = random.chance(0.5);
      INFO(device << ", " << C << " channels, pooled " << pools);
      const TensorOptions like{.dtype = DType::float64, .device = device};
      const Tensor mean = zeros({C}, like), var = ones({C}, like), count = zeros({}, {DType::int64, device});
      std::vector<double> means(C), vars(C);
      for (int batch = 1; batch <= 3; ++batch) {
        const Tensor x = random_tensor(random, {2, C, 2, 3}, DType::float64, device);
        const BatchNorm2dOptions options{.training = true, .momentum = {}, .num_batches_tracked = count};
        if (pools) {
          batch_norm2d_max_pool2d(x, mean, var, {}, {}, options, 2);
        } else {
          batch_norm2d(x, mean, var, {}, {}, options);
        }
        const Dense values(x);
        for (std::int64_t c = 0; c < C; ++c) {
          double sum = 0, squares = 0;
          for_each_index({2, 1, 2, 3}, [&](const Shape& i) { sum += values[{i[0], c, i[2], i[3]}]; });
          for_each_index({2, 1, 2, 3}, [&](const Shape& i) {
            squares += std::pow(values[{i[0], c, i[2], i[3]}] - sum / 12, 2);
          });
          means[c] += (sum / 12 - means[c]) / batch;
          vars[c] += (squares / 11 - vars[c]) / batch;
          CHECK(mean.to_vector<double>()[c] == Approx(means[c]).margin(1e-12));
          CHECK(var.to_vector<double>()[c] == Approx(vars[c]));
        }
        CHECK(count.item<std::int64_t>() == batch);
      }
    });
  }
}

TEST_CASE("what batch norm refuses", "[batch_norm2d]") {
  const Tensor x = zeros({2, 3, 2, 2});
  const auto error = [&](const BatchNorm2dOptions& options) {
    return message_of([&] { batch_norm2d(x, {}, {}, {}, {}, options); });
  };
  CHECK(error({.training = true, .residual = zeros({2, 3, 2, 1})}) ==
        "batch_norm2d: residual [2, 3, 2, 1], expected the input's [2, 3, 2, 2]");
  CHECK(error({.training = true, .residual = zeros({2, 3, 2, 2}, {.dtype = DType::float64})}) ==
        "batch_norm2d: tensors of float32 and float64, expected one dtype");
  CHECK(error({.training = true, .num_batches_tracked = zeros({2}, {.dtype = DType::int64})}) ==
        "batch_norm2d: num_batches_tracked [2] of int64, expected one int64");
  CHECK(error({.training = true, .num_batches_tracked = zeros({})}) ==
        "batch_norm2d: num_batches_tracked [] of float32, expected one int64");
  CHECK(message_of([] {
          batch_norm2d(zeros({1, 3, 1, 1}), {}, {}, {}, {}, {.training = true});
        }) == "batch_norm2d: input [1, 3, 1, 1] has one value a channel, expected more in training");
  CHECK(message_of([] {
          batch_norm(zeros({1, 3}), {}, {}, {}, {}, {.training = true});
        }) == "batch_norm: input [1, 3] has one value a channel, expected more in training");
  CHECK(message_of([] { batch_norm(zeros({3}), {}, {}, {}, {}, {.training = true}); }) ==
        "batch_norm: input [3], expected [N, C, ...] of two to five dimensions");
  CHECK(message_of([&] { batch_norm2d(x, zeros({3}), zeros({3}), {}, {}, {.training = true, .momentum = {}}); }) ==
        "batch_norm2d: no momentum and no num_batches_tracked, expected one of them");
  CHECK(message_of([&] { batch_norm2d_max_pool2d(x, {}, {}, {}, {}, {.training = true, .residual = x}, 2); }) ==
        "batch_norm2d_max_pool2d: given a residual, expected none");
  const Tensor w = ones({x.size(1), x.size(1), 1, 1});
  CHECK(message_of([&] {
          conv2d_batch_norm2d_max_pool2d(x, w, {}, {}, {}, {}, {}, {}, {.training = true, .residual = x}, 2);
        }) == "conv2d_batch_norm2d_max_pool2d: given a residual, expected none");
  CHECK(message_of([&] {
          conv2d_batch_norm2d_max_pool2d({}, w, {}, {}, {}, {}, {}, {}, {.training = true}, 2);
        }).starts_with("conv2d_batch_norm2d_max_pool2d: "));
}

}  // namespace tern::test
