/// The examples of docs/autograd.md, as they stand there.

#include "gradcheck.hpp"
#include "support.hpp"

#include <tern/tern.hpp>

#include <catch2/catch.hpp>
#include <folders.hpp>

#include <array>
#include <cmath>
#include <fstream>
#include <iterator>
#include <regex>

namespace tern::test {

namespace {

using Values = std::vector<double>;

// clang-format off
Tensor slope_penalty(Module& critic, const Tensor& points) {
  const Tensor x = points.detach().set_requires_grad();
  const Tensor slope = grad({critic(x).sum()}, {x}, {.create_graph = true})[0];
  return square(sqrt(square(slope).flatten(1).sum({1})) - 1).mean();
}

std::pair<Tensor, Tensor> watched(const Tensor& w, const Tensor& x) {
  const Tensor hidden = tanh(linear(x, w));
  hidden.retain_grad();  // backward fills its grad(), too
  const RemovableHandle handle = w.register_hook([](const Tensor& g) { return clamp(g, -0.5, 0.5); });
  square(hidden).sum().backward();
  handle.remove();
  return {hidden.grad(), w.grad()};
}

Tensor cube(const Tensor& x) {
  const Tensor y = no_grad([&] { return x * x * x; });
  return record("cube", {x}, y, [x = Saved(x)](const Tensor& g) { return g * *x * *x * 3; });
}

std::array<Tensor, 2> sin_cos(const Tensor& x) {
  const std::array<Tensor, 2> y = no_grad([&] { return std::array{sin(x), cos(x)}; });
  return record("sin_cos", {x}, y, [sin = Saved(y[0]), cos = Saved(y[1])](std::span<const Tensor> g) {
    return g[0] * *cos - g[1] * *sin;
  });
}

Tensor damped(const Tensor& in) {
  const Tensor x = in.contiguous(), y = empty_like(x);
  for (std::int64_t i = 0; i < x.numel(); ++i) y.data<double>()[i] = x.data<double>()[i] / (1 + std::abs(x.data<double>()[i]));
  return record("damped", {x}, y, [x = Saved(x)](const Tensor& gradient) {
    if (is_grad_enabled()) {  // in a pass with create_graph
      return composed_gradients(gradient, {*x}, [](const std::vector<Tensor>& v) { return v[0] / (abs(v[0]) + 1); });
    }
    const Tensor g = gradient.contiguous(), dx = empty_like(g);
    for (std::int64_t i = 0; i < g.numel(); ++i) {
      const double d = 1 + std::abs((*x).data<double>()[i]);
      dx.data<double>()[i] = g.data<double>()[i] / (d * d);
    }
    return Grads(dx);
  });
}

Tensor deep(const std::vector<Module*>& blocks, Tensor x) {
  for (Module* block : blocks) x = checkpoint([block](const Tensor& in) { return (*block)(in); }, x);
  return x;
}

// clang-format on

std::string text_of(const std::string& path) {
  std::ifstream file(in_tree(path));
  REQUIRE(file);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

/// A layer of float64, with dropout.
struct Block : Module {
  explicit Block(Random& random)
      : weight(random_tensor(random, {4, 4}, DType::float64, Device::cpu).set_requires_grad()) {}

  Members members() override { return {.parameters = {{"weight", weight}}}; }
  Tensor forward(const Tensor& x) override { return dropout(tanh(linear(x, weight)), 0.25, is_training()) + x; }

  Tensor weight;
};

}  // namespace

TEST_CASE("docs/autograd.md shows what is compiled here", "[autograd]") {
  const std::string page = text_of("docs/autograd.md"), source = text_of("tests/core/own_op_test.cpp");
  const std::regex block("```cpp\\n([^`]*)```");
  int count = 0;
  for (std::sregex_iterator at(page.begin(), page.end(), block), end; at != end; ++at, ++count) {
    INFO((*at)[1]);
    CHECK(source.find((*at)[1]) != std::string::npos);
  }
  CHECK(count == 6);
}

TEST_CASE("ops of one's own have values, gradients and second derivatives", "[autograd]") {
  const Function cubed = [](const std::vector<Tensor>& x) { return cube(x[0]); };
  const Function turned = [](const std::vector<Tensor>& x) {
    const auto [s, c] = sin_cos(x[0]);
    return s * 2.0 + c * c;
  };
  const Function sine = [](const std::vector<Tensor>& x) { return sin_cos(x[0])[0]; };
  const Function signs = [](const std::vector<Tensor>& x) { return damped(x[0].to(Device::cpu)).to(x[0].device()); };
  for (const Device device : devices()) {
    for_each_case(5, [&](Random& random) {
      const Tensor x = random_tensor(random, {3, 2}, DType::float64, Device::reference);
      for (const Function& f : {cubed, turned, sine, signs}) {
        CHECK(gradcheck(f, {x}, random, device) == "");
        const Tensor factor = random_tensor(random, {3, 2}, DType::float64, Device::reference);
        const Function slope = [&](const std::vector<Tensor>& in) {
          const bool recorded = in[0].requires_grad();
          const EnableGradGuard enable_grad;
          const Tensor at = recorded ? in[0] : in[0].detach().set_requires_grad();
          return (grad({f({at}).sum()}, {at}, {.create_graph = recorded})[0] * factor.to(at.device())).sum();
        };
        CHECK(gradcheck(slope, {x}, random, device) == "");
      }
    });
  }
  const Tensor x = tensor({0.5, 2.0}).set_requires_grad();
  CHECK(cube(x).to_vector<double>() == Values{0.125, 8});
  CHECK_FALSE(cube(x.detach()).requires_grad());
  CHECK(grad({cube(x).sum()}, {x})[0].to_vector<double>() == Values{0.75, 12});
}

TEST_CASE("an op of several outputs", "[autograd]") {
  const Tensor x = tensor({0.0, 1.0}).set_requires_grad();
  const auto [s, c] = sin_cos(x);
  CHECK(s.grad_node() == c.grad_node());
  CHECK(c.grad_node()->name == std::string("sin_cos"));
  // One alone, both, and both through the same op; zeros stand for what did not come.
  CHECK(grad({c.sum()}, {x}, {.retain_graph = true})[0].to_vector<double>() == Values{0, -std::sin(1.0)});
  CHECK(grad({s.sum(), c.sum()}, {x}, {.retain_graph = true})[0].to_vector<double>() ==
        Values{1, std::cos(1.0) - std::sin(1.0)});
  CHECK(grad({s * c}, {x}, {.grad_outputs = {ones_like(x)}, .retain_graph = true})[0][1].item() ==
        Approx(std::cos(2.0)));
  // By an output itself, of which there are two.
  const auto by_outputs = grad({(s * 2.0 + c * 3.0).sum()}, {c, s, x}, {.retain_graph = true});
  CHECK(by_outputs[0].to_vector<double>() == Values{3, 3});
  CHECK(by_outputs[1].to_vector<double>() == Values{2, 2});
  CHECK(by_outputs[2].to_vector<double>() == Values{2, 2 * std::cos(1.0) - 3 * std::sin(1.0)});
  (s + c).sum().backward();
  CHECK(x.grad().to_vector<double>() == Values{1, std::cos(1.0) - std::sin(1.0)});
  CHECK(message_of([s = s] { s.sum().backward(); }) ==
        "backward: the graph of 'sin_cos' was freed by an earlier backward, expected retain_graph = true there");
  const auto several = [&](std::vector<Tensor> y) {
    return message_of([&] { record("several", {x}, y, [](std::span<const Tensor> g) { return g[0]; }); });
  };
  CHECK(several({tensor({1.0}), arange(2)}) == "record 'several': output of int64, expected float32 or float64");
  CHECK(several({tensor({1.0}), x}) == "record 'several': the output of shape [2] is an input, expected a new tensor");
  CHECK(several({}) == "record 'several': no outputs, expected one or more");
}

TEST_CASE("hooks of the page", "[autograd]") {
  const Tensor w = tensor({0.25, -0.5}).view({1, 2}).clone().set_requires_grad();
  const Tensor x = tensor({4.0, 8.0}).view({1, 2});
  const auto [hidden, of_w] = watched(w, x);
  const double t = std::tanh(-3.0);
  CHECK(hidden.item() == Approx(2 * t));
  CHECK(of_w.to_vector<double>()[0] == Approx(2 * t * (1 - t * t) * 4));
  CHECK(of_w.to_vector<double>()[1] == Approx(2 * t * (1 - t * t) * 8));
  CHECK(watched(w.detach().mul_(0.0).set_requires_grad(), x).second.to_vector<double>() == Values{0, 0});
  const Tensor steep = tensor({0.25, 0.0}).view({1, 2}).clone().set_requires_grad();
  CHECK(watched(steep, x).second.to_vector<double>() == Values{0.5, 0.5});
}

TEST_CASE("blocks of the page give the same with and without a checkpoint", "[autograd]") {
  for_each_case(5, [&](Random& random) {
    Block a(random), b(random), c(random);
    const Tensor points = random_tensor(random, {3, 4}, DType::float64, Device::cpu);
    const auto gradients = [&](auto forward) {
      manual_seed(7);
      const Tensor x = points.clone().set_requires_grad();
      const Tensor y = forward(x);
      const auto state = default_generator().state();
      std::vector<Tensor> all = grad({square(y).sum()}, {x, a.weight, b.weight, c.weight});
      CHECK(default_generator().state().offset == state.offset);
      all.push_back(y);
      return all;
    };
    const auto want = gradients([&](const Tensor& x) { return c(b(a(x))); });
    const auto got = gradients([&](const Tensor& x) { return deep({&a, &b, &c}, x); });
    for (std::size_t i = 0; i < want.size(); ++i) check_equal(got[i], want[i]);
  });
}

TEST_CASE("the penalty of the page", "[autograd]") {
  for_each_case(3, [&](Random& random) {
    Block critic(random);
    critic.eval();
    const Tensor points = random_tensor(random, {3, 4}, DType::float64, Device::cpu);
    const Tensor start = critic.weight.detach().clone();
    slope_penalty(critic, points).backward();
    const Values gradient = critic.weight.grad().to_vector<double>();
    Values values = start.to_vector<double>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto moved = [&](double by) {
        Values there = values;
        there[i] += by;
        const NoGradGuard no_grad;
        critic.weight.copy_(tensor(there).view({4, 4}));
        const EnableGradGuard enable_grad;
        return slope_penalty(critic, points).item();
      };
      constexpr double h = 5e-4;
      const double slope = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
      CHECK(gradient[i] == Approx(slope).epsilon(1e-6).margin(1e-8));
    }
  });
}

}  // namespace tern::test
