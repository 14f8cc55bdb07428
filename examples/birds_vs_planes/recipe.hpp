#pragma once

#include <birds_vs_planes/options.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace birds_vs_planes {

/// How to train. The defaults are the article's.
struct Recipe {
  std::string name = "article", model = "net";
  int epochs = 100;
  std::int64_t batch_size = 64;
  double lr = 1e-2, momentum = 0, weight_decay = 0, l2 = 0;

  bool nesterov = false;
  bool decay_all = true;       ///< else weight decay spares biases and batch normalisation
  double warmup = 0;           ///< the share of all steps over which the learning rate rises; then it falls as a cosine
  double label_smoothing = 0;  ///< the share of the target that is spread over all classes
  double average_decay = 0;    ///< of the weights' moving average, which is what is saved; 0: none
  bool normalize = false;      ///< by the training images' mean and standard deviation
  int shift = -1;              ///< flip images, and move them by up to so many pixels; -1: neither
  std::int64_t cutout = 0;     ///< grey a square of so many pixels a side, anywhere in the image
  int classes = 2;             ///< 10: trains on the images of CIFAR-10's other classes too
  bool flips = false;          ///< judge an image and its mirror image, and take the mean

  /// All of it, in words, by the options' names where there is one: what a resumed run must share.
  std::map<std::string, std::string> settings() const;
};

/// "article", "strong".
std::vector<std::string> recipe_names();

/// The model that the recipe of that name is for. Throws tern::Error for an unknown name.
std::string model_for(const std::string& recipe);

/// The recipe that the options name, with what else they say, for that model. Throws tern::Error for an unknown name,
/// and for ten classes with a model that tells two apart.
Recipe make_recipe(const Options& options, const std::string& model);

}  // namespace birds_vs_planes
