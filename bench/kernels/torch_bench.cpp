/// The CPU backend's kernels, each followed by what PyTorch's training step calls in its place, at the shapes of the
/// birds-and-planes nets and of ResNets on CIFAR, batch 64. A pair reads the same memory; both sides take the memory of
/// their outputs anew in each call, tern from its pool and libtorch from malloc. A pair whose outputs differ ends the
/// program. bench/kernels/compare makes a table of it, and sets what it takes from the environment: threads by
/// OMP_NUM_THREADS, and that malloc keeps what is freed, as getting it again page by page can take longer than a
/// kernel.

#include "fma_peak.hpp"
#include "padded_conv2d.hpp"

#include <tern/core/autograd.hpp>
#include <tern/core/ops.hpp>
#include <tern/kernels/cpu/threads.hpp>
#include <tern/kernels/optim.hpp>
#include <tern/layers/recurrent.hpp>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <cblas.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <functional>
#include <iostream>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

namespace {

using namespace tern::kernels;
using benchmark::Counter;
using benchmark::State;

constexpr int64_t N = 64;

struct Pair {
  std::function<std::vector<tern::Tensor>()> tern;
  std::function<std::vector<at::Tensor>()> torch;
};

struct Case {
  std::string kernel, shape;
  double flop;  ///< 0 where it is memory that a kernel waits for
  std::function<Pair()> make;
};

FloatKernels<float>& kernels() { return cpu_backend().floating(float{}); }

float* data(const at::Tensor& x) { return x.data_ptr<float>(); }
float* data(const tern::Tensor& x) { return x.data<float>(); }
tern::Tensor like(const at::Tensor& x) {
  return tern::empty(tern::Shape(std::span(x.sizes().data(), x.sizes().size())));
}

tern::Tensor copy(const at::Tensor& x) {
  const tern::Tensor y = like(x);
  std::copy_n(data(x), x.numel(), data(y));
  return y;
}

std::string times(at::IntArrayRef sizes) {
  std::string text;
  for (int64_t size : sizes) text += (text.empty() ? "" : " x ") + std::to_string(size);
  return text;
}

// The cases

/// 3 x 3, padding 1.
struct Convolution {
  Convolution(int64_t C, int64_t K, int64_t HW)
      : s(padded_conv2d(N, C, HW, K, 3, 1, Precision::high)) {}

  std::tuple<at::Tensor, at::Tensor, at::Tensor> torch_backward(std::array<bool, 3> wanted) const {
    return at::convolution_backward(dy, x, w, at::IntArrayRef{s.K}, {1, 1}, {1, 1}, {1, 1}, false, {0, 0}, 1, wanted);
  }

  Conv2dShape s;
  at::Tensor x = at::randn({N, s.C, s.H, s.W}), w = at::randn({s.K, s.C, 3, 3}), b = at::randn({s.K}),
             dy = at::randn({N, s.K, s.H, s.W});
};

void add_convolution(std::vector<Case>& cases, int64_t C, int64_t K, int64_t HW) {
  const auto forward = [=] {
    const Convolution c(C, K, HW);
    const auto ours = [c] {
      const tern::Tensor y = like(c.dy);
      kernels().conv2d(c.s, data(c.x), data(c.w), data(c.b), data(y));
      return std::vector{y};
    };
    const auto theirs = [c] { return std::vector{at::conv2d(c.x, c.w, c.b, 1, 1)}; };
    return Pair{ours, theirs};
  };
  const auto by_input = [=] {
    const Convolution c(C, K, HW);
    const auto ours = [c] {
      const tern::Tensor dx = like(c.x);
      kernels().conv2d_backward_input(c.s, data(c.w), data(c.dy), data(dx));
      return std::vector{dx};
    };
    const auto theirs = [c] { return std::vector{std::get<0>(c.torch_backward({true, false, false}))}; };
    return Pair{ours, theirs};
  };
  const auto by_weight = [=] {
    const Convolution c(C, K, HW);
    const auto ours = [c] {
      const tern::Tensor dw = like(c.w), db = like(c.b);
      kernels().conv2d_backward_weight(c.s, data(c.x), data(c.dy), data(dw), data(db));
      return std::vector{dw, db};
    };
    const auto theirs = [c] {
      const auto [dx, dw, db] = c.torch_backward({false, true, true});
      return std::vector{dw, db};
    };
    return Pair{ours, theirs};
  };
  const std::string shape = std::to_string(C) + " to " + std::to_string(K) + ", " + times({HW, HW});
  const double flop = 2.0 * 9 * static_cast<double>(N * C * K * HW * HW);
  cases.push_back({"conv2d", shape, flop, forward});
  if (C > 3) cases.push_back({"conv2d, gradient by input", shape, flop, by_input});  // nobody asks for an image's
  cases.push_back({"conv2d, gradient by weight", shape, flop, by_weight});
}

/// A function of each element, from x, and its gradient, from the function's result y and the gradient by that.
struct Elementwise {
  const char* name;
  Unary function;
  at::Tensor (*torch_function)(const at::Tensor& x);
  at::Tensor (*torch_gradient)(const at::Tensor& y, const at::Tensor& dy);
};

const Elementwise tanh_pair{"tanh", unary_of(Activation::tanh), at::tanh,
                            [](const at::Tensor& y, const at::Tensor& dy) { return at::tanh_backward(dy, y); }};
const Elementwise relu_pair{"relu", unary_of(Activation::relu), at::relu,
                            [](const at::Tensor& y, const at::Tensor& dy) { return at::threshold_backward(dy, y, 0); }};

void add_elementwise(std::vector<Case>& cases, const Elementwise& f, const std::vector<int64_t>& sizes) {
  const auto function = [=] {
    const at::Tensor x = at::randn(sizes);
    const auto ours = [=] {
      const tern::Tensor y = like(x);
      kernels().unary(f.function, x.numel(), data(x), data(y));
      return std::vector{y};
    };
    const auto theirs = [=] { return std::vector{f.torch_function(x)}; };
    return Pair{ours, theirs};
  };
  const auto gradient = [=] {
    const at::Tensor y = at::randn(sizes), dy = at::randn(sizes);
    const auto ours = [=] {
      const tern::Tensor dx = like(dy);
      kernels().unary_backward(f.function, dy.numel(), data(y), data(dy), data(dx));
      return std::vector{dx};
    };
    const auto theirs = [=] { return std::vector{f.torch_gradient(y, dy)}; };
    return Pair{ours, theirs};
  };
  cases.push_back({f.name, times(sizes), 0, function});
  cases.push_back({std::string(f.name) + ", gradient", times(sizes), 0, gradient});
}

void add_addition(std::vector<Case>& cases, const std::vector<int64_t>& sizes) {
  const auto make = [=] {
    const at::Tensor a = at::randn(sizes), b = at::randn(sizes);
    const auto ours = [=] {
      const tern::Tensor y = like(a);
      const Strided walk{.ndim = 1, .size = {a.numel()}, .a = {1}, .b = {1}};
      cpu_backend().array(float{}).binary(BinaryOp::add, walk, data(a), data(b), data(y));
      return std::vector{y};
    };
    const auto theirs = [=] { return std::vector{at::add(a, b)}; };
    return Pair{ours, theirs};
  };
  cases.push_back({"add", times(sizes), 0, make});
}

Pool2dShape windows_of_2(int64_t C, int64_t HW) {
  return {.N = N, .C = C, .H = HW, .W = HW, .R = 2, .S = 2, .stride_h = 2, .stride_w = 2};
}

void add_max_pool(std::vector<Case>& cases, int64_t C, int64_t HW) {
  const Pool2dShape s = windows_of_2(C, HW);
  const auto forward = [=] {
    const at::Tensor x = at::randn({N, C, HW, HW});
    const auto ours = [=] {
      const tern::Tensor y = tern::empty({N, C, HW / 2, HW / 2});
      const tern::Tensor indices = tern::empty(y.shape(), {.dtype = tern::DType::int64});
      kernels().max_pool2d(s, data(x), data(y), indices.data<int64_t>());
      return std::vector{y};
    };
    const auto theirs = [=] { return std::vector{std::get<0>(at::max_pool2d_with_indices(x, 2, 2))}; };
    return Pair{ours, theirs};
  };
  const auto gradient = [=] {
    const at::Tensor x = at::randn({N, C, HW, HW}), dy = at::randn({N, C, HW / 2, HW / 2});
    const at::Tensor indices = std::get<1>(at::max_pool2d_with_indices(x, 2, 2));
    const auto ours = [=] {
      const tern::Tensor dx = like(x);
      kernels().max_pool2d_backward(s, indices.data_ptr<int64_t>(), data(dy), data(dx));
      return std::vector{dx};
    };
    const auto theirs = [=] {
      return std::vector{at::max_pool2d_with_indices_backward(dy, x, 2, 2, 0, 1, false, indices)};
    };
    return Pair{ours, theirs};
  };
  cases.push_back({"max_pool2d", times({N, C, HW, HW}), 0, forward});
  cases.push_back({"max_pool2d, gradient", times({N, C, HW, HW}), 0, gradient});
}

/// What tern's op and PyTorch's make of inputs of these sizes.
void add_op(std::vector<Case>& cases, const char* name, const std::string& shape, double flop,
            const std::vector<std::vector<int64_t>>& sizes,
            const std::function<tern::Tensor(const std::vector<tern::Tensor>&)>& ours,
            const std::function<at::Tensor(const std::vector<at::Tensor>&)>& theirs) {
  const auto make = [=] {
    std::vector<at::Tensor> inputs;
    std::vector<tern::Tensor> copies;
    for (const std::vector<int64_t>& size : sizes) {
      inputs.push_back(at::randn(size));
      copies.push_back(like(inputs.back()));
      std::copy_n(data(inputs.back()), inputs.back().numel(), data(copies.back()));
    }
    return Pair{[=] { return std::vector{ours(copies)}; }, [=] { return std::vector{theirs(inputs)}; }};
  };
  cases.push_back({name, shape, flop, make});
}

/// Twice as large each way, as decoders have them: by filters of `size`.
void add_transposed(std::vector<Case>& cases, int64_t C, int64_t K, int64_t HW, int64_t size, int64_t padding) {
  add_op(
      cases, "conv_transpose2d",
      std::to_string(C) + " to " + std::to_string(K) + ", " + times({HW, HW}) + ", filters " + times({size, size}),
      2.0 * static_cast<double>(N * C * K * HW * HW * size * size), {{N, C, HW, HW}, {C, K, size, size}, {K}},
      [=](const std::vector<tern::Tensor>& in) {
        return tern::conv_transpose2d(in[0], in[1], in[2], {.stride = 2, .padding = padding});
      },
      [=](const std::vector<at::Tensor>& in) { return at::conv_transpose2d(in[0], in[1], in[2], 2, padding); });
}

/// Twice as large each way.
void add_interpolate(std::vector<Case>& cases, int64_t C, int64_t HW) {
  const std::vector<int64_t> to{2 * HW, 2 * HW};
  const auto add = [&](const char* name, tern::InterpolateMode mode, const auto& theirs) {
    add_op(
        cases, name, times({N, C, HW, HW}), 0, {{N, C, HW, HW}},
        [=](const std::vector<tern::Tensor>& in) {
          return tern::interpolate(in[0], {.scale_factor = 2, .mode = mode});
        },
        theirs);
  };
  add("interpolate, nearest", tern::InterpolateMode::nearest,
      [=](const std::vector<at::Tensor>& in) { return at::upsample_nearest2d(in[0], to); });
  add("interpolate, bilinear", tern::InterpolateMode::bilinear,
      [=](const std::vector<at::Tensor>& in) { return at::upsample_bilinear2d(in[0], to, false); });
  const auto back = [&](const char* name, bool linear, const auto& theirs) {
    const Interpolate2dShape s{.N = N * C,
                               .H = HW,
                               .W = HW,
                               .P = 2 * HW,
                               .Q = 2 * HW,
                               .linear = linear,
                               .scale_h = 0.5,
                               .scale_w = 0.5,
                               .outer = linear ? 0.5 : 0,
                               .inner = linear ? 0.5 : 0};
    add_op(
        cases, name, times({N, C, HW, HW}), 0, {{N, C, 2 * HW, 2 * HW}},
        [=](const std::vector<tern::Tensor>& in) {
          const tern::Tensor dx = tern::empty({N, C, HW, HW});
          kernels().interpolate2d_backward(s, data(in[0]), data(dx));
          return dx;
        },
        theirs);
  };
  const std::vector<int64_t> from{N, C, HW, HW};
  back("interpolate, nearest, gradient", false,
       [=](const std::vector<at::Tensor>& in) { return at::upsample_nearest2d_backward(in[0], to, from); });
  back("interpolate, bilinear, gradient", true,
       [=](const std::vector<at::Tensor>& in) { return at::upsample_bilinear2d_backward(in[0], to, from, false); });
}

/// Beside each other: the values, and the gradient from them.
void add_softmax(std::vector<Case>& cases, const std::vector<int64_t>& sizes, int64_t dim) {
  using Ours = const std::vector<tern::Tensor>&;
  using Theirs = const std::vector<at::Tensor>&;
  tern::kernels::ReduceShape r;
  for (int64_t k = 0; k < static_cast<int64_t>(sizes.size()); ++k) {
    (k < dim ? r.outer : k == dim ? r.n : r.inner) *= sizes[static_cast<std::size_t>(k)];
  }
  const std::string shape = times(sizes) + ", dimension " + std::to_string(dim);
  add_op(
      cases, "softmax", shape, 0, {sizes}, [=](Ours in) { return tern::softmax(in[0], dim); },
      [=](Theirs in) { return at::softmax(in[0], dim); });
  add_op(
      cases, "log_softmax, gradient", shape, 0, {sizes, sizes},
      [=](Ours in) {
        const tern::Tensor dx = tern::empty_like(in[0]);
        kernels().softmax_backward(true, r, data(in[0]), data(in[1]), data(dx));
        return dx;
      },
      [=](Theirs in) { return at::_log_softmax_backward_data(in[1], in[0], dim, at::kFloat); });
}

void add_pools(std::vector<Case>& cases, int64_t C, int64_t HW) {
  using Ours = const std::vector<tern::Tensor>&;
  using Theirs = const std::vector<at::Tensor>&;
  const std::vector<std::vector<int64_t>> sizes{{N, C, HW, HW}};
  add_op(
      cases, "avg_pool2d", times(sizes[0]), 0, sizes, [](Ours in) { return tern::avg_pool2d(in[0], 2); },
      [](Theirs in) { return at::avg_pool2d(in[0], 2); });
  add_op(
      cases, "max_pool2d, 3 x 3 by 2", times(sizes[0]), 0, sizes,
      [](Ours in) { return tern::max_pool2d(in[0], 3, {.stride = tern::HeightWidth(2), .padding = 1}); },
      [](Theirs in) { return at::max_pool2d(in[0], 3, 2, 1); });
  add_op(
      cases, "adaptive_avg_pool2d to 1 x 1", times(sizes[0]), 0, sizes,
      [](Ours in) { return tern::adaptive_avg_pool2d(in[0], 1); },
      [](Theirs in) {
        return at::adaptive_avg_pool2d(in[0], {1, 1});
      });
  add_op(
      cases, "adaptive_avg_pool2d to 7 x 7", times(sizes[0]), 0, sizes,
      [](Ours in) { return tern::adaptive_avg_pool2d(in[0], 7); },
      [](Theirs in) {
        return at::adaptive_avg_pool2d(in[0], {7, 7});
      });
}

/// In training.
struct BatchNorm {
  BatchNorm(int64_t C, int64_t hw) : s{.N = N, .C = C, .HW = hw * hw}, HW(hw) {}

  std::tuple<at::Tensor, at::Tensor, at::Tensor> torch() const {
    return at::native_batch_norm(x, w, b, running_mean, running_var, true, 0.1, s.eps);
  }

  BatchNorm2dShape s;
  int64_t HW;
  at::Tensor x = at::randn({N, s.C, HW, HW}), w = at::randn({s.C}), b = at::randn({s.C}),
             running_mean = at::zeros({s.C}), running_var = at::ones({s.C});
};

void add_batch_norm(std::vector<Case>& cases, int64_t C, int64_t HW) {
  const auto forward = [=] {
    const BatchNorm n(C, HW);
    const auto ours = [n] {
      const tern::Tensor y = like(n.x), mean = like(n.w), invstd = like(n.w);
      kernels().batch_norm2d(n.s, 0.1, data(n.x), data(n.w), data(n.b), nullptr, data(n.running_mean),
                             data(n.running_var), nullptr, data(mean), data(invstd), data(y));
      return std::vector{y, mean, invstd};
    };
    const auto theirs = [n] {
      const auto [y, mean, invstd] = n.torch();
      return std::vector{y, mean, invstd};
    };
    return Pair{ours, theirs};
  };
  const auto gradient = [=] {
    const BatchNorm n(C, HW);
    const auto [y, mean, invstd] = n.torch();
    const at::Tensor dy = at::randn_like(y);
    const auto ours = [=, mean = mean, invstd = invstd] {
      const tern::Tensor dx = like(n.x), dw = like(n.w), db = like(n.w);
      kernels().batch_norm2d_backward(n.s, true, data(n.x), data(n.w), data(mean), data(invstd), nullptr, data(dy),
                                      data(dx), data(dw), data(db), nullptr);
      return std::vector{dx, dw, db};
    };
    const auto theirs = [=, mean = mean, invstd = invstd] {
      const auto [dx, dw, db] = at::native_batch_norm_backward(dy, n.x, n.w, n.running_mean, n.running_var, mean,
                                                               invstd, true, n.s.eps, {true, true, true});
      return std::vector{dx, dw, db};
    };
    return Pair{ours, theirs};
  };
  cases.push_back({"batch_norm2d", times({N, C, HW, HW}), 0, forward});
  cases.push_back({"batch_norm2d, gradient", times({N, C, HW, HW}), 0, gradient});
}

/// tern's one kernel beside PyTorch's three.
void add_batch_norm_max_pool(std::vector<Case>& cases, int64_t C, int64_t HW) {
  const auto make = [=] {
    const BatchNorm n(C, HW);
    const auto ours = [=] {
      const tern::Tensor mean = like(n.w), invstd = like(n.w);
      const tern::Tensor y = tern::empty({N, C, HW / 2, HW / 2}), picked = empty_like(y);
      kernels().batch_norm2d_max_pool2d(windows_of_2(C, HW), Activation::tanh, n.s.eps, 0.1, data(n.x), data(n.w),
                                        data(n.b), data(n.running_mean), data(n.running_var), nullptr, data(mean),
                                        data(invstd), data(picked), data(y));
      return std::vector{y, mean, invstd};
    };
    const auto theirs = [n] {
      const auto [y, mean, invstd] = n.torch();
      return std::vector{at::tanh(std::get<0>(at::max_pool2d_with_indices(y, 2, 2))), mean, invstd};
    };
    return Pair{ours, theirs};
  };
  cases.push_back({"batch_norm2d_max_pool2d, tanh", times({N, C, HW, HW}), 0, make});
}

/// Layer normalisation of rows [rows, n], or where there are groups group normalisation of images [N, n, hw, hw].
struct GroupNorm {
  GroupNorm(int64_t rows, int64_t n, int64_t groups, int64_t hw)
      : s{.N = rows, .groups = groups, .channels = n / groups, .run = hw * hw},
        sizes(hw > 1 ? std::vector<int64_t>{rows, n, hw, hw} : std::vector<int64_t>{rows, n}) {}

  std::tuple<at::Tensor, at::Tensor, at::Tensor> torch() const {
    if (s.run == 1) return at::native_layer_norm(x, {s.n()}, w, b, s.eps);
    return at::native_group_norm(x, w, b, s.N, w.numel(), s.run, s.groups, s.eps);
  }

  GroupNormShape s;
  std::vector<int64_t> sizes;
  at::Tensor x = at::randn(sizes), w = at::randn({sizes[1]}), b = at::randn({sizes[1]});
};

void add_group_norm(std::vector<Case>& cases, int64_t rows, int64_t n, int64_t groups = 1, int64_t hw = 1) {
  const auto forward = [=] {
    const GroupNorm g(rows, n, groups, hw);
    const auto ours = [g] {
      const tern::Tensor y = like(g.x), statistics = tern::empty({2 * g.s.rows()}, {.dtype = tern::DType::float64});
      auto* const mean = statistics.data<double>();
      kernels().group_norm(g.s, data(g.x), data(g.w), data(g.b), mean, mean + g.s.rows(), data(y));
      return std::vector{y};
    };
    const auto theirs = [g] { return std::vector{std::get<0>(g.torch())}; };
    return Pair{ours, theirs};
  };
  const auto gradient = [=] {
    const GroupNorm g(rows, n, groups, hw);
    const auto [y, mean, invstd] = g.torch();
    const at::Tensor dy = at::randn_like(y), wide_mean = mean.to(at::kDouble), wide_invstd = invstd.to(at::kDouble);
    const auto ours = [=] {
      const tern::Tensor dx = like(g.x), dw = like(g.w), db = like(g.w);
      kernels().group_norm_backward(g.s, data(g.x), data(g.w), wide_mean.data_ptr<double>(),
                                    wide_invstd.data_ptr<double>(), data(dy), data(dx), data(dw), data(db));
      return std::vector{dx, dw, db};
    };
    const auto theirs = [=, mean = mean, invstd = invstd] {
      const auto [dx, dw, db] =
          g.s.run == 1 ? at::native_layer_norm_backward(dy, g.x, {g.s.n()}, mean, invstd, g.w, g.b, {true, true, true})
                       : at::native_group_norm_backward(dy, g.x, mean, invstd, g.w, g.s.N, g.w.numel(), g.s.run,
                                                        g.s.groups, {true, true, true});
      return std::vector{dx, dw, db};
    };
    return Pair{ours, theirs};
  };
  const char* const name = hw == 1 ? "layer_norm" : "group_norm";
  const std::string shape = times(GroupNorm(rows, n, groups, hw).sizes);
  cases.push_back({name, shape, 0, forward});
  cases.push_back({std::string(name) + ", gradient", shape, 0, gradient});
}

/// The gradient by a table of `num` rows, `count` of which, chosen at random, were looked up.
void add_embedding(std::vector<Case>& cases, int64_t num, int64_t dim, int64_t count) {
  const auto gradient = [=] {
    const at::Tensor index = at::randint(num, {count}, at::kLong), dy = at::randn({count, dim});
    const auto ours = [=] {
      const tern::Tensor dx = tern::empty({num, dim});
      cpu_backend().array(float{}).index_select_backward({.n = num, .inner = dim}, count, index.data_ptr<int64_t>(),
                                                         data(dy), data(dx));
      return std::vector{dx};
    };
    const auto theirs = [=] { return std::vector{at::embedding_dense_backward(dy, index, num, -1, false)}; };
    return Pair{ours, theirs};
  };
  cases.push_back({"embedding, gradient", times({count}) + " of " + times({num, dim}), 0, gradient});
}

/// The products of a layer without bias: its result, and the gradients by its input and its weight.
void add_linear(std::vector<Case>& cases, int64_t in, int64_t out) {
  const auto add = [&](const char* kernel, const MatmulShape& s) {
    const auto make = [s] {
      const at::Tensor a = s.trans_a ? at::randn({s.k, s.m}) : at::randn({s.m, s.k});
      const at::Tensor b = s.trans_b ? at::randn({s.n, s.k}) : at::randn({s.k, s.n});
      const auto ours = [=] {
        const tern::Tensor y = tern::empty({s.m, s.n});
        kernels().matmul(s, data(a), data(b), data(y));
        return std::vector{y};
      };
      const auto theirs = [=] { return std::vector{at::mm(s.trans_a ? a.t() : a, s.trans_b ? b.t() : b)}; };
      return Pair{ours, theirs};
    };
    cases.push_back(
        {kernel, std::to_string(in) + " to " + std::to_string(out), 2.0 * static_cast<double>(s.m * s.n * s.k), make});
  };
  add("linear", {.m = N, .n = out, .k = in, .trans_b = true});
  add("linear, gradient by input", {.m = N, .n = in, .k = out});
  add("linear, gradient by weight", {.m = out, .n = in, .k = N, .trans_a = true});
}

/// tern's gradient comes with the loss: one kernel beside PyTorch's two ways.
void add_cross_entropy(std::vector<Case>& cases, int64_t C) {
  const CrossEntropyShape s{.N = N, .C = C};
  const auto make = [=](bool with_gradient) {
    return [=] {
      const at::Tensor logits = at::randn({N, C}), target = at::randint(C, {N}, at::kLong);
      const auto ours = [=] {
        const tern::Tensor loss = tern::empty({1}), dlogits = with_gradient ? like(logits) : tern::Tensor();
        kernels().cross_entropy(s, data(logits), target.data_ptr<int64_t>(), nullptr, data(loss),
                                with_gradient ? data(dlogits) : nullptr);
        return with_gradient ? std::vector{loss, dlogits} : std::vector{loss};
      };
      const at::Tensor norm = at::full({}, static_cast<double>(N)), dloss = at::ones({});
      const auto theirs = [=] {
        if (!with_gradient) return std::vector{at::cross_entropy_loss(logits, target)};
        const at::Tensor log_prob = at::log_softmax(logits, 1);
        const at::Tensor loss = at::nll_loss(log_prob, target);
        const at::Tensor dlog_prob =
            at::nll_loss_backward(dloss, log_prob, target, {}, at::Reduction::Mean, s.ignore_index, norm);
        return std::vector{loss, at::_log_softmax_backward_data(dlog_prob, log_prob, 1, at::kFloat)};
      };
      return Pair{ours, theirs};
    };
  };
  cases.push_back({"cross_entropy", times({N, C}), 0, make(false)});
  cases.push_back({"cross_entropy with its gradient", times({N, C}), 0, make(true)});
}

/// A step of plain SGD. The outputs are the parameters, which both sides change in place.
void add_sgd(std::vector<Case>& cases, const char* net, const std::vector<int64_t>& parameter_sizes) {
  const auto make = [=] {
    std::vector<at::Tensor> params, grads;
    std::vector<tern::Tensor> copies;
    for (int64_t size : parameter_sizes) {
      params.push_back(at::randn({size}));
      grads.push_back(at::randn({size}));
      copies.push_back(like(params.back()));
      std::copy_n(data(params.back()), size, data(copies.back()));
    }
    const auto ours = [=] {
      std::vector<OptimizerParam<float>> updates;
      for (std::size_t i = 0; i < copies.size(); ++i) {
        updates.push_back({copies[i].numel(), data(copies[i]), data(grads[i]), {}});
      }
      kernels().optimizer_step({.op = OptimizerOp::sgd, .lr = 1e-2}, updates);
      return copies;
    };
    const auto theirs = [=] {
      for (std::size_t i = 0; i < params.size(); ++i) params[i].add_(grads[i], -1e-2);
      return params;
    };
    return Pair{ours, theirs};
  };
  cases.push_back({"SGD", net, 0, make});
}

/// Both sides with autograd: the outputs are y and the gradients by q, k and v. PyTorch 1.13 composes it.
void add_attention(std::vector<Case>& cases, int64_t L, bool is_causal) {
  constexpr int64_t batch = 4, heads = 8, E = 64;
  const auto make = [=] {
    std::vector<at::Tensor> leaves;
    for (int i = 0; i < 3; ++i) leaves.push_back(at::randn({batch, heads, L, E}));
    const at::Tensor dy = at::randn({batch, heads, L, E}), mask = at::ones({L, L}).tril().logical_not();
    const auto ours = [=] {
      std::vector<tern::Tensor> x;
      for (const at::Tensor& leaf : leaves) x.push_back(copy(leaf).set_requires_grad());
      const tern::Tensor y = scaled_dot_product_attention(x[0], x[1], x[2], {}, 0, is_causal);
      y.backward(copy(dy));
      return std::vector{y, x[0].grad(), x[1].grad(), x[2].grad()};
    };
    const auto theirs = [=] {
      const at::AutoGradMode recorded(true);
      std::vector<at::Tensor> x;
      for (const at::Tensor& leaf : leaves) x.push_back(leaf.clone().set_requires_grad(true));
      at::Tensor scores = at::matmul(x[0] / std::sqrt(static_cast<double>(E)), x[1].transpose(-2, -1));
      if (is_causal) scores = scores.masked_fill(mask, -std::numeric_limits<double>::infinity());
      const at::Tensor y = at::matmul(at::softmax(scores, -1), x[2]);
      y.backward(dy.clone());
      return std::vector{y.detach(), x[0].grad(), x[1].grad(), x[2].grad()};
    };
    return Pair{ours, theirs};
  };
  const double flop = 14.0 * static_cast<double>(batch * heads * L * L * E) / (is_causal ? 2 : 1);
  cases.push_back({is_causal ? "attention, causal, and gradient" : "attention and gradient",
                   times({batch, heads, L, E}), flop, make});
}

/// The outputs are y, and the gradients by the input and the parameters.
template <class Layer>
void add_recurrent(std::vector<Case>& cases, const char* name, int64_t sums) {
  constexpr int64_t T = 64, batch = 32, in = 128, H = 256;
  const auto make = [=] {
    const at::Tensor x = at::randn({T, batch, in}), dy = at::randn({T, batch, H});
    const std::vector<at::Tensor> parameters{at::randn({sums * H, in}) / 16, at::randn({sums * H, H}) / 16,
                                             at::randn({sums * H}) / 16, at::randn({sums * H}) / 16};
    const auto layer = std::make_shared<Layer>(tern::RNNBase::Options{.input_size = in, .hidden_size = H});
    {
      const tern::NoGradGuard no_grad;
      for (std::size_t i = 0; i < 4; ++i) layer->parameters()[i].copy_(copy(parameters[i]));
    }
    const auto ours = [=] {
      layer->zero_grad();
      const tern::Tensor input = copy(x).set_requires_grad();
      const tern::Tensor y = (*layer)(input).output;
      y.backward(copy(dy));
      std::vector<tern::Tensor> all{y, input.grad()};
      for (const tern::Tensor& p : layer->parameters()) all.push_back(p.grad());
      return all;
    };
    const auto theirs = [=] {
      const at::AutoGradMode recorded(true);
      const at::Tensor input = x.clone().set_requires_grad(true), state = at::zeros({1, batch, H});
      std::vector<at::Tensor> leaves;
      for (const at::Tensor& p : parameters) leaves.push_back(p.detach().set_requires_grad(true));
      const at::Tensor y = sums == 4
                               ? std::get<0>(at::lstm(input, {state, state}, leaves, true, 1, 0, true, false, false))
                               : std::get<0>(at::gru(input, state, leaves, true, 1, 0, true, false, false));
      y.backward(dy.clone());
      std::vector<at::Tensor> all{y.detach(), input.grad()};
      for (const at::Tensor& p : leaves) all.push_back(p.grad());
      return all;
    };
    return Pair{ours, theirs};
  };
  const double flop = 6.0 * static_cast<double>(T * batch * sums * H * (in + H));
  cases.push_back(
      {std::string(name) + " and gradient", times({T, batch, in}) + " to " + std::to_string(H), flop, make});
}

void add_batched_product(std::vector<Case>& cases, int64_t batch, int64_t m, int64_t k, int64_t n) {
  const auto make = [=] {
    const at::Tensor a = at::randn({batch, m, k}), b = at::randn({batch, k, n});
    const tern::Tensor our_a = copy(a), our_b = copy(b);
    return Pair{[=] { return std::vector{bmm(our_a, our_b)}; }, [=] { return std::vector{at::bmm(a, b)}; }};
  };
  cases.push_back({"bmm", times({batch, m, k}) + " by " + times({batch, k, n}),
                   2.0 * static_cast<double>(batch * m * k * n), make});
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  // Net and NetBatchNorm
  add_convolution(cases, 3, 16, 32);
  add_convolution(cases, 16, 8, 16);
  add_convolution(cases, 3, 32, 32);
  add_convolution(cases, 32, 16, 16);
  add_elementwise(cases, tanh_pair, {N, 16, 16, 16});
  add_elementwise(cases, tanh_pair, {N, 32, 32, 32});
  add_max_pool(cases, 16, 32);
  add_max_pool(cases, 32, 32);
  add_batch_norm(cases, 32, 32);
  add_batch_norm(cases, 16, 16);
  add_batch_norm_max_pool(cases, 32, 32);
  add_linear(cases, 512, 32);
  add_linear(cases, 1024, 32);
  add_linear(cases, 32, 2);
  add_cross_entropy(cases, 2);
  add_sgd(cases, "Net", {432, 16, 1152, 8, 16384, 32, 64, 2});
  add_sgd(cases, "NetBatchNorm", {864, 32, 32, 32, 4608, 16, 16, 16, 32768, 32, 64, 2});
  // ResNets
  add_convolution(cases, 64, 64, 32);
  add_convolution(cases, 128, 128, 16);
  add_batch_norm(cases, 64, 32);
  add_batch_norm(cases, 128, 16);
  add_elementwise(cases, relu_pair, {N, 64, 32, 32});
  add_elementwise(cases, relu_pair, {N, 128, 16, 16});
  add_addition(cases, {N, 64, 32, 32});
  add_addition(cases, {N, 128, 16, 16});
  add_max_pool(cases, 64, 32);
  add_cross_entropy(cases, 10);
  // Sequences
  add_batched_product(cases, 32, 128, 64, 128);
  add_batched_product(cases, 512, 16, 16, 16);
  for (const int64_t L : {128, 512}) {
    add_attention(cases, L, false);
    add_attention(cases, L, true);
  }
  add_recurrent<tern::LSTM>(cases, "LSTM", 4);
  add_recurrent<tern::GRU>(cases, "GRU", 3);
  // Decoders, and other poolings
  add_transposed(cases, 64, 32, 16, 4, 1);
  add_transposed(cases, 128, 64, 8, 4, 1);
  add_transposed(cases, 64, 32, 16, 2, 0);
  add_interpolate(cases, 32, 16);
  add_pools(cases, 64, 16);
  add_softmax(cases, {4096, 128}, 1);
  add_softmax(cases, {64, 21, 64, 64}, 1);
  add_softmax(cases, {64, 1000}, 1);
  // Transformers
  add_group_norm(cases, 2048, 256);
  add_group_norm(cases, 4096, 768);
  add_group_norm(cases, 1024, 4096);
  add_group_norm(cases, N, 64, 32, 32);
  add_group_norm(cases, N, 128, 8, 16);
  add_embedding(cases, 50'000, 512, 4096);
  return cases;
}

// Running them

/// To a ten-thousandth of the largest element.
bool agree(const tern::Tensor& ours, const at::Tensor& theirs) {
  if (ours.numel() != theirs.numel()) return false;
  const double largest = theirs.abs().max().item<double>();
  return largest > 0 && at::allclose(at::from_blob(data(ours), theirs.sizes()), theirs, 0, 1e-4 * largest);
}

void check(const Case& c, const Pair& pair) {
  const auto ours = pair.tern();
  const auto theirs = pair.torch();
  if (!std::equal(ours.begin(), ours.end(), theirs.begin(), theirs.end(), agree)) {
    throw std::runtime_error(c.kernel + ", " + c.shape + ": tern's and torch's outputs differ");
  }
}

/// The case's pair, made when another case's was used before.
const Pair& pair_of(const Case& c) {
  static const Case* current = nullptr;
  static Pair pair;
  if (current != &c) {
    pair = c.make();
    check(c, pair);
    current = &c;
  }
  return pair;
}

template <class F>
void measure(State& state, double flop, const F& f) {
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // threads of the other side look for work until then
  for (auto _ : state) benchmark::DoNotOptimize(f());
  if (flop > 0) {
    state.counters["GFLOP/s"] = Counter(flop * static_cast<double>(state.iterations()) * 1e-9, Counter::kIsRate);
  }
}

/// All threads at once, each some 0.2 ms a call.
void peak(State& state) {
  constexpr int64_t rounds = 1 << 17;
  const int threads = tern::num_threads();
  measure(state, static_cast<double>(threads * fused_multiply_adds(rounds)), [&] {
    parallel_for(threads, 1, [](int64_t, int64_t) { fused_multiply_adds(rounds); });
    return 0;
  });
}

}  // namespace

int main(int argc, char** argv) try {
  const at::NoGradGuard no_grad;
  const std::vector<Case> cases = all_cases();
  benchmark::RegisterBenchmark("peak", peak)->UseRealTime()->Unit(benchmark::kMicrosecond);
  for (const Case& c : cases) {
    const auto add = [&](const char* side, auto run) {
      benchmark::RegisterBenchmark((c.kernel + "/" + c.shape + "/" + side).c_str(), run)
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    };
    add("tern", [&c](State& state) {
      const Pair& pair = pair_of(c);
      openblas_set_num_threads(1);  // as tern's backend wants it
      measure(state, c.flop, pair.tern);
    });
    add("torch", [&c](State& state) {
      const Pair& pair = pair_of(c);
      openblas_set_num_threads(at::get_num_threads());
      measure(state, c.flop, pair.torch);
    });
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
} catch (const std::exception& e) {
  std::cerr << "tern_torch_bench: " << e.what() << '\n';
  return 1;
}
