#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>

#include <algorithm>

namespace tern {
namespace {

using kernels::BinaryOp;
using kernels::CompareOp;

/// A number as a tensor of [] that does not change x's dtype unless it has to.
Tensor number(const Tensor& x, double value) {
  const DType dtype = can_hold(x.dtype(), value)      ? x.dtype()
                      : can_hold(DType::int64, value) ? DType::int64
                                                      : DType::float32;
  return full({}, value, {.dtype = dtype, .device = x.device()});
}

Tensor binary(const char* name, BinaryOp op, const Tensor& a, const Tensor& b) {
  NoGradGuard no_grad;
  const Tensor y = empty(broadcast_shapes(name, a.shape(), b.shape()), {.dtype = a.dtype(), .device = a.device()});
  binary_into(op, a, b, y);
  return y;
}

/// Brings both to the later dtype and calls f with them.
template <class F>
Tensor promoted(const char* name, const Tensor& a, const Tensor& b, DType at_least, F f) {
  check_device(name, a, b);
  const DType dtype = std::max({a.dtype(), b.dtype(), at_least});
  return f(a.to(dtype), b.to(dtype));
}

Tensor compare(const char* name, CompareOp op, const Tensor& x, const Tensor& z) {
  NoGradGuard no_grad;
  return promoted(name, x, z, DType::uint8, [&](const Tensor& a, const Tensor& b) {
    const Tensor y = empty(broadcast_shapes(name, a.shape(), b.shape()), {.dtype = DType::uint8, .device = a.device()});
    const kernels::Strided walk = broadcast_walk(a, b, y.shape());
    for_array(a, [&]<class T>(kernels::ArrayKernels<T>& k) {
      k.compare(op, walk, a.data<T>(), b.data<T>(), y.data<std::uint8_t>());
    });
    return y;
  });
}

/// The share of the gradient that goes to a, where `wins` says that a is the one taken: half of it where both are
/// equal.
Tensor share(const Tensor& g, const Tensor& a, const Tensor& b, const Tensor& wins) {
  return g * (wins.to(g.dtype()) + eq(a, b).to(g.dtype()) * 0.5);
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
    return record("maximum", {a, b}, binary("maximum", BinaryOp::maximum, a, b),
                  [sa = Saved(a), sb = Saved(b)](const Tensor& g) {
                    return Grads{sum_to(share(g, *sa, *sb, gt(*sa, *sb)), (*sa).shape()),
                                 sum_to(share(g, *sa, *sb, lt(*sa, *sb)), (*sb).shape())};
                  });
  });
}

Tensor minimum(const Tensor& x, const Tensor& z) {
  return promoted("minimum", x, z, DType::uint8, [](const Tensor& a, const Tensor& b) {
    return record("minimum", {a, b}, binary("minimum", BinaryOp::minimum, a, b),
                  [sa = Saved(a), sb = Saved(b)](const Tensor& g) {
                    return Grads{sum_to(share(g, *sa, *sb, lt(*sa, *sb)), (*sa).shape()),
                                 sum_to(share(g, *sa, *sb, gt(*sa, *sb)), (*sb).shape())};
                  });
  });
}

Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
Tensor operator+(const Tensor& a, double b) { return add(a, number(a, b)); }
Tensor operator-(const Tensor& a, double b) { return sub(a, number(a, b)); }
Tensor operator*(const Tensor& a, double b) { return mul(a, number(a, b)); }
Tensor operator/(const Tensor& a, double b) { return div(a, number(a, b)); }
Tensor operator+(double a, const Tensor& b) { return add(number(b, a), b); }
Tensor operator-(double a, const Tensor& b) { return sub(number(b, a), b); }
Tensor operator*(double a, const Tensor& b) { return mul(number(b, a), b); }
Tensor operator/(double a, const Tensor& b) { return div(number(b, a), b); }
Tensor operator-(const Tensor& x) { return is_floating(x.dtype()) ? neg(x) : 0 - x; }

Tensor eq(const Tensor& a, const Tensor& b) { return compare("eq", CompareOp::eq, a, b); }
Tensor ne(const Tensor& a, const Tensor& b) { return compare("ne", CompareOp::ne, a, b); }
Tensor lt(const Tensor& a, const Tensor& b) { return compare("lt", CompareOp::lt, a, b); }
Tensor le(const Tensor& a, const Tensor& b) { return compare("le", CompareOp::le, a, b); }
Tensor gt(const Tensor& a, const Tensor& b) { return compare("gt", CompareOp::gt, a, b); }
Tensor ge(const Tensor& a, const Tensor& b) { return compare("ge", CompareOp::ge, a, b); }
Tensor eq(const Tensor& a, double b) { return eq(a, number(a, b)); }
Tensor ne(const Tensor& a, double b) { return ne(a, number(a, b)); }
Tensor lt(const Tensor& a, double b) { return lt(a, number(a, b)); }
Tensor le(const Tensor& a, double b) { return le(a, number(a, b)); }
Tensor gt(const Tensor& a, double b) { return gt(a, number(a, b)); }
Tensor ge(const Tensor& a, double b) { return ge(a, number(a, b)); }

}  // namespace tern
