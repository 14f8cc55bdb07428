#include <birds_vs_planes/console.hpp>
#include <birds_vs_planes/progress_bar.hpp>
#include <birds_vs_planes/terminal.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <langinfo.h>
#include <locale.h>
#include <string_view>
#include <utility>

namespace birds_vs_planes {

namespace {

bool can_go_back() {
  const char* term = std::getenv("TERM");
  return terminal_columns(stdout) && !(term && std::string_view(term) == "dumb");
}

/// Whether the user's locale has more characters than ASCII.
bool is_utf8() {
  static const bool is = [] {
    const locale_t users = newlocale(LC_CTYPE_MASK, "", nullptr);
    const bool utf8 = users && std::string_view(nl_langinfo_l(CODESET, users)) == "UTF-8";
    if (users) freelocale(users);
    return utf8;
  }();
  return is;
}

std::string duration(std::int64_t seconds) {
  if (seconds < 3600) return fmt::format("{}:{:02}", seconds / 60, seconds % 60);
  return fmt::format("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

std::string bar(std::size_t columns, double share, bool colour, bool unicode) {
  const auto filled = static_cast<std::size_t>(share * static_cast<double>(columns));
  std::string done, left;
  for (std::size_t i = 0; i < columns; ++i) {
    if (i < filled)
      done += unicode ? "\u2501" : "#";
    else
      left += unicode ? "\u2500" : ".";
  }
  return colour ? fmt::format("\x1b[32m{}\x1b[0m{}", done, left) : done + left;
}

}  // namespace

std::string progress_line(const Progress& p, std::size_t columns, bool colour, bool unicode) {
  const double share = static_cast<double>(p.done) / static_cast<double>(p.steps);
  const std::string percent = fmt::format("{:3.0f}%", std::floor(100 * share));
  if (columns_of(p.label) + 1 + percent.size() > columns) return p.label.substr(0, columns);
  std::string right = fmt::format(" {}", percent);
  std::size_t room = columns - columns_of(p.label) - right.size();
  const auto left = static_cast<std::int64_t>(static_cast<double>(p.steps - p.done) / p.rate);
  // Each where it leaves the bar that many columns, and a space before it.
  for (const auto& [text, least] : {std::pair(duration(left) + " left", std::size_t{5}),
                                    {fmt::format("{:.1f} steps/s", p.rate), std::size_t{16}},
                                    {p.note, std::size_t{24}}}) {
    if (text.empty() || room < columns_of(text) + 2 + least + 1) continue;
    right += fmt::format(", {}", text);
    room -= columns_of(text) + 2;
  }
  if (room <= 5) return p.label + right;
  return fmt::format("{} {}{}", p.label, bar(std::min<std::size_t>(room - 1, 60), share, colour, unicode), right);
}

ProgressBar::ProgressBar(std::int64_t steps, std::int64_t done, bool wanted)
    : on_terminal_(wanted && can_go_back()), steps_(steps), done_before_(done), done_(done) {}

void ProgressBar::advance(const std::string& label, const std::string& note) {
  ++done_;
  const auto now = Clock::now();
  if (!on_terminal_ || now < next_draw_) return;
  next_draw_ = now + std::chrono::milliseconds(100);
  const double elapsed = std::max(std::chrono::duration<double>(now - start_).count(), 1e-3);
  const Progress progress{label, note, done_, steps_, static_cast<double>(done_ - done_before_) / elapsed};
  // The last column stays free, where many terminals wrap. The cursor goes back to the first: there it stays when a
  // terminal that becomes narrower breaks the line, so that clear() gets all of it.
  const std::size_t columns = terminal_columns(stdout).value_or(80);
  clear();
  std::fputs((progress_line(progress, columns - 1, may_colour(stdout), is_utf8()) + "\r").c_str(), stdout);
  std::fflush(stdout);
  drawn_ = true;
}

void ProgressBar::clear() {
  if (drawn_) std::fputs("\r\x1b[J", stdout);
  drawn_ = false;
}

}  // namespace birds_vs_planes
