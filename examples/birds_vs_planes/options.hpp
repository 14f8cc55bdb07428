#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace birds_vs_planes {

/// The command line. What is not given is the recipe's (recipe.hpp), or as said here.
struct Options {
  bool quiet = false;   ///< print results only
  bool json = false;    ///< print JSON, one object a line
  bool silent = false;  ///< print nothing at all: compare, while it trains

  std::optional<std::string> model;  ///< the recipe's unless a loaded file says otherwise
  std::optional<std::string> load;
  std::string device = "auto";  ///< auto: cuda where it is there, else cpu
  std::optional<int> threads;   ///< all processors unless given

  std::optional<std::string> data;         ///< as load_data() takes it
  std::optional<std::int64_t> batch_size;  ///< for measuring: 64 unless given
  int num_workers = 1;
  bool drop_last_eval = false;

  std::string recipe = "article";
  std::uint64_t seed = 0;
  std::optional<int> epochs;
  std::optional<double> lr, momentum, weight_decay, l2;
  std::optional<int> classes;          ///< to train on: 2, or 10 for those of CIFAR-10
  std::optional<std::int64_t> cutout;  ///< the side of a square to grey in each training image
  std::int64_t holdout = 0;            ///< training images to measure on instead
  std::string precision = "float32";   ///< what it computes in: float32, tf32, bfloat16 or float16
  std::optional<int> eval_every;
  std::optional<int> shards;  ///< of a batch, each computed by itself: as many as there are ranks unless given
  double timeout = 600;       ///< seconds that a rank waits for another one
  std::optional<std::string> save, checkpoint, log, tensorboard;
  bool resume = false;
  /// Where the state of the run goes: beside the weights unless given.
  std::optional<std::string> checkpoint_place() const {
    return checkpoint || !save ? checkpoint : *save + ".checkpoint";
  }

  std::vector<std::string> images;  ///< predict: files and folders

  std::int64_t number = 0;          ///< show: the image's, from 0
  std::string part = "validation";  ///< show: train or validation
  std::string colours = "auto";     ///< show: auto, true, 256 or none
  std::optional<std::string> output;

  std::vector<std::string> models;  ///< compare
  std::vector<std::string> logs;    ///< report: CSV files
};

}  // namespace birds_vs_planes
