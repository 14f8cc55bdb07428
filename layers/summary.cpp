#include <tern/core/autograd.hpp>
#include <tern/layers/layers.hpp>
#include <tern/layers/summary.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace tern {

namespace {

/// What a layer itself multiplies and adds to give this output.
std::int64_t own_mult_adds(Module& layer, const Shape& output) {
  if (auto* conv = dynamic_cast<Conv2d*>(&layer)) {
    return output.numel() * (conv->weight.numel() / conv->weight.size(0));
  }
  if (auto* linear = dynamic_cast<Linear*>(&layer)) return output.numel() * linear->weight.size(1);
  return 0;
}

/// The layers of a module, each before those in it.
std::vector<std::pair<std::string, Module*>> nested(Module& module, const std::string& prefix = "") {
  std::vector<std::pair<std::string, Module*>> all;
  for (const auto& [name, layer] : module.members().modules) {
    all.emplace_back(prefix + name, layer);
    for (auto& inner : nested(*layer, prefix + name + ".")) all.push_back(std::move(inner));
  }
  return all;
}

std::string with_commas(std::int64_t n) {
  const std::string digits = std::to_string(n);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

}  // namespace

/// Watches the outputs of layers, in evaluation, while it lives.
class WatchedLayers {
 public:
  WatchedLayers(Module& model, const std::vector<std::pair<std::string, Module*>>& layers) : WatchedLayers() {
    modes_.emplace_back(&model, model.training_);
    for (const auto& [name, layer] : layers) modes_.emplace_back(layer, layer->training_);
    hooks_.reserve(layers.size());
    for (const auto& [name, layer] : layers) {
      hooks_.push_back(layer->register_forward_hook([this](Module& self, const Tensor& output) {
        if (output.defined()) outputs[&self] = output.shape();
      }));
    }
    model.eval();
  }
  ~WatchedLayers() {
    for (const auto& [module, training] : modes_) module->training_ = training;
    for (const RemovableHandle& hook : hooks_) hook.remove();
  }
  WatchedLayers(const WatchedLayers&) = delete;
  WatchedLayers& operator=(const WatchedLayers&) = delete;

  std::map<Module*, Shape> outputs;

 private:
  WatchedLayers() = default;

  std::vector<std::pair<Module*, bool>> modes_;  ///< of each module, whether it was in training
  std::vector<RemovableHandle> hooks_;
};

std::vector<LayerRow> layer_rows(Module& model, const std::function<void()>& run) {
  const auto layers = nested(model);
  std::map<Module*, Shape> outputs;
  {
    WatchedLayers watched(model, layers);
    const NoGradGuard no_grad;
    run();
    outputs = watched.outputs;
  }

  std::vector<LayerRow> rows;
  for (const auto& [name, layer] : layers) {
    const auto output = outputs.find(layer);
    if (output == outputs.end()) continue;
    const auto inside = nested(*layer);
    std::int64_t mult_adds = own_mult_adds(*layer, output->second);
    for (const auto& [ignored, part] : inside) {
      const auto found = outputs.find(part);
      if (found != outputs.end()) mult_adds += own_mult_adds(*part, found->second);
    }
    const std::string kind = layer->str();
    rows.push_back({name, inside.empty() ? kind : kind.substr(0, kind.find('(')), output->second,
                    layer->num_parameters(), mult_adds, inside.empty()});
  }
  return rows;
}

std::string layer_table(const std::vector<LayerRow>& rows, const Shape& input, std::int64_t parameters) {
  using Line = std::array<std::string, 5>;
  std::vector<Line> lines{{"layer", "kind", "output", "parameters", "mult-adds"}};
  std::int64_t mult_adds = 0, outputs = 0;
  for (const LayerRow& row : rows) {
    const auto depth = static_cast<std::size_t>(std::count(row.name.begin(), row.name.end(), '.'));
    lines.push_back({std::string(2 * depth, ' ') + row.name.substr(row.name.rfind('.') + 1), row.kind, row.output.str(),
                     with_commas(row.parameters), with_commas(row.mult_adds)});
    if (!row.is_leaf) continue;
    mult_adds += row.mult_adds;
    outputs += row.output.numel();
  }

  std::array<std::size_t, 5> width{};
  for (const Line& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) width[i] = std::max(width[i], line[i].size());
  }
  std::string table;
  for (const auto& [layer, kind, output, own, work] : lines) {
    table += fmt::format("{:<{}}  {:<{}}  {:<{}}  {:>{}}  {:>{}}\n", layer, width[0], kind, width[1], output, width[2],
                         own, width[3], work, width[4]);
  }
  table += fmt::format("\nparameters: {}\nmult-adds: {}\n", with_commas(parameters), with_commas(mult_adds));
  table += fmt::format("memory: input {:.2f} MB, outputs {:.2f} MB, parameters {:.2f} MB\n",
                       4e-6 * static_cast<double>(input.numel()), 4e-6 * static_cast<double>(outputs),
                       4e-6 * static_cast<double>(parameters));
  return table;
}

std::string summary(Module& model, const Tensor& example) {
  return layer_table(layer_rows(model, [&] { model(example); }), example.shape(), model.num_parameters());
}

}  // namespace tern
