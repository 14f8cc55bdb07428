#pragma once

/// How kernels walk over pooling windows.

#include <tern/kernels/cuda/device.cuh>
#include <tern/kernels/pool2d.hpp>

#include <algorithm>

namespace tern::kernels::cuda {

/// The elements of one plane that a window covers, without its padding, and what an average divides by.
template <class I>
struct Window {
  I top, bottom, left, right, divisor;
};

/// Pool2dShape with its numbers in I, x being `planes` of [H, W].
template <class I, bool plain = true>
struct Pool {
  I planes, H, W, P, Q, R, S, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, divisor;
  bool adaptive, count_include_pad;

  explicit Pool(const Pool2dShape& s)
      : planes(static_cast<I>(s.N * s.C)),
        H(static_cast<I>(s.H)),
        W(static_cast<I>(s.W)),
        P(static_cast<I>(s.P())),
        Q(static_cast<I>(s.Q())),
        R(static_cast<I>(s.R)),
        S(static_cast<I>(s.S)),
        stride_h(static_cast<I>(s.stride_h)),
        stride_w(static_cast<I>(s.stride_w)),
        pad_h(static_cast<I>(s.pad_h)),
        pad_w(static_cast<I>(s.pad_w)),
        dilation_h(static_cast<I>(s.dilation_h)),
        dilation_w(static_cast<I>(s.dilation_w)),
        divisor(static_cast<I>(s.divisor)),
        adaptive(s.adaptive),
        count_include_pad(s.count_include_pad) {}

  __device__ PoolAxis<I, plain> rows() const {
    return {H, P, R, stride_h, pad_h, dilation_h, adaptive, count_include_pad};
  }
  __device__ PoolAxis<I, plain> columns() const {
    return {W, Q, S, stride_w, pad_w, dilation_w, adaptive, count_include_pad};
  }
  __device__ Window<I> window(I p, I q) const {
    const PoolWindow<I> of = rows().window(p), by = columns().window(q);
    return {of.begin, of.end, by.begin, by.end, divisor_of(divisor, of, by)};
  }

  /// Calls f(y's number, x's plane, the window), for this thread's.
  template <class F>
  __device__ void for_each_window(F f) const {
    for (I e = grid_thread<I>(); e < planes * P * Q; e += grid_threads<I>()) {
      const I row = e / Q, q = e - row * Q, plane = row / P, p = row - plane * P;
      f(e, plane, window(p, q));
    }
  }

  /// The place in the plane `in` of the window's element whose f is the largest: the first of equals, and NaN before
  /// any number.
  template <class T, class F>
  __device__ I pick(const T* in, F f, Window<I> of) const {
    I best = of.top * W + of.left;
    T largest = f(in[best]);
    for (I h = of.top; h < of.bottom; h += plain ? 1 : dilation_h) {
      for (I w = of.left; w < of.right; w += plain ? 1 : dilation_w) {
        const T v = f(in[h * W + w]);
        if (v > largest || (v != v && largest == largest)) {
          largest = v;
          best = h * W + w;
        }
      }
    }
    return best;
  }

  /// The first place of the plane `in` within the window that holds v. There is one.
  template <class T>
  __device__ I first(const T* in, T v, Window<I> window) const {
    I h = window.top, w = window.left;
    while (in[h * W + w] != v) {
      if (++w == window.right) {
        w = window.left;
        ++h;
      }
    }
    return h * W + w;
  }

  /// Calls f(e, x's plane, the sum of part(y's number, x's plane, place in it, the window) over the windows that cover
  /// element e of x, or but for their dilation would), for this thread's.
  template <class T, class Part, class F>
  __device__ void gather(Part part, F f) const {
    for (I e = grid_thread<I>(); e < planes * H * W; e += grid_threads<I>()) {
      const I row = e / W, w = e - row * W, plane = row / H, h = row - plane * H;
      const I from_p = rows().first(h), to_p = rows().last(h), from_q = columns().first(w), to_q = columns().last(w);
      T total = 0;
#pragma unroll 1
      for (I p = from_p; p < to_p; ++p) {
#pragma unroll 1
        for (I q = from_q; q < to_q; ++q) {
          total += part((plane * P + p) * Q + q, plane, h * W + w, window(p, q));
        }
      }
      f(e, plane, total);
    }
  }
};

inline int64_t elements_in(const Pool2dShape& s) { return s.N * s.C * s.H * s.W; }
inline int64_t elements_out(const Pool2dShape& s) { return s.N * s.C * s.P() * s.Q(); }

/// Windows may be larger than all of x, where most of them is padding.
inline int64_t largest_number(const Pool2dShape& s) {
  const int64_t padded = std::max({s.H + 2 * s.pad_h + s.beyond_h, s.W + 2 * s.pad_w + s.beyond_w, s.R * s.S});
  const int64_t shared = s.adaptive ? std::max(s.R * (s.H + 1), s.S * (s.W + 1)) + s.H + s.W : 0;
  return std::max({elements_in(s), elements_out(s), padded, shared, s.divisor < 0 ? -s.divisor : s.divisor});
}

/// Of a pooling that is_plain().
template <class F>
void with_pool(const Pool2dShape& s, F f) {
  with_index(largest_number(s), [&]<class I>(I) { f(Pool<I>(s)); });
}

}  // namespace tern::kernels::cuda
