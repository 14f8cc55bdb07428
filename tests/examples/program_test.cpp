#include "child.hpp"

#include <birds_vs_planes/console.hpp>
#include <birds_vs_planes/evaluate.hpp>
#include <birds_vs_planes/history.hpp>
#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/saved_model.hpp>
#include <birds_vs_planes/terminal_image.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/generator.hpp>
#include <tern/core/safetensors.hpp>
#include <tern/data/augment.hpp>
#include <tern/data/image.hpp>
#include <tern/data/synthetic.hpp>
#include <tern/kernels/cpu/processors.hpp>

#include <catch2/catch.hpp>
#include <folders.hpp>
#include <nlohmann/json.hpp>
#include <random.hpp>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <sstream>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>

using namespace tern;
using namespace tern::test;

namespace {

const std::string data_line =
    "data: SYNTHETIC, 2000 training and 500 validation images (airplane, bird), drawn, not photographs";

bool matches(const std::string& line, const std::string& pattern) {
  return std::regex_match(line, std::regex(pattern));
}

std::string timed(const std::string& pattern) { return R"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d )" + pattern; }

void write(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

/// A file of zeros.
void write_zeros(const std::string& path, std::uintmax_t size) {
  write(path, "");
  std::filesystem::resize_file(path, size);
}

void check_success(const Outcome& outcome) {
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  CHECK(outcome.err == "");
}

/// One line on standard error that contains all these, and that exit code.
void check_error(const Outcome& outcome, const std::vector<std::string>& parts, int code = 1) {
  INFO(outcome.err);
  CHECK(outcome.code == code);
  CHECK(outcome.err.starts_with("birds_vs_planes: "));
  CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
  CHECK(outcome.err.ends_with('\n'));
  for (const std::string& part : parts) CHECK_THAT(outcome.err, Catch::Contains(part));
}

/// A saved model that was never trained.
void save_fresh(const std::string& path, const std::string& model) {
  birds_vs_planes::save_model(path, birds_vs_planes::fresh_model(model), {});
}

/// A model trained once for all tests that want one.
struct Trained {
  TemporaryFolder folder;
  std::string saved = folder / "net.safetensors", log = folder / "log.csv";
  Outcome outcome =
      run_program({"train", "--data", "synthetic", "--seed", "1", "--epochs", "5", "--lr", "0.05", "--momentum", "0.9",
                   "--save", saved, "--log", log, "--eval-every", "2", "--threads", "1", "--device", "cpu"});
  std::vector<std::string> lines = outcome.lines();
};

const Trained& trained() {
  static const Trained once;
  REQUIRE(once.outcome.code == 0);
  REQUIRE(once.lines.size() == 10);
  return once;
}

}  // namespace

TEST_CASE("train learns and says what it does") {
  const Trained& t = trained();
  check_success(t.outcome);
  CHECK(t.folder.contents() == std::vector<std::string>{"log.csv", "net.safetensors", "net.safetensors.checkpoint"});
  CHECK(t.lines[0] == data_line);
  CHECK(matches(t.lines[1], R"(model: net, 18090 parameters; device: (cpu|cuda:0); threads: \d+; seed: 1)"));
  for (int epoch = 1; epoch <= 5; ++epoch) {
    const std::string accuracy = epoch % 2 == 0 ? R"(, Validation accuracy [01]\.\d{4})" : "";
    CHECK(matches(t.lines[static_cast<std::size_t>(epoch) + 1],
                  timed("Epoch " + std::to_string(epoch) + R"(, Training loss 0\.\d{6})" + accuracy)));
  }
  CHECK(t.lines[7] == "saved: " + t.saved);
  CHECK(matches(t.lines[8], R"(Accuracy train: [01]\.\d{4} \(\d+ of 2000\))"));
  CHECK(matches(t.lines[9], R"(Accuracy val: [01]\.\d{4} \(\d+ of 500\))"));
  CHECK(std::stod(t.lines[8].substr(16)) >= 0.7);
  CHECK(std::stod(t.lines[9].substr(14)) >= 0.7);
}

TEST_CASE("the log has a line an epoch") {
  const Trained& t = trained();
  Outcome csv{0, read_file(t.log), ""};
  const auto rows = csv.lines();
  REQUIRE(rows.size() == 6);
  CHECK(rows[0] == "epoch,loss,seconds,lr,holdout_accuracy,val_accuracy");
  for (int epoch = 1; epoch <= 5; ++epoch) {
    INFO(rows[epoch]);
    const std::string accuracy = epoch % 2 == 0 ? R"([01](\.\d+)?)" : "";
    CHECK(matches(rows[epoch], std::to_string(epoch) + R"(,0\.\d+,\d+(\.\d+)?,0\.05,,)" + accuracy));
  }
  const double logged = std::stod(rows[1].substr(2)), printed = std::stod(t.lines[2].substr(t.lines[2].rfind(' ')));
  CHECK(logged == Approx(printed).margin(1e-6));
  CHECK(std::stod(rows[4].substr(rows[4].rfind(',') + 1)) ==
        Approx(std::stod(t.lines[5].substr(t.lines[5].rfind(' ')))).margin(1e-4));
}

TEST_CASE("evaluate finds the same accuracies") {
  const Trained& t = trained();
  const Outcome evaluate = run_program({"evaluate", "--data", "synthetic", "--load", t.saved});
  check_success(evaluate);
  REQUIRE(evaluate.lines().size() == 4);
  CHECK(evaluate.lines()[0] == data_line);
  CHECK(evaluate.lines()[2] == t.lines[8]);
  CHECK(evaluate.lines()[3] == t.lines[9]);

  const Outcome whole_batches =
      run_program({"evaluate", "--data", "synthetic", "--load", t.saved, "--drop-last-eval", "--device", "cpu"});
  check_success(whole_batches);
  CHECK(matches(whole_batches.lines()[2], R"(Accuracy train: .* \(\d+ of 1984\))"));
  CHECK(matches(whole_batches.lines()[3], R"(Accuracy val: .* \(\d+ of 448\))"));
}

TEST_CASE("predict tells birds from planes in picture files") {
  const Trained& t = trained();
  const TemporaryFolder folder;
  const std::int64_t n = 40;
  const TensorDataset drawn = synthetic_birds_and_planes(n, 2);
  std::vector<std::string> arguments{"predict", "--load", t.saved, "--device", "cpu"};
  for (std::int64_t i = 0; i < n; ++i) {
    arguments.push_back(folder / (std::to_string(i) + ".png"));
    write_png(arguments.back(), drawn.inputs()[i]);
  }
  const Outcome predict = run_program(arguments);
  check_success(predict);
  const auto answers = predict.lines();
  REQUIRE(answers.size() == n + 1);
  CHECK(matches(answers[0], "file +class +probability"));

  const auto model = birds_vs_planes::load_model({}, t.saved);
  const NoGradGuard no_grad;
  const Tensor probabilities = softmax((*model.module)(drawn.inputs().to(DType::float32) / 255), 1);
  int right = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const double bird = probabilities[i][1].item();
    const std::string& path = arguments[static_cast<std::size_t>(5 + i)];
    const std::string& answer = answers[static_cast<std::size_t>(i + 1)];
    INFO(answer << ", expected bird with " << bird);
    REQUIRE(matches(answer, path + (bird > 0.5 ? " +bird +" : " +airplane +") + R"([01]\.\d{4})"));
    CHECK(std::stod(answer.substr(answer.rfind(' '))) == Approx(std::max(bird, 1 - bird)).margin(1e-4));
    right += (bird > 0.5) == (i % 2 == 1);
  }
  CHECK(right >= 26);
}

TEST_CASE("predict takes folders, scales pictures of any size, and answers in JSON") {
  const Trained& t = trained();
  const TemporaryFolder folder;
  const Tensor bird = synthetic_birds_and_planes(2, 2).inputs()[1];
  std::filesystem::create_directories(folder / "pictures/inner");
  write_png(folder / "pictures/small.png", resize(bird, 20, 20));
  write_png(folder / "pictures/inner/large.PNG", resize(bird, 320, 480));
  write(folder / "pictures/notes.txt", "no picture, and not named like one");
  const Outcome predict = run_program({"predict", "--load", t.saved, "--json", folder / "pictures"});
  check_success(predict);
  REQUIRE(predict.lines().size() == 2);
  const std::vector<std::string> expected{"pictures/inner/large.PNG", "pictures/small.png"};
  for (std::size_t i = 0; i < 2; ++i) {
    const auto answer = nlohmann::json::parse(predict.lines()[i]);
    CHECK(answer.at("file") == folder / expected[i]);
    const double airplane = answer.at("probabilities").at("airplane"), is_bird = answer.at("probabilities").at("bird");
    CHECK(airplane + is_bird == Approx(1));
    CHECK(answer.at("class") == (is_bird > airplane ? "bird" : "airplane"));
    CHECK(answer.at("probability") == std::max(is_bird, airplane));
  }
}

TEST_CASE("info shows the file's metadata and layers") {
  const Trained& t = trained();
  const Outcome info = run_program({"info", "--load", t.saved});
  check_success(info);
  CHECK(info.out ==
        "model: net\n"
        "classes: airplane,bird\n"
        "command: birds_vs_planes train --batch-size 64 --classes 2 --cutout 0 --data synthetic --device cpu --holdout "
        "0 --l2 0 "
        "--lr 0.05 --model net --momentum 0.9 --recipe article --seed 1 --weight-decay 0 --epochs 5\n"
        "data: synthetic\n"
        "epochs: 5\n"
        "format: pt\n"
        "seed: 1\n"
        "layer  kind                                                              output           parameters  "
        "mult-adds\n"
        "conv1  Conv2d(3, 16, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))  [1, 16, 32, 32]         448    "
        "442,368\n"
        "conv2  Conv2d(16, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))  [1, 8, 16, 16]        1,160    "
        "294,912\n"
        "fc1    Linear(512, 32)                                                   [1, 32]              16,416     "
        "16,384\n"
        "fc2    Linear(32, 2)                                                     [1, 2]                   66         "
        "64\n"
        "\n"
        "parameters: 18,090\n"
        "mult-adds: 753,728\n"
        "memory: input 0.01 MB, outputs 0.07 MB, parameters 0.07 MB\n");
  const auto json = nlohmann::json::parse(run_program({"info", "--load", t.saved, "--json"}).out);
  CHECK(json.at("parameters") == 18090);
  CHECK(json.at("layers").size() == 4);
  CHECK(json.at("layers")[1].at("output") == nlohmann::json({1, 8, 16, 16}));
  CHECK(json.at("metadata").at("seed") == "1");
}

TEST_CASE("the command that a saved model names trains the same file again") {
  const Trained& t = trained();
  const TemporaryFolder folder;
  std::istringstream command(load_safetensors(t.saved).metadata.at("command"));
  std::vector<std::string> words{std::istream_iterator<std::string>(command), {}};
  REQUIRE(words.at(0) == "birds_vs_planes");
  words.erase(words.begin());
  words.insert(words.end(), {"--save", folder / "again", "--threads", "1"});
  check_success(run_program(words));
  CHECK(read_file(folder / "again") == read_file(t.saved));
}

TEST_CASE("a training that fails leaves an older file as it was") {
  const Trained& t = trained();
  const std::string before = read_file(t.saved);
  check_error(run_program({"train", "--data", "synthetic", "--epochs", "1", "--lr", "1e39", "--threads", "1",
                           "--device", "cpu", "--save", t.saved}),
              {"the loss is nan at step 2 of epoch 1", "conv1", "; kept: " + t.saved + ".checkpoint"}, 3);
  CHECK(read_file(t.saved) == before);
  CHECK(t.folder.contents() == std::vector<std::string>{"log.csv", "net.safetensors", "net.safetensors.checkpoint"});
}

TEST_CASE("threads are as many as OMP_NUM_THREADS, else processors") {
  const auto threads = [](const std::string& variable) {
    const Outcome outcome =
        run_program({"train", "--data", "synthetic:64", "--epochs", "1"}, {"OMP_NUM_THREADS=" + variable});
    if (outcome.code != 0) return outcome.code - 1000;
    const std::string line = outcome.lines()[1], word = "threads: ";
    return std::stoi(line.substr(line.find(word) + word.size()));
  };
  CHECK(threads("3") == 3);
  CHECK(threads("5,2") == 5);  // of nested loops, of which there are none
  for (const char* variable : {"", "0", "-1", "many", "99999999999"}) {
    CAPTURE(variable);
    CHECK(threads(variable) == kernels::usable_processors());
  }
  std::thread([&] {  // the program may run where the thread that starts it may
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(sched_getcpu(), &mask);
    CHECK(sched_setaffinity(0, sizeof mask, &mask) == 0);
    CHECK(threads("") == 1);
    CHECK(threads("2") == 2);
  }).join();
}

TEST_CASE("a seed gives the same file bit by bit, for any number of threads") {
  const TemporaryFolder folder;
  const auto train = [&](const std::string& name, const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"train", "--data", "synthetic", "--epochs", "1", "--save", folder / name};
    arguments.insert(arguments.end(), more.begin(), more.end());
    check_success(run_program(arguments));
    return read_file(folder / name);
  };
  const std::string first = train("first", {"--seed", "7", "--threads", "1"});
  CHECK(first == train("again", {"--seed", "7", "--threads", "1", "--num-workers", "0", "--eval-every", "1"}));
  CHECK(first == train("two_threads", {"--seed", "7", "--threads", "2", "--num-workers", "2"}));
  CHECK(first != train("other_seed", {"--seed", "8", "--threads", "1"}));
}

TEST_CASE("saved models carry PyTorch's names and say what they are") {
  const TemporaryFolder folder;
  const std::string saved = folder / "batchnorm.safetensors";
  check_success(run_program({"train", "--data", "synthetic", "--model", "batchnorm", "--epochs", "1", "--batch-size",
                             "1000", "--l2", "0.001", "--threads", "1", "--save", saved}));
  const TensorFile file = load_safetensors(saved);
  CHECK(file.metadata.at("format") == "pt");
  CHECK(file.metadata.at("model") == "batchnorm");
  CHECK(file.metadata.at("data") == "synthetic");
  CHECK(file.tensors.size() == 18);
  CHECK(file.tensors.at("conv2_batchnorm.num_batches_tracked").item<int>() == 2);
  CHECK(file.tensors.at("conv1_batchnorm.running_mean").shape() == Shape{32});

  const Outcome info = run_program({"info", "--load", saved, "--model", "batchnorm"});
  check_success(info);
  CHECK_THAT(info.out,
             Catch::StartsWith("model: batchnorm\n") && Catch::Contains("\nconv2_batchnorm  BatchNorm2d(16, "));

  // The weights to start from: an epoch more, and the count of batches goes on.
  check_success(run_program({"train", "--data", "synthetic", "--load", saved, "--epochs", "1", "--batch-size", "1000",
                             "--threads", "1", "--save", folder / "more.safetensors"}));
  CHECK(load_safetensors(folder / "more.safetensors").tensors.at("conv2_batchnorm.num_batches_tracked").item<int>() ==
        4);
}

TEST_CASE("a terminal gets a progress bar, a file plain lines") {
  const std::vector<std::string> arguments{"train", "--data", "synthetic", "--epochs", "1", "--batch-size", "500"};
  const Outcome terminal = run_on_terminal(arguments, {.environment = {"TERM=xterm", "LC_ALL=C"}});
  const Outcome file = run_program(arguments);
  CHECK(terminal.code == 0);
  CHECK(std::regex_search(
      terminal.out, std::regex(R"(Epoch 1/1 (\x1b\[32m)?#+(\x1b\[0m)?\.+  25%, \d+:\d\d left, \d+\.\d steps/s\r)")));
  CHECK_THAT(terminal.out, Catch::Contains("Training loss"));
  check_success(file);
  CHECK(file.out.find_first_of("\r\x1b") == std::string::npos);
  CHECK(file.lines().size() == 5);
}

TEST_CASE("a name that is no word of a shell, or no UTF-8, costs no run") {
  const TemporaryFolder folder;
  const auto train = [&](const std::string& load) {
    save_fresh(load, "net");
    const Outcome outcome = run_program({"train", "--data", "synthetic:64", "--epochs", "1", "--device", "cpu",
                                         "--load", load, "--save", folder / "saved"});
    check_success(outcome);
    return load_safetensors(folder / "saved").metadata.at("command");
  };
  CHECK_THAT(train(folder / "\xff"), Catch::Contains(" --load '" + (folder / "\ufffd") + "' "));

  const std::string first = train(folder / "it's a \"$HOME\""), before = read_file(folder / "saved");
  const std::string again = first.substr(first.find(' ')) + " --save " + (folder / "again") + " >" + (folder / "out");
  CHECK(std::system((program() + again).c_str()) == 0);
  CHECK(read_file(folder / "again") == before);
}

TEST_CASE("predict sees a picture as its EXIF orientation says") {
  const Trained& t = trained();
  const std::string pictures = in_tree("tests/data/pictures/");
  std::vector<std::string> arguments{"predict", "--load", t.saved, "--device", "cpu", "--json", pictures + "rgb.png"};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    arguments.push_back(pictures + "turned/" + std::to_string(orientation) + ".png");
  }
  const Outcome outcome = run_program(arguments);
  check_success(outcome);
  REQUIRE(outcome.lines().size() == 9);
  const auto upright = nlohmann::json::parse(outcome.lines()[0]).at("probabilities");
  for (const std::string& line : outcome.lines()) CHECK(nlohmann::json::parse(line).at("probabilities") == upright);
}

TEST_CASE("the program says its version") {
  const Outcome outcome = run_program({"--version"});
  check_success(outcome);
  CHECK(matches(outcome.out, R"(birds_vs_planes of tern \d+\.\d+\.\d+\n)"));
}

TEST_CASE("help goes to standard output") {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--help"}, {"train", "--help"}, {"predict", "--help"}}) {
    const Outcome help = run_program(arguments);
    check_success(help);
    CHECK_THAT(help.out, Catch::Contains("Usage: birds_vs_planes"));
  }
  const auto joined = [](const Outcome& help) { return std::regex_replace(help.out, std::regex("\n +"), " "); };
  CHECK_THAT(joined(run_program({"compare", "--help"})), Catch::Contains("; 20 unless given"));
  CHECK_THAT(joined(run_program({"train", "--help"})), Catch::Contains("; 100, or with --recipe strong 65, unless given"));
}

TEST_CASE("with a standard file closed, nothing that is printed gets into another file") {
  const TemporaryFolder folder;
  const std::string saved = folder / "net", log = folder / "log.csv";
  for (const std::string closed : {">&-", "2>&-", "<&-", "<&- >&- 2>&-"}) {
    INFO(closed);
    const std::string command = program() + " train --data synthetic:40 --epochs 2 --batch-size 20 --json --save " +
                                saved + " --log " + log + " --tensorboard " + (folder / "events") + " ";
    CHECK(std::system((command + ">/dev/null 2>/dev/null " + closed).c_str()) == 0);
    CHECK(birds_vs_planes::read_csv(log).size() == 2);
    load_safetensors(saved);
    load_safetensors(saved + ".checkpoint");
  }
}

TEST_CASE("usage errors have one line and the exit code 2") {
  check_error(run_program({}), {"no command"}, 2);
  check_error(run_program({"fly"}), {}, 2);
  check_error(run_program({"evaluate"}), {"--load"}, 2);
  check_error(run_program({"predict", "--load", "net.safetensors"}), {"FILE"}, 2);
  const std::pair<const char*, const char*> wrong[] = {
      {"--wings", "2"}, {"--epochs", "0"},  {"--epochs", "many"}, {"--lr", "-1"},        {"--lr", "fast"},
      {"--seed", "-1"}, {"--seed", "x"},    {"--threads", "0"},   {"--batch-size", "0"}, {"--num-workers", "-1"},
      {"--l2", "-1"},   {"--momentum", ""}, {"--eval-every", "0"}};
  for (const auto& [option, value] : wrong) {
    INFO(option << " " << value);
    check_error(run_program({"train", "--data", "/nowhere", option, value}), {option}, 2);
  }
}

TEST_CASE("a model or a device that is not there is an error") {
  check_error(run_program({"train", "--data", "synthetic", "--model", "resnet"}),
              {"resnet, expected net, width, dropout, batchnorm, depth, res, resdeep or resstrong"}, 2);
  check_error(run_program({"info", "--model", ""}), {"'', expected net,"}, 2);
  check_error(run_program({"train", "--data", "synthetic", "--device", "tpu"}), {"device 'tpu': expected"}, 2);
  try {
    backend(Device::cuda);
  } catch (const Error& e) {
    const Outcome outcome = run_program({"train", "--data", "synthetic", "--device", "cuda"});
    check_error(outcome, {e.what()});
    CHECK(outcome.out == "");
  }
}

TEST_CASE("data that is missing, truncated or altered is an error, before anything is written") {
  const TemporaryFolder folder;
  const std::string saved = folder / "saved", log = folder / "log";
  const auto train = [&](const std::string& data) {
    return run_program({"train", "--data", data, "--save", saved, "--log", log});
  };
  check_error(train(folder / "nowhere"), {"no folder", folder / "nowhere", "scripts/fetch_cifar10"});
  check_error(train(""), {"no folder"});

  std::filesystem::create_directory(folder / "data");
  check_error(train(folder / "data"), {"no file", folder / "data/data_batch_1.bin"});
  write_zeros(folder / "data/data_batch_1.bin", 30729999);
  check_error(train(folder / "data"), {folder / "data/data_batch_1.bin", "30729999 bytes, expected 30730000"});
  write_zeros(folder / "data/data_batch_1.bin", 30730000);
  check_error(train(folder / "data"), {folder / "data/data_batch_1.bin", "md5"});
  CHECK(folder.contents() == std::vector<std::string>{"data"});

  // Where no folder is given, the environment says where to look.
  const std::string at = folder / "cache";
  check_error(run_program({"train"}, {"TERN_DATA=" + at}), {"no folder " + at + ";"});
  check_error(run_program({"train"}, {"TERN_DATA=", "XDG_CACHE_HOME=" + at}), {"no folder " + at + "/tern/cifar10;"});
  check_error(run_program({"train"}, {"TERN_DATA=", "XDG_CACHE_HOME=", "HOME=" + at}),
              {"no folder " + at + "/.cache/tern/cifar10;"});
  check_error(run_program({"train"}, {"TERN_DATA=", "XDG_CACHE_HOME=", "HOME="}), {"data: no folder given"});
}

TEST_CASE("a place where nothing can be saved is an error before training starts") {
  const TemporaryFolder folder;
  const auto train_to = [&](const std::string& saved) {
    const Outcome outcome =
        run_program({"train", "--data", "synthetic", "--epochs", "1000", "--save", saved, "--log", folder / "log"});
    CHECK(outcome.out == "");
    return outcome;
  };
  check_error(train_to(folder / "nowhere/saved"), {"save " + (folder / "nowhere/saved"), "No such file or directory"});
  check_error(train_to(folder / "."), {"save", "no regular file"});
  check_error(train_to("/dev/null"), {"save /dev/null", "no regular file"});
  check_error(train_to("/proc/saved"), {"save /proc/saved", "cannot create a file there"});
  check_error(train_to(""), {"save '': expected the name of a file"});
  CHECK(folder.contents().empty());
  check_error(
      run_program({"train", "--data", "synthetic", "--save", folder / "saved", "--log", folder / "nowhere/log"}),
      {"log " + (folder / "nowhere/log"), "cannot create a file there"});
  CHECK(folder.contents().empty());

  using std::filesystem::perms;
  std::filesystem::create_directory(folder / "locked");
  std::filesystem::permissions(folder / "locked", perms::owner_read | perms::owner_exec);
  check_error(train_to(folder / "locked/saved"), {"save", "Permission denied"});
  write(folder / "kept", "weights");
  std::filesystem::permissions(folder / "kept", perms::owner_read);
  check_error(train_to(folder / "kept"), {"save", "Permission denied"});
  CHECK(read_file(folder / "kept") == "weights");
}

TEST_CASE("a weights file that is missing, damaged, foreign or of another model is an error") {
  const TemporaryFolder folder;
  const std::string good = folder / "good", file = folder / "file";
  save_fresh(good, "batchnorm");
  const std::string bytes = read_file(good);
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"info"}, {"evaluate", "--data", "synthetic"}, {"predict", "x.png"}, {"train"}}) {
    const auto load = [&](const std::vector<std::string>& more) {
      std::vector<std::string> arguments = command;
      arguments.insert(arguments.end(), {"--load", file});
      arguments.insert(arguments.end(), more.begin(), more.end());
      return run_program(arguments);
    };
    INFO(command[0]);
    std::filesystem::remove(file);
    check_error(load({}), {"load " + file, "no such file"});
    write(file, "");
    check_error(load({}), {"load " + file, "0 bytes"});
    write(file, "no weights but a text");
    check_error(load({}), {"load " + file, "expected a whole safetensors file"});
    write(file, bytes.substr(0, bytes.size() - 1));
    check_error(load({}), {"load " + file});
    write(file, bytes.substr(0, 100));
    check_error(load({}), {"load " + file});
    std::string altered = bytes;
    altered[8] = '[';
    write(file, altered);
    check_error(load({}), {"load " + file, "does not begin with '{'"});

    write(file, bytes);
    check_error(load({"--model", "net"}), {"load " + file, "it holds the model 'batchnorm', not 'net'"});
    save_safetensors(file, {load_safetensors(good).tensors, {{"format", "pt"}}});
    check_error(load({}), {"load " + file, "--model"});
    check_error(load({"--model", "width"}), {"load " + file, "unexpected [conv1_batchnorm.bias"});
    check_error(load({"--model", "net"}), {"load " + file, "has shape [32], the model's has [16]"});
    save_safetensors(file, {{{"embedding", ones({3})}}, {{"model", "resnet"}}});
    check_error(load({}), {"load " + file, "model 'resnet': expected one of"});
    save_safetensors(file, {{{"embedding", ones({3})}}, {{"model", "net"}}});
    check_error(load({}), {"load " + file, "missing [conv1.bias"});
  }
  save_safetensors(file, {load_safetensors(good).tensors, {{"format", "pt"}}});
  check_success(run_program({"info", "--load", file, "--model", "batchnorm"}));
}

TEST_CASE("a folder that cannot be read is an error, and what is beside it is answered") {
  const TemporaryFolder folder;
  save_fresh(folder / "net", "net");
  const std::string too_long(300, 'x');
  for (const std::string name : {"a", "b", "b/inner", "c"})
    std::filesystem::create_directories(folder / ("pictures/" + name));
  for (const std::string name : {"a/bird.png", "b/inner/bird.png", "c/bird.png"}) {
    write_png(folder / ("pictures/" + name), synthetic_birds_and_planes(2).inputs()[1]);
  }
  std::filesystem::create_symlink("d.png", folder / "pictures/d.png");
  std::filesystem::permissions(folder / "pictures/b", std::filesystem::perms::none);
  const Outcome outcome = run_program({"predict", "--load", folder / "net", "--json", folder / "pictures", too_long});
  std::filesystem::permissions(folder / "pictures/b", std::filesystem::perms::owner_all);
  INFO(outcome.err);
  CHECK(outcome.code == 1);
  REQUIRE(outcome.lines().size() == 5);
  const std::pair<std::string, std::string> expected[] = {{folder / "pictures/a/bird.png", ""},
                                                          {folder / "pictures/b", "Permission denied"},
                                                          {folder / "pictures/c/bird.png", ""},
                                                          {folder / "pictures/d.png", "Too many levels"},
                                                          {too_long, "File name too long"}};
  for (std::size_t i = 0; i < 5; ++i) {
    const auto answer = nlohmann::json::parse(outcome.lines()[i]);
    CHECK(answer.at("file") == expected[i].first);
    CHECK(answer.contains("class") == expected[i].second.empty());
    CHECK_THAT(answer.value("error", ""), Catch::Contains(expected[i].second));
  }
}

TEST_CASE("a file that is no picture is an error, and the others are answered") {
  const TemporaryFolder folder;
  save_fresh(folder / "net", "net");
  write_png(folder / "bird.png", synthetic_birds_and_planes(2).inputs()[1]);
  write(folder / "text.png", "no picture");
  write(folder / "cut.png", read_file(folder / "bird.png").substr(0, 500));
  std::filesystem::create_directory(folder / "empty");
  for (const std::string& bad : {folder / "text.png", folder / "cut.png", folder / "nowhere.png", folder / "empty"}) {
    const Outcome outcome =
        run_program({"predict", "--load", folder / "net", bad, folder / "bird.png", "--quiet", "--device", "cpu"});
    check_error(outcome, {bad});
    CHECK(matches(outcome.out, (folder / "bird.png") + R"( +(airplane|bird) +[01]\.\d{4}\n)"));
    const Outcome json = run_program({"predict", "--load", folder / "net", bad, folder / "bird.png", "--json"});
    REQUIRE(json.lines().size() == 2);
    CHECK_THAT(nlohmann::json::parse(json.lines()[0]).at("error").get<std::string>(), Catch::Contains(bad));
    CHECK(nlohmann::json::parse(json.lines()[1]).at("file") == folder / "bird.png");
    CHECK(json.code == 1);
  }
}

TEST_CASE("pictures that do damage cost the others nothing") {
  const TemporaryFolder folder;
  save_fresh(folder / "net", "net");
  const std::string pictures = tern::test::in_tree("tests/data/pictures/");
  std::vector<std::string> arguments{"predict", "--load", folder / "net", "--device", "cpu", "--json"}, bad;
  for (const auto& entry : std::filesystem::directory_iterator(pictures + "bad")) bad.push_back(entry.path());
  REQUIRE(bad.size() >= 7);
  for (const std::string& file : bad) {
    arguments.push_back(file);
    arguments.push_back(pictures + "rgb.png");
  }
  const auto used = [] {
    rusage of_children{};
    getrusage(RUSAGE_CHILDREN, &of_children);
    return of_children.ru_utime.tv_sec + of_children.ru_stime.tv_sec;
  };
  const auto before = used();
  const Outcome outcome = run_program(arguments);
  CHECK(used() - before <= 1 + static_cast<std::int64_t>(bad.size()));
  INFO(outcome.err);
  CHECK(outcome.code == 1);
  REQUIRE(outcome.lines().size() == 2 * bad.size());
  std::vector<std::string> complaints;
  std::istringstream err(outcome.err);
  for (std::string line; std::getline(err, line);) complaints.push_back(line);
  REQUIRE(complaints.size() == bad.size());
  const auto good = nlohmann::json::parse(outcome.lines()[1]);
  CHECK(good.contains("class"));
  for (std::size_t i = 0; i < bad.size(); ++i) {
    const auto answer = nlohmann::json::parse(outcome.lines()[2 * i]);
    CHECK(answer.at("file") == bad[i]);
    CHECK_THAT(answer.at("error").get<std::string>(), Catch::Contains(bad[i] + ": "));
    CHECK_THAT(complaints[i], Catch::Contains(bad[i] + ": "));
    CHECK(nlohmann::json::parse(outcome.lines()[2 * i + 1]) == good);
  }
}

TEST_CASE("printable text has nothing in it that steers a terminal") {
  using birds_vs_planes::printable;
  CHECK(printable("caf\u00e9 \u6f22 \U0001f426 ~\u00a0") == "caf\u00e9 \u6f22 \U0001f426 ~\u00a0");
  CHECK(printable(std::string("\x1b[31m\a\r\n\t\0\x7f", 11)) == "\\u001b[31m\\u0007\\u000d\\u000a\\u0009\\u0000\\u007f");
  CHECK(printable("\u0080\u009b1m\u009f") == "\\u0080\\u009b1m\\u009f");
  // Not UTF-8: alone, cut off, longer than need be, half a pair, beyond the last.
  CHECK(printable("\x9b" "1m\xff") == "\\x9b1m\\xff");
  CHECK(printable("\xc3") == "\\xc3");
  CHECK(printable("\xe6\xbc!") == "\\xe6\\xbc!");
  CHECK(printable("\xc0\x9b") == "\\xc0\\x9b");
  CHECK(printable("\xe0\x82\x9b") == "\\xe0\\x82\\x9b");
  CHECK(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");
  CHECK(printable("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");
  CHECK(printable("") == "");
}

TEST_CASE("names and metadata do not steer the terminal") {
  const TemporaryFolder folder;
  const std::string evil = "\x1b]0;owned\a\u009b2J\x7f\r\n\x9b", shown = R"(\u001b]0;owned\u0007\u009b2J\u007f)";
  save_fresh(folder / "fresh", "net");
  const std::string net = folder / ("net" + evil), picture = folder / ("bird" + evil + ".png"),
                    bad = folder / ("bad" + evil + ".png");
  save_safetensors(net, {load_safetensors(folder / "fresh").tensors, {{"model", "net"}, {"no\x1bte", "\u009bx\ny"}}});
  write_png(picture, synthetic_birds_and_planes(2).inputs()[1]);
  write(bad, "no picture");
  const std::string nowhere = folder / ("nowhere" + evil);
  for (const std::vector<std::string>& arguments : {
           std::vector<std::string>{"predict", "--load", net, picture, bad},
           {"predict", "--load", net, "--json", picture, bad},
           {"info", "--load", net},
           {"info", "--load", net, "--json"},
           {"evaluate", "--load", net, "--data", "synthetic:64"},
           {"evaluate", "--load", nowhere},
           {"evaluate", "--load", net, "--data", nowhere},
           {"show", "3", "--data", "synthetic:64", "--output", picture},
           {"train", "--data", "synthetic:64", "--epochs", "1", "--save", net, "--log", folder / ("log" + evil)},
           {"train", "--data", "synthetic:64", "--epochs", "1", "--save", nowhere + "/net"},
           {"report", "--load", net, "--data", "synthetic:64", "--output", nowhere},
           {"train", "--model", evil},
           {evil}}) {
    const Outcome outcome = run_program(arguments);
    INFO(arguments[0] << "\n" << outcome.out << "\n" << outcome.err);
    for (const std::string& text : {outcome.out, outcome.err}) {
      CHECK(birds_vs_planes::printable(text).find("\\x") == birds_vs_planes::printable(text).find("\\x9b"));
      for (const char c : text) CHECK((c == '\n' || static_cast<unsigned char>(c) >= 0x20));
      CHECK(text.find('\x7f') == std::string::npos);
      CHECK(text.find("\u009b") == std::string::npos);
    }
  }
  const Outcome outcome = run_program({"predict", "--load", net, picture, bad});
  CHECK_THAT(outcome.out, Catch::Contains("bird" + shown));
  CHECK_THAT(outcome.err, Catch::Contains("bad" + shown));
  const Outcome json = run_program({"predict", "--load", net, "--json", picture});
  // JSON that reads as the name: bytes that are not UTF-8 aside.
  CHECK_THAT(nlohmann::json::parse(json.out).at("file").get<std::string>(),
             Catch::Contains("bird" + evil.substr(0, evil.size() - 1)));
}

TEST_CASE("--quiet prints results alone, --json objects alone, --log the same figures") {
  const TemporaryFolder folder;
  const std::vector<std::string> base{"train", "--data",    "synthetic", "--epochs",  "2",  "--batch-size",
                                      "500",   "--threads", "1",         "--holdout", "500"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    return run_program(more);
  };
  const Outcome quiet = with({"--quiet"});
  check_success(quiet);
  REQUIRE(quiet.lines().size() == 3);
  for (const std::string& line : quiet.lines()) CHECK(line.starts_with("Accuracy "));

  const Outcome json = with({"--json", "--log", folder / "log.csv"});
  check_success(json);
  REQUIRE(json.lines().size() == 3);
  const auto rows = birds_vs_planes::read_csv(folder / "log.csv");
  REQUIRE(rows.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    const auto epoch = nlohmann::json::parse(json.lines()[i]);
    CHECK(epoch.at("epoch") == rows[i].epoch);
    CHECK(epoch.at("loss") == rows[i].loss);
    CHECK(epoch.at("holdout_accuracy") == *rows[i].holdout_accuracy);
    CHECK_FALSE(epoch.contains("val_accuracy"));
  }
  const auto result = nlohmann::json::parse(json.lines()[2]);
  CHECK(result.at("train").at("total") == 1500);
  CHECK(result.at("holdout").at("total") == 500);
  CHECK(result.at("holdout").at("accuracy") ==
        std::max(*rows[0].holdout_accuracy, *rows[1].holdout_accuracy));  // the best weights are what is judged
}

TEST_CASE("the strong recipe trains, and its file says how to judge") {
  const TemporaryFolder folder;
  const std::string saved = folder / "strong.safetensors";
  check_success(run_program({"train", "--data", "synthetic:200", "--threads", "1", "--recipe", "strong", "--model",
                             "net", "--epochs", "2", "--save", saved, "--log", folder / "log.csv"}));
  const TensorFile file = load_safetensors(saved);
  CHECK(file.metadata.at("flips") == "yes");
  const TensorDataset drawn = synthetic_birds_and_planes(200, 1);
  const ChannelStatistics s = channel_statistics(drawn.inputs());
  CHECK(file.tensors.at("input_mean").to_vector<float>() == s.mean.to_vector<float>());
  CHECK(file.tensors.at("input_std").to_vector<float>() == s.std.to_vector<float>());
  const auto rows = birds_vs_planes::read_csv(folder / "log.csv");
  // Of the last of six steps: half a cosine wave falls from the first to a seventh.
  CHECK(rows.back().lr == Approx(0.05 * (1 + std::cos(M_PI * 5 / 6)) / 2));
  CHECK(rows.front().lr == Approx(0.05 * (1 + std::cos(M_PI * 2 / 6)) / 2));
  // evaluate and predict apply what the file holds.
  const Outcome evaluate = run_program({"evaluate", "--data", "synthetic:200", "--load", saved, "--json"});
  check_success(evaluate);
  const auto model = birds_vs_planes::load_model({}, saved);
  DataLoader loader(drawn, {.batch_size = 64});
  const auto accuracy = birds_vs_planes::accuracy(*model.module, loader, Device::cpu, true);
  CHECK(nlohmann::json::parse(evaluate.out).at("train").at("correct") == accuracy.correct);
}

TEST_CASE("what is held out is measured whole, and has no part in the normalisation") {
  const TemporaryFolder folder;
  const std::string saved = folder / "strong.safetensors";
  const Outcome outcome =
      run_program({"train", "--data", "synthetic:200", "--threads", "1", "--recipe", "strong", "--model", "net",
                   "--epochs", "1", "--holdout", "40", "--batch-size", "50", "--drop-last-eval", "--save", saved});
  check_success(outcome);
  CHECK_THAT(outcome.out, Catch::Contains("\nAccuracy train: ") && Catch::Contains(" of 150)\n"));
  CHECK_THAT(outcome.out, Catch::Contains("\nAccuracy hold-out: ") && Catch::Contains(" of 40)\n"));

  const TensorFile file = load_safetensors(saved);
  const TensorDataset drawn = synthetic_birds_and_planes(200, 1);
  Generator generator(0x686f6c646f7574);
  const Tensor trained_on = randperm(200, generator).narrow(0, 0, 160).contiguous();
  const ChannelStatistics s = channel_statistics(drawn.inputs().index_select(0, trained_on));
  CHECK(file.tensors.at("input_mean").to_vector<float>() == s.mean.to_vector<float>());
  CHECK(file.tensors.at("input_std").to_vector<float>() == s.std.to_vector<float>());
  CHECK(s.mean.to_vector<float>() != channel_statistics(drawn.inputs()).mean.to_vector<float>());
}

TEST_CASE("show draws an image or writes it") {
  const TemporaryFolder folder;
  const Tensor image = synthetic_birds_and_planes(500, 2).inputs()[3];
  const std::vector<std::string> show{"show", "3", "--data", "synthetic"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), show.begin(), show.end());
    return run_program(more);
  };
  const Outcome drawn = with({"--colours", "true"});
  check_success(drawn);
  REQUIRE(drawn.lines().size() == 17);
  CHECK(drawn.lines()[0] == "validation image 3: bird");
  const auto v = image.to_vector<std::int64_t>();
  const auto pixel = [&](int h, int w) {
    const auto at = [&](int c) { return std::to_string(v[static_cast<std::size_t>((c * 32 + h) * 32 + w)]); };
    return at(0) + ";" + at(1) + ";" + at(2) + "m";
  };
  for (const int row : {0, 7, 15}) {
    const std::string start = "\x1b[38;2;" + pixel(2 * row, 0) + "\x1b[48;2;" + pixel(2 * row + 1, 0) + "\u2580";
    CHECK(drawn.lines()[static_cast<std::size_t>(row + 1)].starts_with(start));
  }
  const Outcome plain = with({});
  check_success(plain);
  CHECK(plain.out.find('\x1b') == std::string::npos);
  CHECK(plain.lines().at(1).size() == 32);
  CHECK_THAT(with({"--colours", "256"}).out, Catch::Contains("\x1b[38;5;"));
  setenv("TERM", "xterm", 1);
  CHECK(run_on_terminal({"show", "3", "--data", "synthetic"}).out.find("\x1b[") != std::string::npos);
  setenv("NO_COLOR", "1", 1);
  CHECK(run_on_terminal({"show", "3", "--data", "synthetic"}).out.find('\x1b') == std::string::npos);
  unsetenv("NO_COLOR");

  check_success(with({"--output", folder / "bird.png"}));
  const Outcome unwritten =
      run_program({"show", "3", "--data", "synthetic", "--json", "--output", folder / "b\xff.png"});
  check_success(unwritten);
  CHECK(nlohmann::json::parse(unwritten.out).at("saved") == folder / "b\ufffd.png");
  CHECK(nlohmann::json::parse(with({"--json"}).out) ==
        nlohmann::json({{"part", "validation"}, {"number", 3}, {"class", "bird"}}));
  CHECK(read_image(folder / "bird.png").to_vector<std::int64_t>() == v);
}

TEST_CASE("a palette's colour is the nearest there is") {
  CHECK(birds_vs_planes::palette_colour(0, 0, 0) == 16);
  CHECK(birds_vs_planes::palette_colour(255, 0, 95) == 16 + 36 * 5 + 1);
  CHECK(birds_vs_planes::palette_colour(128, 128, 128) == 244);
  const auto rgb = [](int colour) {
    std::array<int, 3> c{};
    for (int i = 2, rest = colour - 16; i >= 0; --i, rest /= 6) {
      c[static_cast<std::size_t>(i)] = colour >= 232 ? 8 + 10 * (colour - 232) : rest % 6 ? 55 + 40 * (rest % 6) : 0;
    }
    return c;
  };
  test::for_each_case(200, [&](test::Random& random) {
    const std::array<int, 3> wanted{static_cast<int>(random.integer(0, 255)), static_cast<int>(random.integer(0, 255)),
                                    static_cast<int>(random.integer(0, 255))};
    const auto distance = [&](int colour) {
      int sum = 0;
      for (std::size_t i = 0; i < 3; ++i) sum += (rgb(colour)[i] - wanted[i]) * (rgb(colour)[i] - wanted[i]);
      return sum;
    };
    int least = distance(16);
    for (int colour = 17; colour < 256; ++colour) least = std::min(least, distance(colour));
    CHECK(distance(birds_vs_planes::palette_colour(wanted[0], wanted[1], wanted[2])) == least);
  });
}

TEST_CASE("compare trains each model and writes one table") {
  const TemporaryFolder folder;
  const std::vector<std::string> base{"compare",  "--data",    "synthetic:200", "--threads", "1",
                                      "--epochs", "1",         "--batch-size",  "50",        "--models",
                                      "net",      "batchnorm", "depth"};
  const Outcome printed = run_program(base);
  check_success(printed);
  std::vector<std::string> arguments = base;
  arguments.insert(arguments.end(), {"--output", folder / "table.md"});
  check_success(run_program(arguments));
  const Outcome table{0, read_file(folder / "table.md"), ""};
  REQUIRE(table.lines().size() == 5);
  const std::string number = R"([01]\.\d{4} \| )";
  CHECK(matches(table.lines()[2], R"(\| net \| article \| 18090 \| )" + number + number + number + R"(\d+\.\d\d \|)"));
  CHECK(table.lines()[3].starts_with("| batchnorm | article, l2 0.001 | 38482 | "));
  CHECK(table.lines()[4].starts_with("| depth | article, momentum 0.9 | "));
  CHECK(printed.lines().size() == 5);
  arguments = base;
  arguments.emplace_back("--json");
  const Outcome json = run_program(arguments);
  check_success(json);
  REQUIRE(json.lines().size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto row = nlohmann::json::parse(json.lines()[i]);
    const std::string line = table.lines()[i + 2];
    CHECK(line.starts_with("| " + row.at("model").get<std::string>() + " | "));
    char loss[32];
    std::snprintf(loss, sizeof loss, " %.4f ", row.at("loss").get<double>());
    CHECK_THAT(line, Catch::Contains(loss));
  }
}

TEST_CASE("a comparison that is interrupted keeps its rows") {
  const TemporaryFolder folder;
  Child child({"compare", "--data", "synthetic:8", "--batch-size", "8", "--threads", "1", "--epochs", "300", "--json",
               "--models", "net", "resdeep", "--output", folder / "table.md"});
  CHECK(nlohmann::json::parse(child.read_line()).at("model") == "net");
  child.send(SIGINT);
  CHECK(child.wait().code == 128 + SIGINT);
  const Outcome table{0, read_file(folder / "table.md"), ""};
  REQUIRE(table.lines().size() == 3);
  CHECK(table.lines()[2].starts_with("| net | "));
}
