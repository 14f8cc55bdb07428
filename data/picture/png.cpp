/// The structure of a PNG file: https://www.w3.org/TR/png-3/

#include <tern/core/check.hpp>
#include <tern/data/picture/bytes.hpp>
#include <tern/data/picture/picture.hpp>

#include <algorithm>
#include <array>

namespace tern::picture {

namespace {

constexpr std::size_t signature = 8;

constexpr std::array<std::uint32_t, 256> crc_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    table[i] = i;
    for (int bit = 0; bit < 8; ++bit) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320u : 0u);
  }
  return table;
}();

std::uint32_t crc(std::string_view bytes) {
  std::uint32_t value = ~0u;
  for (const char c : bytes) value = crc_table[(value ^ static_cast<unsigned char>(c)) & 255] ^ value >> 8;
  return ~value;
}

struct Header {
  std::int64_t width, height;
  int depth, colour;
  bool interlaced;

  bool has_palette() const { return colour == 3; }
  std::int64_t pixel_bits() const { return depth * (colour == 2 ? 3 : colour == 4 ? 2 : colour == 6 ? 4 : 1); }
};

Header header(std::string_view data) {
  check(data.size() == 13, "a header of {} bytes, expected 13", data.size());
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(data[i]); };
  const Header h{big_endian(data, 0, 4), big_endian(data, 4, 4), byte(8), byte(9), byte(12) == 1};
  check_size(h.width, h.height);
  const bool one_byte = h.depth == 8, whole = one_byte || h.depth == 16;
  const bool parts = h.depth == 1 || h.depth == 2 || h.depth == 4 || one_byte;
  const bool known = h.colour == 0   ? parts || whole
                     : h.colour == 3 ? parts
                                     : whole && (h.colour == 2 || h.colour == 4 || h.colour == 6);
  check(known, "colours of type {} with {} bits, which PNG has not", h.colour, h.depth);
  check(byte(10) == 0 && byte(11) == 0 && byte(12) <= 1,
        "compression {}, filter {}, interlace {}, expected 0, 0, 0 or 1", byte(10), byte(11), byte(12));
  const std::int64_t unpacked = h.width * h.height * h.pixel_bits() / 8;
  check(unpacked <= max_bytes, "{} bytes of pixels, expected at most {}", unpacked, max_bytes);
  return h;
}

/// What the data unpacks to: rows with a byte for their filter, of one pass or of Adam7's seven.
std::int64_t unpacked(const Header& h) {
  struct Pass {
    std::int64_t x, y, dx, dy;
  };
  constexpr std::array<Pass, 7> adam7{
      {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}};
  const auto bytes = [&](const Pass& p) {
    const std::int64_t columns = (h.width - p.x + p.dx - 1) / p.dx, rows = (h.height - p.y + p.dy - 1) / p.dy;
    return columns > 0 && rows > 0 ? rows * (1 + (columns * h.pixel_bits() + 7) / 8) : 0;
  };
  if (!h.interlaced) return bytes({0, 0, 1, 1});
  std::int64_t sum = 0;
  for (const Pass& pass : adam7) sum += bytes(pass);
  return sum;
}

void append_chunk(std::string& to, const std::string& type, const std::string& data) {
  const auto append = [&](std::uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) to += static_cast<char>(value >> shift);
  };
  append(static_cast<std::uint32_t>(data.size()));
  to += type + data;
  append(crc(type + data));
}

/// The palette with as many colours as an index can name. Those that the file lacks are transparent, the others not.
std::vector<char> whole_palette(std::string_view data, int depth) {
  const std::size_t colours = std::size_t{1} << depth;
  check(!data.empty() && data.size() % 3 == 0 && data.size() / 3 <= colours,
        "a palette of {} bytes, expected 3 for each of 1 to {} colours", data.size(), colours);
  std::string palette(data), alpha(data.size() / 3, '\xff'), chunks;
  palette.resize(3 * colours);
  alpha.resize(colours);
  append_chunk(chunks, "PLTE", palette);
  append_chunk(chunks, "tRNS", alpha);
  return {chunks.begin(), chunks.end()};
}

}  // namespace

Picture check_png(std::string_view file) {
  Picture picture;
  picture.keep(file.substr(0, signature));
  Header h{};
  std::int64_t packed = 0;
  std::string_view before;  // the type of the chunk before
  for (std::size_t at = signature; before != "IEND";) {
    check(file.size() - at >= 12, "it is cut off: no chunk IEND");
    const std::size_t size = big_endian(file, at, 4);
    const std::string_view type = file.substr(at + 4, 4);
    check(
        std::all_of(type.begin(), type.end(), [](char c) { return ('A' <= c && c <= 'Z') || ('a' <= c && c <= 'z'); }),
        "a chunk whose name is no four letters");
    check(size <= file.size() - at - 12, "it is cut off: chunk {} of {} bytes, {} are there", type, size,
          file.size() - at - 12);
    const std::string_view data = file.substr(at + 8, size), chunk = file.substr(at, 12 + size);
    at += chunk.size();
    check(before.empty() == (type == "IHDR"), "chunk {} {}", type, before.empty() ? "first, expected IHDR" : "again");
    const bool critical = type[0] <= 'Z';
    if (critical || type == "eXIf")
      check(crc(chunk.substr(4, 4 + size)) == big_endian(chunk, 8 + size, 4), "chunk {} has a wrong CRC", type);

    if (type == "IHDR") {
      h = header(data);
      picture.width = h.width;
      picture.height = h.height;
      picture.palette = h.has_palette();
      picture.keep(chunk);
    } else if (type == "PLTE") {
      check(picture.made.empty() && packed == 0, "a chunk PLTE {}", packed == 0 ? "again" : "behind the pixels");
      if (h.has_palette()) {
        picture.made = whole_palette(data, h.depth);
        picture.keep({picture.made.data(), picture.made.size()});
      }
    } else if (type == "IDAT") {
      check(!h.has_palette() || !picture.made.empty(), "pixels before their palette");
      check(packed == 0 || before == "IDAT", "chunks IDAT with others between them");
      packed += static_cast<std::int64_t>(size);
      picture.keep(chunk);
    } else if (type == "IEND") {
      picture.keep(chunk);
    } else if (type == "eXIf") {
      picture.orientation = exif_orientation(data);
    } else {
      check(!critical, "a chunk {}, which PNG has not", type);
    }
    before = type;
  }
  // RFC 1951: the longest match, 258 bytes, takes at least two bits.
  constexpr std::int64_t ratio = 1032;
  check(packed > 0, "no pixels: it has no chunk IDAT");
  check(unpacked(h) <= ratio * packed, "{} x {} pixels in {} bytes, which cannot unpack to so many", h.width, h.height,
        packed);
  return picture;
}

}  // namespace tern::picture
