#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>

namespace tern {

using kernels::FloatKernels;

Tensor neg(const Tensor& in) {
  check_defined("neg", "x", in);
  const Tensor x = in.contiguous(), y = empty_like(x);
  for_floating("neg", x, [&]<class T>(FloatKernels<T>& k) { k.neg(x.numel(), x.data<T>(), y.data<T>()); });
  return record("neg", {x}, y, [](const Tensor& g) { return neg(g); });
}

Tensor exp(const Tensor& in) {
  check_defined("exp", "x", in);
  const Tensor x = in.contiguous(), y = empty_like(x);
  for_floating("exp", x, [&]<class T>(FloatKernels<T>& k) { k.exp(x.numel(), x.data<T>(), y.data<T>()); });
  return record("exp", {x}, y, [y = Saved(y)](const Tensor& g) { return g * *y; });
}

Tensor log(const Tensor& in) {
  check_defined("log", "x", in);
  const Tensor x = in.contiguous(), y = empty_like(x);
  for_floating("log", x, [&]<class T>(FloatKernels<T>& k) { k.log(x.numel(), x.data<T>(), y.data<T>()); });
  return record("log", {x}, y, [x = Saved(x)](const Tensor& g) { return g / *x; });
}

Tensor sqrt(const Tensor& in) {
  check_defined("sqrt", "x", in);
  const Tensor x = in.contiguous(), y = empty_like(x);
  for_floating("sqrt", x, [&]<class T>(FloatKernels<T>& k) { k.sqrt(x.numel(), x.data<T>(), y.data<T>()); });
  return record("sqrt", {x}, y, [y = Saved(y)](const Tensor& g) { return g * 0.5 / *y; });
}

Tensor pow(const Tensor& in, double exponent) {
  check_defined("pow", "x", in);
  const Tensor x = in.contiguous(), y = empty_like(x);
  for_floating("pow", x, [&]<class T>(FloatKernels<T>& k) { k.pow(x.numel(), exponent, x.data<T>(), y.data<T>()); });
  return record("pow", {x}, y, [x = Saved(x), exponent](const Tensor& g) {
    if (exponent == 0) return zeros_like(g);
    return g * (exponent == 2 ? *x : pow(*x, exponent - 1)) * exponent;
  });
}

Tensor tanh(const Tensor& in) {
  check_defined("tanh", "x", in);
  const Tensor x = in.contiguous(), y = empty_like(x);
  for_floating("tanh", x, [&]<class T>(FloatKernels<T>& k) { k.tanh(x.numel(), x.data<T>(), y.data<T>()); });
  return record("tanh", {x}, y, [y = Saved(y)](const Tensor& gradient) {
    const Tensor g = gradient.contiguous(), dx = y.reuse();
    for_floating("tanh", g, [&]<class T>(FloatKernels<T>& k) {
      k.tanh_backward(g.numel(), (*y).data<T>(), g.data<T>(), dx.data<T>());
    });
    return dx;
  });
}

Tensor relu(const Tensor& in) {
  check_defined("relu", "x", in);
  const Tensor x = in.contiguous(), y = empty_like(x);
  for_floating("relu", x, [&]<class T>(FloatKernels<T>& k) { k.relu(x.numel(), x.data<T>(), y.data<T>()); });
  return record("relu", {x}, y, [y = Saved(y)](const Tensor& gradient) {
    const Tensor g = gradient.contiguous(), dx = y.reuse();
    for_floating("relu", g, [&]<class T>(FloatKernels<T>& k) {
      k.relu_backward(g.numel(), (*y).data<T>(), g.data<T>(), dx.data<T>());
    });
    return dx;
  });
}

Tensor sigmoid(const Tensor& in) {
  check_defined("sigmoid", "x", in);
  const Tensor x = in.contiguous(), y = empty_like(x);
  for_floating("sigmoid", x, [&]<class T>(FloatKernels<T>& k) { k.sigmoid(x.numel(), x.data<T>(), y.data<T>()); });
  return record("sigmoid", {x}, y, [y = Saved(y)](const Tensor& gradient) {
    const Tensor g = gradient.contiguous(), dx = y.reuse();
    for_floating("sigmoid", g, [&]<class T>(FloatKernels<T>& k) {
      k.sigmoid_backward(g.numel(), (*y).data<T>(), g.data<T>(), dx.data<T>());
    });
    return dx;
  });
}

Tensor activate(const Tensor& x, Activation activation) {
  check_defined("activate", "x", x);
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
