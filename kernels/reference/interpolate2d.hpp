#pragma once

#include <tern/kernels/interpolate2d.hpp>
#include <tern/kernels/reference/reference.hpp>

#include <vector>

namespace tern::kernels {

/// Calls f(ix, iy, weight) for every part of every element of y: x[ix] goes to y[iy] with this weight.
template <class T, class F>
void for_each_source(const Interpolate2dShape& s, F f) {
  const auto rows = rows_of<T>(s);
  const auto columns = columns_of<T>(s);
  for (int64_t n = 0; n < s.N; ++n) {
    for (int64_t p = 0; p < s.P; ++p) {
      for (int64_t q = 0; q < s.Q; ++q) {
        const auto row = rows.source(p), column = columns.source(q);
        const int64_t upper = (n * s.H + row.at) * s.W, lower = (n * s.H + row.next) * s.W,
                      iy = (n * s.P + p) * s.Q + q;
        if (!s.linear) {
          f(upper + column.at, iy, 1.0);
          continue;
        }
        const double down = row.weight, right = column.weight;
        f(upper + column.at, iy, (1 - down) * (1 - right));
        f(upper + column.next, iy, (1 - down) * right);
        f(lower + column.at, iy, down * (1 - right));
        f(lower + column.next, iy, down * right);
      }
    }
  }
}

template <class T>
void ReferenceFloat<T>::interpolate2d(const Interpolate2dShape& s, const T* x, T* y) {
  std::vector<double> total(s.N * s.P * s.Q);
  for_each_source<T>(s, [&](int64_t ix, int64_t iy, double weight) { total[iy] += weight * x[ix]; });
  for (std::size_t i = 0; i < total.size(); ++i) y[i] = static_cast<T>(total[i]);
}

template <class T>
void ReferenceFloat<T>::interpolate2d_backward(const Interpolate2dShape& s, const T* dy, T* dx) {
  std::vector<double> total(s.N * s.H * s.W);
  for_each_source<T>(s, [&](int64_t ix, int64_t iy, double weight) { total[ix] += weight * dy[iy]; });
  for (std::size_t i = 0; i < total.size(); ++i) dx[i] = static_cast<T>(total[i]);
}

}  // namespace tern::kernels
