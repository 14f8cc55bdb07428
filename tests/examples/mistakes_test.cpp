/// What users get wrong, each with the message and the exit code that they get.

#include "child.hpp"

#include <birds_vs_planes/saved_model.hpp>

#include <tern/core/device.hpp>
#include <tern/core/safetensors.hpp>
#include <tern/data/image.hpp>
#include <tern/data/synthetic.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sys/wait.h>

using namespace tern;
using namespace tern::test;

namespace {

struct Mistake {
  std::vector<std::string> arguments;
  int code;
  std::vector<std::string> message;  ///< parts of the one line on standard error
  std::vector<std::string> environment = {};
};

/// Files to make mistakes with.
struct Files {
  TemporaryFolder folder;
  std::string net = folder / "net", batchnorm = folder / "batchnorm", nameless = folder / "nameless",
              text = folder / "text.png", cut = folder / "cut.png", bird = folder / "bird.png",
              empty = folder / "empty", checkpoint = folder / "run.checkpoint", log = folder / "log.csv";

  Files() {
    birds_vs_planes::save_model(net, birds_vs_planes::fresh_model("net"), {});
    birds_vs_planes::save_model(batchnorm, birds_vs_planes::fresh_model("batchnorm"), {});
    save_safetensors(nameless, {load_safetensors(net).tensors, {}});
    std::ofstream(text) << "no picture";
    write_png(bird, synthetic_birds_and_planes(2).inputs()[1]);
    std::ofstream(cut) << read_file(bird).substr(0, 500);
    std::filesystem::create_directory(empty);
    std::ofstream(log) << "a,b\n1,2\n";
    REQUIRE(run_program({"train", "--data", "synthetic:64", "--epochs", "1", "--batch-size", "32", "--device", "cpu",
                         "--save", folder / "run"})
                .code == 0);
  }
};

std::vector<Mistake> mistakes(const Files& f) {
  const std::string nowhere = f.folder / "nowhere";
  const auto train = [](std::vector<std::string> more, const std::string& device = "cpu") {
    more.insert(more.begin(),
                {"train", "--data", "synthetic:64", "--epochs", "1", "--batch-size", "32", "--device", device});
    return more;
  };
  const auto resume = [&](std::vector<std::string> more, const std::string& device = "cpu") {
    more.insert(more.end(), {"--checkpoint", f.checkpoint, "--resume"});
    return train(more, device);
  };
  return {
      // The command line.
      {{}, 2, {"no command, expected train, evaluate, predict, ", "; birds_vs_planes --help tells more\n"}},
      {{"fly"}, 2, {"no command 'fly', expected train, evaluate, predict, info, show, compare, export"}},
      {{"trian", "--epochs", "3"}, 2, {"no command 'trian', expected ", "; did you mean train?\n"}},
      {{"eval"}, 2, {"; did you mean evaluate?\n"}},
      {{"help"}, 2, {"; did you mean --help?\n"}},
      {{"--versoin"}, 2, {"no option '--versoin'; did you mean --version?\n"}},
      {{"--json", "train"}, 2, {"no option '--json'; it stands behind a command\n"}},
      {{"train", "--wings", "2"}, 2, {"train: no option '--wings'; birds_vs_planes train --help lists the options\n"}},
      {{"train", "--epoch", "3"}, 2, {"train: no option '--epoch'; did you mean --epochs?\n"}},
      {{"train", "--epoch=3"}, 2, {"train: no option '--epoch'; did you mean --epochs?\n"}},
      {{"train", "-epochs", "3"}, 2, {"train: no option '-epochs'; did you mean --epochs?\n"}},
      {{"compare", "--model", "net"}, 2, {"compare: no option '--model'; did you mean --models?\n"}},
      {{"predict", "--load", f.net, "--data", "synthetic"},
       2,
       {"predict: no option '--data'; it is an option of train, evaluate, show, compare and report\n"}},
      {{"predict", "--load", f.net, "--jsn", f.bird}, 2, {"predict: no option '--jsn'; did you mean --json?\n"}},
      {{"show", "1", "--colors", "none"}, 2, {"show: no option '--colors'; did you mean --colours?\n"}},
      {{"train", "3"}, 2, {"train: '3' is the value of no option\n"}},
      {{"train", "--quiet", "3"}, 2, {"train: '3' is the value of no option\n"}},
      {{"show", "1", "2"}, 2, {"show: '2' is the value of no option\n"}},
      {{"train", "--epochs"}, 2, {"train: --epochs wants a value\n"}},
      {{"train", "--epochs", "--lr", "1"}, 2, {"train: --epochs wants a value\n"}},
      {{"train", "--epochs", "1", "--epochs=2"}, 2, {"train: --epochs is given twice\n"}},
      {{"train", "--epochs", "0"}, 2, {"--epochs", "0"}},
      {{"train", "--epochs", "many"}, 2, {"--epochs", "many"}},
      {{"train", "--lr", "-1"}, 2, {"--lr", "-1"}},
      {{"train", "--momentum", "1.5"}, 2, {"--momentum", "1.5"}},
      {{"train", "--seed", "-1"}, 2, {"--seed"}},
      {{"train", "--seed", "18446744073709551616"},
       2,
       {"--seed: 18446744073709551616, expected a whole number, 0 to 18446744073709551615"}},
      {{"train", "--epochs", "2147483648"}, 2, {"--epochs: 2147483648, expected a whole number, 1 to 2147483647"}},
      {{"train", "--epochs", "3x"}, 2, {"--epochs: 3x, expected a whole number"}},
      {{"train", "--epochs", "1.5"}, 2, {"--epochs: 1.5, expected a whole number"}},
      {{"train", "--batch-size", "9223372036854775808"}, 2, {"--batch-size: 9223372036854775808, expected"}},
      {{"train", "--cutout", "33"}, 2, {"--cutout: 33, expected a whole number, 0 to 32"}},
      {{"train", "--num-workers", "257"}, 2, {"--num-workers: 257, expected a whole number, 0 to 256"}},
      {{"train", "--eval-every", "nan"}, 2, {"--eval-every: nan, expected a whole number"}},
      {{"train", "--precision", "half"}, 2, {"--precision: half, expected"}},
      {{"train", "--holdout", "9223372036854775808"}, 2, {"--holdout: 9223372036854775808, expected"}},
      {{"show", "9223372036854775808"}, 2, {"N: 9223372036854775808, expected a whole number"}},
      {{"show", "0x7"}, 2, {"N: 0x7, expected a whole number"}},
      {{"train", "--lr", "nan"}, 2, {"--lr: nan, expected a finite number, above 0\n"}},
      {{"train", "--lr", "inf"}, 2, {"--lr: inf, expected a finite number, above 0\n"}},
      {{"train", "--lr", "1e999"}, 2, {"--lr: 1e999, expected a finite number, above 0\n"}},
      {{"train", "--lr", "0"}, 2, {"--lr: 0, expected a finite number, above 0\n"}},
      {{"train", "--lr", "0.1x"}, 2, {"--lr: 0.1x, expected a finite number"}},
      {{"train", "--l2", "nan"}, 2, {"--l2: nan, expected a finite number, 0 or more\n"}},
      {{"train", "--weight-decay", "inf"}, 2, {"--weight-decay: inf, expected a finite number, 0 or more\n"}},
      {{"train", "--momentum", "nan"}, 2, {"--momentum: nan, expected a finite number, 0 to 1\n"}},
      {{"train", "--threads", "0"}, 2, {"--threads"}},
      {{"train", "--holdout", "-5"}, 2, {"--holdout"}},
      {{"evaluate"}, 2, {"--load is required"}},
      {{"predict", "--load", f.net}, 2, {"FILE is required"}},
      {{"show"}, 2, {"N is required"}},
      {{"show", "first"}, 2, {"first"}},
      {{"report", "--load", f.net}, 2, {"--output is required"}},
      {{"report", "--load", f.net, "--output", "x", "--drop-last-eval"},
       2,
       {"report: no option '--drop-last-eval'; it is an option of train, evaluate and compare\n"}},
      // Names.
      {train({"--model", "resnet"}), 2, {"--model: resnet, expected net, width, ", ", resdeep or resstrong\n"}},
      {train({"--model", "resdep"}), 2, {"--model: resdep, expected net, ", "resstrong; did you mean resdeep?\n"}},
      {{"evaluate", "--load", nowhere, "--model", "Net"}, 2, {"--model: Net, expected", "; did you mean net?\n"}},
      {train({"--recipe", "secret"}), 2, {"--recipe: secret, expected article or strong\n"}},
      {train({"--recipe", "stong"}), 2, {"--recipe: stong, expected article or strong; did you mean strong?\n"}},
      {train({"--classes", "10", "--model", "net"}), 1, {"classes 10: model net tells two apart, expected resstrong"}},
      {train({"--classes", "10", "--load", f.net}), 1, {"classes 10: model net tells two apart, expected resstrong"}},
      {train({"--classes", "3"}), 2, {"--classes: 3, expected 2 or 10\n"}},
      {train({"--recipe", "strong", "--momentum", "0"}), 1, {"recipe strong: momentum 0, expected more than 0"}},
      {train({}, "tpu"), 2, {"device 'tpu': expected"}},
      {train({}, "cdua"), 2, {"device 'cdua': expected", "; did you mean cuda?\n"}},
      {train({}, "cuda:7"), 1, {"device cuda:7: "}},
      {{"compare", "--data", "synthetic:64", "--models", "net", "vgg"}, 2, {"--models: vgg, expected net, "}},
      {{"show", "1", "--data", "synthetic", "--part", "test"}, 2, {"--part: test, expected train or validation\n"}},
      {{"show", "1", "--data", "synthetic", "--colours", "cga"},
       2,
       {"--colours: cga, expected auto, true, 256 or none\n"}},
      {{"show", "500", "--data", "synthetic"}, 1, {"show 500: there are 500 validation images, expected 0 to 499"}},
      // Data.
      {{"train", "--data", nowhere}, 1, {"no folder " + nowhere, "scripts/fetch_cifar10"}},
      {{"train", "--data", f.empty}, 1, {"no file " + f.empty + "/data_batch_1.bin"}},
      {{"evaluate", "--load", f.net}, 1, {"no folder " + nowhere + ";"}, {"TERN_DATA=" + nowhere}},
      {{"train", "--data", "synthetic:7"}, 1, {"data 'synthetic:7': expected a number of images from 8 to 100000"}},
      {{"train", "--data", "synthetic:all"}, 1, {"data 'synthetic:all': expected a number"}},
      {{"train", "--data", "synthetic:64", "--batch-size", "65"},
       1,
       {"ImageBatches: batch_size 65 of 64 images, expected 1 to 64"}},
      {train({"--holdout", "64"}), 1, {"holdout 64: expected fewer than the 64 training images"}},
      // Weights.
      {{"info", "--load", nowhere}, 1, {"load " + nowhere, "no such file"}},
      {{"info", "--load", f.empty}, 1, {"load " + f.empty}},
      {{"info", "--load", f.text}, 1, {"load " + f.text, "expected a whole safetensors file"}},
      {{"info", "--load", f.nameless}, 1, {"load " + f.nameless, "its metadata name no model: name it with --model"}},
      {{"info", "--load", f.batchnorm, "--model", "net"}, 1, {"it holds the model 'batchnorm', not 'net'"}},
      {{"info", "--load", f.nameless, "--model", "res"}, 1, {"load " + f.nameless}},
      {{"evaluate", "--data", "synthetic:64", "--load", f.checkpoint}, 1, {"load " + f.checkpoint, "name no model"}},
      // Checkpoints.
      {train({"--resume"}), 2, {"--resume: neither --checkpoint nor --save says where the checkpoint is"}},
      {resume({"--model", "batchnorm"}), 1, {"resume " + f.checkpoint + ": its run had model net, not batchnorm"}},
      {resume({"--lr", "0.5"}), 1, {"its run had lr 0.01, not 0.5"}},
      {resume({"--recipe", "strong"}), 1, {"resume " + f.checkpoint + ": its run had "}},
      {resume({"--seed", "5"}), 1, {"its run had seed 0, not 5"}},
      {resume({"--cutout", "4"}), 1, {"its run had cutout 0, not 4"}},
      {train({"--checkpoint", f.net, "--resume"}), 1, {"resume " + f.net + ": it is no checkpoint"}},
      {train({"--checkpoint", f.text, "--resume"}), 1, {f.text, "expected a whole safetensors file"}},
      {resume({}, "reference"), 1, {"its run had device cpu, not reference"}},
      {train({"--load", f.net, "--checkpoint", f.folder / "./net"}), 2, {"--load: " + f.net + " is the file of --che"}},
      {train({"--save", nowhere, "--checkpoint", f.folder / "x/../nowhere"}), 2, {"--save: " + nowhere + " is the fi"}},
      {train({"--load", f.net, "--log", f.net}), 2, {"--load: " + f.net + " is the file of --log"}},
      // Places to write to.
      {train({"--save", nowhere + "/net"}), 1, {"save " + nowhere + "/net", "No such file or directory"}},
      {train({"--save", f.empty}), 1, {"save " + f.empty + ": it is there and no regular file"}},
      {train({"--save", ""}), 1, {"save '': expected the name of a file"}},
      {train({"--checkpoint", "/proc/run"}), 1, {"save /proc/run: cannot create a file there"}},
      {train({"--log", nowhere + "/log"}),
       1,
       {"log " + nowhere + "/log: cannot create a file there: No such file or directory"}},
      {train({"--log", "/dev/full"}), 1, {"log /dev/full: cannot be written: No space left on device"}},
      {train({"--tensorboard", f.text + "/events"}), 1, {"tensorboard " + f.text + "/events: cannot be made"}},
      {{"show", "1", "--data", "synthetic", "--output", nowhere + "/x.png"}, 1, {"save " + nowhere + "/x.png"}},
      {{"report", "--load", f.net, "--data", "synthetic:64", "--output", nowhere + "/x"},
       1,
       {"save " + nowhere + "/x"}},
      // Reading what is not there or not what it should be.
      {{"report", "--load", f.net, "--data", "synthetic:64", "--output", f.folder / "r", "--log", nowhere},
       1,
       {"log " + nowhere + ": cannot be read: No such file or directory"}},
      {{"report", "--load", f.net, "--data", "synthetic:64", "--output", f.folder / "r", "--log", f.log},
       1,
       {"log " + f.log + ": its first line is not 'epoch,loss,seconds,lr,holdout_accuracy,val_accuracy'"}},
      {{"predict", "--load", f.net, f.text}, 1, {f.text, "expected a JPEG, PNG or BMP picture"}},
      {{"predict", "--load", f.net, f.cut, f.bird}, 1, {f.cut}},
      {{"predict", "--load", f.net, nowhere}, 1, {nowhere, "No such file or directory"}},
      {{"predict", "--load", f.net, f.empty}, 1, {"folder " + f.empty + " has no JPEG, PNG or BMP picture in it"}},
      // A learning rate too high.
      {train({"--lr", "1e39"}), 3, {"the loss is nan at step 2 of epoch 1", "conv1", "; nothing was kept"}},
  };
}

/// One line on standard error with all the parts, nothing else.
void check_message(const Outcome& outcome, int code, const std::vector<std::string>& parts) {
  INFO(outcome.err);
  CHECK(outcome.code == code);
  CHECK(outcome.err.starts_with("birds_vs_planes: "));
  CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
  for (const std::string& part : parts) CHECK_THAT(outcome.err, Catch::Contains(part));
}

}  // namespace

TEST_CASE("every mistake has its message and its exit code") {
  const Files files;
  const auto before = files.folder.contents();
  for (const Mistake& mistake : mistakes(files)) {
    std::string line = "birds_vs_planes";
    for (const std::string& argument : mistake.arguments) line += " '" + argument + "'";
    INFO(line);
    check_message(run_program(mistake.arguments, mistake.environment), mistake.code, mistake.message);
    CHECK(files.folder.contents() == before);
  }
}

TEST_CASE("a CUDA device that is not there is said to be so, before anything else is done") {
  try {
    backend(Device::cuda);
  } catch (const Error& e) {
    const Outcome outcome = run_program({"train", "--data", "/nowhere", "--device", "cuda"});
    check_message(outcome, 1, {e.what()});
    CHECK(outcome.out == "");
  }
}

TEST_CASE("a full disk is an error, and what was there before stays") {
  // Files may not grow beyond a limit here, which fails a write halfway as a full disk does.
  const TemporaryFolder folder;
  const std::string saved = folder / "net", program = tern::test::program();
  const std::string train =
      program + " train --data synthetic:64 --epochs 1 --batch-size 32 --threads 1 --save " + saved;
  REQUIRE(std::system((train + " >" + (folder / "out")).c_str()) == 0);
  const std::string weights = read_file(saved), checkpoint = read_file(saved + ".checkpoint");
  const std::string limited =
      "trap '' XFSZ; ulimit -f 40; " + train + " --seed 1 >" + (folder / "out") + " 2>" + (folder / "err");
  const int status = std::system(("/bin/bash -c \"" + limited + "\"").c_str());
  check_message({WEXITSTATUS(status), "", read_file(folder / "err")}, 1, {saved + ".checkpoint", "File too large"});
  CHECK(read_file(saved) == weights);
  CHECK(read_file(saved + ".checkpoint") == checkpoint);

  const int unsaid = std::system((program + " fly 2>/dev/full").c_str());
  CHECK(WEXITSTATUS(unsaid) == 2);

  const int full = std::system((program + " info >/dev/full 2>" + (folder / "err")).c_str());
  check_message({WEXITSTATUS(full), "", read_file(folder / "err")}, 1,
                {"standard output cannot be written: No space left on device"});
}
