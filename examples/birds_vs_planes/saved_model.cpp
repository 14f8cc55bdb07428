#include <birds_vs_planes/saved_model.hpp>

#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/normalized.hpp>

#include <tern/core/check.hpp>
#include <tern/core/safetensors.hpp>
#include <tern/interop/torch.hpp>

#include <cerrno>
#include <cstring>
#include <unistd.h>
#include <utility>

namespace birds_vs_planes {

namespace fs = std::filesystem;

bool NamedModel::flips() const {
  const auto found = metadata.find("flips");
  return found != metadata.end() && found->second == "yes";
}

NamedModel fresh_model(const std::string& name, bool normalized) {
  NamedModel model{name, make_model(name)};
  if (normalized) normalize_input(model, tern::zeros({3}), tern::ones({3}));
  return model;
}

void normalize_input(NamedModel& model, const tern::Tensor& mean, const tern::Tensor& std) {
  model.module = std::make_unique<Normalized>(std::move(model.module), mean, std);
}

NamedModel load_model(const std::optional<std::string>& name, const fs::path& file) {
  const tern::TensorFile saved = file.extension() == ".pt" ? tern::load_torch(file) : tern::load_safetensors(file);
  const auto found = saved.metadata.find("model");
  const bool says = found != saved.metadata.end();
  tern::check(says || name, "load {}: its metadata name no model: name it with --model", file.string());
  tern::check(!says || !name || *name == found->second, "load {}: it holds the model '{}', not '{}'", file.string(),
              says ? found->second : "", name.value_or(""));
  try {
    NamedModel model = fresh_model(name ? *name : found->second, saved.tensors.contains("input_mean"));
    model.module->load_state_dict(saved.tensors);
    model.metadata = saved.metadata;
    return model;
  } catch (const tern::Error& e) {
    tern::fail("load {}: {}", file.string(), e.what());
  }
}

void save_model(const fs::path& file, const NamedModel& model, const std::map<std::string, std::string>& metadata) {
  tern::TensorFile saved{model.module->state_dict(), metadata};
  saved.metadata["format"] = "pt";
  saved.metadata["model"] = model.name;
  tern::save_safetensors(file, saved);
}

void check_writable(const fs::path& file) {
  const tern::FileWriter begun(file);  // whether its folder takes a new file shows only when one is made
  const bool may_write = access(file.c_str(), W_OK) == 0 || errno == ENOENT;
  tern::check(may_write, "save {}: {}", file.string(), std::strerror(errno));
}

}  // namespace birds_vs_planes
