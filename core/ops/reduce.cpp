#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>

namespace tern {
namespace {

/// Which dimensions `dims` names, as a bit each; none names all.
unsigned named_dims(const char* op, const Tensor& x, const Shape& dims) {
  if (dims.empty()) return (1u << x.dim()) - 1;
  unsigned named = 0;
  for (std::int64_t dim : dims) {
    const unsigned bit = 1u << wrap_dim(op, dim, x.dim());
    check((named & bit) == 0, "{}: dimensions {}, expected each once", op, dims);
    named |= bit;
  }
  return named;
}

/// x seen as [outer, n, inner] around the dimensions first to last.
kernels::ReduceShape around(const Shape& shape, int first, int last) {
  kernels::ReduceShape r;
  for (int d = 0; d < shape.size(); ++d) (d < first ? r.outer : d <= last ? r.n : r.inner) *= shape[d];
  return r;
}

}  // namespace

Tensor sum(const Tensor& x) { return sum(x, {}); }

Tensor sum(const Tensor& in, const Shape& dims, bool keepdim) {
  check_defined("sum", "x", in);
  const unsigned named = named_dims("sum", in, dims);
  const Tensor x = (is_floating(in.dtype()) ? in : in.to(DType::int64)).contiguous();
  if (x.dim() == 0) return x.clone();
  Tensor y = x.detach();
  // Neighbouring dimensions go in one pass, the last ones first; each leaves a size of 1.
  for (int last = x.dim() - 1; last >= 0; --last) {
    if (!(named >> last & 1)) continue;
    int first = last;
    while (first > 0 && (named >> (first - 1) & 1)) --first;
    const kernels::ReduceShape r = around(y.shape(), first, last);
    Shape kept = y.shape();
    for (int d = first; d <= last; ++d) kept[d] = 1;
    const Tensor from = y;
    y = empty(kept, {.dtype = x.dtype(), .device = x.device()});
    for_array(x, [&]<class T>(kernels::ArrayKernels<T>& k) { k.sum(r, from.data<T>(), y.data<T>()); });
    last = first;
  }
  const Shape kept = y.shape();
  Shape shape;
  for (int d = 0; d < x.dim(); ++d) {
    if (keepdim || !(named >> d & 1)) shape.push_back(kept[d]);
  }
  return record("sum", {x}, y.as_strided(shape, dense_strides(shape), 0),
                [kept, from = x.shape()](const Tensor& g) { return g.reshape(kept).expand(from); });
}

Tensor mean(const Tensor& x) { return mean(x, {}); }

Tensor mean(const Tensor& x, const Shape& dims, bool keepdim) {
  check_defined("mean", "x", x);
  check(is_floating(x.dtype()), "mean: got {}, expected float32 or float64", x.dtype());
  const unsigned named = named_dims("mean", x, dims);
  std::int64_t n = 1;
  for (int d = 0; d < x.dim(); ++d) {
    if (named >> d & 1) n *= x.shape()[d];
  }
  return sum(x, dims, keepdim) / static_cast<double>(n);
}

MaxResult max(const Tensor& in, std::int64_t dim, bool keepdim) {
  check_defined("max", "x", in);
  const int d = wrap_dim("max", dim, in.dim());
  check(in.dim() == 0 || in.shape()[d] > 0, "max: dimension {} of shape {} is empty, expected at least one element", d,
        in.shape());
  const Tensor x = in.contiguous();
  const kernels::ReduceShape r = around(x.shape(), d, d);
  Shape shape = x.shape();
  if (x.dim() > 0 && keepdim) shape[d] = 1;
  if (x.dim() > 0 && !keepdim) shape.erase(d);
  const Tensor y = empty(shape, {.dtype = x.dtype(), .device = x.device()});
  const Tensor indices = empty(shape, {.dtype = DType::int64, .device = x.device()});
  for_array(x, [&]<class T>(kernels::ArrayKernels<T>& k) {
    k.max(r, x.data<T>(), y.data<T>(), indices.data<std::int64_t>());
  });
  return {record("max", {x}, y,
                 [r, from = x.shape(), indices = Saved(indices)](const Tensor& gradient) {
                   const Tensor g = gradient.contiguous(), dx = empty(from, {.dtype = g.dtype(), .device = g.device()});
                   for_array(g, [&]<class T>(kernels::ArrayKernels<T>& k) {
                     k.max_backward(r, (*indices).data<std::int64_t>(), g.data<T>(), dx.data<T>());
                   });
                   return dx;
                 }),
          indices};
}

Tensor max(const Tensor& in) {
  check_defined("max", "x", in);
  check(in.numel() > 0, "max: shape {} has no elements, expected at least one", in.shape());
  const Tensor x = in.contiguous(), y = empty({}, {.dtype = x.dtype(), .device = x.device()});
  for_array(x,
            [&]<class T>(kernels::ArrayKernels<T>& k) { k.max({.n = x.numel()}, x.data<T>(), y.data<T>(), nullptr); });
  return record("max", {x}, y, [x = Saved(x), y = Saved(y)](const Tensor& g) {
    // Where y is NaN those that are NaN share, else there are none.
    const Tensor shares = eq(*x, *y) + ne(*x, *x);
    return masked_fill((g / sum(shares).to(g.dtype())).expand((*x).shape()), eq(shares, 0), 0);
  });
}

Tensor argmax(const Tensor& x, std::int64_t dim, bool keepdim) {
  check_defined("argmax", "x", x);
  NoGradGuard no_grad;
  return max(x, dim, keepdim).indices;
}

Tensor argmax(const Tensor& x) {
  check_defined("argmax", "x", x);
  return argmax(x.reshape({-1}), 0);
}

Tensor sum_of_squares(const std::vector<Tensor>& tensors) {
  check(!tensors.empty(), "sum_of_squares: no tensors, expected one or more");
  std::vector<Tensor> xs;
  for (const Tensor& x : tensors) {
    check(x.defined(), "sum_of_squares: tensor {} is undefined, expected a tensor", xs.size());
    check_alike("sum_of_squares", tensors[0], x);
    xs.push_back(x.contiguous());
  }
  const Tensor y = empty({}, {.dtype = xs[0].dtype(), .device = xs[0].device()});
  for_floating("sum_of_squares", y, [&]<class T>(kernels::FloatKernels<T>& k) {
    std::vector<kernels::Segment<T>> all;
    for (const Tensor& x : xs) all.push_back({x.numel(), x.data<T>(), nullptr});
    k.sum_of_squares(all, y.data<T>());
  });
  std::vector<Saved> saved(xs.begin(), xs.end());
  return record("sum_of_squares", xs, y, [saved = std::move(saved)](const Tensor& g) {
    Grads grads{std::vector<Tensor>()};
    if (is_grad_enabled()) {
      for (const Saved& x : saved) grads.push_back(g * 2 * *x);
      return grads;
    }
    for_floating("sum_of_squares", g, [&]<class T>(kernels::FloatKernels<T>& k) {
      std::vector<kernels::Segment<T>> all;
      for (const Saved& x : saved) {
        grads.push_back(empty_like(*x));
        all.push_back({(*x).numel(), (*x).data<T>(), grads.back().data<T>()});
      }
      k.scale_all(all, 2, g.data<T>());
    });
    return grads;
  });
}

}  // namespace tern
