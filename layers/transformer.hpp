#pragma once

#include <tern/layers/attention.hpp>
#include <tern/layers/containers.hpp>

#include <optional>

namespace tern {

/// Attention of a sequence over itself and, for each place, two linear layers: each is added to what it is given and
/// the sum normalised (Vaswani et al., "Attention is all you need", 2017, section 3.1), or for norm_first each is given
/// what is normalised (Xiong et al., "On layer normalization in the transformer architecture", 2020). PyTorch's layers,
/// names and initialisation: self_attn, linear1, linear2, norm1, norm2.
class TransformerEncoderLayer : public Module {
 public:
  /// PyTorch's arguments.
  struct Options {
    std::int64_t d_model, nhead, dim_feedforward = 2048;  ///< E, the heads that share it, what linear1 gives
    double dropout = 0.1;           ///< of the attention's weights, of what it and linear2 give, and between the two
    AnyModule activation = ReLU();  ///< after linear1
    double layer_norm_eps = 1e-5;   ///< of norm1 and norm2
    bool batch_first = false, norm_first = false;  ///< inputs [N, L, E]; whether a norm comes before each part
  };
  /// Throws Error unless the heads divide d_model.
  explicit TransformerEncoderLayer(const Options& options);

  /// src [L, N, d_model], with N first for batch_first, or [L, d_model] -> the same shape. src_mask [L, L] or
  /// [N * nhead, L, L] and src_key_padding_mask [N, L] are AttentionOptions' masks: uint8, 1 where a pair takes no
  /// part, or added to the scores.
  Tensor operator()(const Tensor& src, const Tensor& src_mask, const Tensor& src_key_padding_mask = {});
  using Module::operator();
  Tensor forward(const Tensor& src) override { return encode(src, {}, {}); }
  Members members() override;
  std::string str() const override;

  MultiheadAttention self_attn;  ///< over the sequence
  Linear linear1, linear2;       ///< d_model to dim_feedforward, and back
  LayerNorm norm1, norm2;        ///< self_attn's, and the linear layers'

 private:
  Tensor encode(const Tensor& src, const Tensor& mask, const Tensor& padding);

  Options options_;
};

/// Such layers in a row, "layers.0", "layers.1", ..., and after them `norm`, if there is one. Each is a copy of the
/// given layer with tensors of its own: as in PyTorch, all start with the same weights.
class TransformerEncoder : public Module {
 public:
  TransformerEncoder(const TransformerEncoderLayer& encoder_layer, std::int64_t num_layers,
                     const std::optional<AnyModule>& norm = {});  ///< num_layers copies

  /// Each layer with these masks.
  Tensor operator()(const Tensor& src, const Tensor& mask, const Tensor& src_key_padding_mask = {});
  using Module::operator();
  Tensor forward(const Tensor& src) override { return encode(src, {}, {}); }
  Members members() override;
  std::string str() const override;

  ModuleList layers;              ///< the copies, each a TransformerEncoderLayer
  std::optional<AnyModule> norm;  ///< of the last layer's output; none where not given

 private:
  Tensor encode(const Tensor& src, const Tensor& mask, const Tensor& padding);
};

}  // namespace tern
