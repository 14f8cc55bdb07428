#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>

namespace tern {

using kernels::FloatKernels;
using kernels::GradientOf;

Tensor unary(const char* name, const Unary& f, const Tensor& in) {
  const Tensor x = in.contiguous(), y = empty_like(x);
  for_floating(name, x, [&]<class T>(FloatKernels<T>& k) { k.unary(f, x.numel(), x.data<T>(), y.data<T>()); });
  const GradientOf from = kernels::gradient_of(f.op);
  const Tensor& kept = from == GradientOf::input ? x : from == GradientOf::output ? y : Tensor();
  return record(name, {x}, y, [name, f, v = Saved(kept)](const Tensor& gradient) {
    const Tensor g = gradient.contiguous(), from = (*v).defined() ? *v : g;
    const Tensor dx = (*v).defined() ? v.reuse() : empty_like(g);
    for_floating(name, g, [&]<class T>(FloatKernels<T>& k) {
      k.unary_backward(f, g.numel(), from.data<T>(), g.data<T>(), dx.data<T>());
    });
    return dx;
  });
}

Tensor activate(const Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::tanh:
      return tanh(x);
    case Activation::relu:
      return relu(x);
    case Activation::none:
      return x;
  }
  fail("activate: no such activation");
}

}  // namespace tern
