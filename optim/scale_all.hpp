#pragma once

#include <tern/core/tensor.hpp>

#include <vector>

namespace tern {

/// Multiplies all by a number in the device's memory, in place, by one kernel call. Tensors and `by`, of one element,
/// are of one floating dtype and on one device; nothing is recorded.
void scale_all_(const std::vector<Tensor>& tensors, const Tensor& by);

}  // namespace tern
