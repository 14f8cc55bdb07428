#include <birds_vs_planes/console.hpp>
#include <birds_vs_planes/progress_bar.hpp>

#include <algorithm>
#include <cstdio>
#include <unistd.h>

namespace birds_vs_planes {

ProgressBar::ProgressBar(std::int64_t steps, std::int64_t done, bool wanted)
    : on_terminal_(wanted && isatty(STDOUT_FILENO) == 1), steps_(steps), done_before_(done), done_(done) {}

void ProgressBar::advance(const std::string& label) {
  ++done_;
  const auto now = Clock::now();
  if (!on_terminal_ || now < next_draw_) return;
  next_draw_ = now + std::chrono::milliseconds(100);

  constexpr std::int64_t width = 30;
  const std::int64_t filled = std::min(width, width * done_ / steps_);
  const double elapsed = std::max(std::chrono::duration<double>(now - start_).count(), 1e-3);
  const double rate = static_cast<double>(done_ - done_before_) / elapsed;
  const auto left = static_cast<std::int64_t>(static_cast<double>(steps_ - done_) / rate);
  const bool green = may_colour(stdout);
  const std::string line = fmt::format(
      "\r{} [{}{}{}{}] {:3}%, {:.1f} steps/s, {}:{:02} left\x1b[K", label, green ? "\x1b[32m" : "",
      std::string(static_cast<std::size_t>(filled), '#'), green ? "\x1b[0m" : "",
      std::string(static_cast<std::size_t>(width - filled), '.'), 100 * done_ / steps_, rate, left / 60, left % 60);
  std::fputs(line.c_str(), stdout);
  std::fflush(stdout);
}

void ProgressBar::clear() {
  if (on_terminal_) std::fputs("\r\x1b[K", stdout);
}

}  // namespace birds_vs_planes
