#include <tern/core/autocast.hpp>
#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>
#include <tern/core/trace.hpp>

#include <limits>
#include <numbers>

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
      check(x.dtype() != DType::uint8 || f.a >= 0, "{}: got {}, expected float32 or float64", name, x.dtype());
      return clamp(x, static_cast<std::int64_t>(f.a), static_cast<std::int64_t>(f.b));
    case UnaryOp::threshold:
      return masked_fill(
          x, le(x, static_cast<std::int64_t>(f.a)),
          x.dtype() == DType::uint8 ? static_cast<std::int64_t>(f.b) & 255 : static_cast<std::int64_t>(f.b));
    default:
      fail("{}: got {}, expected float32 or float64", name, x.dtype());
  }
}

/// Whether its values, or its derivative's, may be far larger than x: autocast computes it in float32.
bool wants_range(UnaryOp op) {
  switch (op) {
    case UnaryOp::exp:
    case UnaryOp::log:
    case UnaryOp::pow:
    case UnaryOp::rsqrt:
    case UnaryOp::log1p:
    case UnaryOp::expm1:
    case UnaryOp::reciprocal:
    case UnaryOp::log2:
    case UnaryOp::log10:
    case UnaryOp::tan:
    case UnaryOp::asin:
    case UnaryOp::acos:
    case UnaryOp::sinh:
    case UnaryOp::cosh:
    case UnaryOp::softplus:
      return true;
    default:
      return false;
  }
}

/// The gradient in ops, for a pass with create_graph, from v: what gradient_of says.
Tensor gradient_in_ops(const char* name, const Unary& f, const Tensor& v, const Tensor& g) {
  const double a = f.a, b = f.b;
  const auto nothing = [&] {
    return masked_fill(g, ones(g.shape(), {.dtype = DType::uint8, .device = g.device()}), 0);
  };
  // exp(v), but 1 above 0, where it is not taken and may be infinite.
  const auto exp_below = [&] { return exp(masked_fill(v, gt(v, 0), 0)); };
  switch (f.op) {
    case UnaryOp::neg:
      return -g;
    case UnaryOp::exp:
      return g * v;
    case UnaryOp::log:
      return g / v;
    case UnaryOp::sqrt:
      return g / (v * 2);
    case UnaryOp::pow:
      return a == 0 ? nothing() : g * (pow(v, a - 1) * a);
    case UnaryOp::tanh:
      return g * (1 - v * v);
    case UnaryOp::relu:
      return masked_fill(g, le(v, 0), 0);
    case UnaryOp::sigmoid:
      return g * (v * (1 - v));
    case UnaryOp::leaky_relu:
      return where(gt(v, 0), g, g * a);
    case UnaryOp::elu:
      return where(gt(v, 0), g, g * (exp_below() * a));
    case UnaryOp::gelu: {
      const Tensor density = exp(v * v * -0.5) * (std::numbers::inv_sqrtpi / std::numbers::sqrt2);
      return g * (erfc(v / -std::numbers::sqrt2) * 0.5 + v * density);
    }
    case UnaryOp::gelu_tanh: {
      constexpr double c = 2 * std::numbers::sqrt2 * std::numbers::inv_sqrtpi, cubic = 0.044715;
      const Tensor squares = v * v, s = sigmoid(v * (squares * (cubic * c) + c));
      return g * (s + v * (s * (1 - s)) * (squares * (3 * cubic * c) + c));
    }
    case UnaryOp::silu: {
      const Tensor s = sigmoid(v);
      return g * (s * (1 + v * (1 - s)));
    }
    case UnaryOp::softplus:
      return where(gt(v * a, b), g, g * sigmoid(v * a));
    case UnaryOp::sin:
      return g * cos(v);
    case UnaryOp::cos:
      return -(g * sin(v));
    case UnaryOp::rsqrt:
      return g * (v * v * v * -0.5);
    case UnaryOp::abs:
      return where(gt(v, 0), g, where(lt(v, 0), -g, 0));
    case UnaryOp::round:
    case UnaryOp::floor:
    case UnaryOp::ceil:
    case UnaryOp::sign:
    case UnaryOp::trunc:
      return nothing();
    case UnaryOp::log1p:
      return g / (v + 1);
    case UnaryOp::expm1:
      return g * (v + 1);
    case UnaryOp::erf:
      return g * (exp(-(v * v)) * (2 * std::numbers::inv_sqrtpi));
    case UnaryOp::reciprocal:
      return -(g * (v * v));
    case UnaryOp::clamp:
      return where(ge(v, a) * le(v, b), g, 0);
    case UnaryOp::square:
      return g * (v * 2);
    case UnaryOp::log2:
      return g / (v * std::numbers::ln2);
    case UnaryOp::log10:
      return g / (v * std::numbers::ln10);
    case UnaryOp::exp2:
      return g * (v * std::numbers::ln2);
    case UnaryOp::tan:
      return g * (v * v + 1);
    case UnaryOp::asin:
      return g / sqrt(1 - v * v);
    case UnaryOp::acos:
      return -(g / sqrt(1 - v * v));
    case UnaryOp::atan:
      return g / (v * v + 1);
    case UnaryOp::sinh:
      return g * cosh(v);
    case UnaryOp::cosh:
      return g * sinh(v);
    case UnaryOp::asinh:
      return g / sqrt(v * v + 1);
    case UnaryOp::acosh:
      return g / sqrt(v * v - 1);
    case UnaryOp::atanh:
      return g / (1 - v * v);
    case UnaryOp::erfc:
      return g * (exp(-(v * v)) * (-2 * std::numbers::inv_sqrtpi));
    case UnaryOp::frac:
      return g;
    case UnaryOp::hardtanh:
      return masked_fill(g, le(v, a) + ge(v, b), 0);
    case UnaryOp::hardswish:
      return where(lt(v, -3), 0, where(le(v, 3), g * (v / 3 + 0.5), g));
    case UnaryOp::mish: {
      const Tensor t = tanh(softplus(v));
      return g * (t + v * sigmoid(v) * (1 - t * t));
    }
    case UnaryOp::selu:
      return where(gt(v, 0), g, g * (exp_below() * kernels::selu_alpha)) * kernels::selu_scale;
    case UnaryOp::logsigmoid:
      return g * sigmoid(-v);
    case UnaryOp::softshrink:
    case UnaryOp::hardshrink:
      return masked_fill(g, ge(v, -a) * le(v, a), 0);
    case UnaryOp::threshold:
      return masked_fill(g, le(v, a), 0);
    case UnaryOp::smooth_l1:
      return where(le(v, -a), -g, where(ge(v, a), g, a > 0 ? g * (v / a) : g));
    default:
      fail("backward: the gradient of '{}' is not recorded, expected no create_graph", name);
  }
}

}  // namespace

Tensor activation_gradient(Activation activation, const Tensor& y, const Tensor& g) {
  switch (activation) {
    case Activation::tanh:
      return gradient_in_ops("tanh", {UnaryOp::tanh}, y, g);
    case Activation::relu:
      return gradient_in_ops("relu", {UnaryOp::relu}, y, g);
    case Activation::none:
      return g;
  }
  fail("activation_gradient: no such activation");
}

Tensor unary(const char* name, const Unary& f, const Tensor& in) {
  check_defined(name, "x", in);
  if (is_half(in.dtype()) && wants_range(f.op)) {
    if (const Autocast cast(Autocast::float32); cast) return unary(name, f, cast(in));
  }
  if (!is_floating(in.dtype())) return of_integers(name, f, in);
  if (Trace* const trace = Trace::current()) {
    return trace->run(name, {in}, {{"function", static_cast<int>(f.op)}, {"a", f.a}, {"b", f.b}},
                      [&] { return unary(name, f, in); });
  }
  if (is_half(in.dtype())) return unary(name, f, widened(in)).to(in.dtype());
  const Tensor x = in.contiguous(), y = empty_like(x);
  for_floating(name, x, [&]<class T>(FloatKernels<T>& k) { k.unary(f, x.numel(), x.data<T>(), y.data<T>()); });
  const GradientOf from = kernels::gradient_of(f.op);
  const Saved saved(from == GradientOf::input ? x : from == GradientOf::output ? y : Tensor());
  return record(name, {x}, y, [name, f, saved](const Tensor& gradient) {
    if (is_grad_enabled()) return gradient_in_ops(name, f, *saved, gradient);
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
