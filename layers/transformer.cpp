#include <tern/core/check.hpp>
#include <tern/layers/transformer.hpp>

namespace tern {

TransformerEncoderLayer::TransformerEncoderLayer(const Options& o)
    : self_attn({.embed_dim = o.d_model, .num_heads = o.nhead, .dropout = o.dropout, .batch_first = o.batch_first}),
      linear1(o.d_model, o.dim_feedforward),
      linear2(o.dim_feedforward, o.d_model),
      norm1({o.d_model}, o.layer_norm_eps),
      norm2({o.d_model}, o.layer_norm_eps),
      options_(o) {}

Tensor TransformerEncoderLayer::operator()(const Tensor& src, const Tensor& src_mask,
                                           const Tensor& src_key_padding_mask) {
  return call([&] { return encode(src, src_mask, src_key_padding_mask); });
}

Tensor TransformerEncoderLayer::encode(const Tensor& src, const Tensor& mask, const Tensor& padding) {
  const auto drop = [&](const Tensor& x) { return dropout(x, options_.dropout, is_training()); };
  const auto attend = [&](const Tensor& x) {
    return drop(self_attn(x, x, x, {.key_padding_mask = padding, .need_weights = false, .attn_mask = mask}).output);
  };
  const auto feed_forward = [&](const Tensor& x) { return drop(linear2(drop((*options_.activation)(linear1(x))))); };
  if (options_.norm_first) {
    const Tensor x = src + attend(norm1(src));
    return x + feed_forward(norm2(x));
  }
  const Tensor x = norm1(src + attend(src));
  return norm2(x + feed_forward(x));
}

Members TransformerEncoderLayer::members() {
  return {.modules = {{"self_attn", &self_attn},
                      {"linear1", &linear1},
                      {"linear2", &linear2},
                      {"norm1", &norm1},
                      {"norm2", &norm2},
                      {"activation", &*options_.activation}}};
}

std::string TransformerEncoderLayer::str() const {
  return fmt::format("TransformerEncoderLayer({}, nhead={})", options_.d_model, options_.nhead);
}

TransformerEncoder::TransformerEncoder(const TransformerEncoderLayer& encoder_layer, std::int64_t num_layers,
                                       const std::optional<AnyModule>& norm_after)
    : norm(norm_after) {
  check(num_layers >= 0, "TransformerEncoder: {} layers, expected 0 or more", num_layers);
  for (std::int64_t i = 0; i < num_layers; ++i) layers.append(clone(encoder_layer));
}

Tensor TransformerEncoder::operator()(const Tensor& src, const Tensor& mask, const Tensor& src_key_padding_mask) {
  return call([&] { return encode(src, mask, src_key_padding_mask); });
}

Tensor TransformerEncoder::encode(const Tensor& src, const Tensor& mask, const Tensor& padding) {
  Tensor x = src;
  for (std::int64_t i = 0; i < layers.size(); ++i) {
    auto& layer = layers.get<TransformerEncoderLayer>(i);
    x = mask.defined() || padding.defined() ? layer(x, mask, padding) : layer(x);  // which has hooks of one tensor
  }
  return norm ? (**norm)(x) : x;
}

Members TransformerEncoder::members() {
  Members m{.modules = {{"layers", &layers}}};
  if (norm) m.modules.emplace_back("norm", &**norm);
  return m;
}

std::string TransformerEncoder::str() const { return fmt::format("TransformerEncoder({} layers)", layers.size()); }

}  // namespace tern
