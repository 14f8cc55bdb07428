/// Kernels for elements of any type: plain loops that the compiler turns into vectors, at the speed of memory. Strided
/// walks are first brought to as few dimensions as they need, so that their inner loop runs along dense or repeated
/// operands where there are any. The threads share outputs, never a sum, but for sums into few outputs: see `sum`.

#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/memory.hpp>
#include <tern/kernels/cpu/threads.hpp>
#include <tern/kernels/integer.hpp>
#include <tern/kernels/strided.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

namespace tern::kernels {

namespace {

constexpr int64_t piece = 1 << 15;  // elements worth a thread's while

/// The same walk in as few dimensions as it takes, and at least one.
Strided walk_of(const Strided& s) {
  const Strided t = simplified(s);
  return t.ndim > 0 ? t : Strided{.ndim = 1, .size = {1}, .a = {1}, .b = {1}};
}

/// Calls f(i, a, b, n) for runs of n elements along the last dimension of a simplified walk: the first is the i-th of
/// the walk and lies at a and b.
template <class F>
void for_each_run(const Strided& s, const F& f) {
  const int inner = s.ndim - 1;
  const int64_t total = s.numel(), n = s.size[inner];
  if (total == 0) return;
  if (inner == 0) {
    parallel_for(n, piece, [&](int64_t begin, int64_t end) { f(begin, begin * s.a[0], begin * s.b[0], end - begin); });
    return;
  }
  parallel_for(total / n, std::max<int64_t>(1, piece / n), [&](int64_t begin, int64_t end) {
    int64_t at[max_dims] = {}, a = 0, b = 0;
    for (int64_t d = inner - 1, rest = begin; d >= 0; rest /= s.size[d], --d) {
      at[d] = rest % s.size[d];
      a += at[d] * s.a[d];
      b += at[d] * s.b[d];
    }
    for (int64_t run = begin; run < end; ++run) {
      f(run * n, a, b, n);
      for (int d = inner - 1; d >= 0; --d) {
        a += s.a[d];
        b += s.b[d];
        if (++at[d] < s.size[d]) break;
        a -= s.size[d] * s.a[d];
        b -= s.size[d] * s.b[d];
        at[d] = 0;
      }
    }
  });
}

/// y[i] = f(a[i * step_a], b[i * step_b]). y may be a or b where these are dense.
template <class T, class F>
void combine(int64_t n, const T* a, int64_t step_a, const T* b, int64_t step_b, T* y, const F& f) {
  if (step_a == 1 && step_b == 1) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
  } else if (step_a == 1 && step_b == 0) {
    const T value = *b;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], value);
  } else if (step_a == 0 && step_b == 1) {
    const T value = *a;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = f(value, b[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = f(a[i * step_a], b[i * step_b]);
  }
}

/// Calls f with the operation as a function object.
template <class T, class F>
void with_operation(BinaryOp op, const F& f) {
  switch (op) {
    case BinaryOp::add:
      return f([](T a, T b) { return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b)); });
    case BinaryOp::sub:
      return f([](T a, T b) { return static_cast<T>(static_cast<Wrapping<T>>(a) - static_cast<Wrapping<T>>(b)); });
    case BinaryOp::mul:
      return f([](T a, T b) { return static_cast<T>(static_cast<Wrapping<T>>(a) * static_cast<Wrapping<T>>(b)); });
    case BinaryOp::div:
      if constexpr (std::is_floating_point_v<T>) {
        return f([](T a, T b) { return a / b; });
      } else {
        return f([](T a, T b) { return quotient(a, b); });
      }
    case BinaryOp::maximum:  // a comparison with NaN is false: the operand that is NaN is taken
      return f([](T a, T b) { return a > b || a != a ? a : b; });
    case BinaryOp::minimum:
      return f([](T a, T b) { return a < b || a != a ? a : b; });
  }
}

/// Sums run in double; those of integers wrap.
template <class T>
using Total = std::conditional_t<std::is_floating_point_v<T>, double, Wrapping<T>>;

/// The sum of n neighbours, as eight sums of every eighth element.
template <class T>
Total<T> sum_of(int64_t n, const T* x) {
  Total<T> lane[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int l = 0; l < 8; ++l) lane[l] += x[i + l];
  }
  for (int l = 0; i < n; ++i, ++l) lane[l] += x[i];
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

}  // namespace

template <class T>
void CpuArray<T>::fill(int64_t n, T value, T* y) {
  parallel_for(n, piece, [&](int64_t begin, int64_t end) { std::fill(y + begin, y + end, value); });
}

template <class T>
void CpuArray<T>::copy(const Strided& s, const T* a, T* b) {
  const Strided t = walk_of(s);
  const int64_t step_a = t.a[t.ndim - 1], step_b = t.b[t.ndim - 1];
  for_each_run(t, [&](int64_t, int64_t at_a, int64_t at_b, int64_t n) {
    const T* from = a + at_a;
    T* to = b + at_b;
    if (step_a == 1 && step_b == 1) {
      std::memcpy(to, from, n * sizeof(T));
    } else if (step_a == 0 && step_b == 1) {
      std::fill_n(to, n, *from);
    } else {
      for (int64_t i = 0; i < n; ++i) to[i * step_b] = from[i * step_a];
    }
  });
}

template <class T>
void CpuArray<T>::binary(BinaryOp op, const Strided& s, const T* a, const T* b, T* y) {
  const Strided t = walk_of(s);
  const int64_t step_a = t.a[t.ndim - 1], step_b = t.b[t.ndim - 1];
  with_operation<T>(op, [&](auto f) {
    for_each_run(t, [&](int64_t i, int64_t at_a, int64_t at_b, int64_t n) {
      combine(n, a + at_a, step_a, b + at_b, step_b, y + i, f);
    });
  });
}

template <class T>
void CpuArray<T>::masked_fill(int64_t n, const uint8_t* mask, T value, const T* x, T* y) {
  parallel_for(n, piece, [&](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) y[i] = mask[i] ? value : x[i];
  });
}

template <class T>
void CpuArray<T>::where(const Strided& s, const T* a, const uint8_t* mask, const T* b, T* y) {
  const Strided t = walk_of(s);
  const int64_t step_a = t.a[t.ndim - 1], step_mask = t.b[t.ndim - 1];
  for_each_run(t, [&](int64_t i, int64_t at_a, int64_t at_mask, int64_t n) {
    const T* const from = a + at_a;
    const uint8_t* const m = mask + at_mask;
    if (step_a == 1 && step_mask == 1) {
#pragma omp simd
      for (int64_t j = 0; j < n; ++j) y[i + j] = m[j] ? from[j] : b[i + j];
    } else {
      for (int64_t j = 0; j < n; ++j) y[i + j] = m[j * step_mask] ? from[j * step_a] : b[i + j];
    }
  });
}

/// r.outer * r.n * r.inner additions, each element read once. Sums along rows (inner = 1) of many elements go by blocks
/// of a fixed length, whose totals are then added up in order; sums down columns take 256 columns at a time.
template <class T>
void CpuArray<T>::sum(const ReduceShape& r, const T* x, T* y) {
  constexpr int64_t block = 1 << 14, columns = 256;
  if (r.inner == 1) {
    const int64_t blocks = std::max<int64_t>(1, (r.n + block - 1) / block);
    Scratch<Total<T>> total(r.outer * blocks);
    parallel_for(r.outer * blocks, std::max<int64_t>(1, piece / std::max<int64_t>(1, std::min(r.n, block))),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; ++i) {
                     const int64_t first = i % blocks * block;
                     total[i] = sum_of(std::min(block, r.n - first), x + i / blocks * r.n + first);
                   }
                 });
    for (int64_t o = 0; o < r.outer; ++o) {
      Total<T> all = total[o * blocks];
      for (int64_t i = 1; i < blocks; ++i) all += total[o * blocks + i];
      y[o] = static_cast<T>(all);
    }
    return;
  }
  const int64_t strips = (r.inner + columns - 1) / columns;
  const int64_t work = std::max<int64_t>(1, r.n * std::min(r.inner, columns));
  parallel_for(r.outer * strips, std::max<int64_t>(1, piece / work), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t o = task / strips, first = task % strips * columns, n = std::min(columns, r.inner - first);
      Total<T> total[columns] = {};
      for (int64_t j = 0; j < r.n; ++j) {
        const T* row = x + (o * r.n + j) * r.inner + first;
        for (int64_t i = 0; i < n; ++i) total[i] += row[i];
      }
      for (int64_t i = 0; i < n; ++i) y[o * r.inner + first + i] = static_cast<T>(total[i]);
    }
  });
}

template <class T>
void CpuArray<T>::index_select(const ReduceShape& r, int64_t count, const T* x, const int64_t* index, T* y) {
  const int64_t grain = std::max<int64_t>(1, piece / std::max<int64_t>(1, r.inner));
  parallel_for(r.outer * count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::copy_n(x + (i / count * r.n + index[i % count]) * r.inner, r.inner, y + i * r.inner);
    }
  });
}

template class CpuArray<float>;
template class CpuArray<double>;
template class CpuArray<int64_t>;
template class CpuArray<uint8_t>;

}  // namespace tern::kernels
