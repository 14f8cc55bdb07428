#pragma once

#include <tern/core/tensor.hpp>

#include <functional>
#include <initializer_list>
#include <span>
#include <vector>

namespace tern {

/// Whether ops on this thread are recorded. On at first.
bool grad_enabled();

/// While it lives, nothing on this thread is recorded.
class NoGradGuard {
 public:
  NoGradGuard();
  ~NoGradGuard();
  NoGradGuard(const NoGradGuard&) = delete;
  NoGradGuard& operator=(const NoGradGuard&) = delete;

 private:
  bool before_;
};

/// What an op keeps of a tensor for its gradient: the memory without the graph, so that no cycle of ownership arises,
/// and the version, so that an in-place change in between is an error and never a wrong gradient.
class Saved {
 public:
  explicit Saved(const Tensor& x)
      : x_(x.defined() ? x.detach() : x), version_(x.defined() ? x.storage()->version() : 0) {}

  /// Throws Error if the tensor was changed in place since it was saved.
  const Tensor& operator*() const;
  /// Memory for a gradient of the tensor's shape: its own where nobody else holds it, neither the user nor another op
  /// nor a graph that is retained or recorded to be replayed. Once it is written to, what was saved is gone.
  Tensor reuse() const;

 private:
  Tensor x_;
  std::uint32_t version_;
};

/// The gradients of an op's inputs, in their order. Undefined where an input needs none.
struct Grads : std::vector<Tensor> {
  Grads(Tensor only) { push_back(std::move(only)); }
  Grads(std::initializer_list<Tensor> all) : std::vector<Tensor>(all) {}
  Grads(std::vector<Tensor> all) : std::vector<Tensor>(std::move(all)) {}
};

/// From the gradient by an op's output to the gradients by its inputs.
using Backward = std::function<Grads(const Tensor& gradient)>;

/// A recorded op: the graph is made of these, from the outputs towards the leaves.
struct Node {
  struct Input {
    std::shared_ptr<Node> node;  ///< the op that made this input, or null
    Tensor leaf;                 ///< a leaf that collects a gradient, or undefined
  };

  Node(const char* name, std::uint64_t sequence, std::span<const Tensor> inputs, const Tensor& output,
       Backward backward);
  ~Node();  ///< frees a graph of any depth without recursion, and without memory for that
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  const char* name;
  std::uint64_t sequence;  ///< when it ran: every input's op has a smaller one
  std::vector<Input> inputs;
  Shape output_shape;
  DType output_dtype;
  Device output_device;
  Backward backward;  ///< empty once freed
  Tensor gradient;    ///< collects during a backward pass

 private:
  static void hand_over(std::vector<Input>& inputs, std::shared_ptr<Node>& dying);

  std::shared_ptr<Node> next_;  ///< of the nodes that are being freed
};

/// Whether an op on these inputs would be recorded.
bool records(std::span<const Tensor> inputs);

/// Makes y, a floating tensor other than the inputs, the recorded output of op `name` on `inputs`; without effect where
/// nothing needs a gradient. `backward` runs without recording and must keep what it needs as Saved.
Tensor record(const char* name, std::span<const Tensor> inputs, Tensor y, Backward backward);

template <class F>
Tensor record(const char* name, std::initializer_list<Tensor> inputs, Tensor y, F backward) {
  const std::span all(inputs.begin(), inputs.size());
  return records(all) ? record(name, all, std::move(y), Backward(std::move(backward))) : y;
}

}  // namespace tern
