/// Interpolation of planes, by rows that the threads share: along the rows by a table of where each element comes from,
/// and between two rows by whole rows, which the compiler turns into vectors. Reads x and writes y once, 4 bytes an
/// element.

#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/memory.hpp>
#include <tern/kernels/cpu/threads.hpp>
#include <tern/kernels/interpolate2d.hpp>

#include <algorithm>
#include <utility>
#include <vector>

namespace tern::kernels {
namespace {

using Source = InterpolationSource<int64_t, float>;
using Axis = InterpolationAxis<int64_t, float>;

std::vector<Source> sources(const Axis& axis) {
  std::vector<Source> all;
  for (int64_t p = 0; p < axis.out; ++p) all.push_back(axis.source(p));
  return all;
}

/// Calls f(begin, end) for ranges of the rows of `width` elements, several thousand elements at least.
template <class F>
void for_rows(int64_t rows, int64_t width, const F& f) {
  parallel_for(rows, std::max<int64_t>(1, (1 << 13) / std::max<int64_t>(width, 1)), f);
}

}  // namespace

void CpuFloat32::interpolate2d(const Interpolate2dShape& s, const float* x, float* y) {
  const Axis rows = rows_of<float>(s);
  const std::vector<Source> columns = sources(columns_of<float>(s));
  for_rows(s.N * s.P, s.Q, [&](int64_t begin, int64_t end) {
    // Rows of x that are as wide as y: of the last two, since those of y that follow each other mostly need the same.
    Scratch<float> wide(2 * s.Q);
    int64_t held[2] = {-1, -1};
    const auto widened = [&](int64_t row) {
      const int which = static_cast<int>(row % 2);
      float* const to = wide.data() + which * s.Q;
      if (std::exchange(held[which], row) == row) return to;
      const float* const from = x + row * s.W;
      if (s.linear) {
        for (int64_t q = 0; q < s.Q; ++q) {
          const Source& c = columns[static_cast<std::size_t>(q)];
          to[q] = (1 - c.weight) * from[c.at] + c.weight * from[c.next];
        }
      } else {
        for (int64_t q = 0; q < s.Q; ++q) to[q] = from[columns[static_cast<std::size_t>(q)].at];
      }
      return to;
    };
    for (int64_t i = begin; i < end; ++i) {
      const Source row = rows.source(i % s.P);
      const int64_t first = i / s.P * s.H;
      float* const out = y + i * s.Q;
      const float* const upper = widened(first + row.at);
      if (!s.linear) {
        std::copy_n(upper, s.Q, out);
        continue;
      }
      const float* const lower = widened(first + row.next);
      const float down = row.weight, up = 1 - down;
      for (int64_t q = 0; q < s.Q; ++q) out[q] = up * upper[q] + down * lower[q];
    }
  });
}

void CpuFloat32::interpolate2d_backward(const Interpolate2dShape& s, const float* dy, float* dx) {
  const Axis rows = rows_of<float>(s);
  const std::vector<Source> columns = sources(columns_of<float>(s)), from = sources(rows);
  std::vector<int64_t> first, last;
  for (int64_t h = 0; h < s.H; ++h) {
    first.push_back(rows.first_with(h));
    last.push_back(rows.first(h + 1));
  }
  for_rows(s.N * s.H, s.W, [&](int64_t begin, int64_t end) {
    Scratch<float> wide(s.Q);  // the gradient by a row of x that is as wide as y
    for (int64_t i = begin; i < end; ++i) {
      const int64_t h = i % s.H;
      std::fill_n(wide.data(), s.Q, 0.0F);
      for (int64_t p = first[static_cast<std::size_t>(h)]; p < last[static_cast<std::size_t>(h)]; ++p) {
        const Source& row = from[static_cast<std::size_t>(p)];
        const float* const in = dy + (i / s.H * s.P + p) * s.Q;
        float* const sum = wide.data();
        const auto add = [&](float share) {
          for (int64_t q = 0; q < s.Q; ++q) sum[q] += share * in[q];
        };
        if (row.at == h) add(1 - row.weight);
        if (row.next == h) add(row.weight);
      }
      float* const out = dx + i * s.W;
      std::fill_n(out, s.W, 0.0F);
      for (int64_t q = 0; q < s.Q; ++q) {
        const Source& c = columns[static_cast<std::size_t>(q)];
        out[c.at] += (1 - c.weight) * wide.data()[q];
        if (s.linear) out[c.next] += c.weight * wide.data()[q];
      }
    }
  });
}

}  // namespace tern::kernels
