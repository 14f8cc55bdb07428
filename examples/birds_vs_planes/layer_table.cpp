#include <birds_vs_planes/layer_table.hpp>

#include <tern/core/autograd.hpp>
#include <tern/layers/layers.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace birds_vs_planes {

namespace {

/// What a layer itself multiplies and adds to give this output.
std::int64_t own_mult_adds(tern::Module& layer, const tern::Shape& output) {
  const auto elements = [&] {
    std::int64_t n = 1;
    for (int i = 0; i < output.size(); ++i) n *= output[i];
    return n;
  };
  if (auto* conv = dynamic_cast<tern::Conv2d*>(&layer))
    return elements() * (conv->weight.numel() / conv->weight.size(0));
  if (auto* linear = dynamic_cast<tern::Linear*>(&layer)) return elements() * linear->weight.size(1);
  return 0;
}

/// The layers of a module, each before those in it.
std::vector<std::pair<std::string, tern::Module*>> nested(tern::Module& module, const std::string& prefix = "") {
  std::vector<std::pair<std::string, tern::Module*>> all;
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

std::vector<LayerRow> layer_rows(std::unique_ptr<tern::Module> model, const tern::Tensor& x) {
  const auto layers = nested(*model);
  std::map<tern::Module*, tern::Shape> outputs;
  for (const auto& [name, layer] : layers) {
    layer->register_forward_hook(
        [&outputs](tern::Module& self, const tern::Tensor& output) { outputs[&self] = output.shape(); });
  }
  model->eval();
  const tern::NoGradGuard no_grad;
  model->forward(x);

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

std::string layer_table(const std::vector<LayerRow>& rows, const tern::Shape& input) {
  using Line = std::array<std::string, 5>;
  std::vector<Line> lines{{"layer", "kind", "output", "parameters", "mult-adds"}};
  std::int64_t parameters = 0, mult_adds = 0, outputs = 0;
  const auto numel = [](const tern::Shape& shape) {
    std::int64_t n = 1;
    for (int i = 0; i < shape.size(); ++i) n *= shape[i];
    return n;
  };
  for (const LayerRow& row : rows) {
    const auto depth = static_cast<std::size_t>(std::count(row.name.begin(), row.name.end(), '.'));
    lines.push_back({std::string(2 * depth, ' ') + row.name.substr(row.name.rfind('.') + 1), row.kind, row.output.str(),
                     with_commas(row.parameters), with_commas(row.mult_adds)});
    if (!row.is_leaf) continue;
    parameters += row.parameters;
    mult_adds += row.mult_adds;
    outputs += numel(row.output);
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
                       4e-6 * static_cast<double>(numel(input)), 4e-6 * static_cast<double>(outputs),
                       4e-6 * static_cast<double>(parameters));
  return table;
}

}  // namespace birds_vs_planes
