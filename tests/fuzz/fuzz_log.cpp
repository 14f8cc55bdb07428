/// Any bytes are a run's log or an error. What is read is written as the same log again, and as an event file, which a
/// reader that knows nothing but the format finds whole and with the same curves.

#include "fuzz.hpp"

#include <birds_vs_planes/event_file.hpp>
#include <birds_vs_planes/history.hpp>

#include <tern/kernels/error.hpp>

#include <cstring>
#include <map>
#include <utility>

using namespace birds_vs_planes;
using tern::test::require;

namespace {

/// The curves of an event file: (tag, step) -> value.
using Curves = std::map<std::pair<std::string, std::uint64_t>, float>;

/// Reads fields of protocol buffers from a message.
class Message {
 public:
  explicit Message(std::string_view bytes) : bytes_(bytes) {}

  bool done() const { return bytes_.empty(); }

  /// The next field's number; its value is then in `value` or `bytes`.
  std::uint64_t next() {
    const std::uint64_t key = varint();
    switch (key & 7) {
      case 0: value = varint(); break;
      case 1: bytes = take(8); break;
      case 2: bytes = take(varint()); break;
      case 5: bytes = take(4); break;
      default: require(false, "a field has a type that there is");
    }
    return key >> 3;
  }

  std::uint64_t value = 0;
  std::string_view bytes;

 private:
  std::string_view take(std::uint64_t n) {
    require(n <= bytes_.size(), "a field lies in its message");
    const std::string_view taken = bytes_.substr(0, n);
    bytes_.remove_prefix(n);
    return taken;
  }
  std::uint64_t varint() {
    std::uint64_t n = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      n |= std::uint64_t{byte & 127u} << shift;
      if (byte < 128) return n;
    }
  }

  std::string_view bytes_;
};

template <class T>
T as(std::string_view bytes) {
  T x{};
  require(bytes.size() >= sizeof x, "a number lies in its message");
  std::memcpy(&x, bytes.data(), sizeof x);
  return x;
}

void check_sum(std::string_view bytes, std::uint32_t sum) {
  const std::uint32_t crc = crc32c(std::string(bytes));  // whose values have a test of their own
  require(((crc >> 15 | crc << 17) + 0xa282ead8U) == sum, "a record has its checksum");
}

Curves read_events(std::string_view file) {
  Curves curves;
  while (!file.empty()) {
    const auto length = as<std::uint64_t>(file);
    require(length <= file.size() - 16, "a record lies in its file");
    check_sum(file.substr(0, 8), as<std::uint32_t>(file.substr(8)));
    check_sum(file.substr(12, length), as<std::uint32_t>(file.substr(12 + length)));
    Message event(file.substr(12, length));
    file.remove_prefix(16 + length);
    std::uint64_t step = 0;
    while (!event.done()) {
      const std::uint64_t field = event.next();
      if (field == 2) step = event.value;
      if (field != 5) continue;
      for (Message summary(event.bytes); !summary.done();) {
        require(summary.next() == 1, "a summary has values alone");
        std::string tag;
        float value = 0;
        for (Message scalar(summary.bytes); !scalar.done();) {
          if (scalar.next() == 1) {
            tag = scalar.bytes;
          } else {
            value = as<float>(scalar.bytes);
          }
        }
        curves[{tag, step}] = value;
      }
    }
  }
  return curves;
}

Curves curves_of(const History& history) {
  Curves curves;
  for (const EpochRecord& e : history) {
    const auto step = static_cast<std::uint64_t>(e.epoch);
    curves[{"loss", step}] = static_cast<float>(e.loss);
    curves[{"lr", step}] = static_cast<float>(e.lr);
    curves[{"seconds", step}] = static_cast<float>(e.seconds);
    if (e.holdout_accuracy) curves[{"accuracy/holdout", step}] = static_cast<float>(*e.holdout_accuracy);
    if (e.val_accuracy) curves[{"accuracy/validation", step}] = static_cast<float>(*e.val_accuracy);
  }
  return curves;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static tern::test::MemoryFile given;
  static const tern::test::Folder folder;
  given.assign(tern::test::as_text(data, size));
  try {
    const History history = read_csv(given.path());
    const std::string once = to_csv(history);
    require(to_csv(from_csv(once, "what was written")) == once, "a log that is read is written again as it is");

    const std::ptrdiff_t before = static_cast<std::ptrdiff_t>(history.size()) / 2;
    const History so_far(history.begin(), history.begin() + before);
    const std::string log = folder / "log.csv";
    {
      Log growing(log, so_far);
      EventFile events(folder / "events", so_far);
      for (std::size_t i = so_far.size(); i < history.size(); ++i) {
        growing.add(history[i]);
        events.add(history[i]);
      }
    }
    require(tern::read_bytes(log, "fuzz") == once, "a log grows to what is written at once");
    const std::string events = tern::read_bytes(folder / "events/events.out.tfevents.birds_vs_planes", "fuzz");
    require(read_events(events) == curves_of(history), "an event file has the log's curves");
  } catch (const tern::Error&) {  // as it should be
  }
  return 0;
}
