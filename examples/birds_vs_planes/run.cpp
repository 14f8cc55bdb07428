#include <birds_vs_planes/divergence.hpp>
#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/run.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/generator.hpp>
#include <tern/data/augment.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <string_view>
#include <system_error>
#include <utility>

namespace birds_vs_planes {

using tern::StateDict;
using tern::Tensor;

namespace {

constexpr const char* checkpoint_kind = "birds_vs_planes checkpoint 1";

/// The training images in an order that no option changes: the last `holdout` of it are held out.
std::vector<std::int64_t> part_of(std::int64_t n, std::int64_t holdout, bool held_out) {
  tern::check(0 <= holdout && holdout < n, "holdout {}: expected fewer than the {} training images", holdout, n);
  std::vector<std::int64_t> all(static_cast<std::size_t>(n));
  if (holdout == 0) {
    std::iota(all.begin(), all.end(), 0);
  } else {
    tern::Generator generator(0x686f6c646f7574);  // a stream of its own
    all = tern::randperm(n, generator).to_vector<std::int64_t>();
  }
  const auto middle = all.end() - static_cast<std::ptrdiff_t>(holdout);
  return held_out ? std::vector(middle, all.end()) : std::vector(all.begin(), middle);
}

/// One group with weight decay and one, of biases and batch normalisation, without; or all in one.
std::vector<tern::SGD::Group> parameter_groups(tern::Module& model, const Recipe& r) {
  const tern::SGDOptions decayed{
      .lr = r.lr, .momentum = r.momentum, .weight_decay = r.weight_decay, .nesterov = r.nesterov};
  if (r.decay_all) return {{model.parameters(), decayed}};
  tern::SGDOptions spared = decayed;
  spared.weight_decay = 0;
  std::vector<tern::SGD::Group> groups{{{}, decayed}, {{}, spared}};
  for (const Tensor& p : model.parameters()) groups[p.dim() > 1 ? 0 : 1].params.push_back(p);
  return groups;
}

/// What is trained on, on the device: the training images that are not held out and, where the recipe asks for them and
/// the data have any, those of the other classes.
tern::ImageBatches make_batches(const Recipe& recipe, const Data& data, std::int64_t holdout, std::uint64_t seed,
                                tern::Device device) {
  Tensor images = data.train.inputs(), labels = data.train.targets();
  if (holdout > 0) {
    const Tensor kept = tern::tensor(part_of(data.train.size(), holdout, false));
    images = images.index_select(0, kept);
    labels = labels.index_select(0, kept);
  }
  if (recipe.classes == 10 && data.others) {
    images = tern::cat({images, data.others->inputs()});
    labels = tern::cat({labels, data.others->targets()});
  }
  return {images.to(device),
          labels.to(device),
          {.batch_size = recipe.batch_size,
           .seed = seed,
           .shift = recipe.shift >= 0 ? std::optional<std::int64_t>(recipe.shift) : std::nullopt,
           .cutout = recipe.cutout}};
}

/// Normalised, where the recipe asks for it, by the images of airplanes and birds that are trained on.
Setup prepared(Setup setup, const Recipe& recipe, const Data& data, std::int64_t holdout) {
  if (recipe.normalize && !setup.model.module->state_dict().contains("input_mean")) {
    const Tensor trained_on = tern::tensor(part_of(data.train.size(), holdout, false));
    const tern::ChannelStatistics s = tern::channel_statistics(data.train.inputs().index_select(0, trained_on));
    normalize_input(setup.model, s.mean.to(setup.device), s.std.to(setup.device));
  }
  return setup;
}

/// A second model of the kind. Drawing its weights does not move the generator.
NamedModel another(const Setup& setup) {
  const auto state = tern::default_generator().state();
  NamedModel other = fresh_model(setup.model.name, setup.model.module->state_dict().contains("input_mean"));
  tern::default_generator().set_state(state);
  other.module->to(setup.device);
  return other;
}

std::unique_ptr<tern::distributed::DistributedDataParallel> make_parallel(tern::Module& model, const Options& options,
                                                                          const Recipe& recipe) {
  const int shards = options.shards.value_or(tern::distributed::world_size());
  tern::check(recipe.batch_size % shards == 0, "batch-size {}: cut into {} shards, expected a multiple of {}",
              recipe.batch_size, shards, shards);
  if (shards == 1 && tern::distributed::world_size() == 1) return nullptr;
  return std::make_unique<tern::distributed::DistributedDataParallel>(
      model, tern::distributed::DistributedDataParallelOptions{.shards = shards});
}

std::unique_ptr<tern::LRScheduler> make_schedule(tern::Optimizer& optimizer, const Recipe& recipe,
                                                 std::int64_t steps_per_epoch) {
  if (recipe.warmup == 0) return nullptr;
  const std::int64_t steps = recipe.epochs * steps_per_epoch;
  const auto warmup = static_cast<std::int64_t>(recipe.warmup * static_cast<double>(steps));
  return std::make_unique<tern::WarmupCosineLR>(optimizer, warmup, steps);
}

std::unique_ptr<tern::AveragedModel> make_average(tern::Module& model, const Recipe& recipe) {
  if (recipe.average_decay == 0) return nullptr;
  return std::make_unique<tern::AveragedModel>(model, recipe.average_decay);
}

tern::DType autocast_of(const std::string& precision) {
  return precision == "bfloat16"  ? tern::DType::bfloat16
         : precision == "float16" ? tern::DType::float16
                                  : tern::DType::float32;
}

void add(StateDict& all, const std::string& prefix, const StateDict& part) {
  for (const auto& [name, x] : part) all[prefix + name] = x.detach();
}

StateDict part(const StateDict& all, const std::string& prefix) {
  StateDict found;
  for (const auto& [name, x] : all) {
    if (name.starts_with(prefix)) found[name.substr(prefix.size())] = x;
  }
  return found;
}

/// The text with U+FFFD for what is not UTF-8, as metadata must be.
std::string as_utf8(const std::string& text) {
  using nlohmann::json;
  return json::parse(json(text).dump(-1, ' ', false, json::error_handler_t::replace)).get<std::string>();
}

/// As a shell takes it for one word.
std::string quoted(const std::string& word) {
  const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("%+,-./:=@_").find(static_cast<char>(c)) != std::string_view::npos;
  });
  if (plain) return word;
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? "'\\''" : std::string(1, c);
  return text + "'";
}

/// The value of that name in a checkpoint's metadata.
const std::string& text(const tern::TensorFile& file, const std::string& name) {
  const auto found = file.metadata.find(name);
  tern::check(found != file.metadata.end(), "it has no '{}'", name);
  return found->second;
}

template <class T>
T number(const tern::TensorFile& file, const std::string& name) {
  const std::string& digits = text(file, name);
  T value{};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  tern::check(error == std::errc() && end == digits.data() + digits.size(), "its '{}' is '{}', expected a number", name,
              digits);
  return value;
}

}  // namespace

void Run::check_replaceable(const std::string& checkpoint) {
  std::error_code absent;
  if (!std::filesystem::exists(checkpoint, absent)) return;
  std::map<std::string, std::string> found = tern::load_safetensors(checkpoint).metadata;
  tern::check(found["kind"] == checkpoint_kind,
              "train: {} is there and no checkpoint: delete it, or name another place", checkpoint);
  tern::check(!found["epochs"].empty() && found["epoch"] == found["epochs"],
              "train: {} is of a run that is not finished: --resume goes on with it, or delete it", checkpoint);
}

Run::Run(Setup setup, const Options& options, const Recipe& recipe, const Data& data)
    : options_(options),
      recipe_(recipe),
      data_name_(data.name),
      setup_(prepared(std::move(setup), recipe, data, options.holdout)),
      train_images_(data.train, part_of(data.train.size(), options.holdout, false)),
      holdout_(data.train, part_of(data.train.size(), options.holdout, true)),
      batches_(make_batches(recipe, data, options.holdout, options.seed, setup_.device)),
      parallel_(make_parallel(*setup_.model.module, options, recipe)),
      optimizer_(parameter_groups(*setup_.model.module, recipe)),
      schedule_(make_schedule(optimizer_, recipe, batches_.size())),
      average_(make_average(*setup_.model.module, recipe)),
      scaler_(options.precision == "float16" ? std::make_unique<tern::GradScaler>() : nullptr),
      judged_(another(setup_)),
      training_{.model = *setup_.model.module,
                .optimizer = optimizer_,
                .batches = batches_,
                .loss_fn = tern::CrossEntropyLoss({.label_smoothing = recipe.label_smoothing}),
                .device = setup_.device,
                .autocast = autocast_of(options.precision),
                .l2_lambda = recipe.l2,
                .schedule = schedule_.get(),
                .average = average_.get(),
                .scaler = scaler_.get(),
                .parallel = parallel_.get()} {}

std::int64_t Run::steps_done() const { return batches_.state().epoch * batches_.size() + batches_.state().position; }

NamedModel& Run::judged() {
  if (!average_) return setup_.model;
  average_->copy_to(*judged_.module);
  return judged_;
}

NamedModel& Run::result() {
  if (best_.empty()) return judged();
  judged_.module->load_state_dict(best_);
  return judged_;
}

void Run::note(const Epoch& epoch, std::optional<double> val_accuracy) {
  EpochRecord record{epoch.number, epoch.loss, epoch.seconds, epoch.lr, {}, val_accuracy};
  if (holdout_.size() > 0) {
    tern::Module& model = *judged().module;
    tern::DataLoader loader = measuring_loader(holdout_, options_);
    record.holdout_accuracy = accuracy(model, loader, setup_.device, recipe_.flips).value();
    if (best_.empty() || *record.holdout_accuracy >= best_accuracy_) {
      best_epoch_ = epoch.number;
      best_accuracy_ = *record.holdout_accuracy;
      const tern::NoGradGuard no_grad;
      for (const auto& [name, x] : model.state_dict()) best_[name] = x.detach().clone();
    }
  }
  history_.push_back(record);
}

std::map<std::string, std::string> Run::settings() const {
  std::map<std::string, std::string> all = recipe_.settings();
  all["seed"] = std::to_string(options_.seed);
  all["data"] = data_name_;
  all["holdout"] = std::to_string(holdout_.size());
  if (schedule_) all["epochs"] = std::to_string(recipe_.epochs);  // a constant rate may go on for longer
  if (shards() > 1) all["shards"] = std::to_string(shards());
  if (options_.precision != "float32") all["precision"] = options_.precision;
  if (options_.load) all["load"] = as_utf8(*options_.load);
  all["device"] = tern::Device(setup_.device.kind).str();  // those of a kind give the same bits
  return all;
}

std::string Run::command() const {
  std::string text = "birds_vs_planes train";
  for (const auto& [name, value] : settings()) {
    if (name != "data" || value.starts_with("synthetic")) text += fmt::format(" --{} {}", name, quoted(value));
  }
  return schedule_ ? text : fmt::format("{} --epochs {}", text, recipe_.epochs);
}

std::map<std::string, std::string> Run::metadata() const {
  std::map<std::string, std::string> all{{"data", data_name_},
                                         {"epochs", std::to_string(recipe_.epochs)},
                                         {"seed", std::to_string(options_.seed)},
                                         {"classes", fmt::format("{}", fmt::join(class_names, ","))},
                                         {"command", command()}};
  if (recipe_.flips) all["flips"] = "yes";
  if (best_epoch_ > 0) all["best_epoch"] = std::to_string(best_epoch_);
  return all;
}

tern::TensorFile Run::checkpoint() const {
  tern::TensorFile file;
  for (const auto& [name, x] : setup_.model.module->state_dict()) {
    if (!all_finite(x)) {
      throw Diverged(
          fmt::format("train: {} is not finite after step {}: try a lower learning rate", name, steps_done()));
    }
  }
  add(file.tensors, "model.", setup_.model.module->state_dict());
  add(file.tensors, "optimizer.", optimizer_.state_dict());
  if (average_) add(file.tensors, "average.", average_->state_dict());
  if (scaler_) add(file.tensors, "scaler.", scaler_->state_dict());
  add(file.tensors, "best.", best_);
  file.tensors["loss_sum"] = tern::tensor({training_.loss_sum}).reshape({});

  const tern::ImageBatches::State at = batches_.state();
  const tern::kernels::PhiloxState generator = tern::default_generator().state();
  file.metadata = {{"kind", checkpoint_kind},
                   {"epoch", std::to_string(at.epoch)},
                   {"epochs", std::to_string(recipe_.epochs)},
                   {"position", std::to_string(at.position)},
                   {"generator_seed", std::to_string(generator.seed)},
                   {"generator_offset", std::to_string(generator.offset)},
                   {"seconds", fmt::format("{}", training_.seconds)},
                   {"best_epoch", std::to_string(best_epoch_)},
                   {"best_accuracy", fmt::format("{}", best_accuracy_)},
                   {"history", to_csv(history_)}};
  for (const auto& [name, value] : settings()) file.metadata["option." + name] = value;
  return file;
}

void Run::resume(const tern::TensorFile& file, const std::string& name) {
  const auto kind = file.metadata.find("kind");
  tern::check(kind != file.metadata.end() && kind->second == checkpoint_kind, "resume {}: it is no checkpoint", name);
  std::map<std::string, std::string> theirs;
  for (const auto& [key, value] : file.metadata) {
    if (key.starts_with("option.")) theirs[key.substr(7)] = value;
  }
  std::map<std::string, std::string> all = theirs, ours = settings();
  all.insert(ours.begin(), ours.end());
  for (const auto& [option, ignored] : all) {
    const auto value = [&, &key = option](const auto& side) { return side.contains(key) ? side.at(key) : "none"; };
    tern::check(value(theirs) == value(ours), "resume {}: its run had {} {}, not {}", name, option, value(theirs),
                value(ours));
  }
  try {
    const auto epochs = number<std::int64_t>(file, "epoch");
    tern::check(epochs <= recipe_.epochs, "its run has done {} epochs, more than the {} asked for", epochs,
                recipe_.epochs);
    setup_.model.module->load_state_dict(part(file.tensors, "model."));
    optimizer_.load_state_dict(part(file.tensors, "optimizer."));
    if (average_) average_->load_state_dict(part(file.tensors, "average."));
    if (scaler_) scaler_->load_state_dict(part(file.tensors, "scaler."));
    best_ = part(file.tensors, "best.");
    if (!best_.empty()) judged_.module->load_state_dict(best_);
    tern::check(file.tensors.contains("loss_sum"), "it has no 'loss_sum'");
    const Tensor& loss_sum = file.tensors.at("loss_sum");
    tern::check(loss_sum.dtype() == tern::DType::float64 && loss_sum.numel() == 1 && std::isfinite(loss_sum.item()),
                "its 'loss_sum' is no finite float64");
    training_.loss_sum = loss_sum.item();
    training_.seconds = number<double>(file, "seconds");
    tern::check(std::isfinite(training_.seconds) && training_.seconds >= 0, "its 'seconds' are {}, expected 0 or more",
                training_.seconds);
    batches_.set_state({epochs, number<std::int64_t>(file, "position")});
    tern::default_generator().set_state(
        {number<std::uint64_t>(file, "generator_seed"), number<std::uint64_t>(file, "generator_offset")});
    best_epoch_ = number<int>(file, "best_epoch");
    best_accuracy_ = number<double>(file, "best_accuracy");
    tern::check(0 <= best_epoch_ && best_epoch_ <= epochs && 0 <= best_accuracy_ && best_accuracy_ <= 1,
                "its 'best_epoch' is {} and its 'best_accuracy' {}, expected 0 to {} and 0 to 1", best_epoch_,
                best_accuracy_, epochs);
    history_ = from_csv(text(file, "history"), name);
    tern::check(static_cast<std::int64_t>(history_.size()) == epochs, "its history is of {} epochs, expected {}",
                history_.size(), epochs);
  } catch (const tern::Error& e) {
    tern::fail("resume {}: {}", name, e.what());
  }
}

}  // namespace birds_vs_planes
