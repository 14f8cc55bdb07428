#pragma once

#include <birds_vs_planes/options.hpp>

#include <CLI/App.hpp>

#include <string>
#include <vector>

namespace birds_vs_planes {

/// Declares the subcommands train, evaluate, predict, info, show, compare and report, which fill in `options`.
void declare_command_line(CLI::App& app, Options& options);

/// Throws CLI::ParseError where the words of a command line are not a command and its options, each with the values it
/// takes: says what is wrong, and what may have been meant. CLI11 would say less.
void check_words(const CLI::App& app, const std::vector<std::string>& words);

}  // namespace birds_vs_planes
