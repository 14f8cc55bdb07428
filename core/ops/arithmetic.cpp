#include <tern/core/autocast.hpp>
#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>
#include <tern/core/trace.hpp>

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace tern {
namespace {

using kernels::BinaryOp;
using kernels::CompareOp;

/// In the order of BinaryOp and CompareOp, for a trace.
constexpr const char* binary_names[] = {"add", "sub",   "mul",   "div",  "maximum",   "minimum",
                                        "pow", "atan2", "hypot", "fmod", "remainder", "floor_divide"};
constexpr const char* compare_names[] = {"eq", "ne", "lt", "le", "gt", "ge"};

Tensor binary(const char* name, BinaryOp op, const Tensor& a, const Tensor& b) {
  if (Trace* const trace = Trace::current()) {
    return trace->run(binary_names[static_cast<int>(op)], {a, b}, {}, [&] { return binary(name, op, a, b); });
  }
  NoGradGuard no_grad;
  const Tensor y = empty(broadcast_shapes(name, a.shape(), b.shape()), {.dtype = a.dtype(), .device = a.device()});
  binary_into(op, a, b, y);
  return y;
}

/// Brings both to the later dtype and calls f with them.
template <class F>
Tensor promoted(const char* name, const Tensor& a, const Tensor& b, DType at_least, F f) {
  check_defined(name, "a", a);
  check_defined(name, "b", b);
  check_device(name, a, b);
  const DType common = promote_types(a.dtype(), b.dtype()),
              dtype = is_floating(common) ? common : std::max(common, at_least);
  return f(a.to(dtype), b.to(dtype));
}

/// Brings x to the dtype that it and a number have in common, which is x's own where that can hold it, and calls f with
/// it.
template <class F>
Tensor promoted(const Tensor& x, Scalar number, DType at_least, F f) {
  check(x.defined(), "the tensor with which {} is to be combined is undefined, expected a tensor", number);
  const DType own = can_hold(x.dtype(), number)      ? x.dtype()
                    : can_hold(DType::int64, number) ? DType::int64
                                                     : DType::float32;
  return f(is_floating(x.dtype()) ? x : x.to(std::max({x.dtype(), own, at_least})));
}

/// A number as a tensor of x's dtype.
Tensor tensor_beside(const Tensor& x, Scalar number) {
  return full({}, number, {.dtype = x.dtype(), .device = x.device()});
}
const Tensor& tensor_beside(const Tensor&, const Tensor& x) { return x; }

/// Of a tensor and a number, in either order.
template <class A, class B>
Tensor binary(BinaryOp op, const A& a, const B& b) {
  const auto x = [&]() -> const Tensor& {
    if constexpr (std::is_same_v<A, Tensor>) {
      return a;
    } else {
      return b;
    }
  };
  if (Trace* const trace = Trace::current()) {
    return trace->run(binary_names[static_cast<int>(op)], {tensor_beside(x(), a), tensor_beside(x(), b)}, {},
                      [&] { return binary(op, a, b); });
  }
  const Tensor y = empty_like(x());
  binary_into(op, a, b, y);
  return y;
}

Tensor compare(const char* name, CompareOp op, const Tensor& x, const Tensor& z) {
  NoGradGuard no_grad;
  return promoted(name, x, z, DType::uint8, [&](const Tensor& a, const Tensor& b) {
    if (Trace* const trace = Trace::current()) {
      return trace->run(name, {a, b}, {}, [&] { return compare(name, op, a, b); });
    }
    if (is_half(a.dtype())) return compare(name, op, widened(a), widened(b));
    const Tensor y = empty(broadcast_shapes(name, a.shape(), b.shape()), {.dtype = DType::uint8, .device = a.device()});
    const kernels::Strided walk = broadcast_walk(a, b, y.shape());
    for_array(a, [&]<class T>(kernels::ArrayKernels<T>& k) {
      k.compare(op, walk, a.data<T>(), b.data<T>(), y.data<std::uint8_t>());
    });
    return y;
  });
}

Tensor compare(CompareOp op, const Tensor& x, Scalar number) {
  NoGradGuard no_grad;
  return promoted(x, number, DType::uint8, [&](const Tensor& a) {
    if (Trace* const trace = Trace::current()) {
      return trace->run(compare_names[static_cast<int>(op)], {a, tensor_beside(a, number)}, {},
                        [&] { return compare(op, a, number); });
    }
    if (is_half(a.dtype())) return compare(compare_names[static_cast<int>(op)], op, a, tensor_beside(a, number));
    const Tensor y = empty(a.shape(), {.dtype = DType::uint8, .device = a.device()});
    const kernels::Strided walk = broadcast_walk(a, a, y.shape());
    for_array(a, [&]<class T>(kernels::ArrayKernels<T>& k) {
      k.compare(op, walk, a.data<T>(), number.to<T>(), y.data<std::uint8_t>());
    });
    return y;
  });
}

/// The gradient of maximum and minimum by a and b: nothing where the other is taken, half where both are equal, and all
/// to both where either is NaN.
Grads shares(const Tensor& g, const Tensor& a, const Tensor& b, const Tensor& a_loses, const Tensor& b_loses) {
  const Tensor halved = g * (1 - eq(a, b).to(g.dtype()) * 0.5);
  return {sum_to(masked_fill(halved, a_loses, 0), a.shape()), sum_to(masked_fill(halved, b_loses, 0), b.shape())};
}

}  // namespace

Tensor add(const Tensor& x, const Tensor& z) {
  return promoted("add", x, z, DType::uint8, [](const Tensor& a, const Tensor& b) {
    return record("add", {a, b}, binary("add", BinaryOp::add, a, b), [sa = a.shape(), sb = b.shape()](const Tensor& g) {
      return Grads{sum_to(g, sa), sum_to(g, sb)};
    });
  });
}

Tensor sub(const Tensor& x, const Tensor& z) {
  return promoted("sub", x, z, DType::uint8, [](const Tensor& a, const Tensor& b) {
    return record("sub", {a, b}, binary("sub", BinaryOp::sub, a, b), [sa = a.shape(), sb = b.shape()](const Tensor& g) {
      return Grads{sum_to(g, sa), sum_to(-g, sb)};
    });
  });
}

Tensor mul(const Tensor& x, const Tensor& z) {
  return promoted("mul", x, z, DType::uint8, [](const Tensor& a, const Tensor& b) {
    const bool need_a = a.requires_grad(), need_b = b.requires_grad();
    return record(
        "mul", {a, b}, binary("mul", BinaryOp::mul, a, b),
        [need_a, need_b, sa = Saved(need_b ? a : Tensor()), sb = Saved(need_a ? b : Tensor()), shape_a = a.shape(),
         shape_b = b.shape()](const Tensor& g) {
          return Grads{need_a ? sum_to(g * *sb, shape_a) : Tensor(), need_b ? sum_to(g * *sa, shape_b) : Tensor()};
        });
  });
}

Tensor div(const Tensor& x, const Tensor& z) {
  return promoted("div", x, z, DType::float32, [](const Tensor& a, const Tensor& b) {
    const bool need_a = a.requires_grad(), need_b = b.requires_grad();
    return record(
        "div", {a, b}, binary("div", BinaryOp::div, a, b),
        [need_a, need_b, sa = Saved(need_b ? a : Tensor()), sb = Saved(b), shape_a = a.shape(),
         shape_b = b.shape()](const Tensor& g) {
          const Tensor da = g / *sb;
          return Grads{need_a ? sum_to(da, shape_a) : Tensor(), need_b ? sum_to(-da * (*sa / *sb), shape_b) : Tensor()};
        });
  });
}

Tensor maximum(const Tensor& x, const Tensor& z) {
  return promoted("maximum", x, z, DType::uint8, [](const Tensor& a, const Tensor& b) {
    return record(
        "maximum", {a, b}, binary("maximum", BinaryOp::maximum, a, b),
        [sa = Saved(a), sb = Saved(b)](const Tensor& g) { return shares(g, *sa, *sb, lt(*sa, *sb), gt(*sa, *sb)); });
  });
}

Tensor minimum(const Tensor& x, const Tensor& z) {
  return promoted("minimum", x, z, DType::uint8, [](const Tensor& a, const Tensor& b) {
    return record(
        "minimum", {a, b}, binary("minimum", BinaryOp::minimum, a, b),
        [sa = Saved(a), sb = Saved(b)](const Tensor& g) { return shares(g, *sa, *sb, gt(*sa, *sb), lt(*sa, *sb)); });
  });
}

namespace {

/// The gradients by a and b, of y's shape, where `need` asks for them.
using GradientsOfTwo = Grads (*)(const Tensor& g, const Tensor& a, const Tensor& b, bool need_a, bool need_b);

Tensor function(const char* name, BinaryOp op, const Tensor& x, const Tensor& z, DType at_least, GradientsOfTwo f) {
  return promoted(name, x, z, at_least, [&](const Tensor& a, const Tensor& b) {
    const bool need_a = a.requires_grad(), need_b = b.requires_grad();
    return record(name, {a, b}, binary(name, op, a, b),
                  [f, need_a, need_b, sa = Saved(a), sb = Saved(b)](const Tensor& g) {
                    Grads grads = f(g, *sa, *sb, need_a, need_b);
                    if (need_a) grads[0] = sum_to(grads[0], (*sa).shape());
                    if (need_b) grads[1] = sum_to(grads[1], (*sb).shape());
                    return grads;
                  });
  });
}

/// The same with a number for b, where the gradient is y's.
Tensor function(const char* name, BinaryOp op, const Tensor& x, Scalar b) {
  return promoted(x, b, DType::uint8, [&](const Tensor& a) {
    return record(name, {a}, binary(op, a, b), [](const Tensor& g) { return g; });
  });
}

}  // namespace

Tensor pow(const Tensor& x, const Tensor& exponent) {
  if (const Autocast cast(Autocast::float32); cast) return pow(cast(x), cast(exponent));
  return function("pow", BinaryOp::pow, x, exponent, DType::uint8,
                  [](const Tensor& g, const Tensor& a, const Tensor& b, bool need_a, bool need_b) {
                    Grads grads{Tensor(), Tensor()};
                    if (need_a) {
                      const Tensor of_a = g * (b * pow(a, b - 1));
                      grads[0] = masked_fill(of_a, eq(b, 0).expand(of_a.shape()), 0);
                    }
                    if (need_b) {
                      const Tensor of_b = g * (pow(a, b) * log(a));
                      grads[1] = masked_fill(of_b, eq(a, 0) * ge(b, 0), 0);
                    }
                    return grads;
                  });
}

Tensor atan2(const Tensor& x, const Tensor& z) {
  return function("atan2", BinaryOp::atan2, x, z, DType::float32,
                  [](const Tensor& g, const Tensor& a, const Tensor& b, bool need_a, bool need_b) {
                    const Tensor by = g / (a * a + b * b);
                    return Grads{need_a ? by * b : Tensor(), need_b ? -(by * a) : Tensor()};
                  });
}

Tensor hypot(const Tensor& x, const Tensor& z) {
  return function("hypot", BinaryOp::hypot, x, z, DType::float32,
                  [](const Tensor& g, const Tensor& a, const Tensor& b, bool need_a, bool need_b) {
                    const Tensor y = hypot(a, b);
                    return Grads{need_a ? g * (a / y) : Tensor(), need_b ? g * (b / y) : Tensor()};
                  });
}

Tensor fmod(const Tensor& x, const Tensor& z) {
  return function("fmod", BinaryOp::fmod, x, z, DType::uint8,
                  [](const Tensor& g, const Tensor& a, const Tensor& b, bool, bool need_b) {
                    return Grads{g, need_b ? -(g * trunc(a / b)) : Tensor()};
                  });
}

Tensor remainder(const Tensor& x, const Tensor& z) {
  return function("remainder", BinaryOp::remainder, x, z, DType::uint8,
                  [](const Tensor& g, const Tensor& a, const Tensor& b, bool, bool need_b) {
                    return Grads{g, need_b ? -(g * floor_divide(a, b)) : Tensor()};
                  });
}

Tensor floor_divide(const Tensor& x, const Tensor& z) {
  return promoted("floor_divide", x, z, DType::uint8, [](const Tensor& a, const Tensor& b) {
    return binary("floor_divide", BinaryOp::floor_divide, a, b);
  });
}

Tensor pow(Scalar a, const Tensor& x) {
  if (const Autocast cast(Autocast::float32); cast) return pow(a, cast(x));
  return promoted(x, a, DType::uint8, [&](const Tensor& b) {
    const Tensor y = binary(BinaryOp::pow, a, b);
    return record("pow", {b}, y, [a = a.to<double>(), b = Saved(b), y = Saved(y)](const Tensor& g) {
      const Tensor of_b = g * (*y * std::log(a));
      return a == 0 ? masked_fill(of_b, ge(*b, 0), 0) : of_b;
    });
  });
}

Tensor fmod(const Tensor& a, Scalar b) { return function("fmod", BinaryOp::fmod, a, b); }
Tensor remainder(const Tensor& a, Scalar b) { return function("remainder", BinaryOp::remainder, a, b); }

Tensor floor_divide(const Tensor& x, Scalar b) {
  return promoted(x.detach(), b, DType::uint8, [&](const Tensor& a) { return binary(BinaryOp::floor_divide, a, b); });
}

Tensor lerp(const Tensor& a, const Tensor& b, double weight) {
  return weight < 0.5 ? a + (b - a) * weight : b - (b - a) * (1 - weight);
}

Tensor lerp(const Tensor& a, const Tensor& b, const Tensor& weight) { return a + weight * (b - a); }

Tensor addcmul(const Tensor& x, const Tensor& a, const Tensor& b, Scalar value) { return x + a * b * value; }

Tensor addcdiv(const Tensor& x, const Tensor& a, const Tensor& b, Scalar value) { return x + a / b * value; }

Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }

Tensor operator+(const Tensor& x, Scalar b) {
  return promoted(x, b, DType::uint8, [&](const Tensor& a) {
    return record("add", {a}, binary(BinaryOp::add, a, b), [](const Tensor& g) { return g; });
  });
}

Tensor operator-(const Tensor& x, Scalar b) {
  return promoted(x, b, DType::uint8, [&](const Tensor& a) {
    return record("sub", {a}, binary(BinaryOp::sub, a, b), [](const Tensor& g) { return g; });
  });
}

Tensor operator*(const Tensor& x, Scalar b) {
  return promoted(x, b, DType::uint8, [&](const Tensor& a) {
    return record("mul", {a}, binary(BinaryOp::mul, a, b), [b](const Tensor& g) { return g * b; });
  });
}

Tensor operator/(const Tensor& x, Scalar b) {
  return promoted(x, b, DType::float32, [&](const Tensor& a) {
    return record("div", {a}, binary(BinaryOp::div, a, b), [b](const Tensor& g) { return g / b; });
  });
}

Tensor operator-(Scalar a, const Tensor& x) {
  return promoted(x, a, DType::uint8, [&](const Tensor& b) {
    return record("sub", {b}, binary(BinaryOp::sub, a, b), [](const Tensor& g) { return -g; });
  });
}

Tensor operator/(Scalar a, const Tensor& x) {
  return promoted(x, a, DType::float32, [&](const Tensor& b) {
    return record("div", {b}, binary(BinaryOp::div, a, b),
                  [a, b = Saved(b)](const Tensor& g) { return -(g / *b) * (a / *b); });
  });
}

Tensor operator+(Scalar a, const Tensor& b) { return b + a; }
Tensor operator*(Scalar a, const Tensor& b) { return b * a; }
Tensor operator-(const Tensor& x) { return neg(x); }

Tensor eq(const Tensor& a, const Tensor& b) { return compare("eq", CompareOp::eq, a, b); }
Tensor ne(const Tensor& a, const Tensor& b) { return compare("ne", CompareOp::ne, a, b); }
Tensor lt(const Tensor& a, const Tensor& b) { return compare("lt", CompareOp::lt, a, b); }
Tensor le(const Tensor& a, const Tensor& b) { return compare("le", CompareOp::le, a, b); }
Tensor gt(const Tensor& a, const Tensor& b) { return compare("gt", CompareOp::gt, a, b); }
Tensor ge(const Tensor& a, const Tensor& b) { return compare("ge", CompareOp::ge, a, b); }
Tensor eq(const Tensor& a, Scalar b) { return compare(CompareOp::eq, a, b); }
Tensor ne(const Tensor& a, Scalar b) { return compare(CompareOp::ne, a, b); }
Tensor lt(const Tensor& a, Scalar b) { return compare(CompareOp::lt, a, b); }
Tensor le(const Tensor& a, Scalar b) { return compare(CompareOp::le, a, b); }
Tensor gt(const Tensor& a, Scalar b) { return compare(CompareOp::gt, a, b); }
Tensor ge(const Tensor& a, Scalar b) { return compare(CompareOp::ge, a, b); }

}  // namespace tern
