/// grad(), hooks, modes, anomalies and checkpoints.

#include "support.hpp"

#include <tern/core/autograd.hpp>
#include <tern/core/checkpoint.hpp>
#include <tern/core/generator.hpp>
#include <tern/core/ops.hpp>
#include <tern/layers/layers.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <stdexcept>

namespace tern::test {

namespace {

using Values = std::vector<double>;

Tensor leaf(const Values& values, Device device = Device::cpu) { return tensor(values, device).set_requires_grad(); }

Values values(const Tensor& x) { return x.to_vector<double>(); }

/// An op that counts how often its gradient is computed.
Tensor counted(const Tensor& x, int& count) {
  return record("counted", {x}, x.detach() * 1.0, [&count](const Tensor& g) {
    ++count;
    return g;
  });
}

}  // namespace

TEST_CASE("grad by leaves and by results", "[autograd]") {
  for (const Device device : devices()) {
    const Tensor x = leaf({1, 2}, device), w = leaf({3, 4}, device), other = leaf({5, 6}, device);
    const Tensor h = x * w, y = h * h + other;
    const auto g = grad({y.sum()}, {h, x, w}, {.retain_graph = true});
    CHECK(values(g[0]) == Values{6, 16});
    CHECK(values(g[1]) == Values{18, 64});
    CHECK(values(g[2]) == Values{6, 32});
    for (const Tensor& t : {x, w, other, h}) CHECK_FALSE(t.grad().defined());
    for (const Tensor& t : g) {
      CHECK_FALSE(t.requires_grad());
      CHECK(t.is_contiguous());
      t.mul_(0.0);  // nobody else's
    }
    CHECK(values(h) == Values{3, 8});
    // Several outputs are summed up, with gradients or without.
    const Tensor one = tensor({10.0, 100.0}, device);
    CHECK(values(grad({y, h[0]}, {x}, {.grad_outputs = {one}, .retain_graph = true})[0]) ==
          Values{10 * 18 + 3, 100 * 64});
    CHECK(values(grad({h[0], y}, {x}, {.grad_outputs = {Tensor(), one}, .retain_graph = true})[0]) ==
          Values{10 * 18 + 3, 100 * 64});
    // An output that is an input, a leaf that is both, the same twice.
    CHECK(values(grad({h}, {h}, {.grad_outputs = {one}, .retain_graph = true})[0]) == Values{10, 100});
    CHECK(values(grad({x[0], x[0]}, {x})[0]) == Values{2, 0});
    CHECK(values(grad({x}, {x, x}, {.grad_outputs = {one}})[1]) == Values{10, 100});
    const Tensor number = tensor({2.0}, device).set_requires_grad(), itself = grad({number}, {number})[0];
    itself.mul_(3.0);
    CHECK(itself.item() == 3);
    CHECK(grad({number}, {number})[0].item() == 1);
    // What no output depends on.
    const auto unused = grad({y.sum()}, {other, number}, {.retain_graph = true, .allow_unused = true});
    CHECK(values(unused[0]) == Values{1, 1});
    CHECK_FALSE(unused[1].defined());
    CHECK(message_of([&] {
            grad({y.sum()}, {other, number});
          }) == "grad: no output was computed from input 1 of shape [1], expected allow_unused");
  }
}

TEST_CASE("grad goes through what leads to its inputs, and frees no more", "[autograd]") {
  int a = 0, b = 0, before = 0;
  const Tensor x = leaf({1, 2}), w = leaf({3, 4});
  const Tensor h = counted(x, before) * 2.0, y = counted(h, a) + counted(w, b);
  grad({y.sum()}, {h}, {.retain_graph = true});
  CHECK(a == 1);
  CHECK(b == 0);
  CHECK(before == 0);
  const Tensor loss = y.sum();
  grad({loss}, {w});
  CHECK(a == 1);
  CHECK(b == 1);
  // The way to x is still there, the end of it is not.
  CHECK(message_of([&] { loss.backward(); }).find("was freed by an earlier backward") != std::string::npos);
  CHECK(values(grad({h.sum()}, {x})[0]) == Values{2, 2});
  CHECK(before == 1);
}

TEST_CASE("what grad refuses", "[autograd]") {
  const Tensor x = leaf({1, 2}), y = x * 2.0, c = tensor({1.0, 2.0});
  CHECK(message_of([&] { grad({y}, {x}); }) ==
        "grad: tensor of shape [2], expected one element or a gradient of that shape");
  CHECK(message_of([&] { grad({c}, {x}, {.grad_outputs = {c}}); }) ==
        "grad: a tensor of shape [2] that was computed from nothing that requires grad");
  CHECK(message_of([&] { grad({y.sum()}, {c}); }) == "grad: input 0 of shape [2], expected one that requires grad");
  CHECK(message_of([&] {
          grad({y}, {x}, {.grad_outputs = {c, c}});
        }) == "grad: 2 grad_outputs for 1 outputs, expected no more");
  CHECK(message_of([&] { grad({y}, {x}, {.grad_outputs = {tensor({1.0})}}); }) ==
        "grad: gradient of shape [1], float64 on cpu, expected [2], float64 on cpu");
  CHECK(message_of([&] { grad({Tensor()}, {x}); }) == "tensor: undefined, expected one that holds an array");
  CHECK(message_of([&] { grad({y.sum()}, {Tensor()}); }) == "grad: an input is undefined, expected a tensor");
  CHECK(grad({y.sum()}, {}).empty());
  CHECK(values(grad({y.sum()}, {x})[0]) == Values{2, 2});
}

TEST_CASE("hooks see complete gradients and may replace them", "[autograd]") {
  for (const Device device : devices()) {
    const Tensor x = leaf({1, 2}, device);
    std::vector<Values> seen;
    const Tensor h = x * 3.0;
    const RemovableHandle of_h = h.register_hook([&](const Tensor& g) { seen.push_back(values(g)); });
    const RemovableHandle doubled = h.register_hook([](const Tensor& g) { return g * 2.0; });
    const RemovableHandle of_x = x.register_hook([&](const Tensor& g) {
      seen.push_back(values(g));
      return Tensor();
    });
    const Tensor y = (h * h + h).sum() + x.sum();
    y.backward(true);
    // By h: 2 h + 1, once though h is used three times; then doubled, and times 3; x itself adds 1.
    REQUIRE(seen.size() == 2);
    CHECK(seen[0] == Values{7, 13});
    CHECK(seen[1] == Values{43, 79});
    CHECK(values(x.grad()) == Values{43, 79});
    doubled.remove();
    doubled.remove();
    const RemovableHandle halved = x.register_hook([](const Tensor& g) { return g * 0.5; });
    y.backward(true);
    CHECK(seen.back() == Values{22, 40});  // what this pass adds, before it is halved
    CHECK(values(x.grad()) == Values{43 + 11, 79 + 20});
    of_h.remove();
    of_x.remove();
    const std::size_t before = seen.size();
    // By grad, too: of a leaf, and of a result.
    const auto g = grad({y}, {h, x}, {.retain_graph = true});
    CHECK(values(g[0]) == Values{7, 13});
    CHECK(seen.size() == before);
    halved.remove();
    x.set_grad({});
    y.backward();
    CHECK(values(x.grad()) == Values{22, 40});
  }
}

TEST_CASE("a hook outlives its tensor's handle, and its handle the tensor", "[autograd]") {
  const Tensor x = leaf({1, 2});
  int calls = 0;
  Tensor loss;
  RemovableHandle handle = x.register_hook([](const Tensor&) {});
  {
    const Tensor h = x * 2.0;
    handle = h.register_hook([&](const Tensor&) { ++calls; });
    loss = h.sum();
  }
  loss.backward();
  CHECK(calls == 1);
  loss = {};
  handle.remove();
  // It may remove itself, and throw.
  const Tensor y = x * 2.0;
  RemovableHandle own = y.register_hook([&](const Tensor&) {
    ++calls;
    own.remove();
  });
  y.sum().backward(true);
  y.sum().backward(true);
  CHECK(calls == 2);
  x.set_grad({});
  y.register_hook([](const Tensor&) { throw std::runtime_error("hook"); });
  CHECK_THROWS_WITH(y.sum().backward(true), "hook");
  CHECK_FALSE(x.grad().defined());
  CHECK(is_grad_enabled());
}

TEST_CASE("a leaf's hooks run when the last of its gradient is there, not at the end of the pass", "[autograd]") {
  const Tensor early = leaf({1, 2}), late = leaf({3, 4}), unused = leaf({5, 6});
  std::string order;
  const auto op = [&](const Tensor& x, char name) {
    return record("named", {x}, x.detach() * 1.0, [&order, name](const Tensor& g) {
      order += name;
      return g;
    });
  };
  early.register_hook([&](const Tensor&) { order += 'E'; });
  late.register_hook([&](const Tensor& g) {
    order += 'L';
    CHECK(values(g) == Values{3, 4});
    CHECK_FALSE(late.grad().defined());
  });
  unused.register_hook([&](const Tensor&) { order += 'U'; });
  // late is used twice, and by an op that nothing leads to; `unused` by none that has a gradient.
  const Tensor no_use = op(late * unused, 'x');
  const Tensor first = op(op(late, 'a'), 'b') * early, second = op(late, 'c') * 2.0;
  (first + second).sum().backward();
  CHECK(order == "cEbaL");
  CHECK(values(early.grad()) == Values{3, 4});
  CHECK(values(late.grad()) == Values{3, 4});
  static_cast<void>(no_use);
}

TEST_CASE("what register_hook and retain_grad refuse", "[autograd]") {
  const Tensor x = leaf({1, 2}), y = x * 2.0;
  CHECK(message_of([] { tensor({1.0}).register_hook([](const Tensor&) {}); }) ==
        "register_hook: a tensor of shape [1], expected one that requires grad");
  CHECK(message_of([] { tensor({1.0}).retain_grad(); }) ==
        "retain_grad: a tensor of shape [1], expected one that requires grad");
  CHECK(message_of([] { Tensor().retain_grad(); }) == "retain_grad: the tensor is undefined, expected a tensor");
  y.register_hook([](const Tensor&) { return tensor({1.0}); });
  CHECK(message_of([&] { y.sum().backward(); }) ==
        "register_hook: a hook returned float64 [1] on cpu, expected float64 [2] on cpu");
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("retain_grad fills a result's gradient, once the pass has ended", "[autograd]") {
  for (const Device device : devices()) {
    const Tensor x = leaf({1, 2}, device), h = x * 3.0, y = (h * h).sum();
    h.retain_grad();
    x.retain_grad();
    h.register_hook([](const Tensor& g) { return g * 2.0; });
    y.backward(true);
    CHECK(values(h.grad()) == Values{12, 24});
    CHECK(values(x.grad()) == Values{36, 72});
    h.grad().mul_(0.0);  // nobody else's
    y.backward(true);
    CHECK(values(h.grad()) == Values{12, 24});
    CHECK(values(x.grad()) == Values{72, 144});
    y.backward(true);
    CHECK(values(h.grad()) == Values{24, 48});
    grad({y}, {x}, {.retain_graph = true});
    CHECK(values(h.grad()) == Values{24, 48});
    // A pass that fails gives nothing.
    bool fails = true;
    const Tensor z = record("moody", {x}, x.detach() * 1.0, [&](const Tensor& g) {
      if (fails) throw std::runtime_error("moody");
      return g;
    });
    const Tensor k = z * 2.0;
    k.retain_grad();
    CHECK_THROWS(k.sum().backward(true));
    CHECK_FALSE(k.grad().defined());
    fails = false;
    k.sum().backward();
    CHECK(values(k.grad()) == Values{1, 1});
  }
  // What nobody holds any more is not kept for it.
  std::weak_ptr<Storage> memory;
  const Tensor x = leaf({1, 2});
  Tensor y;
  {
    const Tensor h = x + 1.0;
    h.retain_grad();
    memory = h.storage();
    y = h.sum();
  }
  CHECK(memory.expired());
  y.backward();
  CHECK(values(x.grad()) == Values{1, 1});
}

TEST_CASE("guards switch recording off and on", "[autograd]") {
  const Tensor x = leaf({1, 2});
  {
    const NoGradGuard no_grad;
    {
      const EnableGradGuard enable_grad;
      CHECK(is_grad_enabled());
      CHECK((x * 2.0).requires_grad());
      const SetGradEnabled off(false);
      CHECK_FALSE(is_grad_enabled());
    }
    CHECK_FALSE(is_grad_enabled());
  }
  CHECK(is_grad_enabled());
  CHECK_FALSE(no_grad([&] { return x * 2.0; }).requires_grad());
  CHECK_THROWS(no_grad([]() -> Tensor { throw std::runtime_error("no"); }));
  CHECK(is_grad_enabled());
}

TEST_CASE("an anomaly is told with its op", "[autograd]") {
  for (const Device device : devices()) {
    const Tensor x = leaf({-1, 4}, device);
    // The gradient of sqrt is NaN at -1, and so is all before it.
    const auto loss = [&] { return sqrt(x * 1.0 + 0.0).sum(); };
    loss().backward();
    CHECK(std::isnan(values(x.grad())[0]));
    x.set_grad({});
    const Tensor infinite = reciprocal(x * 0.0).sum();  // -infinity times 0
    {
      const AnomalyGuard guard;
      CHECK(AnomalyGuard::is_alive());
      CHECK(message_of([&] { loss().backward(); }) ==
            "backward of 'sqrt': NaN in the gradient for input 0 of shape [2]");
      CHECK(message_of([&] { infinite.backward(); }) ==
            "backward of 'mul': NaN in the gradient for input 0 of shape [2]");
      CHECK_FALSE(x.grad().defined());
      (x * 2.0).sum().backward();
      CHECK(values(x.grad()) == Values{2, 2});
    }
    CHECK_FALSE(AnomalyGuard::is_alive());
  }
}

TEST_CASE("an anomaly is told with the layer that called its op", "[autograd]") {
  struct Root : Module {
    Tensor forward(const Tensor& x) override { return sqrt(x); }
    std::string str() const override { return "Root()"; }
  };
  struct Net : Module {
    Linear fc{2, 2};
    Root root;
    Members members() override { return {.modules = {{"fc", &fc}, {"root", &root}}}; }
    Tensor forward(const Tensor& x) override {
      const Tensor y = root(fc(x)).sum();
      return y + tern::log(x * 0.0).sum() * 0.0;
    }
    std::string str() const override { return "Net"; }
  } net;
  const Tensor x = tensor({1.0f, 2.0f}).set_requires_grad();
  const NoGradGuard no_grad;
  net.fc.parameters()[0].fill_(0);
  net.fc.parameters()[1].fill_(-1);
  const EnableGradGuard enable_grad;
  const AnomalyGuard guard;
  CHECK(message_of([&] { net(x).backward(); }) ==
        "backward of 'log': NaN in the gradient for input 0 of shape [2], which was called by Net");
  CHECK(message_of([&] { net.root(net.fc(x)).sum().backward(); }) ==
        "backward of 'sqrt': NaN in the gradient for input 0 of shape [2], which was called by Root()");
  struct Outer : Module {
    Net inner;
    Members members() override { return {.modules = {{"inner", &inner}}}; }
    Tensor forward(const Tensor& in) override { return inner.root(inner.fc(in)).sum(); }
  } outer;
  outer.inner = net;
  CHECK(message_of([&] { outer(x).backward(); }) ==
        "backward of 'sqrt': NaN in the gradient for input 0 of shape [2], which was called by inner.root: Root()");
  CHECK(message_of([&] { sqrt(x - 4.0).sum().backward(); }) ==
        "backward of 'sqrt': NaN in the gradient for input 0 of shape [2]");
}

TEST_CASE("a checkpoint keeps its input, and gives the same gradients", "[autograd]") {
  for (const Device device : devices()) {
    const Tensor weight = leaf({0.5, -1.5, 2.0}, device);
    int runs = 0;
    std::weak_ptr<Storage> inside;
    const auto part = [&](const Tensor& a, const Tensor& b) {
      ++runs;
      const Tensor h = exp(dropout(a * weight, 0.5)), z = tanh(h * b);
      inside = z.storage();
      return z * h;
    };
    const auto run = [&](bool with, const GradOptions& options = {}) {
      manual_seed(3);
      const Tensor a = leaf({0.1, 0.2, 0.3}, device), b = leaf({1, 2, 3}, device);
      const Tensor y = with ? checkpoint(part, a * 2.0, b) : part(a * 2.0, b);
      CHECK(inside.expired() == with);
      const auto at = default_generator().state();
      std::vector<Tensor> all = grad({y.sum()}, {a, b, weight}, options);
      CHECK(default_generator().state().offset == at.offset);
      if (options.create_graph) {
        Tensor sum = all[0].sum();
        for (const Tensor& g : {all[1], all[2]}) sum = sum + square(g).sum();
        for (const Tensor& g : grad({sum}, {a, b, weight})) all.push_back(g);
      }
      all.push_back(y);
      return all;
    };
    for (const GradOptions& options :
         {GradOptions{}, GradOptions{.retain_graph = true}, GradOptions{.create_graph = true}}) {
      runs = 0;
      const auto want = run(false, options);
      CHECK(runs == 1);
      const auto got = run(true, options);
      CHECK(runs == 3);
      REQUIRE(want.size() == got.size());
      for (std::size_t i = 0; i < want.size(); ++i) check_equal(got[i], want[i]);
    }
    // Within another one.
    const Tensor x = leaf({0.1, 0.2, 0.3}, device);
    const auto nested = [&](const Tensor& in) { return checkpoint(part, sin(in), in) * checkpoint(part, in, in); };
    manual_seed(4);
    const Tensor plain = nested(x), want = grad({plain.sum()}, {x})[0];
    manual_seed(4);
    const Tensor twice = checkpoint(nested, x), got = grad({twice.sum()}, {x})[0];
    check_equal(twice, plain);
    check_equal(got, want);
    // Backward into leaves, one of them only captured; without anything that requires grad.
    weight.set_grad({});
    checkpoint([&](const Tensor& in) { return in * weight; }, x * 1.0).sum().backward();
    CHECK(values(weight.grad()) == Values{0.1, 0.2, 0.3});
    CHECK(values(x.grad()) == Values{0.5, -1.5, 2});
    CHECK_FALSE(checkpoint([](const Tensor& in) { return exp(in); }, x.detach()).requires_grad());
    {
      const NoGradGuard no_grad;
      CHECK_FALSE(checkpoint(part, x, x).requires_grad());
    }
  }
}

TEST_CASE("a checkpoint's running statistics move once", "[autograd]") {
  for (const Device device : devices()) {
    const TensorOptions like{.dtype = DType::float64, .device = device};
    const Tensor mean = zeros({2}, like), var = ones({2}, like),
                 count = zeros({}, {.dtype = DType::int64, .device = device});
    const auto part = [&](const Tensor& x) {
      return tanh(batch_norm2d(x, mean, var, {}, {}, {.training = true, .num_batches_tracked = count}));
    };
    const Tensor x = leaf({1, 2, 3, 4, 5, 7, 8, 11}, device), y = checkpoint(part, x.view({2, 2, 2, 1}));
    const Values after = values(mean);
    CHECK(after != Values{0, 0});
    y.sum().backward();
    CHECK(values(mean) == after);
    CHECK(count.item<std::int64_t>() == 1);
    const Values got = values(x.grad());
    x.set_grad({});
    part(x.view({2, 2, 2, 1})).sum().backward();
    CHECK(got == values(x.grad()));
  }
}

TEST_CASE("a checkpoint that does not run again as it ran is an error", "[autograd]") {
  const Tensor x = leaf({1, 2}), c = tensor({3.0, 4.0});
  const auto message = [&](auto function) {
    const Tensor y = checkpoint(function, x * 1.0).sum();
    const std::string told = message_of([&] { y.backward(); });
    CHECK_FALSE(x.grad().defined());
    CHECK(is_grad_enabled());
    return told;
  };
  int calls = 0;
  CHECK(message([&calls](const Tensor& in) { return ++calls == 1 ? exp(in) : exp(exp(in)); }) ==
        "checkpoint: the function saves a tensor float64 [2] as number 1 when it runs again, expected the same as at "
        "first");
  calls = 0;
  CHECK(message([&calls](const Tensor& in) { return ++calls == 1 ? exp(exp(in)) : exp(in); }) ==
        "checkpoint: the function saves 1 tensors when it runs again, 2 at first");
  calls = 0;
  CHECK(message([&calls](const Tensor& in) { return exp(++calls == 1 ? in : in[0]); }) ==
        "checkpoint: the function saves a tensor float64 [] as number 0 when it runs again, expected the same as at "
        "first");
  calls = 0;
  CHECK_THROWS_WITH(checkpoint(
                        [&calls](const Tensor& in) {
                          if (++calls == 2) throw std::runtime_error("second");
                          return exp(in);
                        },
                        x)
                        .sum()
                        .backward(),
                    "second");
  // What it reads has changed in between: its input, or what it captured.
  const Tensor input = tensor({1.0, 2.0});
  const Tensor y = checkpoint([&](const Tensor& in) { return in * x; }, input);
  input.mul_(2.0);
  CHECK(message_of([&] { y.sum().backward(); }).find("was changed in place") != std::string::npos);
  const Tensor z = checkpoint([&](const Tensor& in) { return in * c; }, x);
  c.mul_(2.0);
  CHECK(message_of([&] { z.sum().backward(); }).find("was changed in place") != std::string::npos);
}

TEST_CASE("a thousand checkpoints, one after the other, and freed", "[autograd]") {
  const Tensor x = leaf({0.5});
  Tensor y = x;
  for (int i = 0; i < 1000; ++i) y = checkpoint([](const Tensor& in) { return sin(in) * 1.5; }, y);
  Tensor want = x;
  for (int i = 0; i < 1000; ++i) want = sin(want) * 1.5;
  check_equal(grad({y}, {x}, {.retain_graph = true})[0], grad({want}, {x})[0]);
}

}  // namespace tern::test
