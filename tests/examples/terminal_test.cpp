/// What the program prints on terminals of several widths, and of names that are mistyped.

#include "child.hpp"
#include "screen.hpp"

#include <birds_vs_planes/command_line.hpp>
#include <birds_vs_planes/nearest.hpp>
#include <birds_vs_planes/progress_bar.hpp>
#include <birds_vs_planes/saved_model.hpp>
#include <birds_vs_planes/terminal.hpp>

#include <tern/data/image.hpp>
#include <tern/data/synthetic.hpp>

#include <catch2/catch.hpp>
#include <random.hpp>

#include <algorithm>
#include <csignal>
#include <poll.h>
#include <regex>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

using namespace tern::test;
using namespace birds_vs_planes;

namespace {

const std::vector<std::string> utf8{"TERM=xterm-256color", "LC_ALL=C.UTF-8", "NO_COLOR="};

/// How many characters of UTF-8 a text has.
std::size_t characters(const std::string& text) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < text.size(); ++n) {
    const auto lead = static_cast<unsigned char>(text[i]);
    i += lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  }
  return n;
}

std::size_t longest_row(const Screen& screen) {
  std::size_t most = 0;
  for (const std::string& row : screen.rows()) most = std::max(most, characters(row));
  return most;
}

/// What stands on a terminal of so many columns after the program has run; no line was broken by it.
Screen shown(const std::vector<std::string>& arguments, int columns, int code = 0) {
  const Outcome outcome = run_on_terminal(arguments, {.columns = columns, .environment = utf8});
  INFO(outcome.out);
  CHECK(outcome.code == code);
  Screen screen(static_cast<std::size_t>(columns));
  screen.put(outcome.out);
  CHECK(screen.wrapped() == 0);
  return screen;
}

bool is_progress(const std::string& row) { return row.find('%') != std::string::npos; }

}  // namespace

TEST_CASE("text is broken between words, and none is lost") {
  CHECK(wrapped("", 10) == "");
  CHECK(wrapped("one two", 7) == "one two");
  CHECK(wrapped("one two three", 7) == "one two\nthree");
  CHECK(wrapped("one two three", 8, 2) == "one two\n  three");
  CHECK(wrapped("  one two", 6, 4) == "  one\n    two");
  CHECK(wrapped("unbreakable word", 5, 2) == "unbreakable\n  word");
  CHECK(wrapped("a b c d", 5, 1, " \\") == "a b \\\n c d");
  CHECK(wrapped("\u2500\u2500 \u2500\u2500", 5) == "\u2500\u2500 \u2500\u2500");
  for_each_case(100, [](Random& random) {
    std::string text;
    for (std::int64_t i = random.integer(0, 30); i >= 0; --i) {
      text += (text.empty() ? "" : " ") + std::string(static_cast<std::size_t>(random.integer(1, 12)), 'x');
    }
    const auto columns = static_cast<std::size_t>(random.integer(1, 60));
    const auto indent = static_cast<std::size_t>(random.integer(0, 5));
    std::istringstream lines(wrapped(text, columns, indent));
    std::string joined;
    for (std::string line; std::getline(lines, line);) {
      const std::size_t start = joined.empty() ? 0 : indent;
      REQUIRE(line.substr(0, start) == std::string(start, ' '));
      const std::string words = line.substr(start);
      CHECK((line.size() <= columns || words.find(' ') == std::string::npos));
      joined += (joined.empty() ? "" : " ") + words;
    }
    CHECK(joined == text);
  });
}

TEST_CASE("a text that is too long keeps its end") {
  CHECK(shortened("holiday/bird.jpg", 16) == "holiday/bird.jpg");
  CHECK(shortened("holiday/bird.jpg", 12) == ".../bird.jpg");
  CHECK(shortened("caf\u00e9/\u6f22.png", 10) == "caf\u00e9/\u6f22.png");
  CHECK(shortened("caf\u00e9/\u6f22.png", 8) == "...\u6f22.png");
}

TEST_CASE("a progress line has what fits, most important first, and never more") {
  const Progress progress{"Epoch 12/100", "loss 0.4312", 1234, 10000, 20.5};
  CHECK(progress_line(progress, 119, false, false) ==
        "Epoch 12/100 " + std::string(7, '#') + std::string(53, '.') + "  12%, 7:07 left, 20.5 steps/s, loss 0.4312");
  CHECK(progress_line(progress, 65, false, false) ==
        "Epoch 12/100 ##" + std::string(20, '.') + "  12%, 7:07 left, 20.5 steps/s");
  CHECK(progress_line(progress, 37, false, false) == "Epoch 12/100 ........  12%, 7:07 left");
  CHECK(progress_line(progress, 20, false, false) == "Epoch 12/100  12%");
  CHECK(progress_line(progress, 5, false, false) == "Epoch");
  CHECK(progress_line({"x", "", 1, 4, 1}, 24, true, true) ==
        "x \x1b[32m\u2501\x1b[0m\u2500\u2500\u2500\u2500\u2500  25%, 0:03 left");
  CHECK_THAT(progress_line({"x", "", 1, 40000, 1}, 60, false, false), Catch::Contains(", 11:06:39 left"));
  for_each_case(300, [](Random& random) {
    const std::int64_t steps = random.integer(1, 1'000'000);
    const Progress any{"Epoch " + std::to_string(random.integer(1, 100'000)), random.chance(0.5) ? "" : "loss 1.2345",
                       random.integer(1, steps), steps, random.real(1e-4, 1e5)};
    const auto columns = static_cast<std::size_t>(random.integer(1, 200));
    const std::string line = progress_line(any, columns, false, random.chance(0.5));
    INFO(line);
    CHECK(characters(line) <= columns);
  });
}

TEST_CASE("a progress bar is one line of any terminal, also of one that is resized") {
  /// Trains on a terminal that has these widths one after the other, each for three drawings, and is then interrupted.
  struct Drawn {
    std::vector<std::string> lines;  ///< of progress, as they were seen
    std::string out;
  };
  const auto draw = [](const std::vector<int>& widths, const std::vector<std::string>& environment) {
    Screen screen(static_cast<std::size_t>(widths[0]));
    Drawn drawn;
    std::size_t most = 0, width = 0;
    const auto put = [&](std::string_view piece) {
      for (const char byte : piece) {
        screen.put({&byte, 1});
        const auto rows = screen.rows();
        most = std::max(most, static_cast<std::size_t>(std::count_if(rows.begin(), rows.end(), is_progress)));
      }
    };
    const auto seen = [&](std::string_view piece, int child, int end) {
      put(piece);
      const auto rows = screen.rows();
      if (!is_progress(rows.back())) return;
      drawn.lines.push_back(rows.back());
      if (drawn.lines.size() % 3 != 0) return;
      if (++width >= widths.size()) {
        kill(child, SIGINT);
        return;
      }
      // What it has drawn for the old width comes first.
      kill(child, SIGSTOP);
      int status = 0;
      waitpid(child, &status, WUNTRACED);
      char buffer[4096];
      for (pollfd waiting{end, POLLIN, 0}; poll(&waiting, 1, 50) > 0;) {
        const ssize_t n = read(end, buffer, sizeof buffer);
        if (n <= 0) break;
        put({buffer, static_cast<std::size_t>(n)});
      }
      resize_terminal(end, widths[width]);
      screen.resize(static_cast<std::size_t>(widths[width]));
      kill(child, SIGCONT);
    };
    const Outcome outcome = run_on_terminal({"train", "--data", "synthetic:64", "--epochs", "9999", "--batch-size", "8",
                                             "--threads", "1", "--device", "cpu"},
                                            {.columns = widths[0], .environment = environment, .seen = seen});
    drawn.out = outcome.out;
    INFO(outcome.out);
    CHECK(outcome.code == 128 + SIGINT);
    CHECK(most == 1);
    CHECK(screen.wrapped() == 0);
    CHECK(drawn.lines.size() >= 3 * widths.size());
    const auto rows = screen.rows();
    CHECK(std::none_of(rows.begin(), rows.end(), is_progress));
    const bool stopped = std::any_of(rows.begin(), rows.end(), [](const std::string& row) {
      return row.starts_with("birds_vs_planes: train: stopped");
    });
    CHECK(stopped);
    return drawn;
  };
  for (const int columns : {38, 66, 120}) {
    INFO(columns);
    const Drawn drawn = draw({columns}, utf8);
    CHECK(drawn.out.find("\x1b[32m") != std::string::npos);
    const std::string& last = drawn.lines.back();
    INFO(last);
    CHECK(std::regex_search(last, std::regex(R"(^Epoch +\d+/9999 .* {1,3}\d+%)")));
    if (columns > 38) CHECK(std::regex_search(last, std::regex(R"(%, \d+:\d\d(:\d\d)? left)")));
    if (columns > 66) CHECK(std::regex_search(last, std::regex(R"(left, \d+\.\d steps/s, loss \d\.\d{4}$)")));
    if (columns > 66) CHECK(characters(last) >= 100);
  }
  draw({120, 66, 38, 120}, utf8);
  const Drawn plain = draw({66}, {"TERM=xterm", "LC_ALL=C", "NO_COLOR=1"});
  CHECK(std::regex_search(plain.lines.back(), std::regex(R"(^Epoch +\d+/9999 \S+ {1,3}\d+%, )")));
  CHECK(plain.out.find("\x1b[3") == std::string::npos);
}

TEST_CASE("a terminal that cannot go back in a line gets no bar") {
  const Outcome outcome = run_on_terminal({"train", "--data", "synthetic:64", "--epochs", "2", "--batch-size", "8"},
                                          {.environment = {"TERM=dumb"}});
  CHECK(outcome.code == 0);
  CHECK(outcome.out.find('\x1b') == std::string::npos);
  CHECK(outcome.out.find('%') == std::string::npos);
}

TEST_CASE("a run breaks no line of a terminal, and colours only what may be coloured") {
  for (const int columns : {38, 66, 120}) {
    INFO(columns);
    const Screen screen = shown({"train", "--data", "synthetic:64", "--epochs", "2", "--batch-size", "8",
                                 "--eval-every", "1", "--holdout", "10"},
                                columns);
    const auto rows = screen.rows();
    CHECK(std::none_of(rows.begin(), rows.end(), is_progress));
    CHECK(std::any_of(rows.begin(), rows.end(),
                      [](const std::string& row) { return row.starts_with("Accuracy val: "); }));
    shown({"evaluate", "--load", "/nowhere/at/all"}, columns, 1);
  }
  for (const bool coloured : {true, false}) {
    const Outcome outcome =
        run_on_terminal({"fly"}, {.environment = {"TERM=xterm", coloured ? "NO_COLOR=" : "NO_COLOR=1"}});
    CHECK((outcome.out.find('\x1b') != std::string::npos) == coloured);
  }
}

TEST_CASE("without a terminal each epoch of a short run is said, and of a long one few") {
  const auto said = [](int epochs, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{
        "train",    "--data", "synthetic:10", "--batch-size",        "8", "--threads", "1",
        "--device", "cpu",    "--epochs",     std::to_string(epochs)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run_program(arguments);
    REQUIRE(outcome.code == 0);
    std::vector<int> all;
    const std::regex line(R"([-0-9]+ [:0-9]+ Epoch (\d+), Training loss .*)");
    for (const std::string& text : outcome.lines()) {
      std::smatch match;
      if (std::regex_match(text, match, line)) all.push_back(std::stoi(match[1]));
    }
    return all;
  };
  CHECK(said(1) == std::vector<int>{1});
  CHECK(said(5) == std::vector<int>{1, 2, 3, 4, 5});
  CHECK(said(30).size() == 30);
  CHECK(said(45) == std::vector<int>{1, 10, 20, 30, 40, 45});
  CHECK(said(310) == std::vector<int>{1, 100, 200, 300, 310});
  CHECK(said(40, {"--eval-every", "15"}) == std::vector<int>{1, 10, 15, 20, 30, 40});
  CHECK(said(40, {"--holdout", "2"}) == std::vector<int>{1, 10, 20, 30, 40});
}

TEST_CASE("help fits any terminal and has every option") {
  Options options;
  CLI::App app;
  declare_command_line(app, options);
  for (const CLI::App* command : app.get_subcommands({})) {
    INFO(command->get_name());
    for (const int columns : {38, 66, 120}) {
      const Screen screen = shown({command->get_name(), "--help"}, columns);
      const auto rows = screen.rows();
      for (const CLI::Option* option : command->get_options()) {
        const std::string name = option->get_name(option->get_positional(), false);
        CHECK(std::any_of(rows.begin(), rows.end(),
                          [&](const std::string& row) { return row.starts_with("  ") && row.find(name) <= 6; }));
      }
      if (columns == 120) CHECK(longest_row(screen) > 80);
    }
    for (const std::string& line : run_program({command->get_name(), "--help"}).lines()) CHECK(line.size() <= 80);
  }
  for (const int columns : {38, 66, 120}) shown({"--help"}, columns);
}

TEST_CASE("an example that help breaks is one command for a shell") {
  const Outcome help = run_on_terminal({"train", "--help"}, {.columns = 38, .environment = utf8});
  std::string text = std::regex_replace(help.out.substr(help.out.find("Examples:")), std::regex("\r"), "");
  text = std::regex_replace(text, std::regex(R"( +\\\n +)"), " ");
  CHECK_THAT(text, Catch::Contains("\n  birds_vs_planes train --epochs 3 --save net.safetensors\n"));
}

TEST_CASE("predict and info break no line of a terminal, and long names keep their end") {
  const TemporaryFolder folder;
  save_model(folder / "net", fresh_model("net"), {});
  const std::string caf = "caf\u00e9.png", named = std::string(60, 'x') + "_bird.png";
  for (const std::string& name : {caf, named})
    write_png(folder / name, tern::synthetic_birds_and_planes(2).inputs()[1]);
  for (const int columns : {38, 66, 120}) {
    INFO(columns);
    const auto rows =
        shown({"predict", "--load", folder / "net", "--device", "cpu", folder / caf, folder / named}, columns).rows();
    REQUIRE(rows.size() == 4);  // the last is empty
    const std::string answer = R"(.png +(airplane|bird    )  [01]\.\d{4})";
    CHECK(std::regex_match(rows[1], std::regex(".*caf\u00e9" + answer)));
    CHECK(std::regex_match(rows[2], std::regex(".*_bird" + answer)));
    CHECK(characters(rows[1]) == characters(rows[2]));
    CHECK(rows[0].rfind("class") == rows[2].find(' ') + 2);
    if (columns > 38) shown({"info", "--load", folder / "net"}, columns);
  }
  CHECK_THAT(run_program({"predict", "--load", folder / "net", "--device", "cpu", folder / named}).out,
             Catch::Contains(folder / named));
}

TEST_CASE("what somebody meant who mistyped a name") {
  const std::vector<std::string> options{
      "--epochs", "--eval-every", "--drop-last-eval", "--batch-size", "--num-workers", "--lr", "--l2", "--model", "-q"};
  const std::pair<const char*, const char*> typed[] = {
      {"--epoch", "--epochs"},         {"--epohcs", "--epochs"},
      {"--Epochs", "--epochs"},        {"-epochs", "--epochs"},
      {"--eval", "--eval-every"},      {"--last", "--drop-last-eval"},
      {"--batchsize", "--batch-size"}, {"--batch_size", "--batch-size"},
      {"--workers", "--num-workers"},  {"--rl", "--lr"},
      {"--modle", "--model"},          {"--models", "--model"}};
  for (const auto& [word, meant] : typed) {
    INFO(word);
    CHECK(nearest(word, options) == std::string(meant));
  }
  for (const char* word : {"--wings", "--xyz", "", "-", "--", "--learning-rate"}) {
    INFO(word);
    CHECK_FALSE(nearest(word, options).has_value());
  }
  CHECK_FALSE(nearest("word", {}).has_value());
  CHECK(did_you_mean("resdep", {"res", "resdeep"}) == "; did you mean resdeep?");
  CHECK(did_you_mean("vgg", {"res", "resdeep"}) == "");
  CHECK(alternatives({"a"}) == "a");
  CHECK(alternatives({"a", "b"}, "and") == "a and b");
  CHECK(alternatives({"a", "b", "c"}) == "a, b or c");
}
