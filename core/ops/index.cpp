#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>
#include <tern/core/trace.hpp>

#include <algorithm>
#include <span>

namespace tern {
namespace {

/// Throws unless there is a tensor, and all are defined.
void check_all_defined(const char* op, const std::vector<Tensor>& tensors) {
  check(!tensors.empty(), "{}: no tensors, expected at least one", op);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    check(tensors[i].defined(), "{}: tensor {} is undefined, expected a tensor", op, i);
  }
}

/// x as [outer, n, inner] around dimension d.
kernels::ReduceShape around(const Shape& shape, int d) {
  kernels::ReduceShape r;
  for (int i = 0; i < shape.size(); ++i) (i < d ? r.outer : i == d ? r.n : r.inner) *= shape[i];
  return r;
}

/// Throws where the host sees an index that is not within [low, size).
void check_range(const char* op, const Tensor& index, std::int64_t low, std::int64_t size, int d, const Shape& shape) {
  if (!index.device().on_host()) return;
  for (std::int64_t i = 0; i < index.numel(); ++i) {
    const std::int64_t value = index.data<std::int64_t>()[i];
    check(low <= value && value < size, "{}: index {} of dimension {} of shape {}, expected {} to {}", op, value, d,
          shape, low, size - 1);
  }
}

/// Negative indices counted from the end. What is out of range stays so.
Tensor from_the_end(const Tensor& index, std::int64_t size) { return where(lt(index, 0), index + size, index); }

/// The first elements of each dimension.
Tensor first_of(Tensor x, const Shape& shape) {
  for (int d = 0; d < shape.size(); ++d) {
    if (x.shape()[d] != shape[d]) x = x.narrow(d, 0, shape[d]);
  }
  return x;
}

/// Throws unless index can say for each of its elements where along dimension d of x it is.
void check_picks(const char* op, const Tensor& x, int d, const Tensor& index) {
  check_defined(op, "x", x);
  check_defined(op, "index", index);
  check_device(op, x, index);
  check(index.dtype() == DType::int64, "{}: index of {}, expected int64", op, index.dtype());
  check(index.dim() == x.dim(), "{}: index {} for shape {}, expected as many dimensions", op, index.shape(), x.shape());
  for (int i = 0; i < x.dim(); ++i) {
    check(i == d || index.shape()[i] <= x.shape()[i], "{}: index {} for shape {}, expected no more but in dimension {}",
          op, index.shape(), x.shape(), d);
  }
}

/// Calls f with x, index and src, tensors without dimensions as those with one, and d.
template <class F>
Tensor put(const char* op, const Tensor& x, std::int64_t dim, const Tensor& index, const Tensor& src, F f) {
  check_defined(op, "x", x);
  check_defined(op, "index", index);
  check_defined(op, "src", src);
  if (Trace* const trace = Trace::current()) {
    return trace->run(op, {x, index, src}, {{"dim", dim}}, [&] { return put(op, x, dim, index, src, f); });
  }
  const int d = wrap_dim(op, dim, x.dim());
  if (x.dim() == 0 && index.dim() == 0 && src.dim() == 0) {
    return f(x.reshape({1}), index.reshape({1}), src.reshape({1}), 0).reshape({});
  }
  check_picks(op, x, d, index);
  check_alike(op, x, src);
  check(src.dim() == x.dim(), "{}: src {} for index {}, expected no dimension smaller", op, src.shape(), index.shape());
  for (int i = 0; i < x.dim(); ++i) {
    check(index.shape()[i] <= src.shape()[i], "{}: src {} for index {}, expected no dimension smaller", op, src.shape(),
          index.shape());
  }
  check_range(op, index.contiguous(), 0, x.shape()[d], d, x.shape());
  return f(x, index.contiguous(), first_of(src, index.shape()), d);
}

/// An index of slices as one of elements.
Tensor one_for_each(const char* op, const Tensor& x, std::int64_t dim, const Tensor& index) {
  check_defined(op, "x", x);
  check_defined(op, "index", index);
  check(index.dtype() == DType::int64 && index.dim() == 1 && (x.dim() > 0 || index.numel() == 1),
        "{}: index {} of shape {} for shape {}, expected int64 [n]", op, index.dtype(), index.shape(), x.shape());
  if (x.dim() == 0) return index.reshape({});
  const int d = wrap_dim(op, dim, x.dim());
  Shape column = x.shape(), shape = x.shape();
  for (std::int64_t& size : std::span(&column[0], static_cast<std::size_t>(column.size()))) size = 1;
  column[d] = shape[d] = index.numel();
  return index.reshape(column).expand(shape);
}

/// What scatter, or, `adds`, scatter_add make of x, without recording.
Tensor scattered(bool adds, const Tensor& x, int d, const Tensor& index, const Tensor& src) {
  NoGradGuard no_grad;
  if (is_half(x.dtype())) return scattered(adds, widened(x), d, index, widened(src)).to(x.dtype());
  const Tensor y = x.clone();
  Shape shape = index.shape();
  shape[d] = x.shape()[d];
  const Tensor target = first_of(y, shape), full = target.contiguous(), picked = src.contiguous();
  const kernels::ReduceShape r = around(shape, d);
  for_array(x, [&]<class T>(kernels::ArrayKernels<T>& k) {
    const std::int64_t* const at = index.data<std::int64_t>();
    if (adds) {
      k.scatter_add(r, index.shape()[d], at, picked.data<T>(), full.data<T>());
    } else {
      k.scatter(r, index.shape()[d], at, picked.data<T>(), full.data<T>());
    }
  });
  if (full.storage() != y.storage()) copy_into(full, target);
  return y;
}

/// What an index of a mask means, for each of the mask's dimensions.
std::vector<Tensor> places_of(const Tensor& mask) { return unbind(nonzero(mask), 1); }

/// x[:, t0, t1, :, t2, ...]: tensors of indices for some of the dimensions, undefined for the others.
Tensor index_tensors(const Tensor& in, const std::vector<Tensor>& indices) {
  Tensor x = in;
  std::vector<Tensor> named;
  Shape first, rest, at;
  bool together = true;
  for (int d = 0; d < x.dim(); ++d) {
    const Tensor& index = indices[static_cast<std::size_t>(d)];
    if (!index.defined()) {
      rest.push_back(d);
      continue;
    }
    together = together && (first.empty() || first.back() == d - 1);
    first.push_back(d);
    named.push_back(index);
    at = broadcast_shapes("index", at, index.shape());
  }
  const int begin = together ? static_cast<int>(first[0]) : 0;
  if (!together) {
    Shape order = first;
    for (std::int64_t d : rest) order.push_back(d);
    x = x.permute(order);
  }
  const bool several = named.size() > 1;
  Tensor flat, outside;
  Shape merged, y_shape;
  std::int64_t n = 1;
  for (std::size_t i = 0; i < named.size(); ++i) {
    const int d = begin + static_cast<int>(i);
    const std::int64_t size = x.shape()[d];
    if (!Trace::current()) {
      check_range("index", named[i].contiguous(), -size, size, static_cast<int>(first[static_cast<int>(i)]),
                  in.shape());
    }
    const Tensor place = from_the_end(named[i], size);
    if (several && !x.device().on_host()) {
      const Tensor beyond = logical_or(lt(place, 0), ge(place, size));
      outside = outside.defined() ? logical_or(outside, beyond) : beyond;
    }
    flat = flat.defined() ? flat * size + place : place;
    n *= size;
  }
  if (outside.defined()) flat = masked_fill(flat, outside, -1);
  for (int d = 0; d < x.dim(); ++d) {
    const bool inside = begin <= d && d < begin + static_cast<int>(named.size());
    if (!inside) merged.push_back(x.shape()[d]);
    if (d == begin) merged.push_back(n);
  }
  for (int d = 0; d < merged.size(); ++d) {
    if (d != begin) y_shape.push_back(merged[d]);
    for (std::int64_t size : d == begin ? at : Shape()) y_shape.push_back(size);
  }
  return index_select(x.reshape(merged), begin, flat.expand(at).reshape({-1})).reshape(y_shape);
}

/// The gradient of index_select by its input, of that shape: linear, as that is, and each the other's gradient.
Tensor index_select_backward(const kernels::ReduceShape& r, const Shape& from, int dim, const Tensor& index,
                             const Tensor& gradient) {
  if (is_half(gradient.dtype())) {
    return index_select_backward(r, from, dim, index, widened(gradient)).to(gradient.dtype());
  }
  const Tensor g = gradient.contiguous(), dx = empty(from, {.dtype = g.dtype(), .device = g.device()});
  for_array(g, [&]<class T>(kernels::ArrayKernels<T>& k) {
    k.index_select_backward(r, index.numel(), index.data<std::int64_t>(), g.data<T>(), dx.data<T>());
  });
  return record("index_select_backward", {g}, dx,
                [dim, index = Saved(index)](const Tensor& by_dx) { return index_select(by_dx, dim, *index); });
}

}  // namespace

Tensor cat(const std::vector<Tensor>& tensors, std::int64_t dim) {
  check_all_defined("cat", tensors);
  const Tensor& first = tensors[0];
  const int d = existing_dim("cat", dim, first.dim());
  DType dtype = first.dtype();
  for (const Tensor& x : tensors) dtype = promote_types(dtype, x.dtype());
  Shape shape = first.shape();
  shape[d] = 0;
  std::vector<std::int64_t> lengths;
  for (const Tensor& x : tensors) {
    check_device("cat", first, x);
    check(x.dim() == first.dim(), "cat: shapes {} and {}, expected one number of dimensions", first.shape(), x.shape());
    for (int i = 0; i < x.dim(); ++i) {
      check(i == d || x.shape()[i] == shape[i], "cat: shapes {} and {} differ in dimension {}, expected only in {}",
            first.shape(), x.shape(), i, d);
    }
    lengths.push_back(x.shape()[d]);
    check(!__builtin_add_overflow(shape[d], lengths.back(), &shape[d]),
          "cat: dimension {} of all shapes together, expected no more than int64 counts", d);
  }
  std::vector<Tensor> alike;
  for (const Tensor& x : tensors) alike.push_back(x.to(dtype));
  if (Trace* const trace = Trace::current()) {
    return trace->run("cat", alike, {{"dim", d}}, [&] { return cat(alike, d); });
  }
  const Tensor y = empty(shape, {.dtype = dtype, .device = first.device()});
  std::int64_t start = 0;
  for (const Tensor& x : alike) {
    copy_into(x, y.narrow(d, start, x.shape()[d]));
    start += x.shape()[d];
  }
  return record("cat", alike, y, [d, lengths](const Tensor& g) {
    std::vector<Tensor> grads;
    std::int64_t from = 0;
    for (std::int64_t length : lengths) {
      grads.push_back(g.narrow(d, from, length));
      from += length;
    }
    return Grads(std::move(grads));
  });
}

Tensor stack(const std::vector<Tensor>& tensors, std::int64_t dim) {
  check_all_defined("stack", tensors);
  std::vector<Tensor> wider;
  for (const Tensor& x : tensors) {
    check(x.shape() == tensors[0].shape(), "stack: shapes {} and {}, expected one", tensors[0].shape(), x.shape());
    wider.push_back(x.unsqueeze(dim));
  }
  return cat(wider, wrap_dim("stack", dim, tensors[0].dim() + 1));
}

Tensor index_select(const Tensor& in, std::int64_t dim, const Tensor& at) {
  check_defined("index_select", "x", in);
  check_defined("index_select", "index", at);
  const int d = wrap_dim("index_select", dim, in.dim());
  check_device("index_select", in, at);
  check(at.dtype() == DType::int64 && at.dim() == 1, "index_select: index {} of shape {}, expected int64 [n]",
        at.dtype(), at.shape());
  check(in.dim() > 0 || at.numel() == 1, "index_select: {} indices of a tensor without dimensions, expected one",
        at.numel());
  if (Trace* const trace = Trace::current()) {
    return trace->run("index_select", {in, at}, {{"dim", d}}, [&] { return index_select(in, dim, at); });
  }
  const Tensor x = in.contiguous(), index = at.contiguous();
  const std::int64_t size = x.dim() > 0 ? x.shape()[d] : 1;
  check_range("index_select", index, 0, size, d, x.shape());
  if (is_half(x.dtype())) return index_select(widened(x), d, index).to(x.dtype());
  const kernels::ReduceShape r = around(x.shape(), d);
  Shape shape = x.shape();
  if (x.dim() > 0) shape[d] = index.numel();
  const Tensor y = empty(shape, {.dtype = x.dtype(), .device = x.device()});
  for_array(x, [&]<class T>(kernels::ArrayKernels<T>& k) {
    k.index_select(r, index.numel(), x.data<T>(), index.data<std::int64_t>(), y.data<T>());
  });
  return record("index_select", {x}, y, [r, from = x.shape(), d, index = Saved(index)](const Tensor& g) {
    return index_select_backward(r, from, d, *index, g);
  });
}

Tensor gather(const Tensor& x, std::int64_t dim, const Tensor& at) {
  check_defined("gather", "x", x);
  check_defined("gather", "index", at);
  const int d = wrap_dim("gather", dim, x.dim());
  if (x.dim() == 0 && at.dim() == 0) return gather(x.reshape({1}), 0, at.reshape({1})).reshape({});
  check_picks("gather", x, d, at);
  if (Trace* const trace = Trace::current()) {
    return trace->run("gather", {x, at}, {{"dim", d}}, [&] { return gather(x, dim, at); });
  }
  const Tensor index = at.contiguous();
  check_range("gather", index, 0, x.shape()[d], d, x.shape());
  if (is_half(x.dtype())) return gather(widened(x), d, index).to(x.dtype());
  Shape shape = index.shape();
  shape[d] = x.shape()[d];
  const Tensor y = empty(index.shape(), {.dtype = x.dtype(), .device = x.device()});
  {
    NoGradGuard no_grad;
    const Tensor full = first_of(x, shape).contiguous();
    for_array(x, [&]<class T>(kernels::ArrayKernels<T>& k) {
      k.gather(around(shape, d), index.shape()[d], full.data<T>(), index.data<std::int64_t>(), y.data<T>());
    });
  }
  return record("gather", {x}, y, [d, from = x.shape(), index = Saved(index)](const Tensor& g) {
    return scatter_add(zeros(from, {.dtype = g.dtype(), .device = g.device()}), d, *index, g);
  });
}

Tensor take_along_dim(const Tensor& x, const Tensor& index, std::optional<std::int64_t> dim) {
  check_defined("take_along_dim", "x", x);
  check_defined("take_along_dim", "index", index);
  check(index.dtype() == DType::int64, "take_along_dim: index of {}, expected int64", index.dtype());
  if (!dim) return take_along_dim(x.reshape({-1}), index.reshape({-1}), 0);
  const int d = wrap_dim("take_along_dim", *dim, x.dim());
  check(x.dim() == index.dim(), "take_along_dim: index {} for shape {}, expected as many dimensions", index.shape(),
        x.shape());
  if (x.dim() == 0) return gather(x, 0, from_the_end(index, 1));
  Shape own = x.shape(), at = index.shape();
  own[d] = at[d] = 1;
  const Shape both = broadcast_shapes("take_along_dim", own, at);
  own = at = both;
  own[d] = x.shape()[d];
  at[d] = index.shape()[d];
  return gather(x.expand(own), d, from_the_end(index, own[d]).expand(at));
}

Tensor scatter(const Tensor& self, std::int64_t dim, const Tensor& at, const Tensor& src) {
  return put("scatter", self, dim, at, src, [](const Tensor& x, const Tensor& index, const Tensor& from, int d) {
    return record("scatter", {x, from}, scattered(false, x, d, index, from),
                  [d, shape = x.shape(), index = Saved(index)](const Tensor& g) {
                    const Tensor& where_to = *index;
                    const TensorOptions of_places{.dtype = DType::int64, .device = g.device()};
                    const Tensor number = arange(where_to.numel()).to(g.device()).reshape(where_to.shape());
                    const Tensor last = gather(scatter(zeros(shape, of_places), d, where_to, number), d, where_to);
                    return Grads{scatter(g, d, where_to, 0), masked_fill(gather(g, d, where_to), ne(last, number), 0)};
                  });
  });
}

Tensor scatter(const Tensor& x, std::int64_t dim, const Tensor& index, Scalar value) {
  check_defined("scatter", "x", x);
  check_defined("scatter", "index", index);
  check(can_hold(x.dtype(), value), "scatter: {} into {}, which cannot hold it", value, x.dtype());
  return scatter(x, dim, index, full({}, value, {.dtype = x.dtype(), .device = x.device()}).expand(index.shape()));
}

Tensor scatter_add(const Tensor& self, std::int64_t dim, const Tensor& at, const Tensor& src) {
  return put("scatter_add", self, dim, at, src, [](const Tensor& x, const Tensor& index, const Tensor& from, int d) {
    return record("scatter_add", {x, from}, scattered(true, x, d, index, from),
                  [d, index = Saved(index)](const Tensor& g) {
                    return Grads{g, gather(g, d, *index)};
                  });
  });
}

Tensor index_add(const Tensor& x, std::int64_t dim, const Tensor& at, const Tensor& source, Scalar alpha) {
  check_defined("index_add", "x", x);
  check_defined("index_add", "index", at);
  check_defined("index_add", "source", source);
  if (const Trace* const trace = Trace::current()) {
    trace->refuse("index_add", x);
    trace->refuse("index_add", source);
  }
  const int d = wrap_dim("index_add", dim, x.dim());
  if (x.dim() == 0) return index_add(x.reshape({1}), 0, at, source.reshape({-1}), alpha).reshape({});
  check_alike("index_add", x, source);
  check_device("index_add", x, at);
  check(at.dtype() == DType::int64 && at.dim() == 1, "index_add: index {} of shape {}, expected int64 [n]", at.dtype(),
        at.shape());
  Shape shape = x.shape();
  shape[d] = at.numel();
  check(source.shape() == shape, "index_add: source {}, expected {}", source.shape(), shape);
  check(can_hold(x.dtype(), alpha), "index_add: alpha {} for {}, which cannot hold it", alpha, x.dtype());
  const Tensor index = at.contiguous();
  check_range("index_add", index, 0, x.shape()[d], d, x.shape());
  if (is_half(x.dtype())) return index_add(widened(x), d, index, widened(source), alpha).to(x.dtype());
  const Tensor scaled = alpha.to<double>() == 1 ? source : source * alpha, from = scaled.contiguous();
  const Tensor sums = empty_like(x);
  for_array(x, [&]<class T>(kernels::ArrayKernels<T>& k) {
    k.index_select_backward(around(x.shape(), d), index.numel(), index.data<std::int64_t>(), from.data<T>(),
                            sums.data<T>());
  });
  Tensor y;
  {
    NoGradGuard no_grad;
    y = x + sums;
  }
  return record("index_add", {x, scaled}, y, [d, index = Saved(index)](const Tensor& g) {
    return Grads{g, index_select(g, d, *index)};
  });
}

Tensor index_copy(const Tensor& x, std::int64_t dim, const Tensor& index, const Tensor& source) {
  check_defined("index_copy", "source", source);
  return scatter(x, dim, one_for_each("index_copy", x, dim, index), source);
}

Tensor index_fill(const Tensor& x, std::int64_t dim, const Tensor& index, Scalar value) {
  return scatter(x, dim, one_for_each("index_fill", x, dim, index), value);
}

Tensor take(const Tensor& x, const Tensor& index) {
  check_defined("take", "x", x);
  check_defined("take", "index", index);
  check(index.dtype() == DType::int64, "take: index of {}, expected int64", index.dtype());
  return tern::index(x.reshape({-1}), {index});
}

Tensor nonzero(const Tensor& x) {
  check_defined("nonzero", "x", x);
  if (const Trace* const trace = Trace::current()) trace->refuse("nonzero", x);
  const std::vector<std::uint8_t> holds = ne(x, 0).to_vector<std::uint8_t>();
  std::vector<std::int64_t> places;
  std::int64_t count = 0;
  for (std::size_t i = 0; i < holds.size(); ++i) {
    if (!holds[i]) continue;
    ++count;
    const std::size_t first = places.size();
    places.resize(first + static_cast<std::size_t>(x.dim()));
    std::int64_t rest = static_cast<std::int64_t>(i);
    for (int d = x.dim() - 1; d >= 0; --d) {
      places[first + static_cast<std::size_t>(d)] = rest % x.shape()[d];
      rest /= x.shape()[d];
    }
  }
  return tensor(places, x.device()).reshape({count, x.dim()});
}

Tensor masked_select(const Tensor& x, const Tensor& mask) {
  check_defined("masked_select", "x", x);
  check_defined("masked_select", "the mask", mask);
  check(mask.dtype() == DType::uint8, "masked_select: a mask of {}, expected uint8", mask.dtype());
  check_device("masked_select", x, mask);
  const Shape shape = broadcast_shapes("masked_select", x.shape(), mask.shape());
  const Tensor places = nonzero(mask.expand(shape).reshape({-1})).reshape({-1});
  return index_select(x.expand(shape).reshape({-1}), 0, places);
}

Tensor index(const Tensor& in, const std::vector<TensorIndex>& indices) {
  check_defined("index", "x", in);
  int taken = 0;
  for (const TensorIndex& i : indices) {
    const Tensor* const t = std::get_if<Tensor>(&i);
    if (t) {
      check_defined("index", "an index", *t);
      check_device("index", in, *t);
      check(t->dtype() == DType::int64 || t->dtype() == DType::uint8,
            "index: indices of {}, expected int64, or uint8 for a mask", t->dtype());
    }
    const bool names_none = std::holds_alternative<std::nullopt_t>(i) || std::holds_alternative<EllipsisType>(i);
    taken += t && t->dtype() == DType::uint8 ? t->dim() : names_none ? 0 : 1;
  }
  check(taken <= in.dim(), "index: {} indices of shape {}, expected one for each dimension at most", taken, in.shape());
  Tensor x = in;
  std::vector<Tensor> tensors;  // of the dimensions so far
  bool any = false, has_ellipsis = false;
  for (const TensorIndex& i : indices) {
    const int d = static_cast<int>(tensors.size());
    if (const auto* number = std::get_if<std::int64_t>(&i)) {
      x = x.select(d, *number);
    } else if (const auto* range = std::get_if<Slice>(&i)) {
      x = slice(x, d, range->start, range->end, range->step);
      tensors.emplace_back();
    } else if (std::holds_alternative<std::nullopt_t>(i)) {
      x = x.unsqueeze(d);
      tensors.emplace_back();
    } else if (const auto* t = std::get_if<Tensor>(&i)) {
      any = true;
      if (t->dtype() == DType::int64) {
        tensors.push_back(*t);
        continue;
      }
      if (t->dim() == 0) {  // of a dimension of its own
        x = x.unsqueeze(d);
        tensors.push_back(places_of(t->reshape({1}))[0]);
        continue;
      }
      for (int m = 0; m < t->dim(); ++m) {
        check(t->shape()[m] == x.shape()[d + m], "index: a mask {} for dimensions {} and on of shape {}", t->shape(), d,
              x.shape());
      }
      for (const Tensor& places : places_of(*t)) tensors.push_back(places);
    } else {
      check(!has_ellipsis, "index: two ellipses, expected one at most");
      has_ellipsis = true;
      tensors.resize(tensors.size() + static_cast<std::size_t>(in.dim() - taken));
    }
  }
  if (!any) return x;
  tensors.resize(static_cast<std::size_t>(x.dim()));
  return index_tensors(x, tensors);
}

Tensor index_put(const Tensor& x, const std::vector<TensorIndex>& indices, const Tensor& values, bool accumulate) {
  check_defined("index_put", "x", x);
  check_defined("index_put", "values", values);
  check_alike("index_put", x, values);
  // The places themselves, counted from 1 so that on cuda what is out of range, which reads 0, becomes -1.
  const Tensor number = arange(1, x.numel() + 1).to(x.device()).reshape(x.shape());
  const Tensor shown = index(number, indices), places = (shown - 1).reshape({-1});
  const Tensor from = values.expand(shown.shape()).reshape({-1}), to = x.reshape({-1});
  return (accumulate ? scatter_add(to, 0, places, from) : scatter(to, 0, places, from)).reshape(x.shape());
}

const Tensor& index_put_(const Tensor& x, const std::vector<TensorIndex>& indices, const Tensor& values,
                         bool accumulate) {
  return x.copy_(index_put(x, indices, values, accumulate));
}

}  // namespace tern
