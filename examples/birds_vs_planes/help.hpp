#pragma once

#include <CLI/App.hpp>

#include <cstddef>

namespace birds_vs_planes {

/// Writes help of at most so many columns: names and what they mean side by side or, where that is narrow, below each
/// other; commands so broken that a shell takes them.
class HelpFormatter : public CLI::FormatterBase {
 public:
  explicit HelpFormatter(std::size_t columns) : columns_(columns) {}
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override;

 private:
  std::string entry(const std::string& name, const std::string& meaning) const;
  std::string option(const CLI::Option& option) const;

  std::size_t columns_;
};

}  // namespace birds_vs_planes
