/// Kernels for elements of any type: plain loops that the compiler turns into vectors, at the speed of memory. Strided
/// walks are first brought to as few dimensions as they need, so that their inner loop runs along dense or repeated
/// operands where there are any. The threads share outputs, never a sum, but for sums into few outputs: see `sum`.

#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/memory.hpp>
#include <tern/kernels/cpu/sum.hpp>
#include <tern/kernels/cpu/threads.hpp>
#include <tern/kernels/integer.hpp>
#include <tern/kernels/reference/elementwise.hpp>
#include <tern/kernels/reference/reduce.hpp>
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
    default:
      return f([op](T a, T b) { return function_value(op, a, b); });
  }
}

/// Sums run in double; those of integers wrap.
template <class T>
using Total = std::conditional_t<std::is_floating_point_v<T>, double, Wrapping<T>>;

// Reductions by what they keep, `Kept`, of the numbers so far: `add` takes one more, which is x[j] of its column,
// `join` takes what another has kept of later ones, and `store` is given the column's place in the result.

template <class T>
struct Sum {
  using Kept = Total<T>;
  T* y;
  Kept none(const T*) const { return 0; }
  void add(Kept& kept, T x, int64_t) const { kept += x; }
  void join(Kept& kept, Kept other) const { kept += other; }
  void store(int64_t at, Kept kept) const { y[at] = static_cast<T>(kept); }
};

template <class T>
struct Prod : Sum<T> {
  using Kept = Total<T>;
  Kept none(const T*) const { return 1; }
  void add(Kept& kept, T x, int64_t) const { kept = static_cast<Kept>(kept * x); }
  void join(Kept& kept, Kept other) const { kept = static_cast<Kept>(kept * other); }
};

/// Of floats, each |x| as `map` has it.
template <class T, class Map>
struct Norm : Sum<T> {
  Map map;
  double root;
  void add(double& kept, T x, int64_t) const { kept += map(std::abs(static_cast<double>(x))); }
  void store(int64_t at, double kept) const {
    this->y[at] = static_cast<T>(root == 1 ? kept : root == 0.5 ? std::sqrt(kept) : std::pow(kept, root));
  }
};

/// Of floats: the numbers of a column less its first one, where that is finite, and the squares of these.
template <class T>
struct Moments {
  struct Kept {
    double shift, sum, squares;
  };
  double n, correction;
  T *mean, *var;
  Kept none(const T* column) const {
    return {n > 0 && std::isfinite(*column) ? static_cast<double>(*column) : 0, 0, 0};
  }
  void add(Kept& kept, T x, int64_t) const {
    const double d = static_cast<double>(x) - kept.shift;
    kept.sum += d;
    kept.squares += d * d;
  }
  void join(Kept& kept, const Kept& other) const {
    kept.sum += other.sum;
    kept.squares += other.squares;
  }
  /// The shift is one of the n numbers, so what cancels here is at most n times the result.
  void store(int64_t at, const Kept& kept) const {
    const double squares = kept.squares - kept.sum * (kept.sum / n);
    mean[at] = static_cast<T>(kept.shift + kept.sum / n);
    var[at] = static_cast<T>((squares < 0 ? 0 : squares) / std::max(n - correction, 0.0));
  }
};

template <class T, Extreme which>
struct Best {
  struct Kept {
    T value;
    int64_t index;
  };
  T* y;
  int64_t* indices;
  Kept none(const T* column) const { return {*column, 0}; }
  void add(Kept& kept, T x, int64_t j) const {
    if (beats(x, kept.value, which)) kept = {x, j};
  }
  void join(Kept& kept, const Kept& other) const {
    const bool loses = beats(kept.value, other.value, which);
    if (beats(other.value, kept.value, which) || (!loses && other.index < kept.index)) kept = other;
  }
  void store(int64_t at, const Kept& kept) const {
    if (y) y[at] = kept.value;
    if (indices) indices[at] = kept.index;
  }
};

/// Each element is read once. Rows (inner = 1) of many elements go by blocks of a fixed length, each as eight series of
/// every eighth element, which are then joined in order, sums of floats by vectors; what lies in columns goes by 256 of
/// them at a time.
template <class F, class T>
void reduce_columns(const ReduceShape& r, const T* x, const F& f) {
  using Kept = typename F::Kept;
  constexpr int64_t block = 1 << 14, columns = 256, lanes = 8;
  if (r.inner == 1) {
    const int64_t blocks = std::max<int64_t>(1, (r.n + block - 1) / block);
    Scratch<Kept> all(r.outer * blocks);
    parallel_for(r.outer * blocks, std::max<int64_t>(1, piece / std::max<int64_t>(1, std::min(r.n, block))),
                 [&](int64_t begin, int64_t end) {
                   if constexpr (std::is_same_v<F, Sum<float>>) {
                     if (blocks == 1) return sum_rows(end - begin, r.n, x + begin * r.n, all.data() + begin);
                   }
                   for (int64_t i = begin; i < end; ++i) {
                     const T* const row = x + i / blocks * r.n;
                     const int64_t first = i % blocks * block, last = std::min(first + block, r.n);
                     if constexpr (std::is_same_v<F, Sum<float>>) {
                       sum_rows(1, last - first, row + first, &all[i]);
                       continue;
                     }
                     Kept kept[lanes];
                     std::fill_n(kept, lanes, f.none(row));
                     int64_t j = first;
                     for (; j + lanes <= last; j += lanes) {
                       for (int l = 0; l < lanes; ++l) f.add(kept[l], row[j + l], j + l);
                     }
                     for (int l = 0; j < last; ++j, ++l) f.add(kept[l], row[j], j);
                     for (int half = lanes / 2; half > 0; half /= 2) {
                       for (int l = 0; l < half; ++l) f.join(kept[l], kept[l + half]);
                     }
                     all[i] = kept[0];
                   }
                 });
    for (int64_t o = 0; o < r.outer; ++o) {
      for (int64_t i = 1; i < blocks; ++i) f.join(all[o * blocks], all[o * blocks + i]);
      f.store(o, all[o * blocks]);
    }
    return;
  }
  const int64_t strips = (r.inner + columns - 1) / columns;
  const int64_t work = std::max<int64_t>(1, r.n * std::min(r.inner, columns));
  parallel_for(r.outer * strips, std::max<int64_t>(1, piece / work), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t o = task / strips, first = task % strips * columns, n = std::min(columns, r.inner - first);
      const T* const top = x + o * r.n * r.inner + first;
      Kept kept[columns];
      for (int64_t i = 0; i < n; ++i) kept[i] = f.none(top + i);
      for (int64_t j = 0; j < r.n; ++j) {
        const T* row = top + j * r.inner;
        for (int64_t i = 0; i < n; ++i) f.add(kept[i], row[i], j);
      }
      for (int64_t i = 0; i < n; ++i) f.store(o * r.inner + first + i, kept[i]);
    }
  });
}

}  // namespace

namespace {

template <class T>
void copy_box(const Strided& s, const T* a, T* b) {
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
void fill_dense(int64_t n, T value, T* y) {
  parallel_for(n, piece, [&](int64_t begin, int64_t end) { std::fill(y + begin, y + end, value); });
}

template <class T, class Y>
void convert(int64_t n, const T* x, Y* y) {
  parallel_for(n, piece, [&](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) y[i] = static_cast<Y>(x[i]);
  });
}

}  // namespace

template <class T>
void CpuArray<T>::fill(int64_t n, T value, T* y) {
  fill_dense(n, value, y);
}
template <class T>
void CpuArray<T>::copy(const Strided& s, const T* a, T* b) {
  copy_box(s, a, b);
}

template <class T>
void CpuHalf<T>::fill(int64_t n, T value, T* y) {
  fill_dense(n, value, y);
}
template <class T>
void CpuHalf<T>::copy(const Strided& s, const T* a, T* b) {
  copy_box(s, a, b);
}
template <class T>
void CpuHalf<T>::cast(int64_t n, const T* x, float* y) {
  convert(n, x, y);
}
template <class T>
void CpuHalf<T>::cast(int64_t n, const float* x, T* y) {
  convert(n, x, y);
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

template <class T>
void CpuArray<T>::reduce(const Reduce& f, const ReduceShape& r, const T* x, T* y) {
  if (f.op == ReduceOp::sum) return reduce_columns(r, x, Sum<T>{y});
  if (f.op == ReduceOp::prod) return reduce_columns(r, x, Prod<T>{{y}});
  if constexpr (std::is_floating_point_v<T>) {
    const auto norm = [&](auto map, double root) { reduce_columns(r, x, Norm<T, decltype(map)>{{y}, map, root}); };
    if (f.p == 1) return norm([](double v) { return v; }, 1);
    if (f.p == 2) return norm([](double v) { return v * v; }, 0.5);
    if (f.p == 0) return norm([](double v) { return v != 0 ? 1 : 0; }, 1);
    if (std::isfinite(f.p)) return norm([p = f.p](double v) { return std::pow(v, p); }, 1 / f.p);
    ReferenceArray<T>::reduce(f, r, x, y);
  }
}

template <class T>
void CpuArray<T>::extreme(Extreme which, const ReduceShape& r, const T* x, T* y, int64_t* indices) {
  if (r.outer * r.inner == 0) return;
  if (which == Extreme::max) return reduce_columns(r, x, Best<T, Extreme::max>{y, indices});
  reduce_columns(r, x, Best<T, Extreme::min>{y, indices});
}

void CpuFloat32::var(const ReduceShape& r, double correction, const float* x, float* mean, float* var) {
  reduce_columns(r, x, Moments<float>{static_cast<double>(r.n), correction, mean, var});
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

/// The places j of each k, in rising order, by counting: then the threads share the rows k. Bytes: dx once, dy once;
/// for a large table it is dx.
template <class T>
void CpuArray<T>::index_select_backward(const ReduceShape& r, int64_t count, const int64_t* index, const T* dy, T* dx) {
  constexpr int64_t columns = 256;
  std::vector<int64_t> begin(r.n + 1), order(count);  // those of k are order[begin[k]] to order[begin[k + 1] - 1]
  for (int64_t j = 0; j < count; ++j) begin[index[j] + 1] += 1;
  begin[0] = 0;  // what was counted for -1
  for (int64_t k = 0; k < r.n; ++k) begin[k + 1] += begin[k];
  std::vector<int64_t> next(begin.begin(), begin.end() - 1);
  for (int64_t j = 0; j < count; ++j) {
    if (index[j] >= 0) order[next[index[j]]++] = j;
  }
  // Where most rows get nothing, zeros go by stretches that are longer than a row.
  const bool sparse = count < r.n / 4;
  if (sparse) fill(r.outer * r.n * r.inner, T{0}, dx);
  parallel_for(r.outer * r.n, std::max<int64_t>(1, piece / std::max<int64_t>(1, r.inner)),
               [&](int64_t from, int64_t to) {
                 for (int64_t row = from; row < to; ++row) {
                   const int64_t o = row / r.n, k = row - o * r.n;
                   for (int64_t first = 0; first < r.inner; first += columns) {
                     const int64_t n = std::min(columns, r.inner - first);
                     T* const out = dx + row * r.inner + first;
                     const auto dy_of = [&](int64_t at) { return dy + (o * count + order[at]) * r.inner + first; };
                     if (begin[k + 1] - begin[k] == 0) {
                       if (!sparse) std::fill_n(out, n, T{0});
                     } else if (begin[k + 1] - begin[k] == 1) {
                       std::copy_n(dy_of(begin[k]), n, out);
                     } else {
                       Total<T> total[columns] = {};
                       for (int64_t at = begin[k]; at < begin[k + 1]; ++at) {
                         const T* const g = dy_of(at);
                         for (int64_t i = 0; i < n; ++i) total[i] += g[i];
                       }
                       for (int64_t i = 0; i < n; ++i) out[i] = static_cast<T>(total[i]);
                     }
                   }
                 }
               });
}

template class CpuArray<float>;
template class CpuArray<double>;
template class CpuArray<int64_t>;
template class CpuArray<uint8_t>;
template class CpuHalf<bfloat16>;
template class CpuHalf<float16>;

}  // namespace tern::kernels
