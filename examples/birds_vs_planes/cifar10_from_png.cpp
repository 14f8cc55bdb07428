// Turns one batch of CIFAR-10 kept as a picture back into the format of the CIFAR-10 binary version.
//
//   cifar10_from_png PNG LABELS FIRST BATCH
//
// PNG is 8-bit RGB with one image per row, its 1024 pixels side by side; LABELS is a JSON array in which the label of
// row i stands at FIRST + i; BATCH is the file to write: for each image its label byte, then 1024 reds, greens, blues.

#include <nlohmann/json.hpp>

#include <charconv>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <png.h>

namespace {

constexpr std::size_t pixels = 32 * 32, channels = 3, record = 1 + channels * pixels, most_rows = 10'000;

void convert(const std::string& png, const std::string& labels_file, std::size_t first, const std::string& batch) {
  std::ifstream labels_in(labels_file);
  if (!labels_in) throw std::runtime_error(labels_file + ": cannot be opened");
  const auto labels = nlohmann::json::parse(labels_in);

  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  const std::unique_ptr<png_image, void (*)(png_image*)> freed(&image, png_image_free);
  if (!png_image_begin_read_from_file(&image, png.c_str())) throw std::runtime_error(png + ": " + image.message);
  if (image.width != pixels || image.format != PNG_FORMAT_RGB || image.height > most_rows) {
    throw std::runtime_error(png + ": " + std::to_string(image.height) + " rows of " + std::to_string(image.width) +
                             " pixels of format " + std::to_string(image.format) + ", expected at most " +
                             std::to_string(most_rows) + " of 1024 with 8-bit RGB");
  }
  std::vector<unsigned char> rgb(PNG_IMAGE_SIZE(image));
  if (!png_image_finish_read(&image, nullptr, rgb.data(), 0, nullptr))
    throw std::runtime_error(png + ": " + image.message);

  std::vector<unsigned char> out(image.height * record);
  const unsigned char* in = rgb.data();
  for (std::size_t i = 0; i < image.height; ++i, in += channels * pixels) {
    unsigned char* to = &out[i * record];
    *to++ = labels.at(first + i).get<unsigned char>();
    for (std::size_t c = 0; c < channels; ++c) {
      for (std::size_t p = 0; p < pixels; ++p) *to++ = in[p * channels + c];
    }
  }

  std::ofstream file(batch, std::ios::binary);
  file.write(reinterpret_cast<const char*>(out.data()), static_cast<std::streamsize>(out.size()));
  file.close();
  if (!file) throw std::runtime_error(batch + ": cannot be written");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: cifar10_from_png PNG LABELS FIRST BATCH\n");
    return 2;
  }
  try {
    const std::string_view word = argv[3];
    std::size_t first = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), first);
    if (error != std::errc() || end != word.data() + word.size()) throw std::runtime_error("FIRST is no whole number");
    convert(argv[1], argv[2], first, argv[4]);
  } catch (const std::exception& e) {
    using nlohmann::json;  // in whose strings no control character is as it was
    const std::string what = json(e.what()).dump(-1, ' ', true, json::error_handler_t::replace);
    std::fprintf(stderr, "cifar10_from_png: %s\n", what.c_str());
    return 1;
  }
}
