#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace birds_vs_planes {

/// One line at the bottom of a terminal; where standard output is none, nothing.
class ProgressBar {
 public:
  explicit ProgressBar(std::int64_t steps);
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
  const std::int64_t steps_;
  std::int64_t done_ = 0;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point next_draw_ = start_;
};

}  // namespace birds_vs_planes
