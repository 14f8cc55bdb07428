/// A training run whose files fail it: log, curves, checkpoints, weights.

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

  int errors = 0;
  for (std::size_t at = 0; at < calls_made.size(); ++at) {
    const TemporaryFolder folder;
    std::string message;
    try {
      const FileCalls calls({.at = static_cast<long>(at), .error = EIO});
      birds_vs_planes::train(options_in(folder));
    } catch (const Error& e) {
      message = e.what();
      ++errors;
    }
    INFO("call " << at << ", " << calls_made[at] << ": " << message);
    if (!message.empty()) {
      CHECK_THAT(message, Catch::Contains(folder / ""));
      CHECK_THAT(message, Catch::EndsWith(std::strerror(EIO)));
    }
    for (const std::string& name : folder.contents()) CHECK(std::count(files.begin(), files.end(), name) == 1);

    birds_vs_planes::train(options_in(folder));
    CHECK(read_file(folder / "net") == expected);
    CHECK(folder.contents() == files);
    CHECK(birds_vs_planes::read_csv(folder / "log").size() == 2);
  }
  set_num_threads(threads);
  std::cout << "a run's " << calls_made.size() << " file calls: " << errors << " errors, "
            << calls_made.size() - static_cast<std::size_t>(errors) << " runs that did without" << std::endl;
  CHECK(errors > 40);
}
