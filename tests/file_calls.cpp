#include <file_calls.hpp>

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstddef>
#include <cstring>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tern::test {
namespace {

constexpr std::size_t most = 10'000;

/// Of this thread. What a call does here must not allocate: the calls themselves may be on the way to say that memory
/// is out.
struct Watch {
  bool on = false;
  FileFault fault;
  std::size_t count = 0;
  std::array<const char*, most> names;
};
thread_local Watch watch;

/// Notes a call; whether the fault befalls it.
bool befallen(const char* name) {
  if (!watch.on) return false;
  const auto at = static_cast<long>(watch.count);
  if (watch.count < most) watch.names[watch.count++] = name;
  const bool hit = watch.fault.at >= 0 && (at == watch.fault.at || (watch.fault.from_then_on && at > watch.fault.at));
  if (hit) errno = watch.fault.error;
  return hit;
}
bool fails(const char* name) { return befallen(name) && watch.fault.error != 0; }

/// The system's function of that name and type.
template <class F>
F* real(F*, const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

/// A read or write of `size` bytes, done by transfer(size).
template <class F>
ssize_t transferred(const char* name, std::size_t size, F transfer) {
  if (!befallen(name)) return transfer(size);
  if (watch.fault.error != 0) return -1;
  return watch.fault.nothing ? 0 : transfer((size + 1) / 2);
}

/// Random bytes; zeros where the fault befalls them.
int drawn(void* bytes, std::size_t size, int (*draw)(void*, std::size_t)) {
  if (!befallen("getentropy")) return draw(bytes, size);
  std::memset(bytes, 0, size);
  return watch.fault.error == 0 ? 0 : -1;
}

}  // namespace

FileCalls::FileCalls(const FileFault& fault) {
  watch.fault = fault;
  watch.count = 0;
  watch.on = true;
}

FileCalls::~FileCalls() { watch.on = false; }

std::vector<std::string> FileCalls::names() const { return {watch.names.begin(), watch.names.begin() + watch.count}; }

}  // namespace tern::test

using tern::test::drawn;
using tern::test::fails;
using tern::test::real;
using tern::test::transferred;

extern "C" {

int open(const char* path, int flags, ...) {
  static auto* const next = real(&open, "open");
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return fails("open") ? -1 : next(path, flags, mode);
}

int close(int file) {
  static auto* const next = real(&close, "close");
  const bool failed = fails("close");
  const int error = errno, result = next(file);  // it is closed all the same
  if (failed) errno = error;
  return failed ? -1 : result;
}

ssize_t write(int file, const void* bytes, size_t size) {
  static auto* const next = real(&write, "write");
  return transferred("write", size, [&](size_t n) { return next(file, bytes, n); });
}

ssize_t read(int file, void* bytes, size_t size) {
  static auto* const next = real(&read, "read");
  return transferred("read", size, [&](size_t n) { return next(file, bytes, n); });
}

ssize_t pread(int file, void* bytes, size_t size, off_t at) {
  static auto* const next = real(&pread, "pread");
  return transferred("pread", size, [&](size_t n) { return next(file, bytes, n, at); });
}

int fsync(int file) {
  static auto* const next = real(&fsync, "fsync");
  return fails("fsync") ? -1 : next(file);
}

int ftruncate(int file, off_t size) noexcept {
  static auto* const next = real(&ftruncate, "ftruncate");
  return fails("ftruncate") ? -1 : next(file, size);
}

int rename(const char* from, const char* to) noexcept {
  static auto* const next = real(&rename, "rename");
  return fails("rename") ? -1 : next(from, to);
}

int mkdir(const char* path, mode_t mode) noexcept {
  static auto* const next = real(&mkdir, "mkdir");
  return fails("mkdir") ? -1 : next(path, mode);
}

int unlink(const char* path) noexcept {
  static auto* const next = real(&unlink, "unlink");
  return fails("unlink") ? -1 : next(path);
}

int flock(int file, int operation) noexcept {
  static auto* const next = real(&flock, "flock");
  return fails("flock") ? -1 : next(file, operation);
}

int fchmod(int file, mode_t mode) noexcept {
  static auto* const next = real(&fchmod, "fchmod");
  return fails("fchmod") ? -1 : next(file, mode);
}

int fchown(int file, uid_t owner, gid_t group) noexcept {
  static auto* const next = real(&fchown, "fchown");
  return fails("fchown") ? -1 : next(file, owner, group);
}

int stat(const char* path, struct stat* found) noexcept {
  static auto* const next = reinterpret_cast<int (*)(const char*, struct stat*)>(dlsym(RTLD_NEXT, "stat"));
  return fails("stat") ? -1 : next(path, found);
}

int fstat(int file, struct stat* found) noexcept {
  static auto* const next = reinterpret_cast<int (*)(int, struct stat*)>(dlsym(RTLD_NEXT, "fstat"));
  return fails("fstat") ? -1 : next(file, found);
}

ssize_t readlink(const char* path, char* target, size_t size) noexcept {
  static auto* const next = real(&readlink, "readlink");
  return fails("readlink") ? -1 : next(path, target, size);
}

int getentropy(void* bytes, size_t size) {
  static auto* const next = real(&getentropy, "getentropy");
  return drawn(bytes, size, next);
}

DIR* opendir(const char* path) {
  static auto* const next = real(&opendir, "opendir");
  return fails("opendir") ? nullptr : next(path);
}

struct dirent* readdir(DIR* entries) {
  static auto* const next = real(&readdir, "readdir");
  return fails("readdir") ? nullptr : next(entries);
}

}  // extern "C"
