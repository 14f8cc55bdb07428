#include <birds_vs_planes/layer_table.hpp>

#include <tern/core/autograd.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

namespace birds_vs_planes {

std::string layer_table(std::unique_ptr<tern::Module> model, const tern::Tensor& x) {
  using Row = std::array<std::string, 4>;
  std::vector<Row> rows{{"layer", "kind", "output", "parameters"}};
  for (const auto& [name, layer] : model->named_modules()) {
    layer->register_forward_hook([&rows, name = name](tern::Module& self, const tern::Tensor& output) {
      rows.push_back({name, self.str(), output.shape().str(), std::to_string(self.num_parameters())});
    });
  }
  model->eval();
  const tern::NoGradGuard no_grad;
  model->forward(x);
  rows.push_back({"total", "", "", std::to_string(model->num_parameters())});

  std::array<std::size_t, 4> width{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) width[i] = std::max(width[i], row[i].size());
  }
  std::string table;
  for (const auto& [layer, kind, output, parameters] : rows) {
    table += fmt::format("{:<{}}  {:<{}}  {:<{}}  {:>{}}\n", layer, width[0], kind, width[1], output, width[2],
                         parameters, width[3]);
  }
  return table;
}

}  // namespace birds_vs_planes
