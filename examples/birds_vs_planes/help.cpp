#include <birds_vs_planes/help.hpp>
#include <birds_vs_planes/terminal.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <regex>
#include <sstream>

namespace birds_vs_planes {

std::string HelpFormatter::entry(const std::string& name, const std::string& meaning) const {
  const bool narrow = columns_ < 60;
  const std::size_t indent = narrow ? 6 : 24;
  const std::string left = "  " + name;
  const bool beside = !narrow && columns_of(left) < indent;
  std::string text = wrapped(std::string(indent, ' ') + meaning, columns_, indent);
  if (beside) return left + text.substr(columns_of(left)) + '\n';
  return left + '\n' + text + '\n';
}

std::string HelpFormatter::option(const CLI::Option& option) const {
  const bool positional = option.get_positional();
  std::string name = option.get_name(positional, !positional), meaning = option.get_description();
  for (std::size_t comma = name.find(','); comma < name.size(); comma = name.find(',', comma + 2)) {
    name.insert(comma + 1, " ");
  }
  if (option.get_items_expected_max() > 0) {
    if (!positional) name += " " + get_label(option.get_type_name());
    if (option.get_items_expected_max() > 1) name += positional ? "..." : " ...";
    if (option.get_required()) meaning += " (required)";
    if (!option.get_default_str().empty()) meaning += "; " + option.get_default_str() + " unless given";
  }
  return entry(name, meaning);
}

std::string HelpFormatter::make_help(const CLI::App* app, std::string name, CLI::AppFormatMode) const {
  const auto commands = app->get_subcommands({});
  std::string usage = "Usage: " + name, lists;
  if (!commands.empty()) {
    usage += " COMMAND";
    lists += "\nCommands:\n";
    for (const CLI::App* command : commands) lists += entry(command->get_name(), command->get_description());
  }
  std::vector<std::string> groups = app->get_groups();
  std::rotate(groups.begin(), groups.begin() + 1, groups.end());  // the first has --help
  for (const std::string& group : groups) {
    lists += "\n" + group + ":\n";
    for (const CLI::Option* one : app->get_options()) {
      if (one->get_group() == group) lists += option(*one);
      if (one->get_group() == group && one->get_positional())
        usage += " " + one->get_name(true) + (one->get_items_expected_max() > 1 ? "..." : "");
    }
  }
  std::string footer;
  std::istringstream lines(app->get_footer());
  for (std::string line; std::getline(lines, line);) {
    const bool command = line.starts_with(' ');
    if (command)
      line = std::regex_replace(line, std::regex("(--[a-z]+) (?!-)"), "$1\x1f");  // options keep their values
    line = command ? wrapped(line, columns_, 6, " \\") : wrapped(line, columns_);
    std::replace(line.begin(), line.end(), '\x1f', ' ');
    footer += line + '\n';
  }
  return wrapped(app->get_description(), columns_) + "\n\n" + wrapped(usage + " [OPTIONS]", columns_, 4) + '\n' +
         lists + '\n' + footer;
}

}  // namespace birds_vs_planes
