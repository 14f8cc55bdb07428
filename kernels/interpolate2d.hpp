#pragma once

/// Which elements of x an element of an interpolation is made of, along one axis.

#include <tern/kernels/backend.hpp>

namespace tern::kernels {

/// y = (1 - weight) x[at] + weight x[next], where next is at itself behind the last element. The nearest is x[at]
/// alone, next -1.
template <class I, class T>
struct InterpolationSource {
  I at, next;
  T weight;

  /// What element i gets of the gradient g.
  TERN_HOST_DEVICE T part_of(I i, T g) const {
    return (at == i ? (1 - weight) * g : T{0}) + (next == i ? weight * g : T{0});
  }
};

/// `in` elements become `out`. Places are computed in T, of the nearest in float: PyTorch's, in the same order.
template <class I, class T>
struct InterpolationAxis {
  I in, out;
  bool linear;
  T scale, outer, inner;

  /// What element p of y is made of.
  TERN_HOST_DEVICE InterpolationSource<I, T> source(I p) const {
    if (!linear) {
      const I at = static_cast<I>((static_cast<float>(p) + static_cast<float>(outer)) * static_cast<float>(scale));
      const I nearest = at < in ? at : in - 1;
      return {nearest, -1, 0};
    }
    const T place = scale * (static_cast<T>(p) + outer) - inner;
    if (!(place > 0)) return {0, in > 1 ? 1 : 0, 0};
    const I before = static_cast<I>(place), at = before < in ? before : in - 1;
    return {at, at < in - 1 ? at + 1 : at, place - static_cast<T>(at)};
  }

  /// The first of y's elements that comes from x[at] and what follows it, or from further on; `out` where none does.
  TERN_HOST_DEVICE I first(I at) const {
    const T guess = scale > 0 ? (static_cast<T>(at) + inner) / scale - outer : T{0};
    I p = guess > 0 ? guess < static_cast<T>(out) ? static_cast<I>(guess) : out : 0;
    while (p > 0 && source(p - 1).at >= at) --p;
    while (p < out && source(p).at < at) ++p;
    return p;
  }
  /// The elements of y that x[i] has a share in: from first_with(i) to before first(i + 1).
  TERN_HOST_DEVICE I first_with(I i) const { return first(linear && i > 0 ? i - 1 : i); }
};

/// Of an interpolation's height, or width.
/// @{
template <class T, class I = int64_t>
InterpolationAxis<I, T> rows_of(const Interpolate2dShape& s) {
  return {static_cast<I>(s.H),       static_cast<I>(s.P),     s.linear,
          static_cast<T>(s.scale_h), static_cast<T>(s.outer), static_cast<T>(s.inner)};
}
template <class T, class I = int64_t>
InterpolationAxis<I, T> columns_of(const Interpolate2dShape& s) {
  return {static_cast<I>(s.W),       static_cast<I>(s.Q),     s.linear,
          static_cast<T>(s.scale_w), static_cast<T>(s.outer), static_cast<T>(s.inner)};
}

/// @}

}  // namespace tern::kernels
