#pragma once

#include <tern/core/tensor.hpp>

#include <filesystem>
#include <map>
#include <string>

namespace tern {

/// Named tensors and what else a safetensors file says of itself.
struct TensorFile {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// Writes a safetensors file: 8 bytes of little-endian header length, a JSON header, the raw elements. Python's
/// safetensors.torch.load_file opens it. The file appears whole or not at all: it is written beside its place, flushed
/// to the disk and renamed. Throws Error if it cannot be written; a file that was there before is then still there.
void save_safetensors(const std::filesystem::path& path, const TensorFile& file);

/// Reads one into memory of the cpu device. Throws Error, naming the file and what was wrong, if it is missing,
/// truncated, damaged, or holds a dtype other than F32, F64, I64 and U8.
TensorFile load_safetensors(const std::filesystem::path& path);

/// Writes bytes to a file that appears whole or not at all. Throws Error as above.
void write_file(const std::filesystem::path& path, const std::string& bytes);

}  // namespace tern
