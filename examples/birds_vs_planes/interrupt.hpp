#pragma once

#include <stdexcept>
#include <string>

namespace birds_vs_planes {

/// While it lives, the first SIGHUP, SIGINT or SIGTERM is noted instead of ending the program; whichever of the three
/// comes next does what it did before, as all do when the guard is gone. One that was ignored stays ignored.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// The signal that was noted, or 0.
  static int signal();
};

/// The work was stopped by a signal.
struct Interrupted : std::runtime_error {
  Interrupted(int which, const std::string& message) : std::runtime_error(message), signal(which) {}
  int signal;
};

}  // namespace birds_vs_planes
