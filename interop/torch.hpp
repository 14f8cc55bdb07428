#pragma once

#include <tern/core/safetensors.hpp>

#include <filesystem>
#include <string>

namespace tern {

/// Reads what torch.save wrote (PyTorch 1.6 or later) into memory of the cpu device: a state_dict, or a checkpoint that
/// has one somewhere. Nothing that the file says is executed.
///
/// Dictionaries, lists and tuples within each other become names with dots: {"model": state_dict, "epoch": 3} is
/// "model.conv1.weight", ... and, as all that is no tensor, the metadata {"epoch", "3"}. With a key, what is under that
/// is read alone, without "key." before its names:
///
///   net.load_state_dict(load_torch("resnet18.pt").tensors);
///   net.load_state_dict(load_torch("checkpoint.pt", "model").tensors);
///
/// dtypes become what load_safetensors makes of them. Tensors that share a storage in the file share it here, and have
/// the strides they had. Throws Error, naming the file, what was wrong and at which byte, if it is missing, cannot be
/// read, is no zip of stored entries whose sums are right, or holds a pickle that does, or names, anything else than
/// dictionaries, lists, tuples, numbers, texts and tensors need; if it is nested deeper than 32 levels; and for a key
/// that is not there.
TensorFile load_torch(const std::filesystem::path& path, const std::string& key = "");

}  // namespace tern
