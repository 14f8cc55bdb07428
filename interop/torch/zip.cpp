#include <tern/core/check.hpp>
#include <tern/core/stored.hpp>
#include <tern/interop/torch/zip.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace tern {
namespace {

constexpr std::uint64_t end_size = 22, locator_size = 20, end64_size = 56, entry_size = 46, header_size = 30;
constexpr std::uint64_t largest_directory = 64 << 20;

/// The number of T's size in that place.
template <class T>
T number(const std::string& bytes, std::uint64_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

constexpr auto crc_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = c & 1 ? 0xedb88320U ^ c >> 1 : c >> 1;
    table[i] = c;
  }
  return table;
}();

}  // namespace

Zip::Zip(const std::filesystem::path& path) : what_("load " + path.string()), file_(path, "load") {
  const auto bytes_at = [&](std::uint64_t at, std::uint64_t size) {
    check(size <= file_.size() && at <= file_.size() - size, "{}: a zip's end at byte {} of {}, expected a whole file",
          what_, at, file_.size());
    std::string bytes(size, '\0');
    file_.read(at, bytes.data(), bytes.size());
    return bytes;
  };
  const std::string begin = bytes_at(0, std::min<std::uint64_t>(file_.size(), 14));
  check(
      begin != std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 14),
      "{}: written by torch.save as PyTorch before 1.6 did, or with _use_new_zipfile_serialization=False; expected the "
      "zip that torch.save writes by itself",
      what_);
  // The end is followed by a comment of any length up to 65535.
  const std::uint64_t tail_size = std::min<std::uint64_t>(file_.size(), end_size + 0xffff);
  const std::string tail = bytes_at(file_.size() - tail_size, tail_size);
  std::size_t end = tail.rfind("PK\5\6");
  while (end != std::string::npos &&
         (end + end_size > tail.size() || end + end_size + number<std::uint16_t>(tail, end + 20) != tail.size())) {
    end = end == 0 ? std::string::npos : tail.rfind("PK\5\6", end - 1);
  }
  check(end != std::string::npos, "{}: no zip archive, expected what torch.save writes", what_);
  std::uint64_t count = number<std::uint16_t>(tail, end + 10), size = number<std::uint32_t>(tail, end + 12),
                at = number<std::uint32_t>(tail, end + 16);
  if (end >= locator_size && tail.compare(end - locator_size, 4, "PK\6\7") == 0) {
    const std::string end64 = bytes_at(number<std::uint64_t>(tail, end - locator_size + 8), end64_size);
    check(end64.compare(0, 4, "PK\6\6") == 0, "{}: a zip64 archive without its end record", what_);
    count = number<std::uint64_t>(end64, 32);
    size = number<std::uint64_t>(end64, 40);
    at = number<std::uint64_t>(end64, 48);
  }
  check(size <= largest_directory && size <= file_.size() && at <= file_.size() - size,
        "{}: a zip directory of {} bytes at byte {} of {}, expected it within the file, and at most {} bytes", what_,
        size, at, file_.size(), largest_directory);
  read_directory(at, size, count);
}

void Zip::read_directory(std::uint64_t at, std::uint64_t size, std::uint64_t count) {
  std::string bytes(size, '\0');
  file_.read(at, bytes.data(), bytes.size());
  std::uint64_t next = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    check(next + entry_size <= size && bytes.compare(next, 4, "PK\1\2") == 0,
          "{}: a zip directory that ends after {} of {} entries", what_, i, count);
    const std::uint64_t name_size = number<std::uint16_t>(bytes, next + 28),
                        extra_size = number<std::uint16_t>(bytes, next + 30),
                        comment_size = number<std::uint16_t>(bytes, next + 32);
    std::uint64_t extra = next + entry_size + name_size;
    const std::uint64_t extra_end = extra + extra_size, following = extra_end + comment_size;
    check(following <= size, "{}: a zip directory that ends after {} of {} entries", what_, i, count);
    const std::string name = bytes.substr(next + entry_size, name_size);
    const bool stored =
        (number<std::uint16_t>(bytes, next + 8) & 1) == 0 && number<std::uint16_t>(bytes, next + 10) == 0;
    const auto crc = number<std::uint32_t>(bytes, next + 16);
    // What 32 bits cannot hold is in the extra field of zip64, in this order.
    std::uint64_t compressed = number<std::uint32_t>(bytes, next + 20), plain = number<std::uint32_t>(bytes, next + 24),
                  header = number<std::uint32_t>(bytes, next + 42);
    for (; extra + 4 <= extra_end; extra += 4 + number<std::uint16_t>(bytes, extra + 2)) {
      if (number<std::uint16_t>(bytes, extra) != 1) continue;
      std::uint64_t field = extra + 4;
      const std::uint64_t last = std::min<std::uint64_t>(extra_end, field + number<std::uint16_t>(bytes, extra + 2));
      for (std::uint64_t* wide : {&plain, &compressed, &header}) {
        if (*wide != 0xffffffff) continue;
        check(field + 8 <= last, "{}: the zip entry {} lacks a size of zip64", what_, in_quotes(name));
        *wide = number<std::uint64_t>(bytes, field);
        field += 8;
      }
      break;
    }
    check(plain == compressed || !stored, "{}: the zip entry {} has {} bytes and {} are stored, expected as many",
          what_, in_quotes(name), plain, compressed);
    add(name, header, {.size = compressed, .crc = crc, .stored = stored}, at);
    next = following;
  }
  std::vector<const Entry*> order;
  for (const auto& [name, entry] : entries_) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) { return a->at < b->at; });
  for (std::size_t i = 1; i < order.size(); ++i) {
    check(order[i - 1]->at + order[i - 1]->size <= order[i]->at, "{}: two zip entries lie over each other, at byte {}",
          what_, order[i]->at);
  }
}

void Zip::add(const std::string& name, std::uint64_t header, Entry entry, std::uint64_t directory) {
  const std::string where = fmt::format("{}: the zip entry {}", what_, in_quotes(name));
  check(directory >= header_size && header <= directory - header_size, "{} begins at byte {} of {}", where, header,
        directory);
  std::string bytes(header_size, '\0');
  file_.read(header, bytes.data(), bytes.size());
  check(bytes.compare(0, 4, "PK\3\4") == 0, "{} has no header at byte {}", where, header);
  const std::uint64_t name_size = number<std::uint16_t>(bytes, 26), size = entry.size,
                      at = header + header_size + name_size + number<std::uint16_t>(bytes, 28);
  check(at <= directory && size <= directory - at, "{} has {} bytes from byte {} on, expected them before byte {}",
        where, size, at, directory);
  std::string own(name_size, '\0');
  file_.read(header + header_size, own.data(), own.size());
  check(own == name, "{} is {} in its header", where, in_quotes(own));
  entry.at = at;
  check(entries_.emplace(name, entry).second, "{} is there twice", where);
}

void Zip::check_sum(const std::string& name) const {
  const Entry& entry = entries_.at(name);
  check(entry.stored, "{}: the zip entry {} is compressed or encrypted, expected it as torch.save stores it", what_,
        in_quotes(name));
  std::uint32_t crc = ~0U;
  std::vector<unsigned char> piece(1 << 16);
  for (std::uint64_t done = 0; done < entry.size; done += piece.size()) {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), entry.size - done));
    file_.read(entry.at + done, piece.data(), n);
    for (std::size_t i = 0; i < n; ++i) crc = crc_table[(crc ^ piece[i]) & 255] ^ crc >> 8;
  }
  check(~crc == entry.crc, "{}: the zip entry {} is damaged: its check sum is {:08x}, expected {:08x}", what_,
        in_quotes(name), ~crc, entry.crc);
}

}  // namespace tern
