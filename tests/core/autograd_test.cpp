#include "support.hpp"

#include <tern/core/autograd.hpp>
#include <tern/core/ops.hpp>

#include <stdexcept>
#include <thread>

namespace tern::test {

namespace {

using Values = std::vector<double>;

Tensor leaf(const std::vector<double>& values, Device device = Device::cpu) {
  return tensor(values, device).set_requires_grad();
}

Values grad(const Tensor& x) { return x.grad().to_vector<double>(); }

}  // namespace

TEST_CASE("requires_grad goes from inputs to outputs", "[autograd]") {
  const Tensor x = leaf({1, 2}), c = tensor({3.0, 4.0});
  CHECK(x.is_leaf());
  CHECK_FALSE(c.requires_grad());
  CHECK((x + c).requires_grad());
  CHECK_FALSE((x + c).is_leaf());
  CHECK_FALSE((c + c).requires_grad());
  CHECK((c + c).is_leaf());
  CHECK((x + c).grad_node()->name == std::string("add"));
  CHECK_FALSE(x.grad().defined());
  CHECK_FALSE(eq(x, c).requires_grad());
  CHECK_FALSE(argmax(x).requires_grad());
  CHECK_FALSE(x.to(DType::int64).requires_grad());
  CHECK(x[0].requires_grad());
  x.set_requires_grad(false);
  CHECK_FALSE((x + c).requires_grad());
  CHECK(message_of([&] { (leaf({1}) * 2).set_requires_grad(false); }) ==
        "set_requires_grad: the result of 'mul', expected a leaf");
  CHECK(message_of([] { arange(2).set_requires_grad(); }) ==
        "set_requires_grad: tensor of int64, expected float32 or float64");
}

TEST_CASE("the first backward assigns, the second adds", "[autograd]") {
  for (const Device device : devices()) {
    const Tensor x = leaf({1, 2, 3}, device);
    (x * x).sum().backward();
    CHECK(grad(x) == Values{2, 4, 6});
    (x * 10.0).sum().backward();
    CHECK(grad(x) == Values{12, 14, 16});
    x.set_grad({});
    CHECK_FALSE(x.grad().defined());
    (x * 10.0).sum().backward();
    CHECK(grad(x) == Values{10, 10, 10});
  }
}

TEST_CASE("a handle on the gradient sees what is added later", "[autograd]") {
  const Tensor x = leaf({1, 2});
  (x * 3.0).sum().backward();
  const Tensor g = x.grad();
  (x * 4.0).sum().backward();
  CHECK(g.to_vector<double>() == Values{7, 7});
  CHECK(g.is_same(x.grad()));
}

TEST_CASE("a tensor used several times, and diamonds", "[autograd]") {
  for (const Device device : devices()) {
    const Tensor x = leaf({2, 3}, device);
    (x + x).backward(tensor({1.0, 10.0}, device));
    CHECK(grad(x) == Values{2, 20});
    x.set_grad({});
    (x * x * x).sum().backward();
    CHECK(grad(x) == Values{12, 27});
    x.set_grad({});
    const Tensor y = x * 2.0, left = y * 3.0, right = y * y;
    (left + right + y).sum().backward();  // 3 * 2x + 4 x^2 + 2x
    CHECK(grad(x) == Values{8 + 16, 8 + 24});
    // The same node reached over ways of different length, the longer one recorded first.
    x.set_grad({});
    const Tensor a = x * 2.0, b = a * a, c = b * a, d = a * 5.0;
    (c * d).sum().backward();  // (2x)^3 * 10 x = 80 x^4
    CHECK(grad(x) == Values{320 * 8, 320 * 27});
  }
}

TEST_CASE("only what the output depends on gets a gradient", "[autograd]") {
  const Tensor x = leaf({1}), y = leaf({2}), z = x * y, other = y * 3.0;
  x.detach();
  (x * 2.0).backward();
  CHECK(grad(x) == Values{2});
  CHECK_FALSE(y.grad().defined());
  CHECK_FALSE(z.grad().defined());
  z.backward();
  CHECK(grad(x) == Values{4});
  CHECK(grad(y) == Values{1});
  CHECK_FALSE(z.grad().defined());
  other.backward();
  CHECK(grad(y) == Values{4});
}

TEST_CASE("gradients share memory neither with each other nor with what was given", "[autograd]") {
  for (const Device device : devices()) {
    using Make = std::function<Tensor(const Tensor&, const Tensor&)>;
    const Make makers[] = {
        [](const Tensor& a, const Tensor& b) { return a + b; },
        [](const Tensor& a, const Tensor& b) { return b - a; },
        [](const Tensor& a, const Tensor& b) {
          return cat({a, b}).narrow(0, 0, 3) + b;
        },
        [](const Tensor& a, const Tensor& b) {
          return stack({a, b}).sum({0});
        },
        [](const Tensor& a, const Tensor& b) {
          return a.reshape({3, 1}).squeeze(1) + b.view({1, 3})[0];
        },
        [](const Tensor& a, const Tensor& b) { return a.clone() + b.clone(); },
        [](const Tensor& a, const Tensor& b) {
          return dropout(a, 0) + b.expand({1, 3}).select(0, 0);
        },
        [](const Tensor& a, const Tensor& b) { return maximum(a, b) + minimum(a, b); },
    };
    for (const Make& make : makers) {
      const Tensor a = leaf({1, 2, 3}, device), b = leaf({4, 5, 6}, device), given = ones_like(a);
      make(a, b).backward(given);
      CHECK(a.grad().storage() != b.grad().storage());
      CHECK(a.grad().storage() != given.storage());
      CHECK(b.grad().storage() != given.storage());
      const Values before = grad(b);
      a.grad().fill_(100);
      CHECK(grad(b) == before);
      CHECK(given.to_vector<double>() == Values{1, 1, 1});
      CHECK(a.to_vector<double>() == Values{1, 2, 3});
    }
    // Straight to a leaf, and to a leaf under a retained graph: the same gradient arrives twice.
    const Tensor x = leaf({1, 2}, device), given = ones_like(x), y = x.view({2});
    x.backward(given);
    y.backward(given, true);
    y.backward(given);
    CHECK(grad(x) == Values{3, 3});
    CHECK(given.to_vector<double>() == Values{1, 1});
  }
}

TEST_CASE("the gradient that backward begins with is one, and stays so", "[autograd]") {
  for (const Device device : devices()) {
    // To a leaf itself, and through ops that hand it on: to leaves that then change.
    const Tensor x = tensor({3.0}, device).set_requires_grad(), y = tensor({4.0}, device).set_requires_grad();
    x.backward();
    CHECK(grad(x) == Values{1});
    x.grad().fill_(100);
    (x + y).backward();
    CHECK(grad(x) == Values{101});
    CHECK(grad(y) == Values{1});
    y.grad().mul_(7);
    (x.view({1, 1}) + 2.0).backward();
    CHECK(grad(x) == Values{102});
    (y - 2.0).sum().backward();
    CHECK(grad(y) == Values{8});
    // Nor may an op of one's own write to it.
    const Tensor z = record("greedy", {x}, x.detach() * 1.0, [](const Tensor& g) { return g.mul_(2); });
    CHECK(message_of([&] { z.backward(); }) ==
          "mul_: in-place on the gradient that backward begins with, expected a clone");
    (x * 1.0).backward();
    CHECK(grad(x) == Values{103});
  }
}

TEST_CASE("cross_entropy hands on the gradient that it has, unless there is more to multiply by", "[autograd]") {
  for (const Device device : devices()) {
    for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
      const CrossEntropyOptions options{.ignore_index = 2, .reduction = reduction, .label_smoothing = 0.1};
      const Tensor x = tensor({0.5, -1.0, 2.0, 0.25, 1.0, -0.5, 3.0, 0.0, 1.0}, device).view({3, 3}).clone();
      const Tensor target = tensor<std::int64_t>({0, 2, 1}, device);
      x.set_requires_grad();
      std::vector<Tensor> seen;
      const auto logits = [&] {
        return record("probe", {x}, x.detach().clone(), [&seen](const Tensor& g) {
          seen.push_back(g);
          return g;
        });
      };
      const auto loss = [&] {
        const Tensor l = cross_entropy(logits(), target, options);
        return reduction == Reduction::none ? l.sum() : l;
      };
      // What the composition gives.
      const Tensor log_prob = log_softmax(x, 1), wanted = tensor({1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0}, device);
      const Tensor rows = tensor({1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0}, device) / 3.0;
      const Tensor composed = -(log_prob * (wanted * 0.9 + rows * 0.1).view({3, 3})).sum();
      (reduction == Reduction::mean ? composed / 2.0 : composed).backward();
      const Values want = grad(x);
      const auto check = [&](double factor) {
        const Values got = grad(x);
        for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(factor * want[i]).margin(1e-15));
        x.set_grad({});
      };
      x.set_grad({});

      loss().backward();
      check(1);
      (loss() * 3.0).backward();
      check(3);
      const Tensor penalty = x * 0.0;
      (loss() + penalty.sum()).backward();
      check(1);
      loss().backward(full({}, 2.0, {.dtype = DType::float64, .device = device}));
      check(2);

      // Through a sum with something else, twice: the same array both times, and no leaf's to write to.
      seen.clear();
      const Tensor retained = loss() + 1.0;
      retained.backward(true);
      x.grad().fill_(5);
      x.set_grad({});
      retained.backward(true);
      check(1);
      (retained * 2.0).backward(true);
      check(2);
      retained.backward();
      check(1);
      REQUIRE(seen.size() == 4);
      CHECK(seen[0].storage() == seen[1].storage());
      CHECK(seen[0].storage() != seen[2].storage());
      CHECK(seen[0].storage() == seen[3].storage());
    }
    const NoGradGuard no_grad;
    const Tensor x = zeros({1, 2}, {.dtype = DType::float64, .device = device, .requires_grad = true});
    CHECK_FALSE(cross_entropy(x, tensor<std::int64_t>({0}, device)).requires_grad());
  }
}

TEST_CASE("a leaf keeps the gradient that an op hands on, where nobody else holds it", "[autograd]") {
  const Tensor x = leaf({1, 2, 3});
  const Storage* made = nullptr;
  const auto op = [&](const Tensor& in) {
    return record("op", {in}, in.detach() * 1.0, [&made](const Tensor& g) {
      const Tensor dx = g.clone();
      made = dx.storage().get();
      return dx;
    });
  };
  // Through a view; to two leaves, of which the second may have it.
  op(x.view({3, 1})).backward(ones({3, 1}, {.dtype = DType::float64}));
  CHECK(x.grad().storage().get() == made);
  x.set_grad({});
  const Tensor y = leaf({4, 5, 6});
  op(x + y).backward(ones({3}, {.dtype = DType::float64}));
  CHECK(x.grad().storage().get() != made);
  CHECK(y.grad().storage().get() == made);
}

TEST_CASE("what leaves get on top of a gradient is added in the order it comes in", "[autograd]") {
  for (const Device device : devices()) {
    const Tensor x = tensor({1.0f}, device).set_requires_grad(), other = tensor({1.0f}, device).set_requires_grad();
    const auto backward = [&](std::initializer_list<double> factors) {
      Tensor sum = other * 0.0;
      for (const double factor : factors) sum = sum + x * factor;
      sum.sum().backward();
    };
    // The op that was recorded last comes first, and float32 has no room for 1e8 + 1.
    backward({1e8, 1, -1e8});
    CHECK(x.grad().item() == 0);
    x.set_grad({});
    backward({1, 1e8, -1e8});
    CHECK(x.grad().item() == 1);
    backward({1e8, 1, -1e8});  // 1 - 1e8 is -1e8, too
    CHECK(x.grad().item() == 0);
  }
}

TEST_CASE("gradients that come second do not get into each other's way", "[autograd]") {
  for (const Device device : devices()) {
    const Tensor a = leaf({1, 2}, device), b = leaf({3, 4}, device), c = leaf({5, 6}, device);
    (a + b).sum().backward();
    // One gradient for two that have one, and for one that has none.
    const Tensor given = tensor({10.0, 20.0}, device);
    (a + b + c).backward(given);
    CHECK(grad(a) == Values{11, 21});
    CHECK(grad(b) == Values{11, 21});
    CHECK(grad(c) == Values{10, 20});
    CHECK(given.to_vector<double>() == Values{10, 20});
    // A leaf's own gradient, for itself and for others.
    (a + b + c).backward(a.grad());
    CHECK(grad(a) == Values{22, 42});
    CHECK(grad(c) == Values{21, 41});
    // A gradient that is no dense array.
    a.set_grad(tensor({1.0, 0.0, 1.0, 0.0}, device).view({2, 2}).select(1, 0));
    (a * 2.0).sum().backward();
    CHECK(grad(a) == Values{3, 3});
  }
}

TEST_CASE("a gradient is dense and changes in place, though its op gave an expanded one", "[autograd]") {
  for (const Device device : devices()) {
    const Tensor x = leaf({1, 2, 3}, device);
    x.sum().backward();
    CHECK(x.grad().is_contiguous());
    x.grad().mul_(2);
    x.sum().backward();
    CHECK(grad(x) == Values{3, 3, 3});
  }
}

TEST_CASE("NoGradGuard and detach", "[autograd]") {
  const Tensor x = leaf({1, 2});
  CHECK(is_grad_enabled());
  {
    const NoGradGuard outer;
    CHECK_FALSE(is_grad_enabled());
    {
      const NoGradGuard inner;
      CHECK_FALSE(is_grad_enabled());
    }
    CHECK_FALSE(is_grad_enabled());
    CHECK_FALSE((x * 2.0).requires_grad());
    CHECK_FALSE(x.view({2, 1}).requires_grad());
    std::thread([] { CHECK(is_grad_enabled()); }).join();
  }
  CHECK(is_grad_enabled());
  CHECK((x * 2.0).requires_grad());

  const Tensor y = x * 3.0;
  (y.detach() * y).sum().backward();  // y as a constant times y
  CHECK(grad(x) == Values{9, 18});
  CHECK_FALSE(x.detach().requires_grad());
  CHECK(x.detach().is_leaf());
}

TEST_CASE("a gradient is computed without recording", "[autograd]") {
  const Tensor x = leaf({1, 2});
  (x * x).sum().backward();
  CHECK_FALSE(x.grad().requires_grad());
  bool recorded = true;
  record("probe", {x}, x.detach().clone(), [&](const Tensor& g) {
    recorded = is_grad_enabled();
    return g;
  }).backward(ones_like(x));
  CHECK_FALSE(recorded);
  CHECK(is_grad_enabled());
}

TEST_CASE("retain_graph", "[autograd]") {
  const Tensor x = leaf({2, 3}), y = x * x, loss = y.sum();
  loss.backward(true);
  loss.backward(true);
  CHECK(grad(x) == Values{8, 12});
  loss.backward();
  CHECK(grad(x) == Values{12, 18});
  const std::string freed =
      "backward: the graph of 'sum' was freed by an earlier backward, expected retain_graph = true there";
  CHECK(message_of([&] { loss.backward(); }) == freed);
  CHECK(message_of([&] { (loss * 2.0).backward(); }) == freed);
  CHECK(message_of([&] { y.sum().backward(); }) ==
        "backward: the graph of 'mul' was freed by an earlier backward, expected retain_graph = true there");
  CHECK(grad(x) == Values{12, 18});
}

TEST_CASE("a graph that was freed holds no saved tensors", "[autograd]") {
  std::weak_ptr<Storage> saved;
  const Tensor x = leaf({2, 3});
  Tensor loss;
  {
    const Tensor y = exp(x);
    saved = y.storage();
    loss = y.sum();
  }
  CHECK_FALSE(saved.expired());
  loss.backward(true);
  CHECK_FALSE(saved.expired());
  loss.backward();
  CHECK(saved.expired());

  // Also where no gradient came by.
  const Tensor blocked = record("blocked", {exp(x)}, tensor({1.0}), [](const Tensor&) { return Tensor(); });
  const std::shared_ptr<Node> behind = blocked.grad_node()->inputs[0].node;
  REQUIRE(behind->backward != nullptr);
  blocked.backward();
  CHECK(behind->backward == nullptr);
}

TEST_CASE("a gradient lies over what was saved only where nobody else holds it", "[autograd]") {
  const Tensor x = leaf({1, 2, 3});
  bool reused = false;
  const auto triple = [&](const Tensor& in) {
    return record("triple", {in}, in.detach() * 3.0, [&reused, saved = Saved(in)](const Tensor& gradient) {
      const Tensor dx = saved.reuse();
      reused = dx.storage() == (*saved).storage();
      dx.copy_(gradient * 3.0);
      return dx;
    });
  };
  const auto reuses = [&](const Tensor& loss, bool retain_graph = false) {
    x.set_grad({});
    loss.backward(retain_graph);
    CHECK(grad(x) == Values{6, 6, 6});
    return reused;
  };
  Tensor loss = triple(x * 2.0).sum();
  CHECK(reuses(loss));

  const Tensor held = x * 2.0;
  CHECK_FALSE(reuses(triple(held).sum()));
  CHECK(held.to_vector<double>() == Values{2, 4, 6});

  Tensor view;
  {
    const Tensor y = x * 2.0;
    view = y.detach().select(0, 1);
    loss = triple(y).sum();
  }
  CHECK_FALSE(reuses(loss));
  CHECK(view.item() == 4);

  loss = triple(x * 2.0).sum();
  CHECK_FALSE(reuses(loss, true));
  CHECK(reuses(loss));

  // exp's own gradient needs what triple saves.
  x.set_grad({});
  triple(exp(x)).sum().backward();
  CHECK_FALSE(reused);
  CHECK(grad(x) == (exp(x.detach()) * 3.0).to_vector<double>());
}

TEST_CASE("what backward refuses", "[autograd]") {
  const Tensor x = leaf({1, 2}), y = x * 2.0;
  CHECK(message_of([&] { y.backward(); }) ==
        "backward: tensor of shape [2], expected one element or a gradient of that shape");
  CHECK(message_of([&] { tensor({1.0}).backward(); }) ==
        "backward: a tensor of shape [1] that was computed from nothing that requires grad");
  CHECK(message_of([&] { y.backward(tensor({1.0})); }) ==
        "backward: gradient of shape [1], float64 on cpu, expected [2], float64 on cpu");
  CHECK(message_of([&] {
          y.backward(tensor({1.0f, 2.0f}));
        }) == "backward: gradient of shape [2], float32 on cpu, expected [2], float64 on cpu");
  CHECK(message_of([&] {
          y.backward(tensor({1.0, 2.0}, Device::reference));
        }) == "backward: gradient of shape [2], float64 on reference, expected [2], float64 on cpu");
  CHECK(message_of([&] { x.set_grad(tensor({1.0})); }) ==
        "set_grad: expected a gradient of shape [2], dtype and device as the tensor's");
  CHECK_FALSE(x.grad().defined());
  y.backward(tensor({1.0, 2.0}));
  CHECK(grad(x) == Values{2, 4});
}

TEST_CASE("in-place ops refuse leaves that require grad, and views", "[autograd]") {
  const Tensor x = leaf({1, 2}), y = x * 1.0, c = tensor({5.0, 6.0}), half = c.narrow(0, 0, 1);
  const auto refused = [](const char* op, const char* what) { return std::string(op) + ": in-place on a " + what; };
  const char* const a_leaf = "leaf that requires grad, expected a NoGradGuard around it";
  const char* const a_view = "view of shape [2] with what requires grad, expected a tensor with memory of its own";
  for (const auto& [of, what] :
       {std::pair(x, a_leaf), std::pair(x.view({2}), a_view), std::pair(y.view({2}), a_view)}) {
    const Tensor& t = of;  // which lambdas may hold on to, with clang too
    CHECK(message_of([&] { t.add_(c); }) == refused("add_", what));
    CHECK(message_of([&] { t.sub_(c); }) == refused("sub_", what));
    CHECK(message_of([&] { t.mul_(c); }) == refused("mul_", what));
    CHECK(message_of([&] { t.mul_(2); }) == refused("mul_", what));
    CHECK(message_of([&] { t.div_(c); }) == refused("div_", what));
    CHECK(message_of([&] { t.relu_(); }) == refused("relu_", what));
    CHECK(message_of([&] { t.copy_(y); }) == refused("copy_", what));
  }
  CHECK(message_of([&] { half.add_(y.narrow(0, 0, 1)); }) ==
        "add_: in-place on a view of shape [1] with what requires grad, expected a tensor with memory of its own");
  const char* const no = "tensor that requires grad, expected a NoGradGuard around it";
  for (const Tensor& t : {x, y, x.view({2})}) {
    CHECK(message_of([&] { t.fill_(2); }) == refused("fill_", no));
    CHECK(message_of([&] { t.zero_(); }) == refused("fill_", no));
    CHECK(message_of([&] { t.copy_(c); }) == refused("copy_", no));
  }
  CHECK(message_of([&] { uniform_(x, 0, 1); }) == refused("copy_", no));
  CHECK(x.to_vector<double>() == Values{1, 2});
  CHECK(y.to_vector<double>() == Values{1, 2});
  const NoGradGuard no_grad;
  x.add_(c);
  CHECK(x.to_vector<double>() == Values{6, 8});
  CHECK(x.requires_grad());
}

TEST_CASE("a recorded change in place is the op's result", "[autograd]") {
  const Tensor x = leaf({1, -2}), w = leaf({3, 5});
  const auto gradients = [&](const Tensor& y) {
    x.set_grad({}), w.set_grad({});
    y.backward(tensor({1.0, 10.0}));
    return std::pair(x.grad().defined() ? grad(x) : Values{}, w.grad().defined() ? grad(w) : Values{});
  };
  using Both = std::pair<Values, Values>;
  SECTION("of each op, through any handle") {
    const Tensor y = x * 2, same = y;
    y += w;
    y -= x;
    y *= 4.0;
    y /= tensor({2.0, 8.0});
    y.add_(w, 2);
    CHECK(same.to_vector<double>() == Values{14, 11.5});
    CHECK(gradients(same) == Both({2, 5}, {4, 25}));
  }
  SECTION("of a function") {
    const Tensor y = x * w;
    y.relu_().add_(1.0).sqrt_();
    CHECK(y.to_vector<double>() == Values{2, 1});
    CHECK(gradients(y) == Both({0.75, 0}, {0.25, 0}));
  }
  SECTION("of a constant, which is one no longer") {
    const Tensor y = zeros({2}, {.dtype = DType::float64});
    y.copy_(x);
    y.mul_(w);
    CHECK(gradients(y) == Both({3, 50}, {1, -20}));
  }
  SECTION("of some elements") {
    const Tensor y = x * 1.0;
    y.index_put_({tensor({std::int64_t{1}})}, w.narrow(0, 0, 1));
    CHECK(y.to_vector<double>() == Values{1, 3});
    CHECK(gradients(y) == Both({1, 0}, {10, 0}));
  }
  SECTION("whose views are of no more use") {
    const Tensor y = x * 1.0, view = y.view({1, 2});
    y.mul_(3.0);
    CHECK(view.to_vector<double>() == Values{3, -6});  // the memory is one
    CHECK(message_of([&] { static_cast<void>(view * 2.0); }) ==
          "mul: a tensor of shape [1, 2] whose memory was changed in place through another one, expected that one");
    CHECK(
        message_of([&] {
          view.backward(tensor({1.0, 1.0}).view({1, 2}));
        }) ==
        "backward: a tensor of shape [1, 2] whose memory was changed in place through another one, expected that one");
    CHECK(gradients(y.view({2}) * 1.0) == Both({3, 30}, {}));
  }
  SECTION("with derivatives of its own") {
    const Tensor y = x * x;
    y.mul_(2.0);
    const Tensor g = tern::grad({sum(y)}, {x}, {.create_graph = true})[0];
    CHECK(g.to_vector<double>() == Values{4, -8});
    CHECK(tern::grad({sum(g)}, {x})[0].to_vector<double>() == Values{4, 4});
  }
}

TEST_CASE("a change in place between forward and backward is an error", "[autograd]") {
  const auto changed = [](const Shape& shape, int version, int saved) {
    return text("backward: a tensor of shape ", shape, " that the gradient needs was changed in place (version ",
                version, ", saved at ", saved, ")");
  };
  using Op = std::function<Tensor(const Tensor& x, const Tensor& c)>;
  // c is a constant that the gradient of x needs.
  const Op ops[] = {
      [](const Tensor& x, const Tensor& c) { return x * c; },
      [](const Tensor& x, const Tensor& c) { return x / c; },
      [](const Tensor& x, const Tensor& c) { return matmul(x, c); },
      [](const Tensor& x, const Tensor& c) { return maximum(x, c); },
      [](const Tensor& x, const Tensor& c) { return linear(x, c); },
      [](const Tensor& x, const Tensor& c) {
        return conv2d(x.view({1, 1, 2, 2}), c.view({1, 1, 2, 2}));
      },
  };
  for (const Op& op : ops) {
    const Tensor x = leaf({1, 2, 3, 4}).detach().view({2, 2}).set_requires_grad(),
                 c = tensor({5.0, 6.0, 7.0, 8.0}).view({2, 2});
    const Tensor y = op(x, c).sum();
    c.mul_(2);
    const std::string message = message_of([&] { y.backward(); });
    CHECK(message.ends_with("was changed in place (version 1, saved at 0)"));
    CHECK_FALSE(x.grad().defined());
  }
  // An output that is needed, changed through a view; an input, changed by an optimiser's way.
  const Tensor x = leaf({1, 2}), y = exp(x);
  y.detach().add_(ones({2}, {.dtype = DType::float64}));
  CHECK(message_of([&] { y.sum().backward(); }) == changed({2}, 1, 0));
  const Tensor z = (x * x).sum();
  {
    const NoGradGuard no_grad;
    x.sub_(tensor({0.5, 0.5}));
  }
  CHECK(message_of([&] { z.backward(); }) == changed({2}, 1, 0));
  // Indices count, too.
  const auto [largest, at] = max(leaf({1, 2, 3}), 0);
  at.fill_(0);
  CHECK(message_of([largest = largest] { largest.backward(); }) == changed({}, 1, 0));
}

TEST_CASE("a change in place of what no gradient needs is none", "[autograd]") {
  const Tensor x = leaf({1, 2}), c = tensor({3.0, 4.0});
  const Tensor sum = x + c, scaled = c * x, ratio = x / 2.0, product = matmul(c.view({1, 2}), x.view({2, 1}));
  const Tensor twice = c * 2.0 * x;
  {
    const NoGradGuard no_grad;
    x.fill_(9);
  }
  sum.sum().backward();
  scaled.sum().backward();
  ratio.sum().backward();
  twice.sum().backward();
  product.sum().backward();
  CHECK(grad(x) == Values{1 + 3 + 0.5 + 6 + 3, 1 + 4 + 0.5 + 8 + 4});
  // The gradient of cross_entropy is there when its value is.
  const Tensor target = tensor<std::int64_t>({1}), logits = tensor({0.0, 0.0}).view({1, 2}).set_requires_grad();
  const Tensor loss = cross_entropy(logits, target);
  target.fill_(0);
  loss.backward();
  CHECK(grad(logits) == Values{0.5, -0.5});
}

TEST_CASE("custom ops", "[autograd]") {
  for (const Device device : devices()) {
    const Tensor x = leaf({1, 2, 3}, device), w = leaf({4, 5, 6}, device), c = tensor({7.0, 8.0, 9.0}, device);
    const auto fused = [](const Tensor& a, const Tensor& b, const Tensor& d) {
      const NoGradGuard no_grad;
      const Tensor y = a * b + d;
      return record("fused", std::vector<Tensor>{a, b, d, Tensor()}, y, [a = Saved(a), b = Saved(b)](const Tensor& g) {
        return Grads{g * *b, g * *a, g, Tensor()};
      });
    };
    // The guard above would keep record from recording.
    CHECK_FALSE(fused(x, w, c).requires_grad());
    const auto op = [](const Tensor& a, const Tensor& b, const Tensor& d) {
      return record("fused", {a, b, d}, a.detach() * b.detach() + d, [a = Saved(a), b = Saved(b)](const Tensor& g) {
        return Grads{g * *b, g * *a, g};
      });
    };
    const Tensor y = op(x, w, c);
    CHECK(y.grad_node()->name == std::string("fused"));
    (y * 2.0).sum().backward();
    CHECK(grad(x) == Values{8, 10, 12});
    CHECK(grad(w) == Values{2, 4, 6});
    CHECK_FALSE(c.grad().defined());
    CHECK_FALSE(op(c, c, c).requires_grad());
    CHECK(op(c, c, c).is_leaf());
  }
}

TEST_CASE("custom ops that are wrong", "[autograd]") {
  const Tensor x = leaf({1, 2}), y = x * 1.0;
  const auto backward = [](const Tensor& in, Backward f) {
    return message_of([&] { record("odd", {in}, tensor({1.0, 2.0}), std::move(f)).backward(tensor({1.0, 1.0})); });
  };
  for (const Tensor& in : {x, y}) {
    CHECK(backward(in, [](const Tensor&) {
            return tensor({1.0, 2.0, 3.0});
          }) == "backward of 'odd': gradient float64 [3] on cpu for input 0, expected float64 [2] on cpu");
    CHECK(backward(in, [](const Tensor&) {
            return tensor({1.0f, 2.0f});
          }) == "backward of 'odd': gradient float32 [2] on cpu for input 0, expected float64 [2] on cpu");
    CHECK(backward(in, [](const Tensor&) {
            return tensor({1.0, 2.0}, Device::reference);
          }) == "backward of 'odd': gradient float64 [2] on reference for input 0, expected float64 [2] on cpu");
    CHECK(backward(in, [](const Tensor& g) { return Grads{g, g}; }) == "backward of 'odd': 2 gradients for 1 inputs");
    CHECK(backward(in, [](const Tensor&) { return Grads{}; }) == "backward of 'odd': 0 gradients for 1 inputs");
  }
  CHECK(message_of([&] { record("odd", {x}, x, [](const Tensor& g) { return g; }); }) ==
        "record 'odd': the output of shape [2] is an input, expected a new tensor");
  CHECK(message_of([&] { record("odd", {x}, arange(2), [](const Tensor& g) { return g; }); }) ==
        "record 'odd': output of int64, expected float32 or float64");
  CHECK(x.is_leaf());
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("an exception in a gradient leaves nothing behind", "[autograd]") {
  const Tensor x = leaf({1, 2}), y = x * 3.0;
  bool fails = true;
  const auto moody = [&](const Tensor& in) {
    return record("moody", {in}, in.detach() * 2.0, [&](const Tensor& g) {
      if (fails) throw std::runtime_error("moody");
      return g * 2.0;
    });
  };
  // Both ways to y: one brings its gradient before the other throws.
  const Tensor loss = (moody(y) + y * 5.0).sum();
  CHECK_THROWS_WITH(loss.backward(true), "moody");
  CHECK(is_grad_enabled());
  CHECK_FALSE(x.grad().defined());
  CHECK_FALSE(y.grad_node()->output.gradient.defined());
  CHECK_THROWS_WITH(loss.backward(true), "moody");
  fails = false;
  loss.backward();
  CHECK(grad(x) == Values{21, 21});
}

TEST_CASE("graphs of a hundred thousand ops", "[autograd]") {
  constexpr int n = 100'000;
  const auto chain = [](Tensor y) {
    for (int i = 0; i < n; ++i) y = neg(y);
    return y;
  };
  SECTION("backward, then freed") {
    const Tensor x = leaf({1});
    chain(x).backward();
    CHECK(grad(x) == Values{1});
  }
  SECTION("backward twice") {
    const Tensor x = leaf({1}), y = chain(x);
    y.backward(true);
    y.backward();
    CHECK(grad(x) == Values{2});
  }
  SECTION("dropped without backward") {
    const Tensor x = leaf({1});
    chain(x);
    CHECK_FALSE(x.grad().defined());
  }
  SECTION("dropped after its leaf") {
    Tensor y;
    {
      const Tensor x = leaf({1});
      y = chain(x);
    }
    y = {};
  }
  SECTION("dropped from the middle") {
    const Tensor x = leaf({1}), middle = chain(x);
    { const Tensor end = chain(middle); }
    middle.backward();
    CHECK(grad(x) == Values{1});
  }
  SECTION("each op used twice") {
    const Tensor x = leaf({1});
    Tensor y = x;
    for (int i = 0; i < n / 2; ++i) y = (y + neg(y)) + y;
    y.backward();
    CHECK(grad(x) == Values{1});
  }
  SECTION("dropped, each op used twice") {
    Tensor y = leaf({1});
    for (int i = 0; i < n / 2; ++i) y = (y + neg(y)) + y;
  }
  SECTION("wide") {
    const Tensor x = leaf({1});
    std::vector<Tensor> parts;
    for (int i = 0; i < n; ++i) parts.push_back(neg(x));
    const Tensor y = cat(parts).sum();
    parts.clear();
    SECTION("backward") {
      y.backward();
      CHECK(grad(x) == Values{-n});
    }
    SECTION("dropped") {}
  }
}

TEST_CASE("a graph may be built on one thread and run and freed on another", "[autograd]") {
  const Tensor x = leaf({1, 2});
  Tensor loss;
  std::thread([&] { loss = (x * x).sum(); }).join();
  std::thread([&] {
    loss.backward();
    loss = {};
  }).join();
  CHECK(grad(x) == Values{2, 4});
}

}  // namespace tern::test
