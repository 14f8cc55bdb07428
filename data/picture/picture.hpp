#pragma once

#include <tern/core/tensor.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// How read_image reads a file: its structure is checked first, then a decoder gets what was checked and nothing else.
/// What is thrown here is an Error that says what is wrong, without the file's name.
namespace tern::picture {

/// What a file may declare: so many pixels, and so many bytes of them unpacked or held for later scans.
inline constexpr std::int64_t max_pixels = std::int64_t{1} << 26, max_bytes = std::int64_t{1} << 28;

/// A file whose structure is right.
struct Picture {
  std::int64_t width = 0, height = 0;   ///< as the file keeps it, not turned
  int orientation = 1;                  ///< EXIF's, 1 to 8
  bool palette = false;                 ///< of a PNG: decoded to RGBA, where alpha 0 is a colour that the file lacks
  std::vector<std::string_view> parts;  ///< the file for the decoder, in pieces of the one that was read and of `made`
  std::vector<char> made;               ///< a header or palette written anew

  /// Adds a piece; pieces that lie side by side become one.
  void keep(std::string_view part);
  std::string joined() const;
};

/// Throws unless a picture of this size is read.
void check_size(std::int64_t width, std::int64_t height);

/// Walks through the segments: tables are whole and none of a Huffman table's codes is too many, the frame is one that
/// is decoded here, each scan has its tables, its coefficients are due, and its data could hold its blocks and has its
/// restart markers; it ends with an end of image, every component delivered.
Picture check_jpeg(std::string_view file);
/// Walks through the chunks: their order, CRCs and sizes, and whether the data could unpack to the pixels declared.
Picture check_png(std::string_view file);
/// The header, the pixels' bytes there, and every index in the palette.
Picture check_bmp(std::string_view file);

/// The orientation in an EXIF block, which is a TIFF header; 1 where there is none that makes sense.
int exif_orientation(std::string_view tiff);

/// Takes the pixels of a file, as uint8 [3, H, W] turned as its orientation says, and counts them.
class Canvas {
 public:
  explicit Canvas(const Picture& picture);

  /// Pixels x, x + dx, ... of the file's row y, `count` of them with 1 (grey), 3 (RGB) or 4 (RGBA) values each. A pixel
  /// of alpha 0 is not counted.
  void put(std::int64_t x, std::int64_t y, std::int64_t dx, std::int64_t count, const std::uint8_t* pixels,
           int channels);

  /// The picture; throws unless every pixel was delivered.
  Tensor image() const;

 private:
  Tensor image_;
  std::int64_t first_ = 0, step_x_, step_y_;  ///< of the file's pixels in a plane of the image
  std::int64_t delivered_ = 0;
  bool palette_;
};

/// Walks through the codes of a checked JPEG: throws where they end before the last block, or one is in no table.
void check_jpeg_codes(std::string_view file);

// A decoder puts all pixels or throws. Which source file has it depends on the libraries of the build.
void decode_jpeg(const Picture& picture, Canvas& canvas);
void decode_png(const Picture& picture, Canvas& canvas);
void decode_bmp(const Picture& picture, Canvas& canvas);

/// Throws unless the file begins as a JPEG, PNG or BMP does.
void check_kind(std::string_view file);
/// The picture in the bytes of a JPEG, PNG or BMP file, as read_image gives it.
Tensor decode(std::string_view file);

}  // namespace tern::picture
