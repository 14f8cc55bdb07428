#include <birds_vs_planes/interrupt.hpp>

#include <catch2/catch.hpp>

#include <csignal>
#include <functional>
#include <sys/wait.h>
#include <unistd.h>

using birds_vs_planes::InterruptGuard;

namespace {

/// The exit code of `body` in a process of its own, or 128 and the signal that ended it.
int in_child(const std::function<int()>& body) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    for (const int signal : {SIGHUP, SIGINT, SIGTERM}) std::signal(signal, SIG_DFL);  // Catch handles them
    _exit(body());
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

volatile std::sig_atomic_t seen = 0;

}  // namespace

TEST_CASE("the first signal is noted, and a second one of either kind ends the program") {
  for (const int first : {SIGHUP, SIGINT, SIGTERM}) {
    CHECK(in_child([&] {
            const InterruptGuard guard;
            raise(first);
            return InterruptGuard::signal();
          }) == first);
    for (const int second : {SIGHUP, SIGINT, SIGTERM}) {
      INFO(first << " and then " << second);
      CHECK(in_child([&] {
              const InterruptGuard guard;
              raise(first);
              raise(second);
              return 0;
            }) == 128 + second);
    }
  }
}

TEST_CASE("a signal that was ignored stays ignored, and handlers come back when the guard is gone") {
  CHECK(in_child([] {
          std::signal(SIGINT, SIG_IGN);
          {
            const InterruptGuard guard;
            raise(SIGINT);
            if (InterruptGuard::signal() != 0) return 1;
          }
          raise(SIGINT);
          return 42;
        }) == 42);
  CHECK(in_child([] {
          std::signal(SIGTERM, [](int signal) { seen = signal; });
          { const InterruptGuard guard; }
          raise(SIGTERM);
          return static_cast<int>(seen);
        }) == SIGTERM);
}
