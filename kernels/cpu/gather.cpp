/// Elements with an index of their own each, and rows sorted. The threads share rows of the outer dimension, or
/// stretches of the inner one, in which each goes in the order of the indices: sums are the same for any number of
/// threads.

#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/threads.hpp>
#include <tern/kernels/integer.hpp>
#include <tern/kernels/sort.hpp>

#include <algorithm>
#include <vector>

namespace tern::kernels {

namespace {

constexpr int64_t piece = 1 << 14;  // elements worth a thread's while

/// Calls f(element of `full`, element of `picked`) for each index; all of one element of `full` on one thread, in
/// order.
template <class F>
void for_each_target(const ReduceShape& r, int64_t count, const int64_t* index, const F& f) {
  constexpr int64_t width = 512;
  const int64_t strips = (r.inner + width - 1) / width;
  const int64_t work = std::max<int64_t>(1, count * std::min(r.inner, width));
  parallel_for(r.outer * strips, std::max<int64_t>(1, piece / work), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t o = task / strips, first = task % strips * width, last = std::min(first + width, r.inner);
      for (int64_t j = 0; j < count; ++j) {
        const int64_t row = (o * count + j) * r.inner;
        for (int64_t i = first; i < last; ++i) f((o * r.n + index[row + i]) * r.inner + i, row + i);
      }
    }
  });
}

}  // namespace

template <class T>
void CpuArray<T>::gather(const ReduceShape& r, int64_t count, const T* full, const int64_t* index, T* picked) {
  const int64_t grain = std::max<int64_t>(1, piece / std::max<int64_t>(1, r.inner));
  parallel_for(r.outer * count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin, o = begin / count, j = begin % count; row < end; ++row) {
      const T* const from = full + o * r.n * r.inner;
      for (int64_t i = 0; i < r.inner; ++i) {
        picked[row * r.inner + i] = from[index[row * r.inner + i] * r.inner + i];
      }
      if (++j == count) j = 0, ++o;
    }
  });
}

template <class T>
void CpuArray<T>::scatter(const ReduceShape& r, int64_t count, const int64_t* index, const T* picked, T* full) {
  for_each_target(r, count, index, [&](int64_t to, int64_t from) { full[to] = picked[from]; });
}

template <class T>
void CpuArray<T>::scatter_add(const ReduceShape& r, int64_t count, const int64_t* index, const T* picked, T* full) {
  for_each_target(r, count, index, [&](int64_t to, int64_t from) {
    full[to] = static_cast<T>(static_cast<Wrapping<T>>(full[to]) + static_cast<Wrapping<T>>(picked[from]));
  });
}

/// A row is sorted as pairs of value and place, which no two are equal in, so that a partial sort keeps the order, too.
template <class T>
void CpuArray<T>::sort(int64_t rows, int64_t n, int64_t k, bool descending, const T* x, T* y, int64_t* indices) {
  struct Element {
    T value;
    int64_t index;
  };
  parallel_for(rows, std::max<int64_t>(1, piece / 8 / std::max<int64_t>(1, n)), [&](int64_t begin, int64_t end) {
    std::vector<Element> row(n);
    const auto less = [descending](const Element& a, const Element& b) {
      if (comes_before(a.value, b.value, descending)) return true;
      return a.index < b.index && !comes_before(b.value, a.value, descending);
    };
    for (int64_t o = begin; o < end; ++o) {
      for (int64_t i = 0; i < n; ++i) row[i] = {x[o * n + i], i};
      if (k <= n / 8) {
        std::partial_sort(row.begin(), row.begin() + k, row.end(), less);
      } else {
        std::sort(row.begin(), row.end(), less);
      }
      for (int64_t i = 0; i < k; ++i) {
        y[o * k + i] = row[i].value;
        indices[o * k + i] = row[i].index;
      }
    }
  });
}

template void CpuArray<float>::gather(const ReduceShape&, int64_t, const float*, const int64_t*, float*);
template void CpuArray<float>::scatter(const ReduceShape&, int64_t, const int64_t*, const float*, float*);
template void CpuArray<float>::scatter_add(const ReduceShape&, int64_t, const int64_t*, const float*, float*);
template void CpuArray<float>::sort(int64_t, int64_t, int64_t, bool, const float*, float*, int64_t*);
template void CpuArray<double>::gather(const ReduceShape&, int64_t, const double*, const int64_t*, double*);
template void CpuArray<double>::scatter(const ReduceShape&, int64_t, const int64_t*, const double*, double*);
template void CpuArray<double>::scatter_add(const ReduceShape&, int64_t, const int64_t*, const double*, double*);
template void CpuArray<double>::sort(int64_t, int64_t, int64_t, bool, const double*, double*, int64_t*);
template void CpuArray<int64_t>::gather(const ReduceShape&, int64_t, const int64_t*, const int64_t*, int64_t*);
template void CpuArray<int64_t>::scatter(const ReduceShape&, int64_t, const int64_t*, const int64_t*, int64_t*);
template void CpuArray<int64_t>::scatter_add(const ReduceShape&, int64_t, const int64_t*, const int64_t*, int64_t*);
template void CpuArray<int64_t>::sort(int64_t, int64_t, int64_t, bool, const int64_t*, int64_t*, int64_t*);
template void CpuArray<uint8_t>::gather(const ReduceShape&, int64_t, const uint8_t*, const int64_t*, uint8_t*);
template void CpuArray<uint8_t>::scatter(const ReduceShape&, int64_t, const int64_t*, const uint8_t*, uint8_t*);
template void CpuArray<uint8_t>::scatter_add(const ReduceShape&, int64_t, const int64_t*, const uint8_t*, uint8_t*);
template void CpuArray<uint8_t>::sort(int64_t, int64_t, int64_t, bool, const uint8_t*, uint8_t*, int64_t*);

}  // namespace tern::kernels
