#include <birds_vs_planes/commands.hpp>
#include <birds_vs_planes/console.hpp>
#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/recipe.hpp>
#include <birds_vs_planes/saved_model.hpp>

#include <tern/core/file.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace birds_vs_planes {

namespace {

/// How each model is trained: the article's as there, the book's alike with momentum, the last by its recipe; all on
/// the same images.
Options for_model(Options options, const std::string& model) {
  options.model = model;
  if (model == "batchnorm") options.l2 = 0.001;
  if (model == "depth" || model == "res" || model == "resdeep") options.momentum = 0.9;
  if (model == "resstrong") options.recipe = "strong";
  return options;
}

}  // namespace

void compare(const Options& asked) {
  const Console console(asked);
  Options options = asked;
  if (!options.epochs) options.epochs = 20;
  std::vector<std::string> models = options.models.empty() ? model_names() : options.models;
  if (options.output) check_writable(*options.output);
  options.quiet = console.quiet();
  options.json = false;
  options.silent = true;

  std::string table;
  const auto add = [&](const std::string& rows) {
    table += rows + '\n';
    if (options.output) {
      tern::write_file(*options.output, table);
    } else {
      console.drawing(rows);
    }
  };
  add(
      fmt::format("| model | recipe | parameters | loss after {} epochs | training accuracy | validation "
                  "accuracy | seconds an epoch |\n| --- | --- | --- | --- | --- | --- | --- |",
                  *options.epochs));
  for (const std::string& model : models) {
    const Options one = for_model(options, model);
    if (options.output) console.say("training {}", model);
    const TrainingResult r = train(one);
    const Recipe recipe = make_recipe(one, model);
    std::string how = recipe.name;
    if (recipe.name == "article" && recipe.momentum > 0) how += fmt::format(", momentum {}", recipe.momentum);
    if (recipe.l2 > 0) how += fmt::format(", l2 {}", recipe.l2);
    add(fmt::format("| {} | {} | {} | {:.4f} | {:.4f} | {:.4f} | {:.2f} |", r.model, how, r.parameters, r.loss,
                    r.train.value(), r.validation.value(), r.seconds / *options.epochs));
    console.object(nlohmann::ordered_json{{"model", r.model},
                                          {"recipe", recipe.name},
                                          {"parameters", r.parameters},
                                          {"loss", r.loss},
                                          {"train_accuracy", r.train.value()},
                                          {"val_accuracy", r.validation.value()},
                                          {"seconds", r.seconds}});
  }
  if (options.output) console.say("saved: {}", *options.output);
}

}  // namespace birds_vs_planes
