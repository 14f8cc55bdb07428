#pragma once

/// A zip archive as torch.save writes one, byte by byte.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tern::test {

inline std::uint32_t crc32(const std::string& bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
  }
  return ~crc;
}

template <class T>
std::string little(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

struct Entry {
  std::string name, bytes;
  std::uint16_t method = 0;
  std::optional<std::uint32_t> crc = {};
};

inline std::string zip_of(const std::vector<Entry>& entries, bool wide = false) {
  std::string zip, directory;
  for (const Entry& e : entries) {
    const auto size = static_cast<std::uint32_t>(e.bytes.size()), crc = e.crc.value_or(crc32(e.bytes));
    const auto name_size = static_cast<std::uint16_t>(e.name.size());
    const std::uint32_t at = static_cast<std::uint32_t>(zip.size()), none = 0xffffffff;
    // The sizes come behind the bytes, in a data descriptor.
    zip += "PK\3\4" + little<std::uint16_t>(20) + little<std::uint16_t>(8) + little(e.method) + little(0) + little(0) +
           little(0) + little(0) + little(name_size) + little<std::uint16_t>(0) + e.name + e.bytes + "PK\7\10" +
           little(crc) + little(size) + little(size);
    const std::string extra = wide
                                  ? little<std::uint16_t>(1) + little<std::uint16_t>(24) + little<std::uint64_t>(size) +
                                        little<std::uint64_t>(size) + little<std::uint64_t>(at)
                                  : "";
    directory += "PK\1\2" + little<std::uint16_t>(20) + little<std::uint16_t>(20) + little<std::uint16_t>(8) +
                 little(e.method) + little(0) + little(crc) + little(wide ? none : size) + little(wide ? none : size) +
                 little(name_size) + little(static_cast<std::uint16_t>(extra.size())) + little<std::uint16_t>(0) +
                 little<std::uint16_t>(0) + little<std::uint16_t>(0) + little(0) + little(wide ? none : at) + e.name +
                 extra;
  }
  const std::size_t begin = zip.size();
  zip += directory;
  if (wide) {
    const std::uint64_t end = zip.size(), count = entries.size();
    zip += "PK\6\6" + little<std::uint64_t>(44) + little<std::uint16_t>(45) + little<std::uint16_t>(45) + little(0) +
           little(0) + little(count) + little(count) + little<std::uint64_t>(directory.size()) +
           little<std::uint64_t>(begin);
    zip += "PK\6\7" + little(0) + little(end) + little(1);
  }
  const auto count = static_cast<std::uint16_t>(wide ? 0xffff : entries.size());
  return zip + "PK\5\6" + little(0) + little(count) + little(count) +
         little(wide ? 0xffffffff : static_cast<std::uint32_t>(directory.size())) +
         little(wide ? 0xffffffff : static_cast<std::uint32_t>(begin)) + little<std::uint16_t>(0);
}

}  // namespace tern::test
