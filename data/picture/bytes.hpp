#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tern::picture {

/// An unsigned number of `size` bytes at `at`, which the text has.
inline std::uint32_t big_endian(std::string_view text, std::size_t at, std::size_t size) {
  std::uint32_t value = 0;
  for (const char c : text.substr(at, size)) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

inline std::uint32_t little_endian(std::string_view text, std::size_t at, std::size_t size) {
  std::uint32_t value = 0;
  for (std::size_t i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(text[at + i]);
  return value;
}

}  // namespace tern::picture
