#pragma once

#include <tern/kernels/reference/reduce.hpp>
#include <tern/kernels/reference/reference.hpp>

#include <vector>

namespace tern::kernels {

/// Calls f(e, at) for each element e of the index, and where in `full` its index says, in rising e.
template <class F>
void for_each_picked(const ReduceShape& r, int64_t count, const int64_t* index, F f) {
  for (int64_t e = 0; e < r.outer * count * r.inner; ++e) {
    f(e, (e / (count * r.inner) * r.n + index[e]) * r.inner + e % r.inner);
  }
}

template <class T>
void ReferenceArray<T>::gather(const ReduceShape& r, int64_t count, const T* full, const int64_t* index, T* picked) {
  for_each_picked(r, count, index, [&](int64_t e, int64_t at) { picked[e] = full[at]; });
}

template <class T>
void ReferenceArray<T>::scatter(const ReduceShape& r, int64_t count, const int64_t* index, const T* picked, T* full) {
  for_each_picked(r, count, index, [&](int64_t e, int64_t at) { full[at] = picked[e]; });
}

template <class T>
void ReferenceArray<T>::scatter_add(const ReduceShape& r, int64_t count, const int64_t* index, const T* picked,
                                    T* full) {
  std::vector<Accumulator<T>> total(full, full + r.outer * r.n * r.inner);
  for_each_picked(r, count, index, [&](int64_t e, int64_t at) { total[at] += picked[e]; });
  for (std::size_t i = 0; i < total.size(); ++i) full[i] = static_cast<T>(total[i]);
}

}  // namespace tern::kernels
