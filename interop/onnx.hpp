#pragma once

#include <tern/layers/module.hpp>

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace tern::onnx {

/// What save() is told besides.
struct ExportOptions {
  /// The dimension of the inputs that counts examples. The file takes any number of them, as do the outputs that follow
  /// it; none keeps all sizes as the examples have them. Inputs without that dimension keep theirs.
  std::optional<int> batch_dim = 0;
  /// One for each input and output; "input" and "output", or of several "input_0", ..., unless they are given.
  std::vector<std::string> input_names = {}, output_names = {};  ///< by position; empty for these names
  std::map<std::string, std::string> metadata = {};              ///< the model's metadata_props
};

/// Writes a model in evaluation mode as an ONNX file of opset 17: its ops as they run on tensors like `example`, fused
/// ones as the ops they stand for, its parameters and buffers as initializers under their state_dict's names. Sizes
/// other than the batch's are the example's. With a batch_dim the model runs twice, on batches of 2 and 3 made of the
/// example's rows, and what differs between these runs is the batch's size.
///
/// Throws Error, naming the op, where one has no counterpart in ONNX; where elements that depend on the input are read
/// (item(), branches by values), for they would become constants; where the ops depend on the batch's size otherwise
/// than by sizes that are multiples of it; and for more than 2 GiB, which ONNX's files do not hold. The file appears
/// whole or not at all. The module's mode is afterwards what it was.
void save(Module& module, const Tensor& example, const std::filesystem::path& file, const ExportOptions& options = {});

/// From the inputs to the outputs.
using Function = std::function<std::vector<Tensor>(const std::vector<Tensor>& inputs)>;
/// The same for models of several inputs or outputs, which `forward` calls:
///
///   onnx::save(lstm, [&](const auto& in) { return std::vector{lstm(in[0]).output}; }, {x}, "lstm.onnx");
void save(Module& module, const Function& forward, const std::vector<Tensor>& examples,
          const std::filesystem::path& file, const ExportOptions& options = {});

}  // namespace tern::onnx
