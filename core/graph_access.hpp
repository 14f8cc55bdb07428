#pragma once

#include <tern/core/autograd.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace tern {

/// What autograd and modules, and nobody else, may do to a tensor.
struct GraphAccess {
  /// Makes y the result of that op that its output `at` stands for.
  static void set_node(const Tensor& y, std::shared_ptr<Node> node, Node::Output* at);
  static Node::Output* output(const Tensor& y);                ///< null for a leaf
  /// Makes x, whose memory has got y's values, what y is in the graph. Whatever else in a graph shows it is stale.
  static void take_place(const Tensor& x, const Tensor& y);
  static bool is_stale(const Tensor& x);
  static std::shared_ptr<Hooks>& leaf_hooks(const Tensor& x);  ///< null where there are none
  static std::function<Tensor()> weak(const Tensor& x);        ///< x while somebody holds it, then undefined
  /// From now on every handle on a tensor of the first holds the array of the second beside it, of its shape; both are
  /// leaves. A gradient follows. Throws before anything is changed.
  static void set_data(const std::vector<std::pair<Tensor, Tensor>>& all);
  /// Whether x is contiguous, the only handle on its array, and its array the only one in its memory.
  static bool is_alone(const Tensor& x);
  /// The same array where nobody else holds it, else a copy.
  static Tensor own(Tensor gradient);
  /// What x is to a graph, another for each tensor that is alive: which op's which output, or which leaf that requires
  /// grad; for all others their memory. Null where undefined.
  static const void* id(const Tensor& x);
  /// Ones of x's shape, dtype and device, all of them one element that is made once for each dtype and device. Nobody
  /// may write to it, and who is given it as a gradient need not multiply by it: is_unit() of its storage says so.
  static Tensor unit_like(const Tensor& x);
};

/// Of what this handle alone holds: what other threads did with it before they let go is done.
template <class T>
void acquire([[maybe_unused]] const std::shared_ptr<T>& only) {
#ifdef __SANITIZE_THREAD__
  std::shared_ptr<T> again(only);  // GCC's thread sanitizer knows no fences, but this change of the count
#else
  std::atomic_thread_fence(std::memory_order_acquire);
#endif
}

}  // namespace tern
