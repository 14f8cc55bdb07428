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
  std::map<std::string, std::string> metadata = {};  ///< what its file said of it; empty for a fresh one

  /// Whether it judges an image by the mean over it and its mirror image: the metadata's "flips".
  bool flips() const;
};

/// A fresh model of that name; with `normalized` one with the buffers to normalise its input by, mean 0 and std 1 as
/// yet. Throws tern::Error for an unknown name.
NamedModel fresh_model(const std::string& name, bool normalized = false);

/// The model that a safetensors file holds, or a .pt file of torch.save's. Its metadata name it; `name` is needed where
/// they do not. Throws tern::Error, naming the file, where it is damaged, holds another model's weights, or contradicts
/// `name`.
NamedModel load_model(const std::optional<std::string>& name, const std::filesystem::path& file);

/// Makes the model one that normalises its input (normalized.hpp), mean and std [3].
void normalize_input(NamedModel& model, const tern::Tensor& mean, const tern::Tensor& std);

/// Saves weights and buffers under PyTorch's names, with {"format": "pt", "model": name} and `metadata` beside them.
void save_model(const std::filesystem::path& file, const NamedModel& model,
                const std::map<std::string, std::string>& metadata);

/// Throws tern::Error where save_model() could not write that file. Leaves nothing behind.
void check_writable(const std::filesystem::path& file);

}  // namespace birds_vs_planes
