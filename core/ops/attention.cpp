#include <tern/core/autocast.hpp>
#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/attention.hpp>
#include <tern/core/ops/broadcast.hpp>
#include <tern/core/ops/options.hpp>
#include <tern/core/trace.hpp>

#include <cmath>
#include <limits>
#include <span>

namespace tern {
namespace {

constexpr const char* name = "scaled_dot_product_attention";

Shape with(Shape shape, std::initializer_list<std::int64_t> sizes) {
  for (const std::int64_t size : sizes) shape.push_back(size);
  return shape;
}

Shape before_matrix(const Tensor& x) { return Shape(std::span(x.shape().begin(), x.shape().end() - 2)); }

/// A mask of L rows that look no further than themselves.
Tensor causal_bias(const kernels::AttentionShape& s, const Tensor& q) {
  const TensorOptions numbers{.dtype = DType::int64, .device = q.device()};
  return bias_of(ge(arange(s.L, numbers).unsqueeze(1), arange(s.S, numbers)), q.dtype());
}

/// What the softmax of the scores is times v.
AttentionResult composed(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& bias, double dropout_p,
                         double scale, Generator& generator) {
  const Tensor scores = matmul(q * scale, k.transpose(-2, -1));
  const Tensor weights = dropout(softmax(bias.defined() ? scores + bias : scores, -1), dropout_p, true, generator);
  return {matmul(weights, v), weights};
}

}  // namespace

Tensor bias_of(const Tensor& mask, DType dtype) {
  if (mask.dtype() != DType::uint8) return mask;
  const Tensor none = zeros(mask.shape(), {.dtype = dtype, .device = mask.device()});
  return masked_fill(none, eq(mask, 0), -std::numeric_limits<double>::infinity());
}

AttentionResult attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& packed,
                          const Tensor& attn_mask, double dropout_p, bool is_causal, std::optional<double> asked_scale,
                          bool need_weights, Generator& generator, std::optional<Precision> asked_precision) {
  const auto of = [&](const auto& converted, const Tensor& mask, std::optional<Precision> precision) {
    const Tensor all = converted(packed);
    const auto part = [&](const Tensor& x, int i) { return all.defined() ? all.select(0, i) : converted(x); };
    return attention(part(q, 0), part(k, 1), part(v, 2), all, mask, dropout_p, is_causal, asked_scale, need_weights,
                     generator, precision);
  };
  if (const Autocast cast(Autocast::low); cast) return of(cast, cast(attn_mask), {});
  check_defined(name, "q", q);
  check_defined(name, "k", k);
  check_defined(name, "v", v);
  check_alike(name, q, k);
  check_alike(name, q, v);
  check_probability(name, dropout_p);
  check(q.dim() >= 2 && k.dim() >= 2 && v.dim() >= 2 && q.size(-1) == k.size(-1) && k.size(-2) == v.size(-2),
        "{}: q {}, k {} and v {}, expected [..., L, E], [..., S, E] and [..., S, V]", name, q.shape(), k.shape(),
        v.shape());
  const Shape batch =
      broadcast_shapes(name, broadcast_shapes(name, before_matrix(q), before_matrix(k)), before_matrix(v));
  kernels::AttentionShape s{.B = batch.numel(),
                            .L = q.size(-2),
                            .S = k.size(-2),
                            .E = q.size(-1),
                            .V = v.size(-1),
                            .scale = asked_scale.value_or(1 / std::sqrt(static_cast<double>(q.size(-1)))),
                            .is_causal = is_causal,
                            .dropout_p = dropout_p,
                            .precision = asked_precision.value_or(precision_of(q))};
  const Shape scores = with(batch, {s.L, s.S});
  Tensor bias;
  if (attn_mask.defined()) {
    check(!is_causal, "{}: a mask and is_causal, expected one of them", name);
    check_device(name, q, attn_mask);
    check(attn_mask.dtype() == DType::uint8 || attn_mask.dtype() == q.dtype(), "{}: mask of {}, expected uint8 or {}",
          name, attn_mask.dtype(), q.dtype());
    check(broadcast_shapes(name, attn_mask.shape(), scores) == scores,
          "{}: mask {}, expected one that broadcasts to {}", name, attn_mask.shape(), scores);
    bias = bias_of(attn_mask, q.dtype());
  }
  if (is_half(q.dtype())) {
    const AttentionResult wide = of(widened, widened(bias), precision_of(q));
    return {wide.output.to(q.dtype()), wide.weights.defined() ? wide.weights.to(q.dtype()) : wide.weights};
  }
  if (need_weights || Trace::current() || (bias.defined() && bias.requires_grad() && is_grad_enabled())) {
    if (is_causal) bias = causal_bias(s, q);
    return composed(q, k, v, bias, dropout_p, s.scale, generator);
  }

  const Tensor dense_q = q.expand(with(batch, {s.L, s.E})).contiguous(),
               dense_k = k.expand(with(batch, {s.S, s.E})).contiguous(),
               dense_v = v.expand(with(batch, {s.S, s.V})).contiguous();
  if (bias.defined()) {
    // A mask for each of two dimensions is read where it lies; where there are more, they are made one.
    s.heads = batch.empty() ? 1 : batch.back();
    bias = bias.expand(scores);
    if (batch.size() > 2) bias = bias.reshape({s.heads == 0 ? 0 : s.B / s.heads, s.heads, s.L, s.S});
    while (bias.dim() < 4) bias = bias.unsqueeze(0);
    const Shape& strides = bias.strides();
    s.bias_outer = strides[0];
    s.bias_inner = strides[1];
    s.bias_row = strides[2];
    s.bias_column = strides[3];
  }
  const TensorOptions like{.dtype = q.dtype(), .device = q.device()};
  const Tensor y = empty(with(batch, {s.L, s.V}), like), log_sum = empty({s.B, s.L}, like);
  const kernels::PhiloxState state = generator.state();
  for_floating(name, y, [&]<class T>(kernels::FloatKernels<T>& kernels) {
    kernels.attention(s, state, dense_q.data<T>(), dense_k.data<T>(), dense_v.data<T>(), data_or_null<T>(bias),
                      y.data<T>(), log_sum.data<T>());
  });
  const std::vector<Tensor> inputs = packed.defined() ? std::vector{packed} : std::vector{dense_q, dense_k, dense_v};
  const Tensor result = record(
      name, inputs, y,
      [s, state, is_packed = packed.defined(), sp = Saved(packed), sq = Saved(dense_q), sk = Saved(dense_k),
       sv = Saved(dense_v), sb = Saved(bias), sy = Saved(y), ss = Saved(log_sum)](const Tensor& gradient) {
        if (is_grad_enabled() && s.dropout_p == 0) {
          const std::vector<Tensor> all = is_packed ? std::vector{*sp} : std::vector{*sq, *sk, *sv};
          return composed_gradients(gradient, all, [&](const std::vector<Tensor>& in) {
            const Tensor own_q = is_packed ? in[0].select(0, 0) : in[0], own_k = is_packed ? in[0].select(0, 1) : in[1],
                         own_v = is_packed ? in[0].select(0, 2) : in[2];
            Tensor own_bias = sb.value();
            if (s.is_causal) own_bias = causal_bias(s, own_q);
            if (sb.value().defined()) own_bias = own_bias.reshape(with(before_matrix(own_q), {s.L, s.S}));
            return composed(own_q, own_k, own_v, own_bias, 0, s.scale, default_generator()).output;
          });
        }
        const Tensor g = gradient.contiguous();
        Shape all = (*sq).shape();
        all.insert(0, 3);
        const Tensor together = is_packed ? empty(all, {.dtype = g.dtype(), .device = g.device()}) : Tensor();
        const Tensor dq = is_packed ? together.select(0, 0) : empty_like(*sq),
                     dk = is_packed ? together.select(0, 1) : empty_like(*sk),
                     dv = is_packed ? together.select(0, 2) : empty_like(*sv);
        for_floating(name, g, [&]<class T>(kernels::FloatKernels<T>& kernels) {
          kernels.attention_backward(s, state, (*sq).data<T>(), (*sk).data<T>(), (*sv).data<T>(), data_or_null<T>(*sb),
                                     (*sy).data<T>(), (*ss).data<T>(), g.data<T>(), dq.data<T>(), dk.data<T>(),
                                     dv.data<T>());
        });
        return is_packed ? Grads{together} : Grads{dq, dk, dv};
      });
  if (dropout_p != 0) generator.advance(static_cast<std::uint64_t>(s.B * s.L * s.row_draws()));
  return {result, Tensor()};
}

Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& attn_mask,
                                    double dropout_p, bool is_causal, std::optional<double> scale,
                                    Generator& generator) {
  return attention(q, k, v, {}, attn_mask, dropout_p, is_causal, scale, false, generator).output;
}

}  // namespace tern
