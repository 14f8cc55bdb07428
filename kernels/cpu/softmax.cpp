/// Softmax: rows by vectors along them; columns by strips of them, all of a strip's in one row before the next row, as
/// one column's elements are often a power of two apart, where caches and stores still on their way get in each other's
/// way. A row, or a strip, is read from memory once and is in the cache from then on, so that 8 bytes an element are
/// moved, for an exponential of some 20 operations; backward 12 bytes.

#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/simd.hpp>
#include <tern/kernels/cpu/threads.hpp>

#include <algorithm>
#include <cmath>

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

constexpr int64_t widest_strip = 1024;  // columns; less where a cache would not hold so many

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

/// The columns [0, count), at most widest_strip, whose elements are `step` apart.
void softmax_columns(bool log, int64_t count, int64_t n, int64_t step, const float* x, float* y) {
  float largest[widest_strip], sum[widest_strip];
  std::fill_n(largest, count, no_score);
  std::fill_n(sum, count, 0.0f);
  for (int64_t j = 0; j < n; ++j) {
    for_columns(count, [&, row = x + j * step](auto d, int64_t i) HWY_ATTR {
      hn::StoreU(larger<decltype(d)>(hn::LoadU(d, row + i), hn::LoadU(d, largest + i)), d, largest + i);
    });
  }
  for (int64_t j = 0; j < n; ++j) {
    for_columns(count, [&, in = x + j * step, out = y + j * step](auto d, int64_t i) HWY_ATTR {
      const auto e = exp_of(d, hn::Sub(hn::LoadU(d, in + i), hn::LoadU(d, largest + i)));
      hn::StoreU(hn::Add(hn::LoadU(d, sum + i), e), d, sum + i);
      hn::StoreU(e, d, out + i);
    });
  }
  for (int64_t i = 0; i < count; ++i) sum[i] = log ? std::log(sum[i]) : 1 / sum[i];
  for (int64_t j = 0; j < n; ++j) {
    for_columns(count, [&, in = x + j * step, out = y + j * step](auto d, int64_t i) HWY_ATTR {
      const auto of_sum = hn::LoadU(d, sum + i);
      hn::StoreU(log ? hn::Sub(hn::Sub(hn::LoadU(d, in + i), hn::LoadU(d, largest + i)), of_sum)
                     : hn::Mul(hn::LoadU(d, out + i), of_sum),
                 d, out + i);
    });
  }
}

void gradient_columns(bool log, int64_t count, int64_t n, int64_t step, const float* y, const float* dy, float* dx) {
  float sum[widest_strip];
  std::fill_n(sum, count, 0.0f);
  for (int64_t j = 0; j < n; ++j) {
    for_columns(count, [&, of_y = y + j * step, of_dy = dy + j * step](auto d, int64_t i) HWY_ATTR {
      const auto g = hn::LoadU(d, of_dy + i), before = hn::LoadU(d, sum + i);
      hn::StoreU(log ? hn::Add(before, g) : hn::MulAdd(hn::LoadU(d, of_y + i), g, before), d, sum + i);
    });
  }
  for (int64_t j = 0; j < n; ++j) {
    for_columns(count, [&, of_y = y + j * step, of_dy = dy + j * step, out = dx + j * step](auto d,
                                                                                            int64_t i) HWY_ATTR {
      hn::StoreU(gradient(d, log, hn::LoadU(d, of_y + i), hn::LoadU(d, of_dy + i), hn::LoadU(d, sum + i)), d, out + i);
    });
  }
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
  const int64_t width = std::clamp<int64_t>((1 << 15) / std::max<int64_t>(1, r.n), 64, HWY_NAMESPACE::widest_strip);
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
