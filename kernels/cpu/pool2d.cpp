/// Pooling over planes, which the threads share. Forward reads x and writes y and the indices, 4 + 4 / RS + 8 / RS
/// bytes to an input; backward reads the latter two and writes dx. Windows of 2 x 2 that neither overlap nor leave the
/// plane, the common case, go by vectors of windows; all others window by window.

#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/pool2d_plane.hpp>
#include <tern/kernels/cpu/simd.hpp>
#include <tern/kernels/cpu/threads.hpp>

#include <algorithm>
#include <type_traits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tern/kernels/cpu/pool2d.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tern::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// How the places of a window's elements count: in the plane, for indices of int64, or in the window, for bytes.
template <class Index>
constexpr bool in_window = std::is_same_v<Index, uint8_t>;

/// The places of the upper left elements of a vector of windows: in the plane `first` and every other one from there.
template <class Index, class DI>
HWY_INLINE hn::Vec<DI> upper_left(DI di, int64_t first) {
  if constexpr (in_window<Index>) return hn::Zero(di);
  return hn::Add(hn::Set(di, static_cast<int32_t>(first)), hn::ShiftLeft<1>(hn::Iota(di, 0)));
}

/// And those of the elements below.
template <class Index, class DI>
HWY_INLINE hn::Vec<DI> lower(DI di, hn::Vec<DI> upper, int64_t W) {
  return hn::Add(upper, hn::Set(di, static_cast<int32_t>(in_window<Index> ? 2 : W)));
}

/// to[i] = v[i] for the lanes of v, and the other way round. int64 goes by vectors where v is one at least.
template <class DI>
HWY_INLINE void store_places([[maybe_unused]] DI di, hn::Vec<DI> v, uint8_t* to) {
  const hn::Rebind<uint8_t, DI> d8;
  hn::StoreU(hn::DemoteTo(d8, v), d8, to);
}
template <class DI>
HWY_INLINE hn::Vec<DI> load_places(DI di, const uint8_t* from) {
  return hn::PromoteTo(di, hn::LoadU(hn::Rebind<uint8_t, DI>(), from));
}
template <class DI>
HWY_INLINE void store_places(DI di, hn::Vec<DI> v, int64_t* to) {
  const hn::ScalableTag<int64_t> d64;
  const int64_t lanes = hn::Lanes(di), step = hn::Lanes(d64);
  HWY_ALIGN int32_t part[HWY_LANES(int32_t)];
  hn::Store(v, di, part);
  int64_t i = 0;
  for (; i + step <= lanes; i += step) {
    hn::StoreU(hn::PromoteTo(d64, hn::Load(hn::Rebind<int32_t, decltype(d64)>(), part + i)), d64, to + i);
  }
  for (; i < lanes; ++i) to[i] = part[i];
}
template <class DI>
HWY_INLINE hn::Vec<DI> load_places(DI di, const int64_t* from) {
  const hn::ScalableTag<uint64_t> d64;
  const hn::Rebind<uint32_t, decltype(d64)> half;
  const hn::RebindToUnsigned<DI> d32;
  const uint64_t* p = reinterpret_cast<const uint64_t*>(from);
#if HWY_TARGET != HWY_SCALAR
  if constexpr (hn::MaxLanes(DI()) == 2 * hn::MaxLanes(hn::ScalableTag<uint64_t>())) {
    const auto lower = hn::TruncateTo(half, hn::LoadU(d64, p));
    return hn::BitCast(di, hn::Combine(d32, hn::TruncateTo(half, hn::LoadU(d64, p + hn::Lanes(d64))), lower));
  } else
#endif
      if constexpr (hn::MaxLanes(DI()) == hn::MaxLanes(hn::ScalableTag<uint64_t>())) {
    return hn::BitCast(di, hn::TruncateTo(half, hn::LoadU(d64, p)));
  } else {
    HWY_ALIGN uint32_t part[hn::MaxLanes(DI())];
    for (std::size_t i = 0; i < hn::Lanes(di); ++i) part[i] = static_cast<uint32_t>(p[i]);
    return hn::BitCast(di, hn::Load(d32, part));
  }
}

/// y[q] and, if wanted, index[q] for the q in [0, Q) that fill whole vectors; returns how many. row is x's row 2 p, at
/// `place`.
template <bool want_index, class Index, class D>
HWY_INLINE int64_t max_row(D d, int64_t Q, int64_t W, const float* row, int64_t place, float* y, Index* index) {
  const hn::RebindToSigned<D> di;
  const int64_t lanes = hn::Lanes(d);
  int64_t q = 0;
  for (; q + lanes <= Q; q += lanes) {
    hn::Vec<D> best, right, below, last;
    hn::LoadInterleaved2(d, row + 2 * q, best, right);
    hn::LoadInterleaved2(d, row + W + 2 * q, below, last);
    auto at = upper_left<Index>(di, place + 2 * q);
    const auto at_below = lower<Index>(di, at, W);
    const auto one = hn::Set(di, 1);

    // NaN is larger than any number, the first of equals wins.
    const auto take = [&](hn::Vec<D> value, hn::Vec<decltype(di)> where) HWY_ATTR {
      const auto keep = hn::Or(hn::Le(value, best), hn::IsNaN(best));
      best = hn::IfThenElse(keep, best, value);
      if constexpr (want_index) at = hn::IfThenElse(hn::RebindMask(di, keep), at, where);
    };
    take(right, hn::Add(at, one));
    take(below, at_below);
    take(last, hn::Add(at_below, one));
    hn::StoreU(best, d, y + q);
    if constexpr (want_index) store_places(di, at, index + q);
  }
  return q;
}

/// The rows 2 p and 2 p + 1 of dx below the windows [0, Q) that fill whole vectors; returns how many.
template <class Index, class D>
HWY_INLINE int64_t spread_row(D d, int64_t Q, int64_t W, const Index* index, const float* dy, int64_t place,
                              float* row) {
  const hn::RebindToSigned<D> di;
  const int64_t lanes = hn::Lanes(d);
  int64_t q = 0;
  for (; q + lanes <= Q; q += lanes) {
    const auto at = load_places(di, index + q);
    const auto g = hn::LoadU(d, dy + q);
    const auto one = hn::Set(di, 1);
    const auto here = [&](hn::Vec<decltype(di)> where)
                          HWY_ATTR { return hn::IfThenElseZero(hn::RebindMask(d, hn::Eq(at, where)), g); };
    const auto left = upper_left<Index>(di, place + 2 * q);
    const auto below = lower<Index>(di, left, W);
    hn::StoreInterleaved2(here(left), here(hn::Add(left, one)), d, row + 2 * q);
    hn::StoreInterleaved2(here(below), here(hn::Add(below, one)), d, row + W + 2 * q);
  }
  return q;
}

/// One plane. Rows shorter than the longest vector go by shorter ones.
template <bool want_index, class Index>
void max_2x2_rows(const Pool2dShape& s, const float* x, float* y, Index* indices) {
  const int64_t P = s.P(), Q = s.Q();
  for (int64_t p = 0; p < P; ++p, y += Q) {
    const int64_t place = 2 * p * s.W;
    int64_t q = 0;
    const auto windows = [&](auto d) HWY_ATTR {
      Index* const index = want_index ? indices + p * Q + q : nullptr;
      q += max_row<want_index>(d, Q - q, s.W, x + place + 2 * q, place + 2 * q, y + q, index);
    };
    windows(hn::ScalableTag<float>());
    windows(hn::CappedTag<float, 8>());
    windows(hn::CappedTag<float, 4>());
    windows(hn::CappedTag<float, 1>());
  }
}
void max_2x2(const Pool2dShape& s, const float* x, float* y, int64_t* indices) {
  return indices ? max_2x2_rows<true>(s, x, y, indices) : max_2x2_rows<false>(s, x, y, indices);
}
void max_2x2_picked(const Pool2dShape& s, const float* x, float* y, uint8_t* picked) {
  return picked ? max_2x2_rows<true>(s, x, y, picked) : max_2x2_rows<false>(s, x, y, picked);
}

/// One plane.
template <class Index>
void spread_2x2(const Pool2dShape& s, const Index* indices, const float* dy, float* dx) {
  const int64_t P = s.P(), Q = s.Q();
  for (int64_t p = 0; p < P; ++p, indices += Q, dy += Q) {
    const int64_t place = 2 * p * s.W;
    float* row = dx + place;
    int64_t q = spread_row(hn::ScalableTag<float>(), Q, s.W, indices, dy, place, row);
    const auto rest = [&](auto d)
                          HWY_ATTR { q += spread_row(d, Q - q, s.W, indices + q, dy + q, place + 2 * q, row + 2 * q); };
    rest(hn::CappedTag<float, 8>());
    rest(hn::CappedTag<float, 4>());
    rest(hn::CappedTag<float, 1>());
    if (s.W > 2 * Q) row[2 * Q] = row[s.W + 2 * Q] = 0;
  }
  std::fill(dx + 2 * P * s.W, dx + s.H * s.W, 0.0f);
}
void max_2x2_backward(const Pool2dShape& s, const int64_t* indices, const float* dy, float* dx) {
  spread_2x2(s, indices, dy, dx);
}
void max_2x2_picked_backward(const Pool2dShape& s, const uint8_t* picked, const float* dy, float* dx) {
  spread_2x2(s, picked, dy, dx);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tern::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tern::kernels {

HWY_EXPORT(max_2x2);
HWY_EXPORT(max_2x2_picked);
HWY_EXPORT(max_2x2_backward);
HWY_EXPORT(max_2x2_picked_backward);

namespace {

using Run = PoolWindow<int64_t>;

/// Calls f(plane) for all planes.
template <class F>
void for_each_plane(const Pool2dShape& s, const F& f) {
  const int64_t grain = std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, s.H * s.W));
  parallel_for(s.N * s.C, grain, [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) f(plane);
  });
}

}  // namespace

void max_pool2d_plane(const Pool2dShape& s, const float* x, float* y, int64_t* indices) {
  if (is_2x2(s)) return HWY_DYNAMIC_DISPATCH(max_2x2)(s, x, y, indices);
  for_each_window(s, [&](int64_t window, const Run& rows, const Run& columns) {
    int64_t best = rows.begin * s.W + columns.begin;
    for (int64_t h = rows.begin; h < rows.end; h += s.dilation_h) {
      for (int64_t at = h * s.W + columns.begin; at < h * s.W + columns.end; at += s.dilation_w) {
        if (x[at] > x[best] || (x[at] != x[at] && x[best] == x[best])) best = at;
      }
    }
    y[window] = x[best];
    if (indices) indices[window] = best;
  });
}

void max_pool2d_plane(const Pool2dShape& s, const float* x, float* y, uint8_t* picked) {
  if (is_2x2(s)) return HWY_DYNAMIC_DISPATCH(max_2x2_picked)(s, x, y, picked);
  for_each_window(s, [&](int64_t window, const Run& rows, const Run& columns) {
    const float* const first = x + rows.begin * s.W + columns.begin;
    float largest = *first;
    int64_t best = 0;
    for (int64_t place = 0, r = 0; r < s.R; ++r) {
      for (int64_t t = 0; t < s.S; ++t, ++place) {
        const float v = first[r * s.W + t];
        if (!(v > largest || (v != v && largest == largest))) continue;
        largest = v;
        best = place;
      }
    }
    y[window] = largest;
    if (picked) picked[window] = static_cast<uint8_t>(best);
  });
}

void max_pool2d_plane_backward(const Pool2dShape& s, const uint8_t* picked, const float* dy, float* dx) {
  if (is_2x2(s)) return HWY_DYNAMIC_DISPATCH(max_2x2_picked_backward)(s, picked, dy, dx);
  std::fill_n(dx, s.H * s.W, 0.0f);
  for_each_window(s, [&](int64_t window, const Run& rows, const Run& columns) {
    const int64_t place = picked[window];
    dx[(rows.begin + place / s.S) * s.W + columns.begin + place % s.S] = dy[window];
  });
}

void CpuFloat32::max_pool2d(const Pool2dShape& s, const float* x, float* y, int64_t* indices) {
  const int64_t HW = s.H * s.W, PQ = s.P() * s.Q();
  for_each_plane(s, [&](int64_t plane) {
    max_pool2d_plane(s, x + plane * HW, y + plane * PQ, indices ? indices + plane * PQ : nullptr);
  });
}

void CpuFloat32::max_pool2d_backward(const Pool2dShape& s, const int64_t* indices, const float* dy, float* dx) {
  const int64_t HW = s.H * s.W, PQ = s.P() * s.Q();
  const bool windows_of_2 = is_2x2(s);
  for_each_plane(s, [&](int64_t plane) {
    const int64_t* const index = indices + plane * PQ;
    const float* const in = dy + plane * PQ;
    float* const out = dx + plane * HW;
    if (windows_of_2) return HWY_DYNAMIC_DISPATCH(max_2x2_backward)(s, index, in, out);
    std::fill_n(out, HW, 0.0f);
    for (int64_t i = 0; i < PQ; ++i) out[index[i]] += in[i];
  });
}

void CpuFloat32::avg_pool2d(const Pool2dShape& s, const float* x, float* y) {
  const int64_t HW = s.H * s.W, PQ = s.P() * s.Q();
  for_each_plane(s, [&](int64_t plane) {
    for_each_window(s, [&](int64_t window, const Run& rows, const Run& columns) {
      double total = 0;
      for (int64_t h = rows.begin; h < rows.end; ++h) {
        for (int64_t w = columns.begin; w < columns.end; ++w) total += x[plane * HW + h * s.W + w];
      }
      y[plane * PQ + window] = static_cast<float>(total / static_cast<double>(divisor_of(s.divisor, rows, columns)));
    });
  });
}

void CpuFloat32::avg_pool2d_backward(const Pool2dShape& s, const float* dy, float* dx) {
  const int64_t HW = s.H * s.W, PQ = s.P() * s.Q();
  for_each_plane(s, [&](int64_t plane) {
    float* out = dx + plane * HW;
    std::fill_n(out, HW, 0.0f);
    for_each_window(s, [&](int64_t window, const Run& rows, const Run& columns) {
      const float g = dy[plane * PQ + window] / static_cast<float>(divisor_of(s.divisor, rows, columns));
      for (int64_t h = rows.begin; h < rows.end; ++h) {
        for (int64_t w = columns.begin; w < columns.end; ++w) out[h * s.W + w] += g;
      }
    });
  });
}

}  // namespace tern::kernels
#endif
