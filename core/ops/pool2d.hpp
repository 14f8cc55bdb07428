#pragma once

#include <tern/core/ops.hpp>
#include <tern/kernels/backend.hpp>

namespace tern {

inline constexpr std::int64_t most_elements = std::int64_t{1} << 48;

/// x's height and width, its last two dimensions, with padding on all sides. Throws Error, in the name of `op`, where x
/// would have more than 2^48 elements with it: beyond, the numbers that convolutions and poolings compute with need not
/// fit int64.
HeightWidth padded_size(const char* op, const Tensor& x, HeightWidth padding);

/// Whether `kernel` elements, `dilation` apart, fit into `size`. All are 1 or more, but for size.
constexpr bool fits(std::int64_t kernel, std::int64_t dilation, std::int64_t size) {
  return size > 0 && kernel - 1 <= (size - 1) / dilation;
}

/// The shape of a pooling of x. Throws Error, in the name of `op`, for what is no pooling. An x [C, H, W] has
/// one image.
kernels::Pool2dShape pool2d_shape(const char* op, const Tensor& x, HeightWidth kernel_size,
                                  const Pool2dOptions& options);

}  // namespace tern
