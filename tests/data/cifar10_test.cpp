#include <tern/data/cifar10.hpp>
#include <tern/kernels/error.hpp>

#include <data/temporary_folder.hpp>
#include <random.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <vector>

using Catch::Matchers::Contains;
using tern::Cifar10;
using tern::test::Random;
using tern::test::TemporaryFolder;

namespace fs = std::filesystem;

namespace {

constexpr std::size_t record = 3073, records = 10000, file_size = record * records;
const char* const names[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                             "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"};

/// Labels of any class and images of any bytes.
std::vector<std::uint8_t> random_file(Random& random) {
  std::vector<std::uint8_t> bytes(file_size);
  std::mt19937_64 engine(static_cast<std::uint64_t>(random.integer(0, 1 << 30)));
  for (std::size_t i = 0; i + 8 <= file_size; i += 8) {
    const std::uint64_t word = engine();
    std::memcpy(&bytes[i], &word, sizeof word);
  }
  for (std::size_t i = 0; i < records; ++i) bytes[i * record] = static_cast<std::uint8_t>(random.integer(0, 9));
  return bytes;
}

void write(const fs::path& path, const std::vector<std::uint8_t>& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

/// A file of zeros, which holds 10,000 black planes, with one byte changed.
void write_black(const fs::path& path, std::size_t at = 0, char value = 0) {
  std::ofstream(path, std::ios::binary).close();
  fs::resize_file(path, file_size);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(at));
  file.put(value);
}

/// The folder of the real files; empty where they are not.
fs::path real_folder() {
  fs::path folder;
  if (const char* data = std::getenv("TERN_DATA"))
    folder = data;
  else if (const char* cache = std::getenv("XDG_CACHE_HOME"))
    folder = fs::path(cache) / "tern/cifar10";
  else if (const char* home = std::getenv("HOME"))
    folder = fs::path(home) / ".cache/tern/cifar10";
  for (const char* name : names) {
    if (!fs::exists(folder / name)) return {};
  }
  return folder;
}

}  // namespace

TEST_CASE("Cifar10 keeps the classes asked for, relabelled, in the order of the file") {
  const TemporaryFolder folder;
  Random random(tern::test::base_seed(), 0);
  const auto bytes = random_file(random);
  write(folder / "test_batch.bin", bytes);

  const std::vector<std::vector<std::int64_t>> choices = {{}, {0, 2}, {9, 3, 4}, {7}};
  for (const auto& classes : choices) {
    const auto dataset = Cifar10::load(folder.path(), Cifar10::test, {.classes = classes});
    std::map<std::int64_t, std::int64_t> to;
    for (std::size_t i = 0; i < classes.size(); ++i) to[classes[i]] = static_cast<std::int64_t>(i);
    if (classes.empty()) {
      for (std::int64_t c = 0; c < 10; ++c) to[c] = c;
    }

    const auto* image = dataset.inputs().data<std::uint8_t>();
    const auto labels = dataset.targets().to_vector<std::int64_t>();
    std::size_t found = 0, wrong = 0;
    for (std::size_t i = 0; i < records; ++i) {
      const std::uint8_t* from = &bytes[i * record];
      if (!to.contains(*from)) continue;
      REQUIRE(found < labels.size());
      wrong += labels[found] != to[*from] || std::memcmp(image + found * (record - 1), from + 1, record - 1) != 0;
      ++found;
    }
    CHECK(wrong == 0);
    CHECK(found == labels.size());
    CHECK(dataset.inputs().shape() == tern::Shape{dataset.size(), 3, 32, 32});
  }
}

TEST_CASE("Cifar10's training part is the five batches one after the other") {
  const TemporaryFolder folder;
  for (std::size_t f = 0; f < 5; ++f)
    write_black(folder / names[f], (f + 1) * record + 1 + f, static_cast<char>(f + 1));
  const auto dataset = Cifar10::load(folder.path(), Cifar10::train);
  REQUIRE(dataset.size() == 50000);
  const auto* images = dataset.inputs().data<std::uint8_t>();
  for (std::size_t f = 0; f < 5; ++f) CHECK(images[(f * records + f + 1) * (record - 1) + f] == f + 1);
}

TEST_CASE("Cifar10 says which file is wrong, and how") {
  const TemporaryFolder folder;
  const auto load = [&](const tern::Cifar10Options& options = {}) {
    return Cifar10::load(folder.path(), Cifar10::test, options);
  };
  const fs::path file = folder / "test_batch.bin";

  CHECK_THROWS_WITH(Cifar10::load(folder / "none", Cifar10::test),
                    Contains((folder / "none").string()) && Contains("scripts/fetch_cifar10"));
  CHECK_THROWS_WITH(load(), Contains(file.string()) && Contains("scripts/fetch_cifar10"));
  CHECK_THROWS_WITH(Cifar10::load(folder.path(), Cifar10::train), Contains("data_batch_1.bin"));
  fs::create_directory(file);
  CHECK_THROWS_WITH(load(), Contains(file.string()));
  fs::remove(file);

  write_black(file);
  for (const std::uintmax_t size : {0, 1, 3073, 30729999, 30730001}) {
    fs::resize_file(file, size);
    CHECK_THROWS_WITH(
        load(), Contains(file.string()) && Contains(std::to_string(size) + " bytes") && Contains("expected 30730000"));
  }

  write_black(file, 9999 * record, 10);
  CHECK_THROWS_WITH(load(), Contains(file.string()) && Contains("label 10 in record 9999"));
  write_black(file, 0, static_cast<char>(255));
  CHECK_THROWS_WITH(load({.classes = {3}}), Contains("label 255 in record 0"));

  write_black(file, 12345, 1);
  CHECK(load().size() == 10000);
  CHECK_THROWS_WITH(load({.check_md5 = true}), Contains(file.string()) && Contains("803d5f7f4d78ea53de84dbe85f74fb6d"));

  for (const std::int64_t bad : {-1, 10}) {
    CHECK_THROWS_WITH(load({.classes = {0, bad}}), Contains("class " + std::to_string(bad)));
  }
  CHECK_THROWS_WITH(load({.classes = {2, 0, 2}}), Contains("class 2 is named twice"));
}

TEST_CASE("Cifar10 reads airplanes and birds from one file of them: first those to train on") {
  constexpr std::size_t train = 10000, all = 12000;
  const TemporaryFolder folder;
  const fs::path file = folder / "airplanes_and_birds.bin";
  Random random(tern::test::base_seed(), 1);
  auto bytes = random_file(random);
  bytes.resize(all * record, 7);
  for (std::size_t i = 0; i < all; ++i) bytes[i * record] = random.chance(0.5) ? 2 : 0;
  write(file, bytes);
  for (const auto& [part, first, count] : {std::tuple(Cifar10::train, std::size_t{0}, train),
                                           std::tuple(Cifar10::test, train, all - train)}) {
    const auto dataset = Cifar10::load(file, part, {.classes = {0, 2}});
    REQUIRE(dataset.inputs().shape() == tern::Shape{static_cast<std::int64_t>(count), 3, 32, 32});
    const auto labels = dataset.targets().to_vector<std::int64_t>();
    const auto* image = dataset.inputs().data<std::uint8_t>();
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint8_t* from = &bytes[(first + i) * record];
      wrong += labels[i] != *from / 2 || std::memcmp(image + i * (record - 1), from + 1, record - 1) != 0;
    }
    CHECK(wrong == 0);
  }
  const auto load = [&](const tern::Cifar10Options& options) { return Cifar10::load(file, Cifar10::train, options); };
  CHECK_THROWS_WITH(load({.check_md5 = true}), Contains(file.string()) && Contains("14a4ebad009fbb82262dedeabbb03bd6"));
  CHECK_THROWS_WITH(load({.classes = {0, 3}}), Contains("class 3") && Contains("0 and 2 alone"));
  fs::resize_file(file, all * record - 1);
  CHECK_THROWS_WITH(load({}), Contains("36875999 bytes, expected 36876000") && Contains("scripts/gpu_bundle"));
}

TEST_CASE("Cifar10 may hold none of a class") {
  const TemporaryFolder folder;
  write_black(folder / "test_batch.bin");
  const auto dataset = Cifar10::load(folder.path(), Cifar10::test, {.classes = {1}});
  CHECK(dataset.size() == 0);
  CHECK(dataset.get({}).input.shape() == tern::Shape{0, 3, 32, 32});
}

TEST_CASE("The real CIFAR-10 is as published") {
  const fs::path folder = real_folder();
  if (folder.empty()) {
    WARN("skipped: CIFAR-10 is not here, scripts/fetch_cifar10 gets it");
    return;
  }
  const auto train = Cifar10::load(folder, Cifar10::train, {.check_md5 = true});
  const auto test = Cifar10::load(folder, Cifar10::test, {.check_md5 = true});
  REQUIRE(train.size() == 50000);
  REQUIRE(test.size() == 10000);
  std::map<std::int64_t, int> in_train, in_test;
  for (const std::int64_t label : train.targets().to_vector<std::int64_t>()) ++in_train[label];
  for (const std::int64_t label : test.targets().to_vector<std::int64_t>()) ++in_test[label];
  for (std::int64_t c = 0; c < 10; ++c) {
    CHECK(in_train[c] == 5000);
    CHECK(in_test[c] == 1000);
  }

  // The channels' means over the training images, as everyone normalises by.
  const auto* p = train.inputs().data<std::uint8_t>();
  double sum[3] = {};
  for (std::int64_t i = 0; i < train.inputs().numel(); ++i) sum[i / 1024 % 3] += p[i];
  const double published[] = {0.4914, 0.4822, 0.4465};
  for (int c = 0; c < 3; ++c) CHECK(std::abs(sum[c] / (50000.0 * 1024 * 255) - published[c]) < 5e-5);
}
