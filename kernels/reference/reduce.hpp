#pragma once

#include <tern/kernels/integer.hpp>
#include <tern/kernels/reference/reference.hpp>

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace tern::kernels {

/// What a sum of T runs in: double for floats, integers wrap.
template <class T>
using Accumulator = std::conditional_t<std::is_floating_point_v<T>, double, Wrapping<T>>;

/// Whether a takes the place of best in `extreme`: NaN wins over any number, the first of equals stays.
template <class T>
constexpr bool beats(T a, T best, Extreme which = Extreme::max) {
  return (which == Extreme::max ? a > best : a < best) || (a != a && best == best);
}

/// What n numbers become, `stride` apart.
template <class T>
T reduced(const Reduce& f, int64_t n, int64_t stride, const T* x) {
  Accumulator<T> total = f.op == ReduceOp::prod ? 1 : f.p == -INFINITY ? static_cast<Accumulator<T>>(INFINITY) : 0;
  for (int64_t j = 0; j < n; ++j) {
    const Accumulator<T> v = x[j * stride];
    if (f.op == ReduceOp::sum) total += v;
    if (f.op == ReduceOp::prod) total *= v;
    if constexpr (std::is_floating_point_v<T>) {
      if (f.op != ReduceOp::norm) continue;
      if (f.p == 0) {
        total += v != 0;
      } else if (std::isinf(f.p)) {
        if (beats(std::abs(v), total, f.p > 0 ? Extreme::max : Extreme::min)) total = std::abs(v);
      } else {
        total += f.p == 1 ? std::abs(v) : f.p == 2 ? v * v : std::pow(std::abs(v), f.p);
      }
    }
  }
  if constexpr (std::is_floating_point_v<T>) {
    const bool rooted = f.op == ReduceOp::norm && f.p != 0 && f.p != 1 && !std::isinf(f.p);
    if (rooted) total = f.p == 2 ? std::sqrt(total) : std::pow(total, 1 / f.p);
  }
  return static_cast<T>(total);
}

/// Calls f(column, at) for each column of x: where its first element lies, and where the result's.
template <class F>
void for_each_column(const ReduceShape& r, F f) {
  for (int64_t o = 0; o < r.outer; ++o) {
    for (int64_t i = 0; i < r.inner; ++i) f(o * r.n * r.inner + i, o * r.inner + i);
  }
}

template <class T>
void ReferenceArray<T>::reduce(const Reduce& f, const ReduceShape& r, const T* x, T* y) {
  for_each_column(r, [&](int64_t column, int64_t at) { y[at] = reduced(f, r.n, r.inner, x + column); });
}

template <class T>
void ReferenceArray<T>::extreme(Extreme which, const ReduceShape& r, const T* x, T* y, int64_t* indices) {
  for_each_column(r, [&](int64_t column, int64_t at) {
    int64_t best = 0;
    for (int64_t j = 1; j < r.n; ++j) {
      if (beats(x[column + j * r.inner], x[column + best * r.inner], which)) best = j;
    }
    if (y) y[at] = x[column + best * r.inner];
    if (indices) indices[at] = best;
  });
}

template <class T>
void ReferenceArray<T>::extreme_backward(const ReduceShape& r, const int64_t* indices, const T* dy, T* dx) {
  for_each_column(r, [&](int64_t column, int64_t at) {
    for (int64_t j = 0; j < r.n; ++j) dx[column + j * r.inner] = indices[at] == j ? dy[at] : T{0};
  });
}

template <class T>
void ReferenceArray<T>::scan(ScanOp op, bool reverse, const ReduceShape& r, const T* x, T* y) {
  for_each_column(r, [&](int64_t column, int64_t) {
    Accumulator<T> total = op == ScanOp::sum ? 0 : 1;
    for (int64_t j = 0; j < r.n; ++j) {
      const int64_t at = column + (reverse ? r.n - 1 - j : j) * r.inner;
      total = op == ScanOp::sum ? total + x[at] : total * x[at];
      y[at] = static_cast<T>(total);
    }
  });
}

template <class T>
void ReferenceArray<T>::scan(Extreme which, const ReduceShape& r, const T* x, T* y, int64_t* indices) {
  for_each_column(r, [&](int64_t column, int64_t) {
    int64_t best = 0;
    for (int64_t j = 0; j < r.n; ++j) {
      if (!beats(x[column + best * r.inner], x[column + j * r.inner], which)) best = j;  // the last of equals
      y[column + j * r.inner] = x[column + best * r.inner];
      indices[column + j * r.inner] = best;
    }
  });
}

template <class T>
void ReferenceFloat<T>::var(const ReduceShape& r, double correction, const T* x, T* mean, T* var) {
  for_each_column(r, [&](int64_t column, int64_t at) {
    double sum = 0, squares = 0;
    for (int64_t j = 0; j < r.n; ++j) sum += x[column + j * r.inner];
    const double n = static_cast<double>(r.n), m = sum / n;
    for (int64_t j = 0; j < r.n; ++j) squares += (x[column + j * r.inner] - m) * (x[column + j * r.inner] - m);
    mean[at] = static_cast<T>(m);
    var[at] = static_cast<T>(squares / std::max(n - correction, 0.0));
  });
}

template <class T>
void ReferenceFloat<T>::cumprod_backward(const ReduceShape& r, bool reverse, const T* x, const T* dy, T* dx) {
  for_each_column(r, [&](int64_t column, int64_t) {
    double before = 1, after = 0;  // the product of the elements before; the gradient by the product up to the element
    const auto at = [&](int64_t j) { return column + (reverse ? r.n - 1 - j : j) * r.inner; };
    for (int64_t j = 0; j < r.n; ++j) {
      dx[at(j)] = static_cast<T>(before);
      before *= x[at(j)];
    }
    for (int64_t j = r.n - 1; j >= 0; --j) {
      after += dy[at(j)];
      dx[at(j)] = static_cast<T>(dx[at(j)] * after);
      after *= x[at(j)];
    }
  });
}

}  // namespace tern::kernels
