#pragma once

#include <birds_vs_planes/options.hpp>

#include <CLI/App.hpp>

namespace birds_vs_planes {

/// Declares the subcommands train, evaluate, predict, info, show, compare and report, which fill in `options`.
void declare_command_line(CLI::App& app, Options& options);

}  // namespace birds_vs_planes
