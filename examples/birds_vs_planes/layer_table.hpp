#pragma once

#include <tern/layers/module.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace birds_vs_planes {

struct LayerRow {
  std::string name;  ///< dotted
  std::string kind;
  tern::Shape output;
  std::int64_t parameters;  ///< of the layer and all in it
  std::int64_t mult_adds;   ///< of its convolutions and matrix products, on this input
  bool is_leaf;             ///< has no layers in it
};

/// The model's layers that run on x, each before those in it. Takes the model, whose layers are watched from then on.
std::vector<LayerRow> layer_rows(std::unique_ptr<tern::Module> model, const tern::Tensor& x);

/// The rows as text, indented as they are nested, and below them the totals: parameters, multiply-adds, and the bytes
/// of the input, of all outputs and of the parameters, in float32.
std::string layer_table(const std::vector<LayerRow>& rows, const tern::Shape& input);

}  // namespace birds_vs_planes
