#include "rows.hpp"

#include <array>

namespace tern::test {

static const Rows gradients{
    {"torch.autograd.grad", "torch.autograd.grad((a * b).sum(), [a, b])",
     [](T a, T b) {
       return grad({(a * b).sum()}, {a, b});
     },
     "[2,3] [3] | [] [4] | [0,3] [1,3] | nan[7] nan[7]"},
    {"torch.autograd.grad, grad_outputs", "torch.autograd.grad([a * b, a.exp()], [b, a], grad_outputs=[c, c * 2])",
     [](T a, T b, T c) {
       return grad({a * b, exp(a)}, {b, a}, {.grad_outputs = {c, c * 2}});
     },
     "[2,3] [3] [2,3] | [0] [] [0]"},
    {"torch.autograd.grad, of a result",
     R"(
       h = a * b
       return torch.autograd.grad((h * h).sum(), h)
     )",
     [](T a, T b) {
       const Tensor h = a * b;
       return grad({(h * h).sum()}, {h});
     },
     "[2,3] [3]",
     {.call = "grad({(h * h).sum()}, {h})"}},
    {"torch.autograd.grad, allow_unused", "torch.autograd.grad(a.exp().sum(), [a, b], allow_unused=True)[0]",
     [](T a, T b) {
       return grad({exp(a).sum()}, {a, b}, {.allow_unused = true})[0];
     },
     "[2,3] [3]"},
    {"torch.autograd.grad, create_graph",
     "torch.autograd.grad(F.cross_entropy(torch.tanh(a @ b), torch.tensor([1, 0, 2]), label_smoothing=0.1), [a, b], "
     "create_graph=True)",
     [](T a, T b) {
       const Tensor target = tensor(std::vector<std::int64_t>{1, 0, 2}, a.device());
       return grad({cross_entropy(tanh(matmul(a, b)), target, {.label_smoothing = 0.1})}, {a, b},
                   {.create_graph = true});
     },
     "[3,2] [2,4] | [3,1] [1,3]",
     {.call = "grad({loss}, {a, b}, {.create_graph = true})"}},
    {"torch.autograd.grad, create_graph through layers",
     R"(
       h = torch.tanh(F.batch_norm(a, None, None, b, c, training=True))
       y = F.avg_pool2d(h, 2).flatten(1).softmax(1).square().sum()
       return torch.autograd.grad(y, [a, b, c], create_graph=True)
     )",
     [](T a, T b, T c) {
       const Tensor h = batch_norm2d(a, {}, {}, b, c, {.training = true, .activation = Activation::tanh});
       return grad({square(softmax(avg_pool2d(h, 2).flatten(1), 1)).sum()}, {a, b, c}, {.create_graph = true});
     },
     "[2,3,4,4] [3] [3] | [3,2,2,5] [2] [2]",
     {.looser = 10, .call = "grad({y}, {a, b, c}, {.create_graph = true})"}},
    {"torch.autograd.grad, three times",
     R"(
       y = a.sigmoid() * a
       for _ in range(3):
         y = torch.autograd.grad(y.sum(), a, create_graph=True)[0]
       return y
     )",
     [](T a) {
       Tensor y = sigmoid(a) * a;
       for (int i = 0; i < 3; ++i) y = grad({y.sum()}, {a}, {.create_graph = true})[0];
       return y;
     },
     "[2,3] | []",
     {.call = "grad({y}, {x}, {.create_graph = true})"}},
    {"Tensor.backward",
     R"(
       (a * b).sum().backward(retain_graph=True)
       return a.grad.clone(), b.grad.clone()
     )",
     [](T a, T b) {
       const Tensor x = a.detach().set_requires_grad(), y = b.detach().set_requires_grad();
       (x * y).sum().backward(true);
       return std::pair(x.grad(), y.grad());
     },
     "[2,3] [3]",
     {.call = "y.backward(true)"}},
    {"Tensor.backward, create_graph",
     R"(
       x = a.detach().requires_grad_()
       (x * x * x).sum().backward(create_graph=True)
       second = torch.autograd.grad(x.grad.sum(), x)[0]
       return second
     )",
     [](T a) {
       const Tensor x = a.detach().set_requires_grad();
       (x * x * x).sum().backward(false, true);
       const Tensor second = grad({x.grad().sum()}, {x})[0];
       x.set_grad({});
       return second;
     },
     "[2,3] | []",
     {.call = "y.backward(false, true)"}},
    {"Tensor.register_hook",
     R"(
       h = a * 2
       h.register_hook(lambda g: g.clamp(-0.5, 0.5))
       return (h * h).sum()
     )",
     [](T a) {
       const Tensor h = a * 2.0;
       h.register_hook([](const Tensor& g) { return clamp(g, -0.5, 0.5); });
       return (h * h).sum();
     },
     "[2,3] | []",
     {.call = "h.register_hook([](const Tensor& g) { return clamp(g, -0.5, 0.5); })"}},
    {"Tensor.retain_grad",
     R"(
       h = a.detach().requires_grad_() * 2
       h.retain_grad()
       (h * h).sum().backward()
       return h.grad
     )",
     [](T a) {
       const Tensor h = a.detach().set_requires_grad() * 2.0;
       h.retain_grad();
       (h * h).sum().backward();
       return h.grad();
     },
     "[2,3] | []",
     {.call = "h.retain_grad()"}},
    {"Tensor.detach", "a.detach() * a", [](T a) { return a.detach() * a; }, "[2,3] | []"},
    {"Tensor.requires_grad",
     "(a.requires_grad, (a * 2).requires_grad, a.detach().requires_grad)",
     [](T a) { return std::tuple(a.requires_grad(), (a * 2.0).requires_grad(), a.detach().requires_grad()); },
     "[2]",
     {.call = "a.requires_grad()"}},
    {"Tensor.requires_grad_",
     "a.detach().requires_grad_().requires_grad",
     [](T a) { return a.detach().set_requires_grad().requires_grad(); },
     "[2]",
     {.call = "a.set_requires_grad()"}},
    {"Tensor.is_leaf",
     "(a.is_leaf, (a * 2).is_leaf, a.detach().is_leaf)",
     [](T a) { return std::tuple(a.is_leaf(), (a * 2.0).is_leaf(), a.detach().is_leaf()); },
     "[2]",
     {.call = "a.is_leaf()"}},
    {"torch.no_grad",
     R"(
       with torch.no_grad():
         b = a * 2
       return b * a
     )",
     [](T a) { return no_grad([&] { return a * 2.0; }) * a; },
     "[2,3]",
     {.call = "NoGradGuard guard;"}},
    {"torch.inference_mode",
     R"(
       with torch.inference_mode():
         return a * 2
     )",
     [](T a) {
       const NoGradGuard guard;
       return a * 2.0;
     },
     "[2,3]",
     {.call = "NoGradGuard guard;"}},
    {"torch.enable_grad",
     R"(
       with torch.no_grad():
         with torch.enable_grad():
           return a * 2
     )",
     [](T a) {
       const NoGradGuard off;
       const EnableGradGuard on;
       return a * 2.0;
     },
     "[2,3]",
     {.call = "EnableGradGuard guard;"}},
    {"torch.set_grad_enabled",
     R"(
       with torch.set_grad_enabled(False):
         return a * 2
     )",
     [](T a) {
       const SetGradEnabled off(false);
       return a * 2.0;
     },
     "[2,3]",
     {.call = "SetGradEnabled guard(false);"}},
    {"torch.is_grad_enabled",
     R"(
       before = torch.is_grad_enabled()
       with torch.no_grad():
         return before, torch.is_grad_enabled()
     )",
     [] {
       const bool before = is_grad_enabled();
       const NoGradGuard guard;
       return std::pair(before, is_grad_enabled());
     },
     "",
     {.call = "is_grad_enabled()"}},
    {"torch.autograd.Function",
     R"(
       class Cube(torch.autograd.Function):
         @staticmethod
         def forward(ctx, x):
           ctx.save_for_backward(x)
           return x * x * x
         @staticmethod
         def backward(ctx, g):
           x, = ctx.saved_tensors
           return g * x * x * 3
       return torch.autograd.grad(Cube.apply(a).sum(), a, create_graph=True)[0]
     )",
     [](T a) {
       const Tensor y = record("cube", {a}, no_grad([&] { return a * a * a; }),
                               [x = Saved(a)](const Tensor& g) { return g * *x * *x * 3; });
       return grad({y.sum()}, {a}, {.create_graph = true})[0];
     },
     "[2,3] | []",
     {.call = "record(\"cube\", {x}, y, [x = Saved(x)](const Tensor& g) { return g * *x * *x * 3; })"}},
    {"torch.utils.checkpoint.checkpoint",
     R"(
       from torch.utils.checkpoint import checkpoint
       return checkpoint(lambda x, w: torch.tanh(x * w).exp(), a, b, use_reentrant=False)
     )",
     [](T a, T b) { return checkpoint([](T x, T w) { return exp(tanh(x * w)); }, a, b); },
     "[2,3] [3] | [] []",
     {.call = "checkpoint(function, a, b)"}},
    {"torch.autograd.detect_anomaly",
     R"(
       with torch.autograd.detect_anomaly():
         try:
           torch.autograd.grad((a * 0).sqrt().sum() * 0, a)
         except RuntimeError as e:
           return 'MulBackward' in str(e) or 'SqrtBackward' in str(e)
     )",
     [](T a) {
       const AnomalyGuard guard;
       try {
         grad({sqrt(a * 0.0).sum() * 0.0}, {a});
       } catch (const Error& e) {
         return std::string(e.what()).starts_with("backward of 'sqrt'");
       }
       return false;
     },
     "[2]",
     {.call = "AnomalyGuard guard;"}},
};

}  // namespace tern::test
