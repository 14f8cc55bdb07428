#pragma once

#include <tern/core/tensor.hpp>

#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace tern {

/// Whether ops on this thread are recorded. On at first.
bool is_grad_enabled();

/// While it lives, ops on this thread are recorded, or not.
class SetGradEnabled {
 public:
  explicit SetGradEnabled(bool mode);  ///< true to record; what was before comes back with its end
  ~SetGradEnabled();
  SetGradEnabled(const SetGradEnabled&) = delete;
  SetGradEnabled& operator=(const SetGradEnabled&) = delete;

 private:
  bool before_;
};

/// While it lives, nothing on this thread is recorded.
struct NoGradGuard : SetGradEnabled {
  NoGradGuard() : SetGradEnabled(false) {}
};

/// While it lives, ops on this thread are recorded, within a NoGradGuard, too.
struct EnableGradGuard : SetGradEnabled {
  EnableGradGuard() : SetGradEnabled(true) {}
};

/// What f() returns, computed without recording.
template <class F>
auto no_grad(F f) {
  const NoGradGuard guard;
  return f();
}

/// While one lives on this thread, a backward pass throws Error where an op first gives a gradient with NaN, naming the
/// op, and the module whose forward called it where one lived then, too. Each op waits for the device.
class AnomalyGuard {
 public:
  AnomalyGuard();
  ~AnomalyGuard();
  AnomalyGuard(const AnomalyGuard&) = delete;
  AnomalyGuard& operator=(const AnomalyGuard&) = delete;

  /// Whether there is one on this thread.
  static bool is_alive();
  /// Names what the ops that follow on this thread belong to, and returns what was named before.
  static std::string set_place(std::string place);

 private:
  bool before_;
};

/// What grad() is told besides.
struct GradOptions {
  std::vector<Tensor> grad_outputs = {};  ///< one for each output, undefined or left out for those of one element
  bool retain_graph = false;              ///< or else the graph is freed, as far as it was gone through
  bool create_graph = false;              ///< record the gradients, to be differentiated again; retains the graph
  bool allow_unused = false;              ///< an undefined tensor for an input that no output depends on, else an Error
};
/// The gradients of the outputs, summed up, by each of the inputs, leaves or not. No grad() changes, and of the graph
/// only what leads to the inputs is gone through.
std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
                         const GradOptions& options = {});

class Checkpoint;

/// What an op keeps of one of its inputs, or its output, for its gradient: the memory without the graph, so that no
/// cycle of ownership arises, and the version, so that an in-place change in between is an error and never a wrong
/// gradient. Within a checkpoint it keeps no memory, and has it computed again.
class Saved {
 public:
  explicit Saved(const Tensor& x);  ///< x as it is now: its version, too

  /// Throws Error if the tensor was changed in place since it was saved. In a pass with create_graph it is part of the
  /// graph again: Error for a floating tensor that was neither an input nor the output of the op that saved it.
  const Tensor& operator*() const;
  /// Memory for a gradient of the tensor's shape: its own where nobody else holds it, neither the user nor another op
  /// nor a graph that is retained or recorded to be replayed. Once it is written to, what was saved is gone.
  Tensor reuse() const;
  /// The tensor, in every pass without the graph.
  const Tensor& value() const;

 private:
  Tensor x_;
  std::shared_ptr<Checkpoint> checkpoint_;  ///< that has it, or null
  std::uint32_t number_ = 0;                ///< there
  std::uint32_t version_ = 0;
  const void* id_ = nullptr;
};

/// The gradients of an op's inputs, in their order. Undefined where an input needs none.
struct Grads : std::vector<Tensor> {
  Grads(Tensor only) { push_back(std::move(only)); }                       ///< of an op of one input
  Grads(std::initializer_list<Tensor> all) : std::vector<Tensor>(all) {}   ///< one for each input, in order
  Grads(std::vector<Tensor> all) : std::vector<Tensor>(std::move(all)) {}  ///< likewise
};

/// From the gradient by an op's output to the gradients by its inputs.
using Backward = std::function<Grads(const Tensor& gradient)>;
/// The same for an op of several outputs. All are defined: zeros where nothing came.
using BackwardOfAll = std::function<Grads(std::span<const Tensor> gradients)>;

/// The hooks of a tensor.
struct Hooks {
  using Hook = std::function<Tensor(const Tensor&)>;         ///< one of them
  std::map<std::uint64_t, std::shared_ptr<Hook>> by_number;  ///< by the handle's number, called in order
  std::uint64_t next = 0;                                    ///< the next handle's number
  std::function<Tensor()> retained;   ///< the result whose grad() is filled, undefined once nobody holds it; or empty
  std::function<void(Tensor)> taker;  ///< who gets a leaf's gradient, in place of grad(); or empty
};

/// A recorded op: the graph is made of these, from the outputs towards the leaves.
struct Node {
  /// What the op made, and what came for it.
  struct Output {
    Shape shape;                   ///< the gradient's, too
    DType dtype;                   ///< likewise
    Device device;                 ///< likewise
    Tensor gradient;               ///< collects during a backward pass
    std::shared_ptr<Hooks> hooks;  ///< or null
    const void* storage;           ///< tells a Saved that it is this
  };
  /// Where a gradient by an input goes.
  struct Input {
    std::shared_ptr<Node> node;  ///< the op that made this input, or null
    Output* output;              ///< which of that op's
    Tensor leaf;                 ///< a leaf that collects a gradient, or undefined
    const void* id;              ///< GraphAccess::id()
  };

  Node(const char* name, std::uint64_t sequence, std::span<const Tensor> inputs, std::span<const Tensor> outputs,
       BackwardOfAll backward);  ///< keeps what it needs as Saved
  ~Node();                       ///< frees a graph of any depth without recursion, and without memory for that
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  const char* name;                    ///< the op's, as errors name it
  std::uint64_t sequence;              ///< when it ran: every input's op has a smaller one
  std::vector<Input> inputs;           ///< in the order of the op's arguments
  Output output;                       ///< the only one, or the first
  std::vector<Output> others;          ///< outputs beside that
  BackwardOfAll backward;              ///< empty once freed
  std::unique_ptr<std::string> place;  ///< where it ran, if AnomalyGuard was to know
  std::uint64_t found = 0;             ///< by which pass last

 private:
  static void hand_over(std::vector<Input>& inputs, std::shared_ptr<Node>& dying);

  std::shared_ptr<Node> next_;  ///< of the nodes that are being freed
};

/// Whether an op on these inputs would be recorded.
bool records(std::span<const Tensor> inputs);

/// Without the check of records(): record() is what ops call.
void record_all(const char* name, std::span<const Tensor> inputs, std::span<const Tensor> outputs,
                BackwardOfAll backward);

/// Throws Error where a Trace lives and does not know the op that gives these.
void check_traced(const char* name, std::span<const Tensor> inputs, std::span<const Tensor> outputs);

/// Makes y, a floating tensor other than the inputs, or several in a vector or an array, the recorded output of op
/// `name` on `inputs`; without effect where nothing needs a gradient. `backward` is a Backward, or a BackwardOfAll for
/// several; it must keep what it needs as Saved. It is recorded itself only in a pass with create_graph. There what it
/// returns must come from ops: where it has no such way, the pass throws.
template <class Outputs, class F>
Outputs record(const char* name, std::span<const Tensor> inputs, Outputs y, F backward) {
  if constexpr (std::is_same_v<Outputs, Tensor>) {
    check_traced(name, inputs, {&y, 1});
  } else {
    check_traced(name, inputs, y);
  }
  if (!records(inputs)) return y;
  if constexpr (std::is_same_v<Outputs, Tensor>) {
    record_all(name, inputs, {&y, 1}, [backward = std::move(backward)](std::span<const Tensor> gradients) mutable {
      return Grads(backward(gradients[0]));
    });
  } else {
    record_all(name, inputs, y, std::move(backward));
  }
  return y;
}

/// The same.
template <class Outputs, class F>
Outputs record(const char* name, std::initializer_list<Tensor> inputs, Outputs y, F backward) {
  return record(name, std::span(inputs.begin(), inputs.size()), std::move(y), std::move(backward));
}

/// For a backward that computes by kernels, in a pass with create_graph: g times the derivatives of
/// composition(inputs), the op's value composed of other ops, by those inputs that need them.
Grads composed_gradients(const Tensor& g, const std::vector<Tensor>& inputs,
                         const std::function<Tensor(const std::vector<Tensor>&)>& composition);

}  // namespace tern
