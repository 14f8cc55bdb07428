#include <birds_vs_planes/data.hpp>

#include <birds_vs_planes/models.hpp>

#include <tern/core/check.hpp>
#include <tern/data/cifar10.hpp>
#include <tern/data/synthetic.hpp>

#include <cstdlib>

namespace birds_vs_planes {

namespace {

/// An environment variable, null where it is not set or empty.
const char* environment(const char* name) {
  const char* value = std::getenv(name);
  return value && *value ? value : nullptr;
}

std::string describe(const Data& data, const char* what) {
  return fmt::format("{} {} training and {} validation images ({}, {})", what, data.train.size(),
                     data.validation.size(), class_names[0], class_names[1]);
}

}  // namespace

std::filesystem::path default_data_folder() {
  if (const char* folder = environment("TERN_DATA")) return folder;
  if (const char* cache = environment("XDG_CACHE_HOME")) return std::filesystem::path(cache) / "tern" / "cifar10";
  if (const char* home = environment("HOME")) return std::filesystem::path(home) / ".cache" / "tern" / "cifar10";
  tern::fail("data: no folder given, and none of TERN_DATA, XDG_CACHE_HOME and HOME is set");
}

Data load_data(const std::string& folder_or_synthetic) {
  if (folder_or_synthetic == "synthetic") {
    Data data{tern::synthetic_birds_and_planes(2000, 1), tern::synthetic_birds_and_planes(500, 2), "synthetic", ""};
    data.description = describe(data, "SYNTHETIC,") + ", drawn, not photographs";
    return data;
  }
  const std::filesystem::path folder = folder_or_synthetic;
  constexpr std::int64_t airplane = 0, bird = 2;
  const tern::Cifar10Options options{.classes = {airplane, bird}, .check_md5 = true};
  Data data{tern::Cifar10::load(folder, tern::Cifar10::train, options),
            tern::Cifar10::load(folder, tern::Cifar10::test, options), "CIFAR-10", ""};
  data.description = describe(data, "CIFAR-10,") + ", " + std::filesystem::absolute(folder).lexically_normal().string();
  return data;
}

}  // namespace birds_vs_planes
