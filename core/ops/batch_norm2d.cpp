#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/pool2d.hpp>

namespace tern {
namespace {

template <class T>
T* data_or_null(const Tensor& x) {
  return x.defined() ? x.data<T>() : nullptr;
}

void check_input(const Tensor& x, const Tensor& running_mean, const Tensor& running_var, const Tensor& weight,
                 const Tensor& bias, bool training) {
  check(x.dim() == 4, "batch_norm2d: input {}, expected [N, C, H, W]", x.shape());
  const Shape of_channels{x.size(1)};
  for (const Tensor* t : {&running_mean, &running_var, &weight, &bias}) {
    if (!t->defined()) continue;
    check_alike("batch_norm2d", x, *t);
    check(t->shape() == of_channels && t->is_contiguous(),
          "batch_norm2d: statistics or parameters of shape {}, expected {}", t->shape(), of_channels);
  }
  check(running_mean.defined() == running_var.defined(), "batch_norm2d: one running statistic, expected both or none");
  check(training || running_mean.defined(), "batch_norm2d: evaluation without running statistics, expected both");
  check(!training || x.size(0) * x.size(2) * x.size(3) > 1,
        "batch_norm2d: input {} has one value a channel, expected more in training", x.shape());
}

/// For the kernels that have just moved them.
void bump_versions(const Tensor& running_mean, const Tensor& running_var) {
  if (!running_mean.defined()) return;
  running_mean.storage()->bump_version();
  running_var.storage()->bump_version();
}

}  // namespace

Tensor batch_norm2d(const Tensor& in, const Tensor& running_mean, const Tensor& running_var, const Tensor& weight,
                    const Tensor& bias, const BatchNorm2dOptions& options) {
  const bool training = options.training;
  check_input(in, running_mean, running_var, weight, bias, training);
  const kernels::BatchNorm2dShape s{
      .N = in.size(0), .C = in.size(1), .HW = in.size(2) * in.size(3), .eps = options.eps};
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
  if (training) bump_versions(running_mean, running_var);
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

Tensor batch_norm2d_max_pool2d(const Tensor& in, const Tensor& running_mean, const Tensor& running_var,
                               const Tensor& weight, const Tensor& bias, const BatchNorm2dOptions& options,
                               HeightWidth kernel_size, const Pool2dOptions& pool) {
  if (!options.training) {
    return max_pool2d(batch_norm2d(in, running_mean, running_var, weight, bias, options), kernel_size, pool);
  }
  check_input(in, running_mean, running_var, weight, bias, true);
  const kernels::Pool2dShape s = pool2d_shape("batch_norm2d_max_pool2d", in, kernel_size, pool);

  const Tensor x = in.contiguous();
  const TensorOptions like{.dtype = x.dtype(), .device = x.device()};
  const Tensor mean = empty({s.C}, like), invstd = empty({s.C}, like), y = empty({s.N, s.C, s.P(), s.Q()}, like);
  const Tensor picked = empty_like(y);
  for_floating("batch_norm2d_max_pool2d", x, [&]<class T>(kernels::FloatKernels<T>& k) {
    k.batch_norm2d_max_pool2d(s, options.eps, options.momentum, x.data<T>(), data_or_null<T>(weight),
                              data_or_null<T>(bias), data_or_null<T>(running_mean), data_or_null<T>(running_var),
                              mean.data<T>(), invstd.data<T>(), picked.data<T>(), y.data<T>());
  });
  bump_versions(running_mean, running_var);
  const bool need_x = x.requires_grad(), need_w = weight.defined() && weight.requires_grad(),
             need_b = bias.defined() && bias.requires_grad();
  return record("batch_norm2d_max_pool2d", {x, weight, bias}, y,
                [=, x = Saved(x), weight = Saved(weight), mean = Saved(mean), invstd = Saved(invstd),
                 picked = Saved(picked)](const Tensor& gradient) {
                  const Tensor g = gradient.contiguous();
                  const auto dx = [&] { return s.side_by_side() ? x.reuse() : empty_like(*x); };
                  Grads grads{need_x ? dx() : Tensor(), need_w ? empty({s.C}, like) : Tensor(),
                              need_b ? empty({s.C}, like) : Tensor()};
                  for_floating("batch_norm2d_max_pool2d", g, [&]<class T>(kernels::FloatKernels<T>& k) {
                    k.batch_norm2d_max_pool2d_backward(s, (*x).data<T>(), data_or_null<T>(*weight), (*mean).data<T>(),
                                                       (*invstd).data<T>(), (*picked).data<T>(), g.data<T>(),
                                                       data_or_null<T>(grads[0]), data_or_null<T>(grads[1]),
                                                       data_or_null<T>(grads[2]));
                  });
                  return grads;
                });
}

}  // namespace tern
