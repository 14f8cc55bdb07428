#include <core/support.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/generator.hpp>
#include <tern/layers/activation.hpp>
#include <tern/layers/init.hpp>
#include <tern/layers/layers.hpp>
#include <tern/layers/summary.hpp>

#include <cmath>
#include <sstream>

namespace tern::test {

namespace {

/// Of two inputs, and of two results.
struct Gate : Module {
  Linear fc{3, 3};
  Tensor scale = full({1}, 2, {.requires_grad = true}), mean = zeros({3});

  Members members() override {
    return {.parameters = {{"scale", scale}}, .buffers = {{"mean", mean}}, .modules = {{"fc", &fc}}};
  }
  Tensor operator()(const Tensor& a, const Tensor& b) {
    return call([&] { return fc(a) * b * scale; });
  }
  std::pair<Tensor, std::int64_t> with_size(const Tensor& a) {
    return call([&] { return std::pair(fc(a), a.numel()); });
  }
};

struct Outer : Module {
  Gate gate;
  Sequential tail{Linear(3, 4), Sequential(Tanh(), Dropout(0.5))};

  Members members() override { return {.modules = {{"gate", &gate}, {"tail", &tail}}}; }
  Tensor forward(const Tensor& x) override { return tail(gate(x, x)); }
};

std::vector<std::vector<double>> values(Module& module) {
  std::vector<std::vector<double>> all;
  for (const auto& [name, x] : module.state_dict()) all.push_back(x.to_vector<double>());
  return all;
}

}  // namespace

TEST_CASE("a module of other arguments and results is called by an operator() of its own, hooks see it", "[module]") {
  Gate gate;
  const Tensor a = rand({2, 3}), b = rand({2, 3});
  std::vector<Tensor> seen;
  gate.register_forward_hook([&](Module& module, const Tensor& y) {
    CHECK(&module == &gate);
    seen.push_back(y);
  });
  const Tensor y = gate(a, b);
  const auto [x, n] = gate.with_size(a);
  CHECK(n == 6);
  REQUIRE(seen.size() == 2);
  CHECK(seen[0].is_same(y));
  CHECK(seen[1].is_same(x));
  const auto want = (linear(a, gate.fc.weight, gate.fc.bias) * b * 2).to_vector<double>();
  for (std::size_t i = 0; i < want.size(); ++i) CHECK(y.to_vector<double>()[i] == Approx(want[i]));

  const RemovableHandle handle = gate.register_forward_pre_hook([](Module&, const Tensor&) {});
  CHECK(message_of([&] { gate(a, b); }) ==
        "Gate: it has forward pre-hooks or full backward hooks, expected calls with one tensor and no other argument");
  handle.remove();
  CHECK_NOTHROW(gate(a, b));

  Module& plain = gate;
  CHECK(message_of([&] { plain(a); }) ==
        "Gate: it has no forward() of one tensor, expected a call with the arguments of its operator()");
}

TEST_CASE("a call with other arguments looks for layers that members() leaves out, too", "[module]") {
  struct Forgetful : Module {
    Linear fc{3, 3};
    Tensor operator()(const Tensor& a, const Tensor& b) {
      return call([&] { return fc(a) + b; });
    }
  } module;
  const Tensor x = rand({2, 3});
  CHECK(message_of([&] { module(x, x); }).find("the forward of Forgetful calls Linear(3, 3)") == 0);
}

TEST_CASE("a const module predicts in evaluation, and in training is an error", "[module]") {
  Outer model;
  const Outer& fixed = model;
  const Tensor x = rand({2, 3});
  CHECK(message_of([&] { fixed(x); }) ==
        "Outer: a const module in training mode, expected one that was switched by eval()");
  model.eval();
  CHECK(fixed(x).to_vector<float>() == model(x).to_vector<float>());
}

TEST_CASE("copies share tensors, clones do not, and what is tied stays tied", "[module]") {
  struct Tied : Module {
    Linear first{3, 3}, second{3, 3};
    Members members() override { return {.modules = {{"first", &first}, {"second", &second}}}; }
  } tied;
  tied.second.weight = tied.first.weight;
  Tied two = clone(tied);
  CHECK(two.first.weight.is_same(two.second.weight));
  CHECK_FALSE(two.first.weight.is_same(tied.first.weight));
  CHECK(two.parameters().size() == 3);

  for (const Device device : devices()) {
    Outer model;
    model.to(device);
    model.gate.scale.set_requires_grad(false);
    model.tail[1].eval();
    Outer shared = model, copy = clone(model);
    CHECK(values(copy) == values(model));
    CHECK(copy.gate.scale.requires_grad() == false);
    CHECK(copy.gate.fc.weight.requires_grad());
    CHECK(copy.gate.mean.device() == device);
    CHECK_FALSE(copy.tail[1].is_training());
    const auto before = values(copy);
    {
      const NoGradGuard no_grad;
      for (const auto& [name, x] : model.state_dict()) x.fill_(7);
    }
    CHECK(values(shared) == values(model));
    CHECK(values(copy) == before);
    copy.train();  // of its own layers
    CHECK_FALSE(model.tail[1].is_training());
  }

  struct Temporary : Module {
    Members members() override { return {.parameters = {{"weight", zeros({2})}}}; }
  } temporary;
  CHECK(message_of([&] { clone(temporary); }) ==
        "clone: members() gives 'weight' as a temporary, expected the module's own");
}

TEST_CASE("modules print as PyTorch's do, layers under their names", "[module]") {
  Outer model;
  std::ostringstream text;
  text << model;
  CHECK(text.str() ==
        "Outer(\n"
        "  (gate): Gate(\n"
        "    (fc): Linear(3, 3)\n"
        "  )\n"
        "  (tail): Sequential(\n"
        "    (0): Linear(3, 4)\n"
        "    (1): Sequential(\n"
        "      (0): Tanh()\n"
        "      (1): Dropout(p=0.5)\n"
        "    )\n"
        "  )\n"
        ")");
  CHECK(Sequential().repr() == "Sequential(0 layers)");
}

TEST_CASE("a summary names each layer and leaves modes and hooks as they were", "[module]") {
  Outer model;
  model.tail[1].eval();
  int calls = 0;
  model.gate.fc.register_forward_hook([&](Module&, const Tensor&) { ++calls; });
  CHECK(summary(model, zeros({2, 3})) ==
        "layer  kind            output  parameters  mult-adds\n"
        "gate   Gate            [2, 3]          13         18\n"
        "  fc   Linear(3, 3)    [2, 3]          12         18\n"
        "tail   Sequential      [2, 4]          16         24\n"
        "  0    Linear(3, 4)    [2, 4]          16         24\n"
        "  1    Sequential      [2, 4]           0          0\n"
        "    0  Tanh()          [2, 4]           0          0\n"
        "    1  Dropout(p=0.5)  [2, 4]           0          0\n"
        "\n"
        "parameters: 29\n"
        "mult-adds: 42\n"
        "memory: input 0.00 MB, outputs 0.00 MB, parameters 0.00 MB\n");
  CHECK(calls == 1);
  CHECK(model.is_training());
  CHECK_FALSE(model.tail[1].is_training());
  CHECK_FALSE(model.tail.has_hooks());
  CHECK_THROWS_AS(summary(model, zeros({2, 5})), Error);
  CHECK(model.is_training());
  CHECK_FALSE(model.tail.has_hooks());
}

TEST_CASE("what the containers refuse", "[module]") {
  ModuleList list{Tanh(), Linear(2, 3)};
  CHECK(list.get<Linear>(1).weight.size(0) == 3);
  CHECK(list.get<Linear>(-1).weight.size(0) == 3);
  CHECK(message_of([&] { list.get<Linear>(0); }) == "Tanh(): of another class than the one asked for");
  for (const std::int64_t i : {-3, 2}) {
    CHECK(message_of([&] { list[i]; }) == "ModuleList(): module " + std::to_string(i) + " of 2");
  }
  CHECK(message_of([&] { list(zeros({2})); }).find("ModuleList(): it has no forward()") == 0);
  ModuleDict dict{{"a", Tanh()}};
  dict.insert("a", ReLU());
  CHECK(dict.size() == 1);
  CHECK(dict["a"].str() == "ReLU()");
  CHECK(message_of([&] { dict["b"]; }) == "ModuleDict: no module 'b', expected one of [a]");
  dict.insert("a.b", ReLU());
  CHECK(message_of([&] { dict.parameters(); }).find("members of ModuleDict(): 'a.b'") == 0);
  CHECK(message_of([&] {
          Unflatten(1, {2, 2})(zeros({2, 6}));
        }) == "Unflatten: dimension 1 of [2, 6] to [2, 2], expected sizes whose product it is");
  CHECK(message_of([&] { Unflatten(2, {2, 2})(zeros({2, 6})); }) == "Unflatten: dimension 2 of [2, 6]");
  CHECK_THROWS_AS(Unflatten(1, {-1, -1})(zeros({2, 6})), Error);
  CHECK_THROWS_AS(Unflatten(1, {-1, 0})(zeros({2, 0})), Error);
}

TEST_CASE("what init refuses, and the same seed is the same weights on every device", "[module]") {
  CHECK(message_of([] { init::xavier_normal_(zeros({3})); }) ==
        "xavier_normal_: a tensor of shape [3], expected two dimensions or more");
  CHECK(message_of([] { init::eye_(zeros({3})); }) == "eye_: a tensor of shape [3], expected two dimensions");
  CHECK(message_of([] { init::trunc_normal_(zeros({3}), 0, 0); }).find("trunc_normal_: std 0") == 0);
  CHECK_THROWS_AS(init::kaiming_normal_({}), Error);
  const auto filled = [](Device device, const std::function<void(const Tensor&, Generator&)>& fill) {
    Generator generator(3);
    const Tensor x = zeros({4, 3, 5}, {.device = device, .requires_grad = true});
    fill(x, generator);
    CHECK(x.requires_grad());
    CHECK(x.is_leaf());
    return x.to_vector<float>();
  };
  const std::vector<std::function<void(const Tensor&, Generator&)>> fills{
      [](const Tensor& x, Generator& g) { init::uniform_(x, -1, 1, g); },
      [](const Tensor& x, Generator& g) { init::trunc_normal_(x, 0, 1, -2, 2, g); },
      [](const Tensor& x, Generator& g) { init::xavier_uniform_(x, 1, g); },
      [](const Tensor& x, Generator& g) { init::kaiming_uniform_(x, {}, g); },
      [](const Tensor& x, Generator& g) { init::orthogonal_(x, 1, g); }};
  for (const auto& fill : fills) {
    const std::vector<float> want = filled(Device::reference, fill);
    for (const Device device : devices()) CHECK(filled(device, fill) == want);
  }
}

}  // namespace tern::test
