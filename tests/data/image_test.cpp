#include <tern/data/image.hpp>
#include <tern/kernels/error.hpp>

#include <data/temporary_folder.hpp>
#include <folders.hpp>
#include <random.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

using Catch::Matchers::Contains;
using tern::Tensor;
using tern::test::Random;
using tern::test::TemporaryFolder;

namespace {

const std::string pictures = tern::test::in_tree("tests/data/pictures/");

Tensor random_image(Random& random, std::int64_t channels, std::int64_t height, std::int64_t width) {
  return tern::tensor(random.values<std::uint8_t>(channels * height * width)).reshape({channels, height, width});
}

/// The largest difference between two pictures.
int distance(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  REQUIRE(a.dtype() == tern::DType::uint8);
  REQUIRE(b.dtype() == tern::DType::uint8);
  const auto x = a.to_vector<std::uint8_t>(), y = b.to_vector<std::uint8_t>();
  int most = 0;
  for (std::size_t i = 0; i < x.size(); ++i) most = std::max(most, std::abs(x[i] - y[i]));
  return most;
}

using Colour = std::array<int, 3>;

/// 20 x 12 pixels.
Tensor painted(const std::function<Colour(int x, int y)>& pixel) {
  const Tensor image = tern::empty({3, 12, 20}, {.dtype = tern::DType::uint8});
  auto* p = image.data<std::uint8_t>();
  for (std::size_t c = 0; c < 3; ++c) {
    for (int y = 0; y < 12; ++y) {
      for (int x = 0; x < 20; ++x) *p++ = static_cast<std::uint8_t>(pixel(x, y)[c]);
    }
  }
  return image;
}

/// What make_pictures.py draws.
Tensor drawn(bool grey) {
  return painted([&](int x, int y) {
    const int g = 10 * x + 3 * y;
    return grey ? Colour{g, g, g} : Colour{10 * x, 20 * y, 255 - 5 * (x + y)};
  });
}

/// Its pictures of n colours, and of n greys.
Tensor of_colours(int n) {
  return painted([&](int x, int y) {
    const int i = (x + 2 * y) % n;
    return Colour{17 * i, 255 - 17 * i, 7 * i};
  });
}
Tensor of_greys(int n) {
  return painted([&](int x, int y) {
    const int g = (x + 2 * y) % n * 255 / (n - 1);
    return Colour{g, g, g};
  });
}

/// With 8 y of black ink over it.
Tensor printed() {
  return painted([](int x, int y) {
    const double light = 1 - 8 * y / 255.0;
    const auto under = [&](int value) { return static_cast<int>(std::lround(value * light)); };
    return Colour{under(10 * x), under(20 * y), under(255 - 5 * (x + y))};
  });
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

Tensor read_bytes(const std::string& bytes) {
  const TemporaryFolder folder;
  std::ofstream(folder / "picture", std::ios::binary) << bytes;
  return tern::read_image(folder / "picture");
}

/// How much of the old pixel [j, j + 1) goes into the new pixel i along one side: by area, or between pixel centres.
double share(std::int64_t i, std::int64_t after, std::int64_t j, std::int64_t before) {
  const double scale = static_cast<double>(before) / static_cast<double>(after);
  if (after < before) {
    const double low = std::max(static_cast<double>(i) * scale, static_cast<double>(j));
    const double high = std::min(static_cast<double>(i + 1) * scale, static_cast<double>(j + 1));
    return std::max(0.0, high - low) / scale;
  }
  const double last = static_cast<double>(before - 1);
  const double at = std::clamp((static_cast<double>(i) + 0.5) * scale - 0.5, 0.0, last);
  return std::max(0.0, 1 - std::abs(at - static_cast<double>(j)));
}

Tensor slow_resize(const Tensor& image, std::int64_t height, std::int64_t width) {
  const std::int64_t C = image.size(0), H = image.size(1), W = image.size(2);
  const auto from = image.to_vector<std::uint8_t>();
  std::vector<std::uint8_t> to;
  for (std::int64_t c = 0; c < C; ++c) {
    for (std::int64_t y = 0; y < height; ++y) {
      for (std::int64_t x = 0; x < width; ++x) {
        double sum = 0;
        for (std::int64_t j = 0; j < H; ++j) {
          for (std::int64_t k = 0; k < W; ++k) {
            sum += share(y, height, j, H) * share(x, width, k, W) * from[static_cast<std::size_t>((c * H + j) * W + k)];
          }
        }
        to.push_back(static_cast<std::uint8_t>(std::lround(sum)));
      }
    }
  }
  return tern::tensor(to).reshape({C, height, width});
}

}  // namespace

TEST_CASE("read_image reads PNG, BMP and JPEG files of another's making") {
  const Tensor rgb = drawn(false), grey = drawn(true);
  struct Case {
    const char* file;
    Tensor expected;
    int most = 0;  ///< difference: JPEG keeps colours about, and those sampled down less
  };
  const Case cases[] = {
      // PNG: alpha is dropped, grey is widened, of 16 bits the upper 8 stay.
      {"rgb.png", rgb},
      {"alpha.png", rgb},
      {"grey.png", grey},
      {"grey1.png", of_greys(2)},
      {"grey2.png", of_greys(4)},
      {"grey4.png", of_greys(16)},
      {"grey16.png", grey},
      {"grey_alpha.png", grey},
      {"grey_alpha16.png", grey},
      {"grey_interlaced.png", grey},
      {"palette1.png", of_colours(2)},
      {"palette2.png", of_colours(3)},
      {"palette4.png", of_colours(15)},
      {"palette8.png", rgb},
      {"palette1_interlaced.png", of_colours(2)},
      {"palette2_interlaced.png", of_colours(3)},
      {"palette4_interlaced.png", of_colours(15)},
      {"rgb16.png", rgb},
      {"rgb_key.png", rgb},
      {"rgb16_interlaced.png", rgb},
      {"alpha16.png", rgb},
      {"alpha_interlaced.png", rgb},
      // JPEG.
      {"rgb.jpg", rgb, 4},
      {"progressive.jpg", rgb, 4},
      {"optimised.jpg", rgb, 4},
      {"restarts.jpg", rgb, 4},
      {"scans.jpg", rgb, 4},
      {"grey.jpg", grey, 4},
      {"sampled_down.jpg", rgb, 12},
      {"sampled_down_across.jpg", rgb, 12},
      {"sampled_down_progressive.jpg", rgb, 12},
      {"cmyk.jpg", printed(), 5},
      {"ycck.jpg", printed(), 6},
      // BMP.
      {"rgb.bmp", rgb},
      {"rgb_os2.bmp", rgb},
      {"rgb_from_above.bmp", rgb},
      {"rgb32.bmp", rgb},
      {"rgb32_v4.bmp", rgb},
      {"rgb32_v5.bmp", rgb},
      {"palette1.bmp", of_colours(2)},
      {"palette4.bmp", of_colours(15)},
      {"palette4_os2.bmp", of_colours(15)},
      {"palette8.bmp", rgb},
  };
  for (const Case& c : cases) {
    INFO(c.file);
    CHECK(distance(tern::read_image(pictures + c.file), c.expected) <= c.most);
  }
  const auto spread = [](int value, int most) { return value * 255 / most; };
  CHECK(distance(tern::read_image(pictures + "rgb555.bmp"), painted([&](int x, int y) {
                   return Colour{spread(x, 31), spread(2 * y, 31), spread(31 - x, 31)};
                 })) <= 1);
  CHECK(distance(tern::read_image(pictures + "rgb565.bmp"), painted([&](int x, int y) {
                   return Colour{spread(x, 31), spread(4 * y, 63), spread(31 - x, 31)};
                 })) <= 1);
}

TEST_CASE("read_image turns a picture as its EXIF orientation says") {
  for (const std::string orientation : {"1", "2", "3", "4", "5", "6", "7", "8"}) {
    INFO(orientation);
    CHECK(distance(tern::read_image(pictures + "turned/" + orientation + ".png"), drawn(false)) == 0);
    CHECK(distance(tern::read_image(pictures + "turned/" + orientation + ".jpg"), drawn(false)) <= 4);
  }
}

TEST_CASE("an EXIF block that makes no sense turns nothing") {
  const Tensor as_stored = painted([](int x, int y) {
    return Colour{190 - 10 * x, 220 - 20 * y, 255 - 5 * (30 - x - y)};
  });
  const std::string jpeg = read(pictures + "turned/3.jpg");
  const std::size_t tiff = jpeg.find("Exif") + 6;
  const std::pair<std::size_t, int> changes[] = {{0, 'X'},     // the order of bytes
                                                 {1, 'I'},     // two of them
                                                 {4, 0x80},    // where the entries are: far away
                                                 {7, 0x2d},    // at the last byte
                                                 {25, 4},      // the orientation: of 32 bits
                                                 {31, 0},      // 0
                                                 {31, 9},      // 9
                                                 {30, 1},      // 259
                                                 {23, 0x13}};  // none
  for (const auto& [at, value] : changes) {
    INFO("byte " << at << " is " << value);
    std::string changed = jpeg;
    changed[tiff + at] = static_cast<char>(value);
    CHECK(distance(read_bytes(changed), as_stored) <= 4);
  }
  // More entries than there are: it is found on the way.
  std::string changed = jpeg;
  changed[tiff + 8] = changed[tiff + 9] = '\xff';
  CHECK(distance(read_bytes(changed), drawn(false)) <= 4);
}

TEST_CASE("write_png writes what read_image reads") {
  const TemporaryFolder folder;
  tern::test::for_each_case(20, [&](Random& random) {
    const std::int64_t height = random.integer(1, 40), width = random.integer(1, 40);
    const Tensor image = random_image(random, 3, height, width), grey = random_image(random, 1, height, width);
    tern::write_png(folder / "image.png", image);
    CHECK(distance(tern::read_image(folder / "image.png"), image) == 0);
    tern::write_png(folder / "grey.png", grey);
    CHECK(distance(tern::read_image(folder / "grey.png"), grey.expand({3, height, width})) == 0);
    tern::write_png(folder / "turned.png", image.transpose(1, 2));
    CHECK(distance(tern::read_image(folder / "turned.png"), image.transpose(1, 2)) == 0);
  });
}

TEST_CASE("read_image says which file is wrong, and how") {
  const TemporaryFolder folder;
  const auto write = [&](const char* name, const std::string& bytes) {
    std::ofstream(folder / name, std::ios::binary) << bytes;
    return (folder / name).string();
  };
  const std::string missing = (folder / "missing.png").string();
  CHECK_THROWS_WITH(tern::read_image(missing), Contains(missing) && Contains("No such file"));
  CHECK_THROWS_WITH(tern::read_image(folder.path()), Contains(folder.path().string()) && Contains("is a folder"));
  const std::string too_long(300, 'x');
  CHECK_THROWS_WITH(tern::read_image(too_long), Contains("read_image: " + too_long + ": File name too long"));
  CHECK_THROWS_WITH(tern::read_image(write("text.jpg", "Not a picture at all, just words.")),
                    Contains("text.jpg") && Contains("expected a JPEG, PNG or BMP"));
  CHECK_THROWS_WITH(tern::read_image(write("empty.png", "")), Contains("empty.png"));
}

TEST_CASE("write_png refuses what it cannot write") {
  const TemporaryFolder folder;
  const Tensor image = tern::zeros({3, 4, 4}, {.dtype = tern::DType::uint8});
  CHECK_THROWS_WITH(tern::write_png(folder / "no" / "image.png", image),
                    Contains("image.png: cannot create a file there"));
  CHECK_THROWS_WITH(tern::write_png(folder / "image.png", image.narrow(0, 0, 2)), Contains("[2, 4, 4]"));
  CHECK_THROWS_WITH(tern::write_png(folder / "image.png", tern::zeros({3, 4, 4})), Contains("float32"));
  CHECK_THROWS_AS(tern::write_png(folder / "image.png", image.narrow(1, 0, 0)), tern::Error);
  CHECK_FALSE(std::filesystem::exists(folder / "image.png"));
  // The old picture's file is replaced, not written into: who has it open still sees it.
  tern::write_png(folder / "image.png", image);
  std::filesystem::create_hard_link(folder / "image.png", folder / "old.png");
  tern::write_png(folder / "image.png", tern::full({3, 4, 4}, 9, {.dtype = tern::DType::uint8}));
  CHECK(distance(tern::read_image(folder / "old.png"), image) == 0);
  CHECK(distance(tern::read_image(folder / "image.png"), image) == 9);
}

TEST_CASE("resize is the mean over areas where it shrinks and linear where it grows") {
  tern::test::for_each_case(60, [](Random& random) {
    const std::int64_t channels = random.integer(1, 4), h = random.integer(1, 24), w = random.integer(1, 24);
    const std::int64_t height = random.integer(1, 24), width = random.integer(1, 24);
    INFO(channels << " x " << h << " x " << w << " to " << height << " x " << width);
    const Tensor image = random_image(random, channels, h, w);
    CHECK(distance(tern::resize(image, height, width), slow_resize(image, height, width)) <= 1);
    CHECK(distance(tern::resize(image, h, w), image) == 0);
    CHECK(distance(tern::resize(image.transpose(1, 2), width, height),
                   tern::resize(image, height, width).transpose(1, 2)) <= 1);
  });
}

TEST_CASE("resize keeps a plain colour, at any size") {
  const Tensor image = tern::full({3, 700, 1000}, 201, {.dtype = tern::DType::uint8});
  for (const std::int64_t size : {1, 32, 699, 900}) {
    const auto values = tern::resize(image, size, 33).to_vector<std::uint8_t>();
    CHECK(std::all_of(values.begin(), values.end(), [](int v) { return v == 201; }));
  }
}

TEST_CASE("center_crop is the middle") {
  const Tensor image = drawn(false);
  CHECK(distance(tern::center_crop(image, 12, 20), image) == 0);
  CHECK(distance(tern::center_crop(image, 4, 10), image.narrow(1, 4, 4).narrow(2, 5, 10)) == 0);
  CHECK(distance(tern::center_crop(image, 3, 3), image.narrow(1, 4, 3).narrow(2, 8, 3)) == 0);
  CHECK_THROWS_WITH(tern::center_crop(image, 13, 20), Contains("13 x 20 of [3, 12, 20]"));
  CHECK_THROWS_AS(tern::center_crop(Tensor(), 1, 1), tern::Error);
}

TEST_CASE("resize_to_square makes a network's input of any picture") {
  tern::test::for_each_case(10, [](Random& random) {
    const std::int64_t h = random.integer(1, 90), w = random.integer(1, 90), side = std::min(h, w);
    const Tensor image = random_image(random, 3, h, w);
    const Tensor square = tern::resize_to_square(image, 32);
    CHECK(square.shape() == tern::Shape{3, 32, 32});
    CHECK(distance(square, tern::resize(tern::center_crop(image, side, side), 32, 32)) == 0);
  });
  CHECK_THROWS_WITH(tern::resize_to_square(drawn(false), 0), Contains("0 x 0"));
  CHECK_THROWS_WITH(tern::resize_to_square(tern::zeros({3, 4, 4}), 32), Contains("float32"));
}
