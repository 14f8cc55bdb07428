#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace birds_vs_planes {

/// One line at the bottom of a terminal: how far, how fast, how long still. Where standard output is none, nothing.
class ProgressBar {
 public:
  /// Of `steps` steps, of which some are done already. Draws nothing unless `wanted`.
  explicit ProgressBar(std::int64_t steps, std::int64_t done = 0, bool wanted = true);
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// One step more is done. Draws ten times a second at most.
  void advance(const std::string& label);
  /// Makes room for a line of text.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  const bool on_terminal_;
  const std::int64_t steps_, done_before_;
  std::int64_t done_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point next_draw_ = start_;
};

}  // namespace birds_vs_planes
