#include <tern/core/autocast.hpp>
#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>
#include <tern/core/ops/conv2d.hpp>
#include <tern/core/ops/options.hpp>
#include <tern/core/ops/pool2d.hpp>
#include <tern/core/step_guard.hpp>
#include <tern/core/trace.hpp>

#include <cmath>

namespace tern {
namespace {

/// The elements of x [N, C, ...] in each image of a channel.
std::int64_t plane_of(const Tensor& x) {
  std::int64_t n = 1;
  for (int d = 2; d < x.dim(); ++d) n *= x.shape()[d];
  return n;
}

void check_images(const Tensor& x) {
  check_defined("batch_norm2d", "x", x);
  check(x.dim() == 4, "batch_norm2d: input {}, expected [N, C, H, W]", x.shape());
}

/// Throws, in the name of `op`, for what batch norm does not take.
void check_input(const char* op, const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                 const Tensor& weight, const Tensor& bias, const BatchNorm2dOptions& o) {
  check_batch_norm(op, o.eps, o.momentum);
  const Shape of_channels{x.size(1)};
  for (const Tensor* t : {&running_mean, &running_var, &weight, &bias}) {
    if (!t->defined()) continue;
    check_device(op, x, *t);
    check(t->dtype() == x.dtype() || (is_half(x.dtype()) && t->dtype() == DType::float32),
          "{}: input of {}, statistics or parameters of {}, expected one dtype, or float32 beside 16 bits", op,
          x.dtype(), t->dtype());
    check(t->shape() == of_channels && t->is_contiguous(), "{}: statistics or parameters of shape {}, expected {}", op,
          t->shape(), of_channels);
  }
  check(running_mean.defined() == running_var.defined(), "{}: one running statistic, expected both or none", op);
  check(o.training || running_mean.defined(), "{}: evaluation without running statistics, expected both", op);
  check(!o.training || x.size(0) * plane_of(x) != 1, "{}: input {} has one value a channel, expected more in training",
        op, x.shape());
  if (o.residual.defined()) {
    check_alike(op, x, o.residual);
    check(o.residual.shape() == x.shape(), "{}: residual {}, expected the input's {}", op, o.residual.shape(),
          x.shape());
  }
  if (const Tensor& n = o.num_batches_tracked; n.defined()) {
    check_device(op, x, n);
    check(n.dtype() == DType::int64 && n.numel() == 1, "{}: num_batches_tracked {} of {}, expected one int64", op,
          n.shape(), n.dtype());
  }
  check(o.momentum || !o.training || !running_mean.defined() || o.num_batches_tracked.defined(),
        "{}: no momentum and no num_batches_tracked, expected one of them", op);
}

/// As the kernels have it.
double momentum_of(const BatchNorm2dOptions& o) {
  return o.momentum ? *o.momentum : o.num_batches_tracked.defined() ? std::nan("") : 0;
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

/// The gradients in ops, for a pass with create_graph, by x, weight, bias and residual. mean and invstd are what
/// normalises in evaluation.
Grads gradients_in_ops(const kernels::BatchNorm2dShape& s, bool training, const Tensor& x, const Tensor& weight,
                       const Tensor& mean, const Tensor& invstd, const Tensor& y, const Tensor& gradient) {
  const Tensor g = activation_gradient(s.activation, y, gradient);
  Shape others{0}, channels{s.C};  // the dimensions beside the channels'; a channel's number for each of its elements
  for (int d = 2; d < g.dim(); ++d) {
    others.push_back(d);
    channels.push_back(1);
  }
  Grads grads = composed_gradients(g, {x, weight}, [&](const std::vector<Tensor>& in) {
    const auto each = [&](const Tensor& of_channels) { return of_channels.view(channels); };
    const Tensor centred = in[0] - (training ? tern::mean(in[0], others, true) : each(mean));
    const Tensor scale = training ? rsqrt(tern::mean(square(centred), others, true) + s.eps) : each(invstd);
    return in[1].defined() ? centred * scale * each(in[1]) : centred * scale;
  });
  grads.push_back(g.sum(others));
  grads.push_back(g);
  return grads;
}

/// The same for a trace: one op in evaluation; by the batch's own statistics, where there are no running ones, several.
Tensor traced(Trace& trace, const char* op, const Tensor& in, const Tensor& running_mean, const Tensor& running_var,
              const Tensor& weight, const Tensor& bias, const BatchNorm2dOptions& options) {
  Tensor y;
  if (options.training) {
    check(!running_mean.defined(), "the op '{}' in training cannot be exported", op);
    Shape others{0}, channels{in.size(1)};
    for (int d = 2; d < in.dim(); ++d) {
      others.push_back(d);
      channels.push_back(1);
    }
    const Tensor centred = in - mean(in, others, true);
    y = centred * rsqrt(mean(square(centred), others, true) + options.eps);
    if (weight.defined()) y = y * weight.view(channels);
    if (bias.defined()) y = y + bias.view(channels);
  } else {
    y = trace.run("batch_norm", {in, running_mean, running_var, weight, bias}, {{"eps", options.eps}},
                  [&] { return batch_norm(in, running_mean, running_var, weight, bias, {.eps = options.eps}); });
  }
  return activate(options.residual.defined() ? y + options.residual : y, options.activation);
}

/// batch_norm, in the name of `op`, of x [N, C, ...].
Tensor normalize(const char* op, const Tensor& in, const Tensor& running_mean, const Tensor& running_var,
                 const Tensor& weight, const Tensor& bias, const BatchNorm2dOptions& options) {
  const bool training = options.training;
  check_input(op, in, running_mean, running_var, weight, bias, options);
  if (Trace* const trace = Trace::current()) {
    return traced(*trace, op, in, running_mean, running_var, weight, bias, options);
  }
  if (is_half(in.dtype())) {
    const Tensor wide_mean = widened(running_mean), wide_var = widened(running_var);
    BatchNorm2dOptions alone = options;
    alone.activation = Activation::none;
    alone.residual = {};
    const Tensor y =
        normalize(op, widened(in), wide_mean, wide_var, widened(weight), widened(bias), alone).to(in.dtype());
    if (training && running_mean.defined()) {
      move_statistics({running_mean, running_var}, [&] {
        NoGradGuard no_grad;
        if (is_half(running_mean.dtype())) running_mean.copy_(wide_mean);
        if (is_half(running_var.dtype())) running_var.copy_(wide_var);
      });
    }
    return activate(options.residual.defined() ? y + options.residual : y, options.activation);
  }
  if (const std::int64_t N = in.size(0), C = in.size(1); N > 1 && plane_of(in) == 1 && !in.device().on_host()) {
    // CUDA's kernels read along planes: N and the plane change places.
    const auto turned = [=](const Tensor& x) { return x.reshape({N, C}).t().reshape({1, C, N}); };
    BatchNorm2dOptions rest = options;
    if (rest.residual.defined()) rest.residual = turned(rest.residual);
    const Tensor y = normalize(op, turned(in), running_mean, running_var, weight, bias, rest);
    return y.reshape({C, N}).t().reshape(in.shape());
  }
  const kernels::BatchNorm2dShape s{
      .N = in.size(0), .C = in.size(1), .HW = plane_of(in), .eps = options.eps, .activation = options.activation};
  const bool activates = s.activation != Activation::none;
  const Tensor x = in.contiguous(), y = empty_like(x);
  const Tensor residual = options.residual.defined() ? options.residual.contiguous() : Tensor();
  const TensorOptions like{.dtype = x.dtype(), .device = x.device()};
  const Tensor mean = training ? empty({s.C}, like) : running_mean.clone(), invstd = empty({s.C}, like);
  const bool need_x = x.requires_grad(), need_w = weight.defined() && weight.requires_grad(),
             need_b = bias.defined() && bias.requires_grad(), need_r = residual.defined() && residual.requires_grad();
  Tensor out =
      record(op, {x, weight, bias, residual}, y,
             [=, x = Saved(x), weight = Saved(weight), mean = Saved(mean), invstd = Saved(invstd),
              y = Saved(activates ? y : Tensor())](const Tensor& gradient) {
               if (is_grad_enabled()) {
                 return gradients_in_ops(s, training, *x, *weight, mean.value(), invstd.value(), *y, gradient);
               }
               const Tensor g = gradient.contiguous();
               // Without an activation the residual's gradient is dy itself.
               Grads grads{need_x ? x.reuse() : Tensor(), need_w ? empty({s.C}, like) : Tensor(),
                           need_b ? empty({s.C}, like) : Tensor(),
                           !need_r     ? Tensor()
                           : activates ? y.reuse()
                                       : g};
               for_floating(op, g, [&]<class T>(kernels::FloatKernels<T>& k) {
                 k.batch_norm2d_backward(s, training, (*x).data<T>(), data_or_null<T>(*weight), (*mean).data<T>(),
                                         (*invstd).data<T>(), data_or_null<T>(*y), g.data<T>(),
                                         data_or_null<T>(grads[0]), data_or_null<T>(grads[1]),
                                         data_or_null<T>(grads[2]), activates ? data_or_null<T>(grads[3]) : nullptr);
               });
               return grads;
             });
  for_floating(op, x, [&]<class T>(kernels::FloatKernels<T>& k) {
    if (!training) {
      return k.batch_norm2d_eval(s, x.data<T>(), data_or_null<T>(weight), data_or_null<T>(bias),
                                 data_or_null<T>(residual), running_mean.data<T>(), running_var.data<T>(),
                                 invstd.data<T>(), y.data<T>());
    }
    move_statistics({running_mean, running_var, options.num_batches_tracked}, [&] {
      k.batch_norm2d(s, momentum_of(options), x.data<T>(), data_or_null<T>(weight), data_or_null<T>(bias),
                     data_or_null<T>(residual), data_or_null<T>(running_mean), data_or_null<T>(running_var),
                     data_or_null<std::int64_t>(options.num_batches_tracked), mean.data<T>(), invstd.data<T>(),
                     y.data<T>());
    });
  });
  return out;
}

}  // namespace

void check_eps(const char* who, double eps) {
  check(std::isfinite(eps) && eps >= 0, "{}: eps {}, expected a finite number, not below 0", who, eps);
}

void check_batch_norm(const char* who, double eps, std::optional<double> momentum) {
  check(std::isfinite(eps) && eps >= 0 && std::isfinite(momentum.value_or(0)),
        "{}: eps {}, momentum {}, expected finite numbers, and eps not below 0", who, eps, momentum.value_or(0));
}

Tensor batch_norm2d(const Tensor& x, const Tensor& running_mean, const Tensor& running_var, const Tensor& weight,
                    const Tensor& bias, const BatchNorm2dOptions& options) {
  check_images(x);
  return normalize("batch_norm2d", x, running_mean, running_var, weight, bias, options);
}

Tensor batch_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var, const Tensor& weight,
                  const Tensor& bias, const BatchNorm2dOptions& options) {
  check_defined("batch_norm", "x", x);
  check(2 <= x.dim() && x.dim() <= 5, "batch_norm: input {}, expected [N, C, ...] of two to five dimensions",
        x.shape());
  return normalize("batch_norm", x, running_mean, running_var, weight, bias, options);
}

Tensor batch_norm2d_max_pool2d(const Tensor& in, const Tensor& running_mean, const Tensor& running_var,
                               const Tensor& weight, const Tensor& bias, const BatchNorm2dOptions& options,
                               HeightWidth kernel_size, const Pool2dOptions& pool) {
  check(!options.residual.defined(), "batch_norm2d_max_pool2d: given a residual, expected none");
  const Activation activation = options.activation;
  const bool as_ops = Trace::current() || (in.defined() && is_half(in.dtype())) || pool.ceil_mode ||
                      pool.dilation.h != 1 || pool.dilation.w != 1;
  if (!options.training || as_ops) {
    BatchNorm2dOptions without = options;
    without.activation = Activation::none;
    const Tensor y = batch_norm2d(in, running_mean, running_var, weight, bias, without);
    return activate(max_pool2d(y, kernel_size, pool), activation);
  }
  check_images(in);
  check_input("batch_norm2d", in, running_mean, running_var, weight, bias, options);
  const kernels::Pool2dShape s = pool2d_shape("batch_norm2d_max_pool2d", in, kernel_size, pool);

  const Tensor x = in.contiguous();
  const TensorOptions like{.dtype = x.dtype(), .device = x.device()};
  const Tensor mean = empty({s.C}, like), invstd = empty({s.C}, like), y = empty({s.N, s.C, s.P(), s.Q()}, like);
  const Tensor picked = empty_like(y);
  const bool need_x = x.requires_grad(), need_w = weight.defined() && weight.requires_grad(),
             need_b = bias.defined() && bias.requires_grad();
  Tensor out = record(
      "batch_norm2d_max_pool2d", {x, weight, bias}, y,
      [=, eps = options.eps, x = Saved(x), weight = Saved(weight), mean = Saved(mean), invstd = Saved(invstd),
       picked = Saved(picked), y = Saved(activation != Activation::none ? y : Tensor())](const Tensor& gradient) {
        if (is_grad_enabled()) {
          const Tensor g = activation_gradient(activation, *y, gradient);
          Grads grads = composed_gradients(g, {*x, *weight}, [&](const std::vector<Tensor>& inputs) {
            return max_pool2d(batch_norm2d(inputs[0], {}, {}, inputs[1], {}, {.training = true, .eps = eps}),
                              kernel_size, pool);
          });
          grads.push_back(g.sum({0, 2, 3}));  // a window hands it to one element of its channel
          return grads;
        }
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
      k.batch_norm2d_max_pool2d(s, activation, options.eps, momentum_of(options), x.data<T>(), data_or_null<T>(weight),
                                data_or_null<T>(bias), data_or_null<T>(running_mean), data_or_null<T>(running_var),
                                data_or_null<std::int64_t>(options.num_batches_tracked), mean.data<T>(),
                                invstd.data<T>(), picked.data<T>(), y.data<T>());
    });
  });
  return out;
}

Tensor conv2d_batch_norm2d_max_pool2d(const Tensor& in, const Tensor& conv_weight, const Tensor& conv_bias,
                                      const Conv2dOptions& conv_options, const Tensor& running_mean,
                                      const Tensor& running_var, const Tensor& weight, const Tensor& bias,
                                      const BatchNorm2dOptions& options, HeightWidth kernel_size) {
  constexpr const char* op = "conv2d_batch_norm2d_max_pool2d";
  check_defined(op, "x", in);
  if (!options.training || Trace::current() || is_half(in.dtype()) || autocast_dtype() != DType::float32 ||
      conv_options.padding.same || in.dim() == 3) {
    return batch_norm2d_max_pool2d(conv2d(in, conv_weight, conv_bias, conv_options), running_mean, running_var, weight,
                                   bias, options, kernel_size);
  }
  check(!options.residual.defined(), "{}: given a residual, expected none", op);
  const kernels::Conv2dShape c = conv2d_shape(in, conv_weight, conv_bias, conv_options);
  const TensorOptions like{.dtype = in.dtype(), .device = in.device()};
  const Tensor conv = empty({c.N, c.K, c.P(), c.Q()}, like);
  check_input("batch_norm2d", conv, running_mean, running_var, weight, bias, options);
  const kernels::Pool2dShape windows = pool2d_shape(op, conv, kernel_size, {});
  const kernels::Conv2dMaxPool2dShape s{.conv = c, .R = windows.R, .S = windows.S, .activation = options.activation};

  const Tensor x = in.contiguous(), w = conv_weight.contiguous(),
               b = conv_bias.defined() ? conv_bias.contiguous() : conv_bias;
  const Tensor mean = empty({c.K}, like), invstd = empty({c.K}, like), y = empty({c.N, c.K, s.P(), s.Q()}, like);
  const Tensor picked = empty_like(y);
  const auto needed = [](const Tensor& t) { return t.defined() && t.requires_grad(); };
  const bool need_x = needed(x), need_w = needed(w), need_b = needed(b), need_weight = needed(weight),
             need_bias = needed(bias);
  Tensor out =
      record(op, {x, w, b, weight, bias}, y,
             [=, eps = options.eps, x = Saved(x), w = Saved(w), b = Saved(b), weight = Saved(weight),
              conv = Saved(conv), mean = Saved(mean), invstd = Saved(invstd), picked = Saved(picked),
              y = Saved(s.activation != Activation::none ? y : Tensor())](const Tensor& gradient) {
               if (is_grad_enabled()) {
                 const Tensor g = activation_gradient(s.activation, *y, gradient);
                 Grads grads = composed_gradients(g, {*x, *w, *b, *weight}, [&](const std::vector<Tensor>& inputs) {
                   return batch_norm2d_max_pool2d(conv2d(inputs[0], inputs[1], inputs[2], conv_options), {}, {},
                                                  inputs[3], {}, {.training = true, .eps = eps}, {s.R, s.S});
                 });
                 grads.push_back(g.sum({0, 2, 3}));  // a window hands it to one element of its channel
                 return grads;
               }
               const Tensor g = gradient.contiguous(), dconv = need_x || need_w || need_b ? conv.reuse() : Tensor();
               Grads grads{need_x ? empty_like(*x) : Tensor(), need_w ? empty_like(*w) : Tensor(),
                           need_b ? empty({c.K}, like) : Tensor(), need_weight ? empty({c.K}, like) : Tensor(),
                           need_bias ? empty({c.K}, like) : Tensor()};
               for_floating(op, g, [&]<class T>(kernels::FloatKernels<T>& k) {
                 k.conv2d_batch_norm2d_max_pool2d_backward(
                     s, (*x).data<T>(), (*w).data<T>(), (*conv).data<T>(), data_or_null<T>(*weight), (*mean).data<T>(),
                     (*invstd).data<T>(), (*picked).data<T>(), data_or_null<T>(*y), g.data<T>(), data_or_null<T>(dconv),
                     data_or_null<T>(grads[0]), data_or_null<T>(grads[1]), data_or_null<T>(grads[2]),
                     data_or_null<T>(grads[3]), data_or_null<T>(grads[4]));
               });
               return grads;
             });
  for_floating(op, x, [&]<class T>(kernels::FloatKernels<T>& k) {
    move_statistics({running_mean, running_var, options.num_batches_tracked}, [&] {
      k.conv2d_batch_norm2d_max_pool2d(s, options.eps, momentum_of(options), x.data<T>(), w.data<T>(),
                                       data_or_null<T>(b), data_or_null<T>(weight), data_or_null<T>(bias),
                                       data_or_null<T>(running_mean), data_or_null<T>(running_var),
                                       data_or_null<std::int64_t>(options.num_batches_tracked), mean.data<T>(),
                                       invstd.data<T>(), conv.data<T>(), picked.data<T>(), y.data<T>());
    });
  });
  return out;
}

}  // namespace tern
