#pragma once

#include <cstdint>

/// The inner loops of conv2d.cpp: vector code without threads.
///
/// All of a convolution's passes are sums over taps j of products with src[offset[j] + pixel], where src is a copy of
/// the input so arranged that neither borders nor strides are left to see: tap (c, r, s) of pixel (p, q) is found at
/// offset[c, r, s] from the place of (p, q). A vector holds pixels that are neighbours in src and in the output.
/// The gradient by the weights is such a sum too: over pixels instead of taps, its vectors of taps instead of pixels,
/// and dy for weights.

namespace tern::kernels {

using std::int64_t;

/// Pixels of one vector, and output channels of a full block of packed weights (see Correlation).
struct TileSizes {
  int64_t lanes, channels;
};
TileSizes conv2d_tile_sizes();

/// The places of a vector's first pixel in src and in the output's first plane.
struct PixelVector {
  int64_t src, dst;
};

/// dst[k][pixel] = bias[k] + sum over j of w[k][j] * src[pixel + offset[j]], for all pixels of the vectors.
/// The weights are packed by blocks of output channels, each [1 + taps][channels of the block] with the bias first.
/// Blocks have TileSizes::channels channels; what remains of K is one block of 1, 2, 4 ... channels, filled with zeros.
/// tap_block taps are summed for all pixels before the next ones, so that their part of src stays in the cache; unless
/// that is all of them, no pixel is in two vectors.
/// With w_channel > 0 the weights are not packed: w[k][j] is w[k * w_channel + j], and the sums are added to dst.
struct Correlation {
  int64_t K = 0, taps = 0, tap_block = 0, vectors = 0;
  const PixelVector* vector = nullptr;
  const float* src = nullptr;
  const int64_t* offset = nullptr;
  const float* w = nullptr;
  int64_t w_channel = 0;
  float* dst = nullptr;
  int64_t dst_channel = 0;
};
void conv2d_correlate(const Correlation& s);

/// How many channels the block of packed weights has that starts where `remaining` channels are left.
int64_t conv2d_block_channels(int64_t remaining);

/// dw[k][j] += sum over the pixels of dy[k][pixel] * src[pixel + offset[j]]. No pixel is in two vectors.
struct CorrelationGradient {
  int64_t K = 0, taps = 0, vectors = 0;
  const PixelVector* vector = nullptr;
  const float* src = nullptr;
  const int64_t* offset = nullptr;
  const float* dy = nullptr;
  int64_t dy_channel = 0;
  float* dw = nullptr;
  int64_t dw_channel = 0;
};
void conv2d_correlate_gradient(const CorrelationGradient& s);

/// sum[k] += x[k * stride] + ... + x[k * stride + n - 1], for k in [0, K).
void conv2d_add_row_sums(int64_t K, int64_t n, const float* x, int64_t stride, float* sum);

/// dst is [planes][rows][cols], row h of it row h + top of src's plane [H][W], from column `left` on; zeros where src
/// has none. Planes of src lie src_plane apart. Up to a vector's lanes may be written beyond the end.
struct PaddedCopy {
  int64_t planes = 0, H = 0, W = 0;
  const float* src = nullptr;
  int64_t src_plane = 0, top = 0, left = 0, rows = 0, cols = 0;
  float* dst = nullptr;
};
void conv2d_padded_copy(const PaddedCopy& s);

/// The same with the channels last: dst is [rows][cols][planes], pixels dst_pixel apart, which is at least the planes
/// rounded up to a multiple of 4.
void conv2d_padded_copy_channels_last(const PaddedCopy& s, int64_t dst_pixel);

/// The columns of one channel's taps: dst[r][s][image][p][q] = src[image][p * stride_h + r * dilation_h][q * stride_w +
/// s * dilation_w], with [r][s] dst_tap apart and zeros after the last pixel. src is [images][height][width]. Up to a
/// vector's lanes may be read and written beyond the ends.
struct Unfold {
  int64_t images = 0, height = 0, width = 0;
  const float* src = nullptr;
  int64_t R = 0, S = 0, rows = 0, cols = 0, stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  float* dst = nullptr;
  int64_t dst_tap = 0;
};
void conv2d_unfold(const Unfold& s);

}  // namespace tern::kernels
