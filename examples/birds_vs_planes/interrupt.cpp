#include <birds_vs_planes/interrupt.hpp>

#include <csignal>

namespace birds_vs_planes {

namespace {

volatile std::sig_atomic_t noted = 0;

void note(int signal) { noted = signal; }

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigaction(signal, &action, nullptr);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  noted = 0;
  for (const int signal : {SIGINT, SIGTERM}) handle(signal, note);
}

InterruptGuard::~InterruptGuard() {
  for (const int signal : {SIGINT, SIGTERM}) handle(signal, SIG_DFL);
}

int InterruptGuard::signal() { return noted; }

}  // namespace birds_vs_planes
