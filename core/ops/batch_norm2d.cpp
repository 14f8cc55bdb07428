#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>

namespace tern {
namespace {

template <class T>
T* data_or_null(const Tensor& x) {
  return x.defined() ? x.data<T>() : nullptr;
}

}  // namespace

Tensor batch_norm2d(const Tensor& in, const Tensor& running_mean, const Tensor& running_var, const Tensor& weight,
                    const Tensor& bias, const BatchNorm2dOptions& options) {
  check(in.dim() == 4, "batch_norm2d: input {}, expected [N, C, H, W]", in.shape());
  const kernels::BatchNorm2dShape s{
      .N = in.size(0), .C = in.size(1), .HW = in.size(2) * in.size(3), .eps = options.eps};
  for (const Tensor* t : {&running_mean, &running_var, &weight, &bias}) {
    if (!t->defined()) continue;
    check_alike("batch_norm2d", in, *t);
    check(t->shape() == Shape{s.C} && t->is_contiguous(),
          "batch_norm2d: statistics or parameters of shape {}, expected [{}]", t->shape(), s.C);
  }
  check(running_mean.defined() == running_var.defined(), "batch_norm2d: one running statistic, expected both or none");
  const bool training = options.training;
  check(training || running_mean.defined(), "batch_norm2d: evaluation without running statistics, expected both");
  check(!training || s.N * s.HW > 1, "batch_norm2d: input {} has one value a channel, expected more in training",
        in.shape());

  const Tensor x = in.contiguous(), y = empty_like(x);
  const TensorOptions like{.dtype = x.dtype(), .device = x.device()};
  const Tensor mean = training ? empty({s.C}, like) : running_mean.clone(), invstd = empty({s.C}, like);
  for_floating("batch_norm2d", x, [&]<class T>(kernels::FloatKernels<T>& k) {
    if (training) {
      k.batch_norm2d(s, options.momentum, x.data<T>(), data_or_null<T>(weight), data_or_null<T>(bias),
                     data_or_null<T>(running_mean), data_or_null<T>(running_var), mean.data<T>(), invstd.data<T>(),
                     y.data<T>());
    } else {
      k.batch_norm2d_eval(s, x.data<T>(), data_or_null<T>(weight), data_or_null<T>(bias), running_mean.data<T>(),
                          running_var.data<T>(), invstd.data<T>(), y.data<T>());
    }
  });
  if (training && running_mean.defined()) {
    running_mean.storage()->bump_version();
    running_var.storage()->bump_version();
  }
  const bool need_x = x.requires_grad(), need_w = weight.defined() && weight.requires_grad(),
             need_b = bias.defined() && bias.requires_grad();
  return record(
      "batch_norm2d", {x, weight, bias}, y,
      [=, x = Saved(x), weight = Saved(weight), mean = Saved(mean), invstd = Saved(invstd)](const Tensor& gradient) {
        const Tensor g = gradient.contiguous();
        Grads grads{need_x ? empty_like(*x) : Tensor(), need_w ? empty({s.C}, like) : Tensor(),
                    need_b ? empty({s.C}, like) : Tensor()};
        for_floating("batch_norm2d", g, [&]<class T>(kernels::FloatKernels<T>& k) {
          k.batch_norm2d_backward(s, training, (*x).data<T>(), data_or_null<T>(*weight), (*mean).data<T>(),
                                  (*invstd).data<T>(), g.data<T>(), data_or_null<T>(grads[0]),
                                  data_or_null<T>(grads[1]), data_or_null<T>(grads[2]));
        });
        return grads;
      });
}

}  // namespace tern
