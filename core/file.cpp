#include <tern/core/check.hpp>
#include <tern/core/file.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tern {
namespace {

namespace fs = std::filesystem;

/// A call, made again where a signal interrupted it.
template <class F>
auto uninterrupted(F call) {
  for (;;) {
    const auto result = call();
    if (result != -1 || errno != EINTR) return result;
  }
}

int open_file(const std::string& name, int flags, mode_t mode = 0) {
  return uninterrupted([&] { return open(name.c_str(), flags | O_CLOEXEC, mode); });
}

void write_all(int file, const char* bytes, std::size_t size, const std::string& what) {
  while (size > 0) {
    const ssize_t n = uninterrupted([&] { return ::write(file, bytes, size); });
    check(n >= 0, "{}: cannot be written: {}", what, std::strerror(errno));
    check(n > 0, "{}: cannot be written: the system takes no byte of {}", what, size);
    bytes += n;
    size -= static_cast<std::size_t>(n);
  }
}

/// Where a link that may lead to further ones leads to, though nothing be there.
fs::path behind_links(fs::path path, const std::string& what) {
  std::array<char, PATH_MAX> target;
  for (int links = 0; links < 40; ++links) {
    const ssize_t n = readlink(path.c_str(), target.data(), target.size());
    if (n < 0) {
      const bool no_link = errno == EINVAL || errno == ENOENT;
      check(no_link, "{}: cannot create a file there: {}", what, std::strerror(errno));
      return path;
    }
    path = path.parent_path() / std::string(target.data(), static_cast<std::size_t>(n));
  }
  fail("{}: cannot create a file there: {}", what, std::strerror(ELOOP));
}

constexpr std::string_view mark = ".tern-";
constexpr std::size_t digits = 16;

/// How the temporary names of a file begin: with its own name, unless they would be too long for the system.
std::string temporary_prefix(const fs::path& path) {
  return path.filename().string().substr(0, NAME_MAX - mark.size() - digits) + std::string(mark);
}

/// Removes the temporary files of this prefix whose writer is gone. A writer that has made its file and not yet locked
/// it may lose it: it sees that, and makes another. What fails here was not asked for, and does no harm.
void sweep(const fs::path& folder, const std::string& prefix) {
  struct Close {
    void operator()(DIR* entries) const { closedir(entries); }
  };
  const std::unique_ptr<DIR, Close> entries(opendir(folder.c_str()));
  if (!entries) return;
  while (const dirent* entry = readdir(entries.get())) {
    const std::string_view name = entry->d_name;
    if (name.size() != prefix.size() + digits || !name.starts_with(prefix) ||
        name.find_first_not_of("0123456789abcdef", prefix.size()) != name.npos) {
      continue;
    }
    const std::string place = (folder / name).string();
    const Descriptor file(open_file(place, O_RDWR | O_NOFOLLOW | O_NONBLOCK));
    struct stat found {};
    if (file && fstat(*file, &found) == 0 && S_ISREG(found.st_mode) && flock(*file, LOCK_EX | LOCK_NB) == 0) {
      unlink(place.c_str());
    }
  }
}

}  // namespace

Descriptor::~Descriptor() {
  if (number_ >= 0) close(number_);  // what was to be on the disk has been flushed before
}

FileWriter::Temporary::~Temporary() {
  if (exists) unlink(name.c_str());
}

FileWriter::FileWriter(const fs::path& path, std::string_view what)
    : what_(fmt::format("{} {}", what, path.string())), path_(path) {
  check(path.has_filename(), "{} '{}': expected the name of a file", what, path.string());
  struct stat found {};
  if (stat(path.c_str(), &found) == 0) {
    check(S_ISREG(found.st_mode), "{}: it is there and no regular file", what_);
    replaces_ = true;
    mode_ = found.st_mode & 0777;
    owner_ = found.st_uid;
    group_ = found.st_gid;
  } else {
    check(errno == ENOENT, "{}: cannot create a file there: {}", what_, std::strerror(errno));
  }
  path_ = behind_links(path, what_);
  const fs::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
  const std::string prefix = temporary_prefix(path_);
  folder_ = Descriptor(open_file(folder.string(), O_RDONLY | O_DIRECTORY));
  // One that may be written and not be read cannot be flushed.
  check(folder_ || errno == EACCES, "{}: cannot create a file there: {}", what_, std::strerror(errno));
  sweep(folder, prefix);
  make_temporary(folder, prefix);
}

void FileWriter::make_temporary(const fs::path& folder, const std::string& prefix) {
  for (int tries = 0; tries < 100; ++tries) {
    std::uint64_t number = 0;
    const int drawn = getentropy(&number, sizeof number);
    check(drawn == 0, "{}: no random number to be had: {}", what_, std::strerror(errno));
    temporary_.name = (folder / fmt::format("{}{:0{}x}", prefix, number, digits)).string();
    // What replaces a file is nobody else's until it has that file's mode.
    temporary_.file =
        Descriptor(open_file(temporary_.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, replaces_ ? 0600 : 0666));
    if (!temporary_.file && errno == EEXIST) continue;
    check(bool(temporary_.file), "{}: cannot create a file there: {}", what_, std::strerror(errno));
    temporary_.exists = true;
    if (uninterrupted([&] { return flock(*temporary_.file, LOCK_EX | LOCK_NB); }) != 0) {
      if (errno == EWOULDBLOCK) continue;  // it is being swept up
      // Where a file system has no locks, a sweeper gets none either.
      const bool unknown = errno == ENOLCK || errno == ENOSYS || errno == EOPNOTSUPP || errno == EINVAL;
      check(unknown, "{}: cannot lock a file there: {}", what_, std::strerror(errno));
    }
    struct stat made {};
    const int known = fstat(*temporary_.file, &made);
    check(known == 0, "{}: cannot create a file there: {}", what_, std::strerror(errno));
    if (made.st_nlink > 0) return;
  }
  fail("{}: cannot create a file there: a hundred were taken or removed", what_);
}

void FileWriter::write(const void* bytes, std::size_t size) {
  write_all(*temporary_.file, static_cast<const char*>(bytes), size, what_);
}

void FileWriter::commit() {
  const int file = *temporary_.file;
  if (replaces_) {
    // Only the superuser may give a file away. Those of another group than before get no more than anybody.
    (void)!fchown(file, owner_, static_cast<gid_t>(-1));
    const bool same_group = fchown(file, static_cast<uid_t>(-1), group_) == 0;
    const int set = fchmod(file, same_group ? mode_ : mode_ & ~070U);
    check(set == 0, "{}: cannot set its mode: {}", what_, std::strerror(errno));
  }
  const int flushed = uninterrupted([&] { return fsync(file); });
  check(flushed == 0, "{}: cannot be flushed: {}", what_, std::strerror(errno));
  const int renamed = rename(temporary_.name.c_str(), path_.c_str());
  check(renamed == 0, "{}: cannot be renamed: {}", what_, std::strerror(errno));
  temporary_.exists = false;
  // The new name is on the disk once its folder is. Some file systems know no flushing of folders.
  const int kept = folder_ ? uninterrupted([&] { return fsync(*folder_); }) : 0;
  check(kept == 0 || errno == EINVAL, "{}: it is there, but its folder cannot be flushed: {}", what_,
        std::strerror(errno));
}

void write_file(const fs::path& path, std::string_view bytes, std::string_view what) {
  FileWriter file(path, what);
  file.write(bytes.data(), bytes.size());
  file.commit();
}

GrowingFile::GrowingFile(const fs::path& path, std::string_view bytes, std::string_view what)
    : what_(fmt::format("{} {}", what, path.string())) {
  struct stat found {};
  const bool special = stat(path.c_str(), &found) == 0 && !S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode);
  if (!special) write_file(path, bytes, what);
  file_ = Descriptor(open_file(path.string(), O_WRONLY | O_APPEND | O_NOCTTY));
  check(bool(file_), "{}: cannot be opened: {}", what_, std::strerror(errno));
  if (special) add(bytes);
}

void GrowingFile::add(std::string_view bytes) {
  struct stat before {};
  const bool regular = fstat(*file_, &before) == 0 && S_ISREG(before.st_mode);
  try {
    write_all(*file_, bytes.data(), bytes.size(), what_);
  } catch (...) {
    if (regular) (void)!ftruncate(*file_, before.st_size);
    throw;
  }
}

FileReader::FileReader(const fs::path& path, std::string_view what)
    : what_(fmt::format("{} {}", what, path.string())),
      file_(
          open_file(path.string(), O_RDONLY | O_NONBLOCK | O_NOCTTY)) {  // a pipe that nobody writes is not waited for
  check(file_ || errno != ENOENT, "{}: no such file", what_);
  check(bool(file_), "{}: cannot be opened: {}", what_, std::strerror(errno));
  struct stat found {};
  const int known = fstat(*file_, &found);
  check(known == 0, "{}: cannot be read: {}", what_, std::strerror(errno));
  check(S_ISREG(found.st_mode), "{}: no regular file", what_);
  size_ = static_cast<std::uint64_t>(found.st_size);
}

void FileReader::read(std::uint64_t at, void* bytes, std::size_t size) const {
  for (char* to = static_cast<char*>(bytes); size > 0;) {
    const ssize_t n = uninterrupted([&] { return pread(*file_, to, size, static_cast<off_t>(at)); });
    check(n >= 0, "{}: cannot be read: {}", what_, std::strerror(errno));
    check(n > 0, "{}: it ends at byte {}, expected {} more", what_, at, size);
    to += n;
    at += static_cast<std::uint64_t>(n);
    size -= static_cast<std::size_t>(n);
  }
}

std::string read_bytes(const fs::path& path, std::string_view what) {
  const Descriptor file(open_file(path.string(), O_RDONLY | O_NOCTTY));
  const int error = errno;
  check(bool(file), "{} {}: cannot be read: {}", what, path.string(), std::strerror(error));
  std::string all;
  std::array<char, 1 << 16> piece;
  for (;;) {
    const ssize_t n = uninterrupted([&] { return ::read(*file, piece.data(), piece.size()); });
    check(n >= 0, "{} {}: cannot be read: {}", what, path.string(), std::strerror(errno));
    if (n == 0) return all;
    all.append(piece.data(), static_cast<std::size_t>(n));
  }
}

}  // namespace tern
