#include <tern/core/autocast.hpp>
#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>
#include <tern/core/trace.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace tern {

using kernels::ArrayKernels;
using kernels::Extreme;
using kernels::ReduceOp;
using kernels::ScanOp;

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

/// x for a kernel that goes over all named dimensions at once.
struct Columns {
  Tensor x;  ///< contiguous; a copy with these dimensions last, where others lie between them
  kernels::ReduceShape r;
  Shape kept, shape;  ///< of the result, with sizes of 1 where it was reduced, and as it is wanted

  Columns(const char* op, const Tensor& in, const Shape& dims, bool keepdim) {
    const unsigned named = named_dims(op, in, dims);
    Shape order, last;
    int begin = in.dim(), end = -1;  // the first and the last that is named and larger than 1
    bool adjacent = true;
    for (int d = 0; d < in.dim(); ++d) {
      const bool reduced = named >> d & 1;
      (reduced ? last : order).push_back(d);
      kept.push_back(reduced ? 1 : in.shape()[d]);
      if (keepdim || !reduced) shape.push_back(kept[d]);
      if (!reduced || in.shape()[d] == 1) continue;
      for (int between = end + 1; end >= 0 && between < d; ++between) adjacent &= in.shape()[between] == 1;
      begin = std::min(begin, d), end = d;
    }
    for (const std::int64_t d : last) order.push_back(d);
    x = adjacent ? in.detach().contiguous() : in.detach().permute(order).contiguous();
    if (adjacent) {
      r = around(x.shape(), begin, end);
    } else {
      r = around(x.shape(), in.dim() - last.size(), in.dim() - 1);
    }
  }

  /// A result of one number for each column.
  Tensor result(DType dtype) const { return empty(shape, {.dtype = dtype, .device = x.device()}); }
};

}  // namespace

Tensor sum(const Tensor& x) { return sum(x, {}); }

Tensor sum(const Tensor& in, const Shape& dims, bool keepdim) {
  if (const Autocast cast(Autocast::float32); cast) return sum(cast(in), dims, keepdim);
  check_defined("sum", "x", in);
  const unsigned named = named_dims("sum", in, dims);
  const Tensor x = (is_floating(in.dtype()) ? in : in.to(DType::int64)).contiguous();
  if (x.dim() == 0) return x.clone();
  if (Trace* const trace = Trace::current()) {
    return trace->run("sum", {x}, {{"dims", dims}, {"keepdim", keepdim}}, [&] { return sum(x, dims, keepdim); });
  }
  if (is_half(x.dtype())) return sum(widened(x), dims, keepdim).to(x.dtype());
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
    for_array(x, [&]<class T>(kernels::ArrayKernels<T>& k) {
      k.reduce({kernels::ReduceOp::sum}, r, from.data<T>(), y.data<T>());
    });
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

Tensor nansum(const Tensor& x, const Shape& dims, bool keepdim) {
  check_defined("nansum", "x", x);
  return sum(masked_fill(x, isnan(x), 0), dims, keepdim);
}

Tensor nanmean(const Tensor& x, const Shape& dims, bool keepdim) {
  check_defined("nanmean", "x", x);
  return nansum(x, dims, keepdim) / sum(eq(isnan(x), 0), dims, keepdim).to(x.dtype());
}

Tensor mean(const Tensor& x) { return mean(x, {}); }

Tensor mean(const Tensor& x, const Shape& dims, bool keepdim) {
  check_defined("mean", "x", x);
  check(is_floating(x.dtype()), "mean: got {}, expected float32 or float64", x.dtype());
  if (Trace* const trace = Trace::current()) {
    return trace->run("mean", {x}, {{"dims", dims}, {"keepdim", keepdim}}, [&] { return mean(x, dims, keepdim); });
  }
  if (is_half(x.dtype())) return mean(widened(x), dims, keepdim).to(x.dtype());
  const unsigned named = named_dims("mean", x, dims);
  std::int64_t n = 1;
  for (int d = 0; d < x.dim(); ++d) {
    if (named >> d & 1) n *= x.shape()[d];
  }
  return sum(x, dims, keepdim) / static_cast<double>(n);
}

namespace {

Tensor to_sum(const Tensor& x) { return is_floating(x.dtype()) ? x : x.to(DType::int64); }

/// The gradient g by y, which is some of x, goes to all elements over `dims` that are y, in equal shares.
Tensor shared_gradient(const Tensor& x, const Tensor& y, const Shape& dims, const Tensor& g) {
  // Where y is NaN those that are NaN share, else there are none.
  const Tensor shares = eq(x, y) + ne(x, x);
  const Tensor each = g / sum(shares, dims, true).to(g.dtype());
  return masked_fill(each.expand(x.shape()), eq(shares, 0), 0);
}

Tensor extremes(const char* name, Extreme which, const Tensor& x, const Shape& dims, bool keepdim) {
  check_defined(name, "x", x);
  if (Trace* const trace = Trace::current()) {
    return trace->run(which == Extreme::max ? "amax" : "amin", {x}, {{"dims", dims}, {"keepdim", keepdim}},
                      [&] { return extremes(name, which, x, dims, keepdim); });
  }
  if (is_half(x.dtype())) return extremes(name, which, widened(x), dims, keepdim).to(x.dtype());
  const Columns c(name, x, dims, keepdim);
  check(c.r.n > 0 || c.r.outer * c.r.inner == 0, "{}: shape {} has no elements, expected at least one", name,
        x.shape());
  const Tensor y = c.result(x.dtype());
  for_array(x, [&]<class T>(ArrayKernels<T>& k) { k.extreme(which, c.r, c.x.data<T>(), y.data<T>(), nullptr); });
  return record(name, {x}, y, [x = Saved(x), y = Saved(y), dims, kept = c.kept](const Tensor& g) {
    return shared_gradient(*x, (*y).reshape(kept), dims, g.reshape(kept));
  });
}

/// The gradient of the largest or smallest along dim, at `indices`, by a tensor of the shape `from`. Its own gradient
/// is what stands at the indices.
Tensor extreme_gradient(const char* name, const kernels::ReduceShape& r, const Shape& from, int dim,
                        const Tensor& indices, const Tensor& gradient) {
  const Tensor g = gradient.contiguous(), dx = empty(from, {.dtype = g.dtype(), .device = g.device()});
  for_array(g, [&]<class T>(ArrayKernels<T>& k) {
    k.extreme_backward(r, indices.data<std::int64_t>(), g.data<T>(), dx.data<T>());
  });
  return record(name, {g}, dx, [dim, shape = g.shape(), indices = Saved(indices)](const Tensor& by_dx) {
    if (by_dx.dim() == 0) return by_dx.reshape(shape);
    Shape kept = by_dx.shape();
    kept[dim] = 1;
    return gather(by_dx, dim, (*indices).reshape(kept)).reshape(shape);
  });
}

MaxResult extremes(const char* name, Extreme which, const Tensor& in, std::int64_t dim, bool keepdim) {
  check_defined(name, "x", in);
  const int d = wrap_dim(name, dim, in.dim());
  check(in.dim() == 0 || in.shape()[d] > 0, "{}: dimension {} of shape {} is empty, expected at least one element",
        name, d, in.shape());
  if (Trace* const trace = Trace::current()) {
    return trace->run(which == Extreme::max ? "max" : "min", {in}, {{"dim", d}, {"keepdim", keepdim}},
                      [&] { return extremes(name, which, in, dim, keepdim); });
  }
  if (is_half(in.dtype())) {
    const MaxResult of = extremes(name, which, widened(in), dim, keepdim);
    return {of.values.to(in.dtype()), of.indices};
  }
  const Columns c(name, in, {d}, keepdim);
  const Tensor y = c.result(in.dtype()), indices = c.result(DType::int64);
  for_array(in, [&]<class T>(ArrayKernels<T>& k) {
    k.extreme(which, c.r, c.x.data<T>(), y.data<T>(), indices.data<std::int64_t>());
  });
  return {record(name, {in}, y,
                 [name, d, r = c.r, from = in.shape(), indices = Saved(indices)](const Tensor& g) {
                   return extreme_gradient(name, r, from, d, *indices, g);
                 }),
          indices};
}

Tensor place(const char* name, Extreme which, const Tensor& x, std::int64_t dim, bool keepdim) {
  check_defined(name, "x", x);
  return extremes(name, which, x.detach(), dim, keepdim).indices;
}

}  // namespace

Tensor max(const Tensor& x) { return extremes("max", Extreme::max, x, Shape(), false); }
Tensor min(const Tensor& x) { return extremes("min", Extreme::min, x, Shape(), false); }
Tensor amax(const Tensor& x, const Shape& dims, bool keepdim) {
  return extremes("amax", Extreme::max, x, dims, keepdim);
}
Tensor amin(const Tensor& x, const Shape& dims, bool keepdim) {
  return extremes("amin", Extreme::min, x, dims, keepdim);
}
MaxResult max(const Tensor& x, std::int64_t dim, bool keepdim) {
  return extremes("max", Extreme::max, x, dim, keepdim);
}
MaxResult min(const Tensor& x, std::int64_t dim, bool keepdim) {
  return extremes("min", Extreme::min, x, dim, keepdim);
}
Tensor argmax(const Tensor& x, std::int64_t dim, bool keepdim) {
  return place("argmax", Extreme::max, x, dim, keepdim);
}
Tensor argmin(const Tensor& x, std::int64_t dim, bool keepdim) {
  return place("argmin", Extreme::min, x, dim, keepdim);
}
Tensor argmax(const Tensor& x) {
  check_defined("argmax", "x", x);
  return argmax(x.reshape({-1}), 0);
}
Tensor argmin(const Tensor& x) {
  check_defined("argmin", "x", x);
  return argmin(x.reshape({-1}), 0);
}

namespace {

Tensor scan(const char* name, ScanOp op, bool reverse, const Tensor& in, std::int64_t dim) {
  check_defined(name, "x", in);
  const int d = wrap_dim(name, dim, in.dim());
  if (is_half(in.dtype())) return scan(name, op, reverse, widened(in), d).to(in.dtype());
  const Tensor x = to_sum(in).contiguous(), y = empty_like(x);
  const kernels::ReduceShape r = around(x.shape(), d, d);
  for_array(x, [&]<class T>(ArrayKernels<T>& k) { k.scan(op, reverse, r, x.data<T>(), y.data<T>()); });
  if (op == ScanOp::sum) {
    return record(name, {x}, y, [=](const Tensor& g) { return scan(name, op, !reverse, g, d); });
  }
  return record(name, {x}, y, [name, reverse, r, d, x = Saved(x)](const Tensor& gradient) {
    if (is_grad_enabled()) {
      return composed_gradients(gradient, {*x}, [&](const std::vector<Tensor>& inputs) {
        const Tensor& factors = inputs[0];
        if (factors.dim() == 0 || factors.size(d) == 0) return factors.clone();
        std::vector<Tensor> products;
        for (std::int64_t i = 0; i < factors.size(d); ++i) {
          const Tensor next = factors.select(d, reverse ? factors.size(d) - 1 - i : i);
          products.push_back(i == 0 ? next : products.back() * next);
        }
        if (reverse) std::reverse(products.begin(), products.end());
        return stack(products, d);
      })[0];
    }
    const Tensor g = gradient.contiguous(), dx = empty_like(g);
    for_floating(name, g, [&]<class T>(kernels::FloatKernels<T>& k) {
      k.cumprod_backward(r, reverse, (*x).data<T>(), g.data<T>(), dx.data<T>());
    });
    return dx;
  });
}

MaxResult scan(const char* name, Extreme which, const Tensor& in, std::int64_t dim) {
  check_defined(name, "x", in);
  const int d = wrap_dim(name, dim, in.dim());
  if (is_half(in.dtype())) {
    const MaxResult of = scan(name, which, widened(in), d);
    return {of.values.to(in.dtype()), of.indices};
  }
  const Tensor x = in.contiguous(), y = empty_like(x);
  const Tensor indices = empty(x.shape(), {.dtype = DType::int64, .device = x.device()});
  const kernels::ReduceShape r = around(x.shape(), d, d);
  for_array(x, [&]<class T>(ArrayKernels<T>& k) {
    k.scan(which, r, x.data<T>(), y.data<T>(), indices.data<std::int64_t>());
  });
  return {record(name, {x}, y,
                 [d, indices = Saved(indices)](const Tensor& g) {
                   return g.dim() == 0 ? g : scatter_add(zeros_like(g), d, *indices, g);
                 }),
          indices};
}

}  // namespace

Tensor cumsum(const Tensor& x, std::int64_t dim) {
  if (const Autocast cast(Autocast::float32); cast) return cumsum(cast(x), dim);
  if (Trace* const trace = Trace::current()) {
    return trace->run("cumsum", {x}, {{"dim", dim}}, [&] { return cumsum(x, dim); });
  }
  return scan("cumsum", ScanOp::sum, false, x, dim);
}
Tensor cumprod(const Tensor& x, std::int64_t dim) {
  if (const Autocast cast(Autocast::float32); cast) return cumprod(cast(x), dim);
  return scan("cumprod", ScanOp::prod, false, x, dim);
}
MaxResult cummax(const Tensor& x, std::int64_t dim) { return scan("cummax", Extreme::max, x, dim); }
MaxResult cummin(const Tensor& x, std::int64_t dim) { return scan("cummin", Extreme::min, x, dim); }

MaxResult median(const Tensor& in, std::int64_t dim, bool keepdim) {
  check_defined("median", "x", in);
  const int d = wrap_dim("median", dim, in.dim());
  if (in.dim() == 0) return median(in.reshape({1}), 0);
  const std::int64_t n = in.shape()[d];
  check(n > 0, "median: dimension {} of shape {} is empty, expected at least one element", d, in.shape());
  const Tensor x = in.detach();
  const MaxResult largest = max(x, d, true);  // NaN, where there is any
  const Tensor middle = kthvalue(x, (n + 1) / 2, d, true).indices;
  const Tensor indices = where(isnan(largest.values), largest.indices, middle), y = gather(in, d, indices);
  return keepdim ? MaxResult{y, indices} : MaxResult{y.squeeze(d), indices.squeeze(d)};
}

Tensor median(const Tensor& x) {
  check_defined("median", "x", x);
  check(x.numel() > 0, "median: shape {} has no elements, expected at least one", x.shape());
  const Tensor y = median(x.detach().reshape({-1}), 0).values;
  return record("median", {x}, y,
                [x = Saved(x), y = Saved(y)](const Tensor& g) { return shared_gradient(*x, *y, {}, g); });
}

Tensor prod(const Tensor& in, std::int64_t dim, bool keepdim) {
  if (const Autocast cast(Autocast::float32); cast) return prod(cast(in), dim, keepdim);
  check_defined("prod", "x", in);
  const Tensor x = to_sum(in);
  const int d = wrap_dim("prod", dim, x.dim());
  if (Trace* const trace = Trace::current()) {
    return trace->run("prod", {x}, {{"dims", Shape{d}}, {"keepdim", keepdim}}, [&] { return prod(x, dim, keepdim); });
  }
  if (is_half(x.dtype())) return prod(widened(x), d, keepdim).to(x.dtype());
  const Columns c("prod", x, {d}, keepdim);
  const Tensor y = c.result(x.dtype());
  for_array(x, [&]<class T>(ArrayKernels<T>& k) { k.reduce({ReduceOp::prod}, c.r, c.x.data<T>(), y.data<T>()); });
  return record("prod", {x}, y, [x = Saved(x), d, kept = c.kept](const Tensor& g) {
    // Each element's gradient is the product of those before and of those after it.
    const Tensor whole = (*x).dim() == 0 ? (*x).reshape({1}) : *x;
    const std::int64_t n = whole.size(d);
    if (n == 0) return *x;
    const Tensor one = ones_like(whole.narrow(d, 0, 1));
    const Tensor before = cat({one, scan("prod", ScanOp::prod, false, whole.narrow(d, 0, n - 1), d)}, d),
                 after = cat({scan("prod", ScanOp::prod, true, whole.narrow(d, 1, n - 1), d), one}, d);
    return (before * after).reshape((*x).shape()) * g.reshape(kept);
  });
}

Tensor prod(const Tensor& x) {
  check_defined("prod", "x", x);
  return prod(x.reshape({-1}), 0);
}

VarMean var_mean(const Tensor& x, const Shape& dims, double correction, bool keepdim) {
  check_defined("var", "x", x);
  if (Trace::current()) {
    const Tensor m = mean(x, dims, true), squares = square(x - m);
    const double all = static_cast<double>(Columns("var", x, dims, keepdim).r.n);
    const Tensor v = mean(squares, dims, keepdim);
    return {correction == 0 ? v : v * (all / std::max(all - correction, 0.0)), mean(x, dims, keepdim)};
  }
  if (is_half(x.dtype())) {
    const VarMean of = var_mean(widened(x), dims, correction, keepdim);
    return {of.var.to(x.dtype()), of.mean.to(x.dtype())};
  }
  const Columns c("var", x, dims, keepdim);
  const double n = static_cast<double>(c.r.n);
  const Tensor v = empty(c.shape, {.dtype = x.dtype(), .device = x.device()}), m = empty_like(v);
  for_floating("var", x, [&]<class T>(kernels::FloatKernels<T>& k) {
    k.var(c.r, correction, c.x.data<T>(), m.data<T>(), v.data<T>());
  });
  return {record("var", {x}, v,
                 [x = Saved(x), dims, kept = c.kept, by = 2 / std::max(n - correction, 0.0)](const Tensor& g) {
                   return (*x - mean(*x, dims, true)) * (g.reshape(kept) * by);
                 }),
          record("mean", {x}, m,
                 [kept = c.kept, from = x.shape(), n](const Tensor& g) { return (g.reshape(kept) / n).expand(from); })};
}

Tensor var(const Tensor& x, const Shape& dims, double correction, bool keepdim) {
  return var_mean(x, dims, correction, keepdim).var;
}

namespace {

/// The root of a variance, whose gradient is 0 where it is 0.
Tensor root(const Tensor& v) {
  const Tensor y = sqrt(v.detach());
  return record("std", {v}, y, [y = Saved(y)](const Tensor& g) { return masked_fill(g / (*y * 2), eq(*y, 0), 0); });
}

}  // namespace

VarMean std_mean(const Tensor& x, const Shape& dims, double correction, bool keepdim) {
  const VarMean both = var_mean(x, dims, correction, keepdim);
  return {root(both.var), both.mean};
}

Tensor std(const Tensor& x, const Shape& dims, double correction, bool keepdim) {
  return root(var(x, dims, correction, keepdim));
}

Tensor norm(const Tensor& x, double p, const Shape& dims, bool keepdim) {
  if (const Autocast cast(Autocast::float32); cast) return norm(cast(x), p, dims, keepdim);
  check_defined("norm", "x", x);
  check(is_floating(x.dtype()), "norm: got {}, expected float32 or float64", x.dtype());
  if (Trace* const trace = Trace::current()) {
    return trace->run("norm", {x}, {{"p", p}, {"dims", dims}, {"keepdim", keepdim}},
                      [&] { return norm(x, p, dims, keepdim); });
  }
  if (is_half(x.dtype())) return norm(widened(x), p, dims, keepdim).to(x.dtype());
  const Columns c("norm", x, dims, keepdim);
  check(c.r.n > 0 || c.r.outer * c.r.inner == 0 || (p >= 0 && std::isfinite(p)),
        "norm: shape {} has no elements, expected at least one for p = {}", x.shape(), p);
  const Tensor y = c.result(x.dtype());
  for_array(x, [&]<class T>(ArrayKernels<T>& k) { k.reduce({ReduceOp::norm, p}, c.r, c.x.data<T>(), y.data<T>()); });
  if (p == 0) return y;
  return record("norm", {x}, y, [x = Saved(x), y = Saved(y), p, dims, kept = c.kept](const Tensor& gradient) {
    const Tensor of_y = (*y).reshape(kept), g = gradient.reshape(kept);
    if (p == 2) return *x * masked_fill(g / of_y, eq(of_y, 0), 0);
    if (p == 1) return sign(*x) * g;
    if (std::isinf(p)) {
      const Tensor shares = eq(abs(*x), of_y);
      return masked_fill(sign(*x) * (g / sum(shares, dims, true).to(g.dtype())), eq(shares, 0), 0);
    }
    const Tensor of_x = sign(*x) * pow(abs(*x), p - 1);
    return masked_fill(of_x, eq(*x, 0), 0) * masked_fill(g / pow(of_y, p - 1), eq(of_y, 0), 0);
  });
}

Tensor logsumexp(const Tensor& x, const Shape& dims, bool keepdim) {
  if (const Autocast cast(Autocast::float32); cast) return logsumexp(cast(x), dims, keepdim);
  check_defined("logsumexp", "x", x);
  check(is_floating(x.dtype()), "logsumexp: got {}, expected float32 or float64", x.dtype());
  if (Trace* const trace = Trace::current()) {
    return trace->run("logsumexp", {x}, {{"dims", dims}, {"keepdim", keepdim}},
                      [&] { return logsumexp(x, dims, keepdim); });
  }
  if (is_half(x.dtype())) return logsumexp(widened(x), dims, keepdim).to(x.dtype());
  const Columns c("logsumexp", x, dims, keepdim);
  Tensor y;
  {
    NoGradGuard no_grad;
    // An infinite largest would make NaN of itself.
    const Tensor largest = c.r.n == 0 ? zeros(c.kept, {.dtype = x.dtype(), .device = x.device()}) : amax(x, dims, true);
    const Tensor shift = masked_fill(largest, eq(abs(largest), std::numeric_limits<double>::infinity()), 0);
    y = (log(sum(exp(x - shift), dims, true)) + shift).reshape(c.shape);
  }
  return record("logsumexp", {x}, y, [x = Saved(x), y = Saved(y), kept = c.kept](const Tensor& g) {
    return exp(*x - (*y).reshape(kept)) * g.reshape(kept);
  });
}

Tensor all(const Tensor& x, const Shape& dims, bool keepdim) {
  check_defined("all", "x", x);
  return eq(sum(eq(x, 0), dims, keepdim), 0);
}

Tensor any(const Tensor& x, const Shape& dims, bool keepdim) {
  check_defined("any", "x", x);
  return ne(sum(ne(x, 0), dims, keepdim), 0);
}

Tensor count_nonzero(const Tensor& x, const Shape& dims) {
  check_defined("count_nonzero", "x", x);
  return sum(ne(x, 0), dims);
}

Tensor sum_of_squares(const std::vector<Tensor>& tensors) {
  check(!tensors.empty(), "sum_of_squares: no tensors, expected one or more");
  std::vector<Tensor> xs;
  for (const Tensor& x : tensors) {
    check(x.defined(), "sum_of_squares: tensor {} is undefined, expected a tensor", xs.size());
    check_alike("sum_of_squares", tensors[0], x);
    xs.push_back(widened(x).contiguous());
  }
  const Tensor y = empty({}, {.dtype = xs[0].dtype(), .device = xs[0].device()});
  for_floating("sum_of_squares", y, [&]<class T>(kernels::FloatKernels<T>& k) {
    std::vector<kernels::Segment<T>> all;
    for (const Tensor& x : xs) all.push_back({x.numel(), x.data<T>(), nullptr});
    k.sum_of_squares(all, y.data<T>());
  });
  std::vector<Saved> saved(xs.begin(), xs.end());
  const Tensor sum = record("sum_of_squares", xs, y, [saved = std::move(saved)](const Tensor& g) {
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
  return sum.to(tensors[0].dtype());
}

}  // namespace tern
