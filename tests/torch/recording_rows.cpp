#include "rows.hpp"

namespace tern::test {

static const Rows recording{
    {"Tensor.backward, gradient",
     "(a * a).backward(b.detach()); return a.grad",
     [](T a, T b) {
       (a * a).backward(b.detach());
       return a.grad();
     },
     "[2,3] [2,3] | [0] [0]",
     {.call = "y.backward(gradient)"}},
    {"Tensor.backward, retain_graph",
     "y = a.exp(); y.sum().backward(retain_graph=True); y.sum().backward(); return a.grad",
     [](T a) {
       const Tensor y = a.exp();
       y.sum().backward(true);
       y.sum().backward();
       return a.grad();
     },
     "[2,3]",
     {.call = "loss.backward(true)"}},
    {"Tensor.grad",
     "(a * 2).sum().backward(); (a * 3).sum().backward(); return a.grad",
     [](T a) {
       (a * 2).sum().backward();
       (a * 3).sum().backward();
       return a.grad();
     },
     "[2,3]",
     {.call = "a.grad()"}},
    {"torch.Tensor.detach, shared memory",
     "x = a.clone(); x.detach().zero_(); return x",
     [](T a) {
       const Tensor x = a.clone();
       x.detach().zero_();
       return x;
     },
     "[3]",
     {.gradient = false, .call = "a.detach()"}},
    {"Tensor.data",
     "x = a.clone(); x.data.add_(1); return x.detach()",
     [](T a) {
       const Tensor x = a.clone();
       x.detach().add_(1);
       return x.detach();
     },
     "[3]",
     {.differs = "an in-place change is seen by a gradient that needs what was there", .call = "a.detach()"}},
    {"torch.autograd, gradients through views",
     "y = a.t()[1:, :2].flatten() * torch.arange(4); return y",
     [](T a) { return a.t().narrow(0, 1, 2).narrow(1, 0, 2).flatten() * arange(4).to(a.device()); },
     "[2,3] | [4,3]",
     {.call = "views hand gradients on"}},
    {"torch.autograd, a tensor used twice",
     "y = a * 2; return y * y.sin() + y",
     [](T a) {
       const Tensor y = a * 2;
       return y * y.sin() + y;
     },
     "[2,3]",
     {.call = "gradients add up"}},
};

}  // namespace tern::test
