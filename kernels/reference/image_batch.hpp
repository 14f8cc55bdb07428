#pragma once

#include <tern/kernels/image_batch.hpp>
#include <tern/kernels/reference/reference.hpp>

namespace tern::kernels {

template <class T>
void ReferenceFloat<T>::image_batch(const ImageBatchShape& s, PhiloxState flips, PhiloxState cutouts,
                                    const uint8_t* images, const int64_t* labels, const int64_t* order,
                                    const int64_t* step, T* x, int64_t* target) {
  for (int64_t i = 0; i < s.N; ++i) {
    const int64_t j = order[*step * s.N + i];
    const ImageChange<int64_t> change(s, image_draws(s, flips, cutouts, i));
    for (int64_t c = 0; c < s.C; ++c) {
      for (int64_t h = 0; h < s.H; ++h) {
        for (int64_t w = 0; w < s.W; ++w) {
          const uint8_t pixel = images[((j * s.C + c) * s.H + change.row(h)) * s.W + change.column(w)];
          x[((i * s.C + c) * s.H + h) * s.W + w] =
              change.filled(h, w) ? static_cast<T>(s.fill) : static_cast<T>(pixel) / T{255};
        }
      }
    }
    target[i] = labels[j];
  }
}

}  // namespace tern::kernels
