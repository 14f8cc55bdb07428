#include <tern/data/image.hpp>

#include <tern/core/dispatch.hpp>
#include <tern/core/file.hpp>
#include <tern/data/picture/picture.hpp>

#define STB_IMAGE_RESIZE_IMPLEMENTATION
#define STB_IMAGE_RESIZE_STATIC
#include <stb_image_resize.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <stb_image_write.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

namespace tern {

namespace {

/// Planes of n pixels to pixels of `channels` values.
std::vector<std::uint8_t> interleaved(const std::uint8_t* planes, std::int64_t channels, std::int64_t n) {
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(channels * n));
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::int64_t i = 0; i < n; ++i) pixels[static_cast<std::size_t>(i * channels + c)] = planes[c * n + i];
  }
  return pixels;
}

void check_image(const char* op, const Tensor& image) {
  check_defined(op, "image", image);
  check(image.dtype() == DType::uint8 && image.dim() == 3 && image.device().on_host() && image.numel() > 0,
        "{}: image {} of {} on {}, expected [C, H, W] of uint8 on the cpu", op, image.shape(), name_of(image.dtype()),
        image.device().str());
}

/// The bytes of a PNG file; `op` is who asks.
std::string png_bytes(const char* op, const Tensor& image) {
  check_image(op, image);
  const std::int64_t channels = image.size(0), height = image.size(1), width = image.size(2);
  check(channels == 1 || channels == 3, "{}: image {}, expected [3, H, W] or [1, H, W]", op, image.shape());
  const Tensor planes = image.contiguous();
  const auto pixels = interleaved(planes.data<std::uint8_t>(), channels, height * width);
  std::string bytes;
  const auto append = [](void* to, void* part, int size) {
    static_cast<std::string*>(to)->append(static_cast<const char*>(part), static_cast<std::size_t>(size));
  };
  const bool done =
      stbi_write_png_to_func(append, &bytes, static_cast<int>(width), static_cast<int>(height),
                             static_cast<int>(channels), pixels.data(), static_cast<int>(width * channels));
  check(done, "{}: no memory for an image {}", op, image.shape());
  return bytes;
}

/// All bytes, unless it does not begin as a picture does or has too many.
std::string read_picture(std::FILE& file) {
  constexpr auto most = static_cast<std::size_t>(picture::max_bytes);
  std::string bytes(std::size_t{1} << 16, '\0');
  for (std::size_t size = 0;;) {
    size += std::fread(bytes.data() + size, 1, bytes.size() - size, &file);
    check(std::ferror(&file) == 0, "{}", std::strerror(errno));
    if (size < bytes.size()) {
      bytes.resize(size);
      return bytes;
    }
    picture::check_kind(bytes);
    check(size <= most, "more than {} bytes", most);
    bytes.resize(std::min(2 * size, most + 1));
  }
}

}  // namespace

Tensor read_image(const std::filesystem::path& path) {
  const std::string name = path.string();
  std::error_code unknown;
  check(!std::filesystem::is_directory(path, unknown), "read_image: {} is a folder, expected a picture", name);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(name.c_str(), "rb"), std::fclose);
  check(file != nullptr, "read_image: {}: {}", name, std::strerror(errno));

  try {
    return picture::decode(read_picture(*file));
  } catch (const std::exception& e) {
    fail("read_image: {}: {}", name, e.what());
  }
}

std::string encode_png(const Tensor& image) { return png_bytes("encode_png", image); }

void write_png(const std::filesystem::path& path, const Tensor& image) {
  write_file(path, png_bytes("write_png", image));
}

Tensor resize(const Tensor& image, std::int64_t height, std::int64_t width) {
  check_image("resize", image);
  constexpr std::int64_t limit = 1 << 20;
  check(1 <= height && height <= limit && 1 <= width && width <= limit, "resize: to {} x {}, expected sizes of 1 to {}",
        height, width, limit);
  const Tensor from = image.contiguous();
  const std::int64_t channels = from.size(0), h = from.size(1), w = from.size(2);
  const Tensor to = empty({channels, height, width}, {.dtype = DType::uint8});
  const auto filter = [](std::int64_t before, std::int64_t after) {
    return after < before ? STBIR_FILTER_BOX : STBIR_FILTER_TRIANGLE;
  };
  for (std::int64_t c = 0; c < channels; ++c) {
    const int done =
        stbir_resize(from.data<std::uint8_t>() + c * h * w, static_cast<int>(w), static_cast<int>(h), 0,
                     to.data<std::uint8_t>() + c * height * width, static_cast<int>(width), static_cast<int>(height), 0,
                     STBIR_TYPE_UINT8, 1, STBIR_ALPHA_CHANNEL_NONE, 0, STBIR_EDGE_CLAMP, STBIR_EDGE_CLAMP,
                     filter(w, width), filter(h, height), STBIR_COLORSPACE_LINEAR, nullptr);
    check(done != 0, "resize: no memory to make {} into {} x {}", image.shape(), height, width);
  }
  return to;
}

Tensor center_crop(const Tensor& image, std::int64_t height, std::int64_t width) {
  check(image.defined() && image.dim() == 3 && 0 <= height && height <= image.size(1) && 0 <= width &&
            width <= image.size(2),
        "center_crop: {} x {} of {}, expected no more than a [C, H, W] image has", height, width,
        image.defined() ? image.shape().str() : "an undefined tensor");
  return image.narrow(1, (image.size(1) - height) / 2, height).narrow(2, (image.size(2) - width) / 2, width);
}

Tensor resize_to_square(const Tensor& image, std::int64_t size) {
  check_image("resize_to_square", image);
  const std::int64_t side = std::min(image.size(1), image.size(2));
  return resize(center_crop(image, side, side), size, size);
}

}  // namespace tern
