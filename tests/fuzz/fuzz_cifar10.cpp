/// Any bytes in the place of CIFAR-10's files are images or an error. The files are large and have nothing in them but
/// labels and pixels; so an input is a header, and then pieces to lay over files of zeros:
///
///   byte 0         bit 0: the test part; bit 1: the packed file; bit 2: with sums checked; bits 3 to 7: classes
///   bytes 1 to 3   by how much the last file is too long or short, two's complement, or 0
///   then each 5    the record (2 bytes), the place in it (2 bytes, from its end), the byte; of the last file

#include "fuzz.hpp"

#include <tern/data/cifar10.hpp>
#include <tern/kernels/error.hpp>

#include <algorithm>
#include <array>
#include <vector>

using tern::test::MemoryFile;
using tern::test::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t record = 3073, batch = 10000 * record, packed_size = 12000 * record;
  static MemoryFile whole, changed;
  static const tern::test::Folder folder;
  static const bool linked = [] {
    whole.resize(batch);
    for (const char* name : {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin"}) {
      std::filesystem::create_symlink(whole.path(), folder / name);
    }
    for (const char* name : {"data_batch_5.bin", "test_batch.bin"}) {
      std::filesystem::create_symlink(changed.path(), folder / name);
    }
    return true;
  }();
  require(linked, "there are links");
  if (size < 4) return 0;

  const bool test = data[0] & 1, packed = data[0] & 2;
  tern::Cifar10Options options{.classes = {}, .check_md5 = (data[0] & 4) != 0};
  static const std::array<std::vector<std::int64_t>, 8> choices{
      {{}, {0, 2}, {2, 0}, {9}, {0, 0}, {10}, {-1}, {2}}};
  options.classes = choices[data[0] >> 3 & 7];
  const std::size_t right = packed ? packed_size : batch;
  std::int32_t more = data[1] | data[2] << 8 | data[3] << 16;
  if (more >= 1 << 23) more -= 1 << 24;
  const std::size_t length = right + static_cast<std::size_t>(static_cast<std::int64_t>(more));

  changed.resize(0);
  std::vector<std::uint8_t> labels(right / record, 0);
  for (std::size_t i = 4; i + 5 <= size; i += 5) {
    const std::size_t at = (data[i] | data[i + 1] << 8) % labels.size();
    const std::size_t in_record = (data[i + 2] | data[i + 3] << 8) % record;
    if (in_record == 0) labels[at] = data[i + 4];
    changed.write(tern::test::as_text(data + i + 4, 1), at * record + in_record);
  }
  changed.resize(length);

  try {
    const auto part = test ? tern::Cifar10::test : tern::Cifar10::train;
    const std::string place = packed ? changed.path() : folder / "";
    const tern::TensorDataset images = tern::Cifar10::load(place, part, options);
    require(length == right, "files of another size are refused");
    require(!options.check_md5, "files that are not the published ones are refused where that is asked for");
    require(images.inputs().shape() == tern::Shape({images.size(), 3, 32, 32}), "there are images");
    const std::size_t first = packed && test ? 10000 : 0, last = packed && !test ? 10000 : labels.size();
    std::int64_t kept = packed || test ? 0 : 40000;  // of the files of zeros
    if (!options.classes.empty() && options.classes != choices[1] && options.classes != choices[2]) kept = 0;
    for (std::size_t i = first; i < last; ++i) {
      require(labels[i] < 10, "labels above 9 are refused");
      kept += options.classes.empty() ||
              std::ranges::count(options.classes, std::int64_t{labels[i]}) > 0;
    }
    require(images.size() == kept, "there are as many images as labels of the classes");
  } catch (const tern::Error&) {  // as it should be
  }
  return 0;
}
