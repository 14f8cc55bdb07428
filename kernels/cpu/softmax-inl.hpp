/// Rows of exponentials by vectors. Included once for each of Highway's targets, after Highway.
#if defined(TERN_KERNELS_CPU_SOFTMAX) == defined(HWY_TARGET_TOGGLE)
#ifdef TERN_KERNELS_CPU_SOFTMAX
#undef TERN_KERNELS_CPU_SOFTMAX
#else
#define TERN_KERNELS_CPU_SOFTMAX
#endif

#include <hwy/contrib/math/math-inl.h>

#include <cmath>
#include <limits>

#include <tern/kernels/cpu/map-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace tern::kernels {
namespace HWY_NAMESPACE {
namespace {

constexpr float no_score = -std::numeric_limits<float>::infinity();  // exp makes 0 of it

template <class D>
HWY_INLINE hn::Vec<D> larger(hn::Vec<D> v, hn::Vec<D> largest) {
  return hn::IfThenElse(hn::Gt(v, largest), v, largest);
}

/// exp(v), which is at most 1: of a number, less the largest of its row.
template <class D>
HWY_INLINE hn::Vec<D> exp_of(D d, hn::Vec<D> v) {
  const auto is_nan = hn::IsNaN(v);
  return hn::IfThenElse(is_nan, v, hn::Exp(d, hn::IfThenZeroElse(is_nan, v)));  // Exp is for numbers
}

float largest_of(int64_t n, const float* x) {
  const D d;
  const int64_t lanes = hn::Lanes(d);
  V vector = hn::Set(d, no_score);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) vector = larger<D>(hn::LoadU(d, x + i), vector);
  float largest = hn::GetLane(hn::MaxOfLanes(d, vector));
  for (; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

/// y = exp(x - shift), with shift no less than any x. Returns the sum.
float exponentials(int64_t n, float shift, const float* x, float* y) {
  const D d;
  V sum = hn::Zero(d);
  map(
      n, x, y,
      [&](V v) HWY_ATTR {
        const V e = exp_of(d, hn::Sub(v, hn::Set(d, shift)));
        sum = hn::Add(sum, e);
        return e;
      },
      no_score);
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

/// y = softmax(x). Returns the logarithm of the sum of exp(x).
float softmax(int64_t n, const float* x, float* y) {
  const float shift = largest_of(n, x), sum = exponentials(n, shift, x, y);
  const V factor = hn::Set(D(), 1 / sum);
  map(n, y, y, [=](V v) HWY_ATTR { return hn::Mul(v, factor); });
  return shift + std::log(sum);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tern::kernels
HWY_AFTER_NAMESPACE();

#endif
