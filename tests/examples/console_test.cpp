#include <birds_vs_planes/console.hpp>
#include <birds_vs_planes/progress_bar.hpp>

#include <catch2/catch.hpp>

#include <csignal>
#include <cstdio>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

TEST_CASE("a terminal that goes away ends neither a progress bar nor a complaint by an exception") {
  int terminal = -1, gone[2];
  REQUIRE(pipe(gone) == 0);
  const pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGHUP, SIG_IGN);
    close(gone[1]);
    std::setvbuf(stdout, nullptr, _IONBF, 0);  // so that each write is tried
    try {
      birds_vs_planes::ProgressBar bar(2);
      std::fputs("ready", stdout);
      char none = 0;
      while (read(gone[0], &none, 1) > 0) {
      }
      bar.advance("Epoch 1/1");
      bar.clear();
      birds_vs_planes::complain("the terminal is gone");
    } catch (...) {
      _exit(1);
    }
    _exit(std::ferror(stdout) != 0 ? 42 : 2);
  }
  close(gone[0]);
  char first = 0;
  CHECK(read(terminal, &first, 1) == 1);
  close(terminal);
  close(gone[1]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 42);
}
