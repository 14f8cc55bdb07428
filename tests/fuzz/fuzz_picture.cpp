/// Any bytes are a picture or an error, in bounded time and memory; what is read once is read the same again.
///
///   build/fuzz/tests/fuzz/fuzz_picture -max_len=4096 -timeout=10 -rss_limit_mb=1024 NEW_SEEDS tests/data/pictures

#include <tern/data/picture/picture.hpp>
#include <tern/kernels/error.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  try {
    const tern::Tensor image = tern::picture::decode(file);
    const bool is_picture = image.dtype() == tern::DType::uint8 && image.dim() == 3 && image.size(0) == 3 &&
                            0 < image.numel() && image.numel() <= 3 * tern::picture::max_pixels;
    if (!is_picture || tern::picture::decode(file).to_vector<std::uint8_t>() != image.to_vector<std::uint8_t>()) {
      std::abort();
    }
  } catch (const tern::Error&) {  // as it should be
  }
  return 0;
}
