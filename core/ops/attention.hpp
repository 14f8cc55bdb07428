#pragma once

#include <tern/core/ops.hpp>
#include <tern/core/precision.hpp>

namespace tern {

struct AttentionResult {
  Tensor output, weights;
};

/// scaled_dot_product_attention, and where they are needed the weights [..., L, S], dropped out as they were used: then
/// all of them are held at once. packed, where it is defined, is a contiguous tensor of which q, k and v are the three
/// slices along dimension 0: so the gradient by it is made as a whole. Products are as exact as precision_of(q) asks for,
/// unless their precision is given.
AttentionResult attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& packed,
                          const Tensor& attn_mask, double dropout_p, bool is_causal, std::optional<double> scale,
                          bool need_weights, Generator& generator, std::optional<Precision> precision = {});

/// What a mask adds to scores of that dtype: itself, or for uint8 0 where it is not 0, else -infinity.
Tensor bias_of(const Tensor& mask, DType dtype);

}  // namespace tern
