#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/generator.hpp>
#include <tern/layers/embedding.hpp>

namespace tern {
namespace {

/// Random weights, for sizes that a table has.
Tensor normal(std::int64_t num, std::int64_t dim) {
  check(num >= 0 && dim >= 0, "Embedding: {} rows of {}, expected 0 or more", num, dim);
  const Tensor weight = empty({num, dim});
  normal_(weight, 0, 1);
  return weight;
}

}  // namespace

Embedding::Embedding(const Tensor& table, std::optional<std::int64_t> padding_idx)
    : weight(table), padding_idx_(padding_idx) {
  check(weight.defined() && weight.dim() == 2, "Embedding: weight {}, expected [num, dim]",
        weight.defined() ? weight.shape().str() : "undefined");
  if (!padding_idx) return;
  const std::int64_t num = weight.size(0);
  check(-num <= *padding_idx && *padding_idx < num, "Embedding: padding_idx {} of {} rows, expected {} to {}",
        *padding_idx, num, -num, num - 1);
  if (*padding_idx < 0) *padding_idx_ += num;
}

Embedding::Embedding(std::int64_t num_embeddings, std::int64_t embedding_dim, std::optional<std::int64_t> padding_idx)
    : Embedding(normal(num_embeddings, embedding_dim), padding_idx) {
  if (padding_idx_) weight[*padding_idx_].zero_();
  weight.set_requires_grad();
}

Embedding Embedding::from_pretrained(const Tensor& weight, bool freeze, std::optional<std::int64_t> padding_idx) {
  Embedding made(weight.defined() ? weight.detach() : weight, padding_idx);
  made.weight.set_requires_grad(!freeze);
  return made;
}

std::string Embedding::str() const {
  return fmt::format("Embedding({}, {}{})", weight.size(0), weight.size(1),
                     padding_idx_ ? fmt::format(", padding_idx={}", *padding_idx_) : "");
}

}  // namespace tern
