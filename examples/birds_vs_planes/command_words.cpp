#include <birds_vs_planes/command_line.hpp>
#include <birds_vs_planes/nearest.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace birds_vs_planes {

namespace {

template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  throw CLI::ExtrasError(fmt::format(format, std::forward<Args>(args)...), CLI::ExitCodes::ExtrasError);
}

/// Begins with a dash and is no number.
bool is_option(const std::string& word) {
  return word.size() > 1 && word[0] == '-' && word[1] != '.' && !std::isdigit(static_cast<unsigned char>(word[1]));
}

std::vector<std::string> names(const CLI::Option& option) {
  std::vector<std::string> all;
  for (const std::string& name : option.get_lnames()) all.push_back("--" + name);
  for (const std::string& name : option.get_snames()) all.push_back("-" + name);
  return all;
}

const CLI::Option* find(const CLI::App& command, const std::string& name) {
  for (const CLI::Option* option : command.get_options()) {
    const auto all = names(*option);
    if (std::find(all.begin(), all.end(), name) != all.end()) return option;
  }
  return nullptr;
}

[[noreturn]] void refuse_option(const CLI::App& app, const CLI::App& command, const std::string& name) {
  const bool none = &app == &command;
  std::vector<std::string> known, elsewhere;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& one : names(*option)) known.push_back(one);
  }
  for (const CLI::App* other : app.get_subcommands({})) {
    if (find(*other, name)) elsewhere.push_back(other->get_name());
  }
  std::string hint = did_you_mean(name, known);
  if (hint.empty() && !elsewhere.empty()) {
    hint = none ? "; it stands behind a command" : "; it is an option of " + alternatives(elsewhere, "and");
  } else if (hint.empty()) {
    hint = fmt::format("; birds_vs_planes {} --help lists the options", none ? "COMMAND" : command.get_name());
  }
  refuse("{}no option '{}'{}", none ? "" : command.get_name() + ": ", name, hint);
}

/// How many words a command takes that belong to no option.
std::size_t positionals(const CLI::App& command) {
  std::size_t n = 0;
  for (const CLI::Option* option : command.get_options([](const CLI::Option* o) { return o->get_positional(); })) {
    n += static_cast<std::size_t>(option->get_items_expected_max());
  }
  return n;
}

void check_options(const CLI::App& app, const CLI::App& command, const std::vector<std::string>& words) {
  std::set<const CLI::Option*> given;
  std::size_t free = positionals(command);
  for (std::size_t at = 0; at < words.size() && words[at] != "--";) {
    const std::string& word = words[at++];
    if (!is_option(word)) {
      if (free-- == 0) refuse("{}: '{}' is the value of no option", command.get_name(), word);
      continue;
    }
    const std::string name = word.substr(0, word.find('='));
    const CLI::Option* option = find(command, name);
    if (!option) refuse_option(app, command, name);
    if (option->get_items_expected_max() == 0) continue;
    const int most = option->get_items_expected_max();
    if (!given.insert(option).second && most == 1) refuse("{}: {} is given twice", command.get_name(), name);
    int values = name == word ? 0 : 1;
    while (values < most && at < words.size() && !is_option(words[at])) ++values, ++at;
    if (values == 0) refuse("{}: {} wants a value", command.get_name(), name);
  }
}

void check_words(const CLI::App& app, const std::vector<std::string>& words) {
  std::vector<std::string> commands;
  for (const CLI::App* command : app.get_subcommands({})) commands.push_back(command->get_name());
  if (words.empty()) {
    refuse("no command, expected {}; birds_vs_planes --help tells more", alternatives(commands));
  }
  const std::string& first = words.front();
  if (is_option(first)) {
    if (!find(app, first)) refuse_option(app, app, first);
    return;
  }
  if (std::find(commands.begin(), commands.end(), first) == commands.end()) {
    std::vector<std::string> meant = commands;
    for (const char* option : {"--help", "--version"}) meant.emplace_back(option);
    refuse("no command '{}', expected {}{}", first, alternatives(commands), did_you_mean(first, meant));
  }
  for (const char* help : {"-h", "--help"}) {
    if (std::find(words.begin(), words.end(), help) != words.end()) return;
  }
  check_options(app, *app.get_subcommand(first), {words.begin() + 1, words.end()});
}

}  // namespace

void parse_command_line(CLI::App& app, int argc, const char* const* argv) {
  check_words(app, {argv + std::min(argc, 1), argv + argc});
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success&) {
    throw;
  } catch (const CLI::ParseError& e) {
    throw CLI::ParseError(fmt::format("{}: {}", app.get_subcommands().front()->get_name(), e.what()),
                          CLI::ExitCodes::BaseClass);
  }
}

}  // namespace birds_vs_planes
