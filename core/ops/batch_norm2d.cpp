#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/options.hpp>
#include <tern/core/ops/pool2d.hpp>
#include <tern/core/step_guard.hpp>

#include <cmath>

namespace tern {
namespace {

void check_input(const Tensor& x, const Tensor& running_mean, const Tensor& running_var, const Tensor& weight,
                 const Tensor& bias, const BatchNorm2dOptions& o) {
  check_defined("batch_norm2d", "x", x);
  check_batch_norm("batch_norm2d", o.eps, o.momentum);
  check(x.dim() == 4, "batch_norm2d: input {}, expected [N, C, H, W]", x.shape());
  const Shape of_channels{x.size(1)};
  for (const Tensor* t : {&running_mean, &running_var, &weight, &bias}) {
    if (!t->defined()) continue;
    check_alike("batch_norm2d", x, *t);
    check(t->shape() == of_channels && t->is_contiguous(),
          "batch_norm2d: statistics or parameters of shape {}, expected {}", t->shape(), of_channels);
  }
  check(running_mean.defined() == running_var.defined(), "batch_norm2d: one running statistic, expected both or none");
  check(o.training || running_mean.defined(), "batch_norm2d: evaluation without running statistics, expected both");
  check(!o.training || x.size(0) * x.size(2) * x.size(3) != 1,
        "batch_norm2d: input {} has one value a channel, expected more in training", x.shape());
  if (o.residual.defined()) {
    check_alike("batch_norm2d", x, o.residual);
    check(o.residual.shape() == x.shape(), "batch_norm2d: residual {}, expected the input's {}", o.residual.shape(),
          x.shape());
  }
  if (const Tensor& n = o.num_batches_tracked; n.defined()) {
    check_device("batch_norm2d", x, n);
    check(n.dtype() == DType::int64 && n.numel() == 1, "batch_norm2d: num_batches_tracked {} of {}, expected one int64",
          n.shape(), n.dtype());
  }
}

/// Runs the kernel that moves the running statistics: all that an op may fail for is done before it.
template <class F>
void move_statistics(std::initializer_list<Tensor> moved, F kernel) {
  for (const Tensor& x : moved) StepGuard::note(x);
  kernel();
  for (const Tensor& x : moved) {
    if (x.defined()) x.storage()->bump_version();
  }
}

}  // namespace

void check_batch_norm(const char* who, double eps, double momentum) {
  check(std::isfinite(eps) && eps >= 0 && std::isfinite(momentum),
        "{}: eps {}, momentum {}, expected finite numbers, and eps not below 0", who, eps, momentum);
}

Tensor batch_norm2d(const Tensor& in, const Tensor& running_mean, const Tensor& running_var, const Tensor& weight,
                    const Tensor& bias, const BatchNorm2dOptions& options) {
  const bool training = options.training;
  check_input(in, running_mean, running_var, weight, bias, options);
  const kernels::BatchNorm2dShape s{.N = in.size(0),
                                    .C = in.size(1),
                                    .HW = in.size(2) * in.size(3),
                                    .eps = options.eps,
                                    .activation = options.activation};
  const bool activates = s.activation != Activation::none;
  const Tensor x = in.contiguous(), y = empty_like(x);
  const Tensor residual = options.residual.defined() ? options.residual.contiguous() : Tensor();
  const TensorOptions like{.dtype = x.dtype(), .device = x.device()};
  const Tensor mean = training ? empty({s.C}, like) : running_mean.clone(), invstd = empty({s.C}, like);
  const bool need_x = x.requires_grad(), need_w = weight.defined() && weight.requires_grad(),
             need_b = bias.defined() && bias.requires_grad(), need_r = residual.defined() && residual.requires_grad();
  Tensor out = record("batch_norm2d", {x, weight, bias, residual}, y,
                [=, x = Saved(x), weight = Saved(weight), mean = Saved(mean), invstd = Saved(invstd),
                 y = Saved(activates ? y : Tensor())](const Tensor& gradient) {
                  const Tensor g = gradient.contiguous();
                  // Without an activation the residual's gradient is dy itself.
                  Grads grads{need_x ? x.reuse() : Tensor(), need_w ? empty({s.C}, like) : Tensor(),
                              need_b ? empty({s.C}, like) : Tensor(),
                              !need_r     ? Tensor()
                              : activates ? y.reuse()
                                          : g};
                  for_floating("batch_norm2d", g, [&]<class T>(kernels::FloatKernels<T>& k) {
                    k.batch_norm2d_backward(s, training, (*x).data<T>(), data_or_null<T>(*weight), (*mean).data<T>(),
                                            (*invstd).data<T>(), data_or_null<T>(*y), g.data<T>(),
                                            data_or_null<T>(grads[0]), data_or_null<T>(grads[1]),
                                            data_or_null<T>(grads[2]), activates ? data_or_null<T>(grads[3]) : nullptr);
                  });
                  return grads;
                });
  for_floating("batch_norm2d", x, [&]<class T>(kernels::FloatKernels<T>& k) {
    if (!training) {
      return k.batch_norm2d_eval(s, x.data<T>(), data_or_null<T>(weight), data_or_null<T>(bias),
                                 data_or_null<T>(residual), running_mean.data<T>(), running_var.data<T>(),
                                 invstd.data<T>(), y.data<T>());
    }
    move_statistics({running_mean, running_var, options.num_batches_tracked}, [&] {
      k.batch_norm2d(s, options.momentum, x.data<T>(), data_or_null<T>(weight), data_or_null<T>(bias),
                     data_or_null<T>(residual), data_or_null<T>(running_mean), data_or_null<T>(running_var),
                     data_or_null<std::int64_t>(options.num_batches_tracked), mean.data<T>(), invstd.data<T>(),
                     y.data<T>());
    });
  });
  return out;
}

Tensor batch_norm2d_max_pool2d(const Tensor& in, const Tensor& running_mean, const Tensor& running_var,
                               const Tensor& weight, const Tensor& bias, const BatchNorm2dOptions& options,
                               HeightWidth kernel_size, const Pool2dOptions& pool) {
  check(!options.residual.defined(), "batch_norm2d_max_pool2d: given a residual, expected none");
  const Activation activation = options.activation;
  const bool as_ops = pool.ceil_mode || pool.dilation.h != 1 || pool.dilation.w != 1;
  if (!options.training || as_ops) {
    BatchNorm2dOptions without = options;
    without.activation = Activation::none;
    const Tensor y = batch_norm2d(in, running_mean, running_var, weight, bias, without);
    return activate(max_pool2d(y, kernel_size, pool), activation);
  }
  check_input(in, running_mean, running_var, weight, bias, options);
  const kernels::Pool2dShape s = pool2d_shape("batch_norm2d_max_pool2d", in, kernel_size, pool);

  const Tensor x = in.contiguous();
  const TensorOptions like{.dtype = x.dtype(), .device = x.device()};
  const Tensor mean = empty({s.C}, like), invstd = empty({s.C}, like), y = empty({s.N, s.C, s.P(), s.Q()}, like);
  const Tensor picked = empty_like(y);
  const bool need_x = x.requires_grad(), need_w = weight.defined() && weight.requires_grad(),
             need_b = bias.defined() && bias.requires_grad();
  Tensor out = record(
      "batch_norm2d_max_pool2d", {x, weight, bias}, y,
      [=, x = Saved(x), weight = Saved(weight), mean = Saved(mean), invstd = Saved(invstd), picked = Saved(picked),
       y = Saved(activation != Activation::none ? y : Tensor())](const Tensor& gradient) {
        const Tensor g = gradient.contiguous();
        const auto dx = [&] { return s.side_by_side() ? x.reuse() : empty_like(*x); };
        Grads grads{need_x ? dx() : Tensor(), need_w ? empty({s.C}, like) : Tensor(),
                    need_b ? empty({s.C}, like) : Tensor()};
        for_floating("batch_norm2d_max_pool2d", g, [&]<class T>(kernels::FloatKernels<T>& k) {
          k.batch_norm2d_max_pool2d_backward(s, activation, (*x).data<T>(), data_or_null<T>(*weight), (*mean).data<T>(),
                                             (*invstd).data<T>(), (*picked).data<T>(), data_or_null<T>(*y), g.data<T>(),
                                             data_or_null<T>(grads[0]), data_or_null<T>(grads[1]),
                                             data_or_null<T>(grads[2]));
        });
        return grads;
      });
  for_floating("batch_norm2d_max_pool2d", x, [&]<class T>(kernels::FloatKernels<T>& k) {
    move_statistics({running_mean, running_var, options.num_batches_tracked}, [&] {
      k.batch_norm2d_max_pool2d(s, activation, options.eps, options.momentum, x.data<T>(), data_or_null<T>(weight),
                                data_or_null<T>(bias), data_or_null<T>(running_mean), data_or_null<T>(running_var),
                                data_or_null<std::int64_t>(options.num_batches_tracked), mean.data<T>(),
                                invstd.data<T>(), picked.data<T>(), y.data<T>());
    });
  });
  return out;
}

}  // namespace tern
