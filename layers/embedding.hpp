#pragma once

#include <tern/core/ops.hpp>
#include <tern/layers/module.hpp>

#include <optional>

namespace tern {

/// Indices, int64 of any shape, -> [..., embedding_dim]. Parameter weight [num_embeddings, embedding_dim] starts normal
/// with deviation 1, drawn from default_generator(); the row padding_idx starts as 0 and gets no gradient. Negative
/// ones count from the end.
class Embedding : public Module {
 public:
  /// Throws Error for sizes below 0, and a padding_idx that is no row.
  Embedding(std::int64_t num_embeddings, std::int64_t embedding_dim, std::optional<std::int64_t> padding_idx = {});
  /// One with these weights, [num, dim], which are learned only where they are not to be frozen.
  static Embedding from_pretrained(const Tensor& weight, bool freeze = true,
                                   std::optional<std::int64_t> padding_idx = {});

  Tensor forward(const Tensor& index) override { return embedding(index, weight, padding_idx_); }
  Members members() override { return {.parameters = {{"weight", weight}}}; }
  std::string str() const override;

  Tensor weight;  ///< [num_embeddings, embedding_dim]

 private:
  Embedding(const Tensor& weight, std::optional<std::int64_t> padding_idx);

  std::optional<std::int64_t> padding_idx_;
};

/// Indices, int64 [bags, length], or [n] with the offsets where each bag begins, -> [bags, embedding_dim]:
/// embedding_bag. Parameter weight [num_embeddings, embedding_dim] starts as Embedding's.
class EmbeddingBag : public Module {
 public:
  /// PyTorch's arguments but max_norm, norm_type, scale_grad_by_freq and sparse.
  struct Options {
    std::int64_t num_embeddings, embedding_dim;    ///< rows and columns of weight
    BagMode mode = BagMode::mean;                  ///< how a bag's rows become one
    bool include_last_offset = false;              ///< whether the last offset is but the end of the bag before it
    std::optional<std::int64_t> padding_idx = {};  ///< the index that is in no bag, whose row starts as 0
  };
  /// Throws Error for sizes below 0, and a padding_idx that is no row.
  explicit EmbeddingBag(const Options& options);

  /// Of index [n] cut at the offsets, int64 [bags], or [bags, length] with undefined ones. per_sample_weights is of
  /// index's shape, and for the mode sum.
  Tensor operator()(const Tensor& index, const Tensor& offsets, const Tensor& per_sample_weights = {});
  using Module::operator();
  /// Of index [bags, length].
  Tensor forward(const Tensor& index) override { return bags_of(index, {}, {}); }
  Members members() override { return {.parameters = {{"weight", weight}}}; }
  std::string str() const override;

  Tensor weight;  ///< [num_embeddings, embedding_dim]

 private:
  Tensor bags_of(const Tensor& index, const Tensor& offsets, const Tensor& per_sample_weights) const;

  Options options_;
};

}  // namespace tern
