#pragma once

#include <tern/data/dataset.hpp>

#include <array>
#include <cstdint>
#include <filesystem>
#include <vector>

namespace tern {

/// Which of the photographs, and whether the files are to be checked.
struct Cifar10Options {
  std::vector<std::int64_t> classes = {};  ///< keep only these, relabelled 0, 1, ... in this order; empty keeps all
  bool check_md5 = false;                  ///< refuse files that are not the published ones
};

/// CIFAR-10: 60,000 colour photographs of 32 x 32 pixels in ten classes. A. Krizhevsky, "Learning multiple layers of
/// features from tiny images", 2009. Read from the files of its binary version, which scripts/fetch_cifar10 gets:
/// 10,000 records a file, each a label byte and then 1024 reds, greens and blues, row by row. Or from one file of their
/// airplanes and birds alone, which scripts/gpu_bundle makes: 10,000 such records of the first five, then 2,000 of the
/// sixth.
struct Cifar10 {
  /// Which of the files.
  enum Part {
    train,  ///< data_batch_1.bin to data_batch_5.bin
    test,   ///< test_batch.bin
  };

  /// The classes by label.
  static constexpr std::array<const char*, 10> class_names = {"airplane", "automobile", "bird",  "cat",  "deer",
                                                              "dog",      "frog",       "horse", "ship", "truck"};

  /// Images uint8 [n, 3, 32, 32] and labels int64 [n], in the order of the files. `place` is their folder, or the one
  /// file. Throws Error, naming the file, where one is missing, is not of its size, has a label above 9 or (asked to
  /// check) another sum; and for a class that is not in [0, 10), is named twice, or is not in the one file.
  static TensorDataset load(const std::filesystem::path& place, Part part, const Cifar10Options& options = {});
};

}  // namespace tern
