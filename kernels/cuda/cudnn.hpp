#pragma once

#include <tern/kernels/backend.hpp>

namespace tern::kernels {

/// cuda_backend with cuDNN's convolutions, pooling and batch normalisation in place of the handwritten ones: a second
/// implementation of the same contract, to check and to time the first against. Handwritten stay what cuDNN has no
/// counterpart for: max pooling that gives indices, and its gradient from them; convolution and batch normalisation in
/// one with pooling or an activation (the op conv2d_max_pool2d is three of these kernels then); batch normalisation
/// without weight and bias, in evaluation, and in one with pooling; sizes of zero or beyond 32 bits; batches beyond
/// 65,535 in pooling and 131,070 in batch normalisation, which cuDNN does not take; and convolutions for which it has no
/// deterministic algorithm that works in 256 MiB. TensorFloat-32 is allowed where the shape's precision is not `highest`.
/// Only in builds with TERN_CUDNN=ON.
Backend& cudnn_backend(int index);

}  // namespace tern::kernels
