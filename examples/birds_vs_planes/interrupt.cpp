#include <birds_vs_planes/interrupt.hpp>

#include <array>
#include <csignal>

namespace birds_vs_planes {

namespace {

constexpr std::array<int, 3> signals{SIGHUP, SIGINT, SIGTERM};

volatile std::sig_atomic_t noted = 0;
std::array<struct sigaction, signals.size()> before;  ///< what the signals did before the guard

void restore() {
  for (std::size_t i = 0; i < signals.size(); ++i) sigaction(signals[i], &before[i], nullptr);
}

/// Whichever comes next does what it did before.
void note(int signal) {
  noted = signal;
  restore();
}

}  // namespace

InterruptGuard::InterruptGuard() {
  noted = 0;
  for (std::size_t i = 0; i < signals.size(); ++i) sigaction(signals[i], nullptr, &before[i]);
  struct sigaction action {};
  action.sa_handler = note;
  action.sa_flags = SA_RESTART;
  for (std::size_t i = 0; i < signals.size(); ++i) {
    if (before[i].sa_handler != SIG_IGN) sigaction(signals[i], &action, nullptr);
  }
}

InterruptGuard::~InterruptGuard() { restore(); }

int InterruptGuard::signal() { return noted; }

}  // namespace birds_vs_planes
