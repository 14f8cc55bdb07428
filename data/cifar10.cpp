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

constexpr std::size_t pixels = 3 * 32 * 32, record_bytes = 1 + pixels, records = 10000;

struct File {
  const char* name;
  const char* md5;
};

constexpr File train_files[] = {{"data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25"},
                                {"data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692"},
                                {"data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421"},
                                {"data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb"},
                                {"data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d"}};
constexpr File test_files[] = {{"test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d"}};

std::vector<std::uint8_t> read(const std::string& path) {
  std::error_code absent;
  check(fs::is_regular_file(path, absent), "Cifar10: no file {}; scripts/fetch_cifar10 gets it", path);
  const FileReader file(path, "Cifar10:");
  check(file.size() == records * record_bytes,
        "Cifar10: {} has {} bytes, expected {}; scripts/fetch_cifar10 gets it anew", path, file.size(),
        records * record_bytes);
  std::vector<std::uint8_t> bytes(file.size());
  file.read(0, bytes.data(), bytes.size());
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

TensorDataset Cifar10::load(const fs::path& folder, Part part, const Cifar10Options& options) {
  std::error_code absent;
  check(fs::is_directory(folder, absent), "Cifar10: no folder {}; scripts/fetch_cifar10 makes it", folder.string());
  const auto to = relabelling(options.classes);
  const std::span<const File> files = part == train ? std::span<const File>(train_files) : test_files;

  std::vector<std::uint8_t> images;
  images.reserve(files.size() * records * pixels);
  std::vector<std::int64_t> labels;
  for (const File& file : files) {
    const std::string path = (folder / file.name).string();
    const std::vector<std::uint8_t> bytes = read(path);
    if (options.check_md5) {
      const std::string sum = md5(bytes);
      check(sum == file.md5, "Cifar10: {} has the md5 sum {}, expected {}", path, sum, file.md5);
    }
    for (std::size_t i = 0; i < records; ++i) {
      const std::uint8_t* record = &bytes[i * record_bytes];
      check(*record < to.size(), "Cifar10: {} has label {} in record {}, expected 0 to 9", path, *record, i);
      const std::int64_t label = to[*record];
      if (label < 0) continue;
      labels.push_back(label);
      images.insert(images.end(), record + 1, record + record_bytes);
    }
  }
  const auto n = static_cast<std::int64_t>(labels.size());
  return TensorDataset(tensor(images).reshape({n, 3, 32, 32}), tensor(labels));
}

}  // namespace tern
