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
  /// leaf.grad = gradient: the same array where nobody else holds it, else a copy.
  static void set_first_grad(const Tensor& leaf, Tensor gradient);
  /// Ones of x's shape, dtype and device, all of them one element that is made once for each dtype and device. Nobody
  /// may write to it, and who is given it as a gradient need not multiply by it: is_unit() of its storage says so.
  static Tensor unit_like(const Tensor& x);
};

}  // namespace tern
