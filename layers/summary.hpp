#pragma once

#include <tern/layers/module.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace tern {

/// What summary() says of a layer: its name and kind, and the shape of its output.
struct LayerRow {
  std::string name;         ///< dotted
  std::string kind;         ///< str(), and of a layer with others in it only the class
  Shape output;             ///< of its last call; of several tensors the first's
  std::int64_t parameters;  ///< of the layer and all in it
  std::int64_t mult_adds;   ///< of its convolutions and matrix products, on this input
  bool is_leaf;             ///< has no layers in it
};

/// The model's layers that run, in evaluation, in `run`, such as [&] { model(a, b); }, each before those in it.
std::vector<LayerRow> layer_rows(Module& model, const std::function<void()>& run);

/// The rows as text, indented as they are nested, and below them the totals: the model's parameters, multiply-adds, and
/// the bytes of the input, of all outputs and of the parameters, in float32.
std::string layer_table(const std::vector<LayerRow>& rows, const Shape& input, std::int64_t parameters);

/// The table of what the model's layers make of such an input: std::cout << summary(net, zeros({1, 3, 32, 32})).
std::string summary(Module& model, const Tensor& example);

}  // namespace tern
