#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>

namespace tern {
namespace {

/// y[i] = op(a[i]) op(b[i]) for batches of matrices, op being transposition where asked for.
Tensor product(const Tensor& in_a, bool trans_a, const Tensor& in_b, bool trans_b) {
  const Tensor a = in_a.contiguous(), b = in_b.contiguous();
  kernels::MatmulShape s;
  s.batch = a.size(0);
  s.m = a.size(trans_a ? 2 : 1);
  s.k = a.size(trans_a ? 1 : 2);
  s.n = b.size(trans_b ? 1 : 2);
  s.trans_a = trans_a;
  s.trans_b = trans_b;
  const Tensor y = empty({s.batch, s.m, s.n}, {.dtype = a.dtype(), .device = a.device()});
  for_floating("matmul", a,
               [&]<class T>(kernels::FloatKernels<T>& k) { k.matmul(s, a.data<T>(), b.data<T>(), y.data<T>()); });
  return y;
}

/// a b for batches of matrices.
Tensor recorded_product(const Tensor& a, const Tensor& b) {
  const bool need_a = a.requires_grad(), need_b = b.requires_grad();
  return record("matmul", {a, b}, product(a, false, b, false),
                [need_a, need_b, a = Saved(need_b ? a : Tensor()), b = Saved(need_a ? b : Tensor())](const Tensor& g) {
                  Grads grads{Tensor(), Tensor()};
                  if (is_grad_enabled()) {
                    if (need_a) grads[0] = recorded_product(g, (*b).transpose(1, 2));
                    if (need_b) grads[1] = recorded_product((*a).transpose(1, 2), g);
                    return grads;
                  }
                  if (need_a) grads[0] = product(g, false, *b, true);
                  if (need_b) grads[1] = product(*a, true, g, false);
                  return grads;
                });
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b) {
  check_defined("matmul", "a", a);
  check_defined("matmul", "b", b);
  check_alike("matmul", a, b);
  check((a.dim() == 2 || a.dim() == 3) && (b.dim() == 2 || b.dim() == 3),
        "matmul: shapes {} and {}, expected 2 or 3 dimensions", a.shape(), b.shape());
  check(a.size(-1) == b.size(-2), "matmul: shapes {} and {}: {} columns against {} rows", a.shape(), b.shape(),
        a.size(-1), b.size(-2));
  if (a.dim() == 2 && b.dim() == 2) return recorded_product(a.unsqueeze(0), b.unsqueeze(0)).squeeze(0);
  const Tensor batch_a = a.dim() == 3 ? a : a.unsqueeze(0), batch_b = b.dim() == 3 ? b : b.unsqueeze(0);
  const std::int64_t batch = a.dim() == 3 ? a.size(0) : b.size(0);
  check(b.dim() == 2 || b.size(0) == batch, "matmul: shapes {} and {}: batches of {} and {}", a.shape(), b.shape(),
        batch_a.size(0), batch_b.size(0));
  return recorded_product(batch_a.expand({batch, -1, -1}), batch_b.expand({batch, -1, -1}));
}

Tensor linear(const Tensor& input, const Tensor& weight, const Tensor& bias, Activation activation) {
  check_defined("linear", "x", input);
  check_defined("linear", "weight", weight);
  check_alike("linear", input, weight);
  check(weight.dim() == 2 && input.dim() >= 1 && input.size(-1) == weight.size(1),
        "linear: input {} and weight {}, expected [..., in] and [out, in]", input.shape(), weight.shape());
  const std::int64_t in = weight.size(1), out = weight.size(0);
  if (bias.defined()) {
    check_alike("linear", input, bias);
    check(bias.dim() == 1 && bias.size(0) == out, "linear: bias {}, expected [{}]", bias.shape(), out);
  }
  const Tensor x = input.contiguous(), w = weight.contiguous(), b = bias.defined() ? bias.contiguous() : bias;
  Shape shape = x.shape();
  shape[x.dim() - 1] = 1;
  const kernels::LinearShape s{.rows = shape.numel(), .in = in, .out = out, .activation = activation};
  shape[x.dim() - 1] = out;
  const Tensor y = empty(shape, {.dtype = x.dtype(), .device = x.device()});
  for_floating("linear", x, [&]<class T>(kernels::FloatKernels<T>& k) {
    k.linear(s, x.data<T>(), w.data<T>(), data_or_null<T>(b), y.data<T>());
  });
  const bool need_x = x.requires_grad(), need_w = w.requires_grad(), need_b = b.defined() && b.requires_grad();
  return record("linear", {x, w, b}, y,
                [=, x_shape = x.shape(), x = Saved(need_w ? x : Tensor()), w = Saved(need_x ? w : Tensor()),
                 y = Saved(activation != Activation::none ? y : Tensor())](const Tensor& gradient) {
                  if (is_grad_enabled()) {
                    const Tensor dz = activation_gradient(s.activation, *y, gradient).reshape({s.rows, s.out});
                    return Grads{need_x ? matmul(dz, *w).reshape(x_shape) : Tensor(),
                                 need_w ? matmul(dz.t(), (*x).reshape({s.rows, s.in})) : Tensor(),
                                 need_b ? dz.sum({0}) : Tensor()};
                  }
                  const Tensor g = gradient.contiguous();
                  const TensorOptions like{.dtype = g.dtype(), .device = g.device()};
                  Grads grads{need_x ? empty(x_shape, like) : Tensor(), need_w ? empty({out, in}, like) : Tensor(),
                              need_b ? empty({out}, like) : Tensor()};
                  for_floating("linear", g, [&]<class T>(kernels::FloatKernels<T>& k) {
                    k.linear_backward(s, data_or_null<T>(*x), data_or_null<T>(*w), data_or_null<T>(*y), g.data<T>(),
                                      data_or_null<T>(grads[0]), data_or_null<T>(grads[1]), data_or_null<T>(grads[2]));
                  });
                  return grads;
                });
}

}  // namespace tern
