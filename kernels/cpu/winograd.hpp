#pragma once

#include <cstdint>

/// Winograd's convolution F(4 x 4, 3 x 3): vector code without threads.
///
/// A tile of 4 x 4 outputs of a 3 x 3 filter g sees 6 x 6 inputs d, and is A^T [(G g G^T) * (B^T d B)] A, with *
/// element by element: 36 multiplications for 144 (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks,
/// 2015, equation 8). The products are summed over channels before A is applied. The gradient by g is the same read
/// backwards: G^T [(B^T d B) * (A dy A^T)] G.
///
/// The matrices are Toom and Cook's for the points 0, infinity, a, -a, b, -b, in this order, with a = sqrt(1/2) and
/// b = sqrt(2):
///
///         1   0  -5/2  0   1   0          1     0     0           1  0   1    1     1    1
///         0   1   0  -5/2  0   1          0     0     1           0  0   a   -a     b   -b
///   B^T = 0 -2a  -2    a   1   0    G = -2/3 -2a/3  -1/3    A^T = 0  0  1/2  1/2    2    2
///         0  2a  -2   -a   1   0        -2/3  2a/3  -1/3          0  1  a/2 -a/2   2b  -2b
///         0 -b/2 -1/2  b   1   0         1/6   b/6   1/3
///         0  b/2 -1/2 -b   1   0         1/6  -b/6   1/3
///
/// With the usual points, 1 and 2, results are off by four to eight times what a direct sum is off by; with these by
/// about twice, more where channels are few (docs/cpu.md). An infinite input makes NaN of outputs beside it.
///
/// Place 6 r + c of a tile is that of points r down and c across. Vectors hold places of tiles: `lanes` / 4 neighbours
/// of each of four strips, a strip being 4 rows and `lanes` columns of pixels. Tile 4 j + i of a vector is the j-th of
/// strip i.

namespace tern::kernels {

using std::int64_t;

constexpr int64_t winograd_places = 36;

/// The lanes of the longest vectors, 0 where these are no multiple of 4. Shorter ones of 4, 8 ... lanes will do.
int64_t winograd_lanes();
/// Output channels that go together.
int64_t winograd_channels();

/// G g G^T of the filters g[3][3][winograd_channels()] of some channels, the first `channels` of them: place (r, c) of
/// neighbours at u[r * u_down + c * u_across].
void winograd_filters(int64_t channels, const float* g, float* u, int64_t u_down, int64_t u_across);

/// Where a strip begins in the output, and what it sees in the input: from element src on, which is in row `top` and
/// column `left` of a plane. These may be outside.
struct Strip {
  int64_t src, top, left, dst;
};

/// Whether the vectors can leave out what is outside of planes. If not, these are to have their borders.
bool winograd_masks_borders();

/// C planes of input, [H][W] each.
struct WinogradInput {
  int64_t C = 0, H = 0, W = 0;
  const float* src = nullptr;
  int64_t channel = 0, row = 0;  ///< elements from one to the next
  int64_t lanes = 0, strips = 0;
  const Strip* strip = nullptr;
};

/// K planes of output from those of input. Strips may overlap.
struct WinogradCorrelation {
  WinogradInput x;
  int64_t K = 0;
  const float* w = nullptr;     ///< the filters by blocks of winograd_channels() of K: [across][C][down][the block's]
  const float* bias = nullptr;  ///< [K]
  float* scratch = nullptr;     ///< winograd_scratch() elements, aligned
  float* dst = nullptr;
  int64_t dst_channel = 0, dst_row = 0;
};
void winograd_correlate(const WinogradCorrelation& s);
int64_t winograd_scratch(int64_t C, int64_t K);

/// The gradient by few channels' filters, for which larger tiles of dy would cost more to transform than they save: by
/// tiles of 2 x 2 outputs, which see 4 x 4 inputs, for the points 0, 1, -1 and infinity. The matrices are
///
///         1  0 -1  0           1  0            1   0   0
///   B^T = 0  1  1  0       A = 1  1        G = 1/2  1/2 1/2
///         0 -1  1  0           1 -1            1/2 -1/2 1/2
///         0 -1  0  1           0  1            0   0   1
///
/// and vectors hold places of tiles side by side, those of two places in turns: the elements of dy are where they
/// belong.
constexpr int64_t winograd_gradient_places = 16;

/// dw[K][down][C][4] += the sums of products of A dy A^T and B^T d B at each place, those across in the order 0, 1, 3
/// and 2, for the longest vectors.
struct WinogradGradient {
  int64_t C = 0, rows = 0, cols = 0;  ///< of dy; 2 and winograd_lanes() divide them
  const float* x = nullptr;           ///< C planes with their borders: [rows + 2][cols + 2]
  int64_t K = 0;
  const float* dy = nullptr;
  int64_t dy_channel = 0, dy_row = 0;
  const float* next_dy = nullptr;  ///< of the next call: fetched meanwhile
  float* scratch = nullptr;        ///< 4 C rows cols elements and four vectors
  float* dw = nullptr;
  int64_t dw_channel = 0;
};
void winograd_gradient(const WinogradGradient& s);
/// dg[3][3] = G^T du G, rows of places du_row apart.
void winograd_gradient_filter(const float* du, int64_t du_row, float* dg);

/// B^T d B of planes with the channels last, `rows` x `cols` tiles of them: dst[place * dst_place + tile * dst_tile +
/// channel]. Pixels are src_pixel apart; that and dst_tile are at least `channels` rounded up to a multiple of a
/// vector.
void winograd_input_channels_last(const float* src, int64_t src_pixel, int64_t channels, int64_t rows, int64_t cols,
                                  float* dst, int64_t dst_place, int64_t dst_tile);

/// A dy A^T of the strips of a plane of output: dst[place * dst_place + tile], zeros where the last vector has no
/// strip.
void winograd_output_gradient(int64_t lanes, int64_t strips, const Strip* strip, const float* dy, int64_t dy_row,
                              float* dst, int64_t dst_place);

/// dg[3][3] = G^T du G, the places of du du_place apart.
void winograd_filter_gradient(const float* du, int64_t du_place, float* dg);

}  // namespace tern::kernels
