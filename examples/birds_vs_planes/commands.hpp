#pragma once

#include <birds_vs_planes/options.hpp>

#include <birds_vs_planes/evaluate.hpp>

#include <cstdint>
#include <optional>
#include <string>

/// What the program does, one function a subcommand. Each prints to standard output and throws tern::Error.

namespace birds_vs_planes {

struct TrainingResult {
  std::string model;
  std::int64_t parameters;
  double loss, seconds;  ///< of the last epoch; of all epochs
  Accuracy train, validation;
  std::optional<Accuracy> holdout;
};

/// Trains on the training images, prints the accuracies and saves the weights. Throws Interrupted where a signal stops
/// it, after a checkpoint.
TrainingResult train(const Options& options);

/// Prints the accuracies of a saved model.
void evaluate(const Options& options);

/// Prints what a saved model takes each picture for, and how sure it is. A folder stands for the pictures in it. A file
/// that cannot be read is said on standard error, and the others are answered. Returns how many failed.
int predict(const Options& options);

/// Prints the layers of a model, and what its file says of it.
void info(const Options& options);

/// Draws an image of the data set on the terminal, or writes it as PNG.
void show(const Options& options);

/// Trains models one after the other for the same number of epochs and writes one table, in Markdown, row by row.
void compare(const Options& options);

/// Writes a saved model as an ONNX file: images [batch, 3, 32, 32] of 0 to 1 become the logits, and the probabilities
/// that predict() goes by. Its metadata has the names of the classes.
void export_model(const Options& options);

/// Writes a page in HTML on a saved model and the runs whose logs are given.
void report(const Options& options);

}  // namespace birds_vs_planes
