#include <birds_vs_planes/event_file.hpp>

#include <tern/core/check.hpp>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace birds_vs_planes {

namespace {

template <class T>
std::string little_endian(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

/// The checksum that TFRecords have: rotated and moved, so that checksums of data with checksums in it stay strong.
std::uint32_t masked_crc32c(const std::string& bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
}

// Protocol buffers: a field is its number and wire type, then its value.

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

enum WireType : std::uint64_t { as_varint = 0, as_64_bits = 1, as_bytes = 2, as_32_bits = 5 };

std::string field(std::uint64_t number, WireType type, const std::string& value) {
  return varint(number << 3 | type) + value;
}
std::string field(std::uint64_t number, const std::string& bytes) {
  return field(number, as_bytes, varint(bytes.size()) + bytes);
}

/// An Event: wall_time = 1, step = 2, and one of file_version = 3 and summary = 5.
std::string event(std::uint64_t step, const std::string& what) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  return field(1, as_64_bits, little_endian(now.count())) + field(2, as_varint, varint(step)) + what;
}

/// A Summary's value = 1: tag = 1, simple_value = 2.
std::string scalar(const std::string& tag, double value) {
  return field(1, field(1, tag) + field(2, as_32_bits, little_endian(static_cast<float>(value))));
}

/// A TFRecord.
std::string framed(const std::string& bytes) {
  const std::string length = little_endian(std::uint64_t{bytes.size()});
  return length + little_endian(masked_crc32c(length)) + bytes + little_endian(masked_crc32c(bytes));
}

std::string record(const EpochRecord& e) {
  std::string values = scalar("loss", e.loss) + scalar("lr", e.lr) + scalar("seconds", e.seconds);
  if (e.holdout_accuracy) values += scalar("accuracy/holdout", *e.holdout_accuracy);
  if (e.val_accuracy) values += scalar("accuracy/validation", *e.val_accuracy);
  return framed(event(static_cast<std::uint64_t>(e.epoch), field(5, values)));
}

std::string beginning(const History& so_far) {
  std::string records = framed(event(0, field(3, "brain.Event:2")));
  for (const EpochRecord& epoch : so_far) records += record(epoch);
  return records;
}

/// The event file's path in the folder, which is made if need be.
std::filesystem::path place_in(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  tern::check(!error, "tensorboard {}: cannot be made: {}", folder, error.message());
  return std::filesystem::path(folder) / "events.out.tfevents.birds_vs_planes";
}

}  // namespace

std::uint32_t crc32c(const std::string& bytes) {
  std::uint32_t crc = ~0U;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78U : crc >> 1;
  }
  return ~crc;
}

EventFile::EventFile(const std::string& folder, const History& so_far)
    : file_(place_in(folder), beginning(so_far), "tensorboard") {}

void EventFile::add(const EpochRecord& epoch) { file_.add(record(epoch)); }

}  // namespace birds_vs_planes
