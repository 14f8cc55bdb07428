#include <tern/data/cifar10.hpp>

#include <tern/core/check.hpp>
#include <tern/core/file.hpp>
#include <tern/data/md5.hpp>

#include <algorithm>
#include <span>
#include <string>
#include <system_error>

namespace tern {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t pixels = 3 * 32 * 32, record_bytes = 1 + pixels;

struct File {
  const char* name;
  const char* md5;
  std::size_t records = 10000;
  const char* source = "scripts/fetch_cifar10";
};

constexpr File train_files[] = {{"data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25"},
                                {"data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692"},
                                {"data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421"},
                                {"data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb"},
                                {"data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d"}};
constexpr File test_files[] = {{"test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d"}};

/// The airplanes and birds of these six, in their order: first those to train on.
constexpr std::size_t packed_train = 10000;
constexpr File packed_file{"airplanes_and_birds.bin", "14a4ebad009fbb82262dedeabbb03bd6", packed_train + 2000,
                           "scripts/gpu_bundle"};
constexpr std::int64_t packed_classes[] = {0, 2};

std::vector<std::uint8_t> read(const std::string& path, const File& published, bool check_md5) {
  std::error_code absent;
  check(fs::is_regular_file(path, absent), "Cifar10: no file {}; {} gets it", path, published.source);
  const FileReader file(path, "Cifar10:");
  const std::uintmax_t expected = published.records * record_bytes;
  check(file.size() == expected, "Cifar10: {} has {} bytes, expected {}; {} gets it anew", path, file.size(), expected,
        published.source);
  std::vector<std::uint8_t> bytes(file.size());
  file.read(0, bytes.data(), bytes.size());
  if (check_md5) {
    const std::string sum = md5(bytes);
    check(sum == published.md5, "Cifar10: {} has the md5 sum {}, expected {}", path, sum, published.md5);
  }
  return bytes;
}

/// For each of the ten labels the one to give it, or -1 to leave the image out.
std::array<std::int64_t, 10> relabelling(const std::vector<std::int64_t>& classes) {
  std::array<std::int64_t, 10> to{};
  if (classes.empty()) {
    for (std::size_t c = 0; c < to.size(); ++c) to[c] = static_cast<std::int64_t>(c);
    return to;
  }
  to.fill(-1);
  for (std::size_t i = 0; i < classes.size(); ++i) {
    const std::int64_t c = classes[i];
    check(0 <= c && c < 10, "Cifar10: class {}, expected 0 to 9", c);
    check(to[static_cast<std::size_t>(c)] == -1, "Cifar10: class {} is named twice", c);
    to[static_cast<std::size_t>(c)] = static_cast<std::int64_t>(i);
  }
  return to;
}

}  // namespace

TensorDataset Cifar10::load(const fs::path& place, Part part, const Cifar10Options& options) {
  std::error_code absent;
  const bool packed = fs::is_regular_file(place, absent);
  check(packed || fs::is_directory(place, absent), "Cifar10: no folder {}; scripts/fetch_cifar10 makes it", place.string());
  const auto to = relabelling(options.classes);
  for (const std::int64_t c : options.classes) {
    check(!packed || std::ranges::count(packed_classes, c), "Cifar10: class {} of {}, which has {} alone", c,
          place.string(), fmt::join(packed_classes, " and "));
  }

  std::vector<std::uint8_t> images;
  std::vector<std::int64_t> labels;
  const auto add = [&](const fs::path& file, const File& published, std::size_t first, std::size_t end) {
    const std::string path = file.string();
    const std::vector<std::uint8_t> bytes = read(path, published, options.check_md5);
    for (std::size_t i = first; i < end; ++i) {
      const std::uint8_t* record = &bytes[i * record_bytes];
      check(*record < to.size(), "Cifar10: {} has label {} in record {}, expected 0 to 9", path, *record, i);
      const std::int64_t label = to[*record];
      if (label < 0) continue;
      labels.push_back(label);
      images.insert(images.end(), record + 1, record + record_bytes);
    }
  };
  if (packed) {
    add(place, packed_file, part == train ? 0 : packed_train, part == train ? packed_train : packed_file.records);
  } else {
    const std::span<const File> files = part == train ? std::span<const File>(train_files) : test_files;
    images.reserve(files.size() * files[0].records * pixels);
    for (const File& file : files) add(place / file.name, file, 0, file.records);
  }
  const auto n = static_cast<std::int64_t>(labels.size());
  return TensorDataset(tensor(images).reshape({n, 3, 32, 32}), tensor(labels));
}

}  // namespace tern
