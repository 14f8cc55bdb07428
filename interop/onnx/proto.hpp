#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tern::onnx {

/// A message in protobuf's wire format, field by field, by the numbers that onnx.proto gives them.
/// https://protobuf.dev/programming-guides/encoding
class Message {
 public:
  Message& add(unsigned field, std::int64_t number) {
    tag(field, 0);
    varint(static_cast<std::uint64_t>(number));
    return *this;
  }
  Message& add(unsigned field, float number) {
    tag(field, 5);
    const auto bits = std::bit_cast<std::uint32_t>(number);
    for (int shift = 0; shift < 32; shift += 8) bytes_ += static_cast<char>(bits >> shift & 255);
    return *this;
  }
  Message& add(unsigned field, std::string_view text) {
    tag(field, 2);
    varint(text.size());
    bytes_ += text;
    return *this;
  }
  Message& add(unsigned field, const Message& part) { return add(field, std::string_view(part.bytes_)); }

  /// All fields of another.
  Message& merge(const Message& other) {
    bytes_ += other.bytes_;
    return *this;
  }

  const std::string& bytes() const { return bytes_; }

 private:
  void tag(unsigned field, unsigned wire_type) { varint(field << 3 | wire_type); }
  void varint(std::uint64_t v) {
    for (; v > 127; v >>= 7) bytes_ += static_cast<char>(v | 128);
    bytes_ += static_cast<char>(v);
  }

  std::string bytes_;
};

}  // namespace tern::onnx
