#include "gradcheck.hpp"
#include "support.hpp"

#include <tern/core/autograd.hpp>
#include <tern/core/ops.hpp>

#include <cmath>
#include <set>

namespace tern::test {

namespace {

using Inputs = const std::vector<Tensor>&;

constexpr const char* refusal = "expected no create_graph";

/// From an op's inputs, and a gradient by its output, to a number that all of its gradients are in, by random factors.
/// Recorded where the inputs require grad, else by the plain gradient.
Function sum_of_gradients(const Problem& p, const std::vector<Tensor>& factors) {
  return [=](Inputs given) {
    const bool recorded = given[0].requires_grad();
    const EnableGradGuard enable_grad;
    std::vector<Tensor> inputs;
    for (std::size_t i = 0; i + 1 < given.size(); ++i) {
      inputs.push_back(recorded ? given[i] : given[i].detach().set_requires_grad());
    }
    const std::vector<Tensor> gradients =
        grad({p.function(inputs)}, inputs, {.grad_outputs = {given.back()}, .create_graph = recorded});
    Tensor sum = given.back().sum();
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      // What is linear has no second derivative by its input, but gets a gradient all the same.
      sum = sum + (gradients[i] * factors[i].to(sum.device())).sum() + given[i].sum();
    }
    return sum;
  };
}

}  // namespace

TEST_CASE("every op's second derivatives are those of differences, or are refused", "[gradient]") {
  std::set<std::string> refused;
  for (const Device device : devices()) {
    for (const OpCase& op : op_cases()) {
      INFO(op.name << " on " << device);
      for_each_case(device.on_host() ? 6 : 1, [&](Random& random) {
        Problem p = op.make(random);
        std::vector<Tensor> factors, inputs = p.inputs;
        for (const Tensor& x : inputs) {
          factors.push_back(random_tensor(random, x.shape(), DType::float64, Device::reference));
        }
        const Shape shape = p.function(inputs).shape();
        inputs.push_back(random_tensor(random, shape, DType::float64, Device::reference));
        try {
          const std::string wrong = gradcheck(sum_of_gradients(p, factors), inputs, random, device);
          CHECK(wrong == "");
        } catch (const Error& e) {
          INFO(e.what());
          CHECK(std::string(e.what()).ends_with(refusal));
          refused.insert(op.name);
        }
      });
    }
  }
  for (const char* name : {"add",
                           "sub",
                           "mul",
                           "div",
                           "maximum",
                           "x * x",
                           "2.5 / x",
                           "sum over dims",
                           "mean",
                           "max",
                           "max along dim",
                           "amin",
                           "prod along dim",
                           "var",
                           "std",
                           "norm 2",
                           "norm 3",
                           "logsumexp",
                           "cumsum",
                           "cumprod",
                           "pow of tensors",
                           "atan2",
                           "hypot",
                           "lerp by a tensor",
                           "softmax",
                           "log_softmax",
                           "matmul of any ranks",
                           "einsum",
                           "scaled_dot_product_attention with a mask",
                           "linear",
                           "linear and tanh",
                           "cat",
                           "stack",
                           "index_select",
                           "where",
                           "gather",
                           "scatter_add",
                           "sort",
                           "reshape",
                           "permute",
                           "narrow",
                           "slice",
                           "pad",
                           "select",
                           "expand",
                           "clone",
                           "conv2d",
                           "conv2d and tanh",
                           "conv2d_max_pool2d",
                           "conv_transpose2d",
                           "conv1d",
                           "max_pool2d of any windows",
                           "avg_pool2d",
                           "adaptive_avg_pool2d",
                           "adaptive_max_pool2d",
                           "dropout",
                           "dropout2d",
                           "batch_norm2d in training",
                           "batch_norm2d in evaluation",
                           "batch_norm2d and tanh in training",
                           "batch_norm2d_max_pool2d and tanh in training",
                           "conv2d_batch_norm2d_max_pool2d",
                           "batch_norm",
                           "layer_norm",
                           "rms_norm",
                           "group_norm",
                           "instance_norm",
                           "embedding",
                           "cross_entropy, mean",
                           "cross_entropy, none",
                           "cross_entropy and nll_loss of shapes",
                           "binary_cross_entropy",
                           "kl_div",
                           "cosine_similarity",
                           "mse_loss, mean",
                           "neg",
                           "exp",
                           "log",
                           "sqrt",
                           "pow 3",
                           "pow -1.5",
                           "tanh",
                           "relu",
                           "sigmoid",
                           "leaky_relu",
                           "elu 1.5",
                           "gelu",
                           "gelu tanh",
                           "silu",
                           "softplus 2, 3",
                           "sin",
                           "cos",
                           "tan",
                           "rsqrt",
                           "abs",
                           "round",
                           "log1p",
                           "expm1",
                           "erf",
                           "reciprocal",
                           "square",
                           "clamp -1, 0.5",
                           "mish",
                           "selu"}) {
    INFO(name);
    CHECK_FALSE(refused.contains(name));
  }
  for (const std::string& name : refused) std::cout << "no second derivative: " << name << '\n';
}

TEST_CASE("a pass with create_graph gives the gradients of one without", "[gradient]") {
  // Where values are extreme, too, and a comparison takes gradients away.
  for (const Device device : devices()) {
    const auto both = [&](const std::function<Tensor(const Tensor&)>& f, const std::vector<double>& values,
                          const std::vector<double>& gradient) {
      const Tensor x = tensor(values, device).set_requires_grad();
      const GradOptions plain{.grad_outputs = {tensor(gradient, device)}};
      GradOptions recorded = plain;
      recorded.create_graph = true;
      const Tensor want = grad({f(x)}, {x}, plain)[0], got = grad({f(x)}, {x}, recorded)[0];
      CHECK(first_difference(want.to_vector<double>(), got.to_vector<double>()) == "");
    };
    const std::vector<double> values{-INFINITY, -1, -0.0, 0, 1, INFINITY, NAN}, infinite(7, INFINITY), ones(7, 1),
        nan(7, NAN);
    for (const auto& gradient : {infinite, ones, nan}) {
      both(relu, values, gradient);
      both(abs, values, gradient);
      both([](const Tensor& x) { return leaky_relu(x); }, values, gradient);
      both([](const Tensor& x) { return clamp(x, -1, 1); }, values, gradient);
      both([](const Tensor& x) { return maximum(x, x.detach() * 0.5); }, values, gradient);
      both(tanh, {-INFINITY, -1, -0.0, 0, 1, INFINITY, NAN}, gradient);
      both(sqrt, {-1, -0.0, 0, 0.25, 4, INFINITY, NAN}, gradient);
    }
  }
}

TEST_CASE("derivatives of tanh, up to the fourth", "[gradient]") {
  for (const Device device : devices()) {
    const std::vector<double> at{-2, -0.5, 0, 0.125, 1, 3};
    const Tensor x = tensor(at, device).set_requires_grad();
    Tensor y = tanh(x);
    std::vector<std::vector<double>> derivatives;
    for (int order = 1; order <= 4; ++order) {
      y = grad({y.sum()}, {x}, {.create_graph = true})[0];
      derivatives.push_back(y.to_vector<double>());
    }
    for (std::size_t i = 0; i < at.size(); ++i) {
      const double t = std::tanh(at[i]), s = 1 - t * t;
      CHECK(derivatives[0][i] == Approx(s).epsilon(1e-12));
      CHECK(derivatives[1][i] == Approx(-2 * t * s).epsilon(1e-12));
      CHECK(derivatives[2][i] == Approx(s * (6 * t * t - 2)).epsilon(1e-12));
      CHECK(derivatives[3][i] == Approx(s * t * (16 - 24 * t * t)).epsilon(1e-12).margin(1e-15));
    }
  }
}

TEST_CASE("a product with the Hessian", "[gradient]") {
  for (const Device device : devices()) {
    // Of x A x / 2 + sum(x^4) / 12, which is A + diag(x^2) for a symmetric A.
    const Tensor a = tensor({2.0, 1.0, 0.0, 1.0, 3.0, -1.0, 0.0, -1.0, 4.0}, device).view({3, 3});
    const Tensor x = tensor({1.0, -2.0, 3.0}, device).set_requires_grad(), v = tensor({1.0, 0.5, -1.0}, device);
    const Tensor f = (x * matmul(a, x.view({3, 1})).view({3})).sum() * 0.5 + (x * x * x * x).sum() / 12.0;
    const Tensor gradient = grad({f}, {x}, {.create_graph = true})[0];
    const Tensor product = grad({gradient}, {x}, {.grad_outputs = {v}, .retain_graph = true})[0];
    const std::vector<double> want{2.5 + 1, 3.5 + 2, -4.5 - 9}, got = product.to_vector<double>();
    for (std::size_t i = 0; i < want.size(); ++i) CHECK(got[i] == Approx(want[i]).epsilon(1e-14));
    CHECK_FALSE(product.requires_grad());
    // The same through a sum, and once more.
    const Tensor again = grad({(gradient * v).sum()}, {x}, {.create_graph = true})[0];
    const std::vector<double> third{2 * 1, 2 * 0.5 * -2, 2 * -1 * 3};
    for (std::size_t i = 0; i < want.size(); ++i)
      CHECK(again[static_cast<std::int64_t>(i)].item() == Approx(want[i]).epsilon(1e-14));
    const std::vector<double> by_x = grad({again.sum()}, {x})[0].to_vector<double>();
    for (std::size_t i = 0; i < want.size(); ++i) CHECK(by_x[i] == Approx(third[i]).epsilon(1e-14));
    CHECK_FALSE(x.grad().defined());
  }
}

TEST_CASE("a step with a gradient penalty", "[gradient]") {
  // As in Gulrajani et al., "Improved training of Wasserstein GANs", 2017: the critic's slope is to be 1.
  for (const Device device : devices()) {
    for_each_case(device.on_host() ? 4 : 1, [&](Random& random) {
      const auto made = [&](const Shape& shape) { return random_tensor(random, shape, DType::float64, device); };
      const std::vector<Tensor> parameters{made({4, 3}), made({4}), made({1, 4}), made({1})};
      const Tensor points = made({5, 3});
      const auto loss = [&](Inputs p, bool recorded) {
        const EnableGradGuard enable_grad;
        const Tensor x = points.clone().set_requires_grad();
        const Tensor critic = linear(linear(x, p[0], p[1], Activation::tanh), p[2], p[3]);
        const Tensor slope = grad({critic.sum()}, {x}, {.create_graph = recorded})[0];
        return square(sqrt(square(slope).sum({1})) - 1).mean() * 10 + critic.detach().mean() +
               (recorded ? critic - critic.detach() : critic.detach() * 0.0).mean();
      };
      std::vector<Tensor> leaves;
      for (const Tensor& p : parameters) leaves.push_back(p.clone().set_requires_grad());
      loss(leaves, true).backward();
      // The last bias moves the critic alike everywhere, and its slope not at all.
      CHECK(leaves[3].grad().item() == Approx(1));
      for (std::size_t k = 0; k < leaves.size(); ++k) {
        std::vector<double> values = parameters[k].to_vector<double>();
        const std::vector<double> gradient = leaves[k].grad().to_vector<double>();
        for (std::size_t i = 0; i < values.size(); ++i) {
          const auto moved = [&](double by) {
            std::vector<Tensor> at = parameters;
            std::vector<double> there = values;
            there[i] += by;
            at[k] = tensor(there, device).view(parameters[k].shape());
            return loss(at, false).item();
          };
          constexpr double h = 5e-4;
          const double slope = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
          CHECK(gradient[i] == Approx(slope).epsilon(1e-6).margin(1e-7));
        }
      }
    });
  }
}

TEST_CASE("backward with create_graph", "[gradient]") {
  for (const Device device : devices()) {
    const Tensor x = tensor({2.0, 3.0}, device).set_requires_grad();
    const Tensor y = (x * x * x).sum();
    y.backward(false, true);
    const Tensor first = x.grad();
    CHECK(first.to_vector<double>() == std::vector<double>{12, 27});
    CHECK(first.requires_grad());
    // Added to what is there, and recorded together with it.
    y.backward(false, true);
    CHECK(x.grad().to_vector<double>() == std::vector<double>{24, 54});
    const Tensor second = x.grad();
    x.set_grad({});
    second.sum().backward();
    CHECK(x.grad().to_vector<double>() == std::vector<double>{24, 36});
    // A plain pass adds to a recorded gradient without changing it.
    x.set_grad(first);
    (x * 1.0).sum().backward();
    CHECK(x.grad().to_vector<double>() == std::vector<double>{13, 28});
    CHECK_FALSE(x.grad().requires_grad());
    CHECK(first.to_vector<double>() == std::vector<double>{12, 27});
    x.set_grad({});
  }
}

TEST_CASE("what create_graph refuses", "[gradient]") {
  const Tensor x = tensor({1.0, 2.0}).set_requires_grad();
  const auto message = [&](const Tensor& y) {
    return message_of(
        [&] { grad({y}, {x}, {.grad_outputs = {ones({2}, {.dtype = DType::float64})}, .create_graph = true}); });
  };
  // Computed from the input, or the gradient, by something that records nothing.
  const auto by_kernel = [](const Tensor& in) {
    return record("odd", {in}, in.detach() * in.detach(),
                  [in = Saved(in)](const Tensor& g) { return no_grad([&] { return *in * g * 2; }); });
  };
  const std::string refused = text("backward: the gradient of 'odd' is not recorded, ", refusal);
  CHECK(message(by_kernel(x)) == refused);
  CHECK(message(tanh(by_kernel(x))) == refused);
  CHECK(message(by_kernel(tanh(x))) == refused);
  // Computed beforehand, and kept: to the graph it would be a constant.
  const Tensor kept =
      record("odd", {x}, exp(x.detach()), [slope = Saved(exp(x.detach()))](const Tensor& g) { return g * *slope; });
  CHECK(message(kept) ==
        "backward: the gradient of 'odd' needs a tensor of shape [2] that is neither its input nor its "
        "output, expected no create_graph");
  // A graph that is gone.
  const Tensor y = exp(x), first = grad({y.sum()}, {x}, {.create_graph = true})[0];
  y.sum().backward();
  CHECK(message_of([&] { first.sum().backward(); }) ==
        "backward: the graph of 'exp' was freed by an earlier backward, expected retain_graph = true there");
  // What was saved and changed.
  const Tensor z = x * x;
  const Tensor slope = grad({z.sum()}, {x}, {.create_graph = true})[0];
  {
    const NoGradGuard no_grad;
    x.mul_(2);
  }
  CHECK(message_of([&] { z.sum().backward(false, true); }).find("was changed in place") != std::string::npos);
  CHECK(message_of([&] { (slope * slope).sum().backward(); }) == "(nothing was thrown)");
}

TEST_CASE("an op whose input comes twice, and one whose input is its activation's, in second derivatives",
          "[gradient]") {
  for (const Device device : devices()) {
    for_each_case(device.on_host() ? 4 : 1, [&](Random& random) {
      const auto check = [&](const Shape& shape, const Function& f) {
        const Problem p{{random_tensor(random, shape, DType::float64, Device::reference)}, f};
        std::vector<Tensor> inputs = p.inputs;
        const std::vector<Tensor> factors{random_tensor(random, shape, DType::float64, Device::reference)};
        inputs.push_back(random_tensor(random, f(inputs).shape(), DType::float64, Device::reference));
        CHECK(gradcheck(sum_of_gradients(p, factors), inputs, random, device) == "");
      };
      check({2, 3}, [](Inputs x) { return x[0] * x[0]; });
      check({3, 3}, [](Inputs x) { return linear(x[0], x[0], {}, Activation::tanh); });
      check({3, 3}, [](Inputs x) { return matmul(x[0], x[0]); });
      check({2, 3, 2, 2}, [](Inputs x) {
        return batch_norm2d(x[0], {}, {}, x[0].select(0, 0).select(1, 0).select(1, 0).contiguous(), {},
                            {.training = true, .activation = Activation::tanh, .residual = x[0]});
      });
    });
  }
}

TEST_CASE("a graph of gradients of a thousand ops, freed", "[gradient]") {
  const Tensor x = tensor({0.5}).set_requires_grad();
  Tensor y = x;
  for (int i = 0; i < 20'000; ++i) y = sin(y);
  const Tensor first = grad({y}, {x}, {.create_graph = true})[0];
  CHECK(first.requires_grad());
  y = {};
}

}  // namespace tern::test
