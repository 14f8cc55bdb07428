#include <tern/data/md5.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

namespace tern {

namespace {

static_assert(std::endian::native == std::endian::little, "MD5 reads its words in little-endian order");

using State = std::array<std::uint32_t, 4>;

/// floor(2^32 |sin(i + 1)|), section 3.4 of the RFC.
const std::array<std::uint32_t, 64> sines = [] {
  std::array<std::uint32_t, 64> table{};
  for (std::size_t i = 0; i < table.size(); ++i) {
    table[i] = static_cast<std::uint32_t>(std::fabs(std::sin(static_cast<double>(i + 1))) * 0x1p32);
  }
  return table;
}();

void add_block(const std::uint8_t* bytes, State& state) {
  static constexpr int rotations[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
  std::uint32_t word[16];
  std::memcpy(word, bytes, sizeof word);
  std::uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  // 16 steps, which take the words first, first + step and so on.
  const auto round = [&](std::size_t number, std::size_t first, std::size_t step, auto mixed) {
    for (std::size_t i = 0; i < 16; ++i) {
      const std::uint32_t sum = a + mixed() + word[(first + i * step) % 16] + sines[16 * number + i];
      a = d;
      d = c;
      c = b;
      b += std::rotl(sum, rotations[number][i % 4]);
    }
  };
  round(0, 0, 1, [&] { return (b & c) | (~b & d); });
  round(1, 1, 5, [&] { return (d & b) | (~d & c); });
  round(2, 5, 3, [&] { return b ^ c ^ d; });
  round(3, 0, 7, [&] { return c ^ (b | ~d); });
  state = {state[0] + a, state[1] + b, state[2] + c, state[3] + d};
}

}  // namespace

std::string md5(std::span<const std::uint8_t> bytes) {
  State state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  const std::size_t whole = bytes.size() / 64 * 64;
  for (std::size_t i = 0; i < whole; i += 64) add_block(&bytes[i], state);

  // What is left, a one bit, zeros, and the length in bits as the last eight bytes of a block.
  std::vector<std::uint8_t> rest(bytes.begin() + static_cast<std::ptrdiff_t>(whole), bytes.end());
  rest.push_back(0x80);
  rest.resize((rest.size() + 8 + 63) / 64 * 64);
  const std::uint64_t bits = std::uint64_t{8} * bytes.size();
  std::memcpy(&rest[rest.size() - sizeof bits], &bits, sizeof bits);
  for (std::size_t i = 0; i < rest.size(); i += 64) add_block(&rest[i], state);

  std::string digits;
  for (const std::uint32_t s : state) {
    for (int byte = 0; byte < 4; ++byte) digits += fmt::format("{:02x}", s >> (8 * byte) & 0xff);
  }
  return digits;
}

}  // namespace tern
