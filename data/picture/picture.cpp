#include <tern/data/picture/picture.hpp>

#include <tern/core/check.hpp>
#include <tern/data/picture/bytes.hpp>

#include <array>
#include <utility>

namespace tern::picture {

void Picture::keep(std::string_view part) {
  if (!parts.empty() && parts.back().data() + parts.back().size() == part.data()) {
    parts.back() = {parts.back().data(), parts.back().size() + part.size()};
  } else {
    parts.push_back(part);
  }
}

std::string Picture::joined() const {
  std::string all;
  std::size_t size = 0;
  for (const std::string_view part : parts) size += part.size();
  all.reserve(size);
  for (const std::string_view part : parts) all += part;
  return all;
}

void check_size(std::int64_t width, std::int64_t height) {
  check(width > 0 && height > 0, "a size of {} x {}", width, height);
  check(width <= max_pixels / height, "a size of {} x {}, expected at most {} pixels", width, height, max_pixels);
}

int exif_orientation(std::string_view tiff) {
  using namespace std::string_view_literals;
  const bool big = tiff.starts_with("MM\0*"sv);
  if (!big && !tiff.starts_with("II*\0"sv)) return 1;
  // What lies beyond the block reads as 0.
  const auto number = [&](std::size_t at, std::size_t size) {
    if (at > tiff.size() || tiff.size() - at < size) return std::uint32_t{0};
    return big ? big_endian(tiff, at, size) : little_endian(tiff, at, size);
  };
  const std::size_t entries = number(4, 4), count = number(entries, 2);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t entry = entries + 2 + 12 * i;
    constexpr std::uint32_t orientation = 0x112, of_16_bits = 3;
    if (number(entry, 2) != orientation) continue;
    const std::uint32_t value = number(entry + 8, 2);
    return number(entry + 2, 2) == of_16_bits && 1 <= value && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Canvas::Canvas(const Picture& picture) : palette_(picture.palette) {
  // EXIF 2.32, 4.6.5.1.6: 5 to 8 have the file's rows as columns; the others are these, mirrored.
  const int o = picture.orientation;
  const bool turned = o >= 5, mirrored_x = o == 2 || o == 3 || o == 7 || o == 8,
             mirrored_y = o == 3 || o == 4 || o == 6 || o == 7;
  const std::int64_t width = turned ? picture.height : picture.width, height = turned ? picture.width : picture.height;
  image_ = empty({3, height, width}, {.dtype = DType::uint8});
  step_x_ = turned ? width : 1;
  step_y_ = turned ? 1 : width;
  if (mirrored_x) first_ += (picture.width - 1) * std::exchange(step_x_, -step_x_);
  if (mirrored_y) first_ += (picture.height - 1) * std::exchange(step_y_, -step_y_);
}

void Canvas::put(std::int64_t x, std::int64_t y, std::int64_t dx, std::int64_t count, const std::uint8_t* pixels,
                 int channels) {
  const std::int64_t plane = image_.size(1) * image_.size(2), step = dx * step_x_;
  for (int c = 0; c < 3; ++c) {
    std::uint8_t* to = image_.data<std::uint8_t>() + c * plane + first_ + x * step_x_ + y * step_y_;
    const std::uint8_t* from = pixels + (channels == 1 ? 0 : c);
    for (std::int64_t i = 0; i < count; ++i) to[i * step] = from[i * channels];
  }
  delivered_ += count;
  if (channels != 4) return;
  for (std::int64_t i = 0; i < count; ++i) delivered_ -= pixels[4 * i + 3] == 0;
}

Tensor Canvas::image() const {
  const std::int64_t declared = image_.size(1) * image_.size(2);
  if (palette_) check(delivered_ == declared, "{} pixels of a colour that its palette lacks", declared - delivered_);
  check(delivered_ == declared, "{} of its {} pixels are there", delivered_, declared);
  return image_;
}

namespace {

struct Format {
  std::string_view start;
  Picture (*check)(std::string_view);
  void (*decode)(const Picture&, Canvas&);
};

const Format& format_of(std::string_view file) {
  static constexpr std::array<Format, 3> formats{{{"\xff\xd8", check_jpeg, decode_jpeg},
                                                  {"\x89PNG\r\n\x1a\n", check_png, decode_png},
                                                  {"BM", check_bmp, decode_bmp}}};
  for (const Format& format : formats) {
    if (file.starts_with(format.start)) return format;
  }
  fail("expected a JPEG, PNG or BMP picture");
}

}  // namespace

void check_kind(std::string_view file) { format_of(file); }

Tensor decode(std::string_view file) {
  const Format& format = format_of(file);
  const Picture picture = format.check(file);
  Canvas canvas(picture);
  format.decode(picture, canvas);
  return canvas.image();
}

}  // namespace tern::picture
