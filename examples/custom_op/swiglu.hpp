#pragma once

#include <tern/core/tensor.hpp>

/// a b sigmoid(a), where a and b are the halves of x's last dimension: x is [..., 2 n], the result [..., n], float32 on
/// cpu or cuda. Throws tern::Error for anything else. (N. Shazeer, "GLU variants improve transformer", 2020)
tern::Tensor swiglu(const tern::Tensor& x);
