#pragma once

#include <tern/core/file.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace birds_vs_planes {

/// What is noted of an epoch.
struct EpochRecord {
  int epoch;  ///< from 1
  double loss, seconds, lr;
  std::optional<double> holdout_accuracy, val_accuracy;  ///< where measured
};

using History = std::vector<EpochRecord>;

/// As CSV: "epoch,loss,seconds,lr,holdout_accuracy,val_accuracy" and a line for each epoch, in numbers that read back
/// as they were; what was not measured is empty.
std::string to_csv(const History& history);

/// Throws tern::Error, naming `from` and the line, for anything else.
History from_csv(const std::string& text, const std::string& from);
History read_csv(const std::filesystem::path& file);

/// A CSV file that grows with the run. A file that was there is replaced. Throws tern::Error where it cannot be
/// written.
class Log {
 public:
  Log(const std::filesystem::path& file, const History& so_far);
  void add(const EpochRecord& epoch);

 private:
  tern::GrowingFile file_;
};

}  // namespace birds_vs_planes
