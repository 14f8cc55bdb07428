/// The functions of unary.hpp in float32: each element is read and written once; tanh takes some 20 operations and a
/// division, the others fewer or about as many. exp and log are Highway's; tanh, the one that training a small CNN
/// spends its time in, stands here. What has no vectors is computed as in reference/, by all threads.

#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/simd.hpp>
#include <tern/kernels/cpu/threads.hpp>
#include <tern/kernels/unary.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tern/kernels/cpu/unary.cpp"
#include <hwy/foreach_target.h>  // before the others

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <tern/kernels/cpu/map-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace tern::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// dx[i] = f(y[i], dy[i]).
template <class F>
HWY_INLINE void map(int64_t n, const float* y, const float* dy, float* dx, const F& f) {
  const D d;
  const int64_t lanes = hn::Lanes(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(f(hn::LoadU(d, y + i), hn::LoadU(d, dy + i)), d, dx + i);
  if (i == n) return;
  HWY_ALIGN float part_y[HWY_LANES(float)] = {}, part_dy[HWY_LANES(float)] = {};
  std::copy(y + i, y + n, part_y);
  std::copy(dy + i, dy + n, part_dy);
  hn::Store(f(hn::Load(d, part_y), hn::Load(d, part_dy)), d, part_y);
  std::copy_n(part_y, n - i, dx + i);
}

/// Highway's Exp holds for numbers up to 104; beyond is infinity, and NaN stays NaN.
HWY_INLINE V exp_of(V v) {
  const D d;
  const V e = hn::Exp(d, hn::Min(v, hn::Set(d, 100)));
  return hn::IfThenElse(hn::IsNaN(v), v, e);
}

/// Highway's Log holds for positive numbers.
HWY_INLINE V log_of(V v) {
  const D d;
  const V l = hn::IfThenElse(hn::Eq(v, hn::Zero(d)), hn::Set(d, -infinity), hn::Log(d, v));
  const V positive = hn::IfThenElse(hn::Eq(v, hn::Set(d, infinity)), v, l);
  return hn::IfThenElse(hn::Ge(v, hn::Zero(d)), positive, hn::NaN(d));
}

/// With e = exp(-|x|), 1 / (1 + e) for positive x and e / (1 + e) for negative: no overflow, no digits lost.
HWY_INLINE V sigmoid_of(V v) {
  const D d;
  const V e = exp_of(hn::Neg(hn::Abs(v))), one = hn::Set(d, 1);
  return hn::Div(hn::IfThenElse(hn::Lt(v, hn::Zero(d)), e, one), hn::Add(one, e));
}

/// tanh |x| = t / (t + 2) with t = exp(2 |x|) - 1. Let 2 |x| = n ln 2 + r with |r| <= ln 2 / 2; then
/// t = 2^n (exp(r) - 1) + 2^n - 1, and exp(r) - 1 = r + r^2 q(r) with q by interpolation at Chebyshev's points, good
/// to 3e-8 of the whole. Nothing cancels, so that the error stays below 2.5 ulp for tiny arguments too; beyond 9.02 the
/// result rounds to 1.
HWY_INLINE V tanh_of(V v) {
  const D d;
  const hn::RebindToSigned<D> di;
  const V x = hn::Min(hn::Abs(v), hn::Set(d, 10));
  const V two_x = hn::Add(x, x);
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  const V magic = hn::Set(d, 0x1.8p23f);
  const V shifted = hn::MulAdd(two_x, hn::Set(d, 0x1.715476p0f), magic);
  const V n = hn::Sub(shifted, magic);
  V r = hn::NegMulAdd(n, hn::Set(d, 0x1.62e4p-1f), two_x);  // ln 2 in two parts, the first short: n times it is exact
  r = hn::NegMulAdd(n, hn::Set(d, 0x1.7f7d1cp-20f), r);
  V q = hn::MulAdd(r, hn::Set(d, 0x1.6d110ap-10f), hn::Set(d, 0x1.120b6ep-7f));
  q = hn::MulAdd(r, q, hn::Set(d, 0x1.55551ap-5f));
  q = hn::MulAdd(r, q, hn::Set(d, 0x1.5554dcp-3f));
  q = hn::MulAdd(r, q, hn::Set(d, 0x1.0p-1f));
  const V e = hn::MulAdd(hn::Mul(r, r), q, r);
  const V scale = hn::BitCast(d, hn::Add(hn::ShiftLeft<23>(hn::BitCast(di, shifted)), hn::Set(di, 0x3f800000)));
  const V t = hn::MulAdd(scale, e, hn::Sub(scale, hn::Set(d, 1)));
  const V y = hn::Div(t, hn::Add(t, hn::Set(d, 2)));
  return hn::IfThenElse(hn::IsNaN(v), v, hn::CopySignToAbs(y, v));
}

/// 2 sqrt(2 / pi) (x + 0.044715 x^3).
HWY_INLINE V gelu_argument(V x) {
  const D d;
  const V curve = hn::MulAdd(hn::Mul(hn::Set(d, 0.044715F), x), x, hn::Set(d, 1));
  return hn::Mul(hn::Mul(hn::Set(d, 1.5957691216F), x), curve);
}

/// Calls f with the function and its gradient, as in reference/unary.hpp. False for those that run as there.
template <class F>
HWY_INLINE bool with_function(const Unary& unary, const F& f) {
  const D d;
  const V zero = hn::Zero(d), one = hn::Set(d, 1), a = hn::Set(d, static_cast<float>(unary.a)),
          b = hn::Set(d, static_cast<float>(unary.b));
  switch (unary.op) {
    case UnaryOp::neg:
      return f([](V x) HWY_ATTR { return hn::Neg(x); }, [](V, V dy) HWY_ATTR { return hn::Neg(dy); });
    case UnaryOp::exp:
      return f([](V x) HWY_ATTR { return exp_of(x); }, [](V y, V dy) HWY_ATTR { return hn::Mul(dy, y); });
    case UnaryOp::log:
      return f([](V x) HWY_ATTR { return log_of(x); }, [](V x, V dy) HWY_ATTR { return hn::Div(dy, x); });
    case UnaryOp::sqrt:
      return f([](V x) HWY_ATTR { return hn::Sqrt(x); },
               [](V y, V dy) HWY_ATTR { return hn::Div(dy, hn::Add(y, y)); });
    case UnaryOp::pow:
      return unary.a == 2 && f([](V x) HWY_ATTR { return hn::Mul(x, x); },
                               [](V x, V dy) HWY_ATTR { return hn::Mul(dy, hn::Add(x, x)); });
    case UnaryOp::tanh:
      return f([](V x) HWY_ATTR { return tanh_of(x); },
               [=](V y, V dy) HWY_ATTR { return hn::Mul(dy, hn::NegMulAdd(y, y, one)); });
    case UnaryOp::relu:
      return f([=](V x) HWY_ATTR { return hn::IfThenZeroElse(hn::Le(x, zero), x); },
               [=](V y, V dy) HWY_ATTR { return hn::IfThenZeroElse(hn::Le(y, zero), dy); });
    case UnaryOp::sigmoid:
      return f([](V x) HWY_ATTR { return sigmoid_of(x); },
               [=](V y, V dy) HWY_ATTR { return hn::Mul(hn::Mul(dy, y), hn::Sub(one, y)); });
    case UnaryOp::leaky_relu:
      return f([=](V x) HWY_ATTR { return hn::IfThenElse(hn::Gt(x, zero), x, hn::Mul(a, x)); },
               [=](V x, V dy) HWY_ATTR { return hn::IfThenElse(hn::Gt(x, zero), dy, hn::Mul(a, dy)); });
    case UnaryOp::gelu_tanh:
      return f([](V x) HWY_ATTR { return hn::Mul(x, sigmoid_of(gelu_argument(x))); },
               [=](V x, V dy) HWY_ATTR {
                 const V s = sigmoid_of(gelu_argument(x));
                 const V slope = hn::MulAdd(hn::Mul(hn::Set(d, 3 * 0.044715F * 1.5957691216F), x), x,
                                            hn::Set(d, 1.5957691216F));
                 return hn::Mul(dy, hn::MulAdd(hn::Mul(x, s), hn::Mul(hn::Sub(one, s), slope), s));
               });
    case UnaryOp::silu:
      return f([](V x) HWY_ATTR { return hn::Mul(x, sigmoid_of(x)); },
               [=](V x, V dy) HWY_ATTR {
                 const V s = sigmoid_of(x);
                 return hn::Mul(hn::Mul(dy, s), hn::MulAdd(x, hn::Sub(one, s), one));
               });
    case UnaryOp::rsqrt:
      return f([=](V x) HWY_ATTR { return hn::Div(one, hn::Sqrt(x)); },
               [=](V y, V dy) HWY_ATTR {
                 return hn::Mul(hn::Mul(dy, hn::Set(d, -0.5F)), hn::Mul(hn::Mul(y, y), y));
               });
    case UnaryOp::abs:
      return f([](V x) HWY_ATTR { return hn::Abs(x); },
               [=](V x, V dy) HWY_ATTR {
                 return hn::IfThenElse(hn::Gt(x, zero), dy, hn::IfThenElseZero(hn::Lt(x, zero), hn::Neg(dy)));
               });
    case UnaryOp::round:
      return f([](V x) HWY_ATTR { return hn::Round(x); }, [=](V, V) HWY_ATTR { return zero; });
    case UnaryOp::floor:
      return f([](V x) HWY_ATTR { return hn::Floor(x); }, [=](V, V) HWY_ATTR { return zero; });
    case UnaryOp::ceil:
      return f([](V x) HWY_ATTR { return hn::Ceil(x); }, [=](V, V) HWY_ATTR { return zero; });
    case UnaryOp::sign:
      return f([=](V x) HWY_ATTR {
                 return hn::IfThenElse(hn::Gt(x, zero), one, hn::IfThenElseZero(hn::Lt(x, zero), hn::Neg(one)));
               },
               [=](V, V) HWY_ATTR { return zero; });
    case UnaryOp::reciprocal:
      return f([=](V x) HWY_ATTR { return hn::Div(one, x); },
               [](V y, V dy) HWY_ATTR { return hn::Neg(hn::Mul(hn::Mul(dy, y), y)); });
    case UnaryOp::clamp:
      return f([=](V x) HWY_ATTR {
                 const V above = hn::IfThenElse(hn::Lt(x, a), a, x);
                 return hn::IfThenElse(hn::Gt(above, b), b, above);
               },
               [=](V x, V dy) HWY_ATTR {
                 return hn::IfThenElseZero(hn::And(hn::Ge(x, a), hn::Le(x, b)), dy);
               });
    case UnaryOp::square:
      return f([](V x) HWY_ATTR { return hn::Mul(x, x); },
               [](V x, V dy) HWY_ATTR { return hn::Mul(dy, hn::Add(x, x)); });
    default:
      return false;
  }
}

bool unary(const Unary& f, int64_t n, const float* x, float* y) {
  return with_function(f, [=](const auto& value, const auto&) HWY_ATTR {
    map(n, x, y, value);
    return true;
  });
}

bool unary_backward(const Unary& f, int64_t n, const float* v, const float* dy, float* dx) {
  return with_function(f, [=](const auto&, const auto& gradient) HWY_ATTR {
    map(n, v, dy, dx, gradient);
    return true;
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tern::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tern::kernels {

HWY_EXPORT(unary);
HWY_EXPORT(unary_backward);

constexpr int64_t piece = 1 << 15;  // elements worth a thread's while

void CpuFloat32::unary(const Unary& f, int64_t n, const float* x, float* y) {
  const auto vectors = HWY_DYNAMIC_DISPATCH(unary);
  parallel_for(n, piece, [&](int64_t begin, int64_t end) {
    const int64_t m = end - begin;
    if (!vectors(f, m, x + begin, y + begin)) ReferenceFloat<float>::unary(f, m, x + begin, y + begin);
  });
}

void CpuFloat32::unary_backward(const Unary& f, int64_t n, const float* v, const float* dy, float* dx) {
  const auto vectors = HWY_DYNAMIC_DISPATCH(unary_backward);
  parallel_for(n, piece, [&](int64_t begin, int64_t end) {
    const int64_t m = end - begin;
    if (vectors(f, m, v + begin, dy + begin, dx + begin)) return;
    ReferenceFloat<float>::unary_backward(f, m, v + begin, dy + begin, dx + begin);
  });
}

}  // namespace tern::kernels
#endif
