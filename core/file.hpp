#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace tern {

/// A file descriptor, closed at the end.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}  ///< takes over an open one; -1 is none
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor();

  /// Its number.
  int operator*() const { return number_; }
  /// Whether it is open.
  explicit operator bool() const { return number_ >= 0; }

 private:
  int number_;
};

/// Writes a file that appears whole or not at all: under another name beside its place, flushed to the disk, then
/// renamed. A file that was there before keeps its mode, owner and group, as far as this process may give them; a link
/// stays and the file it points to is replaced; a new file's mode is by the umask. Writers of one path in several
/// threads or processes do not disturb each other: the last to commit() wins.
///
/// The other name is the file's with ".tern-" and 16 hexadecimal digits, drawn anew for each writer and never a file
/// that was there, and is locked (flock) for as long as the writer lives. What a killed process leaves under such a
/// name is not locked any more: the next writer of the same path removes it.
///
/// One thread at a time may use a writer.
class FileWriter {
 public:
  /// Begins a file of no bytes. Throws Error, "WHAT PATH: ..." as all of this, where none can be made or `path` is
  /// something else than a file.
  explicit FileWriter(const std::filesystem::path& path, std::string_view what = "save");

  /// Adds bytes at its end. Throws Error where the disk takes no more of them.
  void write(const void* bytes, std::size_t size);
  /// Puts the file in its place. Throws Error where it cannot; the file that was there before is then still there,
  /// unless the message says that the new one is and that only its folder could not be flushed.
  void commit();

 private:
  struct Temporary {
    Temporary() = default;
    Temporary(Temporary&&) = delete;
    ~Temporary();

    std::string name;
    bool exists = false;
    Descriptor file;
  };
  void make_temporary(const std::filesystem::path& folder, const std::string& prefix);

  std::string what_;  ///< how errors begin
  std::filesystem::path path_;
  bool replaces_ = false;
  unsigned mode_ = 0, owner_ = 0, group_ = 0;  ///< of the file that is replaced
  Descriptor folder_;
  Temporary temporary_;
};

/// Writes a file of these bytes as FileWriter does. Throws Error as it does.
void write_file(const std::filesystem::path& path, std::string_view bytes, std::string_view what = "save");

/// A file that begins whole, as write_file() leaves it, and grows from then on. Where `path` is a device or a pipe,
/// that is written to. Throws Error, "WHAT PATH: ...", where it cannot be written; of what could not be added nothing
/// stays.
class GrowingFile {
 public:
  GrowingFile(const std::filesystem::path& path, std::string_view bytes, std::string_view what);  ///< begins as bytes
  /// Adds bytes at its end.
  void add(std::string_view bytes);

 private:
  std::string what_;
  Descriptor file_;
};

/// A file to be read from any place in it. Throws Error, "WHAT PATH: ...", where that fails.
class FileReader {
 public:
  FileReader(const std::filesystem::path& path, std::string_view what);  ///< opens it; `what` begins its messages
  /// In bytes.
  std::uint64_t size() const { return size_; }
  /// The `size` bytes from byte `at` on.
  void read(std::uint64_t at, void* bytes, std::size_t size) const;

 private:
  std::string what_;
  Descriptor file_;
  std::uint64_t size_ = 0;
};

/// All that a file, device or pipe gives. Throws Error, "WHAT PATH: cannot be read: ...".
std::string read_bytes(const std::filesystem::path& path, std::string_view what);

}  // namespace tern
