#pragma once

#include <tern/core/tensor.hpp>
#include <tern/kernels/backend.hpp>

#include <optional>

namespace tern {

/// How exact products of float32 are, as with torch.set_float32_matmul_precision:
///   highest  as good as sums of fp32 products;
///   high     TensorFloat-32 is allowed: factors of 11 significant bits, sums in fp32;
///   medium   bfloat16 is allowed, factors of 8 bits.
/// docs/precision.md says which op does what on which device, and how large errors are.
using kernels::Precision;

/// For all threads and devices, from the next op on, and the gradients of that. Nothing sets it back to what it was at
/// first.
void set_float32_precision(std::optional<Precision> precision);
/// What was set; at first `high` on the cpu, and `highest` elsewhere.
Precision float32_precision(Device device);

/// What products of x's elements need to be: float32_precision(), or the least in which those of 16 bits are exact.
Precision precision_of(const Tensor& x);

}  // namespace tern
