#include <birds_vs_planes/commands.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <limits>
#include <string>

namespace {

using birds_vs_planes::Options;

const CLI::Range any_positive_integer(1, std::numeric_limits<int>::max());

void add_model_options(CLI::App& command, Options& options, bool load_required) {
  command.add_option("--model", options.model, "net (default), width, dropout or batchnorm");
  command.add_option("--load", options.load, "Weights to start from, a safetensors file")->required(load_required);
}

void add_device_options(CLI::App& command, Options& options) {
  command.add_option("--device", options.device, "auto, cpu, cuda or reference")->capture_default_str();
  command.add_option("--threads", options.threads, "Threads of the cpu device; the result does not depend on them")
      ->check(CLI::Range(1, 1024));
}

void add_data_options(CLI::App& command, Options& options) {
  command.add_option("--data", options.data, "The folder of CIFAR-10's .bin files, or synthetic for drawn images");
  command.add_option("--batch-size", options.batch_size)->check(any_positive_integer)->capture_default_str();
  command.add_option("--num-workers", options.num_workers, "Threads that gather batches ahead")
      ->check(CLI::Range(0, 256))
      ->capture_default_str();
  command.add_flag("--drop-last-eval", options.drop_last_eval, "Leave the last incomplete batch out of the accuracies");
}

void add_training_options(CLI::App& command, Options& options) {
  command.add_option("--seed", options.seed, "Of the first weights, the order of the images and dropout")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_option("--epochs", options.epochs)->check(any_positive_integer)->capture_default_str();
  command.add_option("--lr", options.lr, "Learning rate")->check(CLI::PositiveNumber)->capture_default_str();
  command.add_option("--momentum", options.momentum)->check(CLI::NonNegativeNumber)->capture_default_str();
  command.add_option("--weight-decay", options.weight_decay, "Of the optimiser")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_option("--l2", options.l2, "Adds this times the sum of all squared parameters to the loss")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_option("--eval-every", options.eval_every, "Measure the validation accuracy every so many epochs")
      ->check(any_positive_integer);
  command.add_option("--save", options.save, "Where to put the weights, a safetensors file");
  command.add_option("--log", options.log, "Where to put each epoch's figures, a CSV file");
}

int fail(const std::exception& e, int code) {
  std::string message = e.what();
  std::replace(message.begin(), message.end(), '\n', ' ');
  fmt::print(stderr, "birds_vs_planes: {}\n", message);
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Tells birds from planes, as chapter 8 of \"Deep Learning with PyTorch\" does", "birds_vs_planes"};
  app.require_subcommand(1);

  CLI::App* train = app.add_subcommand("train", "Train a model");
  add_model_options(*train, options, false);
  add_device_options(*train, options);
  add_data_options(*train, options);
  add_training_options(*train, options);
  train->callback([&] { birds_vs_planes::train(options); });

  CLI::App* evaluate = app.add_subcommand("evaluate", "Measure a saved model's accuracy");
  add_model_options(*evaluate, options, true);
  add_device_options(*evaluate, options);
  add_data_options(*evaluate, options);
  evaluate->callback([&] { birds_vs_planes::evaluate(options); });

  CLI::App* predict = app.add_subcommand("predict", "Tell what is in picture files");
  add_model_options(*predict, options, true);
  add_device_options(*predict, options);
  predict->add_option("FILE", options.images, "JPEG, PNG or BMP")->required();
  predict->callback([&] { birds_vs_planes::predict(options); });

  CLI::App* info = app.add_subcommand("info", "Show a model's layers");
  add_model_options(*info, options, false);
  info->callback([&] { birds_vs_planes::info(options); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return e.get_exit_code() == 0 ? app.exit(e) : fail(e, 2);
  } catch (const std::exception& e) {
    return fail(e, 1);
  }
}
