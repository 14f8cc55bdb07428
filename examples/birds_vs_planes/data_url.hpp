#pragma once

#include <tern/core/tensor.hpp>

#include <string>

namespace birds_vs_planes {

/// RFC 4648, section 4.
std::string base64(const std::string& bytes);

/// A uint8 [3, H, W] or [1, H, W] picture as "data:image/png;base64,...".
std::string data_url(const tern::Tensor& image);

/// Floating [C, H, W], C 1 or 3, as uint8: the least finite value becomes 0, the largest 255; infinite
/// ones are like these, and what is no number is 0.
tern::Tensor stretched(const tern::Tensor& x);

}  // namespace birds_vs_planes
