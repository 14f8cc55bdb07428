// Turns one batch of CIFAR-10 kept as a picture back into the format of the CIFAR-10 binary version.
//
//   cifar10_from_png PNG LABELS FIRST BATCH
//
// PNG is 8-bit RGB with one image per row, its 1024 pixels side by side; LABELS is a JSON array in which the label of
// row i stands at FIRST + i; BATCH is the file to write: for each image its label byte, then 1024 reds, greens, blues.

#include <nlohmann/json.hpp>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#include <stb_image.h>

#include <cstddef>
#include <cstdio>
#include <exception>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr std::size_t pixels = 32 * 32, channels = 3, record = 1 + channels * pixels;

void convert(const std::string& png, const std::string& labels_file, std::size_t first, const std::string& batch) {
  std::ifstream labels_in(labels_file);
  if (!labels_in) throw std::runtime_error(labels_file + ": cannot be opened");
  const auto labels = nlohmann::json::parse(labels_in);

  int width = 0, rows = 0, found_channels = 0;
  const std::unique_ptr<stbi_uc, void (*)(void*)> image(
      stbi_load(png.c_str(), &width, &rows, &found_channels, channels), stbi_image_free);
  if (!image) throw std::runtime_error(png + ": " + stbi_failure_reason());
  if (width != static_cast<int>(pixels) || found_channels != static_cast<int>(channels)) {
    throw std::runtime_error(png + ": rows of " + std::to_string(width) + " pixels with " +
                             std::to_string(found_channels) + " channels, expected 1024 with 3");
  }

  std::vector<unsigned char> out(static_cast<std::size_t>(rows) * record);
  const unsigned char* in = image.get();
  for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i, in += channels * pixels) {
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
    convert(argv[1], argv[2], std::stoul(argv[3]), argv[4]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "cifar10_from_png: %s\n", e.what());
    return 1;
  }
}
