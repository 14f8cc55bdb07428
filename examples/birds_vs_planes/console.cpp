#include <birds_vs_planes/console.hpp>

#include <tern/core/check.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <unistd.h>

namespace birds_vs_planes {

bool may_colour(std::FILE* file) {
  const char *no_color = std::getenv("NO_COLOR"), *term = std::getenv("TERM");
  return isatty(fileno(file)) == 1 && !(no_color && *no_color) && !(term && std::string_view(term) == "dumb");
}

void Console::object(const nlohmann::ordered_json& what) const {
  if (json_) line(what.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

void Console::line(const std::string& text) {
  const bool written = std::fputs((text + '\n').c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
  tern::check(written, "standard output cannot be written: {}", std::strerror(errno));
}

void complain(const std::string& message) {
  std::string one_line = message;
  std::replace(one_line.begin(), one_line.end(), '\n', ' ');
  const bool red = may_colour(stderr);
  const std::string text =
      fmt::format("{}birds_vs_planes:{} {}\n", red ? "\x1b[31m" : "", red ? "\x1b[0m" : "", one_line);
  std::fputs(text.c_str(), stderr);
}

}  // namespace birds_vs_planes
