#pragma once

#include <tern/kernels/cuda/device.cuh>

#include <cmath>
#include <limits>

namespace tern::kernels::cuda {

/// The largest of some numbers, and the sum of exp(x - largest) over them. Milakov, Gimelshein, "Online normalizer
/// calculation for softmax", 2018, algorithm 3.
template <class T>
struct Normalizer {
  T largest = -std::numeric_limits<T>::infinity(), sum = 0;

  /// With (x, 1) this adds the number x.
  __device__ void join(T other_largest, T other_sum) {
    const T larger = std::fmax(other_largest, largest);  // NaN is left to the sum
    // All -inf so far: the sum is none, where exp(-inf - -inf) would be NaN.
    const T base = larger == -std::numeric_limits<T>::infinity() ? T{0} : larger;
    sum = sum * std::exp(largest - base) + other_sum * std::exp(other_largest - base);
    largest = larger;
  }

  /// Over the warp, in each of its lanes.
  __device__ void join_warp() {
    for (int lanes = warp_threads / 2; lanes > 0; lanes /= 2) {
      const T other_largest = __shfl_xor_sync(all_lanes, largest, lanes),
              other_sum = __shfl_xor_sync(all_lanes, sum, lanes);
      join(other_largest, other_sum);
    }
  }
};

}  // namespace tern::kernels::cuda
