#include <tern/core/autocast.hpp>
#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>
#include <tern/core/precision.hpp>
#include <tern/core/trace.hpp>

#include <span>

namespace tern {
namespace {

/// A batch of matrices as a kernel takes it: dense, or dense once transposed.
struct Matrices {
  explicit Matrices(const Tensor& x) : dense(x) {
    if (x.is_contiguous()) return;
    dense = x.transpose(1, 2);
    trans = dense.is_contiguous();
    if (!trans) dense = x.contiguous();
  }

  Tensor dense;
  bool trans = false;
};

/// y[i] = a[i] b[i] for batches of matrices.
Tensor product(const Tensor& in_a, const Tensor& in_b, Precision precision) {
  const Matrices a(in_a), b(in_b);
  const kernels::MatmulShape s{.batch = in_a.size(0),
                               .m = in_a.size(1),
                               .n = in_b.size(2),
                               .k = in_a.size(2),
                               .trans_a = a.trans,
                               .trans_b = b.trans,
                               .precision = precision};
  const Tensor y = empty({s.batch, s.m, s.n}, {.dtype = in_a.dtype(), .device = in_a.device()});
  for_floating("matmul", y, [&]<class T>(kernels::FloatKernels<T>& k) {
    k.matmul(s, a.dense.data<T>(), b.dense.data<T>(), y.data<T>());
  });
  return y;
}

/// a b for batches of matrices.
Tensor recorded_product(const Tensor& a, const Tensor& b, Precision precision) {
  if (is_half(a.dtype())) return recorded_product(widened(a), widened(b), precision).to(a.dtype());
  const bool need_a = a.requires_grad(), need_b = b.requires_grad();
  Tensor y;
  {
    NoGradGuard no_grad;
    y = product(a, b, precision);
  }
  return record(
      "matmul", {a, b}, y,
      [need_a, need_b, precision, a = Saved(need_b ? a : Tensor()), b = Saved(need_a ? b : Tensor())](const Tensor& g) {
        Grads grads{Tensor(), Tensor()};
        if (need_a) grads[0] = recorded_product(g, (*b).transpose(1, 2), precision);
        if (need_b) grads[1] = recorded_product((*a).transpose(1, 2), g, precision);
        return grads;
      });
}

/// Throws unless both are defined, of one dtype and device, and of so many dimensions.
void check_matrices(const char* op, const Tensor& a, const Tensor& b, int dims_a, int dims_b) {
  check_defined(op, "a", a);
  check_defined(op, "b", b);
  check_alike(op, a, b);
  check(a.dim() == dims_a && b.dim() == dims_b, "{}: shapes {} and {}, expected {} and {} dimensions", op, a.shape(),
        b.shape(), dims_a, dims_b);
}

/// beta input + alpha product.
Tensor scaled_sum(const char* op, const Tensor& input, const Tensor& product, Scalar beta, Scalar alpha) {
  check_defined(op, "input", input);
  check_alike(op, input, product);
  check(broadcast_shapes(op, input.shape(), product.shape()) == product.shape(),
        "{}: input {} and a product {}, expected an input that broadcasts to it", op, input.shape(), product.shape());
  const Tensor scaled = alpha.to<double>() == 1 ? product : product * alpha;
  if (beta.to<double>() == 0) return scaled;
  return (beta.to<double>() == 1 ? input : input * beta) + scaled;
}

}  // namespace

Tensor matmul(const Tensor& in_a, const Tensor& in_b) {
  if (const Autocast cast(Autocast::low); cast) return matmul(cast(in_a), cast(in_b));
  check_defined("matmul", "a", in_a);
  check_defined("matmul", "b", in_b);
  check_alike("matmul", in_a, in_b);
  check(in_a.dim() > 0 && in_b.dim() > 0, "matmul: shapes {} and {}, expected one dimension or more", in_a.shape(),
        in_b.shape());
  if (Trace* const trace = Trace::current()) {
    return trace->run("matmul", {in_a, in_b}, {}, [&] { return matmul(in_a, in_b); });
  }
  const Tensor a = in_a.dim() == 1 ? in_a.unsqueeze(0) : in_a, b = in_b.dim() == 1 ? in_b.unsqueeze(1) : in_b;
  const std::int64_t m = a.size(-2), k = a.size(-1), n = b.size(-1);
  check(b.size(-2) == k, "matmul: shapes {} and {}: {} columns against {} rows", in_a.shape(), in_b.shape(), k,
        b.size(-2));
  const auto before_matrix = [](const Tensor& x) { return Shape(std::span(x.shape().begin(), x.shape().end() - 2)); };
  const auto with = [](Shape shape, std::initializer_list<std::int64_t> sizes) {
    for (const std::int64_t size : sizes) shape.push_back(size);
    return shape;
  };
  const Shape batch_b = before_matrix(b), batch = broadcast_shapes("matmul", before_matrix(a), batch_b);
  const std::int64_t count = batch.numel();
  const Precision precision = precision_of(in_a);
  Tensor y;
  if (batch_b.numel() == 1) {  // one matrix on the right: all rows on the left are one matrix
    y = recorded_product(a.reshape({1, count * m, k}), b.reshape({1, k, n}), precision);
  } else {
    y = recorded_product(a.expand(with(batch, {m, k})).reshape({count, m, k}),
                         b.expand(with(batch, {k, n})).reshape({count, k, n}), precision);
  }
  Shape shape = batch;
  if (in_a.dim() > 1) shape.push_back(m);
  if (in_b.dim() > 1) shape.push_back(n);
  return y.reshape(shape);
}

Tensor mm(const Tensor& a, const Tensor& b) {
  if (const Autocast cast(Autocast::low); cast) return mm(cast(a), cast(b));
  check_matrices("mm", a, b, 2, 2);
  return matmul(a, b);
}

Tensor bmm(const Tensor& a, const Tensor& b) {
  if (const Autocast cast(Autocast::low); cast) return bmm(cast(a), cast(b));
  check_matrices("bmm", a, b, 3, 3);
  check(a.size(0) == b.size(0), "bmm: shapes {} and {}, expected one batch", a.shape(), b.shape());
  return matmul(a, b);
}

Tensor mv(const Tensor& a, const Tensor& b) {
  if (const Autocast cast(Autocast::low); cast) return mv(cast(a), cast(b));
  check_matrices("mv", a, b, 2, 1);
  return matmul(a, b);
}

Tensor dot(const Tensor& a, const Tensor& b) {
  if (const Autocast cast(Autocast::low); cast) return dot(cast(a), cast(b));
  check_matrices("dot", a, b, 1, 1);
  return matmul(a, b);
}

Tensor outer(const Tensor& a, const Tensor& b) {
  check_defined("outer", "a", a);
  check_defined("outer", "b", b);
  check(a.dim() == 1 && b.dim() == 1, "outer: shapes {} and {}, expected vectors", a.shape(), b.shape());
  return a.unsqueeze(1) * b;
}

Tensor addmm(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  if (const Autocast cast(Autocast::low); cast) return addmm(cast(input), cast(a), cast(b), beta, alpha);
  return scaled_sum("addmm", input, mm(a, b), beta, alpha);
}

Tensor baddbmm(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta, Scalar alpha) {
  if (const Autocast cast(Autocast::low); cast) return baddbmm(cast(input), cast(a), cast(b), beta, alpha);
  return scaled_sum("baddbmm", input, bmm(a, b), beta, alpha);
}

namespace {

Tensor recorded_linear(const Tensor& input, const Tensor& weight, const Tensor& bias, Activation activation,
                       Precision precision) {
  if (is_half(input.dtype())) {
    const Tensor y = recorded_linear(widened(input), widened(weight), widened(bias), Activation::none, precision);
    return activate(y.to(input.dtype()), activation);
  }
  const std::int64_t in = weight.size(1), out = weight.size(0);
  const Tensor x = input.contiguous(), w = weight.contiguous(), b = bias.defined() ? bias.contiguous() : bias;
  Shape shape = x.shape();
  shape[x.dim() - 1] = 1;
  const kernels::LinearShape s{
      .rows = shape.numel(), .in = in, .out = out, .activation = activation, .precision = precision};
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
                    const auto times = [&](const Tensor& left, const Tensor& right) {
                      return recorded_product(left.unsqueeze(0), right.unsqueeze(0), s.precision);
                    };
                    return Grads{need_x ? times(dz, *w).reshape(x_shape) : Tensor(),
                                 need_w ? times(dz.t(), (*x).reshape({s.rows, s.in})).squeeze(0) : Tensor(),
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

}  // namespace

Tensor linear(const Tensor& input, const Tensor& weight, const Tensor& bias, Activation activation) {
  if (const Autocast cast(Autocast::low); cast) return linear(cast(input), cast(weight), cast(bias), activation);
  check_defined("linear", "x", input);
  check_defined("linear", "weight", weight);
  check_alike("linear", input, weight);
  check(weight.dim() == 2 && input.dim() >= 1 && input.size(-1) == weight.size(1),
        "linear: input {} and weight {}, expected [..., in] and [out, in]", input.shape(), weight.shape());
  if (bias.defined()) {
    check_alike("linear", input, bias);
    check(bias.dim() == 1 && bias.size(0) == weight.size(0), "linear: bias {}, expected [{}]", bias.shape(),
          weight.size(0));
  }
  if (Trace* const trace = Trace::current()) {
    const Tensor y = trace->run("linear", {input, weight, bias}, {}, [&] { return linear(input, weight, bias); });
    return activate(y, activation);
  }
  return recorded_linear(input, weight, bias, activation, precision_of(input));
}

}  // namespace tern
