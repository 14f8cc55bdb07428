#pragma once

/// y[i] = f(x[i], ...) for dense operands.

#include <tern/kernels/cuda/device.cuh>

#include <algorithm>

namespace tern::kernels::cuda {

template <int width, class F, class Y, class... X>
__device__ Pack<Y, width> map_pack(const F& f, const Pack<X, width>&... x) {
  Pack<Y, width> y;
#pragma unroll
  for (int j = 0; j < width; ++j) y.at[j] = f(x.at[j]...);
  return y;
}

/// A thread computes 16 bytes' worth of the widest operand each time round a grid-stride loop, by 128-bit loads and a
/// 128-bit store, and one element each time where an address is not aligned to that. A warp's accesses are one stretch of
/// memory either way. y may be one of x: an element is read and written by the same thread.
template <int width, class F, class Y, class... X>
__global__ void __launch_bounds__(block_size, 3) map(int64_t n, F f, Y* y, const X*... x) {
  wait_for_previous_kernels();
  const int64_t packs = n / width;
  for (int64_t i = grid_thread(); i < packs; i += grid_threads()) {
    store_pack(y + i * width, map_pack<width, F, Y, X...>(f, load_pack<width>(x + i * width)...));
  }
  for (int64_t i = packs * width + grid_thread(); i < n; i += grid_threads()) y[i] = f(x[i]...);
}

template <class F, class Y, class... X>
void map_dense(int64_t n, F f, Y* y, const X*... x) {
  constexpr int width = 16 / static_cast<int>(std::max({sizeof(Y), sizeof(X)...}));
  if (is_aligned<Y, width>(y) && (is_aligned<X, width>(x) && ...)) {
    launch(map<width, F, Y, X...>, grid_for(n, block_size * width), block_size, 0, current_stream(), n, f, y, x...);
  } else {
    launch(map<1, F, Y, X...>, grid_for(n), block_size, 0, current_stream(), n, f, y, x...);
  }
}

}  // namespace tern::kernels::cuda
