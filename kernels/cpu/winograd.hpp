#pragma once

#include <cstdint>

/// Winograd's convolution F(2 x 2, 3 x 3): vector code without threads.
///
/// A tile of 2 x 2 outputs of a 3 x 3 filter g sees 4 x 4 inputs d, and is A^T [(G g G^T) * (B^T d B)] A, with *
/// element by element: 16 multiplications for 36 (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks,
/// 2015, equation 8, with the matrices of their section 4.1). The products are summed over channels before A is
/// applied. The gradient by g is the same read backwards: G^T [(B^T d B) * (A dy A^T)] G.
///
/// It rounds about as a direct sum does, and less where channels are many, its sums being shorter (docs/cpu.md). But
/// sums of inputs overflow a factor of 4 earlier, and an infinite input makes NaN of outputs beside it.
///
/// The 16 places of a tile are numbered by row, and so are tiles: `rows` x `cols` of them make a plane of output
/// [2 rows][2 cols] and of input [2 rows + 2][2 cols + 2].

namespace tern::kernels {

using std::int64_t;

constexpr int64_t winograd_places = 16;
constexpr int64_t winograd_least_cols = 4;  ///< that all of these take

/// u[place] = G g G^T of a filter g[3][3].
void winograd_filter(const float* g, float* u);

/// C planes of input.
struct WinogradInput {
  int64_t C = 0, rows = 0, cols = 0;
  const float* src = nullptr;
};

/// K planes of output from those of input.
struct WinogradCorrelation {
  WinogradInput x;
  int64_t K = 0;
  const float* w = nullptr;     ///< the filters, by blocks of winograd_channels() of K: [column][C][row][the block's]
  const float* bias = nullptr;  ///< [K]
  float* scratch = nullptr;     ///< C * winograd_places vectors, aligned
  float* dst = nullptr;         ///< K planes of output
  int64_t dst_channel = 0;
};
void winograd_correlate(const WinogradCorrelation& s);
int64_t winograd_channels();

/// dw[K][place][C] += the sums of products of A dy A^T and B^T d B, for few channels C and rows of whole vectors of
/// tiles.
struct WinogradGradient {
  WinogradInput x;
  int64_t K = 0;
  const float* dy = nullptr;  ///< K planes of output
  int64_t dy_channel = 0;
  float* scratch = nullptr;  ///< 16 C + 4 winograd_channels() elements for each tile, aligned
  float* dw = nullptr;
  int64_t dw_channel = 0;
};
void winograd_gradient(const WinogradGradient& s);

/// B^T d B of planes with the channels last: dst[place * dst_place + tile * dst_tile + channel]. Pixels are src_pixel
/// apart; that and dst_tile are at least `channels` rounded up to a multiple of a vector.
void winograd_input_channels_last(const float* src, int64_t src_pixel, int64_t channels, int64_t rows, int64_t cols,
                                  float* dst, int64_t dst_place, int64_t dst_tile);

/// A dy A^T of a plane: dst[place * dst_place + tile].
void winograd_output_gradient(const float* dy, int64_t rows, int64_t cols, float* dst, int64_t dst_place);

/// dg[3][3] = G^T du G, the places of du du_place apart.
void winograd_filter_gradient(const float* du, int64_t du_place, float* dg);

}  // namespace tern::kernels
