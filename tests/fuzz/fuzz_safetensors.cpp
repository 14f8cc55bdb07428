/// Any bytes are a safetensors file or an error; what is read, saved and read again is the same bit by bit, and saving
/// that once more gives the same file.

#include "fuzz.hpp"

#include <tern/core/safetensors.hpp>
#include <tern/kernels/error.hpp>

#include <cstring>

using tern::test::require;

namespace {

bool same(const tern::Tensor& a, const tern::Tensor& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  const auto bytes = static_cast<std::size_t>(a.numel()) * tern::size_of(a.dtype());
  return bytes == 0 || std::memcmp(a.storage()->data(), b.storage()->data(), bytes) == 0;
}

void check_same(const tern::TensorFile& a, const tern::TensorFile& b) {
  require(a.metadata == b.metadata, "metadata are kept");
  require(a.tensors.size() == b.tensors.size(), "no tensor is lost");
  for (const auto& [name, x] : a.tensors) {
    const auto found = b.tensors.find(name);
    require(found != b.tensors.end() && same(x, found->second), "tensors are kept bit by bit");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static tern::test::MemoryFile given;
  static const tern::test::Folder folder;
  given.assign(tern::test::as_text(data, size));
  try {
    const tern::TensorFile file = tern::load_safetensors(given.path());
    const std::string once = folder / "once", twice = folder / "twice";
    tern::save_safetensors(once, file);
    const tern::TensorFile again = tern::load_safetensors(once);
    check_same(file, again);
    tern::save_safetensors(twice, again);
    require(tern::read_bytes(once, "fuzz") == tern::read_bytes(twice, "fuzz"), "a file is written in one way");
  } catch (const tern::Error&) {  // as it should be
  }
  return 0;
}
