/// A batch of images: bytes are read and floats written once. What is paid is a load of a byte's place in its row, of
/// the byte, and of its 255th part, for each pixel.

#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/threads.hpp>
#include <tern/kernels/image_batch.hpp>

#include <algorithm>
#include <array>
#include <vector>

namespace tern::kernels {
namespace {

constexpr std::array<float, 256> parts = [] {
  std::array<float, 256> all{};
  for (int i = 0; i < 256; ++i) all[static_cast<std::size_t>(i)] = static_cast<float>(i) / 255.0F;
  return all;
}();

}  // namespace

void CpuFloat32::image_batch(const ImageBatchShape& s, PhiloxState flips, PhiloxState cutouts, const uint8_t* images,
                             const int64_t* labels, const int64_t* order, const int64_t* step, float* x,
                             int64_t* target) {
  const int64_t pixels = s.C * s.H * s.W, grain = std::max<int64_t>(1, (1 << 13) / std::max<int64_t>(pixels, 1));
  parallel_for(s.N, grain, [&](int64_t begin, int64_t end) {
    std::vector<int64_t> columns(static_cast<std::size_t>(s.W));
    for (int64_t i = begin; i < end; ++i) {
      const int64_t j = order[*step * s.N + i];
      const ImageChange<int64_t> change(s, image_draws(s, flips, cutouts, i));
      for (int64_t w = 0; w < s.W; ++w) columns[static_cast<std::size_t>(w)] = change.column(w);
      float* to = x + i * pixels;
      for (int64_t c = 0; c < s.C; ++c) {
        for (int64_t h = 0; h < s.H; ++h, to += s.W) {
          const uint8_t* row = images + j * pixels + (c * s.H + change.row(h)) * s.W;
          for (int64_t w = 0; w < s.W; ++w) to[w] = parts[row[columns[static_cast<std::size_t>(w)]]];
          if (change.top <= h && h < change.bottom) std::fill(to + change.left, to + change.right_end, s.fill);
        }
      }
      target[i] = labels[j];
    }
  });
}

}  // namespace tern::kernels
