#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/options.hpp>
#include <tern/core/ops/pool2d.hpp>

namespace tern {

void check_options(const char* who, HeightWidth kernel, const Pool2dOptions& o) {
  const HeightWidth stride = o.stride.value_or(kernel);
  check(kernel.h > 0 && kernel.w > 0 && stride.h > 0 && stride.w > 0,
        "{}: kernel [{}, {}], stride [{}, {}], expected 1 or more", who, kernel.h, kernel.w, stride.h, stride.w);
  check(o.padding.h >= 0 && o.padding.w >= 0 && o.padding.h <= kernel.h / 2 && o.padding.w <= kernel.w / 2,
        "{}: padding [{}, {}] for kernel [{}, {}], expected at most half of it", who, o.padding.h, o.padding.w,
        kernel.h, kernel.w);
}

kernels::Pool2dShape pool2d_shape(const char* op, const Tensor& x, HeightWidth kernel, const Pool2dOptions& o) {
  check_defined(op, "x", x);
  check_options(op, kernel, o);
  check(x.dim() == 4, "{}: input {}, expected [N, C, H, W]", op, x.shape());
  const HeightWidth stride = o.stride.value_or(kernel);
  const kernels::Pool2dShape s{.N = x.size(0),
                               .C = x.size(1),
                               .H = x.size(2),
                               .W = x.size(3),
                               .R = kernel.h,
                               .S = kernel.w,
                               .stride_h = stride.h,
                               .stride_w = stride.w,
                               .pad_h = o.padding.h,
                               .pad_w = o.padding.w};
  check(s.H > 0 && s.W > 0 && s.H + 2 * s.pad_h >= s.R && s.W + 2 * s.pad_w >= s.S,
        "{}: kernel [{}, {}] is larger than input {} with padding [{}, {}]", op, s.R, s.S, x.shape(), s.pad_h, s.pad_w);
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

Tensor avg_pool2d(const Tensor& in, HeightWidth kernel_size, const Pool2dOptions& options) {
  const kernels::Pool2dShape s = pool2d_shape("avg_pool2d", in, kernel_size, options);
  const Tensor x = in.contiguous();
  const Tensor y = empty({s.N, s.C, s.P(), s.Q()}, {.dtype = x.dtype(), .device = x.device()});
  for_floating("avg_pool2d", x,
               [&]<class T>(kernels::FloatKernels<T>& k) { k.avg_pool2d(s, x.data<T>(), y.data<T>()); });
  return record("avg_pool2d", {x}, y, [s, from = x.shape()](const Tensor& gradient) {
    const Tensor g = gradient.contiguous(), dx = empty(from, {.dtype = g.dtype(), .device = g.device()});
    for_floating("avg_pool2d", g,
                 [&]<class T>(kernels::FloatKernels<T>& k) { k.avg_pool2d_backward(s, g.data<T>(), dx.data<T>()); });
    return dx;
  });
}

}  // namespace tern
