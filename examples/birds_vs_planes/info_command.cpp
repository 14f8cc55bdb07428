#include <birds_vs_planes/commands.hpp>
#include <birds_vs_planes/console.hpp>
#include <birds_vs_planes/saved_model.hpp>
#include <birds_vs_planes/terminal.hpp>

#include <tern/layers/summary.hpp>

#include <nlohmann/json.hpp>

#include <utility>

namespace birds_vs_planes {

void info(const Options& options) {
  using json = nlohmann::ordered_json;
  const Console console(options);
  NamedModel model =
      options.load ? load_model(options.model, *options.load) : fresh_model(options.model.value_or("net"));
  const tern::Tensor x = tern::zeros({1, 3, 32, 32});
  const std::int64_t parameters = model.module->num_parameters();
  const std::vector<tern::LayerRow> rows = layer_rows(*model.module, [&] { (*model.module)(x); });

  console.result("model: {}", model.name);
  for (const auto& [key, value] : model.metadata) {
    if (key != "model") console.result("{}: {}", key, value);
  }
  std::string table = layer_table(rows, x.shape(), parameters);
  if (columns_of(table.substr(0, table.find('\n'))) > terminal_columns(stdout).value_or(1 << 20)) {
    std::vector<tern::LayerRow> brief = rows;
    for (tern::LayerRow& row : brief) row.kind = row.kind.substr(0, row.kind.find('('));
    table = layer_table(brief, x.shape(), parameters);
  }
  console.drawing(table.substr(0, table.size() - 1));

  json layers = json::array();
  for (const tern::LayerRow& row : rows) {
    json output = json::array();
    for (int i = 0; i < row.output.size(); ++i) output.push_back(row.output[i]);
    layers.push_back({{"name", row.name},
                      {"kind", row.kind},
                      {"output", output},
                      {"parameters", row.parameters},
                      {"mult_adds", row.mult_adds}});
  }
  console.object(
      json{{"model", model.name}, {"metadata", model.metadata}, {"parameters", parameters}, {"layers", layers}});
}

}  // namespace birds_vs_planes
