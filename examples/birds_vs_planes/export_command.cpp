#include <birds_vs_planes/commands.hpp>
#include <birds_vs_planes/console.hpp>
#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/saved_model.hpp>

#include <tern/core/ops.hpp>
#include <tern/interop/onnx.hpp>

#include <nlohmann/json.hpp>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace birds_vs_planes {

void export_model(const Options& options) {
  const Console console(options);
  const NamedModel model = load_model(options.model, *options.load);
  std::map<std::string, std::string> metadata = model.metadata;
  metadata["model"] = model.name;
  std::string classes;
  for (const char* name : class_names) classes += (classes.empty() ? "" : ", ") + std::string(name);
  metadata["classes"] = classes;
  const auto forward = [&](const std::vector<tern::Tensor>& images) {
    const tern::Tensor logits = (*model.module)(images[0]);
    return std::vector{logits, model.flips() ? probabilities(*model.module, images[0], true) : softmax(logits, 1)};
  };
  tern::onnx::save(*model.module, forward, {tern::zeros({1, 3, 32, 32})}, *options.output,
                   {.input_names = {"images"}, .output_names = {"logits", "probabilities"}, .metadata = metadata});
  const auto bytes = std::filesystem::file_size(*options.output);
  console.result("{}: {} as ONNX, {} bytes; images [batch, 3, 32, 32] of 0 to 1 give logits and probabilities of {}",
                 *options.output, model.name, bytes, classes);
  console.object({{"output", *options.output}, {"model", model.name}, {"bytes", bytes}});
}

}  // namespace birds_vs_planes
