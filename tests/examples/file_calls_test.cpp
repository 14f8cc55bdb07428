/// A training run whose files fail it: log, curves, checkpoints, weights; and its report.

#include "child.hpp"

#include <birds_vs_planes/commands.hpp>
#include <birds_vs_planes/history.hpp>

#include <tern/kernels/cpu/threads.hpp>
#include <tern/kernels/error.hpp>

#include <catch2/catch.hpp>
#include <file_calls.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iostream>

using namespace tern;
using namespace tern::test;

namespace {

/// 0: half of it is read or written.
constexpr int errors[] = {EIO, ENOSPC, EINTR, 0};

std::string name_of(int error) { return error == 0 ? "half done" : std::strerror(error); }

void say(const char* what, std::size_t calls, int error, std::size_t failed) {
  std::cout << what << "'s " << calls << " file calls, " << name_of(error) << ": " << failed << " errors, "
            << calls - failed << " that did without" << std::endl;
}

}  // namespace

TEST_CASE("each file call of a training run fails in turn, and the run goes on to the same weights") {
  const auto options_in = [](const TemporaryFolder& folder) {
    birds_vs_planes::Options options;
    options.silent = true;
    options.device = "cpu";
    options.threads = 1;
    options.data = "synthetic:20";
    options.batch_size = 10;
    options.epochs = 2;
    options.save = folder / "net";
    options.log = folder / "log";
    options.tensorboard = folder / "events";
    options.resume = true;
    return options;
  };
  const int threads = num_threads();
  const TemporaryFolder whole;
  const std::vector<std::string> calls_made = [&] {
    const FileCalls calls;
    birds_vs_planes::train(options_in(whole));
    return calls.names();
  }();
  const std::string expected = read_file(whole / "net");
  const std::vector<std::string> files = whole.contents();
  REQUIRE(files == std::vector<std::string>{"events", "log", "net", "net.checkpoint"});
  CHECK(std::count(calls_made.begin(), calls_made.end(), "rename") == 5);  // log, curves, two checkpoints, weights
  CHECK(std::count(calls_made.begin(), calls_made.end(), "mkdir") == 1);

  for (const int error : errors) {
    std::size_t failed = 0;
    for (std::size_t at = 0; at < calls_made.size(); ++at) {
      const TemporaryFolder folder;
      std::string message;
      try {
        const FileCalls calls({.at = static_cast<long>(at), .error = error});
        birds_vs_planes::train(options_in(folder));
      } catch (const Error& e) {
        message = e.what();
        ++failed;
      }
      INFO(name_of(error) << " in call " << at << ", " << calls_made[at] << ": " << message);
      if (!message.empty()) {
        CHECK_THAT(message, Catch::Contains(folder / ""));
        CHECK_THAT(message, Catch::EndsWith(std::strerror(error)));
      }
      for (const std::string& name : folder.contents()) CHECK(std::count(files.begin(), files.end(), name) == 1);

      birds_vs_planes::train(options_in(folder));
      CHECK(read_file(folder / "net") == expected);
      CHECK(folder.contents() == files);
      CHECK(birds_vs_planes::read_csv(folder / "log").size() == 2);
    }
    say("a run", calls_made.size(), error, failed);
    CHECK((error == 0 || error == EINTR || failed > 40));
    CHECK((error != 0 || failed == 0));
  }
  set_num_threads(threads);
}

TEST_CASE("each file call of a report fails in turn, and the report that was there stays whole") {
  const int threads = num_threads();
  const TemporaryFolder folder;
  birds_vs_planes::Options options;
  options.silent = options.quiet = true;
  options.device = "cpu";
  options.threads = 1;
  options.data = "synthetic:20";
  options.batch_size = 10;
  options.epochs = 1;
  options.save = folder / "net";
  options.log = folder / "log";
  birds_vs_planes::train(options);

  birds_vs_planes::Options reported;
  reported.silent = reported.quiet = true;
  reported.device = "cpu";
  reported.threads = 1;
  reported.data = options.data;
  reported.load = options.save;
  reported.logs = {*options.log};
  reported.output = folder / "report.html";
  const std::vector<std::string> calls_made = [&] {
    birds_vs_planes::report(reported);
    const FileCalls calls;
    birds_vs_planes::report(reported);
    return calls.names();
  }();
  const std::string expected = read_file(*reported.output);
  const std::vector<std::string> files = folder.contents();
  for (const int error : errors) {
    std::size_t failed = 0;
    for (std::size_t at = 0; at < calls_made.size(); ++at) {
      std::string message;
      try {
        const FileCalls calls({.at = static_cast<long>(at), .error = error});
        birds_vs_planes::report(reported);
      } catch (const Error& e) {
        message = e.what();
        ++failed;
      }
      INFO(name_of(error) << " in call " << at << ", " << calls_made[at] << ": " << message);
      if (!message.empty()) {
        CHECK_THAT(message, Catch::Contains(folder / ""));
        CHECK_THAT(message, Catch::EndsWith(std::strerror(error)));
      }
      CHECK(read_file(*reported.output) == expected);
      CHECK(folder.contents() == files);
    }
    say("a report", calls_made.size(), error, failed);
    CHECK((error == 0 || error == EINTR || failed > 5));
    CHECK((error != 0 || failed == 0));
  }
  set_num_threads(threads);
}
