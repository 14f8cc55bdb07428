#include <birds_vs_planes/progress_bar.hpp>

#include <fmt/format.h>

#include <cstdio>
#include <unistd.h>

namespace birds_vs_planes {

ProgressBar::ProgressBar(std::int64_t steps) : on_terminal_(isatty(STDOUT_FILENO) == 1), steps_(steps) {}

void ProgressBar::advance(const std::string& label) {
  ++done_;
  const auto now = Clock::now();
  if (!on_terminal_ || now < next_draw_) return;
  next_draw_ = now + std::chrono::milliseconds(100);

  constexpr std::int64_t width = 30;
  const auto filled = static_cast<std::size_t>(width * done_ / steps_);
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const auto left =
      static_cast<std::int64_t>(elapsed / static_cast<double>(done_) * static_cast<double>(steps_ - done_));
  fmt::print("\r{} [{}{}] {:3}%, {}:{:02} left\x1b[K", label, std::string(filled, '#'),
             std::string(width - filled, '.'), 100 * done_ / steps_, left / 60, left % 60);
  std::fflush(stdout);
}

void ProgressBar::clear() {
  if (on_terminal_) fmt::print("\r\x1b[K");
}

}  // namespace birds_vs_planes
