#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/cuda.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/graph_access.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>

#include <algorithm>
#include <atomic>
#include <functional>
#include <unordered_map>
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

/// What a backward pass adds to gradients, queued so that all can be added at once, by one kernel for those of one dtype
/// on one device. Only run() changes anything, and that asks for no memory: prepare() has.
class Additions {
 public:
  /// sum += gradient. Each sum's are added in the order they come in.
  void push(const Tensor& sum, Tensor gradient) {
    const Storage* const to = sum.storage().get();
    if (to == gradient.storage().get() || written_.contains(gradient.storage().get())) gradient = gradient.clone();
    const Storage* const from = gradient.storage().get();
    if (rounds_.empty() || in_round_.contains(to)) {
      rounds_.emplace_back();
      in_round_.clear();
    }
    rounds_.back().push_back({sum, gradient.contiguous()});
    in_round_.insert({to, from});
    written_.insert(to);
  }

  void prepare() {
    for (std::vector<Addition>& round : rounds_) {
      while (!round.empty()) {
        const Tensor like = round[0].sum;
        const auto others = std::stable_partition(round.begin(), round.end(), [&like](const Addition& addition) {
          return addition.sum.dtype() == like.dtype() && addition.sum.device() == like.device();
        });
        std::vector<Addition> alike(round.begin(), others);
        for_floating("backward", like, [&]<class T>(kernels::FloatKernels<T>& k) {
          std::vector<kernels::Segment<T>> all;
          for (const auto& [sum, gradient] : alike) {
            all.push_back({sum.numel(), gradient.template data<T>(), sum.template data<T>()});
          }
          runs_.emplace_back([&k, all = std::move(all), alike = std::move(alike)] {
            k.add_all(all);
            for (const Addition& addition : alike) addition.sum.storage()->bump_version();
          });
        });
        round.erase(round.begin(), others);
      }
    }
  }

  void run() const {
    for (const auto& run : runs_) run();
  }

 private:
  struct Addition {
    Tensor sum, gradient;  ///< both contiguous
  };

  std::vector<std::vector<Addition>> rounds_;  ///< in none of them is one memory written twice, or read and written
  std::unordered_set<const Storage*> in_round_, written_;
  std::vector<std::function<void()>> runs_;
};

/// What leaves get from a backward pass. None of them has any of it unless the pass comes to its end.
class LeafGradients {
 public:
  void add(const Tensor& leaf, Tensor gradient) {
    const auto [at, is_first] = sum_of_.try_emplace(GraphAccess::id(leaf), Tensor());
    Tensor& sum = at->second;
    if (!is_first) return additions_.push(sum, std::move(gradient));
    const Tensor before = leaf.grad();
    if (!before.defined()) {
      sum = GraphAccess::own(std::move(gradient));
      first_.emplace_back(leaf, sum);
    } else if (before.is_contiguous()) {
      sum = before;
      additions_.push(sum, std::move(gradient));
    } else {
      sum = before.clone();
      copied_.emplace_back(sum, before);
      additions_.push(sum, std::move(gradient));
    }
  }

  /// Gives them what they get.
  void finish() {
    additions_.prepare();
    additions_.run();
    for (const auto& [sum, gradient] : copied_) {
      copy_into(sum, gradient);
      gradient.storage()->bump_version();
    }
    for (const auto& [leaf, gradient] : first_) leaf.set_grad(gradient);
  }

 private:
  std::unordered_map<const void*, Tensor> sum_of_;  ///< by leaf
  Additions additions_;
  std::vector<std::pair<Tensor, Tensor>> first_;   ///< leaves without a gradient before, and theirs
  std::vector<std::pair<Tensor, Tensor>> copied_;  ///< sums, and gradients that are not contiguous
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

/// Lets the inputs' nodes go. Those that nobody else holds become the first ones of the list `dying`.
void Node::hand_over(std::vector<Input>& inputs, std::shared_ptr<Node>& dying) {
  for (Input& input : inputs) {
    if (input.node.use_count() != 1) {  // of one that another thread lets go meanwhile, this may be the end
      input.node.reset();
      continue;
    }
    acquire(input.node);
    input.node->next_ = std::move(dying);
    dying = std::move(input.node);
  }
}

Node::~Node() {
  std::shared_ptr<Node> dying;
  hand_over(inputs, dying);
  while (dying) {
    const std::shared_ptr<Node> node = std::move(dying);
    dying = std::move(node->next_);
    hand_over(node->inputs, dying);
  }
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
      set_grad(GraphAccess::own(gradient));
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

  LeafGradients leaves;
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
        leaves.add(input.leaf, std::move(grads[i]));
      } else if (input.node) {
        check_gradient(*node, i, grads[i], input.node->output_shape, input.node->output_dtype,
                       input.node->output_device);
        Tensor& sum = input.node->gradient;
        sum = sum.defined() ? sum + grads[i] : std::move(grads[i]);
      }
    }
  }
  leaves.finish();
}

}  // namespace tern
