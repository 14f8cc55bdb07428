#pragma once

#include <birds_vs_planes/history.hpp>

#include <tern/core/file.hpp>

#include <cstdint>
#include <string>

namespace birds_vs_planes {

/// CRC-32C (Castagnoli), as RFC 3720 appendix B.4 has it.
std::uint32_t crc32c(const std::string& bytes);

/// An event file for TensorBoard: TFRecords of Event messages with scalar summaries loss, lr, seconds, and
/// accuracy/holdout and accuracy/validation where measured, at the step that is the epoch's number. The formats are
/// those of TensorFlow's lib/io/record_writer.h, util/event.proto and framework/summary.proto.
class EventFile {
 public:
  /// Starts events.out.tfevents.birds_vs_planes in the folder, made if need be, with the epochs so far. One that was
  /// there is replaced. Throws tern::Error where it cannot be written.
  EventFile(const std::string& folder, const History& so_far);
  void add(const EpochRecord& epoch);

 private:
  tern::GrowingFile file_;
};

}  // namespace birds_vs_planes
