#include "models.hpp"

#include <core/support.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/generator.hpp>
#include <tern/layers/attention.hpp>
#include <tern/layers/layers.hpp>
#include <tern/layers/losses.hpp>
#include <tern/layers/recurrent.hpp>
#include <tern/layers/transformer.hpp>
#include <tern/optim/optimizer.hpp>

#include <cmath>
#include <limits>

namespace tern::test {

namespace {

std::vector<std::string> names(const std::vector<std::pair<std::string, Tensor>>& named) {
  std::vector<std::string> all;
  for (const auto& [name, x] : named) all.push_back(name);
  return all;
}

std::vector<std::string> names(const StateDict& state) {
  std::vector<std::string> all;
  for (const auto& [name, x] : state) all.push_back(name);
  return all;
}

std::map<std::string, std::vector<double>> values(const StateDict& state) {
  std::map<std::string, std::vector<double>> all;
  for (const auto& [name, x] : state) all[name] = x.to_vector<double>();
  return all;
}

StateDict filled(const StateDict& state, double value) {
  StateDict other;
  for (const auto& [name, x] : state) other[name] = full(x.shape(), value, {.dtype = x.dtype()});
  return other;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("Linear with an activation is both, in one op or, where a hook looks in between, in two", "[layers]") {
  Linear fc(5, 3);
  const Tensor x = rand({4, 5});
  for (const Activation activation : {Activation::none, Activation::tanh, Activation::relu}) {
    const Tensor plain = fc(x), y = fc(x, activation);
    const Tensor want = activation == Activation::tanh   ? tanh(plain)
                        : activation == Activation::relu ? relu(plain)
                                                         : plain;
    CHECK(y.grad_node()->name == std::string("linear"));
    const std::vector<float> a = y.to_vector<float>(), b = want.to_vector<float>();
    for (std::size_t i = 0; i < a.size(); ++i) CHECK(a[i] == Approx(b[i]).epsilon(1e-6));

    Linear watched(5, 3);
    watched.weight = fc.weight;
    watched.bias = fc.bias;
    Tensor seen;
    watched.register_forward_hook([&](Module&, const Tensor& output) { seen = output; });
    check_equal(watched(x, activation), want);
    check_equal(seen, plain);
  }
}

TEST_CASE("state_dict has PyTorch's names", "[module]") {
  Net net(32, true, 0.4);
  CHECK(names(net.named_parameters()) == Names{"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "fc1.weight",
                                               "fc1.bias", "fc2.weight", "fc2.bias", "conv1_batchnorm.weight",
                                               "conv1_batchnorm.bias", "conv2_batchnorm.weight",
                                               "conv2_batchnorm.bias"});
  CHECK(names(net.named_buffers()) == Names{"conv1_batchnorm.running_mean", "conv1_batchnorm.running_var",
                                            "conv1_batchnorm.num_batches_tracked", "conv2_batchnorm.running_mean",
                                            "conv2_batchnorm.running_var", "conv2_batchnorm.num_batches_tracked"});
  CHECK(net.state_dict().size() == 18);
  CHECK(net.state_dict().at("fc1.weight").is_same(net.fc1.weight));
  CHECK(net.num_parameters() == 32 * 27 + 32 + 16 * 288 + 16 + 1024 * 32 + 32 + 64 + 2 + 64 + 32);
  CHECK(net.parameters().size() == 12);
  CHECK(net.named_modules().size() == 8);

  Sequential s(Conv2d({.in_channels = 1, .out_channels = 2, .kernel_size = 3, .bias = false}), Tanh(),
               Sequential(Linear(2, 3), ReLU()));
  CHECK(names(s.state_dict()) == Names{"0.weight", "2.0.bias", "2.0.weight"});
}

TEST_CASE("a parameter under two names is one parameter", "[module]") {
  struct Tied : Module {
    Linear a{2, 2}, b{2, 2};
    Tied() { b.weight = a.weight; }
    Members members() override { return {.modules = {{"a", &a}, {"b", &b}}}; }
    Tensor forward(const Tensor& x) override { return b(a(x)); }
  } tied;
  CHECK(names(tied.named_parameters()) == Names{"a.weight", "a.bias", "b.bias"});
  CHECK(names(tied.state_dict()) == Names{"a.bias", "a.weight", "b.bias", "b.weight"});
  CHECK(tied.num_parameters() == 8);
  SGD(tied.parameters(), {.lr = 0.1});
  tied.to(DType::float64);
  CHECK(tied.a.weight.is_same(tied.b.weight));
  CHECK(tied.b.weight.dtype() == DType::float64);
}

TEST_CASE("load_state_dict", "[module]") {
  Net net(4, true);
  const StateDict all = filled(net.state_dict(), 3);
  const std::map<std::string, std::vector<double>> before = values(net.state_dict());
  const Tensor handle = net.conv1.weight;

  StateDict bad = all;
  bad["fc2.bias"] = zeros({3});
  CHECK(message_of([&] { net.load_state_dict(bad); }) ==
        "load_state_dict: 'fc2.bias' has shape [3], the model's has [2]");
  CHECK(message_of([&] { net.load_state_dict(bad, false); }) ==
        "load_state_dict: 'fc2.bias' has shape [3], the model's has [2]");
  bad["conv1.bias"] = {};
  bad["fc2.weight"] = zeros({1});
  bad.erase("fc1.bias");
  CHECK(message_of([&] { net.load_state_dict(bad, false); }) ==
        "load_state_dict: 'conv1.bias' is undefined, the model's has shape [4]; "
        "'fc2.bias' has shape [3], the model's has [2]; 'fc2.weight' has shape [1], the model's has [2, 32]");
  CHECK(message_of([&] { net.load_state_dict(bad); })
            .starts_with("load_state_dict: missing [fc1.bias], unexpected [], expected exactly the model's tensors; "
                         "'conv1.bias' is undefined, "));
  StateDict other = all;
  other.erase("fc1.bias");
  other.erase("fc2.bias");
  other["fc3.bias"] = zeros({2});
  CHECK(message_of([&] { net.load_state_dict(other); }) ==
        "load_state_dict: missing [fc1.bias, fc2.bias], unexpected [fc3.bias], expected exactly the model's tensors");
  CHECK(values(net.state_dict()) == before);

  const Module::LoadReport report = net.load_state_dict(other, false);
  CHECK(report.missing == Names{"fc1.bias", "fc2.bias"});
  CHECK(report.unexpected == Names{"fc3.bias"});
  CHECK(net.fc1.weight[0][0].item() == 3);
  CHECK(net.fc2.bias.to_vector<double>() == before.at("fc2.bias"));

  const Module::LoadReport whole = net.load_state_dict(all);
  CHECK(whole.missing.empty());
  CHECK(whole.unexpected.empty());
  CHECK(values(net.state_dict()) == values(all));
  CHECK(net.conv1.weight.is_same(handle));  // values are copied, handles stay
  CHECK(net.conv1.weight.requires_grad());
  CHECK(net.conv1.weight.storage() != all.at("conv1.weight").storage());

  StateDict wide;
  for (const auto& [name, x] : all) wide[name] = x.to(DType::float64);
  net.load_state_dict(wide);
  CHECK(net.conv1.weight.dtype() == DType::float32);
  net.load_state_dict(net.state_dict());
  CHECK(values(net.state_dict()) == values(all));
}

TEST_CASE("train and eval reach every layer", "[module]") {
  Net net(4, true, 0.5);
  const auto all = [&](bool mode) {
    CHECK(net.is_training() == mode);
    for (const auto& [name, child] : net.named_modules()) CHECK(child->is_training() == mode);
  };
  all(true);
  net.eval();
  all(false);
  net.train();
  all(true);

  Sequential s(Dropout(0.5));
  const Tensor x = ones({100});
  CHECK(s(x).sum().item() != 100);
  s.eval();
  CHECK(s(x).is_same(x));
}

TEST_CASE("to moves parameters under the optimiser's hands", "[module]") {
  for (const Device device : devices()) {
    Linear layer(2, 1);
    SGD sgd(layer.parameters(), {.lr = 0.5, .momentum = 0.5});
    const Tensor handle = layer.weight;
    const auto step = [&] {
      sgd.zero_grad();
      const TensorOptions like{.dtype = layer.weight.dtype(), .device = layer.weight.device()};
      layer(ones({1, 2}, like)).sum().backward();
      sgd.step();
    };
    layer.load_state_dict(filled(layer.state_dict(), 1));
    step();  // the momentum is 1
    layer.to(device);
    layer.to(DType::float64);
    CHECK(handle.is_same(layer.weight));
    CHECK(handle.device() == device);
    CHECK(handle.dtype() == DType::float64);
    CHECK(handle.requires_grad());
    CHECK(handle.is_leaf());
    CHECK(handle.grad().defined());  // it came along
    CHECK(handle.grad().device() == device);
    CHECK(handle.grad().dtype() == DType::float64);
    CHECK(handle.grad().to_vector<double>() == std::vector<double>{1, 1});
    step();  // and now 1.5
    CHECK(handle.to_vector<double>() == std::vector<double>{-0.25, -0.25});
    CHECK(sgd.state_dict().at("sgd.momentum.0").device() == device);
  }
  Linear layer(2, 1);
  CHECK(message_of([&] { layer.to(DType::int64); }) == "to: got int64, expected float32 or float64");
  BatchNorm2d norm(2);
  norm.to(DType::float64);
  CHECK(norm.running_var.dtype() == DType::float64);
  CHECK(norm.num_batches_tracked.dtype() == DType::int64);
}

TEST_CASE("copies share tensors", "[module]") {
  Net net(4), copy = net;
  CHECK(copy.conv1.weight.is_same(net.conv1.weight));
  Sequential s(Linear(2, 3), Tanh()), t = s;
  CHECK(s.state_dict().at("0.weight").is_same(t.state_dict().at("0.weight")));
  net.zero_grad();
  copy(zeros({1, 3, 32, 32})).sum().backward();
  CHECK(net.fc2.bias.grad().to_vector<double>() == std::vector<double>{1, 1});
  net.zero_grad();
  CHECK_FALSE(copy.fc2.bias.grad().defined());
}

TEST_CASE("Sequential calls its layers in order", "[module]") {
  Linear first(2, 3), second(3, 1);
  Sequential s(first, ReLU(), second);
  const Tensor x = tensor({1.0f, -2.0f}).view({1, 2});
  check_equal(s(x), second(relu(first(x))));
  s.append(Sigmoid());
  check_equal(s(x), sigmoid(second(relu(first(x)))));
  CHECK(Sequential()(x).is_same(x));
}

TEST_CASE("weights and biases start uniform in one over the root of the fan-in", "[module]") {
  manual_seed(base_seed());
  const auto check = [](const Tensor& x, double fan_in) {
    const double bound = 1 / std::sqrt(fan_in), n = static_cast<double>(x.numel());
    double mean = 0, square = 0, largest = 0;
    for (const double v : x.to_vector<double>()) {
      mean += v / n;
      square += v * v / n;
      largest = std::max(largest, std::abs(v));
    }
    CHECK(largest <= bound);
    CHECK(largest > 0.9 * bound);
    CHECK(std::abs(mean) < 5 * bound / std::sqrt(3 * n));
    CHECK(std::abs(square - bound * bound / 3) < 5 * bound * bound * std::sqrt(4.0 / 45 / n));
    CHECK(x.requires_grad());
    CHECK(x.is_leaf());
  };
  const Conv2d conv({.in_channels = 12, .out_channels = 240, .kernel_size = {3, 2}, .groups = 4});
  CHECK(conv.weight.shape() == Shape{240, 3, 3, 2});
  check(conv.weight, 18);
  check(conv.bias, 18);
  const Linear linear(50, 400);
  CHECK(linear.weight.shape() == Shape{400, 50});
  check(linear.weight, 50);
  check(linear.bias, 50);
  CHECK_FALSE(Linear(2, 3, false).bias.defined());

  manual_seed(5);
  const Linear a(3, 4);
  manual_seed(5);
  const Linear b(3, 4);
  CHECK(a.weight.to_vector<double>() == b.weight.to_vector<double>());
  CHECK(a.bias.to_vector<double>() == b.bias.to_vector<double>());
  CHECK(Linear(3, 4).weight.to_vector<double>() != b.weight.to_vector<double>());
}

TEST_CASE("BatchNorm2d counts the batches it has seen", "[module]") {
  BatchNorm2d norm(2);
  CHECK(norm.weight.to_vector<double>() == std::vector<double>{1, 1});
  CHECK(norm.bias.to_vector<double>() == std::vector<double>{0, 0});
  CHECK(norm.running_mean.to_vector<double>() == std::vector<double>{0, 0});
  CHECK(norm.running_var.to_vector<double>() == std::vector<double>{1, 1});
  CHECK(norm.num_batches_tracked.shape() == Shape{});
  const Tensor x = tensor({1.0f, 3.0f, 5.0f, 5.0f}).view({1, 2, 1, 2});
  norm(x);
  norm(x);
  CHECK(norm.num_batches_tracked.item<std::int64_t>() == 2);
  CHECK(norm.running_mean.to_vector<double>()[0] == Approx(2 * 0.19).epsilon(1e-6));
  CHECK(norm.running_var.to_vector<double>()[0] == Approx(0.81 + 2 * 0.19).epsilon(1e-6));
  norm.eval();
  norm(x);
  CHECK(norm.num_batches_tracked.item<std::int64_t>() == 2);
  norm.train();
  CHECK_THROWS_AS(norm(zeros({1, 3, 2, 2})), Error);
  CHECK(norm.num_batches_tracked.item<std::int64_t>() == 2);  // nothing has changed
}

TEST_CASE("BatchNorm2d with pooling, activation and residual is the layers one after the other", "[module]") {
  for (const Device device : devices()) {
    for_each_case(10, [&](Random& random) {
      INFO(device);
      const std::int64_t C = random.integer(1, 4);
      const Shape shape{3, C, 6, 8};
      const Tensor x = tensor(random.between<float>(shape.numel(), -2, 2), device).reshape(shape);
      const Tensor residual = tensor(random.between<float>(shape.numel(), -2, 2), device).reshape(shape);
      std::vector<float> weight = random.between<float>(C, -2, 2);
      weight[0] = random.pick({0.0f, 1.0f});
      const Activation activation = random.pick({Activation::none, Activation::tanh, Activation::relu});
      // Fused, with a hook, and by hand, each on a layer of its own.
      const auto results = [&](bool pools, bool adds, const auto& call) {
        BatchNorm2d norm(C);
        norm.weight.detach().copy_(tensor(weight));
        norm.to(device);
        std::vector<std::vector<double>> all;
        for (const bool training : {true, true, false}) {
          norm.train(training);
          norm.zero_grad();
          const Tensor in = x.clone().set_requires_grad(), more = residual.clone().set_requires_grad();
          const Tensor y = call(norm, in, adds ? more : Tensor());
          CHECK(y.shape() == (pools ? Shape{3, C, 3, 4} : shape));
          (y * y).sum().backward();
          for (const Tensor& t : {y.detach(), in.grad(), norm.weight.grad(), norm.bias.grad(), norm.running_mean,
                                  norm.running_var, norm.num_batches_tracked}) {
            all.push_back(t.to_vector<double>());
          }
          if (adds) all.push_back(more.grad().to_vector<double>());
        }
        return all;
      };
      const auto compare = [&](bool pools, bool adds, const auto& call, const auto& by_hand) {
        const auto want = results(pools, adds, by_hand), fused = results(pools, adds, call);
        int seen = 0;
        const auto hooked = results(pools, adds, [&](BatchNorm2d& norm, const Tensor& in, const Tensor& more) {
          BatchNorm2d watched = norm;
          watched.register_forward_hook([&](Module&, const Tensor& y) {
            CHECK(y.shape() == shape);
            ++seen;
          });
          return call(watched, in, more);
        });
        CHECK(seen == 3);
        CHECK(hooked == want);
        for (std::size_t i = 0; i < want.size(); ++i) {
          for (std::size_t j = 0; j < want[i].size(); ++j) {
            INFO("result " << i << ", element " << j);
            CHECK(std::abs(fused[i][j] - want[i][j]) <= 1e-4);
          }
        }
      };
      compare(
          true, false,
          [&](BatchNorm2d& norm, const Tensor& in, const Tensor&) { return norm.max_pool2d(in, 2, activation); },
          [&](BatchNorm2d& norm, const Tensor& in, const Tensor&) {
            return activate(max_pool2d(norm(in), 2), activation);
          });
      for (const bool adds : {false, true}) {
        compare(
            false, adds,
            [&](BatchNorm2d& norm, const Tensor& in, const Tensor& more) { return norm(in, activation, more); },
            [&](BatchNorm2d& norm, const Tensor& in, const Tensor& more) {
              return activate(adds ? norm(in) + more : norm(in), activation);
            });
      }
    });
  }
}

TEST_CASE("a convolution with pooling or an activation is one op, or three where a hook looks on", "[module]") {
  Random random(base_seed(), 0);
  Conv2d conv({.in_channels = 2, .out_channels = 6, .kernel_size = 3, .stride = 2, .padding = 1, .groups = 2});
  const Tensor x = random_tensor(random, {2, 2, 15, 13}, DType::float32, Device::cpu);
  const Tensor pooled = conv.max_pool2d(x, {3, 2}, Activation::tanh), activated = conv(x, Activation::relu);
  check_equal(pooled, tanh(max_pool2d(conv(x), {3, 2})));
  check_equal(conv.max_pool2d(x, 2), max_pool2d(conv(x), 2));
  check_equal(activated, relu(conv(x)));

  std::vector<Tensor> seen;
  conv.register_forward_hook([&](Module&, const Tensor& y) { seen.push_back(y); });
  check_equal(conv.max_pool2d(x, {3, 2}, Activation::tanh), pooled);
  check_equal(conv(x, Activation::relu), activated);
  REQUIRE(seen.size() == 2);
  for (const Tensor& y : seen)
    check_equal(y, conv2d(x, conv.weight, conv.bias, {.stride = 2, .padding = 1, .groups = 2}));
}

TEST_CASE("a convolution, batch norm and pooling are one op, or their own where a hook looks on", "[module]") {
  Random random(base_seed(), 0);
  Conv2d conv({.in_channels = 2, .out_channels = 6, .kernel_size = 3, .padding = 1});
  const Tensor x = random_tensor(random, {4, 2, 15, 13}, DType::float32, Device::cpu);
  const auto results = [&](const Conv2d& convolution, const BatchNorm2d& like, const auto& call) {
    Conv2d c = convolution;
    BatchNorm2d norm = like;
    norm.running_mean = zeros({6});
    norm.running_var = ones({6});
    std::vector<Tensor> all;
    for (const bool training : {true, true, false}) {
      c.train(training);
      norm.train(training);
      c.zero_grad();
      norm.zero_grad();
      const Tensor y = call(norm, c);
      (y * y).sum().backward();
      all.insert(all.end(), {y.detach(), c.weight.grad().clone(), c.bias.grad().clone(), norm.weight.grad().clone(),
                             norm.bias.grad().clone(), norm.running_mean.clone(), norm.running_var.clone()});
    }
    return all;
  };
  const BatchNorm2d plain(6);
  const auto fused = [&](BatchNorm2d& norm, Conv2d& c) { return norm.max_pool2d(c, x, 2, Activation::tanh); };
  const std::vector<Tensor> want =
      results(conv, plain, [&](BatchNorm2d& norm, Conv2d& c) { return norm.max_pool2d(c(x), 2, Activation::tanh); });
  int seen = 0;
  Conv2d watched_conv = conv;
  watched_conv.register_forward_hook([&](Module&, const Tensor& y) { seen += y.shape() == Shape{4, 6, 15, 13}; });
  BatchNorm2d watched(6);
  watched.register_forward_hook([&](Module&, const Tensor& y) { seen += 100 * (y.shape() == Shape{4, 6, 15, 13}); });
  for (const auto& got : {results(conv, plain, fused), results(watched_conv, plain, fused)}) {
    for (std::size_t i = 0; i < want.size(); ++i) check_equal(got[i], want[i]);
  }
  CHECK(seen == 3);
  const std::vector<Tensor> hooked = results(conv, watched, fused);
  CHECK(seen == 303);
  for (std::size_t i = 0; i < want.size(); ++i) CHECK(allclose(hooked[i], want[i], 1e-4, 1e-4));
}

TEST_CASE("forward pre-hooks see and change the input, until they are removed", "[module]") {
  Linear fc(3, 2);
  const Tensor x = rand({4, 3});
  std::vector<Tensor> seen;
  const RemovableHandle doubled = fc.register_forward_pre_hook([&](Module& module, const Tensor& input) {
    CHECK(&module == &fc);
    seen.push_back(input);
    return input * 2;
  });
  fc.register_forward_pre_hook([&](Module&, const Tensor& input) { seen.push_back(input); });
  CHECK(fc.has_hooks());
  check_equal(fc(x), linear(x * 2, fc.weight, fc.bias));
  REQUIRE(seen.size() == 2);
  CHECK(seen[0].is_same(x));
  check_equal(seen[1], x * 2);
  check_equal(fc(x, Activation::tanh), tanh(linear(x * 2, fc.weight, fc.bias)));

  Linear copy = fc;
  doubled.remove();
  doubled.remove();
  check_equal(fc(x), linear(x, fc.weight, fc.bias));
  check_equal(copy(x), linear(x, fc.weight, fc.bias));
  CHECK(seen.size() == 6);

  Tanh once;
  std::optional<RemovableHandle> itself;
  itself = once.register_forward_pre_hook([&](Module&, const Tensor& input) {
    itself->remove();
    return input + 1;
  });
  check_equal(once(x), tanh(x + 1));
  CHECK_FALSE(once.has_hooks());
  check_equal(once(x), tanh(x));
}

TEST_CASE("a hook keeps what it counts", "[module]") {
  Tanh layer;
  std::vector<int> counts;
  layer.register_forward_hook([&counts, n = 0](Module&, const Tensor&) mutable { counts.push_back(++n); });
  layer.register_forward_pre_hook([&counts, n = 10](Module&, const Tensor&) mutable { counts.push_back(++n); });
  layer.register_full_backward_hook(
      [&counts, n = 20](Module&, const Tensor&, const Tensor&) mutable { counts.push_back(++n); });
  const Tensor x = zeros({2}, {.requires_grad = true});
  x.register_hook([&counts, n = 30](const Tensor&) mutable -> Tensor {
    counts.push_back(++n);
    return {};
  });
  for (int i = 0; i < 2; ++i) layer(x).sum().backward();
  CHECK(counts == std::vector<int>{11, 1, 21, 31, 12, 2, 22, 32});
}

TEST_CASE("modules of other arguments run forward hooks, and refuse those of one tensor", "[module]") {
  const Tensor x = rand({5, 2, 4});
  const auto check_hooks = [](auto& module, const std::string& name, const auto& call, const auto& alone) {
    Tensor seen;
    module.register_forward_hook([&](Module&, const Tensor& y) { seen = y; });
    const Tensor y = call();
    CHECK(seen.is_same(y));
    const RemovableHandle pre = module.register_forward_pre_hook([](Module&, const Tensor& in) { return in * 0; });
    CHECK(message_of(call) ==
          name +
              ": it has forward pre-hooks or full backward hooks, expected calls with one tensor and no other "
              "argument");
    const Tensor changed = alone();
    pre.remove();
    CHECK_FALSE(equal(changed, alone()));
    CHECK_FALSE(message_of([&] {
                  module.register_full_backward_hook([](Module&, const Tensor&, const Tensor&) {});
                  call();
                }).empty());
  };
  LSTM lstm({.input_size = 4, .hidden_size = 3});
  check_hooks(
      lstm, lstm.str(), [&] { return lstm(x).output; }, [&] { return static_cast<Module&>(lstm)(x); });
  GRUCell cell(4, 3);
  check_hooks(
      cell, cell.str(), [&] { return cell(x[0]); }, [&] { return static_cast<Module&>(cell)(x[0]); });
  MultiheadAttention attention({.embed_dim = 4, .num_heads = 2});
  check_hooks(
      attention, attention.str(), [&] { return attention(x, x, x).output; }, [&] { return attention(x); });

  TransformerEncoder encoder(TransformerEncoderLayer({.d_model = 4, .nhead = 2, .dropout = 0}), 2);
  int calls = 0;
  encoder.layers.get<TransformerEncoderLayer>(1).register_forward_pre_hook([&](Module&, const Tensor&) { ++calls; });
  encoder(x);
  CHECK(calls == 1);
}

TEST_CASE("forward hooks can be removed", "[module]") {
  Tanh layer;
  int calls = 0;
  const RemovableHandle handle = layer.register_forward_hook([&](Module&, const Tensor&) { ++calls; });
  layer(zeros({2}));
  handle.remove();
  layer(zeros({2}));
  CHECK(calls == 1);
  CHECK_FALSE(layer.has_hooks());
}

TEST_CASE("full backward hooks see a call's gradients and change that by its input", "[module]") {
  for (const Device device : devices()) {
    INFO(device);
    Linear fc(3, 3);
    fc.to(device);
    const Tensor x = rand({4, 3}, {.device = device, .requires_grad = true});
    std::vector<std::pair<Tensor, Tensor>> seen;
    const RemovableHandle handle =
        fc.register_full_backward_hook([&](Module& module, const Tensor& grad_input, const Tensor& grad_output) {
          CHECK(&module == &fc);
          seen.emplace_back(grad_input, grad_output);
        });
    // Each of two calls has its own gradients, and x has others beside.
    const Tensor inner = fc(x), y = fc(tanh(inner), Activation::relu);
    inner.retain_grad();
    (y.sum() + square(x).sum()).backward();
    REQUIRE(seen.size() == 2);
    const Tensor of_y = gt(y, 0).to(DType::float32);
    check_equal(seen[0].second, of_y);
    CHECK(allclose(seen[0].first, of_y.matmul(fc.weight.detach())));
    check_equal(seen[1].second, inner.grad());
    CHECK(allclose(x.grad() - 2 * x.detach(), seen[1].first, 1e-5, 1e-5));

    // With an input that does not require grad, and with nothing that does.
    seen.clear();
    fc(x.detach()).sum().backward();
    REQUIRE(seen.size() == 1);
    CHECK_FALSE(seen[0].first.defined());
    check_equal(seen[0].second, ones({4, 3}, {.device = device}));
    no_grad([&] { return fc(x); });
    CHECK(seen.size() == 1);

    handle.remove();
    fc.register_full_backward_hook([](Module&, const Tensor&, const Tensor& grad_output) { return grad_output * 0; });
    x.set_grad({});
    fc(x).sum().backward();
    CHECK(seen.size() == 1);
    check_equal(x.grad(), zeros({4, 3}, {.device = device}));
    CHECK(
        message_of([&] { fc(x.detach()).sum().backward(); }) ==
        "Linear(3, 3): a full backward hook returned a gradient by an input that does not require grad, expected none");
  }

  Linear fc(3, 3);
  const RemovableHandle handle = fc.register_full_backward_hook(
      [](Module&, const Tensor&, const Tensor& grad_output) { return grad_output.sum(); });
  const Tensor x = rand({4, 3}, {.requires_grad = true});
  CHECK(message_of([&] { fc(x).sum().backward(); }) ==
        "Linear(3, 3): a full backward hook returned [] of float32, expected [4, 3] of float32");
  handle.remove();

  struct Leaking : Module {
    Tensor kept;
    Tensor forward(const Tensor& in) override {
      kept = in * 2;
      return kept + 1;
    }
    std::string str() const override { return "Leaking"; }
  } leaking;
  leaking.register_full_backward_hook([](Module&, const Tensor&, const Tensor&) {});
  leaking(x);
  CHECK(message_of([&] { leaking.kept.sum().backward(); }) ==
        "Leaking: a full backward hook, and no gradient by the output of the call, expected a loss that is made of it");
}

TEST_CASE("losses as layers", "[module]") {
  const Tensor logits = tensor({1.0, 2.0, 0.5, -1.0}).view({2, 2}), target = tensor<std::int64_t>({1, 0});
  check_equal(CrossEntropyLoss()(logits, target), cross_entropy(logits, target));
  const CrossEntropyOptions options{.reduction = Reduction::sum, .label_smoothing = 0.1};
  check_equal(CrossEntropyLoss(options)(logits, target), cross_entropy(logits, target, options));
  check_equal(MSELoss()(logits, logits * 2.0), mse_loss(logits, logits * 2.0));
  check_equal(MSELoss(Reduction::none)(logits, logits * 2.0), pow(logits, 2));
}

TEST_CASE("how modules print", "[module]") {
  CHECK(Linear(512, 32).str() == "Linear(512, 32)");
  CHECK(Linear(512, 32, false).str() == "Linear(512, 32, bias=False)");
  CHECK(Dropout(0.25).str() == "Dropout(p=0.25)");
  CHECK(Dropout2d(0.4).str() == "Dropout2d(p=0.4)");
  CHECK(Tanh().str() == "Tanh()");
  CHECK(ReLU().str() == "ReLU()");
  CHECK(Sigmoid().str() == "Sigmoid()");
  CHECK(Flatten().str() == "Flatten(1, -1)");
  CHECK(Sequential(Tanh(), ReLU()).str() == "Sequential(2 layers)");
  CHECK(Net(4).str() == "Net");
}

TEST_CASE("what layers refuse", "[module]") {
  CHECK(message_of([] { Conv2d({.in_channels = 3, .out_channels = 4, .kernel_size = 3, .groups = 2}); }) ==
        "Conv2d: 3 to 4 channels, 2 groups, kernel [3, 3], expected positive numbers and groups that divide both "
        "channels");
  CHECK(message_of([] { Linear(0, 2); }) == "Linear: 0 to 2 features, expected positive numbers");
  CHECK(message_of([] { Dropout(1.5); }) == "Dropout: probability 1.5, expected 0 to 1");
  CHECK(message_of([] { Dropout2d()(zeros({2})); }) == "dropout2d: input [2], expected [N, C, ...]");
  CHECK(message_of([] { Linear(2, 3)({}); }) == "linear: x is undefined, expected a tensor");
}

TEST_CASE("a layer's constructor refuses what its op would", "[module]") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN(), infinity = HUGE_VAL;
  for (const double p : {-0.1, 1.5, nan}) {
    CHECK_THROWS_AS(Dropout(p), Error);
    CHECK_THROWS_AS(Dropout2d(p), Error);
    CHECK_THROWS_AS(CrossEntropyLoss({.label_smoothing = p}), Error);
  }
  CHECK(message_of([] { BatchNorm2d(2, -1); }) ==
        "BatchNorm2d: eps -1, momentum 0.1, expected finite numbers, and eps not below 0");
  for (const auto& [eps, momentum] :
       std::vector<std::pair<double, double>>{{nan, 0.1}, {infinity, 0.1}, {1e-5, nan}, {1e-5, infinity}}) {
    CHECK_THROWS_AS(BatchNorm2d(2, eps, momentum), Error);
  }
  CHECK(message_of([] { BatchNorm2d(-1); }) == "BatchNorm2d: -1 features, expected 0 or more");
  BatchNorm2d(2, 0, 2);  // which PyTorch takes, too

  CHECK(message_of([] { MaxPool2d(0); }) == "MaxPool2d: kernel [0, 0], stride [0, 0], expected 1 or more");
  CHECK(message_of([] { AvgPool2d(2, {.padding = 2}); }) ==
        "AvgPool2d: padding [2, 2] for kernel [2, 2], expected at most half of it");
  for (const Pool2dOptions& bad : std::initializer_list<Pool2dOptions>{
           {.stride = HeightWidth(0)}, {.stride = HeightWidth(1, -1)}, {.padding = -1}, {.padding = {0, INT64_MAX}}}) {
    CHECK_THROWS_AS(MaxPool2d(3, bad), Error);
    CHECK_THROWS_AS(AvgPool2d(3, bad), Error);
  }
  const Conv2d::Options good{.in_channels = 4, .out_channels = 4, .kernel_size = 3};
  for (HeightWidth Conv2d::Options::*const side :
       {&Conv2d::Options::kernel_size, &Conv2d::Options::stride, &Conv2d::Options::dilation}) {
    for (const HeightWidth bad : {HeightWidth(0, 1), HeightWidth(1, -1)}) {
      Conv2d::Options options = good;
      options.*side = bad;
      CHECK_THROWS_AS(Conv2d(options), Error);
    }
  }
  Conv2d::Options options = good;
  options.padding = {0, -1};
  CHECK_THROWS_AS(Conv2d(options), Error);
  for (const std::int64_t groups : {-1, 0, 3}) {
    options = good;
    options.groups = groups;
    CHECK_THROWS_AS(Conv2d(options), Error);
  }
  options = good;
  options.kernel_size = std::int64_t{1} << 62;
  CHECK_THROWS_WITH(Conv2d(options), Catch::Contains("expected no more elements than int64 counts"));
}

TEST_CASE("a layer that members() leaves out is an error at the first call", "[module]") {
  struct Forgetful : Module {
    Conv2d conv{{.in_channels = 1, .out_channels = 2, .kernel_size = 3}};
    BatchNorm2d norm{2};
    Linear fc{2, 2};
    Dropout dropout{0.5};
    Sequential inner{Linear(2, 2), ReLU()};
    std::string left_out;
    bool by_activation = false;

    Members members() override {
      Members all;
      for (const auto& [name, layer] : std::vector<std::pair<std::string, Module*>>{
               {"conv", &conv}, {"norm", &norm}, {"fc", &fc}, {"dropout", &dropout}, {"inner", &inner}}) {
        if (name != left_out) all.modules.emplace_back(name, layer);
      }
      return all;
    }
    Tensor forward(const Tensor& x) override {
      const Tensor y = by_activation ? norm(conv(x, Activation::tanh), Activation::relu) : norm(conv(x));
      const Tensor z = y.mean({2, 3});
      return MaxPool2d(1)(inner(dropout(by_activation ? fc(z, Activation::tanh) : fc(z))).reshape({-1, 2, 1, 1}));
    }
    std::string str() const override { return "Forgetful"; }
  };
  const Tensor x = ones({2, 1, 4, 4});
  const auto called = [&](const std::string& left_out, bool by_activation, bool evaluated = false) {
    Forgetful model;
    model.left_out = left_out;
    model.by_activation = by_activation;
    return message_of([&] {
      if (evaluated) model.eval();
      model(x);
      model(x);
    });
  };
  const auto expected = [](const std::string& layer, const std::string& what) {
    return "the forward of Forgetful calls " + layer + ", " + what +
           " its members() do not lead to: name it there, or " +
           "it is left out of parameters(), state_dict(), train() and to()";
  };
  for (const bool by_activation : {false, true}) {
    CHECK(called("", by_activation) == "(nothing was thrown)");
    CHECK(called("", by_activation, true) == "(nothing was thrown)");
    CHECK(called("conv", by_activation) ==
          expected("Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))", "whose tensors"));
    CHECK(called("norm", by_activation) == expected(BatchNorm2d(2).str(), "whose tensors"));
    CHECK(called("fc", by_activation) == expected("Linear(2, 2)", "whose tensors"));
    CHECK(called("inner", by_activation) == expected("Linear(2, 2)", "whose tensors"));
    // Without tensors, it matters where the mode does.
    CHECK(called("dropout", by_activation) == "(nothing was thrown)");
    CHECK(called("dropout", by_activation, true) == expected("Dropout(p=0.5)", "in training, which"));
  }

  // A mode of one's own, of a layer that is named, is none; nor is a layer on its own, or one that a hook calls.
  Forgetful frozen;
  frozen.norm.eval();
  frozen(x);
  CHECK(frozen.norm.num_batches_tracked.item<std::int64_t>() == 0);
  Linear other(2, 2);
  frozen.fc.register_forward_hook([&](Module&, const Tensor& y) { other(y); });
  frozen(x);
  other(ones({1, 2}));

  // A copy looks for itself.
  Forgetful copy = frozen;
  copy.left_out = "conv";
  CHECK_THROWS_AS(copy(x), Error);
  copy.left_out = "";
  copy(x);
}

TEST_CASE("members() that are undefined, null or of one name are an error that names them", "[module]") {
  struct Any : Module {
    Members all;
    Members members() override { return all; }
    Tensor forward(const Tensor& x) override { return x; }
    std::string str() const override { return "Any"; }
  } any;
  Linear layer(1, 1);
  const auto message = [&](const Members& members) {
    any.all = members;
    const std::string first = message_of([&] { any.parameters(); });
    CHECK(message_of([&] { any.state_dict(); }) == first);
    CHECK(message_of([&] { any.eval(); }) == first);
    CHECK(any.is_training());
    return first;
  };
  const std::string names = "', expected names that are all different, not empty and without dots";
  CHECK(message({.parameters = {{"weight", {}}}}) == "members of Any: parameter 'weight' is undefined");
  CHECK(message({.buffers = {{"mean", {}}}}) == "members of Any: buffer 'mean' is undefined");
  CHECK(message({.modules = {{"fc", nullptr}}}) == "members of Any: layer 'fc' is null");
  CHECK(message({.modules = {{"fc", &layer}, {"fc", &layer}}}) == "members of Any: 'fc" + names);
  CHECK(message({.parameters = {{"fc", layer.bias}}, .modules = {{"fc", &layer}}}) == "members of Any: 'fc" + names);
  CHECK(message({.modules = {{"", &layer}}}) == "members of Any: '" + names);
  CHECK(message({.modules = {{"a.b", &layer}}}) == "members of Any: 'a.b" + names);
}

}  // namespace tern::test
