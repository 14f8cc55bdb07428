#include <tern/core/autograd.hpp>
#include <tern/core/cuda.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/options.hpp>
#include <tern/core/ops/pool2d.hpp>

#include <algorithm>
#include <array>

namespace tern {
namespace {

using std::uint8_t;

kernels::Conv2dShape checked_shape(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv2dOptions& o) {
  check_defined("conv2d", "x", x);
  check_defined("conv2d", "weight", w);
  check_alike("conv2d", x, w);
  check(x.dim() == 4 && w.dim() == 4, "conv2d: input {} and weight {}, expected [N, C, H, W] and [K, C / groups, R, S]",
        x.shape(), w.shape());
  check_options("conv2d", {w.size(2), w.size(3)}, o);
  kernels::Conv2dShape s{.N = x.size(0),
                         .C = x.size(1),
                         .H = x.size(2),
                         .W = x.size(3),
                         .K = w.size(0),
                         .R = w.size(2),
                         .S = w.size(3),
                         .stride_h = o.stride.h,
                         .stride_w = o.stride.w,
                         .pad_h = o.padding.h,
                         .pad_w = o.padding.w,
                         .dilation_h = o.dilation.h,
                         .dilation_w = o.dilation.w,
                         .groups = o.groups};
  check(s.C % s.groups == 0 && s.K % s.groups == 0,
        "conv2d: {} groups for {} input and {} output channels, expected a divisor of both", s.groups, s.C, s.K);
  check(w.size(1) == s.C / s.groups, "conv2d: input {} has {} channels, weight {} wants {:.0f}", x.shape(), s.C,
        w.shape(), static_cast<double>(w.size(1)) * static_cast<double>(s.groups));
  const HeightWidth padded = padded_size("conv2d", x, o.padding);
  check(s.R > 0 && s.S > 0 && fits(s.R, s.dilation_h, padded.h) && fits(s.S, s.dilation_w, padded.w),
        "conv2d: weight {} with dilation [{}, {}] is larger than input {} with padding [{}, {}]", w.shape(),
        s.dilation_h, s.dilation_w, x.shape(), s.pad_h, s.pad_w);
  // A longer stride is never taken, nor the dilation of a single element.
  s.stride_h = std::min(s.stride_h, padded.h);
  s.stride_w = std::min(s.stride_w, padded.w);
  if (s.R == 1) s.dilation_h = 1;
  if (s.S == 1) s.dilation_w = 1;
  if (bias.defined()) {
    check_alike("conv2d", x, bias);
    check(bias.dim() == 1 && bias.size(0) == s.K, "conv2d: bias {}, expected [{}]", bias.shape(), s.K);
  }
  return s;
}

/// What conv2d and conv2d_max_pool2d have in common: they differ in the windows.
Tensor convolve(const char* op, const kernels::Conv2dMaxPool2dShape& s, const Tensor& input, const Tensor& weight,
                const Tensor& bias) {
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

void check_options(const char* who, HeightWidth kernel_size, const Conv2dOptions& o) {
  check(
      o.stride.h > 0 && o.stride.w > 0 && o.dilation.h > 0 && o.dilation.w > 0 && o.padding.h >= 0 && o.padding.w >= 0,
      "{}: stride [{}, {}], dilation [{}, {}], padding [{}, {}], expected strides and dilations of 1 or more and no "
      "negative padding",
      who, o.stride.h, o.stride.w, o.dilation.h, o.dilation.w, o.padding.h, o.padding.w);
  check(kernel_size.h > 0 && kernel_size.w > 0 && o.groups > 0, "{}: kernel [{}, {}], {} groups, expected 1 or more",
        who, kernel_size.h, kernel_size.w, o.groups);
}

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& options) {
  return convolve("conv2d", {.conv = checked_shape(x, weight, bias, options)}, x, weight, bias);
}

Tensor conv2d_max_pool2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& options,
                         HeightWidth kernel_size, Activation activation) {
  constexpr std::int64_t most = 256;  // places of a window, for which there is a byte
  check_defined("conv2d_max_pool2d", "x", x);
  const bool by_cudnn = x.device().kind == Device::cuda && conv_backend() == ConvBackend::cudnn;
  const auto [R, S] = kernel_size;
  if (by_cudnn || R > most || S > most || (R > 0 && S > 0 && R * S > most)) {
    const Tensor y = conv2d(x, weight, bias, options);
    return activate(R == 1 && S == 1 ? y : max_pool2d(y, kernel_size), activation);
  }
  const kernels::Conv2dShape s = checked_shape(x, weight, bias, options);
  check(R > 0 && S > 0 && R <= s.P() && S <= s.Q(),
        "conv2d_max_pool2d: kernel [{}, {}], expected 1 to what it pools, [{}, {}]", R, S, s.P(), s.Q());
  return convolve("conv2d_max_pool2d", {.conv = s, .R = R, .S = S, .activation = activation}, x, weight, bias);
}

}  // namespace tern
