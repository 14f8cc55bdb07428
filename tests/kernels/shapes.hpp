#pragma once

/// Random shapes for the kernels' structs, and how they print in a failure.

#include <tern/kernels/backend.hpp>

#include <random.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <ostream>
#include <vector>

namespace tern::kernels {

inline std::ostream& operator<<(std::ostream& out, const Strided& s) {
  for (int d = 0; d < s.ndim; ++d) out << "(" << s.size[d] << " by " << s.a[d] << ", " << s.b[d] << ")";
  return out << "()";
}

inline std::ostream& operator<<(std::ostream& out, const ReduceShape& r) {
  return out << "outer " << r.outer << ", n " << r.n << ", inner " << r.inner;
}

inline std::ostream& operator<<(std::ostream& out, const MatmulShape& s) {
  return out << "batch " << s.batch << ", m " << s.m << ", n " << s.n << ", k " << s.k << ", trans_a " << s.trans_a
             << ", trans_b " << s.trans_b;
}

inline std::ostream& operator<<(std::ostream& out, const LinearShape& s) {
  return out << "x [" << s.rows << ", " << s.in << "], w [" << s.out << ", " << s.in << "], activation "
             << static_cast<int>(s.activation);
}

inline std::ostream& operator<<(std::ostream& out, const Conv2dShape& s) {
  return out << "x [" << s.N << ", " << s.C << ", " << s.H << ", " << s.W << "], w [" << s.K << ", " << s.C / s.groups
             << ", " << s.R << ", " << s.S << "], stride " << s.stride_h << " " << s.stride_w << ", pad " << s.pad_h
             << " " << s.pad_w << ", dilation " << s.dilation_h << " " << s.dilation_w << ", groups " << s.groups;
}

inline std::ostream& operator<<(std::ostream& out, const Conv2dMaxPool2dShape& s) {
  return out << s.conv << ", window [" << s.R << ", " << s.S << "], activation " << static_cast<int>(s.activation);
}

inline std::ostream& operator<<(std::ostream& out, const Pool2dShape& s) {
  return out << "x [" << s.N << ", " << s.C << ", " << s.H << ", " << s.W << "], window [" << s.R << ", " << s.S
             << "], stride " << s.stride_h << " " << s.stride_w << ", pad " << s.pad_h << " " << s.pad_w
             << ", dilation " << s.dilation_h << " " << s.dilation_w << ", beyond " << s.beyond_h << " " << s.beyond_w
             << ", adaptive " << s.adaptive << ", count_include_pad " << s.count_include_pad << ", divisor "
             << s.divisor;
}

inline std::ostream& operator<<(std::ostream& out, const Interpolate2dShape& s) {
  return out << "x [" << s.N << ", " << s.H << ", " << s.W << "], y [" << s.P << ", " << s.Q << "], linear " << s.linear
             << ", scale " << s.scale_h << " " << s.scale_w << ", outer " << s.outer << ", inner " << s.inner;
}

inline std::ostream& operator<<(std::ostream& out, const BatchNorm2dShape& s) {
  return out << "x [" << s.N << ", " << s.C << ", " << s.HW << "], eps " << s.eps << ", activation "
             << static_cast<int>(s.activation);
}

inline std::ostream& operator<<(std::ostream& out, const GroupNormShape& s) {
  return out << "x [" << s.N << ", " << s.groups << ", " << s.channels << ", " << s.run << "], eps " << s.eps
             << (s.centred ? "" : ", not centred");
}

inline std::ostream& operator<<(std::ostream& out, const DropoutShape& s) {
  return out << "n " << s.n << ", group " << s.group << ", p " << s.p;
}

inline std::ostream& operator<<(std::ostream& out, const ImageBatchShape& s) {
  return out << "images [" << s.N << ", " << s.C << ", " << s.H << ", " << s.W << "], shift " << s.shift << ", cutout "
             << s.cutout << ", fill " << s.fill;
}

inline std::ostream& operator<<(std::ostream& out, const CrossEntropyShape& s) {
  return out << "logits [" << s.N << ", " << s.C << "], label_smoothing " << s.label_smoothing << ", ignore_index "
             << s.ignore_index << ", reduction " << static_cast<int>(s.reduction)
             << (s.of_log_probs ? ", of log probabilities" : "");
}

}  // namespace tern::kernels

namespace tern::test {

using namespace tern::kernels;

/// Row-major strides for a box of these sizes. Returns how many elements it spans.
inline int64_t dense_strides(int ndim, const int64_t* size, int64_t* stride) {
  int64_t n = 1;
  for (int d = ndim - 1; d >= 0; --d) {
    stride[d] = n;
    n *= size[d];
  }
  return n;
}

/// Strides as views have them: dimensions in any order, with gaps, and where `may_repeat` some repeated by a stride of
/// 0. Returns how many elements the box spans, gaps included.
inline int64_t view_strides(Random& random, int ndim, const int64_t* size, bool may_repeat, int64_t* stride) {
  std::vector<int> order(ndim);
  std::iota(order.begin(), order.end(), 0);
  if (random.chance(0.6)) {
    for (int d = ndim - 1; d > 0; --d) std::swap(order[d], order[random.integer(0, d)]);
  }
  const double repeats = may_repeat ? random.pick({0.0, 0.0, 0.3, 1.0}) : 0, gaps = random.pick({0.0, 0.0, 0.3});
  int64_t n = 1;
  for (const int d : order) {
    stride[d] = random.chance(repeats) ? 0 : n;
    if (stride[d] != 0) n *= size[d] + (random.chance(gaps) ? random.integer(1, 3) : 0);
  }
  return n;
}

/// A box and how many elements each operand spans.
struct Box {
  Strided s;
  int64_t n_a = 0, n_b = 0;
  bool dense_a = false, dense_b = false;

  std::vector<int64_t> dims() const { return {s.size, s.size + s.ndim}; }
};

inline Box random_box(Random& random, bool b_may_repeat) {
  Box box;
  Strided& s = box.s;
  s.ndim = static_cast<int>(random.chance(0.1) ? random.integer(5, max_dims) : random.integer(0, 4));
  const int64_t largest = s.ndim > 4 ? 3 : s.ndim == 4 ? 7 : s.ndim == 3 ? 20 : s.ndim == 2 ? 150 : 30'000;
  for (int d = 0; d < s.ndim; ++d) {
    s.size[d] = random.chance(0.02) ? 0 : random.chance(0.1) ? 1 : random.integer(1, largest);
  }
  box.dense_a = random.chance(0.4);
  box.dense_b = random.chance(0.4);
  box.n_a = box.dense_a ? dense_strides(s.ndim, s.size, s.a) : view_strides(random, s.ndim, s.size, true, s.a);
  box.n_b = box.dense_b ? dense_strides(s.ndim, s.size, s.b) : view_strides(random, s.ndim, s.size, b_may_repeat, s.b);
  return box;
}

/// n is at least min_n. Long reductions, many short ones and strided ones.
inline ReduceShape random_reduce(Random& random, int64_t min_n) {
  const int kind = static_cast<int>(random.integer(0, 9));
  if (kind == 0) return {1, random.integer(10'000, 100'000), 1};
  if (kind == 1) return {random.integer(1'000, 5'000), random.integer(min_n, 4), 1};
  if (kind == 2) return {random.integer(1, 3), random.integer(min_n, 9), random.integer(1'000, 5'000)};
  if (kind == 3) return {random.integer(0, 1), random.integer(min_n, 9), random.integer(0, 1)};
  if (kind == 4) return {random.integer(1, 9), min_n, random.integer(1, 9)};
  return {random.integer(1, 20), random.integer(min_n, 70), kind < 7 ? 1 : random.integer(1, 40)};
}

inline MatmulShape random_matmul(Random& random) {
  const auto extent = [&] {
    if (random.chance(0.05)) return int64_t{0};
    return random.chance(0.2) ? int64_t{1} : random.integer(1, random.chance(0.2) ? 130 : 40);
  };
  return {.batch = random.pick<int64_t>({0, 1, 1, 1, 2, 3, 5}),
          .m = extent(),
          .n = extent(),
          .k = extent(),
          .trans_a = random.chance(0.5),
          .trans_b = random.chance(0.5)};
}

inline LinearShape random_linear(Random& random) {
  const auto extent = [&](int64_t most) {
    return random.chance(0.15) ? random.integer(0, 1) : random.integer(1, random.chance(0.3) ? most : 20);
  };
  return {.rows = extent(150),
          .in = extent(500),
          .out = extent(150),
          .activation = random.pick({Activation::none, Activation::tanh, Activation::relu})};
}

inline Conv2dShape random_conv2d(Random& random) {
  Conv2dShape s;
  const bool square = random.chance(0.4);
  s.N = random.pick<int64_t>({0, 1, 1, 2, 3, 4});
  s.groups = random.pick<int64_t>({1, 1, 1, 2, 3, 8});
  s.C = s.groups * (random.chance(0.4) ? 1 : random.integer(1, 5));
  if (s.groups < 3 && random.chance(0.15)) s.C = s.groups * random.integer(12, 36);  // fills vectors
  s.K = s.groups * (random.chance(0.4) ? 1 : random.integer(1, 5));
  s.R = random.pick<int64_t>({1, 2, 3, 3, 3, 4, 5});
  s.S = square ? s.R : random.pick<int64_t>({1, 2, 3, 3, 5, 7});
  s.stride_h = random.pick<int64_t>({1, 1, 2, 3, 4});
  s.stride_w = square ? s.stride_h : random.integer(1, 4);
  s.pad_h = random.integer(0, 3);
  s.pad_w = square ? s.pad_h : random.integer(0, 3);
  s.dilation_h = random.pick<int64_t>({1, 1, 2, 3});
  s.dilation_w = square ? s.dilation_h : random.integer(1, 3);
  const auto fitting = [&](int64_t filter, int64_t pad, int64_t dilation) {
    const int64_t least = std::max<int64_t>(1, dilation * (filter - 1) + 1 - 2 * pad);
    return least + (random.chance(0.2) ? 0 : random.integer(0, 14));
  };
  s.H = fitting(s.R, s.pad_h, s.dilation_h);
  s.W = fitting(s.S, s.pad_w, s.dilation_w);
  return s;
}

/// Filters of 3 x 3 at stride 1, for which backends have kernels of their own.
inline Conv2dShape random_conv3x3(Random& random) {
  Conv2dShape s{.N = random.integer(1, 3), .C = random.integer(1, 9), .K = random.integer(1, 17), .R = 3, .S = 3};
  s.pad_h = random.integer(0, 3);
  s.pad_w = random.integer(0, 3);
  s.H = random.integer(3, random.pick({8, 20, 36}));
  s.W = random.integer(3, random.pick({8, 20, 36}));
  return s;
}

/// Any activation and windows that fit: mostly 1 to 4 a side, at times as large as what is pooled.
inline Conv2dMaxPool2dShape random_windows(Random& random, const Conv2dShape& conv) {
  const auto size = [&](int64_t fits) {
    return std::min<int64_t>(fits, random.chance(0.1) ? random.integer(5, 16) : random.integer(1, 4));
  };
  Conv2dMaxPool2dShape s{.conv = conv, .R = size(conv.P()), .S = size(conv.Q())};
  if (random.chance(0.4) && conv.P() > 1 && conv.Q() > 1) s.R = s.S = 2;
  if (random.chance(0.05)) s.R = std::min<int64_t>(conv.P(), 256 / s.S);
  s.activation = random.pick({Activation::none, Activation::tanh, Activation::relu});
  return s;
}

/// The same images under windows of 2 x 2, side by side.
inline Pool2dShape windows_of_2(Pool2dShape s) {
  s.R = s.S = s.stride_h = s.stride_w = 2;
  return s;
}

inline Pool2dShape random_pool2d(Random& random) {
  Pool2dShape s;
  const bool square = random.chance(0.4);
  s.N = random.pick<int64_t>({0, 1, 1, 2, 3});
  s.C = random.pick<int64_t>({0, 1, 2, 3, 8, 16});
  s.R = random.integer(1, 5);
  s.S = square ? s.R : random.integer(1, 5);
  s.stride_h = random.chance(0.4) ? s.R : random.integer(1, 6);
  s.stride_w = square ? s.stride_h : random.integer(1, 6);
  s.pad_h = random.chance(0.4) ? 0 : random.integer(0, s.R / 2);
  s.pad_w = square ? s.pad_h : random.integer(0, s.S / 2);
  s.H = std::max<int64_t>(1, s.R - 2 * s.pad_h) + (random.chance(0.2) ? 0 : random.integer(0, 20));
  s.W = std::max<int64_t>(1, s.S - 2 * s.pad_w) + (random.chance(0.2) ? 0 : random.integer(0, 20));
  return s;
}

/// Windows as only max_pool2d and avg_pool2d take them: with a dilation, beyond the padding, or sharing out x.
inline Pool2dShape random_other_pool2d(Random& random, bool average) {
  Pool2dShape s = random_pool2d(random);
  if (random.chance(0.3)) {
    s = {.N = s.N, .C = s.C, .H = s.H, .W = s.W, .R = random.integer(0, 9), .S = random.integer(1, 9)};
    s.adaptive = true;
    return s;
  }
  const auto axis = [&](int64_t& size, int64_t kernel, int64_t stride, int64_t pad, int64_t& dilation,
                        int64_t& beyond) {
    dilation = average || kernel == 1 ? 1 : random.integer(1, 3);
    if (pad > 0) size = std::max(size, dilation);
    const int64_t room = size + 2 * pad - dilation * (kernel - 1) - 1;
    int64_t windows = room < 0 ? 1 : room / stride + 1;
    if (random.chance(0.7) && windows * stride < size + pad) ++windows;
    beyond = std::max<int64_t>(0, (windows - 1) * stride - room);
  };
  axis(s.H, s.R, s.stride_h, s.pad_h, s.dilation_h, s.beyond_h);
  axis(s.W, s.S, s.stride_w, s.pad_w, s.dilation_w, s.beyond_w);
  s.count_include_pad = random.chance(0.5);
  if (average && random.chance(0.3)) s.divisor = random.pick<int64_t>({-3, 1, 7});
  return s;
}

/// Both modes; scales of the sizes, of corners, or others that lead no further than the last element.
inline Interpolate2dShape random_interpolate2d(Random& random) {
  const auto size = [&] { return random.chance(0.2) ? 1 : random.integer(1, random.chance(0.1) ? 60 : 14); };
  Interpolate2dShape s{.N = random.integer(0, 5), .H = size(), .W = size(), .P = size(), .Q = size()};
  s.linear = random.chance(0.6);
  const bool corners = s.linear && random.chance(0.4);
  s.outer = corners ? 0 : s.linear || random.chance(0.5) ? 0.5 : 0;
  s.inner = s.linear && !corners ? 0.5 : 0;
  const double shrink = corners ? 1 : random.pick({1.0, 1.0, 0.8});
  const auto scale = [&](int64_t in, int64_t out) {
    if (!corners) return shrink * static_cast<double>(in) / static_cast<double>(out);
    return out > 1 ? static_cast<double>(in - 1) / static_cast<double>(out - 1) : 0;
  };
  s.scale_h = scale(s.H, s.P);
  s.scale_w = scale(s.W, s.Q);
  return s;
}

/// At least two elements for each channel, so that the unbiased variance exists.
inline BatchNorm2dShape random_batch_norm2d(Random& random) {
  BatchNorm2dShape s;
  s.N = random.integer(1, 9);
  s.C = random.pick<int64_t>({0, 1, 2, 3, 16, 33});
  s.HW = random.pick<int64_t>({1, 1, 4, 9, 49, 64, 100});
  if (random.chance(0.1)) s = {.N = random.integer(1, 4), .C = 2, .HW = 1024};
  if (s.N * s.HW < 2) s.N = 2;
  s.eps = random.pick({1e-5, 1e-3, 0.1});
  s.activation = random.pick({Activation::none, Activation::tanh, Activation::relu});
  return s;
}

/// Rows of one weight an element, short and long, or of channels; of two elements at least.
inline GroupNormShape random_group_norm(Random& random) {
  GroupNormShape s{.N = random.chance(0.1) ? 0 : random.integer(1, 9)};
  if (random.chance(0.5)) {
    s.channels = random.chance(0.5) ? 4 * random.integer(1, 60) : random.integer(2, 300);
    if (random.chance(0.1)) s.channels = random.pick<int64_t>({1024, 1025, 2500, 7000, 13'001});
    if (random.chance(0.1)) s.N = random.integer(100, 300);
    if (random.chance(0.2)) s.groups = random.integer(2, 3);
  } else {
    s.groups = random.integer(1, 4);
    s.channels = random.integer(1, 4);
    s.run = random.pick<int64_t>({2, 3, 4, 9, 16, 49, 64, 256, 1500});
  }
  s.eps = random.pick({1e-5, 1e-3, 0.1});
  s.centred = random.chance(0.7);
  return s;
}

inline CrossEntropyShape random_cross_entropy(Random& random) {
  CrossEntropyShape s;
  s.N = random.chance(0.1) ? random.integer(0, 1) : random.integer(1, random.chance(0.1) ? 3'000 : 70);
  s.C = random.chance(0.2) ? random.integer(1, 2) : random.integer(1, random.chance(0.2) ? 300 : 20);
  s.of_log_probs = random.chance(0.3);
  s.label_smoothing = random.pick({0.0, 0.0, 0.1, 0.5, 1.0});
  s.ignore_index = random.chance(0.5) ? -100 : random.integer(0, s.C - 1);
  s.reduction = random.pick({Reduction::none, Reduction::mean, Reduction::sum});
  return s;
}

/// At times about to carry from the low word of the counter to the high one.
inline PhiloxState random_state(Random& random) {
  const std::uint64_t seed = static_cast<std::uint64_t>(random.integer(0, std::numeric_limits<int64_t>::max())) * 2;
  const std::uint64_t offset = random.chance(0.3)   ? 0
                               : random.chance(0.5) ? 0x1'0000'0000u - random.integer(1, 5)
                                                    : random.integer(0, 1'000'000'000'000);
  return {seed, offset};
}

}  // namespace tern::test
