#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/trace.hpp>

#include <algorithm>

namespace tern {
namespace {

/// The first k of x sorted along its last dimension.
SortResult sort_last(const char* name, const Tensor& in, std::int64_t k, bool descending) {
  if (Trace* const trace = Trace::current()) {
    return trace->run("topk", {in}, {{"k", k}, {"descending", descending}},
                      [&] { return sort_last(name, in, k, descending); });
  }
  if (is_half(in.dtype())) {
    const SortResult of = sort_last(name, widened(in), k, descending);
    return {of.values.to(in.dtype()), of.indices};
  }
  const Tensor x = in.contiguous();
  Shape shape = x.shape();
  const std::int64_t n = shape.back();
  shape[shape.size() - 1] = k;
  const Tensor y = empty(shape, {.dtype = x.dtype(), .device = x.device()});
  const Tensor indices = empty(shape, {.dtype = DType::int64, .device = x.device()});
  if (y.numel() > 0) {
    for_array(x, [&]<class T>(kernels::ArrayKernels<T>& kernels) {
      kernels.sort(x.numel() / n, n, k, descending, x.data<T>(), y.data<T>(), indices.data<std::int64_t>());
    });
  }
  return {record(name, {x}, y,
                 [from = x.shape(), indices = Saved(indices)](const Tensor& g) {
                   return scatter(zeros(from, {.dtype = g.dtype(), .device = g.device()}), -1, *indices, g);
                 }),
          indices};
}

SortResult sort_along(const char* name, const Tensor& x, std::int64_t dim, std::optional<std::int64_t> first,
                      bool descending) {
  check_defined(name, "x", x);
  const int d = wrap_dim(name, dim, x.dim());
  if (x.dim() == 0) {
    const SortResult of = sort_along(name, x.reshape({1}), 0, first, descending);
    return {of.values.reshape({}), of.indices.reshape({})};
  }
  const std::int64_t k = first.value_or(x.shape()[d]);
  check(0 <= k && k <= x.shape()[d], "{}: {} of dimension {} of shape {}, expected 0 to {}", name, k, d, x.shape(),
        x.shape()[d]);
  if (d == x.dim() - 1) return sort_last(name, x, k, descending);
  const SortResult of = sort_last(name, x.transpose(d, -1), k, descending);
  return {of.values.transpose(d, -1), of.indices.transpose(d, -1)};
}

/// The quantiles q of x along dim.
std::vector<Tensor> quantiles(const char* name, const Tensor& x, const std::vector<double>& q,
                              std::optional<std::int64_t> dim, bool keepdim, bool skips_nan) {
  check_defined(name, "x", x);
  check(is_floating(x.dtype()), "{}: got {}, expected float32 or float64", name, x.dtype());
  for (const double share : q) check(0 <= share && share <= 1, "{}: q {}, expected 0 to 1", name, share);
  std::vector<Tensor> all;
  if (dim && x.dim() == 0) wrap_dim(name, *dim, 0);
  if (!dim || x.dim() == 0) {
    Shape shape = keepdim ? x.shape() : Shape{};
    for (int i = 0; i < shape.size(); ++i) shape[i] = 1;
    for (const Tensor& y : quantiles(name, x.reshape({-1}), q, 0, false, skips_nan)) all.push_back(y.reshape(shape));
    return all;
  }
  const int d = wrap_dim(name, *dim, x.dim());
  check(x.shape()[d] > 0, "{}: dimension {} of shape {} is empty, expected at least one element", name, d, x.shape());
  if (is_half(x.dtype())) {
    for (const Tensor& y : quantiles(name, widened(x), q, dim, keepdim, skips_nan)) all.push_back(y.to(x.dtype()));
    return all;
  }
  const Tensor sorted = sort(x, d).values, numbers = count_nonzero(logical_not(isnan(sorted)), {d}).unsqueeze(d);
  const std::int64_t n = x.shape()[d];
  for (const double share : q) {  // at n - 1 is a NaN where there is any
    const Tensor of_numbers = clamp(numbers - 1, 0).to(DType::float64) * share;
    const Tensor place = skips_nan ? of_numbers : where(lt(numbers, n), static_cast<double>(n - 1), of_numbers);
    const Tensor below = floor(place), above = ceil(place);
    const Tensor y = lerp(gather(sorted, d, below.to(DType::int64)), gather(sorted, d, above.to(DType::int64)),
                          (place - below).to(x.dtype()));
    all.push_back(keepdim ? y : y.squeeze(d));
  }
  return all;
}

Tensor quantile_of_each(const char* name, const Tensor& x, const Tensor& q, std::optional<std::int64_t> dim,
                        bool keepdim, bool skips_nan) {
  check_defined(name, "q", q);
  check(q.dim() == 1 && q.numel() > 0, "{}: q {}, expected [m]", name, q.shape());
  return stack(quantiles(name, x, q.to_vector<double>(), dim, keepdim, skips_nan));
}

/// Runs of equals in x [n], on the host, and which run each is in; order[i] is where in the result x[i] belongs.
template <class T>
UniqueResult runs(const Tensor& x, const std::int64_t* order, const Shape& shape, Device device) {
  std::vector<T> values;
  std::vector<std::int64_t> counts, inverse(static_cast<std::size_t>(x.numel()));
  const T* const v = x.data<T>();
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    if (values.empty() || v[i] != values.back()) {
      values.push_back(v[i]);
      counts.push_back(0);
    }
    ++counts.back();
    inverse[static_cast<std::size_t>(order ? order[i] : i)] = static_cast<std::int64_t>(values.size()) - 1;
  }
  return {tensor(values, device), tensor(inverse, device).reshape(shape), tensor(counts, device)};
}

UniqueResult unique_of(const char* name, const Tensor& x, bool sorted) {
  check_defined(name, "x", x);
  if (const Trace* const trace = Trace::current()) trace->refuse(name, x);
  NoGradGuard no_grad;
  if (is_half(x.dtype())) {
    UniqueResult of = unique_of(name, widened(x), sorted);
    of.output = of.output.to(x.dtype());
    return of;
  }
  const Tensor flat = x.reshape({-1}).to(Device::cpu).contiguous();
  const SortResult by_value = sorted ? sort(flat) : SortResult{flat, {}};
  UniqueResult result;
  for_array(flat, [&]<class T>(kernels::ArrayKernels<T>&) {
    result = runs<T>(by_value.values, data_or_null<std::int64_t>(by_value.indices), x.shape(), x.device());
  });
  return result;
}

void check_integers(const char* op, const Tensor& x) {
  check_defined(op, "x", x);
  check(!is_floating(x.dtype()), "{}: got {}, expected int64 or uint8", op, x.dtype());
}

/// The largest of x, -1 where there is none; an Error if any is negative.
std::int64_t largest(const char* op, const Tensor& x) {
  if (x.numel() == 0) return -1;
  const std::int64_t least = -max(0 - x).item<std::int64_t>();
  check(least >= 0, "{}: got {}, expected 0 or more", op, least);
  return max(x).item<std::int64_t>();
}

}  // namespace

SortResult sort(const Tensor& x, std::int64_t dim, bool descending) {
  return sort_along("sort", x, dim, {}, descending);
}

Tensor argsort(const Tensor& x, std::int64_t dim, bool descending) {
  NoGradGuard no_grad;
  return sort_along("argsort", x, dim, {}, descending).indices;
}

SortResult topk(const Tensor& x, std::int64_t k, std::int64_t dim, bool largest) {
  return sort_along("topk", x, dim, k, largest);
}

SortResult kthvalue(const Tensor& x, std::int64_t k, std::int64_t dim, bool keepdim) {
  check_defined("kthvalue", "x", x);
  const int d = wrap_dim("kthvalue", dim, x.dim());
  check(1 <= k && k <= (x.dim() == 0 ? 1 : x.shape()[d]), "kthvalue: {} of dimension {} of shape {}, expected 1 to {}",
        k, d, x.shape(), x.dim() == 0 ? 1 : x.shape()[d]);
  const SortResult of = sort_along("kthvalue", x, dim, k, false);
  if (x.dim() == 0) return of;
  const Tensor values = of.values.narrow(d, k - 1, 1), indices = of.indices.narrow(d, k - 1, 1);
  return keepdim ? SortResult{values, indices} : SortResult{values.squeeze(d), indices.squeeze(d)};
}

MaxResult mode(const Tensor& x, std::int64_t dim, bool keepdim) {
  check_defined("mode", "x", x);
  const int d = wrap_dim("mode", dim, x.dim());
  if (x.dim() == 0) return mode(x.reshape({1}), 0);
  check(x.shape()[d] > 0, "mode: dimension {} of shape {} is empty, expected at least one element", d, x.shape());
  if (const Trace* const trace = Trace::current()) trace->refuse("mode", x);
  Tensor place;
  {
    NoGradGuard no_grad;
    const SortResult sorted = sort(x.transpose(d, -1));
    const Tensor end = searchsorted(sorted.values, sorted.values, true);
    const Tensor first_of_longest = argmax(end - searchsorted(sorted.values, sorted.values), -1, true);
    place = gather(sorted.indices, -1, gather(end, -1, first_of_longest) - 1).transpose(d, -1);
  }
  const Tensor values = gather(x, d, place);
  return keepdim ? MaxResult{values, place} : MaxResult{values.squeeze(d), place.squeeze(d)};
}

Tensor quantile(const Tensor& x, double q, std::optional<std::int64_t> dim, bool keepdim) {
  return quantiles("quantile", x, {q}, dim, keepdim, false)[0];
}
Tensor quantile(const Tensor& x, const Tensor& q, std::optional<std::int64_t> dim, bool keepdim) {
  return quantile_of_each("quantile", x, q, dim, keepdim, false);
}
Tensor nanquantile(const Tensor& x, double q, std::optional<std::int64_t> dim, bool keepdim) {
  return quantiles("nanquantile", x, {q}, dim, keepdim, true)[0];
}
Tensor nanquantile(const Tensor& x, const Tensor& q, std::optional<std::int64_t> dim, bool keepdim) {
  return quantile_of_each("nanquantile", x, q, dim, keepdim, true);
}

UniqueResult unique(const Tensor& x) { return unique_of("unique", x, true); }
UniqueResult unique_consecutive(const Tensor& x) { return unique_of("unique_consecutive", x, false); }

Tensor bincount(const Tensor& in, const Tensor& weights, std::int64_t minlength) {
  check_integers("bincount", in);
  check(in.dim() == 1 && minlength >= 0, "bincount: shape {} and minlength {}, expected [n] and 0 or more", in.shape(),
        minlength);
  const Tensor x = in.to(DType::int64);
  const std::int64_t n = std::max(largest("bincount", x) + 1, minlength);
  if (!weights.defined()) {
    const TensorOptions integers{.dtype = DType::int64, .device = x.device()};
    return scatter_add(zeros({n}, integers), 0, x, ones(x.shape(), integers));
  }
  check(weights.shape() == x.shape(), "bincount: weights {} for shape {}, expected one each", weights.shape(),
        x.shape());
  const Tensor w = weights.dtype() == DType::float32 ? weights : weights.to(DType::float64);
  return scatter_add(zeros({n}, {.dtype = w.dtype(), .device = x.device()}), 0, x, w);
}

Tensor searchsorted(const Tensor& sorted, const Tensor& values, bool right) {
  check_defined("searchsorted", "sorted", sorted);
  check_defined("searchsorted", "values", values);
  check_device("searchsorted", sorted, values);
  bool fits = sorted.dim() == 1 || (sorted.dim() == values.dim() && sorted.dim() > 0);
  for (int d = 0; fits && sorted.dim() > 1 && d < sorted.dim() - 1; ++d) {
    fits = sorted.shape()[d] == values.shape()[d];
  }
  check(fits, "searchsorted: values {} in {}, expected [n], or the same but for the last dimension", values.shape(),
        sorted.shape());
  if (const Trace* const trace = Trace::current()) trace->refuse("searchsorted", values);
  NoGradGuard no_grad;
  const DType dtype = promote_types(sorted.dtype(), values.dtype());
  const Tensor x = widened(sorted.to(dtype)).contiguous(), v = widened(values.to(dtype)).contiguous();
  const Tensor y = empty(v.shape(), {.dtype = DType::int64, .device = v.device()});
  const std::int64_t count = x.dim() == 1 ? v.numel() : v.shape().back();
  if (count == 0) return y;
  for_array(x, [&]<class T>(kernels::ArrayKernels<T>& k) {
    k.searchsorted(v.numel() / count, x.shape().back(), count, right, x.data<T>(), v.data<T>(), y.data<std::int64_t>());
  });
  return y;
}

Tensor one_hot(const Tensor& in, std::int64_t num_classes) {
  check_integers("one_hot", in);
  check(num_classes >= -1, "one_hot: {} classes, expected 0 or more, or -1", num_classes);
  const Tensor x = in.to(DType::int64);
  if (num_classes == -1 || (x.device().on_host() && !Trace::current())) {
    const std::int64_t most = largest("one_hot", x);
    if (num_classes == -1) num_classes = most + 1;
    check(most < num_classes, "one_hot: got {}, expected less than {}", most, num_classes);
  }
  return eq(x.unsqueeze(-1), arange(num_classes).to(x.device())).to(DType::int64);
}

}  // namespace tern
