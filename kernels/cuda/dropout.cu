/// y = x with groups of neighbours zeroed at random, the rest scaled by 1 / (1 - p).
///
/// Draw i of the stream is word i % 4 of Philox block i / 4, so the mask is the same whatever computes it, on any
/// device. Groups of one element: a thread computes one Philox block and with it 4 elements. Larger groups (dropout2d:
/// a channel of an image): a warp computes one group, each lane the group's draw by itself.
///
/// Whether uniform_from_bits(draw) < p is asked in integers: with u = draw >> 8 it is u * 2^-24 < p, which is
/// u < ceil(p * 2^24), as products with powers of two are exact.
///
/// Bytes: x and y once; the mask is never stored, the gradient computes it again. Arithmetic: 10 Philox rounds of some
/// 8 integer instructions for 4 elements, or for a group. The limit is bandwidth.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/device.cuh>

#include <cmath>

namespace tern::kernels {
namespace {

using namespace cuda;

template <class T>
struct Dropout {
  Draws draws;
  std::uint32_t zeroed_below;
  T scale;

  __device__ T operator()(std::uint32_t draw, T x) const { return draw >> 8 < zeroed_below ? T{0} : x * scale; }
};

constexpr int draws = 4;

/// width is 4 where x and y are aligned for it, or 1.
template <int width, class T>
__global__ void __launch_bounds__(block_size)
    dropout_elements(int64_t n, Dropout<T> f, const T* __restrict__ x, T* __restrict__ y) {
  wait_for_previous_kernels();
  const PhiloxState state = f.draws.now();
  for (int64_t i = grid_thread(); i * draws < n; i += grid_threads()) {
    const PhiloxBlock random = philox(state.seed, state.offset + static_cast<std::uint64_t>(i));
    if (width == draws && (i + 1) * draws <= n) {
      Pack<T, draws> pack = load_pack<draws>(x + i * draws);
#pragma unroll
      for (int j = 0; j < draws; ++j) pack.at[j] = f(random.word[j], pack.at[j]);
      store_pack(y + i * draws, pack);
    } else {
#pragma unroll
      for (int j = 0; j < draws; ++j) {
        if (i * draws + j < n) y[i * draws + j] = f(random.word[j], x[i * draws + j]);
      }
    }
  }
}

/// width divides n and the group, and x and y are aligned for it.
template <int width, class T>
__global__ void __launch_bounds__(block_size)
    dropout_groups(int64_t n, int64_t group, Dropout<T> f, const T* __restrict__ x, T* __restrict__ y) {
  wait_for_previous_kernels();
  constexpr int warps = block_size / warp_threads;
  const int lane = threadIdx.x % warp_threads;
  const PhiloxState state = f.draws.now();
  for (int64_t i = int64_t{blockIdx.x} * warps + threadIdx.x / warp_threads; i * group < n;
       i += int64_t{gridDim.x} * warps) {
    const std::uint32_t draw = philox_bits(state, static_cast<std::uint64_t>(i));
    for (int64_t j = i * group + lane * width; j < min((i + 1) * group, n); j += warp_threads * width) {
      Pack<T, width> pack = load_pack<width>(x + j);
#pragma unroll
      for (int k = 0; k < width; ++k) pack.at[k] = f(draw, pack.at[k]);
      store_pack(y + j, pack);
    }
  }
}

}  // namespace

template <class T>
void CudaFloat<T>::dropout(const DropoutShape& s, PhiloxState state, const T* x, T* y) {
  const DeviceGuard guard(device_);
  const Dropout<T> f{draws_from(state), static_cast<std::uint32_t>(std::ceil(s.p * 0x1p24)),
                     static_cast<T>(1 / (1 - s.p))};
  if (s.group == 1) {
    const bool aligned = is_aligned<T, draws>(x) && is_aligned<T, draws>(y);
    launch(aligned ? dropout_elements<draws, T> : dropout_elements<1, T>, grid_for(s.n, block_size * draws), block_size,
           0, current_stream(), s.n, f, x, y);
  } else {
    constexpr int width = 16 / sizeof(T);
    const bool aligned = s.group % width == 0 && s.n % width == 0 && is_aligned<T, width>(x) && is_aligned<T, width>(y);
    const int64_t groups = ceil_div(s.n, s.group);
    launch(aligned ? dropout_groups<width, T> : dropout_groups<1, T>, grid_for(groups, block_size / warp_threads),
           block_size, 0, current_stream(), s.n, s.group, f, x, y);
  }
}

template void CudaFloat<float>::dropout(const DropoutShape&, PhiloxState, const float*, float*);
template void CudaFloat<double>::dropout(const DropoutShape&, PhiloxState, const double*, double*);

}  // namespace tern::kernels
