#include <birds_vs_planes/data_url.hpp>

#include <tern/core/ops.hpp>
#include <tern/data/image.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace birds_vs_planes {

std::string base64(const std::string& bytes) {
  constexpr const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t three = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      three = three << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      text += i + j > bytes.size() ? '=' : digits[three >> (18 - 6 * j) & 63];
    }
  }
  return text;
}

std::string data_url(const tern::Tensor& image) { return "data:image/png;base64," + base64(tern::encode_png(image)); }

tern::Tensor stretched(const tern::Tensor& x) {
  const auto values = x.to_vector<double>();
  double low = INFINITY, high = -INFINITY;
  for (const double v : values) {
    if (!std::isfinite(v)) continue;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  const double range = std::max(high - low, 1e-12);
  std::vector<std::uint8_t> pixels;
  for (const double v : values) {
    const double share = (v - low) / range;
    pixels.push_back(share > 0 ? static_cast<std::uint8_t>(std::min(share, 1.0) * 255 + 0.5) : std::uint8_t{0});
  }
  return tern::tensor(pixels).reshape(x.shape());
}

}  // namespace birds_vs_planes
