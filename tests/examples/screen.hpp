#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tern::test {

/// What a terminal shows of a program's output: as many lines as there are, each character one column wide. It knows
/// text in UTF-8, CR and LF, and the escape sequences for colours and for erasing to the end of the line or the screen;
/// anything else is an error.
class Screen {
 public:
  explicit Screen(std::size_t columns) : columns_(columns) {}

  /// Throws std::runtime_error at what it does not know.
  void put(std::string_view bytes);
  /// Another width: lines that were broken are joined, and what is longer than the new width is broken, the cursor
  /// keeping its character, as terminals do that lose no text.
  void resize(std::size_t columns) { columns_ = columns; }

  /// What it shows, without blanks at the end of lines.
  std::vector<std::string> rows() const;
  /// How many characters were written beyond the end of a row, which breaks it.
  std::size_t wrapped() const { return wrapped_; }

 private:
  void character(const std::string& text);
  void line_feed();
  void escape(const std::string& sequence);

  /// Lines as they would be on a terminal of endless width, of characters; the rows follow from the width.
  std::vector<std::vector<std::string>> lines_{1};
  std::size_t columns_, line_ = 0, at_ = 0, wrapped_ = 0;
  std::string pending_;  ///< a character or sequence that has not come whole
};

}  // namespace tern::test
