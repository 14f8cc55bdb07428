#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>
#include <tern/core/trace.hpp>

#include <algorithm>
#include <limits>

namespace tern {
namespace {

void check_mask(const char* op, const Tensor& mask) {
  check_defined(op, "the mask", mask);
  check(mask.dtype() == DType::uint8, "{}: a mask of {}, expected uint8", op, mask.dtype());
}

Tensor as_shape(const Tensor& x, const Shape& shape) { return x.shape() == shape ? x : x.expand(shape); }

/// The number as a tensor of the dtype that it and x have in common, which is x's own where that can hold it.
Tensor number_beside(const char* op, const Tensor& x, Scalar number) {
  check_defined(op, "the tensor", x);
  const DType own = can_hold(x.dtype(), number)      ? x.dtype()
                    : can_hold(DType::int64, number) ? DType::int64
                                                     : DType::float32;
  return full({}, number, {.dtype = promote_types(x.dtype(), own), .device = x.device()});
}

/// Whether x is not 0.
Tensor truth(const char* op, const Tensor& x) {
  check_defined(op, "the tensor", x);
  return ne(x, 0);
}

bool all_hold(const Tensor& mask) { return sum(eq(mask, 0)).item<std::int64_t>() == 0; }

}  // namespace

Tensor where(const Tensor& condition, const Tensor& x, const Tensor& z) {
  check_mask("where", condition);
  check_defined("where", "a", x);
  check_defined("where", "b", z);
  check_device("where", condition, x);
  check_device("where", x, z);
  const DType dtype = promote_types(x.dtype(), z.dtype());
  const Shape shape = broadcast_shapes("where", condition.shape(), broadcast_shapes("where", x.shape(), z.shape()));
  const Tensor a = x.to(dtype), b = z.to(dtype);
  if (Trace* const trace = Trace::current()) {
    return trace->run("where", {condition, a, b}, {}, [&] { return where(condition, a, b); });
  }
  if (is_half(dtype)) return where(condition, widened(a), widened(b)).to(dtype);
  Tensor y;
  {
    NoGradGuard no_grad;
    y = empty(shape, {.dtype = dtype, .device = a.device()});
    const Tensor otherwise = as_shape(b, shape).contiguous();
    const kernels::Strided walk = broadcast_walk(a, condition, shape);
    for_array(y, [&]<class T>(kernels::ArrayKernels<T>& k) {
      k.where(walk, a.data<T>(), condition.data<std::uint8_t>(), otherwise.data<T>(), y.data<T>());
    });
  }
  return record("where", {a, b}, y, [mask = Saved(condition), sa = a.shape(), sb = b.shape()](const Tensor& g) {
    return Grads{sum_to(masked_fill(g, logical_not(*mask), 0), sa), sum_to(masked_fill(g, *mask, 0), sb)};
  });
}

Tensor where(const Tensor& condition, const Tensor& a, Scalar b) {
  return where(condition, a, number_beside("where", a, b));
}

Tensor where(const Tensor& condition, Scalar a, const Tensor& b) {
  return where(condition, number_beside("where", b, a), b);
}

Tensor where(const Tensor& condition, Scalar a, Scalar b) {
  check_mask("where", condition);
  const DType dtype = a.is_whole() && b.is_whole() ? DType::int64 : DType::float32;
  return where(condition, full({}, a, {.dtype = dtype, .device = condition.device()}), b);
}

Tensor masked_fill(const Tensor& in, const Tensor& in_mask, Scalar value) {
  check_defined("masked_fill", "x", in);
  check_mask("masked_fill", in_mask);
  check_device("masked_fill", in, in_mask);
  check(can_hold(in.dtype(), value), "masked_fill: {} into {}, which cannot hold it", value, in.dtype());
  if (Trace* const trace = Trace::current()) {
    const Tensor number = full({}, value, {.dtype = in.dtype(), .device = in.device()});
    return trace->run("where", {in_mask, number, in}, {}, [&] { return masked_fill(in, in_mask, value); });
  }
  if (is_half(in.dtype())) return masked_fill(widened(in), in_mask, value).to(in.dtype());
  const Shape shape = broadcast_shapes("masked_fill", in.shape(), in_mask.shape());
  const Tensor x = as_shape(in, shape).contiguous(), mask = as_shape(in_mask, shape).contiguous(), y = empty_like(x);
  for_array(x, [&]<class T>(kernels::ArrayKernels<T>& k) {
    k.masked_fill(x.numel(), mask.data<std::uint8_t>(), value.to<T>(), x.data<T>(), y.data<T>());
  });
  return record("masked_fill", {x}, y, [mask = Saved(mask)](const Tensor& g) { return masked_fill(g, *mask, 0); });
}

Tensor logical_and(const Tensor& a, const Tensor& b) {
  return minimum(truth("logical_and", a), truth("logical_and", b));
}
Tensor logical_or(const Tensor& a, const Tensor& b) { return maximum(truth("logical_or", a), truth("logical_or", b)); }
Tensor logical_xor(const Tensor& a, const Tensor& b) { return ne(truth("logical_xor", a), truth("logical_xor", b)); }
Tensor logical_not(const Tensor& x) {
  check_defined("logical_not", "x", x);
  return eq(x, 0);
}

Tensor operator&(const Tensor& a, const Tensor& b) {
  check_mask("&", a);
  check_mask("&", b);
  return logical_and(a, b);
}
Tensor operator|(const Tensor& a, const Tensor& b) {
  check_mask("|", a);
  check_mask("|", b);
  return logical_or(a, b);
}
Tensor operator^(const Tensor& a, const Tensor& b) {
  check_mask("^", a);
  check_mask("^", b);
  return logical_xor(a, b);
}
Tensor operator~(const Tensor& x) {
  check_mask("~", x);
  return logical_not(x);
}

Tensor isnan(const Tensor& x) {
  check_defined("isnan", "x", x);
  return ne(x, x);
}

Tensor isinf(const Tensor& x) {
  check_defined("isinf", "x", x);
  if (!is_floating(x.dtype())) return zeros(x.shape(), {.dtype = DType::uint8, .device = x.device()});
  constexpr double infinity = std::numeric_limits<double>::infinity();
  return logical_or(eq(x, infinity), eq(x, -infinity));
}

Tensor isfinite(const Tensor& x) {
  check_defined("isfinite", "x", x);
  NoGradGuard no_grad;
  return eq(x - x, 0);
}

Tensor nan_to_num(const Tensor& x, double nan, std::optional<double> posinf, std::optional<double> neginf) {
  check_defined("nan_to_num", "x", x);
  if (!is_floating(x.dtype())) return x.clone();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const double most = largest_of(x.dtype());
  const Tensor above = masked_fill(masked_fill(x, isnan(x), nan), eq(x, infinity), posinf.value_or(most));
  return masked_fill(above, eq(x, -infinity), neginf.value_or(-most));
}

Tensor isin(const Tensor& x, const Tensor& test) {
  check_defined("isin", "x", x);
  check_defined("isin", "test", test);
  return ne(sum(eq(x.reshape({-1, 1}), test.reshape({-1})), {1}), 0).reshape(x.shape());
}

Tensor isclose(const Tensor& a, const Tensor& b, double rtol, double atol, bool equal_nan) {
  check_defined("isclose", "a", a);
  check_defined("isclose", "b", b);
  check(rtol >= 0 && atol >= 0, "isclose: rtol {} and atol {}, expected 0 or more", rtol, atol);
  NoGradGuard no_grad;
  // An infinity is close to nothing but itself, though its tolerance is infinite.
  const Tensor near = logical_and(le(abs(a - b), abs(b) * rtol + atol), isfinite(b));
  const Tensor close = logical_or(eq(a, b), near);
  return equal_nan ? logical_or(close, logical_and(isnan(a), isnan(b))) : close;
}

bool allclose(const Tensor& a, const Tensor& b, double rtol, double atol, bool equal_nan) {
  return all_hold(isclose(a, b, rtol, atol, equal_nan));
}

bool equal(const Tensor& a, const Tensor& b) {
  check_defined("equal", "a", a);
  check_defined("equal", "b", b);
  check_alike("equal", a, b);
  return a.shape() == b.shape() && all_hold(eq(a, b));
}

}  // namespace tern
