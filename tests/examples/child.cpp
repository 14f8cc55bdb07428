#include "child.hpp"

#include <folders.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <linux/capability.h>
#include <pty.h>
#include <sstream>
#include <stdexcept>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace tern::test {

namespace {

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

/// In the child: becomes the program.
[[noreturn]] void become_program(const std::vector<std::string>& arguments,
                                 const std::vector<std::string>& environment) {
  for (const std::string& variable : environment) putenv(const_cast<char*>(variable.c_str()));
  const std::string path = program();
  std::vector<char*> argv{const_cast<char*>(path.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  // Permissions are for root too, from exec on.
  for (const int capability : {CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH}) prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  alarm(300);  // a program that does what it should not must not keep the tests for ever
  execv(argv[0], argv.data());
  _exit(127);
}

int wait_for(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) fail("waitpid");
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

std::string program() { return in_build("examples/birds_vs_planes"); }

std::vector<std::string> Outcome::lines() const {
  std::vector<std::string> lines;
  std::istringstream text(out);
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

Outcome run_program(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
  const TemporaryFolder folder;
  const std::string out = folder / "out", err = folder / "err";
  const pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    if (!std::freopen("/dev/null", "r", stdin) || !std::freopen(out.c_str(), "w", stdout) ||
        !std::freopen(err.c_str(), "w", stderr)) {
      _exit(126);
    }
    become_program(arguments, environment);
  }
  const int code = wait_for(child);
  return {code, read_file(out), read_file(err)};
}

Outcome run_on_terminal(const std::vector<std::string>& arguments, const Terminal& terminal) {
  int end = -1;
  winsize size{};
  size.ws_col = static_cast<unsigned short>(terminal.columns);
  const pid_t child = forkpty(&end, nullptr, nullptr, &size);
  if (child < 0) fail("forkpty");
  if (child == 0) become_program(arguments, terminal.environment);
  std::string all;
  char buffer[4096];
  // A terminal whose other end is closed answers with EIO.
  for (ssize_t n; (n = read(end, buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR);) {
    if (n < 0) continue;
    const std::string_view piece(buffer, static_cast<std::size_t>(n));
    all += piece;
    if (terminal.seen) terminal.seen(piece, child, end);
  }
  close(end);
  return {wait_for(child), all, ""};
}

void resize_terminal(int end, int columns) {
  winsize size{};
  size.ws_col = static_cast<unsigned short>(columns);
  if (ioctl(end, TIOCSWINSZ, &size) != 0) fail("ioctl");
}

Child::Child(const std::vector<std::string>& arguments) {
  int ends[2];
  if (pipe(ends) != 0) fail("pipe");
  pid_ = fork();
  if (pid_ < 0) fail("fork");
  if (pid_ == 0) {
    if (!std::freopen("/dev/null", "r", stdin) || !std::freopen((folder_ / "err").c_str(), "w", stderr)) _exit(126);
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    become_program(arguments, {});
  }
  close(ends[1]);
  out_ = fdopen(ends[0], "r");
}

Child::~Child() {
  std::fclose(out_);
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    wait_for(pid_);
  }
}

std::string Child::read_line() {
  std::string line;
  for (int c; (c = std::fgetc(out_)) != EOF && c != '\n';) line += static_cast<char>(c);
  return line;
}

void Child::send(int signal) { kill(pid_, signal); }

Outcome Child::wait() {
  const int code = wait_for(std::exchange(pid_, -1));
  return {code, "", read_file(folder_ / "err")};
}

Traced run_traced(const std::vector<std::string>& arguments, bool files_only, long kill_at) {
  const pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    if (!std::freopen("/dev/null", "w", stdout) || !std::freopen("/dev/null", "w", stderr)) _exit(126);
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    become_program(arguments, {});
  }
  int status = 0;
  if (waitpid(child, &status, 0) < 0) fail("waitpid");
  if (ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) != 0) fail("ptrace");
  long calls = 0;
  for (int signal = 0;; signal = 0) {
    if (ptrace(PTRACE_SYSCALL, child, nullptr, signal) != 0) fail("ptrace");
    if (waitpid(child, &status, 0) < 0) fail("waitpid");
    if (WIFEXITED(status)) return {WEXITSTATUS(status), calls};
    if (WIFSIGNALED(status)) return {128 + WTERMSIG(status), calls};
    if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
      signal = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
      continue;
    }
    __ptrace_syscall_info info{};
    if (ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info) <= 0) fail("ptrace");
    if (info.op != PTRACE_SYSCALL_INFO_ENTRY) continue;
    const auto is = [&](std::initializer_list<long> numbers) {
      return std::find(numbers.begin(), numbers.end(), static_cast<long>(info.entry.nr)) != numbers.end();
    };
    if (files_only && !is({SYS_openat, SYS_write, SYS_fsync, SYS_flock, SYS_renameat2, SYS_unlinkat
#ifdef SYS_rename
                           ,
                           SYS_rename, SYS_unlink
#endif
                      })) {
      continue;
    }
    if (++calls == kill_at) {
      kill(child, SIGKILL);
      return {wait_for(child), calls - 1};
    }
  }
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "birds_vs_planes.XXXXXX").string();
  if (!mkdtemp(name.data())) fail("mkdtemp");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::vector<std::string> TemporaryFolder::contents() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path_)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + " cannot be opened");
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace tern::test
