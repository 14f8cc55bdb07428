#include <birds_vs_planes/data_url.hpp>

#include <tern/core/ops.hpp>
#include <tern/data/image.hpp>

#include <algorithm>
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
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double range = std::max(*high - *low, 1e-12);
  std::vector<std::uint8_t> pixels;
  for (const double v : values) pixels.push_back(static_cast<std::uint8_t>((v - *low) / range * 255 + 0.5));
  return tern::tensor(pixels).reshape(x.shape());
}

}  // namespace birds_vs_planes
