#pragma once

#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

namespace birds_vs_planes {

/// Whether this file is a terminal. What Open MPI's mpirun makes its ranks to write to, whatever its own output is,
/// counts as none.
bool is_terminal(std::FILE* file);

/// How many columns the terminal that this file is has just now, 80 where it does not say; nothing if it is none.
std::optional<std::size_t> terminal_columns(std::FILE* file);

/// How many columns printable text in UTF-8 takes, each character taken to be one wide.
std::size_t columns_of(std::string_view text);

/// A line in lines of at most so many columns, broken between words, and after the first indented by so many. A word
/// that is longer stands alone and is not broken. `joint` ends each line but the last, within its columns.
std::string wrapped(std::string line, std::size_t columns, std::size_t indent = 0, std::string_view joint = "");

/// A text that takes at most so many columns, three or more: of a longer one the end, after three dots.
std::string shortened(const std::string& text, std::size_t columns);

}  // namespace birds_vs_planes
