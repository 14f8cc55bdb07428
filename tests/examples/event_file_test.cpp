#include "child.hpp"

#include <birds_vs_planes/event_file.hpp>

#include <catch2/catch.hpp>
#include <folders.hpp>
#include <nlohmann/json.hpp>
#include <random.hpp>

#include <cstdlib>
#include <iostream>

using namespace tern::test;
using namespace birds_vs_planes;

TEST_CASE("crc32c gives the values of RFC 3720, B.4, and the check value of Castagnoli's polynomial") {
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aa);
  CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43);
  std::string up;
  for (int i = 0; i < 32; ++i) up += static_cast<char>(i);
  CHECK(crc32c(up) == 0x46dd794e);
  CHECK(crc32c("123456789") == 0xe3069283);
}

TEST_CASE("an event file, read by another reader, has the log's curves") {
  if (std::system("python3 -c '' 2>/dev/null") != 0) {
    std::cout << "event files are not read back: no python3\n";
    return;
  }
  const TemporaryFolder folder;
  for_each_case(3, [&](Random& random) {
    History history;
    const auto number = [&] { return random.real(0, 1); };
    const std::string events = folder / "events", log = folder / "log.csv";
    const int epochs = static_cast<int>(random.integer(1, 200)), before = static_cast<int>(random.integer(0, epochs));
    for (int epoch = 1; epoch <= epochs; ++epoch) {
      history.push_back({epoch, number(), 100 * number(), number(), {}, {}});
      if (random.chance(0.5)) history.back().holdout_accuracy = number();
      if (random.chance(0.5)) history.back().val_accuracy = number();
    }
    {
      const History so_far(history.begin(), history.begin() + before);  // as after --resume
      EventFile file(events, so_far);
      Log csv(log, so_far);
      for (int i = before; i < epochs; ++i) {
        file.add(history[static_cast<std::size_t>(i)]);
        csv.add(history[static_cast<std::size_t>(i)]);
      }
    }
    const std::string command =
        "python3 " + in_tree("tests/examples/read_events.py") + " " + events + "/events.out.tfevents.birds_vs_planes > " + (folder / "json");
    REQUIRE(std::system(command.c_str()) == 0);
    const auto curves = nlohmann::json::parse(read_file(folder / "json"));
    const History rows = read_csv(log);
    REQUIRE(rows.size() == history.size());
    std::size_t points = 0;
    for (const auto& [tag, curve] : curves.items()) points += curve.size();
    std::size_t expected = 0;
    for (const EpochRecord& e : rows) {
      const auto check = [&](const char* tag, std::optional<double> value) {
        if (!value) return;
        ++expected;
        CHECK(curves.at(tag).at(std::to_string(e.epoch)).get<float>() == static_cast<float>(*value));
      };
      check("loss", e.loss);
      check("seconds", e.seconds);
      check("lr", e.lr);
      check("accuracy/holdout", e.holdout_accuracy);
      check("accuracy/validation", e.val_accuracy);
    }
    CHECK(points == expected);
  });
}
