#pragma once

#include <tern/layers/layers.hpp>

namespace tern {

/// How MultiheadAttention is called. Masks are PyTorch's of that layer: uint8 with 1 where a pair takes no part, or
/// floats to be added to the scores.
struct AttentionOptions {
  Tensor key_padding_mask = {};      ///< [N, S], or [S] for inputs without a batch
  bool need_weights = true;          ///< without, no more scores are held than scaled_dot_product_attention does
  Tensor attn_mask = {};             ///< [L, S] or [N * num_heads, L, S]
  bool average_attn_weights = true;  ///< weights over the heads: [N, L, S] for [N, num_heads, L, S]
};

/// Attention of several heads over projections of query, key and value, as PyTorch's: parameters in_proj_weight
/// [3 * embed_dim, embed_dim] and in_proj_bias, out_proj.weight and out_proj.bias. Glorot, Bengio, "Understanding the
/// difficulty of training deep feedforward neural networks", 2010, for the first weights; the biases are 0 at first.
/// There are no kdim, vdim, add_bias_kv and add_zero_attn.
class MultiheadAttention : public Module {
 public:
  /// PyTorch's arguments: embed_dim, num_heads, dropout, bias, batch_first.
  struct Options {
    std::int64_t embed_dim, num_heads;      ///< E, and how many heads share it
    double dropout = 0;                     ///< of weights, in training
    bool bias = true, batch_first = false;  ///< bias: of all projections; batch_first: [N, L, E] for [L, N, E]
  };
  /// Throws Error unless the heads divide embed_dim.
  explicit MultiheadAttention(const Options& options);

  /// What PyTorch returns as a pair.
  struct Result {
    Tensor output, weights;  ///< weights [N, L, S], or [N, num_heads, L, S] unless averaged; undefined unless needed
  };
  /// query [L, N, E], key and value [S, N, E], with N first for batch_first, or all without it -> output as the query.
  Result operator()(const Tensor& query, const Tensor& key, const Tensor& value, const AttentionOptions& options = {});
  using Module::operator();
  /// Of x with itself, the output alone.
  Tensor forward(const Tensor& x) override;
  Members members() override;
  std::string str() const override;

  Tensor in_proj_weight, in_proj_bias;  ///< [3 E, E], and [3 E], undefined without bias
  Linear out_proj;                      ///< of the heads side by side

 private:
  Result attend(const Tensor& query, const Tensor& key, const Tensor& value, const AttentionOptions& options);

  Options options_;
};

}  // namespace tern
