#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace birds_vs_planes {

/// What a progress bar says.
struct Progress {
  std::string label, note;  ///< what is done; how it goes, shown where there is room
  std::int64_t done, steps;
  double rate;  ///< in steps a second, above 0
};

/// That in at most so many columns: of label and share, time left, bar, rate and note what fits, in that order, the bar
/// as long as the rest leaves room for. With `colour` the bar has escape sequences for it; without `unicode` it is of
/// ASCII.
std::string progress_line(const Progress& progress, std::size_t columns, bool colour, bool unicode);

/// One line at the bottom of a terminal, as wide as it is at the moment of each drawing. Where standard output is none,
/// or one that cannot go back in a line, nothing.
class ProgressBar {
 public:
  /// Of `steps` steps, of which some are done already. Draws nothing unless `wanted`.
  explicit ProgressBar(std::int64_t steps, std::int64_t done = 0, bool wanted = true);
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// One step more is done. Draws ten times a second at most.
  void advance(const std::string& label, const std::string& note);
  /// Makes room for a line of text.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  const bool on_terminal_;
  const std::int64_t steps_, done_before_;
  std::int64_t done_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point next_draw_ = start_;
  bool drawn_ = false;
};

}  // namespace birds_vs_planes
