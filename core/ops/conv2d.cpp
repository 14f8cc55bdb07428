#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>

namespace tern {
namespace {

kernels::Conv2dShape checked_shape(const Tensor& x, const Tensor& w, const Tensor& bias, const Conv2dOptions& o) {
  check_alike("conv2d", x, w);
  check(x.dim() == 4 && w.dim() == 4, "conv2d: input {} and weight {}, expected [N, C, H, W] and [K, C / groups, R, S]",
        x.shape(), w.shape());
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
  check(s.stride_h > 0 && s.stride_w > 0 && s.dilation_h > 0 && s.dilation_w > 0 && s.pad_h >= 0 && s.pad_w >= 0,
        "conv2d: stride [{}, {}], dilation [{}, {}], padding [{}, {}], expected strides and dilations of 1 or more and "
        "no "
        "negative padding",
        s.stride_h, s.stride_w, s.dilation_h, s.dilation_w, s.pad_h, s.pad_w);
  check(s.groups > 0 && s.C % s.groups == 0 && s.K % s.groups == 0,
        "conv2d: {} groups for {} input and {} output channels, expected a divisor of both", s.groups, s.C, s.K);
  check(w.size(1) * s.groups == s.C, "conv2d: input {} has {} channels, weight {} wants {}", x.shape(), s.C, w.shape(),
        w.size(1) * s.groups);
  check(s.R > 0 && s.S > 0 && s.H + 2 * s.pad_h > s.dilation_h * (s.R - 1) &&
            s.W + 2 * s.pad_w > s.dilation_w * (s.S - 1),
        "conv2d: weight {} with dilation [{}, {}] is larger than input {} with padding [{}, {}]", w.shape(),
        s.dilation_h, s.dilation_w, x.shape(), s.pad_h, s.pad_w);
  if (bias.defined()) {
    check_alike("conv2d", x, bias);
    check(bias.dim() == 1 && bias.size(0) == s.K, "conv2d: bias {}, expected [{}]", bias.shape(), s.K);
  }
  return s;
}

}  // namespace

Tensor conv2d(const Tensor& input, const Tensor& weight, const Tensor& bias, const Conv2dOptions& options) {
  const kernels::Conv2dShape s = checked_shape(input, weight, bias, options);
  const Tensor x = input.contiguous(), w = weight.contiguous(), b = bias.defined() ? bias.contiguous() : bias;
  const Tensor y = empty({s.N, s.K, s.P(), s.Q()}, {.dtype = x.dtype(), .device = x.device()});
  for_floating("conv2d", x, [&]<class T>(kernels::FloatKernels<T>& k) {
    k.conv2d(s, x.data<T>(), w.data<T>(), b.defined() ? b.data<T>() : nullptr, y.data<T>());
  });
  const bool need_x = x.requires_grad(), need_b = b.defined() && b.requires_grad(),
             need_w = w.requires_grad() || need_b;
  return record("conv2d", {x, w, b}, y, [=, x = Saved(x), w = Saved(w)](const Tensor& gradient) {
    const Tensor g = gradient.contiguous();
    Grads grads{Tensor(), Tensor(), Tensor()};
    for_floating("conv2d", g, [&]<class T>(kernels::FloatKernels<T>& k) {
      if (need_x) {
        grads[0] = empty_like(*x);
        k.conv2d_backward_input(s, (*w).data<T>(), g.data<T>(), grads[0].data<T>());
      }
      if (need_w) {
        grads[1] = empty_like(*w);
        if (need_b) grads[2] = empty({s.K}, {.dtype = g.dtype(), .device = g.device()});
        k.conv2d_backward_weight(s, (*x).data<T>(), g.data<T>(), grads[1].data<T>(),
                                 need_b ? grads[2].data<T>() : nullptr);
      }
    });
    return grads;
  });
}

}  // namespace tern
