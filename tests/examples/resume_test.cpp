/// A run that is killed, interrupted or diverges loses nothing: it goes on to the same weights, bit by bit.

#include "child.hpp"

#include <birds_vs_planes/history.hpp>

#include <tern/core/safetensors.hpp>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <random.hpp>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <sys/wait.h>

using namespace tern;
using namespace tern::test;

namespace {

/// Options of a run with everything in it that has a state, saved as `name`.
std::vector<std::string> strong(const TemporaryFolder& folder, const std::string& name,
                                const std::string& resume = "") {
  std::vector<std::string> all{"train",
                               "--data",
                               "synthetic:240",
                               "--recipe",
                               "strong",
                               "--model",
                               "dropout",
                               "--epochs",
                               "3",
                               "--holdout",
                               "40",
                               "--batch-size",
                               "50",
                               "--threads",
                               "1",
                               "--num-workers",
                               "0",
                               "--seed",
                               "3",
                               "--save",
                               folder / name,
                               "--log",
                               folder / (name + ".csv"),
                               "--tensorboard",
                               folder / (name + ".events")};
  if (!resume.empty()) all.push_back(resume);
  return all;
}

void check_same_curves(const std::string& a, const std::string& b) {
  const auto one = birds_vs_planes::read_csv(a), other = birds_vs_planes::read_csv(b);
  REQUIRE(one.size() == other.size());
  for (std::size_t i = 0; i < one.size(); ++i) {
    CHECK(one[i].epoch == other[i].epoch);
    CHECK(one[i].loss == other[i].loss);
    CHECK(one[i].lr == other[i].lr);
    CHECK(one[i].holdout_accuracy == other[i].holdout_accuracy);
  }
}

}  // namespace

TEST_CASE("killed at 20 random moments, in training and in saving, a run resumes to the same file") {
  const TemporaryFolder folder;
  REQUIRE(run_program(strong(folder, "unbroken")).code == 0);
  const std::string expected = read_file(folder / "unbroken");
  const long calls = run_traced(strong(folder, "counted"), false).calls;
  const long file_calls = run_traced(strong(folder, "counted"), true).calls;
  REQUIRE(read_file(folder / "counted") == expected);
  REQUIRE(file_calls > 40);
  REQUIRE(calls > file_calls);

  int killed = 0;
  for_each_case(20, [&](Random& random) {
    const bool files_only = random.chance(0.7);
    const long moment = random.integer(1, files_only ? file_calls : calls);
    INFO("killed before " << (files_only ? "file " : "") << "system call " << moment);
    const TemporaryFolder own;
    const Traced broken = run_traced(strong(own, "run"), files_only, moment);
    killed += broken.code == 128 + SIGKILL;
    if (std::filesystem::exists(own / "run")) CHECK(read_file(own / "run") == expected);  // whole or not at all
    const Outcome resumed = run_program(strong(own, "run", "--resume"));
    INFO(resumed.err);
    REQUIRE(resumed.code == 0);
    CHECK(read_file(own / "run") == expected);
    check_same_curves(own / "run.csv", folder / "unbroken.csv");
    for (const std::string& name : own.contents()) CHECK(name.find(".tern-") == std::string::npos);  // swept up
  });
  CHECK(killed >= 19);  // the last call may be one more than this run makes
}

TEST_CASE("a signal stops a run at its next step with a checkpoint, and it goes on to the same weights") {
  for (const int signal : {SIGHUP, SIGINT, SIGTERM}) {
    const TemporaryFolder folder;
    const auto arguments = [&](const std::string& name, int epochs, const char* more) {
      return std::vector<std::string>{
          "train",       "--data",   "synthetic:120",        "--model",   "dropout", "--batch-size",
          "20",          "--epochs", std::to_string(epochs), "--threads", "1",       "--save",
          folder / name, more};
    };
    Child child(arguments("run", 1000000, "--json"));
    REQUIRE(nlohmann::json::parse(child.read_line()).at("epoch") == 1);
    child.send(signal);
    const Outcome stopped = child.wait();
    INFO(stopped.err);
    CHECK(stopped.code == 128 + signal);
    CHECK_THAT(stopped.err, Catch::StartsWith("birds_vs_planes: train: stopped by a signal after ") &&
                                Catch::EndsWith("; kept: " + (folder / "run.checkpoint") + "\n"));
    CHECK_FALSE(std::filesystem::exists(folder / "run"));
    const Outcome anew = run_program(arguments("run", 2, "--quiet"));
    CHECK(anew.code == 1);
    CHECK_THAT(anew.err, Catch::Contains((folder / "run.checkpoint") + " is of a run that is not finished: --resume"));

    const int epochs = std::stoi(load_safetensors(folder / "run.checkpoint").metadata.at("epoch")) + 2;
    const Outcome resumed = run_program(arguments("run", epochs, "--resume"));
    REQUIRE(resumed.code == 0);
    CHECK_THAT(resumed.out, Catch::Contains("resumed: "));
    REQUIRE(run_program(arguments("unbroken", epochs, "--quiet")).code == 0);
    CHECK(read_file(folder / "run") == read_file(folder / "unbroken"));
  }
}

TEST_CASE("an epoch's checkpoint is kept where its figures can no longer be printed") {
  const TemporaryFolder folder;
  const std::string saved = folder / "run";
  const std::string command =
      program() + " train --data synthetic:40 --epochs 2 --batch-size 20 --json --save " + saved;
  const int status = std::system((command + " >/dev/full 2>/dev/null").c_str());
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 1);
  CHECK(load_safetensors(saved + ".checkpoint").metadata.at("epoch") == "1");
}

TEST_CASE("a checkpoint with numbers that cannot be is an error that names them") {
  const TemporaryFolder folder;
  const auto train = [&](const char* more) {
    return run_program({"train", "--data", "synthetic:40", "--epochs", "1", "--batch-size", "20", "--holdout", "8",
                        "--save", folder / "run", more});
  };
  REQUIRE(train("--quiet").code == 0);
  const std::string place = folder / "run.checkpoint";
  const TensorFile good = load_safetensors(place);
  const auto refused = [&](const auto& change, const std::string& message) {
    TensorFile bad = good;
    change(bad);
    save_safetensors(place, bad);
    const Outcome outcome = train("--resume");
    INFO(outcome.err);
    CHECK(outcome.code == 1);
    CHECK_THAT(outcome.err, Catch::StartsWith("birds_vs_planes: resume " + place + ": ") && Catch::Contains(message));
  };
  for (const char* value : {"-1", "nan", "inf", "1x"})
    refused([&](TensorFile& f) { f.metadata["seconds"] = value; }, "'seconds'");
  for (const char* value : {"nan", "1.5"})
    refused([&](TensorFile& f) { f.metadata["best_accuracy"] = value; }, "'best_accuracy'");
  for (const char* value : {"-1", "2"})
    refused([&](TensorFile& f) { f.metadata["best_epoch"] = value; }, "'best_epoch'");
  for (const char* value : {"-1", "9223372036854775807"})
    refused([&](TensorFile& f) { f.metadata["position"] = value; }, "position " + std::string(value));
  for (const double value : {std::nan(""), HUGE_VAL})
    refused([&](TensorFile& f) { f.tensors["loss_sum"] = tensor({value}); }, "'loss_sum'");
  refused([&](TensorFile& f) { f.tensors["optimizer.sgd.momentum"] = tensor({std::nan("")}); },
          "SGD: lr 0.01, momentum nan");
  refused([&](TensorFile& f) { f.tensors["best.fc2.bias"] = zeros({3}); },
          "'fc2.bias' has shape [3], the model's has [2]");
  save_safetensors(place, good);
  CHECK(train("--resume").code == 0);
}

TEST_CASE("a new run does not replace the checkpoint of one that is not finished") {
  const TemporaryFolder folder;
  const auto train = [&](const std::string& seed, const char* more) {
    return run_program({"train", "--data", "synthetic:120", "--epochs", "1", "--batch-size", "20", "--seed", seed,
                        "--save", folder / "run", "--log", folder / "log", "--tensorboard", folder / "events", more});
  };
  const auto files = [&] {
    return std::vector{read_file(folder / "run.checkpoint"), read_file(folder / "log"),
                       read_file(folder / "events/events.out.tfevents.birds_vs_planes")};
  };
  const auto refused = [&](const std::string& reason) {
    const auto before = files();
    const Outcome outcome = train("5", "--quiet");
    CHECK(outcome.code == 1);
    CHECK(outcome.err == "birds_vs_planes: train: " + (folder / "run.checkpoint") + reason + "\n");
    CHECK(files() == before);
  };
  REQUIRE(train("3", "--quiet").code == 0);
  REQUIRE(train("4", "--quiet").code == 0);  // a finished one's place may be taken

  TensorFile file = load_safetensors(folder / "run.checkpoint");
  CHECK(file.metadata.at("epochs") == "1");
  file.metadata["epochs"] = "2";
  save_safetensors(folder / "run.checkpoint", file);
  refused(" is of a run that is not finished: --resume goes on with it, or delete it");
  file.metadata["kind"] = "something else";
  save_safetensors(folder / "run.checkpoint", file);
  refused(" is there and no checkpoint: delete it, or name another place");
}

TEST_CASE("a finished run that is resumed gives the same file, and may go on for longer") {
  const TemporaryFolder folder;
  const auto train = [&](const std::string& name, const char* epochs, const char* more) {
    const Outcome outcome = run_program(
        {"train", "--data", "synthetic:120", "--epochs", epochs, "--batch-size", "20", "--save", folder / name, more});
    INFO(outcome.err);
    REQUIRE(outcome.code == 0);
    return read_file(folder / name);
  };
  const std::string two = train("run", "2", "--resume"), again = train("run", "2", "--resume");
  CHECK(two == again);
  CHECK(train("run", "4", "--resume") == train("four", "4", "--quiet"));
  const Outcome fewer = run_program({"train", "--data", "synthetic:120", "--epochs", "3", "--batch-size", "20",
                                     "--save", folder / "run", "--resume"});
  CHECK(fewer.code == 1);
  CHECK_THAT(fewer.err, Catch::Contains("its run has done 4 epochs, more than the 3 asked for"));
}

TEST_CASE("a checkpoint whose history is not that of its epochs is an error") {
  const TemporaryFolder folder;
  const auto train = [&](const char* more) {
    return run_program({"train", "--data", "synthetic:120", "--epochs", "1", "--batch-size", "20", "--checkpoint",
                        folder / "checkpoint", more});
  };
  REQUIRE(train("--quiet").code == 0);
  TensorFile file = load_safetensors(folder / "checkpoint");
  const std::string history = file.metadata.at("history"), header = history.substr(0, history.find('\n') + 1);
  for (const auto& [text, message] :
       {std::pair<std::string, std::string>{header, "its history is of 0 epochs, expected 1"},
        {header + "inf,1,1,1,,\n", "line 2 is 'inf,1,1,1,,', expected an epoch and five numbers"}}) {
    file.metadata["history"] = text;
    save_safetensors(folder / "checkpoint", file);
    const Outcome outcome = train("--resume");
    CHECK(outcome.code == 1);
    CHECK_THAT(outcome.err, Catch::StartsWith("birds_vs_planes: resume ") && Catch::Contains(message));
  }
}

TEST_CASE("a run that diverges keeps its last good checkpoint") {
  const TemporaryFolder folder;
  const auto train = [&](const char* lr, const char* epochs) {
    return run_program({"train", "--data", "synthetic:120", "--epochs", epochs, "--batch-size", "20", "--lr", lr,
                        "--device", "cpu", "--save", folder / "run", "--resume"});
  };
  REQUIRE(train("1e39", "1").code == 3);
  CHECK(folder.contents().empty());
  REQUIRE(train("0.01", "1").code == 0);
  const std::string kept = read_file(folder / "run.checkpoint");

  TensorFile file = load_safetensors(folder / "run.checkpoint");
  file.tensors.at("model.fc2.weight").fill_(INFINITY);
  save_safetensors(folder / "run.checkpoint", file);
  const std::string spoiled = read_file(folder / "run.checkpoint");
  CHECK(spoiled != kept);
  const Outcome outcome = train("0.01", "3");
  CHECK(outcome.code == 3);
  CHECK_THAT(outcome.err, Catch::Contains("at step 1 of epoch 2") &&
                              Catch::Contains("is that of fc2, Linear(32, 2), whose weight is not finite") &&
                              Catch::EndsWith("; kept: " + (folder / "run.checkpoint") + "\n"));
  CHECK(read_file(folder / "run.checkpoint") == spoiled);
}

TEST_CASE("a run in 16 bits learns, goes on to the same weights, and not in float32") {
  const std::string precision = GENERATE("bfloat16", "float16");
  CAPTURE(precision);
  const TemporaryFolder folder;
  const auto train = [&](const std::string& name, const std::string& epochs, const std::string& of,
                         const std::string& more) {
    return run_program({"train", "--data", "synthetic:400", "--model", "batchnorm", "--epochs", epochs, "--seed", "2",
                        "--device", "cpu", "--precision", of, "--save", folder / name, more});
  };
  const Outcome unbroken = train("unbroken", "6", precision, "--json");
  REQUIRE(unbroken.code == 0);
  CHECK(nlohmann::json::parse(unbroken.out.substr(unbroken.out.rfind("\n{") + 1)).at("validation").at("accuracy") >
        0.7);
  REQUIRE(train("broken", "3", precision, "--json").code == 0);
  const auto state = load_safetensors(folder / "broken.checkpoint").tensors;
  CHECK(state.contains("scaler.scale") == (precision == "float16"));
  const Outcome other = train("broken", "6", "float32", "--resume");
  CHECK(other.code == 1);
  CHECK(other.err.find("precision") != std::string::npos);
  CHECK(train("broken", "6", precision, "--resume").code == 0);
  CHECK(read_file(folder / "broken") == read_file(folder / "unbroken"));
  CHECK(load_safetensors(folder / "broken").tensors.at("conv1.weight").dtype() == DType::float32);
  REQUIRE(train("float32", "6", "float32", "--json").code == 0);
  CHECK(read_file(folder / "float32") != read_file(folder / "unbroken"));
}
