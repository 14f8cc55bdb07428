#pragma once

#include <tern/core/tensor.hpp>

namespace tern {

/// What autograd alone may do to a tensor.
struct GraphAccess {
  static void set_node(const Tensor& y, std::shared_ptr<Node> node);
  /// leaf.grad += gradient; the first one is kept as it is where nobody else holds it.
  static void accumulate(const Tensor& leaf, Tensor gradient);
};

}  // namespace tern
