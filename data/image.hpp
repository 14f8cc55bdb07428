#pragma once

#include <tern/core/tensor.hpp>

#include <cstdint>
#include <filesystem>
#include <string>

namespace tern {

/// The picture in a JPEG (Huffman codes of 8-bit values, baseline to progressive), PNG or BMP (not compressed) file as
/// uint8 [3, H, W]: grey is widened to three equal channels, alpha is dropped, of 16 bits the upper 8 stay, four inks are
/// mixed as Adobe writes them, and it is turned as its EXIF orientation says.
///
/// The file may come from anywhere. Its structure is checked before it is decoded, and what cannot be told from that, by
/// what was delivered: a file that is cut off, whose data ends early, or that uses a colour beyond its palette is an
/// error. It may have at most 2^28 bytes and 2^26 pixels, PNG at most 2^28 bytes unpacked, JPEG of several scans at most
/// 2^28 bytes of coefficients and 2^25 blocks in all scans; time grows with bytes, pixels and blocks alone. Memory: the
/// file, the picture, those coefficients, and some rows. (Where JPEG and PNG are read by stb_image, six bytes a pixel more.)
/// Throws Error naming the file and what is wrong with it.
Tensor read_image(const std::filesystem::path& path);

/// Writes a uint8 [3, H, W] or [1, H, W] picture, to a file that appears whole or not at all. Throws Error for another
/// shape or where it cannot write.
void write_png(const std::filesystem::path& path, const Tensor& image);

/// The bytes of such a file. Throws Error for another shape.
std::string encode_png(const Tensor& image);

/// uint8 [C, H, W] to [C, height, width]: the mean over the area that a new pixel covers along a side that shrinks,
/// linear interpolation between pixel centres along one that grows. Throws Error for a size of zero.
Tensor resize(const Tensor& image, std::int64_t height, std::int64_t width);

/// The middle of [C, H, W], a view of [C, height, width]. Throws Error where the image is smaller than that.
Tensor center_crop(const Tensor& image, std::int64_t height, std::int64_t width);

/// The largest square in the middle of a uint8 [C, H, W] picture, resized to [C, size, size]: any photograph in the
/// form that a network for CIFAR-10 takes.
Tensor resize_to_square(const Tensor& image, std::int64_t size);

}  // namespace tern
