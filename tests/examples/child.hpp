#pragma once

/// Runs the real birds_vs_planes as a child process.

#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tern::test {

/// Where the program lies.
std::string program();

struct Outcome {
  int code;  ///< the exit code, or 128 and the signal that ended it
  std::string out, err;

  std::vector<std::string> lines() const;  ///< of out
};

/// With these arguments and, beside this process's environment, these "NAME=value".
Outcome run_program(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {});

struct Terminal {
  int columns = 80;
  std::vector<std::string> environment = {};  ///< as for run_program()
  /// Called with each piece of output as it is read, the child and the terminal's end here.
  std::function<void(std::string_view piece, int child, int end)> seen = {};
};

/// With standard output and error on a terminal; `out` has both.
Outcome run_on_terminal(const std::vector<std::string>& arguments, const Terminal& terminal = {});
void resize_terminal(int end, int columns);

/// A folder of its own, gone at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  /// Names of what it holds, sorted.
  std::vector<std::string> contents() const;

 private:
  std::filesystem::path path_;
};

/// The program while it runs, its standard output to be read line by line.
class Child {
 public:
  explicit Child(const std::vector<std::string>& arguments);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Waits for a line of its standard output; empty at the end of it.
  std::string read_line();
  void send(int signal);
  /// Waits for its end; `out` is left empty.
  Outcome wait();

 private:
  TemporaryFolder folder_;
  int pid_;
  std::FILE* out_;
};

struct Traced {
  int code;    ///< as Outcome's
  long calls;  ///< the system calls it made, of those that count
};
/// Runs the program, of one thread, system call by system call, its output thrown away. The `kill_at`th that counts,
/// from 1, is never made: SIGKILL comes first. What a killed program leaves behind depends on its system calls alone,
/// so these are all the moments there are. With `files_only` those count that open, write, flush, lock, rename or
/// remove files.
Traced run_traced(const std::vector<std::string>& arguments, bool files_only, long kill_at = -1);

std::string read_file(const std::string& path);

}  // namespace tern::test
