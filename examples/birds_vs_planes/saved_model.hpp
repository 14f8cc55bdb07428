#pragma once

#include <tern/layers/module.hpp>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace birds_vs_planes {

struct NamedModel {
  std::string name;  ///< as make_model() knows it
  std::unique_ptr<tern::Module> module;
  std::map<std::string, std::string> metadata;  ///< what its file said of it; empty for a fresh one
};

/// A model with the weights in a safetensors file, or a fresh one. The file's metadata name the model; `name` is needed
/// where they do not, or where there is no file (then "net" unless given).
/// Throws tern::Error, naming the file, where it is damaged, holds another model's weights, or contradicts `name`.
NamedModel make_or_load(const std::optional<std::string>& name, const std::optional<std::filesystem::path>& file);

/// Saves weights and buffers under PyTorch's names, with {"format": "pt", "model": name} and `metadata` beside them.
void save_model(const std::filesystem::path& file, const NamedModel& model,
                const std::map<std::string, std::string>& metadata);

/// Throws tern::Error where save_model() could not write that file. Leaves nothing behind.
void check_writable(const std::filesystem::path& file);

}  // namespace birds_vs_planes
