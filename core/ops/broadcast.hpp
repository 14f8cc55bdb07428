#pragma once

#include <tern/core/ops.hpp>

namespace tern {

/// The walk over `shape` that reads a and b, both broadcast to it, in as few dimensions as their strides allow.
kernels::Strided broadcast_walk(const Tensor& a, const Tensor& b, const Shape& shape);

/// Sums x over the dimensions along which `shape` was stretched to x's: the gradient of broadcasting.
Tensor sum_to(const Tensor& x, const Shape& shape);

/// y = a op b without recording; y is dense with the broadcast shape, all three of one dtype.
void binary_into(kernels::BinaryOp op, const Tensor& a, const Tensor& b, const Tensor& y);
/// With a number that the dtype can hold for one operand. y may be the other, where that is contiguous.
void binary_into(kernels::BinaryOp op, const Tensor& a, Scalar b, const Tensor& y);
void binary_into(kernels::BinaryOp op, Scalar a, const Tensor& b, const Tensor& y);

/// g times the slope of the activation that gave y, in ops: for gradients in a pass with create_graph.
Tensor activation_gradient(Activation activation, const Tensor& y, const Tensor& g);

/// target[...] = source[...], of one shape, dtype and device, without recording.
void copy_into(const Tensor& source, const Tensor& target);

}  // namespace tern
