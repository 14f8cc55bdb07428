#pragma once

#include <tern/core/file.hpp>
#include <tern/core/tensor.hpp>

#include <filesystem>
#include <map>
#include <string>

namespace tern {

/// Named tensors and what else a safetensors file says of itself.
struct TensorFile {
  std::map<std::string, Tensor> tensors;        ///< by name
  std::map<std::string, std::string> metadata;  ///< the header's __metadata__: strings by name
};

/// Writes a safetensors file: 8 bytes of little-endian header length, a JSON header, the raw elements, in the order of
/// the format's own writer: int64, float64, float32, bfloat16, float16, uint8, and by name among these, so that every
/// element is aligned. Python's safetensors.torch.load_file opens it. The tensors are written one by one, from where
/// they lie if that is contiguous memory of the host. The file appears whole or not at all, as FileWriter says. Throws
/// Error if it cannot be written; a file that was there before is then still there.
void save_safetensors(const std::filesystem::path& path, const TensorFile& file);

/// Reads one into memory of the cpu device, where no dtype is lost but to a wider one: F64, F32, F16, BF16, I64 and U8
/// are as they are, BOOL becomes uint8 of 0 and 1, and I8, I16, I32, U16, U32 and U64 become int64.
///
/// Throws Error, naming the file and what was wrong, if it is missing, cannot be read, is not what the format allows (a
/// header of up to 100 MB that begins with {, spaces alone behind it, every name once, tensors that cover the rest of
/// the file one behind the other), or holds another dtype, more than 8 dimensions, a U64 that int64 cannot hold, a name
/// or metadata of more than 16 MiB, or 64 KiB of JSON without either. The header is read as a stream and judged before
/// a tensor is made: a wrong file costs next to nothing, however large it is, or a few times its longest name.
TensorFile load_safetensors(const std::filesystem::path& path);

}  // namespace tern
