#include <birds_vs_planes/data.hpp>

#include <birds_vs_planes/models.hpp>

#include <tern/core/check.hpp>
#include <tern/data/cifar10.hpp>
#include <tern/data/synthetic.hpp>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace birds_vs_planes {

namespace {

/// An environment variable, null where it is not set or empty.
const char* environment(const char* name) {
  const char* value = std::getenv(name);
  return value && *value ? value : nullptr;
}

/// How many training images "synthetic" or "synthetic:N" asks for.
std::int64_t drawn_images(const std::string& data) {
  constexpr std::size_t name = std::string_view("synthetic:").size();
  if (data.size() < name) return 2000;
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(data.data() + name, data.data() + data.size(), n);
  tern::check(error == std::errc() && end == data.data() + data.size() && 8 <= n && n <= 100000,
              "data '{}': expected a number of images from 8 to 100000 after synthetic:", data);
  return n;
}

std::string describe(const Data& data, const char* what) {
  return fmt::format("{} {} training and {} validation images ({}, {})", what, data.train.size(),
                     data.validation.size(), class_names[0], class_names[1]);
}

std::filesystem::path default_data_folder() {
  if (const char* folder = environment("TERN_DATA")) return folder;
  if (const char* cache = environment("XDG_CACHE_HOME")) return std::filesystem::path(cache) / "tern" / "cifar10";
  if (const char* home = environment("HOME")) return std::filesystem::path(home) / ".cache" / "tern" / "cifar10";
  tern::fail("data: no folder given, and none of TERN_DATA, XDG_CACHE_HOME and HOME is set");
}

}  // namespace

Data load_data(const std::optional<std::string>& place_or_synthetic, bool with_others) {
  const std::string place = place_or_synthetic ? *place_or_synthetic : default_data_folder().string();
  if (place == "synthetic" || place.starts_with("synthetic:")) {
    const std::int64_t n = drawn_images(place);
    Data data{tern::synthetic_birds_and_planes(n, 1), tern::synthetic_birds_and_planes(n / 4, 2), place, ""};
    data.description = describe(data, "SYNTHETIC,") + ", drawn, not photographs";
    return data;
  }
  const std::filesystem::path folder = place;
  constexpr std::int64_t airplane = 0, bird = 2;
  const tern::Cifar10Options options{.classes = {airplane, bird}, .check_md5 = true};
  Data data{tern::Cifar10::load(folder, tern::Cifar10::train, options),
            tern::Cifar10::load(folder, tern::Cifar10::test, options), "CIFAR-10", ""};
  if (with_others) {
    const auto others = tern::Cifar10::load(folder, tern::Cifar10::train, {.classes = {1, 3, 4, 5, 6, 7, 8, 9}});
    data.others.emplace(others.inputs(), others.targets() + 2);
  }
  std::error_code nowhere;
  data.description =
      describe(data, "CIFAR-10,") + ", " + std::filesystem::absolute(folder, nowhere).lexically_normal().string();
  return data;
}

}  // namespace birds_vs_planes
