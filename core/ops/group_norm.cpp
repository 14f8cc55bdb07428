#include <tern/core/autocast.hpp>
#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/options.hpp>
#include <tern/core/trace.hpp>

#include <cmath>
#include <limits>

namespace tern {
namespace {

/// The gradients in ops, for a pass with create_graph, by x, weight and bias, that as [groups, channels].
Grads gradients_in_ops(const kernels::GroupNormShape& s, const Tensor& x, const Tensor& weight,
                       const Tensor& gradient) {
  const Shape groups{s.N, s.groups, s.channels, s.run}, of_each{s.groups, s.channels, 1};
  const Tensor g = gradient.reshape(groups);
  Grads grads = composed_gradients(g, {x, weight}, [&](const std::vector<Tensor>& in) {
    const Tensor rows = in[0].reshape(groups), centred = s.centred ? rows - mean(rows, {2, 3}, true) : rows;
    const Tensor y = centred * rsqrt(mean(square(centred), {2, 3}, true) + s.eps);
    return in[1].defined() ? y * in[1].reshape(of_each) : y;
  });
  grads.push_back(g.sum({0, 3}));
  return grads;
}

/// What all of these are; weight and bias have the elements that the shape wants.
Tensor normalize(const char* name, const kernels::GroupNormShape& s, const Tensor& in, const Tensor& in_weight,
                 const Tensor& in_bias) {
  check_eps(name, s.eps);
  if (is_half(in.dtype())) return normalize(name, s, widened(in), widened(in_weight), widened(in_bias)).to(in.dtype());
  const Tensor x = in.contiguous(), weight = in_weight.defined() ? in_weight.contiguous() : in_weight,
               bias = in_bias.defined() ? in_bias.contiguous() : in_bias;
  const TensorOptions statistics{.dtype = DType::float64, .device = x.device()};
  const Tensor y = empty_like(x), mean = empty({s.rows()}, statistics), invstd = empty({s.rows()}, statistics);
  for_floating(name, x, [&]<class T>(kernels::FloatKernels<T>& k) {
    k.group_norm(s, x.data<T>(), data_or_null<T>(weight), data_or_null<T>(bias), mean.data<double>(),
                 invstd.data<double>(), y.data<T>());
  });
  const bool need_x = x.requires_grad(), need_w = weight.defined() && weight.requires_grad(),
             need_b = bias.defined() && bias.requires_grad();
  const Shape parameters = weight.defined() ? weight.shape() : bias.defined() ? bias.shape() : Shape();
  return record(
      name, {x, weight, bias}, y,
      [=, x = Saved(x), weight = Saved(weight), mean = Saved(mean), invstd = Saved(invstd)](const Tensor& gradient) {
        if (is_grad_enabled()) {
          Grads grads = gradients_in_ops(s, *x, *weight, gradient);
          if (need_b) grads[2] = grads[2].reshape(parameters);
          return grads;
        }
        const Tensor g = gradient.contiguous();
        const TensorOptions like{.dtype = g.dtype(), .device = g.device()};
        Grads grads{need_x ? x.reuse() : Tensor(), need_w ? empty(parameters, like) : Tensor(),
                    need_b ? empty(parameters, like) : Tensor()};
        for_floating(name, g, [&]<class T>(kernels::FloatKernels<T>& k) {
          k.group_norm_backward(s, (*x).data<T>(), data_or_null<T>(*weight), (*mean).data<double>(),
                                (*invstd).data<double>(), g.data<T>(), data_or_null<T>(grads[0]),
                                data_or_null<T>(grads[1]), data_or_null<T>(grads[2]));
        });
        return grads;
      });
}

/// Throws unless what is defined of weight and bias is like x and has this shape.
void check_parameters(const char* name, const Tensor& x, const Shape& shape, const Tensor& weight, const Tensor& bias) {
  for (const Tensor* t : {&weight, &bias}) {
    if (!t->defined()) continue;
    check_alike(name, x, *t);
    check(t->shape() == shape, "{}: weight or bias of shape {}, expected {}", name, t->shape(), shape);
  }
}

/// Over the last dimensions of x, whose sizes `normalized` must be.
Tensor over_last(const char* name, const Tensor& x, const Shape& normalized, const Tensor& weight, const Tensor& bias,
                 double eps, bool centred) {
  const int kept = x.dim() - normalized.size();
  check(!normalized.empty() && kept >= 0 && std::equal(normalized.begin(), normalized.end(), x.shape().begin() + kept),
        "{}: input {}, expected its last dimensions to be normalized_shape {}, of one or more", name, x.shape(),
        normalized);
  check_parameters(name, x, normalized, weight, bias);
  kernels::GroupNormShape s{.N = 1, .channels = normalized.numel(), .eps = eps, .centred = centred};
  for (int i = 0; i < kept; ++i) s.N *= x.shape()[i];
  return normalize(name, s, x, weight, bias);
}

/// x is [N, C, ...].
Tensor over_groups(const char* name, const Tensor& x, std::int64_t groups, const Tensor& weight, const Tensor& bias,
                   double eps) {
  const std::int64_t C = x.size(1);
  check_parameters(name, x, {C}, weight, bias);
  kernels::GroupNormShape s{.N = x.size(0), .groups = groups, .channels = groups > 0 ? C / groups : 0, .eps = eps};
  for (int i = 2; i < x.dim(); ++i) s.run *= x.shape()[i];
  return normalize(name, s, x, weight, bias);
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight, const Tensor& bias,
                  double eps) {
  if (const Autocast cast(Autocast::float32); cast)
    return layer_norm(cast(x), normalized_shape, cast(weight), cast(bias), eps);
  check_defined("layer_norm", "x", x);
  if (Trace* const trace = Trace::current()) {
    return trace->run("layer_norm", {x, weight, bias}, {{"dims", normalized_shape.size()}, {"eps", eps}},
                      [&] { return layer_norm(x, normalized_shape, weight, bias, eps); });
  }
  return over_last("layer_norm", x, normalized_shape, weight, bias, eps, true);
}

Tensor group_norm(const Tensor& x, std::int64_t num_groups, const Tensor& weight, const Tensor& bias, double eps) {
  if (const Autocast cast(Autocast::float32); cast)
    return group_norm(cast(x), num_groups, cast(weight), cast(bias), eps);
  check_defined("group_norm", "x", x);
  check(x.dim() >= 2, "group_norm: input {}, expected [N, C, ...]", x.shape());
  check(num_groups > 0 && x.size(1) % num_groups == 0, "group_norm: {} groups of {} channels, expected a divisor",
        num_groups, x.size(1));
  check(x.numel() != num_groups, "group_norm: input {} has one value a group, expected more", x.shape());
  if (Trace* const trace = Trace::current()) {
    return trace->run("group_norm", {x, weight, bias}, {{"groups", num_groups}, {"eps", eps}},
                      [&] { return group_norm(x, num_groups, weight, bias, eps); });
  }
  return over_groups("group_norm", x, num_groups, weight, bias, eps);
}

Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  if (const Autocast cast(Autocast::float32); cast) return instance_norm(cast(x), cast(weight), cast(bias), eps);
  check_defined("instance_norm", "x", x);
  check(x.dim() >= 3, "instance_norm: input {}, expected [N, C, ...] with something to a channel", x.shape());
  std::int64_t of_channel = 1;
  for (int i = 2; i < x.dim(); ++i) of_channel *= x.shape()[i];
  check(of_channel != 1, "instance_norm: input {} has one value a channel, expected more", x.shape());
  if (Trace* const trace = Trace::current()) {
    return trace->run("group_norm", {x, weight, bias}, {{"groups", x.size(1)}, {"eps", eps}},
                      [&] { return instance_norm(x, weight, bias, eps); });
  }
  return over_groups("instance_norm", x, x.size(1), weight, bias, eps);
}

Tensor rms_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight, std::optional<double> eps) {
  if (const Autocast cast(Autocast::float32); cast) return rms_norm(cast(x), normalized_shape, cast(weight), eps);
  check_defined("rms_norm", "x", x);
  const double least = epsilon_of(x.dtype());
  if (Trace* const trace = Trace::current()) {
    return trace->run("rms_norm", {x, weight}, {{"dims", normalized_shape.size()}, {"eps", eps.value_or(least)}},
                      [&] { return rms_norm(x, normalized_shape, weight, eps); });
  }
  return over_last("rms_norm", x, normalized_shape, weight, {}, eps.value_or(least), false);
}

}  // namespace tern
