/// A batch of images gathered from those of a dataset, flipped, moved and cut out, in one launch.
///
/// A warp computes a run of 32 packs of one image, a lane one pack: 4 floats, or 2 doubles, neighbours in a row, where
/// rows are whole packs; else single pixels. Its lanes 0 to 4 compute one of the image's five draws each, 10 Philox
/// rounds of some 8 integer instructions, and shuffle them to the others. A pixel is read through the change that the
/// draws stand for, so that neighbours read neighbours, from an edge or in reverse.
///
/// Bytes: x written once, a quarter as many read, and 24 an image. Arithmetic: the draws, 3 divisions of integers for a
/// pack and one by 255 for a pixel. At the size of a batch the limit is latency: the step, the image's number and the
/// pixels are read one after the other.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/device.cuh>
#include <tern/kernels/image_batch.hpp>

namespace tern::kernels {
namespace {

using namespace cuda;

/// I counts to all runs of a batch and to the pixels of an image. width divides the rows, and x is aligned for it.
template <int width, class I, class T>
__global__ void __launch_bounds__(block_size)
    gather_images(ImageBatchShape s, I runs, Draws flips, Draws cutouts, const uint8_t* __restrict__ images,
                  const int64_t* __restrict__ labels, const int64_t* __restrict__ order,
                  const int64_t* __restrict__ step, T* __restrict__ x, int64_t* __restrict__ target) {
  wait_for_previous_kernels();
  const I N = static_cast<I>(s.N), H = static_cast<I>(s.H), W = static_cast<I>(s.W);
  const int64_t pixels = s.C * s.H * s.W;
  const int lane = threadIdx.x % warp_threads;
  for (I work = grid_thread<I>() / warp_threads; work < N * runs; work += grid_threads<I>() / warp_threads) {
    const I i = work / runs, run = work - i * runs;
    const int64_t j = order[*step * s.N + i];
    std::uint32_t draw = 0;
    if (s.shift >= 0 || s.cutout > 0) {
      const PhiloxState state = lane < 3 ? flips.now() : cutouts.now();
      const auto number = static_cast<std::uint64_t>(i), at = lane < 3 ? 3 * number + lane : 2 * number + lane - 3;
      const PhiloxBlock random = philox(state.seed, state.offset + at / 4);
      // As philox_bits, which for 64-bit numbers would keep the words in local memory to index them.
      const std::uint32_t even = at % 4 < 2 ? random.word[0] : random.word[2];
      const std::uint32_t odd = at % 4 < 2 ? random.word[1] : random.word[3];
      draw = at % 2 == 0 ? even : odd;
    }
    const auto of = [&](int from) { return __shfl_sync(all_lanes, draw, from); };
    const ImageChange<I> change(s, {of(0), of(1), of(2), of(3), of(4)});
    if (run == 0 && lane == 0) target[i] = labels[j];

    const I first = (run * warp_threads + lane) * width, row = first / W, w = first - row * W, c = row / H,
            h = row - c * H;
    if (first >= pixels) continue;
    const uint8_t* from = images + j * pixels + (c * H + change.row(h)) * W;
    Pack<T, width> pack;
#pragma unroll
    for (int k = 0; k < width; ++k) {
      pack.at[k] =
          change.filled(h, w + k) ? static_cast<T>(s.fill) : static_cast<T>(from[change.column(w + k)]) / T{255};
    }
    store_pack(x + i * pixels + first, pack);
  }
}

}  // namespace

template <class T>
void CudaFloat<T>::image_batch(const ImageBatchShape& s, PhiloxState flips, PhiloxState cutouts, const uint8_t* images,
                               const int64_t* labels, const int64_t* order, const int64_t* step, T* x,
                               int64_t* target) {
  const DeviceGuard guard(device_);
  const Draws no_draws{};
  constexpr int pack = 16 / sizeof(T);
  const int width = s.W % pack == 0 && is_aligned<T, pack>(x) ? pack : 1;
  const int64_t runs = std::max<int64_t>(1, ceil_div(s.C * s.H * s.W, width * warp_threads));  // one brings the label
  with_index(s.N * runs * warp_threads * pack, [&]<class I>(I) {
    launch(width == pack ? gather_images<pack, I, T> : gather_images<1, I, T>, grid_for(s.N * runs * warp_threads),
           block_size, 0, current_stream(), s, runs, s.shift >= 0 ? draws_from(flips) : no_draws,
           s.cutout > 0 ? draws_from(cutouts) : no_draws, images, labels, order, step, x, target);
  });
}

template void CudaFloat<float>::image_batch(const ImageBatchShape&, PhiloxState, PhiloxState, const uint8_t*,
                                            const int64_t*, const int64_t*, const int64_t*, float*, int64_t*);
template void CudaFloat<double>::image_batch(const ImageBatchShape&, PhiloxState, PhiloxState, const uint8_t*,
                                             const int64_t*, const int64_t*, const int64_t*, double*, int64_t*);

}  // namespace tern::kernels
