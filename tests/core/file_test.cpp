#include "folder.hpp"
#include "support.hpp"

#include <tern/core/file.hpp>
#include <tern/core/safetensors.hpp>

#include <file_calls.hpp>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <map>
#include <set>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace tern::test {

namespace {

const std::vector<std::string> only_file{"file"};

unsigned mode_of(const fs::path& path) {
  struct stat found {};
  REQUIRE(lstat(path.c_str(), &found) == 0);
  return found.st_mode & 07777;
}

/// How many descriptors this process has open.
std::ptrdiff_t descriptors() {
  return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
}

/// Puts the umask back at the end.
struct Umask {
  explicit Umask(mode_t mask) : before(umask(mask)) {}
  ~Umask() { umask(before); }
  mode_t before;
};

/// A file of the name that a writer of folder/file has for its temporary one when no random number is drawn.
std::string temporary_name(std::uint64_t number) {
  std::ostringstream name;
  name << "file.tern-" << std::hex << std::setw(16) << std::setfill('0') << number;
  return name.str();
}

}  // namespace

TEST_CASE("a file is written whole, in pieces or at once", "[file]") {
  const Folder folder;
  for_each_case(10, [&](Random& random) {
    std::string want;
    {
      FileWriter out(folder.path / "file");
      for (std::int64_t n = random.integer(0, 4); n > 0; --n) {
        const std::string piece(static_cast<std::size_t>(random.length()), static_cast<char>(random.integer(0, 255)));
        out.write(piece.data(), piece.size());
        want += piece;
      }
      out.commit();
    }
    CHECK(read(folder.path / "file") == want);
    CHECK(folder.files() == only_file);
    write_file(folder.path / "file", want + "more");
    CHECK(read(folder.path / "file") == want + "more");
  });
}

TEST_CASE("a writer that does not commit leaves nothing", "[file]") {
  const Folder folder;
  { const FileWriter out(folder.path / "file"); }
  CHECK(folder.files().empty());
  write_file(folder.path / "file", "old");
  {
    FileWriter out(folder.path / "file");
    out.write("new", 3);
    CHECK(folder.files().size() == 2);
  }
  CHECK(folder.files() == only_file);
  CHECK(read(folder.path / "file") == "old");
}

TEST_CASE("a file's mode is kept, and a new one's is by the umask", "[file]") {
  const Folder folder;
  const fs::path path = folder.path / "file";
  for (const auto& [mask, mode] : std::vector<std::pair<mode_t, unsigned>>{{022, 0644}, {077, 0600}, {027, 0640}}) {
    const Umask umask(mask);
    fs::remove(path);
    write_file(path, "new");
    CHECK(mode_of(path) == mode);
  }
  for (const unsigned mode : {0600U, 0640U, 0666U, 0444U, 0755U}) {
    REQUIRE(chmod(path.c_str(), mode) == 0);
    FileWriter out(path);
    for (const std::string& name : folder.files()) {
      if (name != "file") CHECK((mode_of(folder.path / name) & 077) == 0);  // nobody else's while it is written
    }
    out.commit();
    CHECK(mode_of(path) == mode);
  }
  CHECK(read(path).empty());
}

TEST_CASE("who owned a file owns the one that replaces it", "[file]") {
  if (geteuid() != 0) return;  // only the superuser can try
  const Folder folder;
  const fs::path path = folder.path / "file";
  write_file(path, "old");
  REQUIRE(chown(path.c_str(), 1234, 5678) == 0);
  REQUIRE(chmod(path.c_str(), 0640) == 0);
  const auto replace = [&](long failing) {
    const FileCalls calls({.at = failing, .error = EPERM});
    write_file(path, "new");
    return calls.names();
  };
  const std::vector<std::string> names = replace(-1);
  struct stat found {};
  REQUIRE(stat(path.c_str(), &found) == 0);
  CHECK(found.st_uid == 1234);
  CHECK(found.st_gid == 5678);
  CHECK(mode_of(path) == 0640);

  // A group that cannot be given gets nothing: the file would be another group's.
  const auto last = std::find(names.rbegin(), names.rend(), "fchown");
  REQUIRE(last != names.rend());
  replace(names.rend() - last - 1);
  CHECK(mode_of(path) == 0600);
}

TEST_CASE("a link stays and what it points to is replaced", "[file]") {
  const Folder folder;
  fs::create_directory(folder.path / "there");
  const fs::path link = folder.path / "link", real = folder.path / "there" / "file";
  const auto write_through = [&](const std::string& bytes) {
    write_file(link, bytes);
    CHECK(fs::is_symlink(link));
    CHECK_FALSE(fs::is_symlink(real));
    CHECK(read(real) == bytes);
    CHECK(folder.files().size() == (fs::exists(folder.path / "again") ? 3U : 2U));
    CHECK(std::distance(fs::directory_iterator(folder.path / "there"), fs::directory_iterator()) == 1);
  };
  fs::create_symlink("there/file", link);
  write_through("nothing was there");
  REQUIRE(chmod(real.c_str(), 0600) == 0);
  write_through("a file was there");
  CHECK(mode_of(real) == 0600);
  fs::remove(link);
  fs::create_symlink(real, link);  // absolute
  write_through("absolute");
  fs::remove(link);
  fs::create_symlink(real, folder.path / "again");
  fs::create_symlink("again", link);
  write_through("a link to a link");

  fs::remove(folder.path / "again");
  fs::create_symlink("link", folder.path / "again");
  fs::remove(link);
  fs::create_symlink("again", link);
  CHECK(message_of([&] { write_file(link, ""); }) ==
        "save " + link.string() + ": cannot create a file there: Too many levels of symbolic links");
}

TEST_CASE("what is no file is not replaced", "[file]") {
  const Folder folder;
  const auto error = [](const fs::path& path) { return message_of([&] { write_file(path, "x"); }); };
  CHECK(error(folder.path) == "save " + folder.path.string() + ": it is there and no regular file");
  CHECK(error("/dev/null") == "save /dev/null: it is there and no regular file");
  CHECK(fs::is_character_file("/dev/null"));
  CHECK(error("") == "save '': expected the name of a file");
  CHECK(error(folder.path / "") == "save '" + (folder.path / "").string() + "': expected the name of a file");
  REQUIRE(mkfifo((folder.path / "pipe").c_str(), 0600) == 0);
  CHECK(error(folder.path / "pipe") == "save " + (folder.path / "pipe").string() + ": it is there and no regular file");
  CHECK(error(folder.path / "none" / "file") ==
        "save " + (folder.path / "none" / "file").string() + ": cannot create a file there: No such file or directory");
  CHECK(error(folder.path / std::string(256, 'x')).ends_with(": cannot create a file there: File name too long"));
  CHECK(folder.files() == std::vector<std::string>{"pipe"});
}

TEST_CASE("a name as long as the system has any is a file's", "[file]") {
  const Folder folder;
  const std::string name(255, 'x');
  write_file(folder.path / name, "1");
  write_file(folder.path / name, "2");
  CHECK(read(folder.path / name) == "2");
  CHECK(folder.files() == std::vector<std::string>{name});
}

TEST_CASE("what is there under the temporary name is not touched", "[file]") {
  const Folder folder;
  std::vector<std::string> names;
  {
    const FileCalls calls;
    write_file(folder.path / "file", "old");
    names = calls.names();
  }
  const long draw = std::find(names.begin(), names.end(), "getentropy") - names.begin();
  write(folder.path / "precious", "precious");
  const auto save = [&](const std::string& bytes, long more) {
    const FileCalls calls({.at = draw + more, .error = 0});  // the name is known beforehand
    write_file(folder.path / "file", bytes);
    CHECK(calls.names().size() > names.size());  // another was tried
  };
  const std::string name = temporary_name(0);

  fs::create_symlink(folder.path / "precious", folder.path / name);
  save("new", 3);  // sweeping reads one more name, and opens it in vain; the file is there now
  CHECK(read(folder.path / "precious") == "precious");
  CHECK(fs::is_symlink(folder.path / name));
  CHECK(read(folder.path / "file") == "new");
  CHECK_FALSE(fs::is_symlink(folder.path / "file"));
}

TEST_CASE("what a killed writer left is removed by the next one, and nothing else", "[file]") {
  const Folder folder;
  const fs::path path = folder.path / "file";
  write_file(path, "old");
  const std::vector<std::string> others{"file.tern-0123456789abcde",   "file.tern-0123456789abcdef0",
                                        "file.tern-0123456789ABCDEF",  "file.tern-0123456789abcdeg",
                                        "other.tern-0123456789abcdef", "file.tmp123",
                                        "xfile.tern-0123456789abcdef"};
  for (const std::string& name : others) write(folder.path / name, "not ours");
  fs::create_directory(folder.path / temporary_name(1));
  for (int round = 0; round < 3; ++round) {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      FileWriter out(path);
      out.write("half", 4);
      raise(SIGKILL);
    }
    REQUIRE(waitpid(child, nullptr, 0) == child);
  }
  // Each but the first swept up what the one before had left.
  CHECK(folder.files().size() == others.size() + 3);

  FileWriter alive(path);  // its file stays, whoever saves
  write_file(path, "new");
  write_file(path, "newer");
  CHECK(folder.files().size() == others.size() + 3);
  CHECK(read(path) == "newer");
  alive.write("newest", 6);
  alive.commit();
  CHECK(read(path) == "newest");
  std::vector<std::string> want = others;
  want.push_back("file");
  want.push_back(temporary_name(1));
  std::sort(want.begin(), want.end());
  CHECK(folder.files() == want);
  for (const std::string& name : others) CHECK(read(folder.path / name) == "not ours");
}

TEST_CASE("threads that save to one path leave one of their files whole", "[file]") {
  const Folder folder;
  const fs::path path = folder.path / "file";
  write_file(path, std::string(1000, 'a'));
  std::atomic<bool> done{false};
  std::atomic<int> torn{0}, saved{0};
  std::atomic<bool> failed{false};
  std::vector<std::thread> writers;
  for (int id = 0; id < 4; ++id) {
    writers.emplace_back([&, id] {
      try {
        for (int i = 0; i < 50; ++i, ++saved) {
          write_file(path, std::string(static_cast<std::size_t>(1000 + 70'000 * id), static_cast<char>('a' + id)));
        }
      } catch (const Error&) {
        failed = true;
      }
    });
  }
  std::thread reader([&] {
    while (!done) {
      const std::string got = read(path);
      const bool whole = !got.empty() && got.size() == static_cast<std::size_t>(1000 + 70'000 * (got[0] - 'a')) &&
                         got.find_first_not_of(got[0]) == got.npos;
      torn += !whole;
    }
  });
  for (std::thread& writer : writers) writer.join();
  done = true;
  reader.join();
  CHECK_FALSE(failed);
  CHECK(saved == 200);
  CHECK(torn == 0);
  CHECK(folder.files() == only_file);
}

TEST_CASE("each file call of a save fails in turn", "[file]") {
  const Folder folder;
  const fs::path path = folder.path / "file";
  const TensorFile old{{{"x", arange(5)}, {"y", tensor({2.5})}}, {{"k", "v"}}},
      fresh{{{"x", arange(30)}, {"y", tensor({1.0f, 2.0f, 3.0f})}, {"none", zeros({0})}}, {}};
  save_safetensors(path, old);
  const std::string old_bytes = read(path);
  save_safetensors(path, fresh);
  const std::string fresh_bytes = read(path), left_behind = temporary_name(0xabc);
  REQUIRE(old_bytes != fresh_bytes);

  // What must succeed for a save to; any other call is of sweeping, or of giving the file to whom it belonged.
  const std::set<std::string> needed{"stat", "getentropy", "write", "fsync", "rename", "fchmod"};
  const std::set<std::string> interruptible{"open", "write", "fsync", "flock"};
  struct Kind {
    std::string name;
    FileFault fault;
  };
  const std::vector<Kind> kinds{{"ENOSPC", {.error = ENOSPC}},
                                {"EIO", {.error = EIO}},
                                {"EDQUOT", {.error = EDQUOT}},
                                {"EACCES", {.error = EACCES}},
                                {"EMFILE", {.error = EMFILE}},
                                {"EINTR", {.error = EINTR}},
                                {"half of it", {.error = 0}},
                                {"nothing of it", {.error = 0, .nothing = true}},
                                {"EIO from then on", {.error = EIO, .from_then_on = true}}};
  std::map<std::string, int> errors, successes;
  for (const bool replaces : {true, false}) {
    const auto begin = [&] {
      fs::remove(path);
      if (replaces) write(path, old_bytes);
      write(folder.path / left_behind, "of a process that was killed");
    };
    begin();
    const std::vector<std::string> calls_made = [&] {
      const FileCalls calls;
      save_safetensors(path, fresh);
      return calls.names();
    }();
    const auto count = static_cast<long>(calls_made.size());
    for (const Kind& kind : kinds) {
      for (long at = 0; at < count; ++at) {
        begin();
        const std::ptrdiff_t open_before = descriptors();
        const std::string& failed = calls_made[static_cast<std::size_t>(at)];
        FileFault fault = kind.fault;
        fault.at = at;
        std::string message;
        {
          const FileCalls calls(fault);
          message = message_of([&] { save_safetensors(path, fresh); });
          REQUIRE(calls.names()[static_cast<std::size_t>(at)] == failed);
        }
        INFO(kind.name << " at call " << at << ", " << failed << (replaces ? ", replacing" : "") << ": " << message);
        CHECK(descriptors() == open_before);
        const bool succeeded = message == "(nothing was thrown)",
                   unflushed = message.find(": it is there, but its folder cannot be flushed: ") != message.npos;
        const std::string want = succeeded || unflushed ? fresh_bytes : replaces ? old_bytes : "";
        CHECK(read(path) == want);
        CHECK(fs::exists(path) == !want.empty());
        ++(succeeded ? successes : errors)[kind.name];
        if (!succeeded) {
          CHECK(message.starts_with("save " + path.string() + ": "));
          if (fault.error != 0) CHECK(message.ends_with(std::strerror(fault.error)));
        }
        if (fault.error != 0 && fault.error != EINTR && needed.contains(failed)) CHECK_FALSE(succeeded);
        if (fault.error == EINTR && interruptible.contains(failed)) CHECK(succeeded);
        if (kind.name == "half of it") CHECK(succeeded);
        if (fault.nothing) CHECK(succeeded == (failed != "write"));
        // The one failure left nothing of its own. What another had left may stay where sweeping was what failed.
        for (const std::string& name : folder.files()) {
          if (!fault.from_then_on) CHECK((name == "file" || name == left_behind));
        }

        save_safetensors(path, fresh);
        CHECK(read(path) == fresh_bytes);
        CHECK(folder.files() == only_file);
      }
    }
  }
  for (const Kind& kind : kinds) {
    std::cout << "a save's file calls, " << kind.name << ": " << errors[kind.name] << " errors, "
              << successes[kind.name] << " saves all the same" << std::endl;
  }
  for (const char* kind : {"ENOSPC", "EIO", "EDQUOT", "EACCES", "EMFILE"}) CHECK(errors[kind] >= 2 * 8);
  CHECK(errors["half of it"] == 0);
  CHECK(errors["nothing of it"] == 2 * 4);  // length, header and two tensors: the third has no bytes
}

TEST_CASE("each file call of a load fails in turn", "[file]") {
  const Folder folder;
  const fs::path path = folder.path / "file";
  const TensorFile file{{{"x", arange(30)}, {"y", tensor({1.0f, 2.0f, 3.0f})}}, {{"k", "v"}}};
  save_safetensors(path, file);
  int errors = 0;
  for (const FileFault& kind :
       {FileFault{.error = EIO}, {.error = EACCES}, {.error = EINTR}, {.error = 0}, {.error = 0, .nothing = true}}) {
    for (long at = 0, count = 1; at < count; ++at) {
      const std::ptrdiff_t open_before = descriptors();
      FileFault fault = kind;
      fault.at = at;
      std::string failed;
      TensorFile got;
      const std::string message = message_of([&] {
        const FileCalls calls(fault);
        try {
          got = load_safetensors(path);
        } catch (...) {
          failed = calls.names().at(static_cast<std::size_t>(at));
          throw;
        }
        count = static_cast<long>(calls.names().size());
        failed = calls.names().at(static_cast<std::size_t>(at));
      });
      INFO("call " << at << ", " << failed << ", error " << fault.error << ": " << message);
      CHECK(descriptors() == open_before);
      if (message == "(nothing was thrown)") {
        CHECK((failed == "close" || fault.error == EINTR || fault.error == 0));
        REQUIRE(got.tensors.size() == 2);
        check_equal(got.tensors.at("x"), file.tensors.at("x"));
        check_equal(got.tensors.at("y"), file.tensors.at("y"));
      } else {
        ++errors;
        count = std::max(count, at + 2);
        CHECK(message.starts_with("load " + path.string() + ": "));
        if (fault.error != 0) CHECK(message.ends_with(std::strerror(fault.error)));
        CHECK((fault.error != EINTR || failed == "fstat"));
        if (fault.error == 0) CHECK(message.find(": it ends at byte ") != message.npos);
      }
    }
  }
  CHECK(errors > 12);
}

TEST_CASE("a file that grows loses nothing to a call that fails", "[file]") {
  const Folder folder;
  const fs::path path = folder.path / "file";
  for (const FileFault& kind :
       {FileFault{.error = ENOSPC}, {.error = EINTR}, {.error = 0}, {.error = 0, .nothing = true}}) {
    for (long at = 0, count = 1; at < count; ++at) {
      GrowingFile file(path, "begin\n", "log");
      file.add("one\n");
      FileFault fault = kind;
      fault.at = at;
      std::string message;
      {
        const FileCalls calls(fault);
        message = message_of([&] { file.add("two\n"); });
        count = static_cast<long>(calls.names().size());
      }
      INFO("call " << at << " of " << count << ", error " << fault.error << ": " << message);
      const bool added = message == "(nothing was thrown)";
      if (!added) CHECK(message.starts_with("log " + path.string() + ": cannot be written: "));
      if (fault.error == EINTR || (fault.error == 0 && !fault.nothing)) CHECK(added);
      CHECK(read(path) == (added ? "begin\none\ntwo\n" : "begin\none\n"));
      file.add("three\n");
      CHECK(read(path) == (added ? "begin\none\ntwo\nthree\n" : "begin\none\nthree\n"));
    }
  }
  // A part is written, and then no more can be, as on a full disk: none of it stays.
  GrowingFile file(path, "begin\n", "log");
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 8;
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  std::vector<std::string> names;
  const std::string message = message_of([&] {
    const FileCalls calls;
    try {
      file.add("two\n");
    } catch (...) {
      names = calls.names();
      throw;
    }
  });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  CHECK(message == "log " + path.string() + ": cannot be written: File too large");
  CHECK(names == std::vector<std::string>{"fstat", "write", "write", "ftruncate"});
  CHECK(read(path) == "begin\n");
  CHECK(message_of([&] { GrowingFile("/dev/full", "x", "log"); }) ==
        "log /dev/full: cannot be written: No space left on device");
  CHECK(message_of([&] { GrowingFile(folder.path, "x", "log"); }) ==
        "log " + folder.path.string() + ": it is there and no regular file");
}

TEST_CASE("what is read whole is all that there is, or an error with its name", "[file]") {
  const Folder folder;
  for_each_case(5, [&](Random& random) {
    const std::string bytes(static_cast<std::size_t>(random.integer(0, 200'000)),
                            static_cast<char>(random.integer(0, 255)));
    write(folder.path / "file", bytes);
    CHECK(read_bytes(folder.path / "file", "log") == bytes);
  });
  CHECK(message_of([&] { read_bytes(folder.path / "none", "log"); }) ==
        "log " + (folder.path / "none").string() + ": cannot be read: No such file or directory");
  CHECK(message_of([&] { read_bytes(folder.path, "log"); }) ==
        "log " + folder.path.string() + ": cannot be read: Is a directory");
  write(folder.path / "file", "x");
  const FileCalls calls({.at = 1, .error = EIO});
  CHECK(message_of([&] { read_bytes(folder.path / "file", "log"); }) ==
        "log " + (folder.path / "file").string() + ": cannot be read: Input/output error");
}

}  // namespace tern::test
