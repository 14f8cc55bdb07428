/// Convolutions and their gradients as products of matrices, gemm/gemm.cuh, for any stride, padding, dilation and
/// groups.
///
/// conv2d: rows are pixels [N, P, Q], columns output channels, and k goes over the taps, [C, R, S]; x is read through
/// its patches, by 4 bytes unless the filter is of 1 x 1 with stride 1, and w as it lies.
/// conv2d_backward_input: the same of dy, with the taps turned round. With a stride, pixels of x by the remainder of
/// their row and column meet a part of the taps each: every such part is a product of its own, with no tap that meets
/// nothing. conv2d_backward_weight: rows are taps, columns output channels, and k goes over the pixels, shared between
/// blocks.

#include <tern/kernels/cuda/activation.cuh>
#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/device.cuh>
#include <tern/kernels/cuda/gemm/conv2d.hpp>
#include <tern/kernels/cuda/gemm/gemm.cuh>

#include <bit>
#include <numeric>

namespace tern::kernels::cuda {
namespace {

/// Divides numbers from 0 to 2^31 - 1 by one. (Granlund, Montgomery, "Division by invariant integers using
/// multiplication", PLDI 1994, figure 4.1)
class Divisor {
 public:
  explicit Divisor(int64_t d)
      : shift_(std::bit_width(static_cast<uint64_t>(d - 1))),
        multiplier_(static_cast<unsigned>((((int64_t{1} << shift_) - d) << 32) / d + 1)) {}
  __device__ int divide(int n) const {
    const auto u = static_cast<unsigned>(n);
    return static_cast<int>((__umulhi(u, multiplier_) + u) >> shift_);
  }

 private:
  int shift_;
  unsigned multiplier_;
};

int narrow(int64_t v) { return static_cast<int>(v); }

/// Along the rows, or the columns, of an image: pixel i meets with tap j the element i * stride + first + j * step, if
/// that is one of `size`.
struct Line {
  int64_t size, stride, first, step, pixels, taps;
};

/// A number [a, b, c] as its three parts.
struct Parts {
  Divisor of_bc, of_c;
  int bc, c;

  Parts(int64_t b, int64_t c_)
      : of_bc(std::max<int64_t>(b * c_, 1)), of_c(std::max<int64_t>(c_, 1)), bc(narrow(b * c_)), c(narrow(c_)) {}
  __device__ int3 split(int v) const {
    const int first = of_bc.divide(v), rest = v - first * bc, second = of_c.divide(rest);
    return {first, second, rest - second * c};
  }
};

/// Images [N, groups * C, H, W] as filters see them that compute pixels [N, h.pixels, w.pixels] from taps [C, h.taps,
/// w.taps].
struct Patches : Operand {
  Parts of_pixel, of_tap;
  int pixels, taps;
  int stride_h, stride_w, first_h, first_w, step_h, step_w;
  int image, channel, to_group;  ///< elements from one to the next

  Patches(const float* x, int64_t N, int64_t groups, int64_t C, const Line& h, const Line& w)
      : Operand{x, static_cast<unsigned>(h.size), static_cast<unsigned>(w.size), false},
        of_pixel(h.pixels, w.pixels),
        of_tap(h.taps, w.taps),
        pixels(narrow(N * h.pixels * w.pixels)),
        taps(narrow(C * h.taps * w.taps)),
        stride_h(narrow(h.stride)),
        stride_w(narrow(w.stride)),
        first_h(narrow(h.first)),
        first_w(narrow(w.first)),
        step_h(narrow(h.step)),
        step_w(narrow(w.step)),
        image(narrow(groups * C * h.size * w.size)),
        channel(narrow(h.size * w.size)),
        to_group(narrow(C * h.size * w.size)) {
    const auto as_it_lies = [](const Line& l) {
      return l.taps == 1 && l.stride == 1 && l.first == 0 && l.pixels == l.size;
    };
    wide = as_it_lies(h) && as_it_lies(w) && channel % 4 == 0 && is_aligned<float, 4>(x);
  }

  __device__ Place pixel(int i) const {
    const int3 p = of_pixel.split(i);
    return i < pixels ? place(p.x * image, p.y * stride_h + first_h, p.z * stride_w + first_w) : Place::nowhere();
  }
  __device__ Place tap(int i) const {
    const int3 c = of_tap.split(i);
    return i < taps ? place(c.x * channel, c.y * step_h, c.z * step_w) : Place::nowhere();
  }
  __device__ Place place(int plane, int h, int w) const {
    const auto row = static_cast<unsigned>(h), column = static_cast<unsigned>(w);
    return {static_cast<unsigned>(plane) + row * W + column, row, column};
  }
  __device__ Place of_group(int group, Place p) const {
    return {p.offset + static_cast<unsigned>(group * to_group), p.h, p.w};
  }
};

/// Rows are pixels.
struct PixelsByTaps : Patches {
  template <int rows, int depth>
  using Lie = RowsSideBySide<rows, depth>;
  __device__ Place row(int group, int i) const { return of_group(group, pixel(i)); }
  __device__ Place k(int i) const { return tap(i); }
};
/// Rows are taps.
struct TapsByPixels : Patches {
  template <int rows, int depth>
  using Lie = DepthSideBySide<rows, depth>;
  __device__ Place row(int group, int i) const { return of_group(group, tap(i)); }
  __device__ Place k(int i) const { return pixel(i); }
};

/// The weights that a channel, a row, has for each tap [channels, R, S].
struct Filters : Operand {
  Parts of_tap;
  int rows, taps;
  int to_group, to_row, to_channel, to_r, to_s;  ///< elements from one to the next

  template <int rows, int depth>
  using Lie = DepthSideBySide<rows, depth>;
  __device__ Place row(int group, int i) const {
    return i < rows ? Place{static_cast<unsigned>(group * to_group + i * to_row), 0, 0} : Place::nowhere();
  }
  __device__ Place k(int i) const {
    const int3 tap = of_tap.split(i);
    const int offset = tap.x * to_channel + tap.y * to_r + tap.z * to_s;
    return i < taps ? Place{static_cast<unsigned>(offset), 0, 0} : Place::nowhere();
  }
};

/// Where sums go: pixels [images, rows, columns] of channels.
struct Destination {
  float* data;
  const float* bias;
  Activation activation;
  Parts of_pixel;
  int channels;                                           ///< of a group
  int to_group, to_image, to_channel, to_row, to_column;  ///< elements from one to the next

  __device__ void put(int group, int pixel, int channel, float v) const {
    const int3 p = of_pixel.split(pixel);
    if (bias) v += bias[group * channels + channel];
    data[group * to_group + p.x * to_image + channel * to_channel + p.y * to_row + p.z * to_column] =
        activated(activation, v);
  }
};

template <class Tile, class A, class B>
void launch_gemm(const GemmPlan& plan, Gemm s, int64_t groups, Precision precision, const A& a, const B& b,
                 const Destination& out) {
  const bool shared = plan.shares > 1;
  const Scratch<float> sums(shared ? groups * plan.tiles * plan.shares * Tile::rows * Tile::columns : 0);
  s.share = narrow(plan.share);
  s.tiles_across = narrow(ceil_div(s.N, Tile::columns));
  s.shares = sums.data();
  s.counters = shared ? counters(groups * plan.tiles) : nullptr;
  const dim3 grid(static_cast<unsigned>(plan.tiles), static_cast<unsigned>(plan.shares), static_cast<unsigned>(groups));
  const auto kernel = precision == Precision::highest ? implicit_gemm<Tile, Precision::highest, A, B, Destination>
                      : precision == Precision::high  ? implicit_gemm<Tile, Precision::high, A, B, Destination>
                                                      : implicit_gemm<Tile, Precision::medium, A, B, Destination>;
  launch(kernel, grid, Tile::threads, GemmMemory<Tile, A, B>::bytes, current_stream(), s, a, b, out);
}

/// out = a b^T, for each group. A long sum may be `shared` between blocks.
template <class A, class B>
void multiply(int64_t M, int64_t N, int64_t K, int64_t groups, bool shared, Precision precision, const A& a, const B& b,
              const Destination& out) {
  const GemmPlan plan = plan_gemm(M, N, K, groups, shared);
  const auto run = [&]<class Tile>(Tile) {
    launch_gemm<Tile>(plan, {.M = narrow(M), .N = narrow(N), .K = narrow(K)}, groups, precision, a, b, out);
  };
  if (plan.columns == 64) {
    run(GemmTile<128, 64>());
  } else if (plan.rows == 128) {
    run(GemmTile<128, 32>());
  } else {
    run(GemmTile<64, 32>());
  }
}

/// The pixels of y along rows, or columns, and what of x they meet.
Line forward_line(int64_t H, int64_t P, int64_t R, int64_t stride, int64_t pad, int64_t dilation) {
  return {H, stride, -pad, dilation, P, R};
}

/// Pixels `from`, from + stride, ... of x, and what of y they meet by the taps first_tap, first_tap + tap_step, ...
struct BackwardLine {
  Line line;
  int64_t first_tap, tap_step;

  BackwardLine(int64_t from, int64_t H, int64_t P, int64_t R, int64_t stride, int64_t pad, int64_t dilation)
      : first_tap(0), tap_step(stride / std::gcd(stride, dilation)) {
    while (first_tap < std::min(tap_step, R) && (from + pad - first_tap * dilation) % stride != 0) ++first_tap;
    const bool meets = first_tap < std::min(tap_step, R);
    line = {P,
            1,
            meets ? (from + pad - first_tap * dilation) / stride : 0,
            -(tap_step * dilation / stride),
            ceil_div(H - from, stride),
            meets ? ceil_div(R - first_tap, tap_step) : 0};
  }
};

/// As much more than the direct kernels may a product execute: they read two numbers for each multiply-add.
constexpr int64_t in_vain = 4;

/// Whether the kernels are compiled for the current device's tensor cores: before compute capability 8.0 it has none
/// for these types.
bool has_tensor_cores() {
  static thread_local int asked = -1;
  static thread_local bool has = false;
  if (const int device = current_device(); device != asked) {
    const auto kernel = &implicit_gemm<GemmTile<64, 32>, Precision::highest, PixelsByTaps, Filters, Destination>;
    cudaFuncAttributes attributes{};
    check(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel)), "cudaFuncGetAttributes");
    has = attributes.ptxVersion >= 80;
    asked = device;
  }
  return has;
}

}  // namespace

bool is_gemm(const Conv2dShape& s) {
  const int64_t C = s.C / s.groups, K = s.K / s.groups, taps = C * s.R * s.S;
  const int64_t x = s.N * s.C * s.H * s.W, y = s.N * s.K * s.P() * s.Q(), w = s.K * taps;
  if (x == 0 || y == 0 || w == 0 || std::max({x, y, w}) > int64_t{1} << 30 || s.groups > 65535) return false;
  if (std::max(s.H + 2 * s.pad_h, s.W + 2 * s.pad_w) > int64_t{1} << 29) return false;  // see Place
  const bool is_3x3 = s.R == 3 && s.S == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 &&
                      s.dilation_w == 1 && s.groups == 1;
  constexpr int64_t thin = 32;  // narrower layers waste nothing on the plain kernels for 3 x 3
  const int64_t executed = ceil_div(K, 32) * 32 * ceil_div(taps, GemmPlan::depth) * GemmPlan::depth;
  return (is_3x3 ? std::min(C, K) >= thin : executed <= in_vain * K * taps) && has_tensor_cores();
}

bool is_gemm_by_input(const Conv2dShape& s) {
  const int64_t C = s.C / s.groups;
  constexpr int64_t most_launches = 16;
  return is_gemm(s) && ceil_div(C, 32) * 32 <= in_vain * C && s.stride_h * s.stride_w <= most_launches;
}

void gemm_conv2d(const Conv2dShape& s, Activation activation, const float* x, const float* w, const float* bias,
                 float* y) {
  const int64_t C = s.C / s.groups, K = s.K / s.groups, taps = C * s.R * s.S, P = s.P(), Q = s.Q();
  const PixelsByTaps patches{{x, s.N, s.groups, C, forward_line(s.H, P, s.R, s.stride_h, s.pad_h, s.dilation_h),
                              forward_line(s.W, Q, s.S, s.stride_w, s.pad_w, s.dilation_w)}};
  const Filters filters{{w, 1, 1, taps % 4 == 0 && is_aligned<float, 4>(w)},
                        {s.R, s.S},
                        narrow(K),
                        narrow(taps),
                        narrow(K * taps),
                        narrow(taps),
                        narrow(s.R * s.S),
                        narrow(s.S),
                        1};
  const Destination out{
      y, bias, activation, {P, Q}, narrow(K), narrow(K * P * Q), narrow(s.K * P * Q), narrow(P * Q), narrow(Q), 1};
  multiply(s.N * P * Q, K, taps, s.groups, false, s.precision, patches, filters, out);
}

void gemm_conv2d_backward_input(const Conv2dShape& s, const float* w, const float* dy, float* dx) {
  const int64_t C = s.C / s.groups, K = s.K / s.groups;
  for (int64_t i = 0; i < std::min(s.stride_h, s.H); ++i) {
    const BackwardLine h(i, s.H, s.P(), s.R, s.stride_h, s.pad_h, s.dilation_h);
    for (int64_t j = 0; j < std::min(s.stride_w, s.W); ++j) {
      const BackwardLine v(j, s.W, s.Q(), s.S, s.stride_w, s.pad_w, s.dilation_w);
      const int64_t taps = K * h.line.taps * v.line.taps;
      const PixelsByTaps patches{{dy, s.N, s.groups, K, h.line, v.line}};
      const Filters filters{{w + h.first_tap * s.S + v.first_tap, 1, 1, false},
                            {h.line.taps, v.line.taps},
                            narrow(C),
                            narrow(taps),
                            narrow(K * C * s.R * s.S),
                            narrow(s.R * s.S),
                            narrow(C * s.R * s.S),
                            narrow(h.tap_step * s.S),
                            narrow(v.tap_step)};
      const Destination out{dx + i * s.W + j,
                            nullptr,
                            Activation::none,
                            {h.line.pixels, v.line.pixels},
                            narrow(C),
                            narrow(C * s.H * s.W),
                            narrow(s.C * s.H * s.W),
                            narrow(s.H * s.W),
                            narrow(s.stride_h * s.W),
                            narrow(s.stride_w)};
      multiply(s.N * h.line.pixels * v.line.pixels, C, taps, s.groups, false, s.precision, patches, filters, out);
    }
  }
}

void gemm_conv2d_backward_weight(const Conv2dShape& s, const float* x, const float* dy, float* dw) {
  const int64_t C = s.C / s.groups, K = s.K / s.groups, taps = C * s.R * s.S, P = s.P(), Q = s.Q();
  const TapsByPixels patches{{x, s.N, s.groups, C, forward_line(s.H, P, s.R, s.stride_h, s.pad_h, s.dilation_h),
                              forward_line(s.W, Q, s.S, s.stride_w, s.pad_w, s.dilation_w)}};
  const TapsByPixels slopes{{dy, s.N, s.groups, K, forward_line(P, P, 1, 1, 0, 1), forward_line(Q, Q, 1, 1, 0, 1)}};
  const Destination out{dw, nullptr, Activation::none, {1, taps}, narrow(K), narrow(K * taps), 0, narrow(taps), 0, 1};
  multiply(taps, K, s.N * P * Q, s.groups, true, s.precision, patches, slopes, out);
}

}  // namespace tern::kernels::cuda
