/// Any words are options within their limits, a request for help, or an error of the command line, for which the
/// program ends with 2. An input's words are its lines.

#include "fuzz.hpp"

#include <birds_vs_planes/command_line.hpp>
#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/recipe.hpp>

#include <tern/core/device.hpp>
#include <tern/kernels/error.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <vector>

using namespace birds_vs_planes;
using tern::test::require;

namespace {

void require_in(std::optional<double> x, double least, double most, const char* option) {
  require(!x || (std::isfinite(*x) && least <= *x && *x <= most), std::string("a number in its limits: ") + option);
}

void require_one_of(const std::string& word, const std::vector<std::string>& all, const char* option) {
  require(std::ranges::find(all, word) != all.end(), std::string("one of the words that there are: ") + option);
}

/// What a command may take for granted.
void check(const CLI::App& app, const Options& o) {
  constexpr double most = std::numeric_limits<double>::max(), most_int = std::numeric_limits<int>::max();
  require(app.get_subcommands().size() == 1, "one command");
  require_in(o.threads, 1, 1024, "--threads");
  require_in(o.batch_size, 1, most_int, "--batch-size");
  require_in(o.num_workers, 0, 256, "--num-workers");
  require_in(o.epochs, 1, most_int, "--epochs");
  require_in(o.lr, std::numeric_limits<double>::denorm_min(), most, "--lr");
  require_in(o.momentum, 0, 1, "--momentum");
  require_in(o.weight_decay, 0, most, "--weight-decay");
  require_in(o.l2, 0, most, "--l2");
  require_in(o.cutout, 0, 32, "--cutout");
  require_in(o.holdout, 0, most, "--holdout");
  require_in(o.eval_every, 1, most_int, "--eval-every");
  require_in(o.number, 0, most, "N");
  require(!o.classes || *o.classes == 2 || *o.classes == 10, "--classes is 2 or 10");
  if (o.model) require_one_of(*o.model, model_names(), "--model");
  for (const std::string& model : o.models) require_one_of(model, model_names(), "--models");
  require_one_of(o.recipe, recipe_names(), "--recipe");
  require_one_of(o.part, {"train", "validation"}, "--part");
  require_one_of(o.colours, {"auto", "true", "256", "none"}, "--colours");
  if (o.device != "auto") tern::Device::parse(o.device);
  require(!o.resume || o.checkpoint_place(), "--resume has a place");
  require(!app.got_subcommand("predict") || !o.images.empty(), "predict has a picture");
  require(!app.got_subcommand("report") || (o.load && o.output), "report has a model and a place");
  try {
    (void)make_recipe(o, o.model.value_or(model_for(o.recipe)));
  } catch (const tern::Error&) {  // options that do not go together
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::string> words{"birds_vs_planes"};
  std::istringstream lines{std::string(tern::test::as_text(data, size))};
  for (std::string line; std::getline(lines, line);) words.push_back(line.substr(0, line.find('\0')));
  std::vector<const char*> argv;
  for (const std::string& word : words) argv.push_back(word.c_str());

  Options options;
  CLI::App app{"Tells birds from planes", "birds_vs_planes"};
  declare_command_line(app, options);
  try {
    app.parse(static_cast<int>(argv.size()), argv.data());
    check(app, options);
  } catch (const CLI::ParseError& e) {
    std::ostringstream out, err;
    const int status = app.exit(e, out, err);  // the program gives 2 for any but 0
    require(status != 0 || !out.str().empty(), "help is printed");
  }
  return 0;
}
