#pragma once

#include <tern/core/tensor.hpp>

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

namespace tern {

/// What autograd and modules, and nobody else, may do to a tensor.
struct GraphAccess {
  static void set_node(const Tensor& y, std::shared_ptr<Node> node);
  /// From now on every handle on a tensor of the first holds the array of the second beside it, of its shape; both are
  /// leaves. A gradient follows. Throws before anything is changed.
  static void set_data(const std::vector<std::pair<Tensor, Tensor>>& all);
  /// Whether x is contiguous, the only handle on its array, and its array the only one in its memory.
  static bool is_alone(const Tensor& x);
  /// The same array where nobody else holds it, else a copy.
  static Tensor own(Tensor gradient);
  /// The same for all handles on x's array, and for no other.
  static const void* id(const Tensor& x) { return x.impl_.get(); }
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
