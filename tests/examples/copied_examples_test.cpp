/// The examples that are there to be copied, as they are built, at small size: each learns, by the figure it prints.

#include "child.hpp"

#include <digits/net.hpp>
#include <prediction_server/server.hpp>

#include <catch2/catch.hpp>
#include <folders.hpp>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace tern::test;

namespace {

struct Run {
  int status;
  std::string out;

  /// The number that stands behind the last `what` of the output.
  double number(const std::string& what) const {
    INFO(out);
    const std::size_t at = out.rfind(what + ' ');
    REQUIRE(at != std::string::npos);
    return std::stod(out.substr(at + what.size()));
  }
};

Run run(const std::string& example, const std::string& arguments) {
  const TemporaryFolder folder;
  const std::string command =
      in_build("examples/" + example + "/" + example) + " " + arguments + " >" + (folder / "out");
  const int status = std::system(command.c_str());
  return {status, read_file(folder / "out")};
}

/// What one of the scripts that get data prints last, or nothing where it cannot.
std::optional<std::string> fetched(const std::string& script) {
  const TemporaryFolder folder;
  const std::string command = in_tree("scripts/" + script) + " 2>/dev/null | tail -n 1 >" + (folder / "place");
  if (std::system(command.c_str()) != 0) return std::nullopt;
  std::string place = read_file(folder / "place");
  while (place.ends_with('\n')) place.pop_back();
  if (place.empty()) return std::nullopt;
  return place;
}

std::optional<std::string> digits() {
  static const std::optional<std::string> place = fetched("fetch_digits");
  if (!place) WARN("skipped: digits.csv is not here, scripts/fetch_digits gets it");
  return place;
}

}  // namespace

TEST_CASE("The example digits learns to read, the same for the same seed, and the prediction server reads with it",
          "[copied]") {
  const auto data = digits();
  if (!data) return;
  const TemporaryFolder folder;
  const std::string weights = folder / "weights";
  const Run once = run("digits", *data + " --epochs 4 --save " + weights);
  REQUIRE(once.status == 0);
  CHECK(once.number("test accuracy") > 0.85);
  CHECK(once.number("loss") < 0.5);
  CHECK(run("digits", *data + " --epochs 4").out == once.out);
  CHECK(run("digits", *data + " --epochs 4 --seed 1").out != once.out);

  const Run served = run("prediction_server", *data + " --requests 720 --load " + weights);
  CHECK(served.status == 0);
  CHECK(served.number("requests,") == Approx(100 * once.number("test accuracy")).margin(0.06));
  CHECK(served.out.ends_with(" 0 answers differ\n"));
}

TEST_CASE("The prediction server answers many clients, errors too, and all before it goes", "[copied][threads]") {
  tern::Sequential net = make_net();
  net.eval();
  const tern::Tensor images = tern::rand({8, 1, 8, 8});
  std::vector<tern::Tensor> alone;
  {
    const tern::NoGradGuard no_grad;
    for (int i = 0; i < 8; ++i) alone.push_back(net(images.narrow(0, i, 1)));
  }
  std::vector<std::vector<std::future<tern::Tensor>>> answers(3);
  std::future<tern::Tensor> refused;
  {
    Server server(net, 4);
    std::vector<std::thread> clients;
    for (auto& mine : answers) {
      clients.emplace_back([&] {
        for (int i = 0; i < 40; ++i) mine.push_back(server.predict(images.narrow(0, i % 8, 1)));
      });
    }
    for (std::thread& client : clients) client.join();
    refused = server.predict(tern::rand({1, 2, 8, 8}));
  }
  int differ = 0;
  for (auto& mine : answers) {
    for (std::size_t i = 0; i < mine.size(); ++i) differ += !equal(mine[i].get(), alone[i % 8]);
  }
  CHECK(differ == 0);
  CHECK_THROWS_AS(refused.get(), tern::Error);
}

TEST_CASE("The example autoencoder draws digits better than their mean", "[copied]") {
  const auto data = digits();
  if (!data) return;
  const TemporaryFolder folder;
  const Run once = run("autoencoder", *data + " --epochs 6 --picture " + (folder / "picture.png"));
  REQUIRE(once.status == 0);
  CHECK(once.number("test error") < once.number("error of the mean digit") / 2);
  CHECK(read_file(folder / "picture.png").starts_with("\x89PNG"));
}

TEST_CASE("The example vae comes to code digits in fewer nats", "[copied]") {
  const auto data = digits();
  if (!data) return;
  const TemporaryFolder folder;
  const Run once = run("vae", *data + " --epochs 6 --picture " + (folder / "picture.png"));
  REQUIRE(once.status == 0);
  CHECK(once.number("test loss") < 33);
  CHECK(read_file(folder / "picture.png").starts_with("\x89PNG"));
}

TEST_CASE("The example char_transformer learns which characters follow each other, and writes some", "[copied]") {
  const TemporaryFolder folder;
  std::ofstream text(folder / "text");
  for (int i = 0; i < 200; ++i) text << "row, row, row your boat\n";
  text.close();
  const Run once = run("char_transformer", "--steps 60 --write 24 --text " + (folder / "text"));
  REQUIRE(once.status == 0);
  CHECK(once.number("test loss") < 1);  // 2.3 is what the characters' own frequencies give
  const std::size_t end = once.out.find('\n');
  CHECK(once.out.size() - end - 1 == 24);
}

TEST_CASE("The example resnet18 begins to tell the classes of CIFAR-10 apart", "[copied][slow]") {
  const auto data = fetched("fetch_cifar10");
  if (!data) {
    WARN("skipped: CIFAR-10 is not here, scripts/fetch_cifar10 gets it");
    return;
  }
  const Run once = run("resnet18", *data + " --width 4 --images 1280 --epochs 2");
  REQUIRE(once.status == 0);
  CHECK(once.number("test accuracy") > 0.13);  // 0.1 is chance
}

TEST_CASE("The examples say what is wrong in a line, and fail", "[copied]") {
  CHECK(run("digits", "/nowhere/digits.csv 2>/dev/null").status != 0);
  CHECK(run("char_transformer", "--text /nowhere 2>/dev/null").status != 0);
  CHECK(run("vae", "2>/dev/null").status != 0);
}
