#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/cuda.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/graph_access.hpp>
#include <tern/core/ops.hpp>

#include <algorithm>
#include <atomic>
#include <unordered_set>
#include <utility>

namespace tern {
namespace {

thread_local bool recording = true;
std::atomic<std::uint64_t> next_sequence{0};

/// Every op that `root` depends on and that leads to a leaf, the latest first: each comes after all that use its
/// output.
std::vector<std::shared_ptr<Node>> reachable(const std::shared_ptr<Node>& root) {
  std::vector<std::shared_ptr<Node>> order{root};
  std::unordered_set<const Node*> seen{root.get()};
  for (std::size_t i = 0; i < order.size(); ++i) {
    for (const Node::Input& input : order[i]->inputs) {
      if (input.node && seen.insert(input.node.get()).second) order.push_back(input.node);
    }
  }
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a->sequence > b->sequence; });
  return order;
}

/// Throws unless g, which the node gives for its input i, is as that input is.
void check_gradient(const Node& node, std::size_t i, const Tensor& g, const Shape& shape, DType dtype, Device device) {
  check(g.shape() == shape && g.dtype() == dtype && g.device() == device,
        "backward of '{}': gradient {} {} on {} for input {}, expected {} {} on {}", node.name, g.dtype(), g.shape(),
        g.device(), i, dtype, shape, device);
}

/// sum += gradient, for each: by one kernel for those of one dtype on one device.
void add_all(std::vector<std::pair<Tensor, Tensor>> additions) {
  while (!additions.empty()) {
    const Tensor like = additions[0].first;
    const auto others = std::stable_partition(additions.begin(), additions.end(), [&like](const auto& addition) {
      return addition.first.dtype() == like.dtype() && addition.first.device() == like.device();
    });
    for_floating("backward", like, [&]<class T>(kernels::FloatKernels<T>& k) {
      std::vector<kernels::Segment<T>> all;
      std::vector<Tensor> dense;  // kept until the kernel has run
      for (auto addition = additions.begin(); addition != others; ++addition) {
        const Tensor& sum = addition->first;
        if (!sum.is_contiguous()) {
          sum.add_(addition->second);
          continue;
        }
        dense.push_back(addition->second.contiguous());
        all.push_back({sum.numel(), dense.back().template data<T>(), sum.data<T>()});
        sum.storage()->bump_version();
      }
      k.add_all(all);
    });
    additions.erase(additions.begin(), others);
  }
}

/// What leaves get on top of the gradient that they have: queued, and added all at once when the pass is over, or when
/// one of them would get a second addition. So each leaf's are added in the order they come in.
class Additions {
 public:
  void push(const Tensor& sum, Tensor gradient) {
    const Storage *to = sum.storage().get(), *from = gradient.storage().get();
    if (to == from || written_.contains(to) || read_.contains(to) || written_.contains(from)) flush();
    written_.insert(to);
    read_.insert(from);
    all_.emplace_back(sum, std::move(gradient));
    if (to == from) flush();
  }

  void flush() {
    add_all(std::exchange(all_, {}));
    written_.clear();
    read_.clear();
  }

 private:
  std::vector<std::pair<Tensor, Tensor>> all_;  ///< a leaf's gradient, and what is to be added to it
  std::unordered_set<const Storage*> written_, read_;
};

}  // namespace

bool grad_enabled() { return recording; }

NoGradGuard::NoGradGuard() : before_(recording) { recording = false; }
NoGradGuard::~NoGradGuard() { recording = before_; }

const Tensor& Saved::operator*() const {
  if (!x_.defined()) return x_;
  check(x_.storage()->version() == version_,
        "backward: a tensor of shape {} that the gradient needs was changed in place (version {}, saved at {})",
        x_.shape(), x_.storage()->version(), version_);
  return x_;
}

Tensor Saved::reuse() const { return GraphAccess::is_alone(x_) && !cuda::is_capturing() ? x_ : empty_like(x_); }

Node::Node(const char* op, std::uint64_t number, std::span<const Tensor> from, const Tensor& output, Backward function)
    : name(op),
      sequence(number),
      output_shape(output.shape()),
      output_dtype(output.dtype()),
      output_device(output.device()),
      backward(std::move(function)) {
  inputs.reserve(from.size());
  for (const Tensor& x : from) {
    if (!x.defined() || !x.requires_grad())
      inputs.push_back({});
    else if (x.is_leaf())
      inputs.push_back({nullptr, x});
    else
      inputs.push_back({x.grad_node(), {}});
  }
}

Node::~Node() {
  // A node that dies hands its inputs to the outermost dying node of its thread, which lets them go one by one.
  thread_local std::vector<std::shared_ptr<Node>>* dying = nullptr;
  const bool outermost = dying == nullptr;
  std::vector<std::shared_ptr<Node>> mine;
  if (outermost) dying = &mine;
  for (Input& input : inputs) {
    if (input.node) dying->push_back(std::move(input.node));
  }
  if (!outermost) return;
  while (!mine.empty()) {
    const std::shared_ptr<Node> next = std::move(mine.back());
    mine.pop_back();
  }
  dying = nullptr;
}

bool records(std::span<const Tensor> inputs) {
  return recording &&
         std::any_of(inputs.begin(), inputs.end(), [](const Tensor& x) { return x.defined() && x.requires_grad(); });
}

Tensor record(const char* name, std::span<const Tensor> inputs, Tensor y, Backward backward) {
  if (!records(inputs)) return y;
  check(is_floating(y.dtype()), "record '{}': output of {}, expected float32 or float64", name, y.dtype());
  for (const Tensor& x : inputs) {
    check(!x.is_same(y), "record '{}': the output of shape {} is an input, expected a new tensor", name, y.shape());
  }
  GraphAccess::set_node(y, std::make_shared<Node>(name, next_sequence++, inputs, y, std::move(backward)));
  return y;
}

void Tensor::backward(bool retain_graph) const {
  check(numel() == 1, "backward: tensor of shape {}, expected one element or a gradient of that shape", shape());
  backward(GraphAccess::unit_like(*this), retain_graph);
}

void Tensor::backward(const Tensor& gradient, bool retain_graph) const {
  check(requires_grad(), "backward: a tensor of shape {} that was computed from nothing that requires grad", shape());
  check(gradient.defined(), "backward: gradient is undefined, expected a tensor");
  check(gradient.shape() == shape() && gradient.dtype() == dtype() && gradient.device() == device(),
        "backward: gradient of shape {}, {} on {}, expected {}, {} on {}", gradient.shape(), gradient.dtype(),
        gradient.device(), shape(), dtype(), device());
  NoGradGuard no_grad;
  if (is_leaf()) {
    if (grad().defined()) {
      grad().add_(gradient);
    } else {
      GraphAccess::set_first_grad(*this, gradient);
    }
    return;
  }

  const std::vector<std::shared_ptr<Node>> order = reachable(grad_node());
  for (const auto& node : order) {
    check(node->backward != nullptr,
          "backward: the graph of '{}' was freed by an earlier backward, expected retain_graph = true there",
          node->name);
  }
  // What an error in between would leave behind.
  struct Cleanup {
    const std::vector<std::shared_ptr<Node>>& nodes;
    ~Cleanup() {
      for (const auto& node : nodes) node->gradient = {};
    }
  } cleanup{order};

  Additions additions;
  grad_node()->gradient = gradient;
  for (const auto& node : order) {
    Tensor output_gradient = std::exchange(node->gradient, {});
    Backward function = retain_graph ? node->backward : std::exchange(node->backward, nullptr);
    if (!output_gradient.defined()) continue;
    Grads grads = function(output_gradient);
    function = nullptr;    // and what it saved
    output_gradient = {};  // which a leaf may then keep, where an op has handed it on
    check(grads.size() == node->inputs.size(), "backward of '{}': {} gradients for {} inputs", node->name, grads.size(),
          node->inputs.size());
    for (std::size_t i = 0; i < grads.size(); ++i) {
      const Node::Input& input = node->inputs[i];
      if (!grads[i].defined()) continue;
      if (input.leaf.defined()) {
        check_gradient(*node, i, grads[i], input.leaf.shape(), input.leaf.dtype(), input.leaf.device());
        if (const Tensor sum = input.leaf.grad(); sum.defined()) {
          additions.push(sum, std::move(grads[i]));
        } else {
          GraphAccess::set_first_grad(input.leaf, std::move(grads[i]));
        }
      } else if (input.node) {
        check_gradient(*node, i, grads[i], input.node->output_shape, input.node->output_dtype,
                       input.node->output_device);
        Tensor& sum = input.node->gradient;
        sum = sum.defined() ? sum + grads[i] : std::move(grads[i]);
      }
    }
  }
  additions.flush();
}

}  // namespace tern
