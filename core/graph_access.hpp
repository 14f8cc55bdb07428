#pragma once

#include <tern/core/tensor.hpp>

namespace tern {

/// What autograd and modules, and nobody else, may do to a tensor.
struct GraphAccess {
  static void set_node(const Tensor& y, std::shared_ptr<Node> node);
  /// Every handle on x holds the other array from now on. x is a leaf; its gradient follows.
  static void set_data(const Tensor& x, const Tensor& other);
  /// Whether x is contiguous, the only handle on its array, and its array the only one in its memory.
  static bool is_alone(const Tensor& x);
  /// leaf.grad += gradient; the first one is kept as it is where nobody else holds it.
  static void accumulate(const Tensor& leaf, Tensor gradient);
};

}  // namespace tern
