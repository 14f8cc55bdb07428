/// Pictures that are damaged, or made to do damage: an error that says what is wrong, in bounded time and memory.

#include <tern/data/image.hpp>
#include <tern/kernels/error.hpp>

#include <data/temporary_folder.hpp>
#include <folders.hpp>
#include <random.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <malloc.h>
#include <sstream>
#include <string>
#include <vector>

using Catch::Matchers::Contains;
using tern::Tensor;
using tern::test::Random;
using tern::test::TemporaryFolder;

namespace {

namespace fs = std::filesystem;

const std::string pictures = tern::test::in_tree("tests/data/pictures/");

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string big_endian(std::size_t value, int size) {
  std::string bytes;
  for (int i = size - 1; i >= 0; --i) bytes += static_cast<char>(value >> 8 * i);
  return bytes;
}

std::string with(std::string bytes, std::size_t at, const std::string& part) {
  return bytes.replace(at, part.size(), part);
}

/// Bit by bit: x^32 + x^26 + x^23 + x^22 + x^16 + x^12 + x^11 + x^10 + x^8 + x^7 + x^5 + x^4 + x^2 + x + 1, reflected.
std::uint32_t crc(const std::string& bytes) {
  std::uint32_t value = 0xffffffff;
  for (const char c : bytes) {
    value ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) value = value & 1 ? value >> 1 ^ 0xedb88320u : value >> 1;
  }
  return ~value;
}

std::string chunk(const std::string& type, const std::string& data) {
  return big_endian(data.size(), 4) + type + data + big_endian(crc(type + data), 4);
}

const std::string png_start = "\x89PNG\r\n\x1a\n", png_end = chunk("IEND", "");

std::string png_header(std::size_t width, std::size_t height, int depth, int colour, int interlace = 0) {
  return png_start + chunk("IHDR", big_endian(width, 4) + big_endian(height, 4) + static_cast<char>(depth) +
                                       static_cast<char>(colour) + std::string(2, '\0') + static_cast<char>(interlace));
}

/// The PNG with its CRCs made right.
std::string mended(const std::string& png) {
  std::string to = png.substr(0, 8);
  for (std::size_t at = 8; at + 12 <= png.size();) {
    std::size_t size = 0;
    for (std::size_t i = 0; i < 4; ++i) size = size << 8 | static_cast<unsigned char>(png[at + i]);
    if (size > png.size() - at - 12) return png;
    to += chunk(png.substr(at + 4, 4), png.substr(at + 8, size));
    at += 12 + size;
  }
  return to;
}

std::string segment(int marker, const std::string& data) {
  return std::string(1, '\xff') + static_cast<char>(marker) + big_endian(data.size() + 2, 2) + data;
}

const std::string jpeg_start = "\xff\xd8", jpeg_end = "\xff\xd9",
                  tables = segment(0xdb, std::string(1, '\0') + std::string(64, 1)) +
                           // One code of one bit, 0: that the first coefficient is as it was, and that none follow.
                           segment(0xc4, std::string("\x00\x01", 2) + std::string(15 + 1, '\0')) +
                           segment(0xc4, std::string("\x10\x01", 2) + std::string(15 + 1, '\0'));

/// Of one component, 8 bits.
std::string grey_frame(int marker, std::size_t width, std::size_t height, int samples = 0x11) {
  return segment(marker, "\x08" + big_endian(height, 2) + big_endian(width, 2) + "\x01\x01" +
                             static_cast<char>(samples) + std::string(1, '\0'));
}

/// The header of a scan of one component.
std::string grey_scan(int first, int last, int bits) {
  return segment(0xda, std::string("\x01\x01\x00", 3) + static_cast<char>(first) + static_cast<char>(last) +
                           static_cast<char>(bits));
}

std::string little_endian(std::size_t value, int size) {
  std::string bytes;
  for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> 8 * i);
  return bytes;
}

/// What the system says of this process, in KiB.
std::int64_t kibibytes(const std::string& what) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(what + ":")) return std::stoll(line.substr(what.size() + 1));
  }
  FAIL("no " << what);
  return 0;
}

/// Reads it, and holds it to a second of the processor and to 256 MiB.
void in_bounds(const std::function<void()>& read_it) {
  std::ofstream("/proc/self/clear_refs") << '5';  // the peak is what there is now
  [[maybe_unused]] const std::int64_t before = kibibytes("VmRSS");
  const std::clock_t start = std::clock();
  read_it();
  CHECK(std::clock() - start < CLOCKS_PER_SEC);
#ifndef __SANITIZE_ADDRESS__  // which keeps what was freed
  CHECK(kibibytes("VmHWM") - before < 256 << 10);
#endif
}

/// An error in bounds, which names the file and says this.
void check_refused(const fs::path& path, const std::string& reason) {
  in_bounds([&] {
    CHECK_THROWS_MATCHES(tern::read_image(path), tern::Error,
                         Catch::Matchers::Predicate<tern::Error>(
                             [&](const tern::Error& e) {
                               const std::string what = e.what();
                               UNSCOPED_INFO(what);
                               return what.starts_with("read_image: " + path.string() + ": ") &&
                                      what.find(reason) != std::string::npos && what.find('\n') == std::string::npos;
                             },
                             "names the file and says: " + reason));
  });
}

void check_bytes_refused(const std::string& bytes, const std::string& reason) {
  const TemporaryFolder folder;
  std::ofstream(folder / "picture", std::ios::binary) << bytes;
  check_refused(folder / "picture", reason);
}

}  // namespace

TEST_CASE("files that were found to crash a decoder, to take its memory or to be half there are refused") {
  const std::pair<const char*, const char*> cases[] = {
      {"stb_dht_crash.jpg", "a Huffman table of 765 symbols, expected at most 256"},
      {"sof_eoi.jpg", "no scan has its component 1"},
      {"arithmetic.jpg", "a frame of kind 0xc9, expected baseline, extended or progressive with Huffman codes"},
      {"pal_beyond8.png", "pixels of a colour that its palette lacks"},
      {"rgb_noend.png", "it is cut off: no chunk IEND"},
      {"rgb_half.bmp", "it is cut off: 64 x 48 pixels take 9216 bytes from byte 54, it has 4635"},
      {"bmp_header_8000.bmp", "it is cut off: 8000 x 8000 pixels take 192000000 bytes from byte 54, it has 54"}};
  for (const auto& [file, reason] : cases) {
    INFO(file);
    check_refused(pictures + "bad/" + file, reason);
  }
}

TEST_CASE("a picture that is cut off anywhere is refused") {
  const TemporaryFolder folder;
  for (const auto& entry : fs::recursive_directory_iterator(pictures)) {
    const std::string ending = entry.path().extension();
    if ((ending != ".png" && ending != ".jpg" && ending != ".bmp") || entry.path().parent_path().filename() == "bad")
      continue;
    const std::string whole = read(entry.path());
    for (std::size_t length = 0; length < whole.size(); length += length < 64 ? 1 : 7) {
      INFO(entry.path() << " cut to " << length << " of " << whole.size());
      std::ofstream(folder / "cut", std::ios::binary) << whole.substr(0, length);
      CHECK_THROWS_WITH(tern::read_image(folder / "cut"), Contains((folder / "cut").string()));
    }
    CHECK_NOTHROW(tern::read_image(entry.path()));
  }
}

TEST_CASE("PNG files with a wrong structure are refused") {
  const std::string rgb = read(pictures + "rgb.png"), palette = read(pictures + "palette4.png");
  const std::string header = png_header(8, 8, 8, 2);
  // 8 rows of zeros, 25 bytes each, as zlib packs them.
  const std::string zeros("\x78\x01\x63\x60\x18\x1e\x00\x00\x00\xc8\x00\x01", 12), pixels = chunk("IDAT", zeros);
  CHECK(tern::read_image(pictures + "rgb.png").shape() == tern::Shape{3, 12, 20});

  const std::pair<std::string, std::string> cases[] = {
      {png_start, "no chunk IEND"},
      {png_start + png_end, "chunk IEND first, expected IHDR"},
      {header + png_end, "it has no chunk IDAT"},
      {header + chunk("IDAT", "") + png_end, "it has no chunk IDAT"},
      {header + header.substr(8) + pixels + png_end, "chunk IHDR again"},
      {header + chunk("SOME", "") + pixels + png_end, "a chunk SOME, which PNG has not"},
      {header + chunk("a\x1b[m", "") + pixels + png_end, "a chunk whose name is no four letters"},
      {header + pixels + chunk("tEXt", "x") + pixels + png_end, "chunks IDAT with others between them"},
      {header + chunk("IDAT", zeros.substr(0, 4)) + png_end, ""},
      {header + chunk("IDAT", "none of it is packed") + png_end, ""},
      {with(rgb, 12 + 8 + 4, "\xff"), "chunk IHDR has a wrong CRC"},
      {with(rgb, rgb.find("IDAT") + 20, "\xff"), "chunk IDAT has a wrong CRC"},
      // Declared sizes.
      {png_header(0, 8, 8, 2) + pixels + png_end, "a size of 0 x 8"},
      {png_header(8193, 8193, 8, 0) + pixels + png_end, "a size of 8193 x 8193, expected at most 67108864 pixels"},
      {png_header(0xffffffff, 0xffffffff, 8, 2) + pixels + png_end, "a size of 4294967295 x 4294967295"},
      {png_header(8192, 8192, 16, 6) + pixels + png_end, "536870912 bytes of pixels, expected at most 268435456"},
      {png_header(8000, 8000, 8, 2) + pixels + png_end,
       "8000 x 8000 pixels in 12 bytes, which cannot unpack to so many"},
      {png_header(8000, 8000, 8, 2, 1) + pixels + png_end, "8000 x 8000 pixels in 12 bytes"},
      {png_header(8, 9, 8, 2) + pixels + png_end, ""},
      // Types of colours.
      {png_header(8, 8, 16, 3) + pixels + png_end, "colours of type 3 with 16 bits"},
      {png_header(8, 8, 4, 2) + pixels + png_end, "colours of type 2 with 4 bits"},
      {png_header(8, 8, 3, 0) + pixels + png_end, "colours of type 0 with 3 bits"},
      {png_header(8, 8, 8, 5) + pixels + png_end, "colours of type 5 with 8 bits"},
      {png_header(8, 8, 8, 2, 2) + pixels + png_end, "interlace 2"},
      // Palettes.
      {png_header(8, 8, 8, 3) + pixels + png_end, "pixels before their palette"},
      {png_header(8, 8, 8, 3) + chunk("PLTE", "") + pixels + png_end, "a palette of 0 bytes"},
      {png_header(8, 8, 8, 3) + chunk("PLTE", "abcd") + pixels + png_end, "a palette of 4 bytes"},
      {png_header(8, 8, 1, 3) + chunk("PLTE", "abcdefghi") + pixels + png_end, "a palette of 9 bytes"},
      {png_header(8, 8, 8, 3) + chunk("PLTE", "abc") + chunk("PLTE", "abc") + pixels + png_end, "a chunk PLTE again"},
      {header + pixels + chunk("PLTE", "abc") + png_end, "a chunk PLTE behind the pixels"}};
  for (const auto& [bytes, reason] : cases) {
    INFO(reason);
    check_bytes_refused(bytes, reason);
  }

  // Every colour of the picture is needed.
  const std::size_t at = palette.find("PLTE");
  const std::string before = palette.substr(0, at - 4), behind = palette.substr(at + 4 + 45 + 4);
  for (std::size_t colours = 1; colours < 15; ++colours) {
    INFO(colours << " colours of 15");
    check_bytes_refused(before + chunk("PLTE", std::string(3 * colours, 'x')) + behind,
                        "colour that its palette lacks");
  }
  const TemporaryFolder folder;
  std::ofstream(folder / "png", std::ios::binary) << header << chunk("tEXt", "x") << pixels << png_end << "more";
  CHECK(tern::read_image(folder / "png").to_vector<std::uint8_t>() == std::vector<std::uint8_t>(3 * 8 * 8));
}

TEST_CASE("JPEG files with a wrong structure are refused") {
  const std::string rgb = read(pictures + "rgb.jpg"), progressive = read(pictures + "progressive.jpg"),
                    restarts = read(pictures + "restarts.jpg");
  const std::string one = grey_frame(0xc0, 8, 8), scan = grey_scan(0, 63, 0), data(1, '\x3f');
  const std::string good = jpeg_start + tables + one + scan + data + jpeg_end;
  const TemporaryFolder folder;
  std::ofstream(folder / "jpeg", std::ios::binary) << good << "more";
  CHECK(tern::read_image(folder / "jpeg").to_vector<std::uint8_t>() == std::vector<std::uint8_t>(3 * 8 * 8, 128));

  const auto huffman = [](const std::string& counts, std::size_t symbols) {
    return segment(0xc4,
                   std::string(1, '\0') + counts + std::string(16 - counts.size(), '\0') + std::string(symbols, 0));
  };
  const std::string late = grey_frame(0xc2, 8, 8);
  const std::string first = grey_scan(0, 0, 0) + std::string(1, '\x7f'),
                    ac = grey_scan(1, 5, 0) + std::string(1, '\x7f');
  const std::size_t sof = rgb.find("\xff\xc0"), sos = rgb.find("\xff\xda"), eoi = rgb.size() - 2;
  const std::pair<std::string, std::string> cases[] = {
      {jpeg_start, "no end of image"},
      {jpeg_start + jpeg_end, "it has no frame"},
      {jpeg_start + tables + one + jpeg_end, "no scan has its component 1"},
      {jpeg_start + tables + scan + data + jpeg_end, "a scan before its frame"},
      {jpeg_start + tables + one + one + scan + data + jpeg_end, "a second frame"},
      {jpeg_start + tables + one + scan + data + scan + data + jpeg_end, "a scan of component 1 again"},
      {jpeg_start + jpeg_start + jpeg_end, "a second start of image"},
      {jpeg_start + tables + one + segment(0xdc, std::string("\0\x08", 2)) + jpeg_end, "its height stands behind"},
      {jpeg_start + one + scan + data + jpeg_end, "a scan of component 1 before its tables"},
      {jpeg_start + tables.substr(0, tables.size() - 22) + one + scan + data + jpeg_end, "before its tables"},
      {jpeg_start + tables + one + scan + jpeg_end, "a scan of 1 blocks in 0 bytes"},
      // Tables.
      {jpeg_start + huffman("\x02", 2) + good.substr(2), "a Huffman table of too many codes of 1 bits"},
      {jpeg_start + huffman("\x01\x02", 3) + good.substr(2), "a Huffman table of too many codes of 2 bits"},
      {jpeg_start + huffman(std::string("\0\0\0\0\0\0\0\0\xff\xff", 10), 510) + good.substr(2),
       "a Huffman table of 510 symbols"},
      {jpeg_start + huffman("\x01", 0) + good.substr(2), "a Huffman table of 1 symbols, expected at most 0"},
      {jpeg_start + segment(0xc4, std::string(5, '\0')) + good.substr(2), "a Huffman table that is cut off"},
      {jpeg_start + segment(0xc4, "\x20" + std::string(16, '\0')) + good.substr(2), "a Huffman table 0 of kind 2"},
      {jpeg_start + segment(0xc4, std::string("\x00\x01", 2) + std::string(15, '\0') + '\x10') + good.substr(2),
       "a first coefficient of more than 15 bits"},
      {jpeg_start + segment(0xdb, std::string(64, '\0')) + good.substr(2), "a quantisation table that is cut off"},
      {jpeg_start + segment(0xdb, "\x04" + std::string(64, '\0')) + good.substr(2), "a quantisation table 4"},
      {jpeg_start + segment(0xdd, "x") + good.substr(2), "a restart interval of 1 bytes"},
      // Frames.
      {jpeg_start + tables + grey_frame(0xc3, 8, 8) + scan + data + jpeg_end, "a frame of kind 0xc3"},
      {jpeg_start + tables + grey_frame(0xc9, 8, 8) + scan + data + jpeg_end, "a frame of kind 0xc9"},
      {jpeg_start + tables + grey_frame(0xc0, 8, 0) + scan + data + jpeg_end, "a size of 8 x 0"},
      {jpeg_start + tables + grey_frame(0xc0, 0, 8) + scan + data + jpeg_end, "a size of 0 x 8"},
      {jpeg_start + tables + grey_frame(0xc0, 8, 8, 0x51) + scan + data + jpeg_end, "5 x 1 samples"},
      {jpeg_start + tables + grey_frame(0xc0, 65535, 65535) + scan + data + jpeg_end, "at most 67108864 pixels"},
      {jpeg_start + tables + grey_frame(0xc0, 8192, 8192) + scan + data + jpeg_end,
       "a scan of 1048576 blocks in 1 bytes"},
      {jpeg_start + tables + grey_frame(0xc2, 8192, 8192) + grey_scan(0, 0, 0) + data + jpeg_end,
       "a scan of 1048576 blocks in 1 bytes"},
      {with(rgb, sof + 4, "\x0c"), "12 bits a value"},
      {with(rgb, sof + 9, "\x02"), "2 components"},
      {with(rgb, sof + 9, "\x04"), "a frame of 15 bytes for 4 components"},
      {with(with(rgb, sof + 11, "\x41"), sof + 14, "\x31"), "component 2: 3 x 1 samples beside 4 x 1"},
      {with(with(rgb, sof + 11, "\x44"), sof + 14, "\x11"), "a scan of 18 blocks in a unit"},
      {with(rgb, sof + 13, "\x01"), "two components 1"},
      // Scans.
      {with(rgb, sos + 5, "\x09"), "a scan of component 9, which the frame has not"},
      {with(rgb, sos + 7, "\x01"), "a scan of component 1, twice"},
      {with(rgb, sos + 6, "\x44"), "Huffman tables 4 and 4"},
      {jpeg_start + tables + late + ac + jpeg_end, "before that of its first coefficients"},
      {jpeg_start + tables + late + first + first + jpeg_end, "a scan of component 1 again"},
      {jpeg_start + tables + late + first + ac + ac + jpeg_end, "a scan of component 1 again"},
      {jpeg_start + tables + late + first + grey_scan(1, 5, 0x10) + data + jpeg_end, "before its time"},
      {jpeg_start + tables + late + first + grey_scan(5, 1, 0) + data + jpeg_end, "coefficients 5 to 1"},
      {jpeg_start + tables + late + first + grey_scan(1, 64, 0) + data + jpeg_end, "coefficients 1 to 64"},
      {jpeg_start + tables + late + grey_scan(0, 63, 0) + data + jpeg_end, "coefficients 0 to 63"},
      {jpeg_start + tables + late + grey_scan(0, 0, 0x0e) + data + jpeg_end, "bits 0 to 14"},
      {jpeg_start + tables + late + first + grey_scan(1, 5, 0x31) + data + jpeg_end, "bits 3 to 1"},
      // Restart markers: one left out, one twice, one where none is due.
      {std::string(restarts).erase(restarts.find("\xff\xd1"), 2), "restart marker 2 in place of 1"},
      {std::string(restarts).insert(restarts.find("\xff\xd1"), "\xff\xd0"), "restart marker 0 in place of 1"},
      {with(restarts, restarts.find("\xff\xdd") + 4, std::string("\0\x02", 2)), "restart markers, expected"},
      {std::string(rgb).insert(sos + 100, "\xff\xd0"), "a scan with 1 restart markers, expected 0"},
      // Data that ends early, though an end of image follows.
      {std::string(rgb).erase(eoi - 30, 30), ""},
      {std::string(rgb).erase(sos + 40, eoi - sos - 40), ""},
      {std::string(restarts).erase(restarts.find("\xff\xd1") - 20, 20), ""},
      {std::string(progressive).erase(progressive.size() - 12, 10), ""}};
  for (const auto& [bytes, reason] : cases) {
    INFO(reason);
    check_bytes_refused(bytes, reason);
  }
  CHECK_THROWS_WITH(tern::read_image(pictures + "bad/sof_eoi.jpg"), Contains("sof_eoi.jpg"));
}

TEST_CASE("a JPEG file of very many scans is refused") {
  // 8192 x 8192 in 131 kB: a bit a block for the first coefficients, and one code for 16384 blocks in each later scan.
  const std::string run = segment(0xc4, std::string("\x10\x01", 2) + std::string(15, '\0') + '\xe0');
  std::string bomb =
      jpeg_start + tables + run + grey_frame(0xc2, 8192, 8192) + grey_scan(0, 0, 0) + std::string(1 << 17, '\0');
  for (int k = 1; k < 64; ++k) {
    for (int bit = 13; bit >= 0; --bit) {
      bomb += grey_scan(k, k, bit == 13 ? bit : (bit + 1) << 4 | bit) + std::string(120, '\0');
    }
  }
  check_bytes_refused(bomb + jpeg_end, "scans of more than 33554432 blocks together");
}

TEST_CASE("BMP files with a wrong structure are refused") {
  const std::string rgb = read(pictures + "rgb.bmp"), palette = read(pictures + "palette4.bmp"),
                    old = read(pictures + "palette4_os2.bmp"), masks = read(pictures + "rgb565.bmp");
  const std::pair<std::string, std::string> cases[] = {
      {"BM", "it is cut off: 2 bytes"},
      {rgb.substr(0, 40), "it is cut off: 40 bytes, its header has 54"},
      {with(rgb, 14, little_endian(64, 4)), "a header of 64 bytes"},
      {with(rgb, 18, little_endian(0, 4)), "a size of 0 x 12"},
      {with(rgb, 18, little_endian(0xffffffff, 4)), "a size of -1 x 12"},
      {with(rgb, 22, little_endian(0x80000000, 4)), "a size of 20 x 2147483648"},
      {with(rgb, 22, little_endian(13, 4)), "it is cut off: 20 x 13 pixels"},
      {with(rgb, 10, little_endian(55, 4)), "it is cut off: 20 x 12 pixels take 720 bytes from byte 55"},
      {with(rgb, 10, little_endian(53, 4)), "pixels from byte 53"},
      {with(rgb, 10, little_endian(0xffffffff, 4)), "it is cut off"},
      {with(rgb, 28, little_endian(48, 2)), "48 bits a pixel"},
      {with(rgb, 28, little_endian(0, 2)), "0 bits a pixel"},
      {with(rgb, 30, little_endian(1, 4)), "compression 1 with 24 bits a pixel"},
      {with(rgb, 30, little_endian(3, 4)), "compression 3 with 24 bits a pixel"},
      {with(masks, 54, little_endian(0, 4)), "colour masks 0x0, 0x7e0, 0x1f"},
      {with(masks, 54, little_endian(0xff80, 4)), "colour masks 0xff80"},
      {with(masks, 54, little_endian(0xf001, 4)), "colour masks 0xf001"},
      {with(masks, 54, little_endian(0x1f, 4)), "colour masks 0x1f, 0x7e0, 0x1f"},
      // 15 colours, of which the last is used.
      {with(palette, 46, little_endian(14, 4)), "a pixel of colour 14, its palette has 14"},
      {with(palette, palette.size() - 3, "\xff"), "a pixel of colour 15, its palette has 15"},
      {with(old, old.size() - 3, "\xff"), "a pixel of colour 15, its palette has 15"},
      {with(old, 10, little_endian(14 + 12, 4)), "its palette has 0"}};
  for (const auto& [bytes, reason] : cases) {
    INFO(reason);
    check_bytes_refused(bytes, reason);
  }
}

TEST_CASE("files that are no picture, or too long for one, are refused without being read through") {
  check_refused("/dev/zero", "expected a JPEG, PNG or BMP picture");
  const TemporaryFolder folder;
  std::ofstream(folder / "long", std::ios::binary) << "words";
  fs::resize_file(folder / "long", std::uintmax_t{1} << 40);
  check_refused(folder / "long", "expected a JPEG, PNG or BMP picture");
  std::ofstream(folder / "bmp", std::ios::binary) << read(pictures + "rgb.bmp");
  fs::resize_file(folder / "bmp", (std::uintmax_t{1} << 28) + 1);
  CHECK_THROWS_WITH(tern::read_image(folder / "bmp"), Contains("more than 268435456 bytes"));
}

TEST_CASE("a damaged picture is an error or a picture, the same whatever lies in memory") {
  const TemporaryFolder folder;
  // The picture's pixels, or why there is none.
  const auto outcome = [&](const std::string& bytes, int filling) {
    std::ofstream(folder / "damaged", std::ios::binary) << bytes;
    mallopt(M_PERTURB, filling);
    std::string result;
    try {
      const auto pixels = tern::read_image(folder / "damaged").to_vector<std::uint8_t>();
      result.assign(pixels.begin(), pixels.end());
    } catch (const tern::Error& e) {
      result = e.what();
    }
    mallopt(M_PERTURB, 0);
    return result;
  };
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(pictures)) {
    if (entry.is_regular_file() && entry.path().extension() != ".py") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  REQUIRE(files.size() > 60);
  std::vector<std::string> contents;
  for (const fs::path& file : files) contents.push_back(read(file));
  tern::test::for_each_case(2000, [&](Random& random) {
    const auto i = static_cast<std::size_t>(random.integer(0, static_cast<std::int64_t>(files.size()) - 1));
    std::string bytes = contents[i];
    INFO(files[i]);
    for (std::int64_t n = random.integer(1, 4); n > 0; --n) {
      const auto at = static_cast<std::size_t>(random.integer(0, static_cast<std::int64_t>(bytes.size()) - 1));
      const std::int64_t kind = random.integer(0, 3);
      if (kind == 0) bytes.erase(at, static_cast<std::size_t>(random.integer(1, 20)));
      if (bytes.size() <= at) break;
      if (kind == 1) bytes.insert(at, bytes.substr(at / 2, 20));
      if (kind >= 2) bytes[at] = static_cast<char>(random.integer(0, 255));
    }
    if (files[i].extension() == ".png") bytes = mended(bytes);
    in_bounds([&] { CHECK(outcome(bytes, 0x55) == outcome(bytes, 0xaa)); });
  });
}
