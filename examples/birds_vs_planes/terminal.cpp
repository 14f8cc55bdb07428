#include <birds_vs_planes/terminal.hpp>

#include <algorithm>
#include <cstdlib>
#include <sys/ioctl.h>
#include <unistd.h>

namespace birds_vs_planes {

namespace {

/// Whether the byte begins a character of UTF-8.
bool begins(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }

}  // namespace

bool is_terminal(std::FILE* file) { return isatty(fileno(file)) == 1 && !std::getenv("OMPI_COMM_WORLD_RANK"); }

std::optional<std::size_t> terminal_columns(std::FILE* file) {
  if (!is_terminal(file)) return std::nullopt;
  winsize size{};
  return ioctl(fileno(file), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins));
}

std::string wrapped(std::string line, std::size_t columns, std::size_t indent, std::string_view joint) {
  std::string out;
  while (columns_of(line) > columns) {
    std::size_t place = std::string::npos;  // of the space to break at
    for (std::size_t at = line.find(' ', line.find_first_not_of(' ')); at < line.size(); at = line.find(' ', at + 1)) {
      if (place != std::string::npos && columns_of(line.substr(0, at)) + columns_of(joint) > columns) break;
      place = at;
    }
    const std::size_t next = line.find_first_not_of(' ', place);
    if (next == std::string::npos) break;
    out += line.substr(0, place) + std::string(joint) + '\n';
    line = std::string(indent, ' ') + line.substr(next);
  }
  return out + line;
}

std::string shortened(const std::string& text, std::size_t columns) {
  const std::size_t all = columns_of(text);
  if (all <= columns) return text;
  std::size_t at = 0;
  for (std::size_t cut = all - columns + 3; cut > 0 || !begins(text[at]); ++at) cut -= begins(text[at]);
  return "..." + text.substr(at);
}

}  // namespace birds_vs_planes
