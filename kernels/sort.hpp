#pragma once

#include <tern/kernels/philox.hpp>

#include <cstdint>

namespace tern::kernels {

/// The order that sorting has: NaN is larger than any number, and as large as another.
template <class T>
TERN_HOST_DEVICE bool comes_before(T a, T b, bool descending) {
  const T low = descending ? b : a, high = descending ? a : b;
  return low < high || (high != high && low == low);
}

/// How many of x, n sorted numbers, come before v, or, `right`, not after it.
template <class T>
TERN_HOST_DEVICE std::int64_t place_in_sorted(std::int64_t n, const T* x, T v, bool right) {
  std::int64_t low = 0, high = n;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (right ? !comes_before(v, x[middle], false) : comes_before(x[middle], v, false)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace tern::kernels
