#include <tern/core/autocast.hpp>
#include <tern/core/autograd.hpp>
#include <tern/core/cuda.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>
#include <tern/core/ops/conv2d.hpp>
#include <tern/core/ops/options.hpp>
#include <tern/core/ops/pool2d.hpp>
#include <tern/core/precision.hpp>
#include <tern/core/trace.hpp>

#include <algorithm>
#include <array>

namespace tern {
namespace {

using std::uint8_t;

void check_arguments(const char* op, const Tensor& x, const Tensor& w, const char* of_weight) {
  check_defined(op, "x", x);
  check_defined(op, "weight", w);
  check_alike(op, x, w);
  check((x.dim() == 4 || x.dim() == 3) && w.dim() == 4,
        "{}: input {} and weight {}, expected [N, C, H, W] or [C, H, W] and [{}, R, S]", op, x.shape(), w.shape(),
        of_weight);
}

void check_bias(const char* op, const Tensor& x, const Tensor& bias, std::int64_t biases) {
  if (!bias.defined()) return;
  check_alike(op, x, bias);
  check(bias.dim() == 1 && bias.size(0) == biases, "{}: bias {}, expected [{}]", op, bias.shape(), biases);
}

/// A longer stride is never taken, nor the dilation of a single element.
kernels::Conv2dShape without_excess(kernels::Conv2dShape s) {
  s.stride_h = std::min(s.stride_h, s.H + 2 * s.pad_h);
  s.stride_w = std::min(s.stride_w, s.W + 2 * s.pad_w);
  if (s.R == 1) s.dilation_h = 1;
  if (s.S == 1) s.dilation_w = 1;
  return s;
}

/// Of a convolution by w of as many images [C, H, W] as x has. Options are conv2d's, or conv_transpose2d's.
template <class Options>
kernels::Conv2dShape shape_of(const Tensor& x, std::int64_t C, HeightWidth size, const Tensor& w, const Options& o) {
  return {.N = x.dim() == 4 ? x.size(0) : 1,
          .C = C,
          .H = size.h,
          .W = size.w,
          .K = w.size(0),
          .R = w.size(2),
          .S = w.size(3),
          .stride_h = o.stride.h,
          .stride_w = o.stride.w,
          .pad_h = o.padding.h,
          .pad_w = o.padding.w,
          .dilation_h = o.dilation.h,
          .dilation_w = o.dilation.w,
          .groups = o.groups,
          .precision = precision_of(x)};
}

Tensor convolve(const char* op, const kernels::Conv2dMaxPool2dShape& s, const Tensor& input, const Tensor& weight,
                const Tensor& bias);
Tensor weight_gradient(const kernels::Conv2dShape& s, const Tensor& input, const Tensor& gradient);

/// conv2d's gradient by its input, dx of [N, C, H, W] from w and dy, plus a bias [C] where defined. It is bilinear, as
/// conv2d and weight_gradient are: each has the other two for gradients.
Tensor input_gradient(const char* op, const kernels::Conv2dShape& s, const Tensor& gradient, const Tensor& weight,
                      const Tensor& bias = {}) {
  if (is_half(gradient.dtype())) {
    return input_gradient(op, s, widened(gradient), widened(weight), widened(bias)).to(gradient.dtype());
  }
  const Tensor g = gradient.contiguous(), w = weight.contiguous();
  const Tensor dx = empty({s.N, s.C, s.H, s.W}, {.dtype = g.dtype(), .device = g.device()});
  for_floating(op, g, [&]<class T>(kernels::FloatKernels<T>& k) {
    k.conv2d_backward_input(s, w.data<T>(), g.data<T>(), dx.data<T>());
  });
  if (bias.defined()) dx.add_(bias.detach().reshape({s.C, 1, 1}));
  const bool need_g = g.requires_grad(), need_w = w.requires_grad(), need_b = bias.defined() && bias.requires_grad();
  return record(op, {g, w, bias}, dx, [=, g = Saved(g), w = Saved(w)](const Tensor& ddx) {
    return Grads{need_g ? convolve("conv2d", {.conv = s}, ddx, *w, {}) : Tensor(),
                 need_w ? weight_gradient(s, ddx, *g) : Tensor(), need_b ? sum(ddx, {0, 2, 3}) : Tensor()};
  });
}

/// The same by its weight, dw of [K, C / groups, R, S] from x and dy.
Tensor weight_gradient(const kernels::Conv2dShape& s, const Tensor& input, const Tensor& gradient) {
  constexpr const char* op = "conv2d by weight";
  const Tensor x = input.contiguous(), g = gradient.contiguous();
  const Tensor dw = empty({s.K, s.C / s.groups, s.R, s.S}, {.dtype = g.dtype(), .device = g.device()});
  for_floating(op, g, [&]<class T>(kernels::FloatKernels<T>& k) {
    k.conv2d_backward_weight(s, x.data<T>(), g.data<T>(), dw.data<T>(), nullptr);
  });
  const bool need_x = x.requires_grad(), need_g = g.requires_grad();
  return record(op, {x, g}, dw, [=, x = Saved(x), g = Saved(g)](const Tensor& ddw) {
    return Grads{need_x ? input_gradient("conv2d by input", s, *g, ddw) : Tensor(),
                 need_g ? convolve("conv2d", {.conv = s}, *x, ddw, {}) : Tensor()};
  });
}

/// What conv2d and conv2d_max_pool2d have in common: they differ in the windows.
Tensor convolve(const char* op, const kernels::Conv2dMaxPool2dShape& s, const Tensor& input, const Tensor& weight,
                const Tensor& bias) {
  if (is_half(input.dtype())) {
    return convolve(op, s, widened(input), widened(weight), widened(bias)).to(input.dtype());
  }
  const Tensor x = input.contiguous(), w = weight.contiguous(), b = bias.defined() ? bias.contiguous() : bias;
  const TensorOptions like{.dtype = x.dtype(), .device = x.device()};
  const Tensor y = empty({s.conv.N, s.conv.K, s.P(), s.Q()}, like);
  const bool recorded = records(std::array{x, w, b});
  const Tensor picked =
      recorded && s.pools() ? empty(y.shape(), {.dtype = DType::uint8, .device = x.device()}) : Tensor();
  for_floating(op, x, [&]<class T>(kernels::FloatKernels<T>& k) {
    k.conv2d_max_pool2d(s, x.data<T>(), w.data<T>(), data_or_null<T>(b), y.data<T>(), data_or_null<uint8_t>(picked));
  });
  const bool need_x = x.requires_grad(), need_w = w.requires_grad(), need_b = b.defined() && b.requires_grad();
  const Tensor activated = s.activation == Activation::none ? Tensor() : y;
  return record(op, {x, w, b}, y,
                [=, x = Saved(x), w = Saved(w), y = Saved(activated), picked = Saved(picked)](const Tensor& gradient) {
                  if (is_grad_enabled()) {
                    const Tensor g = activation_gradient(s.activation, *y, gradient);
                    const Tensor by_bias = need_b ? sum(g, {0, 2, 3}) : Tensor();  // a window hands on all it gets
                    if (s.pools()) {
                      Grads grads = composed_gradients(g, {*x, *w}, [&](const std::vector<Tensor>& in) {
                        return max_pool2d(convolve("conv2d", {.conv = s.conv}, in[0], in[1], {}), {s.R, s.S});
                      });
                      grads.push_back(by_bias);
                      return grads;
                    }
                    return Grads{need_x ? input_gradient("conv2d by input", s.conv, g, *w) : Tensor(),
                                 need_w ? weight_gradient(s.conv, *x, g) : Tensor(), by_bias};
                  }
                  const Tensor g = gradient.contiguous();
                  Grads grads{need_x ? empty_like(*x) : Tensor(), need_w ? empty_like(*w) : Tensor(),
                              need_b ? empty({s.conv.K}, like) : Tensor()};
                  for_floating(op, g, [&]<class T>(kernels::FloatKernels<T>& k) {
                    k.conv2d_max_pool2d_backward(s, (*x).data<T>(), (*w).data<T>(), data_or_null<T>(*y),
                                                 data_or_null<uint8_t>(*picked), g.data<T>(), data_or_null<T>(grads[0]),
                                                 data_or_null<T>(grads[1]), data_or_null<T>(grads[2]));
                  });
                  return grads;
                });
}

}  // namespace

kernels::Conv2dShape conv2d_shape(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv2dOptions& o) {
  check_arguments("conv2d", x, w, "K, C / groups");
  check_options("conv2d", {w.size(2), w.size(3)}, o);
  const kernels::Conv2dShape s = shape_of(x, x.size(-3), {x.size(-2), x.size(-1)}, w, o);
  check(s.C % s.groups == 0 && s.K % s.groups == 0,
        "conv2d: {} groups for {} input and {} output channels, expected a divisor of both", s.groups, s.C, s.K);
  check(w.size(1) == s.C / s.groups, "conv2d: input {} has {} channels, weight {} wants {:.0f}", x.shape(), s.C,
        w.shape(), static_cast<double>(w.size(1)) * static_cast<double>(s.groups));
  const HeightWidth padded = padded_size("conv2d", x, o.padding);
  check(s.R > 0 && s.S > 0 && fits(s.R, s.dilation_h, padded.h) && fits(s.S, s.dilation_w, padded.w),
        "conv2d: weight {} with dilation [{}, {}] is larger than input {} with padding [{}, {}]", w.shape(),
        s.dilation_h, s.dilation_w, x.shape(), s.pad_h, s.pad_w);
  check_bias("conv2d", x, bias, s.K);
  return without_excess(s);
}

void check_options(const char* who, HeightWidth kernel_size, const ConvTranspose2dOptions& o) {
  check_options(who, kernel_size,
                Conv2dOptions{.stride = o.stride, .padding = o.padding, .dilation = o.dilation, .groups = o.groups});
  const HeightWidth p = o.output_padding;
  check(p.h >= 0 && p.w >= 0 && p.h < std::max(o.stride.h, o.dilation.h) && p.w < std::max(o.stride.w, o.dilation.w),
        "{}: output_padding [{}, {}], stride [{}, {}], dilation [{}, {}], expected it to be smaller than either", who,
        p.h, p.w, o.stride.h, o.stride.w, o.dilation.h, o.dilation.w);
}

void check_options(const char* who, HeightWidth kernel_size, const Conv2dOptions& o) {
  check(!o.padding.same || (o.stride.h == 1 && o.stride.w == 1),
        "{}: padding \"same\", stride [{}, {}], expected a stride of 1", who, o.stride.h, o.stride.w);
  check(
      o.stride.h > 0 && o.stride.w > 0 && o.dilation.h > 0 && o.dilation.w > 0 && o.padding.h >= 0 && o.padding.w >= 0,
      "{}: stride [{}, {}], dilation [{}, {}], padding [{}, {}], expected strides and dilations of 1 or more and no "
      "negative padding",
      who, o.stride.h, o.stride.w, o.dilation.h, o.dilation.w, o.padding.h, o.padding.w);
  check(kernel_size.h > 0 && kernel_size.w > 0 && o.groups > 0, "{}: kernel [{}, {}], {} groups, expected 1 or more",
        who, kernel_size.h, kernel_size.w, o.groups);
}

Padding::Padding(std::string_view name) : HeightWidth(0), same(name == "same") {
  check(same || name == "valid", "padding \"{}\", expected \"same\", \"valid\" or numbers", name);
}

namespace {

/// How many elements conv_transpose2d makes of n.
std::int64_t transposed_size(std::int64_t n, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                             std::int64_t dilation, std::int64_t output_padding) {
  const auto real = [](std::int64_t v) { return static_cast<double>(v); };
  const double size = (real(n) - 1) * real(stride) + real(dilation) * (real(kernel) - 1) + real(output_padding);
  check(size < real(most_elements) && padding < most_elements && (kernel > 1 || dilation < most_elements),
        "conv_transpose2d: stride {}, dilation {}, padding {}, output_padding {}, expected no 2^48 elements", stride,
        dilation, padding, output_padding);
  return (n - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1;
}

kernels::Conv2dShape transposed_shape(const Tensor& x, const Tensor& w, const Tensor& bias,
                                      const ConvTranspose2dOptions& o) {
  constexpr const char* op = "conv_transpose2d";
  check_arguments(op, x, w, "C, K / groups");
  check_options(op, {w.size(2), w.size(3)}, o);
  check(w.size(0) > 0 && x.size(-3) == w.size(0) && w.size(0) % o.groups == 0,
        "{}: input {} and weight {} in {} groups, expected [N, C, H, W] and [C, K / groups, R, S] with groups that "
        "divide C",
        op, x.shape(), w.shape(), o.groups);
  const HeightWidth size(
      transposed_size(x.size(-2), w.size(2), o.stride.h, o.padding.h, o.dilation.h, o.output_padding.h),
      transposed_size(x.size(-1), w.size(3), o.stride.w, o.padding.w, o.dilation.w, o.output_padding.w));
  const kernels::Conv2dShape s = shape_of(x, w.size(1) * o.groups, size, w, o);
  check(x.size(-2) > 0 && x.size(-1) > 0 && s.H > 0 && s.W > 0,
        "{}: input {}, weight {}, padding [{}, {}], output [{}, {}], expected sizes of 1 or more", op, x.shape(),
        w.shape(), s.pad_h, s.pad_w, s.H, s.W);
  const auto padded = static_cast<double>(s.H + 2 * s.pad_h) * static_cast<double>(s.W + 2 * s.pad_w);
  check(padded * static_cast<double>(std::max<std::int64_t>(1, s.N * s.C)) <= static_cast<double>(most_elements),
        "{}: output [{}, {}, {}, {}], expected at most 2^48 elements", op, s.N, s.C, s.H, s.W);
  check_bias(op, x, bias, s.C);
  return without_excess(s);
}

/// x as large as conv2d maps s.H and s.W to: an output_padding of a stride or more needs zeros below and beside it.
Tensor filled_up(const kernels::Conv2dShape& s, Tensor x) {
  for (const std::int64_t dim : {-2, -1}) {
    Shape more = x.shape();
    std::int64_t& size = more[x.dim() + static_cast<int>(dim)];
    size = (dim == -2 ? s.P() : s.Q()) - size;
    if (size > 0) x = cat({x, zeros(more, {.dtype = x.dtype(), .device = x.device()})}, dim);
  }
  return x;
}

/// x [N, C, L] and weight [K, C, S] as convolutions of one row, and back.
template <class F>
Tensor of_line(const char* op, const Tensor& x, const Tensor& weight, F f) {
  check_defined(op, "x", x);
  check_defined(op, "weight", weight);
  check((x.dim() == 2 || x.dim() == 3) && weight.dim() == 3,
        "{}: input {} and weight {}, expected [N, C, L] or [C, L] and three dimensions", op, x.shape(), weight.shape());
  return f(x.unsqueeze(-2), weight.unsqueeze(-2)).squeeze(-2);
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& options) {
  if (const Autocast cast(Autocast::low); cast) return conv2d(cast(x), cast(weight), cast(bias), options);
  if (options.padding.same) {
    check_arguments("conv2d", x, weight, "K, C / groups");
    check_options("conv2d", {weight.size(2), weight.size(3)}, options);
    // Half of it on both sides. Of an odd one the larger half, and the first window is left out.
    const auto total = [](std::int64_t kernel, std::int64_t dilation) {
      check(kernel == 1 || dilation <= most_elements / (kernel - 1), "conv2d: dilation {}, expected less", dilation);
      return kernel == 1 ? 0 : dilation * (kernel - 1);
    };
    const std::int64_t h = total(weight.size(2), options.dilation.h), w = total(weight.size(3), options.dilation.w);
    Conv2dOptions padded = options;
    padded.padding = {(h + 1) / 2, (w + 1) / 2};
    Tensor y = conv2d(x, weight, bias, padded);
    if (h % 2 != 0) y = y.narrow(-2, 1, x.size(-2));
    if (w % 2 != 0) y = y.narrow(-1, 1, x.size(-1));
    return y;
  }
  const kernels::Conv2dMaxPool2dShape s{.conv = conv2d_shape(x, weight, bias, options)};
  if (Trace* const trace = Trace::current(); trace && x.dim() == 4) {
    return trace->run("conv", {x, weight, bias},
                      {{"stride", {options.stride.h, options.stride.w}},
                       {"padding", {options.padding.h, options.padding.w}},
                       {"dilation", {options.dilation.h, options.dilation.w}},
                       {"groups", options.groups}},
                      [&] { return conv2d(x, weight, bias, options); });
  }
  if (x.dim() == 3) return conv2d(x.unsqueeze(0), weight, bias, options).squeeze(0);
  return convolve("conv2d", s, x, weight, bias);
}

Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                        const ConvTranspose2dOptions& options) {
  if (const Autocast cast(Autocast::low); cast) return conv_transpose2d(cast(x), cast(weight), cast(bias), options);
  const kernels::Conv2dShape s = transposed_shape(x, weight, bias, options);
  if (x.dim() == 3) return conv_transpose2d(x.unsqueeze(0), weight, bias, options).squeeze(0);
  if (Trace* const trace = Trace::current()) {
    return trace->run("conv_transpose", {x, weight, bias},
                      {{"stride", {options.stride.h, options.stride.w}},
                       {"padding", {options.padding.h, options.padding.w}},
                       {"output_padding", {options.output_padding.h, options.output_padding.w}},
                       {"dilation", {options.dilation.h, options.dilation.w}},
                       {"groups", options.groups}},
                      [&] { return conv_transpose2d(x, weight, bias, options); });
  }
  const Tensor g = filled_up(s, x);
  return input_gradient("conv_transpose2d", s, g, weight, bias);
}

Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv1dOptions& o) {
  Conv2dOptions two{.stride = {1, o.stride}, .padding = o.padding, .dilation = {1, o.dilation}, .groups = o.groups};
  two.padding.h = 0;
  return of_line("conv1d", x, weight, [&](const Tensor& line, const Tensor& w) { return conv2d(line, w, bias, two); });
}

Tensor conv_transpose1d(const Tensor& x, const Tensor& weight, const Tensor& bias, const ConvTranspose1dOptions& o) {
  const ConvTranspose2dOptions two{.stride = {1, o.stride},
                                   .padding = {0, o.padding},
                                   .output_padding = {0, o.output_padding},
                                   .groups = o.groups,
                                   .dilation = {1, o.dilation}};
  return of_line("conv_transpose1d", x, weight,
                 [&](const Tensor& line, const Tensor& w) { return conv_transpose2d(line, w, bias, two); });
}

Tensor conv2d_max_pool2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& options,
                         HeightWidth kernel_size, Activation activation) {
  constexpr std::int64_t most = 256;  // places of a window, for which there is a byte
  check_defined("conv2d_max_pool2d", "x", x);
  const bool by_cudnn = x.device().kind == Device::cuda && conv_backend() == ConvBackend::cudnn;
  const auto [R, S] = kernel_size;
  if (by_cudnn || is_half(x.dtype()) || autocast_dtype() != DType::float32 || Trace::current() ||
      options.padding.same || x.dim() == 3 || R > most || S > most || (R > 0 && S > 0 && R * S > most)) {
    const Tensor y = conv2d(x, weight, bias, options);
    return activate(R == 1 && S == 1 ? y : max_pool2d(y, kernel_size), activation);
  }
  const kernels::Conv2dShape s = conv2d_shape(x, weight, bias, options);
  check(R > 0 && S > 0 && R <= s.P() && S <= s.Q(),
        "conv2d_max_pool2d: kernel [{}, {}], expected 1 to what it pools, [{}, {}]", R, S, s.P(), s.Q());
  return convolve("conv2d_max_pool2d", {.conv = s, .R = R, .S = S, .activation = activation}, x, weight, bias);
}

}  // namespace tern
