#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/generator.hpp>
#include <tern/layers/embedding.hpp>

namespace tern {
namespace {

/// Random weights, for sizes that a table has.
Tensor normal(const char* who, std::int64_t num, std::int64_t dim) {
  check(num >= 0 && dim >= 0, "{}: {} rows of {}, expected 0 or more", who, num, dim);
  const Tensor weight = empty({num, dim});
  normal_(weight, 0, 1);
  return weight;
}

/// That row, counted from the first. Throws Error where the table has none such.
std::optional<std::int64_t> row_of(const char* who, std::optional<std::int64_t> padding_idx, std::int64_t num) {
  if (!padding_idx) return {};
  check(-num <= *padding_idx && *padding_idx < num, "{}: padding_idx {} of {} rows, expected {} to {}", who,
        *padding_idx, num, -num, num - 1);
  return *padding_idx < 0 ? *padding_idx + num : *padding_idx;
}

}  // namespace

Embedding::Embedding(const Tensor& table, std::optional<std::int64_t> padding_idx) : weight(table) {
  check(weight.defined() && weight.dim() == 2, "Embedding: weight {}, expected [num, dim]",
        weight.defined() ? weight.shape().str() : "undefined");
  padding_idx_ = row_of("Embedding", padding_idx, weight.size(0));
}

Embedding::Embedding(std::int64_t num_embeddings, std::int64_t embedding_dim, std::optional<std::int64_t> padding_idx)
    : Embedding(normal("Embedding", num_embeddings, embedding_dim), padding_idx) {
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

EmbeddingBag::EmbeddingBag(const Options& o)
    : weight(normal("EmbeddingBag", o.num_embeddings, o.embedding_dim)), options_(o) {
  options_.padding_idx = row_of("EmbeddingBag", o.padding_idx, o.num_embeddings);
  if (options_.padding_idx) weight[*options_.padding_idx].zero_();
  weight.set_requires_grad();
}

Tensor EmbeddingBag::bags_of(const Tensor& index, const Tensor& offsets, const Tensor& per_sample_weights) const {
  return embedding_bag(index, weight,
                       {.offsets = offsets,
                        .mode = options_.mode,
                        .per_sample_weights = per_sample_weights,
                        .include_last_offset = options_.include_last_offset,
                        .padding_idx = options_.padding_idx});
}

Tensor EmbeddingBag::operator()(const Tensor& index, const Tensor& offsets, const Tensor& per_sample_weights) {
  return call([&] { return bags_of(index, offsets, per_sample_weights); });
}

std::string EmbeddingBag::str() const {
  constexpr const char* modes[] = {"sum", "mean", "max"};
  return fmt::format("EmbeddingBag({}, {}, mode={}{})", weight.size(0), weight.size(1),
                     modes[static_cast<int>(options_.mode)],
                     options_.padding_idx ? fmt::format(", padding_idx={}", *options_.padding_idx) : "");
}

}  // namespace tern
