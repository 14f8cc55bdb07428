/// A batch of images: bytes are read and floats written once. What is paid is a conversion and a division for each
/// vector of pixels, and a byte's place in its row where an image is flipped or shifted.

#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/simd.hpp>
#include <tern/kernels/cpu/threads.hpp>
#include <tern/kernels/image_batch.hpp>

#include <algorithm>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tern/kernels/cpu/image_batch.cpp"
#include <hwy/foreach_target.h>  // before the other

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tern::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// The bytes [0, n) that fill whole vectors, of which it returns the number: y = x / 255.
template <class D>
HWY_INLINE int64_t parts(D d, int64_t n, const uint8_t* x, float* y) {
  const int64_t lanes = hn::Lanes(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto bytes = hn::LoadU(hn::Rebind<uint8_t, D>(), x + i);
    const auto whole = hn::ConvertTo(d, hn::PromoteTo(hn::Rebind<int32_t, D>(), bytes));
    hn::StoreU(hn::Div(whole, hn::Set(d, 255)), d, y + i);
  }
  return i;
}

void bytes_to_parts(int64_t n, const uint8_t* x, float* y) {
  const int64_t done = parts(hn::ScalableTag<float>(), n, x, y);
  parts(hn::CappedTag<float, 1>(), n - done, x + done, y + done);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tern::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tern::kernels {

HWY_EXPORT(bytes_to_parts);

void CpuFloat32::image_batch(const ImageBatchShape& s, PhiloxState flips, PhiloxState cutouts, const uint8_t* images,
                             const int64_t* labels, const int64_t* order, const int64_t* step, float* x,
                             int64_t* target) {
  const auto to_parts = HWY_DYNAMIC_DISPATCH(bytes_to_parts);
  const int64_t pixels = s.C * s.H * s.W, grain = std::max<int64_t>(1, (1 << 13) / std::max<int64_t>(pixels, 1));
  parallel_for(s.N, grain, [&](int64_t begin, int64_t end) {
    std::vector<uint8_t> moved(static_cast<std::size_t>(s.W));
    for (int64_t i = begin; i < end; ++i) {
      const int64_t j = order[*step * s.N + i];
      const ImageChange<int64_t> change(s, image_draws(s, flips, cutouts, i));
      float* to = x + i * pixels;
      for (int64_t c = 0; c < s.C; ++c) {
        for (int64_t h = 0; h < s.H; ++h, to += s.W) {
          const uint8_t* row = images + j * pixels + (c * s.H + change.row(h)) * s.W;
          if (change.flip || change.right != 0) {
            for (int64_t w = 0; w < s.W; ++w) moved[static_cast<std::size_t>(w)] = row[change.column(w)];
            row = moved.data();
          }
          to_parts(s.W, row, to);
          if (change.top <= h && h < change.bottom) std::fill(to + change.left, to + change.right_end, s.fill);
        }
      }
      target[i] = labels[j];
    }
  });
}

}  // namespace tern::kernels
#endif
