#include <birds_vs_planes/recipe.hpp>

#include <tern/core/check.hpp>

namespace birds_vs_planes {

namespace {

Recipe strong() {
  return {.name = "strong",
          .model = "resstrong",
          .epochs = 65,
          .batch_size = 64,
          .lr = 0.05,
          .momentum = 0.9,
          .weight_decay = 5e-4,
          .nesterov = true,
          .decay_all = false,
          .warmup = 0.1,
          .label_smoothing = 0.1,
          .average_decay = 0.998,
          .normalize = true,
          .shift = 4,
          .cutout = 10,
          .flips = true};
}

Recipe recipe_named(const std::string& name) {
  tern::check(name == "article" || name == "strong", "recipe '{}': expected one of {}", name,
              fmt::join(recipe_names(), ", "));
  return name == "strong" ? strong() : Recipe{};
}

}  // namespace

std::map<std::string, std::string> Recipe::settings() const {
  return {{"recipe", name},
          {"model", model},
          {"batch-size", std::to_string(batch_size)},
          {"lr", fmt::format("{}", lr)},
          {"momentum", fmt::format("{}", momentum)},
          {"weight-decay", fmt::format("{}", weight_decay)},
          {"l2", fmt::format("{}", l2)},
          {"cutout", std::to_string(cutout)},
          {"classes", std::to_string(classes)}};
}

std::vector<std::string> recipe_names() { return {"article", "strong"}; }

std::string model_for(const std::string& recipe) { return recipe_named(recipe).model; }

Recipe make_recipe(const Options& options, const std::string& model) {
  Recipe recipe = recipe_named(options.recipe);
  recipe.model = model;
  if (options.epochs) recipe.epochs = *options.epochs;
  if (options.batch_size) recipe.batch_size = *options.batch_size;
  if (options.lr) recipe.lr = *options.lr;
  if (options.momentum) recipe.momentum = *options.momentum;
  if (options.weight_decay) recipe.weight_decay = *options.weight_decay;
  if (options.l2) recipe.l2 = *options.l2;
  if (options.cutout) recipe.cutout = *options.cutout;
  if (options.classes) recipe.classes = *options.classes;
  tern::check(recipe.classes == 2 || recipe.model == "resstrong",
              "classes {}: model {} tells two apart, expected resstrong", recipe.classes, recipe.model);
  tern::check(!recipe.nesterov || recipe.momentum > 0, "recipe strong: momentum {}, expected more than 0",
              recipe.momentum);
  return recipe;
}

}  // namespace birds_vs_planes
