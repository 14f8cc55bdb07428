#include <birds_vs_planes/console.hpp>
#include <birds_vs_planes/terminal_image.hpp>

#include <tern/core/check.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

namespace birds_vs_planes {

namespace {

using Rgb = std::array<int, 3>;

constexpr std::array<int, 6> cube_levels{0, 95, 135, 175, 215, 255};

int nearest_level(int value) {
  int best = 0;
  for (int i = 1; i < 6; ++i) {
    const auto distance = [&](int level) { return std::abs(cube_levels[static_cast<std::size_t>(level)] - value); };
    if (distance(i) < distance(best)) best = i;
  }
  return best;
}

int squared_distance(Rgb a, Rgb b) {
  int sum = 0;
  for (std::size_t i = 0; i < 3; ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

std::string escape(const char* layer, Rgb c, Colours colours) {
  if (colours == Colours::palette) return fmt::format("\x1b[{};5;{}m", layer, palette_colour(c[0], c[1], c[2]));
  return fmt::format("\x1b[{};2;{};{};{}m", layer, c[0], c[1], c[2]);
}

char shade(Rgb upper, Rgb lower) {
  constexpr std::string_view ramp = " .:-=+*#%@";
  const double luma = 0.299 * (upper[0] + lower[0]) + 0.587 * (upper[1] + lower[1]) + 0.114 * (upper[2] + lower[2]);
  return ramp[static_cast<std::size_t>(luma / 510.001 * 10)];
}

}  // namespace

Colours choose_colours(const std::string& name) {
  if (name == "true") return Colours::true_colour;
  if (name == "256") return Colours::palette;
  if (name == "none") return Colours::none;
  tern::check(name == "auto", "colours '{}': expected auto, true, 256 or none", name);
  if (!may_colour(stdout)) return Colours::none;
  const char* term = std::getenv("COLORTERM");
  const std::string_view can = term ? term : "";
  return can == "truecolor" || can == "24bit" ? Colours::true_colour : Colours::palette;
}

int palette_colour(int red, int green, int blue) {
  const Rgb wanted{red, green, blue};
  const Rgb level{nearest_level(red), nearest_level(green), nearest_level(blue)};
  Rgb in_cube{};
  for (std::size_t i = 0; i < 3; ++i) in_cube[i] = cube_levels[static_cast<std::size_t>(level[i])];
  const int grey = std::min(23, std::max(0, ((red + green + blue) / 3 - 8 + 5) / 10)), value = 8 + 10 * grey;
  if (squared_distance(wanted, {value, value, value}) < squared_distance(wanted, in_cube)) return 232 + grey;
  return 16 + 36 * level[0] + 6 * level[1] + level[2];
}

std::string terminal_image(const tern::Tensor& picture, Colours colours) {
  tern::check(picture.dim() == 3 && picture.size(0) == 3 && picture.dtype() == tern::DType::uint8,
              "terminal_image: {} of {}, expected uint8 [3, H, W]", picture.shape(), picture.dtype());
  const tern::Tensor image = picture.contiguous();
  const std::int64_t H = image.size(1), W = image.size(2);
  const auto* x = image.data<std::uint8_t>();
  const auto at = [&](std::int64_t h, std::int64_t w) {
    return Rgb{x[h * W + w], x[(H + h) * W + w], x[(2 * H + h) * W + w]};
  };
  std::string text;
  for (std::int64_t h = 0; h < H; h += 2) {
    for (std::int64_t w = 0; w < W; ++w) {
      const Rgb upper = at(h, w), lower = at(std::min(h + 1, H - 1), w);
      if (colours == Colours::none) {
        text += shade(upper, lower);
      } else {
        text += escape("38", upper, colours) + escape("48", lower, colours) + "\u2580";
      }
    }
    text += colours == Colours::none ? "\n" : "\x1b[0m\n";
  }
  return text;
}

}  // namespace birds_vs_planes
