#pragma once

#include <tern/core/precision.hpp>

namespace tern {

using kernels::Cell;

/// The steps of a recurrent layer in one direction. x [T, N, sums * H] is what the inputs add to the sums (backend.hpp,
/// recurrent_cell), weight [sums * H, H] and bias [sums * H] or undefined make the state's part of them; it begins as
/// h [N, H], and for lstm c [N, H]. `reverse` goes from the last step to the first. Returns the h of all steps
/// [T, N, H]; for lstm [T + 1, N, H], where the c after the last step comes after them. The caller has checked shapes.
/// Products are as exact as precision_of(x) asks for, unless their precision is given.
Tensor recurrent(Cell cell, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& h, const Tensor& c,
                 bool reverse, std::optional<Precision> precision = {});

}  // namespace tern
