/// BMP by stb_image, and what the build has no library for.

#include <tern/core/check.hpp>
#include <tern/data/picture/picture.hpp>

#include <algorithm>
#include <cstdlib>
#include <memory>

namespace {

constexpr std::size_t most = 2 * tern::picture::max_bytes;  ///< that stb_image may ask for in one piece

// It takes memory to be written where the data ends early; zeros are at least nobody's.
void* zeroed(std::size_t size) { return size <= most ? std::calloc(size, 1) : nullptr; }
[[maybe_unused]] void* larger(void* old, std::size_t size) { return size <= most ? std::realloc(old, size) : nullptr; }

}  // namespace

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_ONLY_BMP
#ifndef TERN_LIBJPEG
#define STBI_ONLY_JPEG
#endif
#ifndef TERN_LIBPNG
#define STBI_ONLY_PNG
#endif
#define STBI_MAX_DIMENSIONS (1 << 26)
#define STBI_ASSERT(x) ((x) ? void() : tern::fail("stb_image: it contradicts itself"))
#define STBI_MALLOC(size) zeroed(size)
#define STBI_REALLOC(old, size) larger(old, size)
#define STBI_FREE(memory) std::free(memory)
#include <stb_image.h>

namespace tern::picture {

namespace {

std::string_view& text(void* user) { return *static_cast<std::string_view*>(user); }

int read(void* user, char* to, int size) {
  const std::size_t n = text(user).copy(to, static_cast<std::size_t>(size));
  text(user).remove_prefix(n);
  return static_cast<int>(n);
}

void skip(void* user, int size) {
  text(user).remove_prefix(std::min(text(user).size(), static_cast<std::size_t>(std::max(size, 0))));
}

int at_end(void* user) { return text(user).empty(); }

void decode(const Picture& picture, std::string_view file, Canvas& canvas) {
  const stbi_io_callbacks callbacks{read, skip, at_end};
  const int channels = picture.palette ? 4 : 3;
  int width = 0, height = 0, of_file = 0;
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_callbacks(&callbacks, &file, &width, &height, &of_file, channels), stbi_image_free);
  check(pixels != nullptr, "stb_image: {}", stbi_failure_reason());
  check(width == picture.width && height == picture.height, "stb_image: {} x {} pixels, expected {} x {}", width,
        height, picture.width, picture.height);
  for (std::int64_t y = 0; y < height; ++y) {
    canvas.put(0, y, 1, width, pixels.get() + y * width * channels, channels);
  }
}

}  // namespace

void decode_bmp(const Picture& picture, Canvas& canvas) { decode(picture, picture.joined(), canvas); }
#ifndef TERN_LIBJPEG
void decode_jpeg(const Picture& picture, Canvas& canvas) {
  const std::string file = picture.joined();
  check_jpeg_codes(file);
  decode(picture, file, canvas);
}
#endif
#ifndef TERN_LIBPNG
void decode_png(const Picture& picture, Canvas& canvas) { decode(picture, picture.joined(), canvas); }
#endif

}  // namespace tern::picture
