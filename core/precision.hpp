#pragma once

#include <tern/kernels/backend.hpp>

namespace tern {

/// How exact products of float32 are, as with torch.set_float32_matmul_precision:
///   highest  as good as sums of fp32 products;
///   high     TensorFloat-32 is allowed: factors of 11 significant bits, sums in fp32;
///   medium   bfloat16 is allowed, factors of 8 bits.
/// docs/precision.md says which op does what on which device, and how large errors are.
using kernels::Precision;

/// For all threads, from the next op on, and the gradients of that. Highest at first.
/// @{
void set_float32_precision(Precision precision);
Precision float32_precision();
/// @}

}  // namespace tern
