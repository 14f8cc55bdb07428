#pragma once

#include <tern/data/dataset.hpp>

#include <cstdint>

namespace tern {

/// Drawn stand-ins for CIFAR-10's planes and birds, for where the photographs are not at hand: images uint8
/// [n, 3, 32, 32], label 0 a plane, 1 a bird, in turn. Size, pose, colours, sky, clouds and leaves vary, and each image
/// has noise. Image i depends on the seed and i alone. Throws Error for n < 0.
TensorDataset synthetic_birds_and_planes(std::int64_t n, std::uint64_t seed = 0);

}  // namespace tern
