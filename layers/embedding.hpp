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

}  // namespace tern
