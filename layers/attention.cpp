#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops/attention.hpp>
#include <tern/core/ops/options.hpp>
#include <tern/layers/attention.hpp>

#include <cmath>

namespace tern {
namespace {

constexpr const char* name = "MultiheadAttention";

/// What a mask of this layer adds to the scores.
Tensor added(const char* what, const Tensor& mask, const Tensor& like) {
  check_device(name, like, mask);
  check(mask.dtype() == DType::uint8 || mask.dtype() == like.dtype(), "{}: {} of {}, expected uint8 or {}", name, what,
        mask.dtype(), like.dtype());
  return mask.dtype() == DType::uint8 ? bias_of(eq(mask, 0), like.dtype()) : mask;
}

}  // namespace

MultiheadAttention::MultiheadAttention(const Options& o) : out_proj(o.embed_dim, o.embed_dim, o.bias), options_(o) {
  check(o.num_heads > 0 && o.embed_dim % o.num_heads == 0,
        "{}: {} features in {} heads, expected heads that divide them", name, o.embed_dim, o.num_heads);
  check_probability(name, o.dropout);
  in_proj_weight = empty({3 * o.embed_dim, o.embed_dim});
  const double bound = std::sqrt(6 / static_cast<double>(4 * o.embed_dim));
  uniform_(in_proj_weight, -bound, bound);
  in_proj_weight.set_requires_grad();
  if (!o.bias) return;
  in_proj_bias = zeros({3 * o.embed_dim}, {.requires_grad = true});
  NoGradGuard no_grad;
  out_proj.bias.zero_();
}

MultiheadAttention::Result MultiheadAttention::operator()(const Tensor& query, const Tensor& key, const Tensor& value,
                                                          const AttentionOptions& options) {
  return call([&] { return attend(query, key, value, options); });
}

MultiheadAttention::Result MultiheadAttention::attend(const Tensor& query, const Tensor& key, const Tensor& value,
                                                      const AttentionOptions& call_options) {
  const std::int64_t E = options_.embed_dim, heads = options_.num_heads, D = E / heads;
  const Tensor* const inputs[3] = {&query, &key, &value};
  for (const Tensor* x : inputs) {
    check(x->defined() && x->dim() == query.dim() && (x->dim() == 2 || x->dim() == 3) && x->size(-1) == E,
          "{}: expected query, key and value of 2 or 3 dimensions, the last of {}", name, E);
    check_alike(name, query, *x);
  }
  const bool batched = query.dim() == 3;
  const int time = batched && options_.batch_first ? 1 : 0;
  const std::int64_t N = batched ? query.size(1 - time) : 1, L = query.size(time), S = key.size(time);
  check(value.shape() == key.shape() && (!batched || key.size(1 - time) == N),
        "{}: query {}, key {} and value {}, expected one batch, and as many values as keys", name, query.shape(),
        key.shape(), value.shape());

  // [N, heads, L or S, D] of each, from one product where they are the same.
  const auto split = [&](const Tensor& x, std::int64_t parts) {
    const std::int64_t steps = x.dim() == 3 ? x.size(time) : x.size(0);
    const bool batch_first = batched && options_.batch_first;
    const Tensor parted = batch_first ? x.reshape({N, steps, parts, heads, D}) : x.reshape({steps, N, parts, heads, D});
    return batch_first ? parted.permute({2, 0, 3, 1, 4}) : parted.permute({2, 1, 3, 0, 4});
  };
  Tensor q, k, v, packed;
  if (query.is_same(key) && key.is_same(value)) {
    packed = split(linear(query, in_proj_weight, in_proj_bias), 3).contiguous();
    q = packed.select(0, 0);
    k = packed.select(0, 1);
    v = packed.select(0, 2);
  } else {
    Tensor* const parts[3] = {&q, &k, &v};
    for (int i = 0; i < 3; ++i) {
      const Tensor bias = in_proj_bias.defined() ? in_proj_bias.narrow(0, i * E, E) : in_proj_bias;
      *parts[i] = split(linear(*inputs[i], in_proj_weight.narrow(0, i * E, E), bias), 1).select(0, 0);
    }
  }

  Tensor mask;
  if (const Tensor& given = call_options.attn_mask; given.defined()) {
    mask = added("attn_mask", given, query);
    check(mask.shape() == Shape{L, S} || mask.shape() == Shape{N * heads, L, S},
          "{}: attn_mask {}, expected [{}, {}] or [{}, {}, {}]", name, mask.shape(), L, S, N * heads, L, S);
    if (mask.dim() == 3) mask = mask.reshape({N, heads, L, S});
  }
  if (const Tensor& given = call_options.key_padding_mask; given.defined()) {
    const Tensor padding = added("key_padding_mask", given, query);
    check(padding.shape() == (batched ? Shape{N, S} : Shape{S}), "{}: key_padding_mask {}, expected {}", name,
          padding.shape(), batched ? Shape{N, S} : Shape{S});
    const Tensor of_keys = padding.reshape({N, 1, 1, S});
    mask = mask.defined() ? mask + of_keys : of_keys;
  }
  const AttentionResult result = attention(q, k, v, packed, mask, is_training() ? options_.dropout : 0, false, {},
                                           call_options.need_weights, default_generator());
  // [N, heads, L, D] back to the query's dimensions.
  const Tensor joined = result.output.permute(time == 1 ? Shape{0, 2, 1, 3} : Shape{2, 0, 1, 3});
  const Tensor output = out_proj(joined.reshape(query.shape()));
  Tensor weights = result.weights;
  if (weights.defined() && call_options.average_attn_weights) weights = mean(weights, {1});
  if (weights.defined() && !batched) weights = weights.squeeze(0);
  return {output, weights};
}

Tensor MultiheadAttention::forward(const Tensor& x) { return attend(x, x, x, {.need_weights = false}).output; }

Members MultiheadAttention::members() {
  Members m{.parameters = {{"in_proj_weight", in_proj_weight}}, .modules = {{"out_proj", &out_proj}}};
  if (in_proj_bias.defined()) m.parameters.emplace_back("in_proj_bias", in_proj_bias);
  return m;
}

std::string MultiheadAttention::str() const {
  return fmt::format("MultiheadAttention({}, num_heads={})", options_.embed_dim, options_.num_heads);
}

}  // namespace tern
