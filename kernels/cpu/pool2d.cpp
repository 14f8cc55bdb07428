/// Pooling over planes, which the threads share. Forward reads x and writes y and the indices, 4 + 4 / RS + 8 / RS
/// bytes to an input; backward reads the latter two and writes dx. Windows of 2 x 2 that neither overlap nor leave the
/// plane, the common case, go by vectors of windows; so do the largest elements of any windows at strides of 1 or 2,
/// but for those at the edges. All others go window by window.

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

/// best and where it is, at, after a look at one more element of each window: NaN is larger than any number, the first
/// of equals wins.
template <bool want_index, class D, class DI>
HWY_INLINE void take_larger(D, DI di, hn::Vec<D> value, hn::Vec<DI> where, hn::Vec<D>& best, hn::Vec<DI>& at) {
  const auto keep = hn::Or(hn::Le(value, best), hn::IsNaN(best));
  best = hn::IfThenElse(keep, best, value);
  if constexpr (want_index) at = hn::IfThenElse(hn::RebindMask(di, keep), at, where);
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

    const auto take = [&](hn::Vec<D> value, hn::Vec<decltype(di)> where)
                          HWY_ATTR { take_larger<want_index>(d, di, value, where, best, at); };
    take(right, hn::Add(at, one));
    take(below, at_below);
    take(last, hn::Add(at_below, one));
    hn::StoreU(best, d, y + q);
    if constexpr (want_index) store_places(di, at, index + q);
  }
  return q;
}

/// The windows [q, end) of one row of them, all their columns in the plane, at a stride of 1 or 2: unless they are less
/// than a vector, the last of which lies over others where it does not fit. Returns the first that is left. At a stride
/// of 2 a column's elements are loaded together with those between them, which are the next column's or the last one's.
template <bool want_index, class D>
HWY_INLINE int64_t max_inside_row(D d, const Pool2dShape& s, int64_t q, int64_t end, const PoolWindow<int64_t>& rows,
                                  const float* x, float* y, int64_t* index) {
  const hn::RebindToSigned<D> di;
  const int64_t lanes = hn::Lanes(d), step = s.stride_w;
  if (end - q < lanes) return q;
  const auto windows = hn::Mul(hn::Iota(di, 0), hn::Set(di, static_cast<int32_t>(step)));  // places of their columns 0
  for (;; q = std::min(q + lanes, end - lanes)) {
    const int64_t left = q * step - s.pad_w, first = rows.begin * s.W + left;
    auto best = hn::Zero(d);
    auto at = hn::Zero(di);
    const auto take = [&](int64_t place, hn::Vec<D> value) HWY_ATTR {
      const auto where = hn::Add(windows, hn::Set(di, static_cast<int32_t>(place)));
      if (place != first) return take_larger<want_index>(d, di, value, where, best, at);
      best = value;
      at = where;
    };
    for (int64_t h = rows.begin; h < rows.end; h += s.dilation_h) {
      const int64_t row = h * s.W + left;
      for (int64_t t = 0; t < s.S; ++t) {
        const int64_t place = row + t * s.dilation_w;
        const bool pair = s.dilation_w == 1 && t + 1 < s.S;
        hn::Vec<D> even, odd;
        if (step == 1) {
          take(place, hn::LoadU(d, x + place));
        } else if (t == 0 || pair) {
          hn::LoadInterleaved2(d, x + place, even, odd);
          take(place, even);
          if (pair) take(place + 1, odd), ++t;
        } else {
          hn::LoadInterleaved2(d, x + place - 1, even, odd);
          take(place, odd);
        }
      }
    }
    hn::StoreU(best, d, y + q);
    if constexpr (want_index) store_places(di, at, index + q);
    if (q + lanes == end) return end;
  }
}

template <bool want_index>
int64_t max_inside_rows(const Pool2dShape& s, int64_t q, int64_t end, const PoolWindow<int64_t>& rows, const float* x,
                        float* y, int64_t* index) {
  q = max_inside_row<want_index>(hn::ScalableTag<float>(), s, q, end, rows, x, y, index);
  q = max_inside_row<want_index>(hn::CappedTag<float, 8>(), s, q, end, rows, x, y, index);
  return max_inside_row<want_index>(hn::CappedTag<float, 4>(), s, q, end, rows, x, y, index);
}
int64_t max_inside(const Pool2dShape& s, int64_t q, int64_t end, const PoolWindow<int64_t>& rows, const float* x,
                   float* y, int64_t* index) {
  return index ? max_inside_rows<true>(s, q, end, rows, x, y, index)
               : max_inside_rows<false>(s, q, end, rows, x, y, index);
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
HWY_EXPORT(max_inside);
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
  const PoolAxis<int64_t> down = rows_of(s), across = columns_of(s);
  // The windows [inside, end) have all their columns in the plane, and at a stride of 2 another one to the right of
  // them or within them.
  const bool by_vectors = !s.adaptive && s.stride_w <= 2 && s.H * s.W < (int64_t{1} << 31);
  const int64_t inside = by_vectors ? (s.pad_w + s.stride_w - 1) / s.stride_w : across.out;
  const int64_t room = s.W + s.pad_w - s.dilation_w * (s.S - 1) - (s.S == 1 ? s.stride_w : 1);
  const int64_t end = room < 0 ? 0 : std::min(across.out, room / s.stride_w + 1);
  const auto windows_inside = HWY_DYNAMIC_DISPATCH(max_inside);
  for (int64_t p = 0; p < down.out; ++p, y += across.out, indices += indices ? across.out : 0) {
    const Run rows = down.window(p);
    for (int64_t q = 0; q < across.out; ++q) {
      if (q == inside) q = windows_inside(s, q, end, rows, x, y, indices);
      if (q == across.out) break;
      const Run columns = across.window(q);
      int64_t best = rows.begin * s.W + columns.begin;
      for (int64_t h = rows.begin; h < rows.end; h += s.dilation_h) {
        for (int64_t at = h * s.W + columns.begin; at < h * s.W + columns.end; at += s.dilation_w) {
          if (x[at] > x[best] || (x[at] != x[at] && x[best] == x[best])) best = at;
        }
      }
      y[q] = x[best];
      if (indices) indices[q] = best;
    }
  }
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
