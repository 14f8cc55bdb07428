#pragma once

#include <tern/core/file.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace tern {

/// A zip archive, of which stored entries can be read: PKWARE's APPNOTE.TXT 6.3, 4.3 to 4.5. Where entries are is
/// what the central directory says; data descriptors need not be read.
class Zip {
 public:
  struct Entry {
    std::uint64_t at = 0, size = 0;  ///< of its bytes in the file
    std::uint32_t crc = 0;
    bool stored = true;  ///< and neither compressed nor encrypted
  };

  /// Throws Error, "load PATH: ...", as all of this, for what is no such archive: also where entries have a name twice
  /// or lie over each other.
  explicit Zip(const std::filesystem::path& path);

  const std::map<std::string, Entry>& entries() const { return entries_; }
  const FileReader& file() const { return file_; }
  /// Throws Error unless the entry is stored, and its bytes have their check sum: before they are read.
  void check_sum(const std::string& name) const;

 private:
  void read_directory(std::uint64_t at, std::uint64_t size, std::uint64_t count);
  void add(const std::string& name, std::uint64_t header, Entry entry, std::uint64_t directory);

  std::string what_;  ///< how errors begin
  FileReader file_;
  std::map<std::string, Entry> entries_;
};

}  // namespace tern
