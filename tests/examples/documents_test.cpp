/// The man page and the completion know each option of each command.

#include "child.hpp"

#include <birds_vs_planes/command_line.hpp>

#include <catch2/catch.hpp>
#include <folders.hpp>

#include <cstdlib>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>

using namespace tern::test;

namespace {

/// What bash completes "birds_vs_planes COMMAND --" with.
std::string completions(const std::string& command) {
  const TemporaryFolder folder;
  const std::string script = "source " + in_tree("examples/birds_vs_planes/completion.bash") + "; COMP_WORDS=(birds_vs_planes " + command +
                             " --); COMP_CWORD=2; _birds_vs_planes; echo \\\" \\${COMPREPLY[*]} \\\"";
  REQUIRE(std::system(("/bin/bash -c \"" + script + "\" >" + (folder / "out")).c_str()) == 0);
  return read_file(folder / "out");
}

}  // namespace

TEST_CASE("the man page and the completion have every option, and no other") {
  birds_vs_planes::Options options;
  CLI::App app;
  birds_vs_planes::declare_command_line(app, options);
  std::string page = std::regex_replace(read_file(in_tree("examples/birds_vs_planes/birds_vs_planes.1")), std::regex(R"(\\-)"), "-");
  std::set<std::string> known{"--version"};
  for (const CLI::App* command : app.get_subcommands({})) {
    INFO(command->get_name());
    const bool described = page.find(".B " + command->get_name() + "\n") != std::string::npos ||
                           page.find(".BI \"" + command->get_name() + " ") != std::string::npos;
    CHECK(described);
    std::istringstream text(completions(command->get_name()));
    std::set<std::string> offered{std::istream_iterator<std::string>(text), {}}, has;
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        has.insert("--" + name);
        INFO(name);
        CHECK(page.find("--" + name) != std::string::npos);
      }
    }
    CHECK(offered == has);
    known.insert(has.begin(), has.end());
  }
  const std::regex word("--[a-z][a-z-]*[a-z0-9]");
  for (std::sregex_iterator at(page.begin(), page.end(), word), end; at != end; ++at) {
    INFO(at->str());
    CHECK(known.contains(at->str()));
  }
}
