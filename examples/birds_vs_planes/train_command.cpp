#include <birds_vs_planes/commands.hpp>
#include <birds_vs_planes/console.hpp>
#include <birds_vs_planes/event_file.hpp>
#include <birds_vs_planes/interrupt.hpp>
#include <birds_vs_planes/progress_bar.hpp>
#include <birds_vs_planes/ranks.hpp>
#include <birds_vs_planes/run.hpp>

#include <tern/core/check.hpp>
#include <tern/core/precision.hpp>
#include <tern/data/md5.hpp>
#include <tern/distributed/distributed.hpp>

#include <fmt/chrono.h>
#include <nlohmann/json.hpp>

#include <ctime>
#include <filesystem>
#include <system_error>

namespace birds_vs_planes {

namespace {

using json = nlohmann::ordered_json;

std::string now() { return fmt::format("{:%Y-%m-%d %H:%M:%S}", fmt::localtime(std::time(nullptr))); }

/// Each epoch of a short run is said, else every tenth, hundredth ..., so that it is thirty lines at most, the first,
/// and the last.
bool is_said(int epoch, int epochs) {
  int every = 1;
  while (epochs / every > 30) every *= 10;
  return epoch == 1 || epoch % every == 0 || epoch == epochs;
}

json as_json(const EpochRecord& e) {
  json object{{"epoch", e.epoch}, {"loss", e.loss}, {"seconds", e.seconds}, {"lr", e.lr}};
  if (e.holdout_accuracy) object["holdout_accuracy"] = *e.holdout_accuracy;
  if (e.val_accuracy) object["val_accuracy"] = *e.val_accuracy;
  return object;
}

json as_json(const Accuracy& a) { return {{"accuracy", a.value()}, {"correct", a.correct}, {"total", a.total}}; }

/// Where a run writes what it does: console, progress bar, log, TensorBoard, checkpoints.
class Journal {
 public:
  Journal(Run& run, const Options& options)
      : run_(run),
        console_(options),
        checkpoint_(options.checkpoint_place()),
        bar_(run.recipe().epochs * run.steps_per_epoch(), run.steps_done(), !(options.quiet || options.json)) {
    if (options.log) log_.emplace(*options.log, run.history());
    if (options.tensorboard) events_.emplace(*options.tensorboard, run.history());
  }

  void batch_done() {
    const History& history = run_.history();
    const std::string epochs = fmt::format("{}", run_.recipe().epochs);
    bar_.advance(fmt::format("Epoch {:>{}}/{}", history.size() + 1, epochs.size(), epochs),
                 history.empty() ? "" : fmt::format("loss {:.4f}", history.back().loss));
  }

  void epoch_done(const Epoch& epoch, std::optional<double> val_accuracy) {
    bar_.clear();
    run_.note(epoch, val_accuracy);
    save_checkpoint();  // first: a terminal that has hung up takes no line
    const EpochRecord& e = run_.history().back();
    if (val_accuracy || is_said(e.epoch, run_.recipe().epochs)) {
      const auto measured = [](const char* name, std::optional<double> accuracy) {
        return accuracy ? fmt::format(", {} accuracy {:.4f}", name, *accuracy) : "";
      };
      console_.say("{} Epoch {}, Training loss {:.6f}{}{}", now(), e.epoch, e.loss,
                   measured("Hold-out", e.holdout_accuracy), measured("Validation", val_accuracy));
    }
    console_.object(as_json(e));
    if (log_) log_->add(e);
    if (events_) events_->add(e);
  }

  void save_checkpoint() {
    if (!checkpoint_) return;
    const tern::TensorFile state = run_.checkpoint();  // on every rank, since all are to throw where it does
    if (tern::distributed::rank() == 0) tern::save_safetensors(*checkpoint_, state);
  }

  void clear_bar() { bar_.clear(); }

 private:
  Run& run_;
  Console console_;
  std::optional<std::string> checkpoint_;
  ProgressBar bar_;
  std::optional<Log> log_;
  std::optional<EventFile> events_;
};

/// Goes on from the checkpoint if there is one, which is where rank 0 sees it.
void resume(Run& run, const std::string& place, const Console& console) {
  tern::TensorFile checkpoint;
  together([&] {
    std::error_code absent;
    const bool reads = tern::distributed::rank() == 0 && std::filesystem::exists(place, absent);
    if (reads) checkpoint = tern::load_safetensors(place);
  });
  give_to_ranks(checkpoint);
  if (checkpoint.tensors.empty() && checkpoint.metadata.empty()) {
    console.say("resume: no checkpoint {} yet, starting from the beginning", place);
    return;
  }
  together([&] { run.resume(checkpoint, place); });
  console.say("resumed: {}, after {} of {} epochs", place, run.history().size(), run.recipe().epochs);
}

/// Trains to the end, or throws what stopped it.
void train(Run& run, const Options& options, tern::DataLoader& val_loader) {
  Journal journal(run, options);
  const auto kept = [&] {
    const auto place = options.checkpoint_place();
    std::error_code absent;
    return place && std::filesystem::exists(*place, absent) ? fmt::format("; kept: {}", *place) : "; nothing was kept";
  };
  const InterruptGuard interrupts;
  int signal = 0;  // of any rank's, after the same step on all
  const TrainingEvents events{.batch_done = [&] { journal.batch_done(); },
                              .epoch_done =
                                  [&](const Epoch& epoch) {
                                    const bool measure = options.eval_every && epoch.number % *options.eval_every == 0;
                                    std::optional<double> val_accuracy;
                                    if (measure)
                                      val_accuracy =
                                          accuracy(*run.judged().module, val_loader, run.device(), run.flips()).value();
                                    journal.epoch_done(epoch, val_accuracy);
                                  },
                              .stop =
                                  [&] {
                                    signal = greatest_of_ranks(InterruptGuard::signal());
                                    return signal != 0;
                                  }};
  try {
    if (run.train(events)) return;
    journal.save_checkpoint();
  } catch (const Diverged& e) {
    journal.clear_bar();
    throw Diverged(e.what() + kept());
  }
  journal.clear_bar();
  throw Interrupted(signal, fmt::format("train: stopped by a signal after {} of {} steps{}", run.steps_done(),
                                        run.recipe().epochs * run.steps_per_epoch(), kept()));
}

/// Measures and prints the accuracy on some images.
Accuracy say_accuracy(const char* name, const tern::Dataset& images, const NamedModel& model, tern::Device device,
                      const Options& options, bool drop_last) {
  tern::DataLoader loader = measuring_loader(images, options, drop_last);
  const Accuracy a = accuracy(*model.module, loader, device, model.flips());
  Console(options).result("Accuracy {}: {:.4f} ({} of {})", name, a.value(), a.correct, a.total);
  return a;
}

/// What a run is made from.
struct Parts {
  Setup setup;
  Recipe recipe;
  Data data;
};

Parts make_parts(const Options& options) {
  Setup setup(options, model_for(options.recipe));
  const Recipe recipe = make_recipe(options, setup.model.name);
  const auto place = options.checkpoint_place();
  if (place && tern::distributed::rank() == 0) {
    if (options.save) check_writable(*options.save);
    check_writable(*place);
    if (!options.resume) Run::check_replaceable(*place);
  }
  Data data = load_data(options.data, recipe.classes == 10);
  return {std::move(setup), recipe, std::move(data)};
}

std::string digest(const tern::Tensor& x) {
  const tern::Tensor host = x.detach().to(tern::Device::cpu).contiguous();
  const std::size_t element = size_of(host.dtype());
  const auto* bytes = static_cast<const std::uint8_t*>(host.storage()->data());
  return tern::md5({bytes + static_cast<std::size_t>(host.storage_offset()) * element,
                    static_cast<std::size_t>(host.numel()) * element});
}

/// Throws where what the ranks are to do together differs from one to another.
void check_same_on_ranks(const Parts& parts, const Options& options) {
  if (tern::distributed::world_size() == 1) return;
  const auto said = [](const auto& option) { return option ? fmt::format("{}", *option) : "none"; };
  std::map<std::string, std::string> all = parts.recipe.settings();
  all["device"] = tern::Device(parts.setup.device.kind).str();
  all["epochs"] = std::to_string(parts.recipe.epochs);
  all["seed"] = std::to_string(options.seed);
  all["holdout"] = std::to_string(options.holdout);
  all["shards"] = said(options.shards);
  all["precision"] = options.precision;
  all["timeout"] = fmt::format("{}", options.timeout);
  all["eval-every"] = said(options.eval_every);
  all["drop-last-eval"] = options.drop_last_eval ? "on" : "off";
  all["checkpoint"] = said(options.checkpoint_place());
  all["resume"] = options.resume ? "on" : "off";
  std::string weights;
  for (const auto& [name, x] : parts.setup.model.module->state_dict()) weights += name + digest(x);
  all["weights"] = tern::md5({reinterpret_cast<const std::uint8_t*>(weights.data()), weights.size()});
  const Data& data = parts.data;
  std::string images = data.name;
  for (const tern::TensorDataset* set : {&data.train, &data.validation, data.others ? &*data.others : nullptr}) {
    if (set) images += ' ' + digest(set->inputs()) + ' ' + digest(set->targets());
  }
  all["data"] = images;
  together([&] { tern::distributed::check_same(all); });
}

}  // namespace

TrainingResult train(const Options& options) {
  const Console console(options);
  if (options.precision == "tf32") tern::set_float32_precision(tern::Precision::high);
  std::optional<Parts> parts;
  together([&] { parts = make_parts(options); });
  check_same_on_ranks(*parts, options);
  const Recipe recipe = parts->recipe;
  const Data& data = parts->data;
  std::optional<Run> made;
  together([&] { made.emplace(std::move(parts->setup), options, recipe, data); });
  Run& run = *made;
  tern::DataLoader val_loader = measuring_loader(data.validation, options, options.drop_last_eval);

  console.say("data: {}", data.description);
  if (data.others) console.say("and {} training images of the other classes", data.others->size());
  console.say("{}; seed: {}", run.setup().str(), options.seed);
  if (run.holdout_images()) console.say("hold-out: {} of the training images", run.holdout_images()->size());
  if (options.resume) resume(run, options.checkpoint_place().value(), console);
  train(run, options, val_loader);

  NamedModel& model = run.result();
  model.metadata = run.metadata();
  if (options.save) {
    save_model(*options.save, model, model.metadata);
    console.say("saved: {}", *options.save);
  }
  const auto measured = [&](const char* name, const tern::Dataset& images, bool drop_last) {
    return say_accuracy(name, images, model, run.device(), options, drop_last);
  };
  TrainingResult result{.model = model.name,
                        .parameters = model.module->num_parameters(),
                        .loss = run.history().back().loss,
                        .seconds = 0,
                        .train = measured("train", run.train_images(), options.drop_last_eval),
                        .validation = measured("val", data.validation, options.drop_last_eval),
                        .holdout = {}};
  for (const EpochRecord& e : run.history()) result.seconds += e.seconds;
  if (run.holdout_images()) {
    result.holdout = measured("hold-out", *run.holdout_images(), false);
    console.say("best on the hold-out: epoch {}", run.best_epoch());
  }
  json object{{"model", model.name},
              {"parameters", result.parameters},
              {"epochs", run.history().size()},
              {"loss", result.loss},
              {"seconds", result.seconds},
              {"train", as_json(result.train)},
              {"validation", as_json(result.validation)}};
  if (result.holdout) object["holdout"] = as_json(*result.holdout);
  if (options.save) object["saved"] = *options.save;
  console.object(object);
  return result;
}

void evaluate(const Options& options) {
  const Console console(options);
  const Setup setup(options, "net");
  const Data data = load_data(options.data);
  console.say("data: {}", data.description);
  console.say("{}", setup.str());
  const auto measured = [&](const char* name, const tern::Dataset& images) {
    return say_accuracy(name, images, setup.model, setup.device, options, options.drop_last_eval);
  };
  const Accuracy train = measured("train", data.train);
  const Accuracy validation = measured("val", data.validation);
  console.object(json{{"model", setup.model.name}, {"train", as_json(train)}, {"validation", as_json(validation)}});
}

}  // namespace birds_vs_planes
