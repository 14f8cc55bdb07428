#include "screen.hpp"

#include <algorithm>
#include <cctype>
#include <stdexcept>

namespace tern::test {

void Screen::character(const std::string& text) {
  auto& line = lines_[line_];
  if (at_ >= line.size()) line.resize(at_ + 1, " ");
  line[at_++] = text;
  if (at_ > columns_) ++wrapped_;
}

void Screen::line_feed() {
  const std::size_t column = at_ % columns_, rows = (lines_[line_].size() + columns_ - 1) / columns_;
  if (at_ / columns_ + 1 < rows) {
    at_ += columns_;
    return;
  }
  if (++line_ == lines_.size()) lines_.emplace_back();
  at_ = column;
}

void Screen::escape(const std::string& sequence) {
  auto& line = lines_[line_];
  if (sequence.back() == 'm') return;
  if (sequence == "\x1b[K") {
    const std::size_t end = std::min(line.size(), (at_ / columns_ + 1) * columns_);
    for (std::size_t i = at_; i < end; ++i) line[i].assign(1, ' ');
  } else if (sequence == "\x1b[J") {
    line.resize(std::min(line.size(), at_));
    lines_.resize(line_ + 1);
  } else {
    throw std::runtime_error("unknown escape sequence " + sequence.substr(1));
  }
}

void Screen::put(std::string_view bytes) {
  for (const char byte : bytes) {
    const auto code = static_cast<unsigned char>(byte);
    if (!pending_.empty() || code == 0x1b || code >= 0x80) {
      pending_ += byte;
      const auto first = static_cast<unsigned char>(pending_[0]);
      if (first == 0x1b) {
        if (pending_.size() < 3 || !std::isalpha(code)) continue;
        escape(pending_);
      } else {
        const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
        if (pending_.size() < size) continue;
        character(pending_);
      }
      pending_.clear();
    } else if (byte == '\r') {
      const bool behind_the_last = at_ > 0 && at_ % columns_ == 0 && at_ == lines_[line_].size();
      at_ = (at_ - behind_the_last) / columns_ * columns_;
    } else if (byte == '\n') {
      line_feed();
    } else if (code >= 0x20 && code != 0x7f) {
      character(std::string(1, byte));
    } else {
      throw std::runtime_error("unknown control character " + std::to_string(code));
    }
  }
}

std::vector<std::string> Screen::rows() const {
  std::vector<std::string> rows;
  for (const auto& line : lines_) {
    for (std::size_t start = 0; start == 0 || start < line.size(); start += columns_) {
      std::string row;
      for (std::size_t i = start; i < std::min(line.size(), start + columns_); ++i) row += line[i];
      row.erase(row.find_last_not_of(' ') + 1);
      rows.push_back(row);
    }
  }
  return rows;
}

}  // namespace tern::test
