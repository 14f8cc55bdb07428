#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// What the program does, one function a subcommand. Each prints to standard output and throws tern::Error.

namespace birds_vs_planes {

/// The command line. Defaults are the article's.
struct Options {
  std::optional<std::string> model;  ///< "net" unless a loaded file says otherwise
  std::optional<std::string> load;
  std::string device = "auto";  ///< auto: cuda where it is there, else cpu
  std::optional<int> threads;   ///< all processors unless given

  std::optional<std::string> data;  ///< a folder or "synthetic"; else default_data_folder()
  std::int64_t batch_size = 64;
  int num_workers = 1;
  bool drop_last_eval = false;

  std::uint64_t seed = 0;
  int epochs = 100;
  double lr = 1e-2, momentum = 0, weight_decay = 0, l2 = 0;
  std::optional<int> eval_every;
  std::optional<std::string> save, log;

  std::vector<std::string> images;
};

/// Trains on the training images, prints the accuracies and saves the weights.
void train(const Options& options);

/// Prints the accuracies of a saved model.
void evaluate(const Options& options);

/// Prints what a saved model takes each image file for, and how sure it is. All files are read before any is judged.
void predict(const Options& options);

/// Prints the layers of a model, and what its file says of it.
void info(const Options& options);

}  // namespace birds_vs_planes
