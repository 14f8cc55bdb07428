#include <birds_vs_planes/commands.hpp>

#include <birds_vs_planes/data.hpp>
#include <birds_vs_planes/evaluate.hpp>
#include <birds_vs_planes/layer_table.hpp>
#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/progress_bar.hpp>
#include <birds_vs_planes/saved_model.hpp>
#include <birds_vs_planes/train.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/generator.hpp>
#include <tern/data/image.hpp>
#include <tern/kernels/cpu/threads.hpp>

#include <fmt/chrono.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>

namespace birds_vs_planes {

namespace {

/// Prints a line at once, so that a log can be followed.
template <class... Args>
void say(fmt::format_string<Args...> format, Args&&... args) {
  fmt::print(format, std::forward<Args>(args)...);
  fmt::print("\n");
  std::fflush(stdout);
}

/// The device of that name. Throws where this build or this machine does not have it.
tern::Device choose_device(const std::string& name) {
  if (name == "auto") {
#ifdef AUTO_DEVICE_CUDA
    try {
      tern::backend(tern::Device::cuda);
      return tern::Device::cuda;
    } catch (const tern::Error&) {
    }
#endif
    return tern::Device::cpu;
  }
  const tern::Device device = tern::Device::parse(name);
  tern::backend(device);
  return device;
}

/// The model and the device it was moved to, as the options ask.
struct Setup {
  tern::Device device;
  NamedModel model;

  explicit Setup(const Options& options) : device(choose_device(options.device)) {
    if (options.threads) tern::set_num_threads(*options.threads);
    tern::manual_seed(options.seed);
    model = make_or_load(options.model, options.load);
    model.module->to(device);
  }

  std::string str() const {
    return fmt::format("model: {}, {} parameters; device: {}; threads: {}", model.name, model.module->num_parameters(),
                       device, tern::num_threads());
  }
};

tern::DataLoader evaluation_loader(const tern::Dataset& images, const Options& options) {
  return tern::DataLoader(images, {.batch_size = options.batch_size,
                                   .shuffle = false,
                                   .drop_last = options.drop_last_eval,
                                   .num_workers = options.num_workers});
}

void say_accuracies(const Setup& setup, const Data& data, const Options& options) {
  for (const auto& [name, images] : {std::pair{"train", &data.train}, std::pair{"val", &data.validation}}) {
    tern::DataLoader loader = evaluation_loader(*images, options);
    const Accuracy a = accuracy(*setup.model.module, loader, setup.device);
    say("Accuracy {}: {:.4f} ({} of {})", name, a.value(), a.correct, a.total);
  }
}

/// A CSV file with a line for each epoch.
class Log {
 public:
  Log(const std::string& path, bool with_accuracy) : path_(path), file_(path), with_accuracy_(with_accuracy) {
    write(with_accuracy ? "epoch,loss,seconds,val_accuracy" : "epoch,loss,seconds");
  }

  void add(const Epoch& epoch, std::optional<double> val_accuracy) {
    std::string line = fmt::format("{},{},{:.3f}", epoch.number, epoch.loss, epoch.seconds);
    if (with_accuracy_) line += val_accuracy ? fmt::format(",{}", *val_accuracy) : ",";
    write(line);
  }

 private:
  void write(const std::string& line) {
    file_ << line << std::endl;
    tern::check(file_.good(), "log {}: cannot be written: {}", path_, std::strerror(errno));
  }

  std::string path_;
  std::ofstream file_;
  bool with_accuracy_;
};

}  // namespace

void train(const Options& options) {
  const Setup setup(options);
  tern::Module& model = *setup.model.module;
  if (options.save) check_writable(*options.save);

  const Data data = load_data(options.data ? *options.data : default_data_folder().string());
  tern::DataLoader train_loader(data.train, {.batch_size = options.batch_size,
                                             .shuffle = true,
                                             .drop_last = true,
                                             .num_workers = options.num_workers,
                                             .seed = options.seed});
  tern::DataLoader val_loader = evaluation_loader(data.validation, options);
  tern::SGD optimizer(model.parameters(),
                      {.lr = options.lr, .momentum = options.momentum, .weight_decay = options.weight_decay});
  std::optional<Log> log;
  if (options.log) log.emplace(*options.log, options.eval_every.has_value());

  say("data: {}", data.description);
  say("{}; seed: {}", setup.str(), options.seed);

  ProgressBar bar(options.epochs * train_loader.size());
  std::int64_t epoch_in_hand = 1;
  const TrainingEvents events{
      .batch_done = [&] { bar.advance(fmt::format("Epoch {}/{}", epoch_in_hand, options.epochs)); },
      .epoch_done =
          [&](const Epoch& epoch) {
            epoch_in_hand = epoch.number + 1;
            bar.clear();
            if (epoch.number == 1 || epoch.number % 10 == 0) {
              say("{:%Y-%m-%d %H:%M:%S} Epoch {}, Training loss {:.6f}", fmt::localtime(std::time(nullptr)),
                  epoch.number, epoch.loss);
            }
            std::optional<double> val_accuracy;
            if (options.eval_every && epoch.number % *options.eval_every == 0) {
              val_accuracy = accuracy(model, val_loader, setup.device).value();
              say("{:%Y-%m-%d %H:%M:%S} Epoch {}, Validation accuracy {:.4f}", fmt::localtime(std::time(nullptr)),
                  epoch.number, *val_accuracy);
            }
            if (log) log->add(epoch, val_accuracy);
          }};
  training_loop(options.epochs, optimizer, model, tern::CrossEntropyLoss(), train_loader, setup.device, options.l2,
                events);

  say_accuracies(setup, data, options);
  if (options.save) {
    save_model(*options.save, setup.model,
               {{"data", data.name},
                {"epochs", std::to_string(options.epochs)},
                {"seed", std::to_string(options.seed)},
                {"classes", fmt::format("{}", fmt::join(class_names, ","))}});
    say("saved: {}", *options.save);
  }
}

void evaluate(const Options& options) {
  const Setup setup(options);
  const Data data = load_data(options.data ? *options.data : default_data_folder().string());
  say("data: {}", data.description);
  say("{}", setup.str());
  say_accuracies(setup, data, options);
}

void predict(const Options& options) {
  const Setup setup(options);
  std::vector<tern::Tensor> images;
  for (const std::string& path : options.images) images.push_back(tern::resize_to_square(tern::read_image(path), 32));

  setup.model.module->eval();
  const tern::NoGradGuard no_grad;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const tern::Tensor img = images[i].to(tern::DType::float32) / 255;
    const tern::Tensor probabilities = softmax((*setup.model.module)(img.unsqueeze(0).to(setup.device)), 1)[0];
    const auto best = probabilities.argmax().item<std::size_t>();
    say("{}: {} {:.4f}", options.images[i], class_names[best], probabilities.max().item());
  }
}

void info(const Options& options) {
  NamedModel model = make_or_load(options.model, options.load);
  say("model: {}", model.name);
  for (const auto& [key, value] : model.metadata) {
    if (key != "model") say("{}: {}", key, value);
  }
  fmt::print("{}", layer_table(std::move(model.module), tern::zeros({1, 3, 32, 32})));
}

}  // namespace birds_vs_planes
