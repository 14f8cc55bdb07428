/// PNG by libpng, row by row.

#include <tern/core/check.hpp>
#include <tern/data/picture/picture.hpp>

#include <algorithm>
#include <cstring>

#include <png.h>

namespace tern::picture {

namespace {

struct Decoder {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::string message;
  std::vector<std::string_view> left;  ///< parts of the file, the next one last
  std::vector<std::uint8_t> row;

  ~Decoder() { png_destroy_read_struct(&png, &info, nullptr); }
};

void on_error(png_structp png, png_const_charp message) {
  static_cast<Decoder*>(png_get_error_ptr(png))->message = message;
  png_longjmp(png, 1);
}

void read(png_structp png, png_bytep to, std::size_t size) {
  auto& left = static_cast<Decoder*>(png_get_io_ptr(png))->left;
  while (size > 0) {
    if (left.empty()) png_error(png, "the data ends early");
    std::string_view& part = left.back();
    const std::size_t here = std::min(size, part.size());
    std::memcpy(to, part.data(), here);
    to += here;
    size -= here;
    part.remove_prefix(here);
    if (part.empty()) left.pop_back();
  }
}

/// False where the library gave up; d.message says why. Nothing here has a destructor that the jump would miss.
bool decode(Decoder& d, const Picture& picture, Canvas& canvas) {
  if (setjmp(png_jmpbuf(d.png)) != 0) return false;
  png_set_user_limits(d.png, max_pixels, max_pixels);
  png_set_chunk_malloc_max(d.png, max_bytes);
  png_set_read_fn(d.png, &d, read);
  png_read_info(d.png, d.info);
  const int colours = png_get_color_type(d.png, d.info);
  if (picture.palette) {
    png_set_palette_to_rgb(d.png);
    png_set_tRNS_to_alpha(d.png);
  } else {
    png_set_strip_alpha(d.png);
    png_set_strip_16(d.png);
    if (colours == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(d.png);
  }
  const bool interlaced = png_get_interlace_type(d.png, d.info) == PNG_INTERLACE_ADAM7;
  png_read_update_info(d.png, d.info);
  const int channels = png_get_channels(d.png, d.info);
  d.row.resize(png_get_rowbytes(d.png, d.info));
  const auto width = static_cast<png_uint_32>(picture.width), height = static_cast<png_uint_32>(picture.height);
  for (int pass = 0; pass < (interlaced ? PNG_INTERLACE_ADAM7_PASSES : 1); ++pass) {
    const png_uint_32 columns = interlaced ? PNG_PASS_COLS(width, pass) : width;
    const png_uint_32 rows = interlaced ? PNG_PASS_ROWS(height, pass) : height;
    if (columns == 0) continue;
    for (png_uint_32 i = 0; i < rows; ++i) {
      png_read_row(d.png, d.row.data(), nullptr);
      if (interlaced) {
        canvas.put(PNG_PASS_START_COL(pass), PNG_ROW_FROM_PASS_ROW(i, pass), PNG_PASS_COL_OFFSET(pass), columns,
                   d.row.data(), channels);
      } else {
        canvas.put(0, i, 1, columns, d.row.data(), channels);
      }
    }
  }
  png_read_end(d.png, nullptr);
  return true;
}

}  // namespace

void decode_png(const Picture& picture, Canvas& canvas) {
  Decoder d;
  d.left.assign(picture.parts.rbegin(), picture.parts.rend());
  d.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &d, on_error, [](png_structp, png_const_charp) {});
  if (d.png) d.info = png_create_info_struct(d.png);
  check(d.info != nullptr, "libpng: no memory");
  check(decode(d, picture, canvas), "libpng: {}", d.message);
}

}  // namespace tern::picture
