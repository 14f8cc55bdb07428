/// Convolution and its gradients: 2 N K P Q (C / groups) R S FLOP each, for x, w and y moved once; 1/4 of that by
/// Winograd's tiles (winograd.hpp), which is how most 3 x 3 filters at stride 1 go.
///
/// Else all three are sums of products (conv2d_tiles.hpp) with a copy of a few rows or a few images of x, small enough
/// for the second-level cache, which takes borders and strides out of the inner loops. Where the sums are over taps,
/// there are two such copies:
///   - planes, where the width is a good fit for vectors and its stride is 1: the rows of x with zeros around them, and
///     tap (c, r, s) of a pixel lies some rows down and columns right of it; nothing is stored twice;
///   - columns, for all else: the matrix [C R S, pixels] of "im2col", over several images where these are small.
/// The gradient by x is a convolution of dy with the filter turned by 180 degrees, where the stride is 1, and otherwise
/// the product of the transposed filter matrix and dy, its columns added back to where they were taken from.
/// The gradient by w is a sum over pixels, in vectors of taps: its copy has the channels last, so that taps are
/// neighbours. It is summed in fixed chunks of images and rows; these partial sums are then added up in order.
///
/// Pooling and an activation follow block by block, while what they read is in the cache, and the gradient by what was
/// pooled is made anew for each block that reads it: neither is ever in memory as a whole (Output, Input).

#include <tern/kernels/cpu/conv2d_planes.hpp>
#include <tern/kernels/cpu/conv2d_tiles.hpp>
#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/memory.hpp>
#include <tern/kernels/cpu/pool2d_plane.hpp>
#include <tern/kernels/cpu/simd.hpp>
#include <tern/kernels/cpu/threads.hpp>
#include <tern/kernels/cpu/winograd.hpp>

#include <algorithm>
#include <functional>
#include <numeric>
#include <vector>

namespace tern::kernels {

namespace {

constexpr int64_t cache_elements = 1 << 16;  // of the copy of x that one thread works on
constexpr int64_t cache_taps = 512;          // whose columns it keeps there
constexpr int64_t piece_flop = 1 << 20;      // worth a thread's while
constexpr int64_t sum_flop = 1 << 10;        // worth a sum's being kept apart

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
/// n elements filled up to an odd number of vectors: places so far apart do not meet in the same sets of the cache.
int64_t odd_vectors(int64_t n, int64_t lanes) { return (ceil_div(n, lanes) | 1) * lanes; }

/// The part of N images of P x Q pixels of output (or tiles of them) that one copy of x serves: some rows of one image,
/// or all rows of some images.
struct Blocking {
  int64_t N, P, Q;
  int64_t images, rows;  ///< of a block
  int64_t image_blocks, row_blocks;

  /// About `pixels` pixels to a block, and a multiple of `row_unit` rows, where it has not all.
  Blocking(int64_t all_images, int64_t height, int64_t width, int64_t pixels, int64_t row_unit = 1)
      : N(all_images), P(height), Q(width) {
    row_blocks = std::min(P, ceil_div(P * Q, std::max(pixels, Q)));
    rows = std::min(P, round_up(ceil_div(P, row_blocks), row_unit));
    row_blocks = ceil_div(P, rows);
    images = row_blocks > 1 ? 1 : std::clamp<int64_t>(pixels / (P * Q), 1, N);
    image_blocks = ceil_div(N, images);
  }
  Blocking(const Conv2dShape& s, int64_t pixels, int64_t row_unit = 1)
      : Blocking(s.N, s.P(), s.Q(), pixels, row_unit) {}

  int64_t count() const { return image_blocks * row_blocks; }
  int64_t pixels() const { return images * rows * Q; }
};

struct Block {
  int64_t n, images, p, rows;

  Block(const Blocking& b, int64_t index) {
    n = index / b.row_blocks * b.images;
    images = std::min(b.images, b.N - n);
    p = index % b.row_blocks * b.rows;
    rows = std::min(b.rows, b.P - p);
  }
};

/// Where the pixels of a block go: from `first` on, so many elements from image to image and from channel to channel.
struct Destination {
  float* first;
  int64_t image, channel;
};

/// What becomes of a convolution's result: it goes to y, or, where windows pool it, through a thread's scratch memory,
/// block by block; and then through the activation. Or who wants to look at y's planes is told of each, while the cache
/// has it if blocks have whole ones.
class Output {
 public:
  Output(CpuFloat32& kernels, const Conv2dMaxPool2dShape& s, float* y, uint8_t* picked,
         const std::function<void(int64_t)>* look = nullptr)
      : kernels_(kernels), s_(s), y_(y), picked_(picked), look_(look) {}

  /// No window lies in two blocks.
  int64_t row_unit() const { return s_.R; }
  /// Pixels of a block, where it may have `pixels` of them for the sake of its input.
  int64_t pixels(int64_t pixels) const {
    const int64_t K = s_.conv.K / s_.conv.groups;
    return s_.pools() || look_ ? std::min(pixels, std::max<int64_t>(1024, cache_elements / K)) : pixels;
  }
  int64_t scratch(int64_t images, int64_t rows) const {
    return s_.pools() ? images * s_.conv.K / s_.conv.groups * rows * s_.conv.Q() : 0;
  }

  /// Of group g's channels of the block.
  Destination place(const Block& b, int64_t g, float* scratch) const {
    const int64_t Q = s_.conv.Q(), K = s_.conv.K / s_.conv.groups, plane = s_.conv.P() * Q;
    if (s_.pools()) return {scratch, K * b.rows * Q, b.rows * Q};
    return {y_ + (b.n * s_.conv.K + g * K) * plane + b.p * Q, s_.conv.K * plane, plane};
  }

  /// Once all is where place() said.
  void finish(const Block& b, int64_t g, float* scratch) const {
    const int64_t K = s_.conv.K / s_.conv.groups, Q = s_.Q();
    for (int64_t i = 0; look_ && b.rows == s_.conv.P() && i < b.images; ++i) {
      for (int64_t k = 0; k < K; ++k) (*look_)((b.n + i) * s_.conv.K + g * K + k);
    }
    if (s_.is_conv2d() || b.rows < s_.R) return;
    const Pool2dShape pool{1, 1, b.rows, s_.conv.Q(), s_.R, s_.S, s_.R, s_.S};
    const Destination from = place(b, g, scratch);
    for (int64_t i = 0; i < b.images; ++i) {
      for (int64_t k = 0; k < K; ++k) {
        const int64_t to = (((b.n + i) * s_.conv.K + g * K + k) * s_.P() + b.p / s_.R) * Q, n = b.rows / s_.R * Q;
        if (s_.pools()) {
          max_pool2d_plane(pool, from.first + i * from.image + k * from.channel, y_ + to,
                           picked_ ? picked_ + to : nullptr);
        }
        if (s_.activation != Activation::none) kernels_.unary(unary_of(s_.activation), n, y_ + to, y_ + to);
      }
    }
  }

  /// Once that is done for all blocks.
  void finish_all(const Blocking& blocking) const {
    if (!look_ || blocking.row_blocks == 1) return;
    parallel_for(s_.conv.N * s_.conv.K, 1, [&](int64_t begin, int64_t end) {
      for (int64_t plane = begin; plane < end; ++plane) (*look_)(plane);
    });
  }

 private:
  CpuFloat32& kernels_;
  const Conv2dMaxPool2dShape& s_;
  float* y_;
  uint8_t* picked_;
  const std::function<void(int64_t)>* look_;  ///< null where nobody does
};

/// Images [N, planes, HW] that a convolution is of: as they lie in memory, or each plane made where it is read.
struct Input {
  int64_t planes, HW;
  const float* x;                                                ///< null for what is made
  std::function<void(int64_t plane, float* to)> make = nullptr;  ///< null for what is in memory
};

/// The gradient by a convolution's result, from that by what Output made of it.
Input input_gradient(CpuFloat32& kernels, const Conv2dMaxPool2dShape& s, const float* y, const uint8_t* picked,
                     const float* dy) {
  const int64_t HW = s.conv.P() * s.conv.Q(), n = s.P() * s.Q();
  if (s.is_conv2d()) return {s.conv.K, HW, dy};
  return {s.conv.K, HW, nullptr, [=, &kernels, &s](int64_t plane, float* to) {
            const int64_t from = plane * n;
            if (s.activation == Activation::none) {
              return max_pool2d_plane_backward(s.pool(), picked + from, dy + from, to);
            }
            if (!s.pools()) return kernels.unary_backward(unary_of(s.activation), n, y + from, dy + from, to);
            const Scratch<float> before(n);
            kernels.unary_backward(unary_of(s.activation), n, y + from, dy + from, before.data());
            max_pool2d_plane_backward(s.pool(), picked + from, before.data(), to);
          }};
}

/// One thread's look at an Input, up to so many images at a time.
class InputReader {
 public:
  InputReader(const Input& in, int64_t images) : in_(in), made_(in.make ? images * in.planes * in.HW : 0) {}

  /// `count` planes of each of some images, which lie as they would in memory.
  const float* at(int64_t n, int64_t images, int64_t plane, int64_t count) {
    if (!in_.make) return in_.x + (n * in_.planes + plane) * in_.HW;
    if (n != n_ || plane != plane_) {
      for (int64_t i = 0; i < images; ++i) {
        for (int64_t j = plane; j < plane + count; ++j) {
          in_.make((n + i) * in_.planes + j, made_.data() + (i * in_.planes + j) * in_.HW);
        }
      }
    }
    n_ = n;
    plane_ = plane;
    return made_.data() + plane * in_.HW;
  }

 private:
  const Input& in_;
  Scratch<float> made_;          ///< the images
  int64_t n_ = -1, plane_ = -1;  ///< of what has been made
};

/// Of one image's pixel in one group.
int64_t flop_per_pixel(const Conv2dShape& s) { return 2 * (s.K / s.groups) * (s.C / s.groups) * s.R * s.S; }

/// The rows and columns of x, borders included, under `rows` rows of output, and under all columns.
int64_t input_rows(const Conv2dShape& s, int64_t rows) {
  return (rows - 1) * s.stride_h + s.dilation_h * (s.R - 1) + 1;
}
int64_t input_columns(const Conv2dShape& s) { return (s.Q() - 1) * s.stride_w + s.dilation_w * (s.S - 1) + 1; }

/// The copy of `planes` channels, from the image and channel that x starts at: of each `rows` rows from the block's
/// first.
PaddedCopy padded_input(const Conv2dShape& s, const Block& b, int64_t planes, int64_t rows, const float* x,
                        float* copy) {
  return {.planes = planes,
          .H = s.H,
          .W = s.W,
          .src = x,
          .src_plane = s.H * s.W,
          .top = b.p * s.stride_h - s.pad_h,
          .left = -s.pad_w,
          .rows = rows,
          .cols = input_columns(s),
          .dst = copy};
}

/// The copy of some channels of x for one block, as planes or as columns, and where its output's pixels are found.
class InputCopy {
 public:
  /// Of up to C channels. The rows of a block that is copied as planes have at least one vector of pixels.
  InputCopy(const Conv2dShape& s, const Blocking& b, int64_t C, bool as_planes)
      : s_(s),
        as_planes_(as_planes),
        height_(input_rows(s, b.rows)),
        width_(input_columns(s)),
        lanes_(conv2d_tile_sizes().lanes),
        stride_(round_up(b.images * b.rows * s.Q(), lanes_)),
        image_(C * height_ * width_),
        columns_(C * s.R * s.S * stride_ + lanes_),
        elements_(as_planes ? b.images * image_ + lanes_ : columns_ + b.images * height_ * width_ + 2 * lanes_) {
    for (int64_t c = 0, j = 0; c < C; ++c) {
      for (int64_t r = 0; r < s.R; ++r) {
        for (int64_t t = 0; t < s.S; ++t, ++j) {
          offset_.push_back(as_planes ? (c * height_ + r * s.dilation_h) * width_ + t * s.dilation_w : j * stride_);
        }
      }
    }
  }

  int64_t elements() const { return elements_; }
  const int64_t* offset() const { return offset_.data(); }
  /// Columns: elements from tap to tap, a multiple of a vector. What is no pixel is zero.
  int64_t stride() const { return stride_; }

  /// The vectors of a block. Planes: images lie dst_image elements apart in dst. The last vector of a row of odd length
  /// overlaps the one before it. Columns: dst as in [K][stride()].
  std::vector<PixelVector> vectors(const Block& b, int64_t dst_image) const {
    const int64_t Q = s_.Q();
    std::vector<PixelVector> list;
    if (as_planes_) {
      for (int64_t i = 0; i < b.images; ++i) {
        for (int64_t p = 0; p < b.rows; ++p) {
          const int64_t src = i * image_ + p * s_.stride_h * width_, dst = i * dst_image + p * Q;
          for (int64_t q = 0; q < Q; q += lanes_) {
            const int64_t at = std::min(q, Q - lanes_);
            list.push_back({src + at, dst + at});
          }
        }
      }
    } else {
      for (int64_t at = 0; at < b.images * b.rows * Q; at += lanes_) list.push_back({at, at});
    }
    return list;
  }

  /// From `count` channels of x, which starts at the block's first image and channel.
  void fill(const Block& b, int64_t count, const float* x, float* copy) const {
    const int64_t HW = s_.H * s_.W;
    PaddedCopy padded = padded_input(s_, b, count, height_, x, copy);
    if (as_planes_) {
      for (int64_t i = 0; i < b.images; ++i, padded.src += s_.C * HW, padded.dst += image_) conv2d_padded_copy(padded);
      return;
    }
    padded.planes = b.images;
    padded.src_plane = s_.C * HW;
    padded.dst = copy + columns_;
    Unfold unfold{.images = b.images,
                  .height = height_,
                  .width = width_,
                  .src = padded.dst,
                  .R = s_.R,
                  .S = s_.S,
                  .rows = b.rows,
                  .cols = s_.Q(),
                  .stride_h = s_.stride_h,
                  .stride_w = s_.stride_w,
                  .dilation_h = s_.dilation_h,
                  .dilation_w = s_.dilation_w,
                  .dst = copy,
                  .dst_tap = stride_};
    for (int64_t c = 0; c < count; ++c, padded.src += HW, unfold.dst += s_.R * s_.S * stride_) {
      conv2d_padded_copy(padded);
      conv2d_unfold(unfold);
    }
  }

 private:
  const Conv2dShape& s_;
  bool as_planes_;
  int64_t height_, width_, lanes_, stride_;
  int64_t image_;    ///< planes: elements from image to image
  int64_t columns_;  ///< columns: elements before the padded planes that they are made from
  int64_t elements_;
  std::vector<int64_t> offset_;
};

/// The block's pixels of a group of dy, as [K / groups][stride] with zeros at the end. dy starts at the block's first
/// image.
void gather_pixels(const Conv2dShape& s, const Block& b, const float* dy, int64_t stride, float* pixels) {
  const int64_t PQ = s.P() * s.Q(), n = b.rows * s.Q();
  dy += b.p * s.Q();
  for (int64_t k = 0; k < s.K / s.groups; ++k, pixels += stride) {
    for (int64_t i = 0; i < b.images; ++i) std::copy_n(dy + (i * s.K + k) * PQ, n, pixels + i * n);
    std::fill(pixels + b.images * n, pixels + stride, 0.0f);
  }
}

/// The weights of all groups as Correlation wants them. weight(g, k, j) is that of channel k and tap j of group g.
class PackedWeights {
 public:
  template <class Weight>
  PackedWeights(int64_t groups, int64_t K, int64_t taps, const float* bias, const Weight& weight)
      : group_(round_up(K, conv2d_tile_sizes().channels) * (1 + taps)), data_(groups * group_) {
    const int64_t most = conv2d_tile_sizes().channels, blocks = ceil_div(K, most);
    const int64_t grain = std::max<int64_t>(1, (1 << 15) / (most * (1 + taps)));
    parallel_for(groups * blocks, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t g = i / blocks, k0 = i % blocks * most, n = conv2d_block_channels(K - k0);
        float* to = data_.data() + g * group_ + k0 * (1 + taps);
        for (int64_t k = 0; k < n; ++k) {
          const bool real = k0 + k < K;
          to[k] = real && bias ? bias[g * K + k0 + k] : 0;
          for (int64_t j = 0; j < taps; ++j) to[(1 + j) * n + k] = real ? weight(g, k0 + k, j) : 0;
        }
      }
    });
  }

  const float* group(int64_t g) const { return data_.data() + g * group_; }

 private:
  int64_t group_;
  Scratch<float> data_;
};

int64_t grain_for(int64_t flop) { return std::max<int64_t>(1, piece_flop / std::max<int64_t>(1, flop)); }

/// y from x with weights that are packed already.
void correlate(const Conv2dShape& s, const Input& x, const PackedWeights& w, const Output& y) {
  const int64_t Q = s.Q(), K = s.K / s.groups, taps = s.C / s.groups * s.R * s.S;
  const int64_t lanes = conv2d_tile_sizes().lanes;
  // Rows of at least one vector that fill three quarters of their vectors.
  const bool as_planes = s.stride_w == 1 && Q >= lanes && 4 * Q >= 3 * round_up(Q, lanes);
  const int64_t C = s.C / s.groups;
  const int64_t pixels = as_planes ? std::max(cache_elements / std::max<int64_t>(1, C), 6 * lanes) : 12 * lanes;
  const Blocking blocking(s, y.pixels(pixels), y.row_unit());
  const InputCopy copy(s, blocking, C, as_planes);

  const int64_t flop = blocking.pixels() * flop_per_pixel(s);
  parallel_for(blocking.count() * s.groups, grain_for(flop), [&](int64_t begin, int64_t end) {
    Scratch<float> src(copy.elements()), out(y.scratch(blocking.images, blocking.rows));
    InputReader in(x, blocking.images);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t g = task % s.groups;
      const Block b(blocking, task / s.groups);
      copy.fill(b, C, in.at(b.n, b.images, g * C, C), src.data());

      const Destination dst = y.place(b, g, out.data());
      const auto vectors = copy.vectors(b, dst.image);
      Correlation c{.K = K,
                    .taps = taps,
                    .tap_block = as_planes ? taps : cache_taps,
                    .vectors = static_cast<int64_t>(vectors.size()),
                    .vector = vectors.data(),
                    .src = src.data(),
                    .offset = copy.offset(),
                    .w = w.group(g)};
      if (as_planes) {
        c.dst = dst.first;
        c.dst_channel = dst.channel;
        conv2d_correlate(c);
      } else {
        const int64_t n = b.rows * Q;
        Scratch<float> columns(K * copy.stride());
        c.dst = columns.data();
        c.dst_channel = copy.stride();
        conv2d_correlate(c);
        for (int64_t i = 0; i < b.images; ++i) {
          for (int64_t k = 0; k < K; ++k) {
            std::copy_n(columns.data() + k * copy.stride() + i * n, n, dst.first + i * dst.image + k * dst.channel);
          }
        }
      }
      y.finish(b, g, out.data());
    }
  });
  y.finish_all(blocking);
}

/// Of the vectors for rows that the longest ones do not fit well; rows shorter than these would leave most lanes idle.
int64_t shorter_winograd_lanes() { return std::max<int64_t>(4, winograd_lanes() / 2); }

/// Whether to convolve by Winograd's tiles, which move an output by what its tile sees beside it: with few channels the
/// transforms cost more than the multiplications that they save.
bool suits_winograd(const Conv2dShape& s) {
  if (s.precision == Precision::highest) return false;
  const bool filter =
      s.R == 3 && s.S == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 && s.dilation_w == 1;
  const bool tiles = winograd_lanes() > 0 && s.P() >= 4 && s.Q() >= shorter_winograd_lanes();
  return filter && tiles && s.C / s.groups >= 2 && s.K / s.groups >= 4;
}

/// Blocks of rows of tiles, of about `pixels` pixels, the last of which may reach beyond the output.
Blocking tile_blocking(const Conv2dShape& s, int64_t pixels) {
  return {s.N, ceil_div(s.P(), 4), ceil_div(s.Q(), 4), pixels / 16};
}

/// Elements from image to image and from row to row.
struct Steps {
  int64_t image, row;
};

/// What rows x cols pixels of output from row p on see of x, [planes][rows + 2][cols + 2].
PaddedCopy tiles_input(const Conv2dShape& s, int64_t planes, int64_t p, int64_t rows, int64_t cols, const float* x,
                       float* copy) {
  return {.planes = planes,
          .H = s.H,
          .W = s.W,
          .src = x,
          .src_plane = s.H * s.W,
          .top = p - s.pad_h,
          .left = -s.pad_w,
          .rows = rows + 2,
          .cols = cols + 2,
          .dst = copy};
}

/// Where tiles find their input: in x, or in a copy with borders.
struct TileInput {
  const float* src = nullptr;
  int64_t H = 0, W = 0, channel = 0;
  Steps step = {};
  int64_t top = 0, left = 0;  ///< of the first tile

  TileInput() = default;
  /// What `rows` rows of output from row p on see of `planes` channels of some images from x on. The copy has
  /// copied() elements.
  TileInput(const Conv2dShape& s, int64_t images, int64_t planes, int64_t p, int64_t rows, const float* x, float* copy)
      : src(x), H(s.H), W(s.W), channel(s.H * s.W), step{s.C * channel, s.W}, top(p - s.pad_h), left(-s.pad_w) {
    if (winograd_masks_borders()) return;
    for (int64_t i = 0; i < images; ++i, x += step.image) {
      conv2d_padded_copy(tiles_input(s, planes, p, rows, s.Q(), x, copy + i * planes * (rows + 2) * (s.Q() + 2)));
    }
    src = copy;
    H = rows + 2;
    W = s.Q() + 2;
    channel = H * W;
    step = {planes * channel, W};
    top = left = 0;
  }
  WinogradInput under(const std::vector<Strip>& strips, int64_t planes, int64_t lanes) const {
    return {.C = planes,
            .H = H,
            .W = W,
            .src = src,
            .channel = channel,
            .row = step.row,
            .lanes = lanes,
            .strips = static_cast<int64_t>(strips.size()),
            .strip = strips.data()};
  }
  static int64_t copied(const Conv2dShape& s, int64_t images, int64_t planes, int64_t rows) {
    const int64_t lanes = winograd_lanes();
    return winograd_masks_borders() ? 0 : round_up(images * planes * (rows + 2) * (s.Q() + 2) + lanes, lanes);
  }
};

/// The strips of images of rows x cols pixels, `lanes` columns wide. Those to the right and at the bottom lie over
/// others where they do not fit.
std::vector<Strip> strips_of(int64_t images, int64_t rows, int64_t cols, int64_t lanes, const TileInput& in,
                             Steps dst) {
  std::vector<Strip> list;
  for (int64_t i = 0; i < images; ++i) {
    for (int64_t p = 0; p < rows; p += 4) {
      for (int64_t q = 0; q < cols; q += lanes) {
        const int64_t row = std::min(p, rows - 4), column = std::min(q, cols - lanes);
        const int64_t top = in.top + row, left = in.left + column;
        list.push_back(
            {i * in.step.image + top * in.step.row + left, top, left, i * dst.image + row * dst.row + column});
      }
    }
  }
  return list;
}

/// y from x by Winograd's tiles. weight(g, k, c, i) is element i of the filter [3][3] of channels k and c of group g.
template <class Weight>
void correlate_by_tiles(const Conv2dShape& s, const Input& x, const Weight& weight, const float* bias,
                        const Output& y) {
  const int64_t C = s.C / s.groups, K = s.K / s.groups, P = s.P(), Q = s.Q();
  const int64_t most = winograd_channels(), filters = C * winograd_places;
  Scratch<float> packed(s.K * filters);
  const int64_t blocks = ceil_div(K, most);
  parallel_for(s.groups * blocks, std::max<int64_t>(1, (1 << 13) / (C * most)), [&](int64_t begin, int64_t end) {
    Scratch<float> filter(9 * most);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t g = i / blocks, first = i % blocks * most, block = std::min(most, K - first);
      float* to = packed.data() + (g * K + first) * filters;
      for (int64_t c = 0; c < C; ++c, to += 6 * block) {
        for (int j = 0; j < 9; ++j) {
          for (int64_t k = 0; k < most; ++k) filter[j * most + k] = k < block ? weight(g, first + k, c, j) : 0;
        }
        winograd_filters(block, filter.data(), to, block, 6 * C * block);
      }
    }
  });
  Scratch<float> biases(s.K);
  for (int64_t k = 0; k < s.K; ++k) biases[k] = bias ? bias[k] : 0;

  int64_t lanes = winograd_lanes();
  if (Q < lanes || 4 * Q < 3 * round_up(Q, lanes)) lanes = shorter_winograd_lanes();
  // Rows that fill no tile go with the last block: no two blocks write the same.
  const int64_t pixels = y.pixels(std::clamp<int64_t>(cache_elements / C, 1024, 4096));
  const Blocking blocking(s.N, P / 4, ceil_div(Q, 4), pixels / 16, y.row_unit() / std::gcd(y.row_unit(), int64_t{4}));
  const int64_t flop = 2 * filters * K * blocking.pixels();
  parallel_for(blocking.count() * s.groups, grain_for(flop), [&](int64_t begin, int64_t end) {
    Scratch<float> copy(TileInput::copied(s, blocking.images, C, 4 * blocking.rows + 3));
    Scratch<float> scratch(winograd_scratch(C, K)), out(y.scratch(blocking.images, 4 * blocking.rows + 3));
    InputReader images(x, blocking.images);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t g = task % s.groups;
      Block b(blocking, task / s.groups);
      const float* from = images.at(b.n, b.images, g * C, C);
      b.rows = (b.p + b.rows < blocking.P ? 4 * (b.p + b.rows) : P) - 4 * b.p;
      b.p *= 4;
      const TileInput in(s, b.images, C, b.p, b.rows, from, copy.data());
      const Destination dst = y.place(b, g, out.data());
      const auto strips = strips_of(b.images, b.rows, Q, lanes, in, {dst.image, Q});
      winograd_correlate({.x = in.under(strips, C, lanes),
                          .K = K,
                          .w = packed.data() + g * K * filters,
                          .bias = biases.data() + g * K,
                          .scratch = scratch.data(),
                          .dst = dst.first,
                          .dst_channel = dst.channel,
                          .dst_row = Q});
      y.finish(b, g, out.data());
    }
  });
  y.finish_all(blocking);
}

/// What `out` makes of conv2d(x, w, bias).
void convolve(const Conv2dShape& s, const float* x, const float* w, const float* bias, const Output& out) {
  if (s.N * s.K * s.P() * s.Q() == 0) return;
  const int64_t K = s.K / s.groups, C = s.C / s.groups, taps = C * s.R * s.S;
  const Input in{s.C, s.H * s.W, x};
  if (suits_winograd(s)) {
    const auto weight = [&](int64_t g, int64_t k, int64_t i, int j) { return w[((g * K + k) * C + i) * 9 + j]; };
    return correlate_by_tiles(s, in, weight, bias, out);
  }
  const PackedWeights packed(s.groups, K, taps, bias,
                             [&](int64_t g, int64_t k, int64_t j) { return w[(g * K + k) * taps + j]; });
  correlate(s, in, packed, out);
}

/// dx from dy at stride 1: y of a convolution whose filter is turned round, inputs and outputs of a group swapped.
void backward_input_unit_stride(CpuFloat32& kernels, const Conv2dShape& s, const float* w, const Input& dy, float* dx) {
  const Conv2dShape turned{.N = s.N,
                           .C = s.K,
                           .H = s.P(),
                           .W = s.Q(),
                           .K = s.C,
                           .R = s.R,
                           .S = s.S,
                           .pad_h = s.dilation_h * (s.R - 1) - s.pad_h,
                           .pad_w = s.dilation_w * (s.S - 1) - s.pad_w,
                           .dilation_h = s.dilation_h,
                           .dilation_w = s.dilation_w,
                           .groups = s.groups,
                           .precision = s.precision};
  const Conv2dMaxPool2dShape alone{.conv = turned};
  const Output out(kernels, alone, dx, nullptr);
  const int64_t C = s.C / s.groups, K = s.K / s.groups, RS = s.R * s.S;
  if (suits_winograd(turned)) {
    const auto weight = [&](int64_t g, int64_t c, int64_t k, int i) { return w[((g * K + k) * C + c) * 9 + 8 - i]; };
    return correlate_by_tiles(turned, dy, weight, nullptr, out);
  }
  const PackedWeights packed(s.groups, C, K * RS, nullptr, [&](int64_t g, int64_t c, int64_t j) {
    return w[((g * K + j / RS) * C + c) * RS + (RS - 1 - j % RS)];
  });
  correlate(turned, dy, packed, out);
}

/// Adds the columns of one channel's taps, `stride` apart, to the plane of x that they would be taken from.
void add_columns(const Conv2dShape& s, const Block& b, const float* columns, int64_t stride, float* x) {
  const int64_t Q = s.Q();
  for (int64_t r = 0; r < s.R; ++r) {
    for (int64_t t = 0; t < s.S; ++t, columns += stride) {
      const int64_t left = t * s.dilation_w - s.pad_w;  // w = q * stride_w + left is in [0, W) for q in [first, last)
      const int64_t first = left < 0 ? std::min(Q, ceil_div(-left, s.stride_w)) : 0;
      const int64_t last = left < s.W ? std::clamp(ceil_div(s.W - left, s.stride_w), first, Q) : first;
      for (int64_t p = 0; p < b.rows; ++p) {
        const int64_t h = (b.p + p) * s.stride_h - s.pad_h + r * s.dilation_h;
        if (h < 0 || h >= s.H) continue;
        for (int64_t q = first; q < last; ++q) x[h * s.W + q * s.stride_w + left] += columns[p * Q + q];
      }
    }
  }
}

/// dx from dy in general: the columns [C R S, pixels] = w^T dy, each added to where it was taken from.
void backward_input_by_columns(const Conv2dShape& s, const float* w, const Input& dy, float* dx) {
  const int64_t C = s.C / s.groups, K = s.K / s.groups, taps = C * s.R * s.S, HW = s.H * s.W;
  const int64_t lanes = conv2d_tile_sizes().lanes;
  const PackedWeights packed(s.groups, taps, K, nullptr,
                             [&](int64_t g, int64_t j, int64_t k) { return w[(g * K + k) * taps + j]; });
  const Blocking blocking(s, 12 * lanes);
  const int64_t stride = round_up(blocking.images * blocking.rows * s.Q(), lanes);
  std::vector<int64_t> offset;
  for (int64_t k = 0; k < K; ++k) offset.push_back(k * stride);
  std::vector<PixelVector> vectors;
  for (int64_t at = 0; at < stride; at += lanes) vectors.push_back({at, at});

  const int64_t flop = blocking.pixels() * flop_per_pixel(s) * blocking.row_blocks;
  parallel_for(blocking.image_blocks * s.groups, grain_for(flop), [&](int64_t begin, int64_t end) {
    Scratch<float> pixels(K * stride), columns(taps * stride);
    InputReader images(dy, blocking.images);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t g = task % s.groups;
      for (int64_t r = 0; r < blocking.row_blocks; ++r) {
        const Block b(blocking, task / s.groups * blocking.row_blocks + r);
        float* dx_block = dx + (b.n * s.C + g * C) * HW;
        if (r == 0) {
          for (int64_t i = 0; i < b.images; ++i) std::fill_n(dx_block + i * s.C * HW, C * HW, 0.0f);
        }
        gather_pixels(s, b, images.at(b.n, b.images, g * K, K), stride, pixels.data());
        conv2d_correlate({.K = taps,
                          .taps = K,
                          .tap_block = cache_taps,
                          .vectors = static_cast<int64_t>(vectors.size()),
                          .vector = vectors.data(),
                          .src = pixels.data(),
                          .offset = offset.data(),
                          .w = packed.group(g),
                          .dst = columns.data(),
                          .dst_channel = stride});
        for (int64_t c = 0; c < C; ++c) {
          for (int64_t i = 0; i < b.images; ++i) {
            add_columns(s, b, columns.data() + c * s.R * s.S * stride + i * b.rows * s.Q(), stride,
                        dx_block + (i * s.C + c) * HW);
          }
        }
      }
    }
  });
}

/// The gradient of a slice of C channels, in vectors of pixels. Its sums are [K][C][R][S].
class GradientByPixels {
 public:
  GradientByPixels(const Conv2dShape& s, const Blocking& b, int64_t C)
      : s_(s),
        C_(C),
        as_planes_(s.stride_w == 1 && s.Q() % conv2d_tile_sizes().lanes == 0),
        copy_(s, b, C, as_planes_) {}

  int64_t copied() const { return copy_.elements(); }  ///< of x
  int64_t scratch() const { return copy_.elements() + (as_planes_ ? 0 : s_.K / s_.groups * copy_.stride()); }
  int64_t row() const { return C_ * s_.R * s_.S; }
  static Blocking blocking(const Conv2dShape& s) { return {s, 1024}; }
  /// dw of the slice, from the sums of one channel of dy.
  void weights(const float* sums, float* dw) const { std::copy_n(sums, row(), dw); }

  /// Adds a block to the sums, in rows of sums_row elements; x and dy start at its first image and channel.
  void add(const Block& b, const float* x, const float* dy, float* scratch, float* sums, int64_t sums_row) const {
    copy_.fill(b, C_, x, scratch);
    const auto vectors = copy_.vectors(b, s_.K * s_.P() * s_.Q());
    CorrelationGradient d{.K = s_.K / s_.groups,
                          .taps = row(),
                          .vectors = static_cast<int64_t>(vectors.size()),
                          .vector = vectors.data(),
                          .src = scratch,
                          .offset = copy_.offset(),
                          .dy = dy + b.p * s_.Q(),
                          .dy_channel = s_.P() * s_.Q(),
                          .dw = sums,
                          .dw_channel = sums_row};
    if (!as_planes_) {
      gather_pixels(s_, b, dy, copy_.stride(), scratch + copy_.elements());
      d.dy = scratch + copy_.elements();
      d.dy_channel = copy_.stride();
    }
    conv2d_correlate_gradient(d);
  }

 private:
  const Conv2dShape& s_;
  int64_t C_;
  bool as_planes_;
  InputCopy copy_;
};

/// The same in vectors of taps, for which x is copied with its channels last. From pixel to pixel is an odd number of
/// vectors, lest those of one channel meet in the same sets of the cache. The sums are [K][R][S][C], each C filled up
/// to whole vectors.
class GradientByTaps {
 public:
  GradientByTaps(const Conv2dShape& s, const Blocking& b, int64_t C)
      : s_(s),
        C_(C),
        height_(input_rows(s, b.rows)),
        width_(input_columns(s)),
        lanes_(conv2d_tile_sizes().lanes),
        pixel_(odd_vectors(C, std::max<int64_t>(lanes_, 4))),
        elements_(b.images * height_ * width_ * pixel_),
        dy_channel_(round_up(b.images * b.rows * s.Q(), lanes_) + lanes_) {  // no multiple of a page
    for (int64_t r = 0; r < s.R; ++r) {
      for (int64_t t = 0; t < s.S; ++t) {
        for (int64_t c = 0; c < C; c += lanes_) {
          const int64_t at = (r * s.dilation_h * width_ + t * s.dilation_w) * pixel_ + c;
          taps_.push_back({at, static_cast<int64_t>(taps_.size()) * lanes_});
        }
      }
    }
    for (int64_t i = 0; i < b.images; ++i) {
      for (int64_t p = 0; p < b.rows; ++p) {
        for (int64_t q = 0; q < s.Q(); ++q) {
          pixels_.push_back(((i * height_ + p * s.stride_h) * width_ + q * s.stride_w) * pixel_);
        }
      }
    }
  }

  int64_t copied() const { return elements_; }
  int64_t scratch() const { return elements_ + s_.K / s_.groups * dy_channel_; }
  int64_t row() const { return static_cast<int64_t>(taps_.size()) * lanes_; }
  static Blocking blocking(const Conv2dShape& s) { return {s, 1024}; }
  void weights(const float* sums, float* dw) const {
    for (int64_t c = 0; c < C_; ++c) {
      for (int64_t rs = 0; rs < s_.R * s_.S; ++rs) *dw++ = sums[rs * round_up(C_, lanes_) + c];
    }
  }

  void add(const Block& b, const float* x, const float* dy, float* scratch, float* sums, int64_t sums_row) const {
    PaddedCopy padded = padded_input(s_, b, C_, height_, x, scratch);
    for (int64_t i = 0; i < b.images; ++i) {
      conv2d_padded_copy_channels_last(padded, pixel_);
      padded.src += s_.C * s_.H * s_.W;
      padded.dst += height_ * width_ * pixel_;
    }
    gather_pixels(s_, b, dy, dy_channel_, scratch + elements_);
    const int64_t pixels = b.images * b.rows * s_.Q();  // the first of all
    conv2d_correlate({.K = s_.K / s_.groups,
                      .taps = pixels,
                      .tap_block = pixels,
                      .vectors = static_cast<int64_t>(taps_.size()),
                      .vector = taps_.data(),
                      .src = scratch,
                      .offset = pixels_.data(),
                      .w = scratch + elements_,
                      .w_channel = dy_channel_,
                      .dst = sums,
                      .dst_channel = sums_row});
  }

 private:
  const Conv2dShape& s_;
  int64_t C_, height_, width_, lanes_;
  int64_t pixel_;     ///< elements from pixel to pixel
  int64_t elements_;  ///< of the copy
  int64_t dy_channel_;
  std::vector<PixelVector> taps_;
  std::vector<int64_t> pixels_;
};

/// The gradient by Winograd's tiles, in vectors of channels. The sums are [K][places][C], each C filled up to whole
/// vectors. Where tiles reach beyond the output, dy is copied and filled up with zeros.
class GradientByTiles {
 public:
  GradientByTiles(const Conv2dShape& s, const Blocking& b, int64_t C)
      : s_(s),
        C_(C),
        cols_(b.Q),
        ragged_(s.P() % 4 != 0 || s.Q() % 4 != 0),
        strip_(winograd_lanes()),
        lanes_(conv2d_tile_sizes().lanes),
        tile_(round_up(C, lanes_)),
        pixel_(odd_vectors(C, lanes_)),
        image_((4 * b.rows + 2) * (4 * b.Q + 2) * pixel_),
        place_(b.pixels() * tile_ + lanes_),
        dy_copy_(ragged_ ? round_up(b.images * s.K / s.groups * 16 * b.rows * b.Q + lanes_, lanes_) : 0) {
    while (4 * cols_ % strip_ != 0) strip_ /= 2;
    const int64_t slots = round_up(b.pixels(), strip_);
    dy_channel_ = odd_vectors(slots, lanes_);
    dy_place_ = (s.K / s.groups | 1) * dy_channel_;
    for (int64_t c = 0; c < C; c += lanes_) channels_.push_back({c, c});
  }

  static Blocking blocking(const Conv2dShape& s) { return tile_blocking(s, 512); }
  int64_t copied() const { return image_ + winograd_places * place_; }
  int64_t scratch() const { return copied() + winograd_places * dy_place_ + dy_copy_; }
  int64_t row() const { return winograd_places * tile_; }
  void weights(const float* sums, float* dw) const {
    for (int64_t c = 0; c < C_; ++c, dw += 9) winograd_filter_gradient(sums + c, tile_, dw);
  }

  void add(const Block& b, const float* x, const float* dy, float* scratch, float* sums, int64_t sums_row) const {
    const int64_t K = s_.K / s_.groups, rows = 4 * b.rows, cols = 4 * cols_, tiles = b.images * b.rows * cols_;
    float *in = scratch + image_, *out = in + winograd_places * place_, *filled = out + winograd_places * dy_place_;
    for (int64_t i = 0; i < b.images; ++i) {
      const float* image = x + i * s_.C * s_.H * s_.W;
      conv2d_padded_copy_channels_last(tiles_input(s_, C_, 4 * b.p, rows, cols, image, scratch), pixel_);
      winograd_input_channels_last(scratch, pixel_, C_, b.rows, cols_, in + i * b.rows * cols_ * tile_, place_, tile_);
    }

    Steps step{s_.K * s_.P() * s_.Q(), s_.Q()};
    int64_t dy_plane = s_.P() * s_.Q();
    dy += 4 * b.p * s_.Q();
    if (ragged_) {
      for (int64_t i = 0; i < b.images; ++i) {
        conv2d_padded_copy({.planes = K,
                            .H = s_.P() - 4 * b.p,
                            .W = s_.Q(),
                            .src = dy + i * step.image,
                            .src_plane = dy_plane,
                            .rows = rows,
                            .cols = cols,
                            .dst = filled + i * K * rows * cols});
      }
      step = {K * rows * cols, cols};
      dy_plane = rows * cols;
      dy = filled;
    }
    const auto strips = strips_of(b.images, rows, cols, strip_, {}, step);
    const int64_t count = static_cast<int64_t>(strips.size());
    for (int64_t k = 0; k < K; ++k, dy += dy_plane) {
      for (const Strip& next : strips) {
        for (int64_t r = 0; k + 1 < K && r < 4; ++r) prefetch(dy + dy_plane + next.dst + r * step.row);
      }
      winograd_output_gradient(strip_, count, strips.data(), dy, step.row, out + k * dy_channel_, dy_place_);
    }

    std::vector<int64_t> tile;  // of each lane of the strips' vectors; any where dy is zero
    for (int64_t first = 0; first < count; first += 4) {
      for (int64_t j = 0; j < strip_; ++j) {
        const int64_t t = (first + j % 4) * strip_ / 4 + j / 4;
        tile.push_back(t < tiles ? t * tile_ : 0);
      }
    }
    const int64_t taps = static_cast<int64_t>(tile.size());
    for (int64_t place = 0; place < winograd_places; ++place) {
      conv2d_correlate({.K = K,
                        .taps = taps,
                        .tap_block = taps,
                        .vectors = static_cast<int64_t>(channels_.size()),
                        .vector = channels_.data(),
                        .src = in + place * place_,
                        .offset = tile.data(),
                        .w = out + place * dy_place_,
                        .w_channel = dy_channel_,
                        .dst = sums + place * tile_,
                        .dst_channel = sums_row});
    }
  }

 private:
  const Conv2dShape& s_;
  int64_t C_, cols_;
  bool ragged_;
  int64_t strip_;  ///< columns of a strip
  int64_t lanes_;
  int64_t tile_, pixel_;  ///< elements from tile to tile, and from pixel to pixel of the copy
  int64_t image_;         ///< elements of the copy of one image
  int64_t place_;
  int64_t dy_copy_;  ///< elements of it, if there is one
  int64_t dy_channel_, dy_place_;
  std::vector<PixelVector> channels_;
};

/// The gradient by Winograd's tiles of 2 x 2 outputs, in vectors of tiles, which few channels have to be. The sums are
/// [K][down][C][across].
class GradientByStrips {
 public:
  GradientByStrips(const Conv2dShape& s, const Blocking& b, int64_t C)
      : s_(s),
        C_(C),
        copy_(round_up(C * (2 * b.rows + 2) * (s.Q() + 2), winograd_lanes())),
        places_(4 * C * 2 * b.rows * s.Q() + 4 * winograd_lanes()) {}

  static Blocking blocking(const Conv2dShape& s) { return {s.N, s.P() / 2, s.Q() / 2, 256}; }
  int64_t copied() const { return copy_ + places_; }
  int64_t scratch() const { return copied(); }
  int64_t row() const { return winograd_gradient_places * C_; }
  void weights(const float* sums, float* dw) const {
    for (int64_t c = 0; c < C_; ++c) winograd_gradient_filter(sums + 4 * c, 4 * C_, dw + 9 * c);
  }

  void add(const Block& b, const float* x, const float* dy, float* scratch, float* sums, int64_t sums_row) const {
    const int64_t p = 2 * b.p, rows = 2 * b.rows, Q = s_.Q(), PQ = s_.P() * Q;
    for (int64_t i = 0; i < b.images; ++i, x += s_.C * s_.H * s_.W, dy += s_.K * PQ) {
      conv2d_padded_copy(tiles_input(s_, C_, p, rows, Q, x, scratch));
      winograd_gradient({.C = C_,
                         .rows = rows,
                         .cols = Q,
                         .x = scratch,
                         .K = s_.K / s_.groups,
                         .dy = dy + p * Q,
                         .dy_channel = PQ,
                         .dy_row = Q,
                         .next_dy = dy + (p + rows < s_.P() ? (p + rows) * Q : s_.K * PQ),
                         .scratch = scratch + copy_,
                         .dw = sums,
                         .dw_channel = sums_row});
    }
  }

 private:
  const Conv2dShape& s_;
  int64_t C_;
  int64_t copy_, places_;  ///< elements of the copy of x, and of its transform
};

template <class Gradient>
void backward_weight(const Conv2dShape& s, const float* x, const Input& dy, float* dw, float* dbias) {
  const int64_t PQ = s.P() * s.Q(), C = s.C / s.groups, K = s.K / s.groups, RS = s.R * s.S;
  const int64_t lanes = conv2d_tile_sizes().lanes;
  const Blocking blocking = Gradient::blocking(s);
  // Channels of x are taken in slices that fit the cache, of whole vectors.
  const int64_t fit = cache_elements / (Gradient(s, blocking, lanes).copied() / lanes);
  const int64_t slice = std::min(std::max<int64_t>(1, C), std::max(lanes, fit / lanes * lanes));
  const int64_t slices = ceil_div(std::max<int64_t>(1, C), slice);
  const Gradient whole(s, blocking, slice), rest(s, blocking, C - (slices - 1) * slice);

  // Chunks of blocks are summed apart: [groups][slices][K][row], then dbias. They are at most 16, no more than 32 MiB
  // hold, and 8 are enough where there is little to do for each sum.
  const int64_t row = whole.row(), weight_sums = s.groups * slices * K * row, sums = weight_sums + s.K;
  const int64_t work = s.N * PQ * s.groups * flop_per_pixel(s);
  const int64_t worth = std::max(work / (sum_flop * sums), std::min<int64_t>(8, work / (8 * piece_flop)));
  const int64_t most = std::clamp<int64_t>(std::min((1 << 23) / sums, worth), 1, 16);
  const int64_t chunk = ceil_div(blocking.count(), most), chunks = ceil_div(blocking.count(), chunk);
  Scratch<float> partial(chunks * sums);

  const int64_t flop = blocking.pixels() * flop_per_pixel(s) * chunk / slices;
  parallel_for(chunks * s.groups * slices, grain_for(flop), [&](int64_t begin, int64_t end) {
    Scratch<float> scratch(whole.scratch());
    InputReader images(dy, blocking.images);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t c = task / (s.groups * slices), g = task / slices % s.groups, i = task % slices;
      const Gradient& gradient = i + 1 < slices ? whole : rest;
      float* dw_chunk = partial.data() + c * sums + (g * slices + i) * K * row;
      float* dbias_chunk = partial.data() + c * sums + weight_sums + g * K;
      std::fill_n(dw_chunk, K * row, 0.0f);
      if (i == 0) std::fill_n(dbias_chunk, K, 0.0f);
      for (int64_t index = c * chunk; index < std::min((c + 1) * chunk, blocking.count()); ++index) {
        const Block b(blocking, index);
        const float* dy_block = images.at(b.n, b.images, g * K, K);
        gradient.add(b, x + (b.n * s.C + g * C + i * slice) * s.H * s.W, dy_block, scratch.data(), dw_chunk, row);
        for (int64_t n = 0; dbias && i == 0 && n < b.images; ++n) {
          const int64_t tall = ceil_div(s.P(), blocking.P),
                        p = b.p * tall;  // its share of the rows, whatever its tiles
          const int64_t rows = std::min(b.rows * tall, s.P() - p);
          conv2d_add_row_sums(K, rows * s.Q(), dy_block + n * s.K * PQ + p * s.Q(), PQ, dbias_chunk);
        }
      }
    }
  });

  parallel_for(sums, 1 << 14, [&](int64_t begin, int64_t end) {
    for (int64_t c = 1; c < chunks; ++c) {
      const float* from = partial.data() + c * sums;
      for (int64_t i = begin; i < end; ++i) partial.data()[i] += from[i];
    }
  });
  parallel_for(s.K, std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, C * RS)), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      for (int64_t i = 0; i < slices; ++i) {
        const float* from = partial.data() + ((k / K * slices + i) * K + k % K) * row;
        (i + 1 < slices ? whole : rest).weights(from, dw + (k * C + i * slice) * RS);
      }
    }
  });
  if (dbias) std::copy_n(partial.data() + weight_sums, s.K, dbias);
}

void backward_input(CpuFloat32& kernels, const Conv2dShape& s, const float* w, const Input& dy, float* dx) {
  if (s.N * s.C * s.H * s.W == 0) return;
  if (s.K * s.P() * s.Q() == 0) {
    std::fill_n(dx, s.N * s.C * s.H * s.W, 0.0f);
  } else if (s.stride_h == 1 && s.stride_w == 1) {
    backward_input_unit_stride(kernels, s, w, dy, dx);
  } else {
    backward_input_by_columns(s, w, dy, dx);
  }
}

/// dw and dbias may be null.
void backward_weight(const Conv2dShape& s, const float* x, const Input& dy, float* dw, float* dbias) {
  const int64_t C = s.C / s.groups, weights = s.K * C * s.R * s.S;
  const Scratch<float> unwanted(dw ? 0 : weights);
  if (!dw) dw = unwanted.data();
  if (s.N * s.K * s.P() * s.Q() == 0) {
    std::fill_n(dw, weights, 0.0f);
    if (dbias) std::fill_n(dbias, s.K, 0.0f);
    return;
  }
  if (suits_winograd(s) && C >= 8) {
    backward_weight<GradientByTiles>(s, x, dy, dw, dbias);
  } else if (suits_winograd(s) && s.P() % 2 == 0 && s.Q() % winograd_lanes() == 0) {
    backward_weight<GradientByStrips>(s, x, dy, dw, dbias);
  } else if (4 * C >= 3 * round_up(C, conv2d_tile_sizes().lanes)) {
    backward_weight<GradientByTaps>(s, x, dy, dw, dbias);
  } else {
    backward_weight<GradientByPixels>(s, x, dy, dw, dbias);
  }
}

}  // namespace

void conv2d_by_planes(CpuFloat32& kernels, const Conv2dShape& s, const float* x, const float* w, const float* bias,
                      float* y, const std::function<void(int64_t)>& look) {
  const Conv2dMaxPool2dShape alone{.conv = s};
  convolve(s, x, w, bias, Output(kernels, alone, y, nullptr, &look));
}

bool conv2d_planes_fit(const Conv2dShape& s) { return s.K * s.P() * s.Q() <= cache_elements; }

void conv2d_backward_weight_by_planes(const Conv2dShape& s, const float* x,
                                      const std::function<void(int64_t, float*)>& dy, float* dw, float* dbias) {
  backward_weight(s, x, Input{s.K, s.P() * s.Q(), nullptr, dy}, dw, dbias);
}

void CpuFloat32::conv2d(const Conv2dShape& s, const float* x, const float* w, const float* bias, float* y) {
  conv2d_max_pool2d({.conv = s}, x, w, bias, y, nullptr);
}

void CpuFloat32::conv2d_backward_input(const Conv2dShape& s, const float* w, const float* dy, float* dx) {
  backward_input(*this, s, w, {s.K, s.P() * s.Q(), dy}, dx);
}

void CpuFloat32::conv2d_backward_weight(const Conv2dShape& s, const float* x, const float* dy, float* dw,
                                        float* dbias) {
  backward_weight(s, x, {s.K, s.P() * s.Q(), dy}, dw, dbias);
}

void CpuFloat32::conv2d_max_pool2d(const Conv2dMaxPool2dShape& s, const float* x, const float* w, const float* bias,
                                   float* y, uint8_t* picked) {
  const Conv2dShape& c = s.conv;
  if (picked && !s.pools()) std::fill_n(picked, c.N * c.K * c.P() * c.Q(), uint8_t{0});
  convolve(c, x, w, bias, Output(*this, s, y, picked));
}

void CpuFloat32::conv2d_max_pool2d_backward(const Conv2dMaxPool2dShape& s, const float* x, const float* w,
                                            const float* y, const uint8_t* picked, const float* dy, float* dx,
                                            float* dw, float* dbias) {
  const Conv2dShape& c = s.conv;
  const Input in = input_gradient(*this, s, y, picked, dy);
  if (dx) backward_input(*this, c, w, in, dx);
  if (dw || dbias) backward_weight(c, x, in, dw, dbias);
}

}  // namespace tern::kernels
