#pragma once

#include <tern/core/autograd.hpp>
#include <tern/kernels/philox.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace tern {

/// A part of a forward pass whose ops keep nothing for their gradients: where one asks for what it has Saved, the part
/// runs again. checkpoint() makes one.
class Checkpoint : public std::enable_shared_from_this<Checkpoint> {
 public:
  Checkpoint(const std::vector<Tensor>& inputs, std::function<void(const std::vector<Tensor>&)> again);  ///< of again()

  /// While it lives, what ops on this thread save is that checkpoint's.
  class Scope {
   public:
    explicit Scope(Checkpoint& checkpoint);  ///< until it ends; they nest
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Checkpoint* before_;
  };

  /// The one whose part runs on this thread, or null.
  static Checkpoint* current();
  /// Notes that the part saves x. Returns a number for it.
  std::size_t save(const Tensor& x);
  /// The tensor of that number, for which the part runs again if it has not yet.
  const Tensor& saved(std::size_t number);

 private:
  struct Like {
    Shape shape, strides;
    DType dtype;
    Device device;
  };

  void run_again();

  std::vector<std::pair<Saved, bool>> inputs_;  ///< and whether each requires grad
  std::function<void(const std::vector<Tensor>&)> again_;
  kernels::PhiloxState random_;
  DType autocast_;  ///< and what autocast_dtype() was, when it first ran
  std::vector<Like> noted_;
  std::vector<Tensor> saved_;  ///< once it has run again
  bool runs_again_ = false;
};

/// function(inputs...), where its ops keep nothing for their gradients but the inputs: a backward pass calls a copy of
/// the function once more, with default_generator() as it was, and has the same gradients, bit by bit, as without
/// checkpoint. That gives memory for time. The function must compute the same from the same tensors; what it holds by
/// reference must live until then. Running statistics move once. A pass that is recorded as a CUDA graph refuses it.
template <class F, class... Inputs>
auto checkpoint(F function, const Inputs&... inputs) {
  const auto part = std::make_shared<Checkpoint>(std::vector<Tensor>{inputs...},
                                                 [function](const std::vector<Tensor>& again) mutable {
                                                   [&]<std::size_t... i>(std::index_sequence<i...>) {
                                                     static_cast<void>(function(again[i]...));
                                                   }
                                                   (std::index_sequence_for<Inputs...>());
                                                 });
  const Checkpoint::Scope scope(*part);
  return function(inputs...);
}

}  // namespace tern
