#pragma once

/// Runs the real birds_vs_planes as a child process.

#include <filesystem>
#include <string>
#include <vector>

namespace tern::test {

struct Outcome {
  int code;  ///< the exit code, or 128 and the signal that ended it
  std::string out, err;

  std::vector<std::string> lines() const;  ///< of out
};

/// With these arguments and, beside this process's environment, these "NAME=value".
Outcome run_program(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {});

/// With standard output and error on a terminal; `out` has both.
Outcome run_on_terminal(const std::vector<std::string>& arguments);

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

std::string read_file(const std::string& path);

}  // namespace tern::test
