#pragma once

#include <tern/layers/module.hpp>

#include <memory>
#include <string>

namespace birds_vs_planes {

/// One line a layer, in the order in which they run: its name, what it is, the shape it gives when the model is run on
/// x, and its number of parameters; then the total. Takes the model, whose layers are watched from then on.
std::string layer_table(std::unique_ptr<tern::Module> model, const tern::Tensor& x);

}  // namespace birds_vs_planes
