#pragma once

#include <birds_vs_planes/options.hpp>

#include <fmt/format.h>
#include <nlohmann/json_fwd.hpp>

#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

namespace birds_vs_planes {

/// Whether what is written to this file, a terminal, may be coloured: NO_COLOR is empty or not set (no-color.org), and
/// TERM is not "dumb".
bool may_colour(std::FILE* file);

/// Text that may stand in one line of a terminal: what would steer it, the control characters that file names, metadata
/// and messages can hold, is written as JSON writes it (\u001b), and bytes that are not UTF-8 as \xff.
std::string printable(std::string_view text);

/// Puts /dev/null in place of standard input, output or error where it is closed: else the next file that the program
/// opens would be it, and get what is printed. Returns whether all three are open now.
bool open_standard_files();

/// Standard output, where each line is flushed, so that a log can be followed. On a terminal lines are broken between
/// words.
class Console {
 public:
  explicit Console(const Options& options) : quiet_(options.quiet), json_(options.json), silent_(options.silent) {}

  bool quiet() const { return quiet_ || json_ || silent_; }
  bool json() const { return json_; }

  /// What goes on, made printable: not for --quiet.
  template <class... Args>
  void say(fmt::format_string<Args...> format, Args&&... args) const {
    if (!quiet()) text(fmt::format(format, std::forward<Args>(args)...));
  }
  /// What was asked for, made printable.
  template <class... Args>
  void result(fmt::format_string<Args...> format, Args&&... args) const {
    if (!json_ && !silent_) text(fmt::format(format, std::forward<Args>(args)...));
  }
  /// Such a result that is several lines or in colour, and all the program's own: it is printed as it is.
  void drawing(const std::string& text) const {
    if (!json_ && !silent_) line(text);
  }
  /// An object in JSON, for --json alone; what in it is not UTF-8 becomes U+FFFD.
  void object(const nlohmann::ordered_json& what) const;

 private:
  static void text(const std::string& text);
  static void line(const std::string& text);

  bool quiet_, json_, silent_;
};

/// One line on standard error, "birds_vs_planes: message", made printable, if it can be written.
void complain(const std::string& message);

}  // namespace birds_vs_planes
