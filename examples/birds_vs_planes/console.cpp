#include <birds_vs_planes/console.hpp>
#include <birds_vs_planes/terminal.hpp>

#include <tern/core/check.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace birds_vs_planes {

bool open_standard_files() {
  for (const int file : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(file, F_GETFD) < 0 && open("/dev/null", O_RDWR) != file) return false;  // open() takes the least number
  }
  return true;
}

bool may_colour(std::FILE* file) {
  const char *no_color = std::getenv("NO_COLOR"), *term = std::getenv("TERM");
  return is_terminal(file) && !(no_color && *no_color) && !(term && std::string_view(term) == "dumb");
}

std::string printable(std::string_view text) {
  std::string out;
  const auto byte = [&](std::size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u; };
  for (std::size_t at = 0; at < text.size();) {
    const unsigned lead = byte(at);
    const std::size_t size = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
    unsigned point = size < 2 ? lead : lead & (0x7fu >> size);
    bool valid = size > 0;
    for (std::size_t i = 1; i < size; ++i) {
      valid = valid && byte(at + i) >> 6 == 2;
      point = point << 6 | (byte(at + i) & 63);
    }
    constexpr std::array<unsigned, 5> first{0, 0, 0x80, 0x800, 0x10000};  // that takes so many bytes
    valid = valid && point >= first[size] && point <= 0x10ffff && point >> 11 != 0xd800 >> 11;
    if (!valid) {
      out += fmt::format("\\x{:02x}", lead);
    } else if (point < 0x20 || (0x7f <= point && point < 0xa0)) {
      out += fmt::format("\\u{:04x}", point);
    } else {
      out += text.substr(at, size);
    }
    at += valid ? size : 1;
  }
  return out;
}

void Console::object(const nlohmann::ordered_json& what) const {
  if (json_) line(printable(what.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)));
}

void Console::text(const std::string& text) {
  const auto columns = terminal_columns(stdout);
  line(columns ? wrapped(printable(text), *columns, 2) : printable(text));
}

void Console::line(const std::string& text) {
  const bool written = std::fputs((text + '\n').c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
  tern::check(written, "standard output cannot be written: {}", std::strerror(errno));
}

void complain(const std::string& message) {
  std::string one_line = message;
  std::replace(one_line.begin(), one_line.end(), '\n', ' ');
  const std::string name = "birds_vs_planes:";
  std::string text = name + " " + printable(one_line);
  if (const auto columns = terminal_columns(stderr)) text = wrapped(text, *columns, 2);
  if (may_colour(stderr)) text = "\x1b[31m" + name + "\x1b[0m" + text.substr(name.size());
  std::fputs((text + '\n').c_str(), stderr);
}

}  // namespace birds_vs_planes
