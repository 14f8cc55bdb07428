#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/options.hpp>
#include <tern/core/ops/pool2d.hpp>

#include <algorithm>

namespace tern {

void check_options(const char* who, HeightWidth kernel, const Pool2dOptions& o) {
  const HeightWidth stride = o.stride.value_or(kernel);
  check(kernel.h > 0 && kernel.w > 0 && stride.h > 0 && stride.w > 0,
        "{}: kernel [{}, {}], stride [{}, {}], expected 1 or more", who, kernel.h, kernel.w, stride.h, stride.w);
  check(o.padding.h >= 0 && o.padding.w >= 0 && o.padding.h <= kernel.h / 2 && o.padding.w <= kernel.w / 2,
        "{}: padding [{}, {}] for kernel [{}, {}], expected at most half of it", who, o.padding.h, o.padding.w,
        kernel.h, kernel.w);
}

HeightWidth padded_size(const char* op, const Tensor& x, HeightWidth padding) {
  constexpr std::int64_t most = std::int64_t{1} << 48;
  const Shape& s = x.shape();
  check(padding.h <= most && padding.w <= most && s[2] <= most && s[3] <= most,
        "{}: input {} with padding [{}, {}], expected at most 2^48 elements", op, s, padding.h, padding.w);
  const HeightWidth padded(s[2] + 2 * padding.h, s[3] + 2 * padding.w);
  std::int64_t n = 1;
  bool overflows = false;
  for (const std::int64_t size : {s[0], s[1], padded.h, padded.w}) {
    overflows = overflows || __builtin_mul_overflow(n, std::max<std::int64_t>(size, 1), &n);
  }
  check(!overflows && n <= most, "{}: input {} with padding [{}, {}], expected at most 2^48 elements", op, s, padding.h,
        padding.w);
  return padded;
}

kernels::Pool2dShape pool2d_shape(const char* op, const Tensor& x, HeightWidth kernel, const Pool2dOptions& o) {
  check_defined(op, "x", x);
  check_options(op, kernel, o);
  check(x.dim() == 4, "{}: input {}, expected [N, C, H, W]", op, x.shape());
  const HeightWidth stride = o.stride.value_or(kernel);
  kernels::Pool2dShape s{.N = x.size(0),
                         .C = x.size(1),
                         .H = x.size(2),
                         .W = x.size(3),
                         .R = kernel.h,
                         .S = kernel.w,
                         .stride_h = stride.h,
                         .stride_w = stride.w,
                         .pad_h = o.padding.h,
                         .pad_w = o.padding.w};
  const HeightWidth padded = padded_size(op, x, o.padding);
  check(s.H > 0 && s.W > 0 && fits(s.R, 1, padded.h) && fits(s.S, 1, padded.w),
        "{}: kernel [{}, {}] is larger than input {} with padding [{}, {}]", op, s.R, s.S, x.shape(), s.pad_h, s.pad_w);
  check(s.C > 0, "{}: input {} without channels, expected at least one", op, x.shape());
  // A longer stride is never taken.
  s.stride_h = std::min(s.stride_h, padded.h);
  s.stride_w = std::min(s.stride_w, padded.w);
  return s;
}

MaxResult max_pool2d_with_indices(const Tensor& in, HeightWidth kernel_size, const Pool2dOptions& options) {
  const kernels::Pool2dShape s = pool2d_shape("max_pool2d", in, kernel_size, options);
  const Tensor x = in.contiguous();
  const Tensor y = empty({s.N, s.C, s.P(), s.Q()}, {.dtype = x.dtype(), .device = x.device()});
  const Tensor indices = empty(y.shape(), {.dtype = DType::int64, .device = x.device()});
  for_floating("max_pool2d", x, [&]<class T>(kernels::FloatKernels<T>& k) {
    k.max_pool2d(s, x.data<T>(), y.data<T>(), indices.data<std::int64_t>());
  });
  return {record("max_pool2d", {x}, y,
                 [s, from = x.shape(), indices = Saved(indices)](const Tensor& gradient) {
                   const Tensor g = gradient.contiguous(), dx = empty(from, {.dtype = g.dtype(), .device = g.device()});
                   for_floating("max_pool2d", g, [&]<class T>(kernels::FloatKernels<T>& k) {
                     k.max_pool2d_backward(s, (*indices).data<std::int64_t>(), g.data<T>(), dx.data<T>());
                   });
                   return dx;
                 }),
          indices};
}

Tensor max_pool2d(const Tensor& in, HeightWidth kernel_size, const Pool2dOptions& options) {
  check_defined("max_pool2d", "x", in);
  if (records({&in, 1})) return max_pool2d_with_indices(in, kernel_size, options).values;
  const kernels::Pool2dShape s = pool2d_shape("max_pool2d", in, kernel_size, options);
  const Tensor x = in.contiguous();
  const Tensor y = empty({s.N, s.C, s.P(), s.Q()}, {.dtype = x.dtype(), .device = x.device()});
  for_floating("max_pool2d", x,
               [&]<class T>(kernels::FloatKernels<T>& k) { k.max_pool2d(s, x.data<T>(), y.data<T>(), nullptr); });
  return y;
}

namespace {

/// The gradient of avg_pool2d by its input, of that shape: linear, as that is, and each the other's gradient.
Tensor avg_pool2d_backward(const kernels::Pool2dShape& s, const Shape& from, HeightWidth kernel_size,
                           const Pool2dOptions& options, const Tensor& gradient) {
  const Tensor g = gradient.contiguous(), dx = empty(from, {.dtype = g.dtype(), .device = g.device()});
  for_floating("avg_pool2d", g,
               [&]<class T>(kernels::FloatKernels<T>& k) { k.avg_pool2d_backward(s, g.data<T>(), dx.data<T>()); });
  return record("avg_pool2d_backward", {g}, dx,
                [=](const Tensor& by_dx) { return avg_pool2d(by_dx, kernel_size, options); });
}

}  // namespace

Tensor avg_pool2d(const Tensor& in, HeightWidth kernel_size, const Pool2dOptions& options) {
  const kernels::Pool2dShape s = pool2d_shape("avg_pool2d", in, kernel_size, options);
  const Tensor x = in.contiguous();
  const Tensor y = empty({s.N, s.C, s.P(), s.Q()}, {.dtype = x.dtype(), .device = x.device()});
  for_floating("avg_pool2d", x,
               [&]<class T>(kernels::FloatKernels<T>& k) { k.avg_pool2d(s, x.data<T>(), y.data<T>()); });
  return record("avg_pool2d", {x}, y, [=, from = x.shape()](const Tensor& g) {
    return avg_pool2d_backward(s, from, kernel_size, options, g);
  });
}

}  // namespace tern
