/// The structure of a BMP file: BITMAPFILEHEADER and what follows it in Microsoft's documentation of "Bitmap Storage".

#include <tern/core/check.hpp>
#include <tern/data/picture/bytes.hpp>
#include <tern/data/picture/picture.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>

namespace tern::picture {

namespace {

constexpr std::size_t file_header = 14, info_header = 40;

/// The largest index in rows of indices of 1, 4 or 8 bits.
std::uint32_t largest_index(std::string_view rows, std::size_t row_size, std::size_t width, std::size_t bits) {
  std::uint32_t largest = 0;
  for (; !rows.empty(); rows.remove_prefix(row_size)) {
    for (std::size_t x = 0; x < width; ++x) {
      const auto byte = static_cast<unsigned char>(rows[x * bits / 8]);
      largest = std::max<std::uint32_t>(largest, byte >> (8 - bits - x * bits % 8) & ((1u << bits) - 1));
    }
  }
  return largest;
}

/// The bits of one colour in a pixel are side by side, 1 to 8 of them.
bool is_mask(std::uint32_t mask) {
  if (mask == 0) return false;
  const std::uint32_t bits = mask >> std::countr_zero(mask);
  return bits <= 255 && std::has_single_bit(bits + 1);
}

}  // namespace

Picture check_bmp(std::string_view file) {
  check(file.size() >= file_header + 12, "it is cut off: {} bytes", file.size());
  const std::size_t pixels_at = little_endian(file, 10, 4), header_size = little_endian(file, file_header, 4);
  constexpr std::array<std::size_t, 5> sizes{12, info_header, 52, 56, 108};
  const bool old = header_size == 12;  // of OS/2: sizes of 16 bits, colours of 3 bytes
  check(header_size == 124 || std::find(sizes.begin(), sizes.end(), header_size) != sizes.end(),
        "a header of {} bytes, expected 12, 40, 52, 56, 108 or 124", header_size);
  check(file.size() >= file_header + header_size, "it is cut off: {} bytes, its header has {}", file.size(),
        file_header + header_size);
  const auto number = [&](std::size_t at, std::size_t size) { return little_endian(file, at, size); };
  const auto signed_number = [&](std::size_t at) {
    return static_cast<std::int64_t>(static_cast<std::int32_t>(number(at, 4)));
  };
  const std::int64_t width = old ? std::int64_t{number(18, 2)} : signed_number(18);
  const std::int64_t signed_height = old ? std::int64_t{number(20, 2)} : signed_number(22);
  Picture picture;
  picture.width = width;
  picture.height = std::abs(signed_height);  // below 0 where the first row comes first
  check_size(picture.width, picture.height);

  const std::size_t bits = number(old ? 24 : 28, 2);
  const std::uint32_t compression = old ? 0 : number(30, 4);
  const bool indices = bits == 1 || bits == 4 || bits == 8, masks = compression == 3 && (bits == 16 || bits == 32);
  check(indices || bits == 16 || bits == 24 || bits == 32, "{} bits a pixel, expected 1, 4, 8, 16, 24 or 32", bits);
  check(compression == 0 || masks, "compression {} with {} bits a pixel, which is not supported", compression, bits);

  // What follows the header: three masks, which later headers have inside, or the palette.
  const std::size_t masks_end = file_header + info_header + 12, colour_size = old ? 3 : 4;
  const std::size_t colours_at = std::max(file_header + header_size, masks ? masks_end : 0);
  check(pixels_at >= colours_at, "pixels from byte {}, expected them behind the header of {}", pixels_at, colours_at);
  const std::size_t row_size = (static_cast<std::size_t>(width) * bits + 31) / 32 * 4;
  const std::size_t pixels_size = row_size * static_cast<std::size_t>(picture.height);
  check(pixels_at <= file.size() && pixels_size <= file.size() - pixels_at,
        "it is cut off: {} x {} pixels take {} bytes from byte {}, it has {}", picture.width, picture.height,
        pixels_size, pixels_at, file.size());
  const std::string_view pixels = file.substr(pixels_at, pixels_size);

  // The header anew, as stb_image takes it: of 40 bytes, the masks or all colours that an index can name, the pixels.
  std::string header(file_header + info_header, '\0');
  const auto put = [&](std::size_t at, std::uint32_t value, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) header[at + i] = static_cast<char>(value >> 8 * i);
  };
  if (masks) {
    const std::uint32_t red = number(54, 4), green = number(58, 4), blue = number(62, 4);
    check(is_mask(red) && is_mask(green) && is_mask(blue) && !(red & green) && !(red & blue) && !(green & blue),
          "colour masks {:#x}, {:#x}, {:#x}, expected 1 to 8 bits side by side in each", red, green, blue);
    header += file.substr(54, 12);
  }
  if (indices) {
    const std::size_t most = std::size_t{1} << bits, declared = old ? 0 : number(46, 4);
    const std::size_t colours =
        std::min({most, declared == 0 ? most : declared, (pixels_at - colours_at) / colour_size});
    const std::uint32_t largest = largest_index(pixels, row_size, static_cast<std::size_t>(width), bits);
    check(largest < colours, "a pixel of colour {}, its palette has {}", largest, colours);
    for (std::size_t i = 0; i < most; ++i) {
      header += i < colours ? file.substr(colours_at + i * colour_size, 3) : std::string_view("\0\0\0", 3);
      header += '\0';
    }
  }
  header.replace(0, 2, "BM");
  put(10, static_cast<std::uint32_t>(header.size()), 4);
  put(14, info_header, 4);
  put(18, static_cast<std::uint32_t>(width), 4);
  put(22, static_cast<std::uint32_t>(signed_height), 4);
  put(26, 1, 2);
  put(28, static_cast<std::uint32_t>(bits), 2);
  put(30, compression, 4);
  picture.made.assign(header.begin(), header.end());
  picture.keep({picture.made.data(), picture.made.size()});
  picture.keep(pixels);
  return picture;
}

}  // namespace tern::picture
