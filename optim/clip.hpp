#pragma once

#include <tern/core/tensor.hpp>

#include <vector>

namespace tern {

/// Scales the parameters' gradients, in place, to a norm of all of them together of at most max_norm: by max_norm /
/// (norm + 1e-6) where that is below 1. Returns the norm before, of shape []. norm_type is 1, 2, infinity or any other
/// number above 0. As torch.nn.utils.clip_grad_norm_: nothing waits for the device, unless error_if_nonfinite asks for
/// an Error for a norm that is not finite, before anything is changed. A GraphedStep has it as `before_update`.
Tensor clip_grad_norm_(const std::vector<Tensor>& parameters, double max_norm, double norm_type = 2,
                       bool error_if_nonfinite = false);

/// Clamps each element of the parameters' gradients, in place, to +-clip_value. NaN stays NaN.
void clip_grad_value_(const std::vector<Tensor>& parameters, double clip_value);

}  // namespace tern
