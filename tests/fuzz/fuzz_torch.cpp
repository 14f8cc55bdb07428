/// Any bytes are a file of torch.save's or an error; elements of what is read lie in its storage. The first byte says
/// whether the others are the file, or the pickle in one with a storage of 24 bytes.

#include "fuzz.hpp"

#include <tern/interop/torch.hpp>
#include <tern/kernels/error.hpp>
#include <interop/archive.hpp>

using tern::test::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static tern::test::MemoryFile given;
  const std::string bytes(tern::test::as_text(data + 1, size - 1));
  given.assign(data[0] % 2 == 0
                   ? bytes
                   : tern::test::zip_of({{"x/data.pkl", bytes}, {"x/data/0", std::string(24, '\1')}}, data[0] & 2));
  try {
    const tern::TensorFile file = tern::load_torch(given.path());
    std::int64_t left = 1 << 20;  // a small file may say a tensor that is large, by a stride of 0
    for (const auto& [name, x] : file.tensors) {
      require(!file.metadata.contains(name), "a name is one thing");
      if (x.numel() > left) continue;
      left -= x.numel();
      require(x.to_vector<double>().size() == static_cast<std::size_t>(x.numel()), "all elements can be read");
    }
  } catch (const tern::Error&) {  // as it should be
  }
  return 0;
}
