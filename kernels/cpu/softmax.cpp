/// Softmax: rows by vectors along them, columns by as many at a time as a vector has lanes. A row is read from memory
/// once and is in the cache from then on, so that 8 bytes an element are moved, for an exponential of some 20
/// operations; backward 12 bytes.

#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/simd.hpp>
#include <tern/kernels/cpu/threads.hpp>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tern/kernels/cpu/softmax.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <tern/kernels/cpu/softmax-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace tern::kernels {
namespace HWY_NAMESPACE {
namespace {

using D1 = hn::CappedTag<float, 1>;

void softmax_rows(bool log, int64_t rows, int64_t n, const float* x, float* y) {
  for (int64_t row = 0; row < rows; ++row, x += n, y += n) {
    if (!log) {
      softmax(n, x, y);
      continue;
    }
    const float largest = largest_of(n, x), log_sum = std::log(exponentials(n, largest, x, y));
    map(n, x, y, [=](V v) HWY_ATTR { return hn::Sub(hn::Sub(v, hn::Set(D(), largest)), hn::Set(D(), log_sum)); });
  }
}

template <class D>
HWY_INLINE hn::Vec<D> gradient(D d, bool log, hn::Vec<D> y, hn::Vec<D> dy, hn::Vec<D> sum) {
  return log ? hn::NegMulAdd(exp_of(d, y), sum, dy) : hn::Mul(y, hn::Sub(dy, sum));
}

void gradient_rows(bool log, int64_t rows, int64_t n, const float* y, const float* dy, float* dx) {
  const D d;
  const D1 d1;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t row = 0; row < rows; ++row, y += n, dy += n, dx += n) {
    V part = hn::Zero(d);
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) {
      const V g = hn::LoadU(d, dy + i);
      part = log ? hn::Add(part, g) : hn::MulAdd(hn::LoadU(d, y + i), g, part);
    }
    float sum = hn::GetLane(hn::SumOfLanes(d, part));
    for (; i < n; ++i) sum += log ? dy[i] : y[i] * dy[i];
    for (i = 0; i + lanes <= n; i += lanes) {
      hn::StoreU(gradient(d, log, hn::LoadU(d, y + i), hn::LoadU(d, dy + i), hn::Set(d, sum)), d, dx + i);
    }
    for (; i < n; ++i) {
      hn::StoreU(gradient(d1, log, hn::LoadU(d1, y + i), hn::LoadU(d1, dy + i), hn::Set(d1, sum)), d1, dx + i);
    }
  }
}

/// Calls f(d, column) for the columns [0, count), as many at a time as d has lanes.
template <class F>
HWY_INLINE void for_columns(int64_t count, const F& f) {
  const D d;
  const int64_t lanes = hn::Lanes(d);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) f(d, i);
  for (; i < count; ++i) f(D1(), i);
}

/// The columns [0, count), whose elements are `step` apart.
void softmax_columns(bool log, int64_t count, int64_t n, int64_t step, const float* x, float* y) {
  for_columns(count, [=](auto d, int64_t column) HWY_ATTR {
    using Vec = hn::Vec<decltype(d)>;
    const float* const in = x + column;
    float* const out = y + column;
    Vec largest = hn::Set(d, no_score), sum = hn::Zero(d);
    for (int64_t j = 0; j < n; ++j) largest = larger<decltype(d)>(hn::LoadU(d, in + j * step), largest);
    for (int64_t j = 0; j < n; ++j) {
      const Vec e = exp_of(d, hn::Sub(hn::LoadU(d, in + j * step), largest));
      sum = hn::Add(sum, e);
      hn::StoreU(e, d, out + j * step);
    }
    if (!log) {
      const Vec factor = hn::Div(hn::Set(d, 1), sum);
      for (int64_t j = 0; j < n; ++j) hn::StoreU(hn::Mul(hn::LoadU(d, out + j * step), factor), d, out + j * step);
      return;
    }
    float of_lane[HWY_LANES(float)];
    hn::StoreU(sum, d, of_lane);
    for (std::size_t l = 0; l < hn::Lanes(d); ++l) of_lane[l] = std::log(of_lane[l]);
    const Vec log_sum = hn::LoadU(d, of_lane);
    for (int64_t j = 0; j < n; ++j) {
      hn::StoreU(hn::Sub(hn::Sub(hn::LoadU(d, in + j * step), largest), log_sum), d, out + j * step);
    }
  });
}

void gradient_columns(bool log, int64_t count, int64_t n, int64_t step, const float* y, const float* dy, float* dx) {
  for_columns(count, [=](auto d, int64_t column) HWY_ATTR {
    using Vec = hn::Vec<decltype(d)>;
    const float *const of_y = y + column, *const of_dy = dy + column;
    float* const out = dx + column;
    Vec sum = hn::Zero(d);
    for (int64_t j = 0; j < n; ++j) {
      const Vec g = hn::LoadU(d, of_dy + j * step);
      sum = log ? hn::Add(sum, g) : hn::MulAdd(hn::LoadU(d, of_y + j * step), g, sum);
    }
    for (int64_t j = 0; j < n; ++j) {
      const Vec g = hn::LoadU(d, of_dy + j * step);
      hn::StoreU(gradient(d, log, hn::LoadU(d, of_y + j * step), g, sum), d, out + j * step);
    }
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tern::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tern::kernels {

HWY_EXPORT(softmax_rows);
HWY_EXPORT(gradient_rows);
HWY_EXPORT(softmax_columns);
HWY_EXPORT(gradient_columns);

namespace {

constexpr int64_t piece = 1 << 13;  // elements worth a thread's while

/// Calls of_rows(begin, how many rows), or where columns are not rows, of_columns(begin, how many columns).
template <class Rows, class Columns>
void for_all(const ReduceShape& r, const Rows& of_rows, const Columns& of_columns) {
  if (r.inner == 1) {
    return parallel_for(r.outer, std::max<int64_t>(1, piece / std::max<int64_t>(1, r.n)),
                        [&](int64_t begin, int64_t end) { of_rows(begin * r.n, end - begin); });
  }
  constexpr int64_t width = 64;
  const int64_t strips = (r.inner + width - 1) / width;
  const int64_t work = std::max<int64_t>(1, r.n * std::min(r.inner, width));
  parallel_for(r.outer * strips, std::max<int64_t>(1, piece / work), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t column = task % strips * width;
      of_columns(task / strips * r.n * r.inner + column, std::min(width, r.inner - column));
    }
  });
}

}  // namespace

void CpuFloat32::softmax(bool log, const ReduceShape& r, const float* x, float* y) {
  const auto rows = HWY_DYNAMIC_DISPATCH(softmax_rows);
  const auto columns = HWY_DYNAMIC_DISPATCH(softmax_columns);
  for_all(
      r, [&](int64_t at, int64_t count) { rows(log, count, r.n, x + at, y + at); },
      [&](int64_t at, int64_t count) { columns(log, count, r.n, r.inner, x + at, y + at); });
}

void CpuFloat32::softmax_backward(bool log, const ReduceShape& r, const float* y, const float* dy, float* dx) {
  const auto rows = HWY_DYNAMIC_DISPATCH(gradient_rows);
  const auto columns = HWY_DYNAMIC_DISPATCH(gradient_columns);
  for_all(
      r, [&](int64_t at, int64_t count) { rows(log, count, r.n, y + at, dy + at, dx + at); },
      [&](int64_t at, int64_t count) { columns(log, count, r.n, r.inner, y + at, dy + at, dx + at); });
}

}  // namespace tern::kernels
#endif
