#pragma once

#include <tern/core/generator.hpp>
#include <tern/core/tensor.hpp>

#include <cstdint>
#include <vector>

namespace tern {

/// Each image of x, float32 [N, C, H, W] on the cpu, flipped left to right with probability one half and moved by
/// -shift to shift pixels along each side; what comes in at an edge is the image reflected there, the edge itself not
/// repeated. A new tensor. Takes 3 N draws from the generator, image by image. Throws Error for other tensors, or
/// unless 0 <= shift < min(H, W).
Tensor random_flip_and_shift(const Tensor& x, std::int64_t shift, Generator& generator = default_generator());

/// Sets a square of each image of x, contiguous float32 [N, C, H, W] on the cpu, to `value`: its centre is any pixel,
/// what lies outside the image is left out. In place. Takes 2 N draws from the generator, image by image. DeVries,
/// Taylor, "Improved regularization of convolutional neural networks with cutout", 2017. Throws Error for other tensors
/// or what check_cutout() refuses.
void random_cutout_(const Tensor& x, std::int64_t size, double value, Generator& generator = default_generator());

/// Throws Error, which begins with `who`, unless the size of the square is 0 or more and the value a finite float32.
void check_cutout(const char* who, std::int64_t size, double value);

/// float32 [C] each.
struct ChannelStatistics {
  Tensor mean, std;  ///< of each channel
};
/// Over all images, rows and columns of images uint8 [n, C, H, W], taken as values in [0, 1]; std is the root of the
/// mean squared deviation. Throws Error for other tensors or none at all.
ChannelStatistics channel_statistics(const Tensor& images);

}  // namespace tern
