#pragma once

#include <tern/kernels/backend.hpp>

namespace tern::kernels {

/// Of N square images of C channels, K square filters, padded by half of theirs.
inline Conv2dShape padded_conv2d(std::int64_t N, std::int64_t C, std::int64_t size, std::int64_t K,
                                 std::int64_t filter = 3, std::int64_t stride = 1,
                                 Precision precision = Precision::highest) {
  return {.N = N,
          .C = C,
          .H = size,
          .W = size,
          .K = K,
          .R = filter,
          .S = filter,
          .stride_h = stride,
          .stride_w = stride,
          .pad_h = filter / 2,
          .pad_w = filter / 2,
          .precision = precision};
}

}  // namespace tern::kernels
