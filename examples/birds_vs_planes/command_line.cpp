#include <birds_vs_planes/command_line.hpp>

#include <birds_vs_planes/help.hpp>
#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/nearest.hpp>
#include <birds_vs_planes/recipe.hpp>
#include <birds_vs_planes/terminal.hpp>

#include <tern/core/check.hpp>
#include <tern/core/device.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace birds_vs_planes {

namespace {

/// Takes a word that is such a number as a whole: none that overflows, is NaN, or has text behind it. CLI11's own
/// checks let these through.
template <class T>
CLI::Validator number(T low, T high, const std::string& range) {
  const auto check = [=](std::string& word) {
    T value{};
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size() || !(low <= value && value <= high)) {
      return fmt::format("{}, expected a {} number, {}", word, std::is_integral_v<T> ? "whole" : "finite", range);
    }
    if (std::is_integral_v<T>) word = fmt::format("{}", value);  // CLI11 takes 010 for 8
    return std::string();
  };
  return CLI::Validator(check, "");
}

template <class T>
CLI::Validator whole_number(T low, T high = std::numeric_limits<T>::max()) {
  return number<T>(low, high, fmt::format("{} to {}", low, high));
}

CLI::Validator number_above_0() {
  using limits = std::numeric_limits<double>;
  return number<double>(limits::denorm_min(), limits::max(), "above 0");
}

CLI::Validator number_from_0() { return number<double>(0, std::numeric_limits<double>::max(), "0 or more"); }

CLI::Validator one_of(const std::vector<std::string>& names) {
  const auto check = [=](const std::string& word) {
    if (std::find(names.begin(), names.end(), word) != names.end()) return std::string();
    return fmt::format("{}, expected {}{}", word.empty() ? "''" : word, alternatives(names), did_you_mean(word, names));
  };
  return CLI::Validator(check, "");
}

/// What is wrong with the name of a device; nothing if it is one, here or on another machine.
std::string check_device(const std::string& name) {
  try {
    if (name != "auto") tern::Device::parse(name);
    return "";
  } catch (const tern::Error& e) {
    return e.what() + did_you_mean(name, {"auto", "cpu", "cuda", "reference"});
  }
}

bool same_file(const std::string& a, const std::string& b) {
  namespace fs = std::filesystem;
  std::error_code absent;
  return fs::equivalent(a, b, absent) ||
         fs::absolute(a, absent).lexically_normal() == fs::absolute(b, absent).lexically_normal();
}

/// Throws where a run would write over what it reads, or two things to one file.
void check_files(const Options& options) {
  using File = std::pair<const char*, std::optional<std::string>>;
  const File load{"--load", options.load}, save{"--save", options.save}, log{"--log", options.log},
      checkpoint{"--checkpoint", options.checkpoint_place()};
  for (const auto& [one, other] :
       {std::pair(load, checkpoint), {save, checkpoint}, {load, log}, {save, log}, {checkpoint, log}}) {
    if (one.second && other.second && same_file(*one.second, *other.second)) {
      throw CLI::ValidationError(one.first, fmt::format("{} is the file of {} too", *one.second, other.first));
    }
  }
}

void check_train(const Options& options) {
  if (options.resume && !options.checkpoint_place()) {
    throw CLI::ValidationError("--resume", "neither --checkpoint nor --save says where the checkpoint is");
  }
  check_files(options);
}

CLI::App& add(CLI::App& app, Options& options, const char* name, const char* what, const char* examples) {
  CLI::App& command = *app.add_subcommand(name, what);
  command.footer(std::string("Examples:\n") + examples);
  command.add_flag("-q,--quiet", options.quiet, "Print results alone");
  command.add_flag("--json", options.json, "Print JSON, one object a line");
  return command;
}

/// The heading, in the help, of the options that are added from here on.
void begin_group(CLI::App& command, const char* heading) { command.option_defaults()->group(heading); }

/// `load`: what the weights are for; they are required unless a new model does as well.
void add_model_options(CLI::App& command, Options& options, const char* load, bool load_required) {
  begin_group(command, "Model");
  command
      .add_option("--model", options.model,
                  alternatives(model_names()) + "; net unless the file or the recipe says otherwise")
      ->type_name("NAME")
      ->check(one_of(model_names()));
  command.add_option("--load", options.load, load)->required(load_required);
}

void add_device_options(CLI::App& command, Options& options) {
  begin_group(command, "Device");
  command.add_option("--device", options.device, "auto, cpu, cuda, cuda:N or reference")
      ->type_name("NAME")
      ->check(check_device)
      ->capture_default_str();
  command
      .add_option("--threads", options.threads,
                  "Threads of the cpu device, one for each processor unless given; the result does not depend on them")
      ->transform(whole_number<int>(1, 1024));
}

void add_data_option(CLI::App& command, Options& options) {
  begin_group(command, "Data");
  command
      .add_option("--data", options.data,
                  "The folder of CIFAR-10's .bin files, or one file of their airplanes and birds; or synthetic, or "
                  "synthetic:N, for N drawn images")
      ->type_name("PLACE");
}

void add_data_options(CLI::App& command, Options& options) {
  add_data_option(command, options);
  command.add_option("--batch-size", options.batch_size, "Images at a time; 64 unless given")
      ->transform(whole_number<int>(1));
  command.add_option("--num-workers", options.num_workers, "Threads that gather batches ahead")
      ->transform(whole_number<int>(0, 256))
      ->capture_default_str();
  command.add_flag("--drop-last-eval", options.drop_last_eval, "Leave the last incomplete batch out of the accuracies");
}

void add_seed_and_epochs(CLI::App& command, Options& options, const char* epochs) {
  begin_group(command, "Training");
  command.add_option("--epochs", options.epochs, epochs)->transform(whole_number<int>(1));
  command.add_option("--seed", options.seed, "Of the first weights, the order and changes of the images, and dropout")
      ->transform(whole_number<std::uint64_t>(0))
      ->capture_default_str();
}

void add_recipe_options(CLI::App& command, Options& options) {
  begin_group(command, "Training");
  command
      .add_option(
          "--recipe", options.recipe,
          "article, or strong: normalised input, flips, shifts and cutout, momentum with Nesterov, weight decay but "
          "for biases and norms, warm-up and cosine, label smoothing, averaged weights, and flips in judging")
      ->type_name("NAME")
      ->check(one_of(recipe_names()))
      ->capture_default_str();
  add_seed_and_epochs(command, options,
                      "How often to go over the training images; 100, or with --recipe strong 65, unless given");
  command.add_option("--lr", options.lr, "Learning rate, above 0; the recipe's unless given, like the next three")
      ->transform(number_above_0());
  command.add_option("--momentum", options.momentum, "Of the optimiser, 0 to 1")
      ->transform(number<double>(0, 1, "0 to 1"));
  command.add_option("--weight-decay", options.weight_decay, "Of the optimiser, 0 or more")->transform(number_from_0());
  command.add_option("--l2", options.l2, "Adds this times the sum of all squared parameters to the loss")
      ->transform(number_from_0());
  command
      .add_option("--classes", options.classes,
                  "10 to train on the images of CIFAR-10's other classes too, with resstrong; 2, on airplanes and "
                  "birds alone, unless given")
      ->check(one_of({"2", "10"}));
  command
      .add_option("--cutout", options.cutout,
                  "Grey a square of so many pixels a side, 0 to 32, in each training image; 10 with --recipe strong, "
                  "else 0")
      ->transform(whole_number<std::int64_t>(0, 32));
  command
      .add_option("--holdout", options.holdout,
                  "Leave so many training images out, measure on them each epoch, and keep the best weights")
      ->transform(whole_number<std::int64_t>(0));
  command
      .add_option(
          "--precision", options.precision,
          "What convolutions and products are computed in: float32; tf32, floats of 11 significant bits where a "
          "GPU has them; bfloat16, of 8 bits, or float16, of 11 and up to 65504, which are also what lies between the "
          "layers. Weights stay float32. The loss of float16 is scaled, so that gradients stay in its range")
      ->check(one_of({"float32", "tf32", "bfloat16", "float16"}))
      ->capture_default_str();
  command.add_option("--eval-every", options.eval_every, "Measure the validation accuracy every so many epochs")
      ->transform(whole_number<int>(1));
}

void add_rank_options(CLI::App& command, Options& options) {
  begin_group(command, "Several processes");
  command
      .add_option(
          "--shards", options.shards,
          "Cut each batch into so many parts, each computed by itself: with the same number the result does not "
          "depend on how many processes train together, which divide it; one for each unless given")
      ->transform(whole_number<int>(1, 65536));
  command
      .add_option("--timeout", options.timeout,
                  "Seconds that one process waits for another before all are ended with an error that names it")
      ->transform(number_above_0())
      ->capture_default_str();
}

void add_train(CLI::App& app, Options& options) {
  CLI::App& train =
      add(app, options, "train", "Train a model",
          "  birds_vs_planes train --epochs 3 --save net.safetensors\n"
          "  birds_vs_planes train --recipe strong --save strong.safetensors --log strong.csv\n"
          "  birds_vs_planes train --recipe strong --save strong.safetensors --resume\n"
          "  birds_vs_planes train --recipe strong --classes 10 --cutout 0 --epochs 48 --save best.safetensors\n"
          "  mpirun -n 2 birds_vs_planes train --shards 4 --save net.safetensors");
  add_model_options(train, options, "Weights to start from, a safetensors file or torch.save's", false);
  add_device_options(train, options);
  add_data_options(train, options);
  add_recipe_options(train, options);
  add_rank_options(train, options);
  begin_group(train, "Files");
  train.add_option("--save", options.save, "The weights, as safetensors");
  train.add_option("--checkpoint", options.checkpoint,
                   "The state of the run, after each epoch; beside --save unless given");
  train.add_flag("--resume", options.resume, "Go on from the checkpoint, if there is one");
  train.add_option("--log", options.log, "Each epoch's figures, as CSV");
  train.add_option("--tensorboard", options.tensorboard, "The same as an event file for TensorBoard, in that folder")
      ->type_name("FOLDER");
  train.callback([&options] { check_train(options); });
}

}  // namespace

void declare_command_line(CLI::App& app, Options& options) {
  const auto help = std::make_shared<HelpFormatter>(std::min<std::size_t>(terminal_columns(stdout).value_or(80), 100));
  for (const auto& [type, name] : {std::pair("INT", "N"), {"UINT", "N"}, {"FLOAT", "X"}, {"TEXT", "FILE"}}) {
    help->label(type, name);
  }
  app.formatter(help);
  app.require_subcommand(1);
  app.set_version_flag("--version", "birds_vs_planes of tern " TERN_VERSION, "Print the version and exit");
  app.footer(
      "Examples:\n"
      "  birds_vs_planes train --epochs 3 --save net.safetensors\n"
      "  birds_vs_planes predict --load net.safetensors photo.jpg\n"
      "\n"
      "birds_vs_planes COMMAND --help tells more.\n"
      "\n"
      "Exit codes: 0 done; 1 it failed, or predict could not read a file; 2 the command line is wrong; 3 the loss was "
      "no number any more; 129, 130 or 143 stopped by SIGHUP, SIGINT or SIGTERM, the checkpoint kept.\n"
      "\n"
      "Environment: TERN_DATA, the folder of CIFAR-10; NO_COLOR, if not empty, for no colours.");
  add_train(app, options);

  constexpr const char* saved = "The saved model, a safetensors file or torch.save's";
  CLI::App& evaluate = add(app, options, "evaluate", "Measure a saved model's accuracy",
                           "  birds_vs_planes evaluate --load net.safetensors\n"
                           "  birds_vs_planes evaluate --load net.safetensors --json");
  add_model_options(evaluate, options, saved, true);
  add_device_options(evaluate, options);
  add_data_options(evaluate, options);

  CLI::App& predict = add(app, options, "predict", "Tell what is in picture files",
                          "  birds_vs_planes predict --load net.safetensors photo.jpg holiday/\n"
                          "  birds_vs_planes predict --load net.safetensors --json *.png");
  add_model_options(predict, options, saved, true);
  add_device_options(predict, options);
  begin_group(predict, "Pictures");
  predict.add_option("FILE", options.images, "JPEG, PNG or BMP pictures, or folders of them")->required();

  CLI::App& info = add(app, options, "info", "Show a model's layers",
                       "  birds_vs_planes info --model resdeep\n"
                       "  birds_vs_planes info --load net.safetensors");
  add_model_options(info, options, saved, false);

  CLI::App& show = add(app, options, "show", "Draw an image of the data on the terminal, or write it as PNG",
                       "  birds_vs_planes show 7\n"
                       "  birds_vs_planes show 7 --part train --output bird.png");
  begin_group(show, "Image");
  show.add_option("N", options.number, "The image's number, from 0")
      ->required()
      ->transform(whole_number<std::int64_t>(0));
  show.add_option("--part", options.part, "The images it is one of, train or validation")
      ->type_name("NAME")
      ->check(one_of({"train", "validation"}))
      ->capture_default_str();
  add_data_option(show, options);
  begin_group(show, "Output");
  show.add_option("--colours", options.colours, "What the terminal can show: auto, true (24 bits), 256 or none")
      ->type_name("NAME")
      ->check(one_of({"auto", "true", "256", "none"}))
      ->capture_default_str();
  show.add_option("--output", options.output, "A PNG file to write instead");

  CLI::App& compare = add(app, options, "compare", "Train models for the same number of epochs and write one table",
                          "  birds_vs_planes compare --epochs 20 --output comparison.md\n"
                          "  birds_vs_planes compare --epochs 5 --models net res resstrong");
  add_device_options(compare, options);
  add_data_options(compare, options);
  add_seed_and_epochs(compare, options, "How often to go over the training images; 20 unless given");
  compare
      .add_option("--models", options.models, "Those to train: " + alternatives(model_names(), "and") + " unless given")
      ->type_name("NAME")
      ->check(one_of(model_names()));
  begin_group(compare, "Files");
  compare.add_option("--output", options.output, "The table, in Markdown; it is printed unless given");

  CLI::App& to_onnx = add(app, options, "export", "Write a saved model as an ONNX file",
                          "  birds_vs_planes export --load net.safetensors --output net.onnx");
  add_model_options(to_onnx, options, saved, true);
  begin_group(to_onnx, "Files");
  to_onnx.add_option("--output", options.output, "The ONNX file to write")->required();
  to_onnx.callback([&options] {
    if (same_file(*options.load, *options.output)) {
      throw CLI::ValidationError("--output", fmt::format("{} is the file of --load too", *options.output));
    }
  });

  CLI::App& report = add(app, options, "report", "Write a page on a saved model and its training",
                         "  birds_vs_planes report --load net.safetensors --log net.csv --output report.html");
  add_model_options(report, options, saved, true);
  add_device_options(report, options);
  add_data_option(report, options);
  report.add_option("--log", options.logs, "CSV files that train --log wrote, one for each curve");
  begin_group(report, "Files");
  report.add_option("--output", options.output, "The page, as HTML")->required();
}

}  // namespace birds_vs_planes
