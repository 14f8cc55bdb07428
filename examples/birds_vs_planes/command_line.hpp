#pragma once

#include <birds_vs_planes/options.hpp>

#include <CLI/App.hpp>

namespace birds_vs_planes {

/// Declares the subcommands train, evaluate, predict, info, show, compare and report, which fill in `options`.
void declare_command_line(CLI::App& app, Options& options);

/// Fills in the options. Throws CLI::Success where help or the version is asked for, and CLI::ParseError for what is
/// wrong, after the command's name. Words that are not a command and its options, each with the values it takes, are
/// looked for before CLI11 does: it would not say what may have been meant.
void parse_command_line(CLI::App& app, int argc, const char* const* argv);

}  // namespace birds_vs_planes
