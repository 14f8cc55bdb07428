#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>

#include <limits>

namespace tern {

using kernels::FloatKernels;
using kernels::GradientOf;

namespace {

/// Of integers: as float32, or in their own dtype where that holds the result, or an Error, as PyTorch has it.
Tensor of_integers(const char* name, const Unary& f, const Tensor& x) {
  const auto number = [&](std::int64_t v) { return full({}, v, {.dtype = x.dtype(), .device = x.device()}); };
  switch (f.op) {
    case UnaryOp::exp:
    case UnaryOp::log:
    case UnaryOp::sqrt:
    case UnaryOp::pow:
    case UnaryOp::tanh:
    case UnaryOp::sigmoid:
    case UnaryOp::sin:
    case UnaryOp::cos:
    case UnaryOp::rsqrt:
    case UnaryOp::log1p:
    case UnaryOp::expm1:
    case UnaryOp::erf:
    case UnaryOp::reciprocal:
    case UnaryOp::clamp:
    case UnaryOp::log2:
    case UnaryOp::log10:
    case UnaryOp::exp2:
    case UnaryOp::tan:
    case UnaryOp::asin:
    case UnaryOp::acos:
    case UnaryOp::atan:
    case UnaryOp::sinh:
    case UnaryOp::cosh:
    case UnaryOp::asinh:
    case UnaryOp::acosh:
    case UnaryOp::atanh:
    case UnaryOp::erfc:
      return unary(name, f, x.to(DType::float32));
    case UnaryOp::neg:
      return 0 - x;
    case UnaryOp::relu:
      return maximum(x, number(0));
    case UnaryOp::abs:
      return x.dtype() == DType::uint8 ? x.clone() : maximum(x, 0 - x);
    case UnaryOp::round:
    case UnaryOp::floor:
    case UnaryOp::ceil:
    case UnaryOp::trunc:
      return x.clone();
    case UnaryOp::sign:
      return gt(x, 0).to(x.dtype()) - lt(x, 0).to(x.dtype());
    case UnaryOp::square:
      return x * x;
    case UnaryOp::hardtanh:
      check(x.dtype() != DType::uint8 || f.a >= 0, "{}: uint8 and a bound of {}, expected 0 or more", name, f.a);
      return clamp(x, static_cast<std::int64_t>(f.a), static_cast<std::int64_t>(f.b));
    case UnaryOp::threshold:
      return masked_fill(x, le(x, static_cast<std::int64_t>(f.a)), static_cast<std::int64_t>(f.b));
    default:
      fail("{}: got {}, expected float32 or float64", name, x.dtype());
  }
}

}  // namespace

Tensor unary(const char* name, const Unary& f, const Tensor& in) {
  check_defined(name, "x", in);
  if (!is_floating(in.dtype())) return of_integers(name, f, in);
  const Tensor x = in.contiguous(), y = empty_like(x);
  for_floating(name, x, [&]<class T>(FloatKernels<T>& k) { k.unary(f, x.numel(), x.data<T>(), y.data<T>()); });
  const GradientOf from = kernels::gradient_of(f.op);
  const Saved saved(from == GradientOf::input ? x : from == GradientOf::output ? y : Tensor());
  return record(name, {x}, y, [name, f, saved](const Tensor& gradient) {
    const Tensor g = gradient.contiguous();
    const Tensor& v = (*saved).defined() ? *saved : g;
    const Tensor dx = (*saved).defined() ? saved.reuse() : empty_like(g);
    for_floating(name, g, [&]<class T>(FloatKernels<T>& k) {
      k.unary_backward(f, g.numel(), v.data<T>(), g.data<T>(), dx.data<T>());
    });
    return dx;
  });
}

Tensor clamp(const Tensor& x, std::optional<Scalar> min, std::optional<Scalar> max) {
  check_defined("clamp", "x", x);
  check(min || max, "clamp: neither min nor max is given, expected one at least");
  if (!is_floating(x.dtype()) && (!min || min->is_whole()) && (!max || max->is_whole())) {
    const auto number = [&](Scalar v) { return full({}, v, {.dtype = DType::int64, .device = x.device()}); };
    const Tensor above = min ? maximum(x, number(*min)) : x;
    return (max ? minimum(above, number(*max)) : above).to(x.dtype());
  }
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const double least = min ? min->to<double>() : -infinity, most = max ? max->to<double>() : infinity;
  return unary("clamp", {UnaryOp::clamp, least, most}, x);
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
