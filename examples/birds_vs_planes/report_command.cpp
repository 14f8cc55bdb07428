#include <birds_vs_planes/commands.hpp>
#include <birds_vs_planes/console.hpp>
#include <birds_vs_planes/data.hpp>
#include <birds_vs_planes/data_url.hpp>
#include <birds_vs_planes/evaluate.hpp>
#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/report_data.hpp>
#include <birds_vs_planes/report_template.hpp>
#include <birds_vs_planes/setup.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/file.hpp>
#include <tern/layers/layers.hpp>
#include <tern/layers/summary.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <regex>
#include <string_view>

namespace birds_vs_planes {

namespace {

using json = nlohmann::ordered_json;
using tern::Tensor;

json or_null(std::optional<double> x) { return x ? json(*x) : json(nullptr); }

json curves(const std::string& file) {
  json epochs = json::array();
  for (const EpochRecord& e : read_csv(file)) {
    epochs.push_back({{"epoch", e.epoch},
                      {"loss", e.loss},
                      {"seconds", e.seconds},
                      {"holdout_accuracy", or_null(e.holdout_accuracy)},
                      {"val_accuracy", or_null(e.val_accuracy)}});
  }
  return {{"name", std::filesystem::path(file).stem().string()}, {"epochs", epochs}};
}

json layers(const Options& options) {
  json all = json::array();
  const std::unique_ptr<tern::Module> model = load_model(options.model, *options.load).module;
  for (const tern::LayerRow& row : tern::layer_rows(*model, [&] { (*model)(tern::zeros({1, 3, 32, 32})); })) {
    all.push_back({{"name", row.name.substr(row.name.rfind('.') + 1)},
                   {"depth", std::count(row.name.begin(), row.name.end(), '.')},
                   {"kind", row.kind},
                   {"output", row.output.str()},
                   {"parameters", row.parameters},
                   {"mult_adds", row.mult_adds}});
  }
  return all;
}

double share(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

json classes(const Judgement& judgement) {
  const auto n = judgement.confusion();
  json all = json::array();
  for (std::size_t c = 0; c < 2; ++c) {
    all.push_back({{"name", class_names[c]},
                   {"precision", share(n[c][c], n[0][c] + n[1][c])},
                   {"recall", share(n[c][c], n[c][0] + n[c][1])}});
  }
  return all;
}

json mistakes(const Judgement& judgement, const tern::TensorDataset& images) {
  json all = json::array();
  for (const int label : {0, 1}) {
    for (const std::int64_t i : judgement.worst(label, 12)) {
      const auto at = static_cast<std::size_t>(i);
      all.push_back({{"number", i},
                     {"image", data_url(images.inputs()[i])},
                     {"is", class_names[label]},
                     {"taken_for", class_names[judgement.predicted(at)]},
                     {"confidence", judgement.confidence(at)}});
    }
  }
  return all;
}

json calibration_bins(const std::vector<CalibrationBin>& bins) {
  json all = json::array();
  for (const CalibrationBin& b : bins) {
    all.push_back(
        {{"from", b.from}, {"to", b.to}, {"count", b.count}, {"confidence", b.confidence}, {"accuracy", b.accuracy}});
  }
  return all;
}

/// The model's first convolution: each filter as a picture, and an image followed by the channels made of it.
struct FirstLayer {
  json filters = json::array(), features = json::array();
};

FirstLayer first_layer(const Options& options, const Tensor& image) {
  NamedModel model = load_model(options.model, *options.load);
  Tensor output;
  FirstLayer first;
  for (const auto& [name, layer] : model.module->named_modules()) {
    auto* conv = dynamic_cast<tern::Conv2d*>(layer);
    if (!conv || conv->weight.size(1) != 3) continue;
    for (std::int64_t k = 0; k < conv->weight.size(0); ++k) {
      first.filters.push_back(data_url(stretched(conv->weight.detach()[k])));
    }
    conv->register_forward_hook([&output](tern::Module&, const Tensor& y) { output = y; });
    break;
  }
  model.module->eval();
  const tern::NoGradGuard no_grad;
  model.module->forward(image.to(tern::DType::float32).unsqueeze(0) / 255);
  first.features.push_back(data_url(image));
  for (std::int64_t k = 0; output.defined() && k < output.size(1); ++k) {
    first.features.push_back(data_url(stretched(output[0].narrow(0, k, 1))));
  }
  return first;
}

/// The page: the template with the data in it. A "<" could end the script that holds it.
std::string page(const json& data) {
  std::string text = data.dump(-1, ' ', false, json::error_handler_t::replace);
  text = std::regex_replace(text, std::regex("<"), "\\u003c");
  std::string html = report_template;
  constexpr std::string_view place = "{{data}}";
  return html.replace(html.find(place), place.size(), text);
}

}  // namespace

void report(const Options& options) {
  const Console console(options);
  Setup setup(options, "net");
  check_writable(*options.output);
  json runs = json::array();
  for (const std::string& log : options.logs) runs.push_back(curves(log));
  const Data data = load_data(options.data);

  tern::DataLoader loader = measuring_loader(data.validation, options);
  const Judgement judgement = judge(setup.model, loader, setup.device);
  const auto n = judgement.confusion();
  const FirstLayer first = first_layer(options, data.validation.inputs()[0]);
  const std::vector<CalibrationBin> bins = calibration(judgement);
  const auto command = setup.model.metadata.find("command");
  json all{{"model", setup.model.name},
           {"command", command == setup.model.metadata.end() ? "" : command->second},
           {"data", data.name},
           {"parameters", setup.model.module->num_parameters()},
           {"flips", setup.model.flips()},
           {"images", judgement.labels.size()},
           {"right", n[0][0] + n[1][1]},
           {"accuracy", share(n[0][0] + n[1][1], static_cast<std::int64_t>(judgement.labels.size()))},
           {"confusion", n},
           {"classes", classes(judgement)},
           {"calibration", calibration_bins(bins)},
           {"calibration_error", calibration_error(bins)},
           {"mistakes", mistakes(judgement, data.validation)},
           {"filters", first.filters},
           {"features", first.features},
           {"layers", layers(options)},
           {"runs", runs}};
  tern::write_file(*options.output, page(all));
  console.say("saved: {}", *options.output);
  console.object(json{{"saved", *options.output}, {"accuracy", all["accuracy"]}});
}

}  // namespace birds_vs_planes
