#include <tern/core/autocast.hpp>
#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/checkpoint.hpp>
#include <tern/core/cuda.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/graph_access.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>

#include <algorithm>
#include <atomic>
#include <forward_list>
#include <functional>
#include <limits>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace tern {
namespace {

thread_local bool recording = true;
thread_local bool anomaly = false;
thread_local std::string current_place;
std::atomic<std::uint64_t> next_sequence{0};

/// The op whose gradient is being computed on this thread in a pass with create_graph, and what it has unpacked.
struct BeingRecorded {
  const std::shared_ptr<Node>& node;
  std::forward_list<Tensor> unpacked = {};
  bool depends = false;  ///< on something that requires grad
};
thread_local BeingRecorded* being_recorded = nullptr;

/// x, which that op saved, with its place in the graph.
const Tensor& on_graph(const Tensor& x, const void* id) {
  const Node& node = *being_recorded->node;
  const auto result_of = [&x](const std::shared_ptr<Node>& maker, Node::Output* output) -> const Tensor& {
    being_recorded->depends = true;
    being_recorded->unpacked.push_front(x.detach());
    GraphAccess::set_node(being_recorded->unpacked.front(), maker, output);
    return being_recorded->unpacked.front();
  };
  for (const Node::Input& input : node.inputs) {
    if (input.id != id) continue;
    if (input.node) return result_of(input.node, input.output);
    if (!input.leaf.defined()) return x;
    being_recorded->depends = true;
    return input.leaf;
  }
  if (node.output.storage == id) return result_of(being_recorded->node, &being_recorded->node->output);
  for (Node::Output& output : being_recorded->node->others) {
    if (output.storage == id) return result_of(being_recorded->node, &output);
  }
  check(
      !is_floating(x.dtype()),
      "backward: the gradient of '{}' needs a tensor of shape {} that is neither its input nor its output, expected no "
      "create_graph",
      node.name, x.shape());
  return x;
}

/// The gradients that a pass begins with: tensors, and those by them.
using Roots = std::vector<std::pair<Tensor, Tensor>>;
/// The gradients that a pass is asked for, by GraphAccess::id().
using Wanted = std::unordered_map<const void*, Tensor>;

/// Every op recorded as number `least` or later that the roots depend on and that leads to a leaf, the latest first:
/// each comes after all that use its output.
std::vector<std::shared_ptr<Node>> reachable(const Roots& roots, std::uint64_t least) {
  static std::atomic<std::uint64_t> passes{0};
  const std::uint64_t pass = ++passes;
  std::vector<std::shared_ptr<Node>> order;
  const auto find = [&](const std::shared_ptr<Node>& node) {
    if (std::exchange(node->found, pass) != pass) order.push_back(node);
  };
  for (const auto& [root, gradient] : roots) {
    if (!root.is_leaf()) find(root.grad_node());
  }
  for (std::size_t i = 0; i < order.size(); ++i) {
    for (const Node::Input& input : order[i]->inputs) {
      if (input.node && input.node->sequence >= least) find(input.node);
    }
  }
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a->sequence > b->sequence; });
  return order;
}

/// Those of the ops, latest first, that lead to something that is wanted.
std::unordered_set<const Node*> leading(const std::vector<std::shared_ptr<Node>>& order, const Wanted& wanted) {
  std::unordered_set<const Node*> lead;
  for (auto node = order.rbegin(); node != order.rend(); ++node) {
    const auto leads = [&](const Node::Input& input) {
      return wanted.contains(input.id) || (input.node && lead.contains(input.node.get()));
    };
    if (std::any_of((*node)->inputs.begin(), (*node)->inputs.end(), leads)) lead.insert(node->get());
  }
  return lead;
}

void add_to(Tensor& sum, Tensor gradient) { sum = sum.defined() ? sum + gradient : std::move(gradient); }

/// What hooks make of a gradient.
Tensor hooked(const Hooks& hooks, Tensor gradient) {
  const auto all = hooks.by_number;  // each may remove itself
  for (const auto& [number, hook] : all) {
    Tensor other = (*hook)(gradient);
    if (!other.defined()) continue;
    check(other.shape() == gradient.shape() && other.dtype() == gradient.dtype() && other.device() == gradient.device(),
          "register_hook: a hook returned {} {} on {}, expected {} {} on {}", other.dtype(), other.shape(),
          other.device(), gradient.dtype(), gradient.shape(), gradient.device());
    gradient = std::move(other);
  }
  return gradient;
}

/// Throws unless g, which the node gives for its input i, is as that input is.
void check_gradient(const Node& node, std::size_t i, const Tensor& g, const Shape& shape, DType dtype, Device device) {
  check(g.shape() == shape && g.dtype() == dtype && g.device() == device,
        "backward of '{}': gradient {} {} on {} for input {}, expected {} {} on {}", node.name, g.dtype(), g.shape(),
        g.device(), i, dtype, shape, device);
}

/// Throws unless what an op gives in a pass with create_graph is recorded: then each of its gradients depends on that
/// by its outputs. Where that itself does not require grad, the function is asked once more, with one that does.
void check_recorded(const BeingRecorded& op, const BackwardOfAll& function, std::span<const Tensor> gradients,
                    const Grads& grads) {
  const auto requires_grad = [](const Tensor& g) { return g.requires_grad(); };
  const auto all_recorded = [&](const Grads& some) {
    for (std::size_t i = 0; i < some.size(); ++i) {
      const Node::Input& input = op.node->inputs[i];
      if (some[i].defined() && (input.node || input.leaf.defined()) && !some[i].requires_grad()) return false;
    }
    return true;
  };
  bool ok = all_recorded(grads);
  if (!ok && !std::all_of(gradients.begin(), gradients.end(), requires_grad)) {
    if (!op.depends && std::none_of(gradients.begin(), gradients.end(), requires_grad)) return;
    std::vector<Tensor> others;
    for (const Tensor& g : gradients) others.push_back(g.requires_grad() ? g : g.detach().set_requires_grad());
    ok = all_recorded(function(others));
  }
  check(ok, "backward: the gradient of '{}' is not recorded, expected no create_graph", op.node->name);
}

/// Throws where a gradient has NaN.
void check_anomaly(const Node& node, const Grads& grads) {
  const NoGradGuard no_grad;
  for (std::size_t i = 0; i < grads.size(); ++i) {
    if (!grads[i].defined() || sum(ne(grads[i], grads[i])).item<std::int64_t>() == 0) continue;
    fail("backward of '{}': NaN in the gradient for input {} of shape {}{}{}", node.name, i, grads[i].shape(),
         node.place && !node.place->empty() ? ", which was called by " : "", node.place ? *node.place : "");
  }
}

/// What a backward pass adds to gradients, queued so that all can be added at once, by one kernel for those of one
/// dtype on one device. Only run() changes anything, and that asks for no memory: prepare() has.
class Additions {
 public:
  /// sum += gradient. Each sum's are added in the order they come in.
  void push(const Tensor& sum, Tensor gradient) {
    if (is_half(sum.dtype())) {
      NoGradGuard no_grad;
      const auto same = [&sum](const auto& total) { return total.first.is_same(sum); };
      const auto found = std::find_if(totals_.begin(), totals_.end(), same);
      if (found == totals_.end()) {
        totals_.emplace_back(sum, sum + gradient);
      } else {
        found->second = found->second + gradient;
      }
      return;
    }
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
    for (const auto& [sum, total] : totals_) {
      copy_into(total, sum);
      sum.storage()->bump_version();
    }
  }

 private:
  struct Addition {
    Tensor sum, gradient;  ///< both contiguous
  };

  std::vector<std::vector<Addition>> rounds_;  ///< in none of them is one memory written twice, or read and written
  std::unordered_set<const Storage*> in_round_, written_;
  std::vector<std::pair<Tensor, Tensor>>
      totals_;  ///< sums of 16 bits, for which there is no such kernel, and what they become
  std::vector<std::function<void()>> runs_;
};

/// What leaves get from a backward pass. None of them has any of it unless the pass comes to its end. The pass tells in
/// advance, of leaves with hooks, how much comes for each: these run when the last of it is there.
class LeafGradients {
 public:
  LeafGradients() : outer_(std::exchange(innermost, this)) {}
  ~LeafGradients() { innermost = outer_; }
  LeafGradients(const LeafGradients&) = delete;
  LeafGradients& operator=(const LeafGradients&) = delete;

  /// Of this thread's pass, or null.
  static inline thread_local LeafGradients* innermost = nullptr;

  void at_end(std::function<void()> f) { at_end_.push_back(std::move(f)); }

  /// A gradient for the leaf, or none, is to come once more.
  void expect(const Tensor& leaf) {
    if (GraphAccess::leaf_hooks(leaf)) ++expected_[GraphAccess::id(leaf)];
  }
  /// It has come.
  void arrived(const Tensor& leaf) {
    if (expected_.empty()) return;
    const auto at = expected_.find(GraphAccess::id(leaf));
    if (at == expected_.end() || --at->second > 0) return;
    const auto place = place_of_.find(GraphAccess::id(leaf));
    const std::shared_ptr<Hooks> hooks = GraphAccess::leaf_hooks(leaf);
    if (place == place_of_.end() || !hooks) return;
    Tensor gradient = hooked(*hooks, std::exchange(complete_[place->second].second, {}));
    if (hooks->taker) {
      hooks->taker(std::move(gradient));
    } else {
      complete_[place->second].second = std::move(gradient);
    }
  }

  void add(const Tensor& leaf, Tensor gradient) {
    if (!recording && !GraphAccess::leaf_hooks(leaf)) return queue(leaf, std::move(gradient));
    const auto [at, is_first] = place_of_.try_emplace(GraphAccess::id(leaf), complete_.size());
    if (is_first) complete_.emplace_back(leaf, Tensor());
    add_to(complete_[at->second].second, std::move(gradient));
  }

  /// Gives them what they get.
  void finish() {
    for (const auto& f : at_end_) f();
    for (auto& [leaf, gradient] : complete_) {
      if (!gradient.defined()) continue;  // taken
      if (!recording) {
        queue(leaf, std::move(gradient));
      } else {
        const Tensor before = leaf.grad();
        first_.emplace_back(leaf, before.defined() ? before + gradient : GraphAccess::own(std::move(gradient)));
      }
    }
    additions_.prepare();
    additions_.run();
    for (const auto& [sum, gradient] : copied_) {
      copy_into(sum, gradient);
      gradient.storage()->bump_version();
    }
    for (const auto& [leaf, gradient] : first_) leaf.set_grad(gradient);
  }

 private:
  /// To be added by kernels, without recording.
  void queue(const Tensor& leaf, Tensor gradient) {
    const auto [at, is_first] = sum_of_.try_emplace(GraphAccess::id(leaf), Tensor());
    Tensor& sum = at->second;
    if (!is_first) return additions_.push(sum, std::move(gradient));
    const Tensor before = leaf.grad();
    if (!before.defined()) {
      sum = GraphAccess::own(std::move(gradient));
      first_.emplace_back(leaf, sum);
    } else if (before.requires_grad()) {
      sum = before.clone();
      additions_.push(sum, std::move(gradient));
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

  LeafGradients* outer_;
  std::vector<std::function<void()>> at_end_;
  std::unordered_map<const void*, std::int64_t> expected_;  ///< by leaf
  std::unordered_map<const void*, std::size_t> place_of_;
  std::vector<std::pair<Tensor, Tensor>> complete_;  ///< leaves whose gradient is to be complete before it is added
  std::unordered_map<const void*, Tensor> sum_of_;   ///< by leaf
  Additions additions_;
  std::vector<std::pair<Tensor, Tensor>> first_;   ///< leaves that get another array, and that
  std::vector<std::pair<Tensor, Tensor>> copied_;  ///< sums, and gradients that are not contiguous
};

/// A backward pass from the roots: to all leaves or, where that is given, to what is wanted.
void run_pass(const Roots& roots, Wanted* wanted, std::uint64_t least, bool retain_graph, bool create_graph) {
  const SetGradEnabled mode(create_graph);
  clear_autocast_cache();  // the graph of what is in it goes with the pass
  const AutocastGuard no_autocast(DType::float32);
  const std::vector<std::shared_ptr<Node>> order = reachable(roots, least);
  const auto lead = wanted ? leading(order, *wanted) : std::unordered_set<const Node*>();
  const auto runs = [&](const std::shared_ptr<Node>& node) { return !wanted || lead.contains(node.get()); };
  for (const auto& node : order) {
    check(node->backward != nullptr || !runs(node),
          "backward: the graph of '{}' was freed by an earlier backward, expected retain_graph = true there",
          node->name);
  }
  // What an error in between would leave behind.
  struct Cleanup {
    const std::vector<std::shared_ptr<Node>>& nodes;
    BeingRecorded* before = std::exchange(being_recorded, nullptr);
    ~Cleanup() {
      being_recorded = before;
      for (const auto& node : nodes) {
        node->output.gradient = {};
        for (Node::Output& output : node->others) output.gradient = {};
      }
    }
  } cleanup{order};

  LeafGradients leaves;
  if (!wanted) {
    for (const auto& [root, gradient] : roots) {
      if (root.is_leaf()) leaves.expect(root);
    }
    for (const auto& node : order) {
      for (const Node::Input& input : node->inputs) {
        if (input.leaf.defined()) leaves.expect(input.leaf);
      }
    }
  }
  const auto reach_leaf = [&](const Tensor& leaf, Tensor gradient) {
    if (!wanted) {
      if (gradient.defined()) leaves.add(leaf, std::move(gradient));
      return leaves.arrived(leaf);
    }
    if (!gradient.defined()) return;
    if (const auto at = wanted->find(GraphAccess::id(leaf)); at != wanted->end()) {
      add_to(at->second, std::move(gradient));
    }
  };
  /// The gradient by an output, complete.
  const auto taken = [&](Node::Output& output) {
    Tensor gradient = std::exchange(output.gradient, {});
    if (!gradient.defined()) return gradient;
    if (output.hooks) {
      gradient = hooked(*output.hooks, std::move(gradient));
      const Tensor y = output.hooks->retained && !wanted ? output.hooks->retained() : Tensor();
      if (y.defined()) leaves.add(y, gradient);
    }
    if (wanted) {
      if (const auto at = wanted->find(&output); at != wanted->end()) at->second = gradient;
    }
    return gradient;
  };

  for (const auto& [root, gradient] : roots) {
    if (root.is_leaf()) {
      reach_leaf(root, gradient);
    } else {
      add_to(GraphAccess::output(root)->gradient, gradient);
    }
  }
  std::vector<Tensor> gradients;  // by the outputs of the op whose turn it is
  const auto is_defined = [](const Tensor& g) { return g.defined(); };
  for (const auto& node : order) {
    gradients.clear();
    gradients.push_back(taken(node->output));
    for (Node::Output& output : node->others) gradients.push_back(taken(output));
    if (!runs(node)) continue;
    BackwardOfAll function = retain_graph || create_graph ? node->backward : std::exchange(node->backward, nullptr);
    if (std::none_of(gradients.begin(), gradients.end(), is_defined)) {
      for (const Node::Input& input : node->inputs) {
        if (input.leaf.defined()) reach_leaf(input.leaf, {});
      }
      continue;
    }
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      const Node::Output& output = i == 0 ? node->output : node->others[i - 1];
      if (gradients[i].defined()) continue;
      gradients[i] = zeros(output.shape, {.dtype = output.dtype, .device = output.device});
    }
    BeingRecorded recorded{node};
    if (create_graph) being_recorded = &recorded;
    Grads grads = function(gradients);
    check(grads.size() == node->inputs.size(), "backward of '{}': {} gradients for {} inputs", node->name, grads.size(),
          node->inputs.size());
    if (create_graph) check_recorded(recorded, function, gradients, grads);
    being_recorded = nullptr;
    if (anomaly) check_anomaly(*node, grads);
    function = nullptr;  // and what it saved
    gradients.clear();   // which a leaf may then keep, where an op has handed it on
    for (std::size_t i = 0; i < grads.size(); ++i) {
      const Node::Input& input = node->inputs[i];
      if (!grads[i].defined()) {
        if (input.leaf.defined()) reach_leaf(input.leaf, {});
        continue;
      }
      if (input.leaf.defined()) {
        check_gradient(*node, i, grads[i], input.leaf.shape(), input.leaf.dtype(), input.leaf.device());
        reach_leaf(input.leaf, std::move(grads[i]));
      } else if (input.node && input.node->sequence >= least) {
        check_gradient(*node, i, grads[i], input.output->shape, input.output->dtype, input.output->device);
        add_to(input.output->gradient, std::move(grads[i]));
      }
    }
  }
  leaves.finish();
}

/// Throws where another tensor's change in place is recorded of the memory that x shows.
void check_not_stale(const char* who, const Tensor& x) {
  if (!x.defined() || !x.requires_grad() || !GraphAccess::is_stale(x)) return;
  fail("{}: a tensor of shape {} whose memory was changed in place through another one, expected that one", who,
       x.shape());
}

/// Throws unless a pass may begin at y with that gradient, undefined for 1. Returns it.
Tensor first_gradient(const char* who, const Tensor& y, const Tensor& gradient) {
  check(y.requires_grad(), "{}: a tensor of shape {} that was computed from nothing that requires grad", who,
        y.shape());
  check_not_stale(who, y);
  if (!gradient.defined()) {
    check(y.numel() == 1, "{}: tensor of shape {}, expected one element or a gradient of that shape", who, y.shape());
    return GraphAccess::unit_like(y);
  }
  check(gradient.shape() == y.shape() && gradient.dtype() == y.dtype() && gradient.device() == y.device(),
        "{}: gradient of shape {}, {} on {}, expected {}, {} on {}", who, gradient.shape(), gradient.dtype(),
        gradient.device(), y.shape(), y.dtype(), y.device());
  return gradient;
}

}  // namespace

bool is_grad_enabled() { return recording; }

SetGradEnabled::SetGradEnabled(bool mode) : before_(std::exchange(recording, mode)) {}
SetGradEnabled::~SetGradEnabled() { recording = before_; }

AnomalyGuard::AnomalyGuard() : before_(std::exchange(anomaly, true)) {}
AnomalyGuard::~AnomalyGuard() { anomaly = before_; }
bool AnomalyGuard::is_alive() { return anomaly; }
std::string AnomalyGuard::set_place(std::string place) { return std::exchange(current_place, std::move(place)); }

Saved::Saved(const Tensor& x) {
  if (!x.defined()) return;
  id_ = GraphAccess::id(x);
  version_ = x.storage()->version();
  if (Checkpoint* const checkpoint = Checkpoint::current()) {
    number_ = static_cast<std::uint32_t>(checkpoint->save(x));
    checkpoint_ = checkpoint->shared_from_this();
  } else {
    x_ = x.detach();
  }
}

const Tensor& Saved::value() const {
  const Tensor& x = checkpoint_ ? checkpoint_->saved(number_) : x_;
  if (!x.defined()) return x;
  check(x.storage()->version() == version_,
        "backward: a tensor of shape {} that the gradient needs was changed in place (version {}, saved at {})",
        x.shape(), x.storage()->version(), version_);
  return x;
}

const Tensor& Saved::operator*() const {
  const Tensor& x = value();
  return being_recorded && x.defined() ? on_graph(x, id_) : x;
}

Tensor Saved::reuse() const {
  if (checkpoint_) return empty_like(checkpoint_->saved(number_));
  return GraphAccess::is_alone(x_) && !cuda::is_capturing() ? x_ : empty_like(x_);
}

namespace {

Node::Output output_of(const Tensor& y) { return {y.shape(), y.dtype(), y.device(), {}, {}, y.storage().get()}; }

}  // namespace

Node::Node(const char* op, std::uint64_t number, std::span<const Tensor> from, std::span<const Tensor> outputs,
           BackwardOfAll function)
    : name(op), sequence(number), output(output_of(outputs[0])), backward(std::move(function)) {
  inputs.reserve(from.size());
  for (const Tensor& x : from) {
    if (!x.defined() || x.is_leaf()) {
      inputs.push_back({nullptr, nullptr, x.defined() && x.requires_grad() ? x : Tensor(), GraphAccess::id(x)});
    } else {
      inputs.push_back({x.grad_node(), GraphAccess::output(x), {}, GraphAccess::id(x)});
    }
  }
  for (const Tensor& y : outputs.subspan(1)) others.push_back(output_of(y));
  if (anomaly) place = std::make_unique<std::string>(current_place);
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

void record_all(const char* name, std::span<const Tensor> inputs, std::span<const Tensor> outputs,
                BackwardOfAll backward) {
  check(!outputs.empty(), "record '{}': no outputs, expected one or more", name);
  for (const Tensor& y : outputs) {
    check(is_floating(y.dtype()), "record '{}': output of {}, expected float32 or float64", name, y.dtype());
    for (const Tensor& x : inputs) {
      check_not_stale(name, x);
      check(!x.is_same(y), "record '{}': the output of shape {} is an input, expected a new tensor", name, y.shape());
    }
  }
  const auto node = std::make_shared<Node>(name, next_sequence++, inputs, outputs, std::move(backward));
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    GraphAccess::set_node(outputs[i], node, i == 0 ? &node->output : &node->others[i - 1]);
  }
}

Grads composed_gradients(const Tensor& g, const std::vector<Tensor>& inputs,
                         const std::function<Tensor(const std::vector<Tensor>&)>& composition) {
  // Through views, so that what is an input twice gets the gradient of each.
  std::vector<Tensor> views, needed;
  for (const Tensor& x : inputs) {
    const bool needs = x.defined() && x.requires_grad();
    views.push_back(needs ? x.view(x.shape()) : x);
    if (needs) needed.push_back(views.back());
  }
  const std::vector<Tensor> gradients =
      grad({composition(views)}, needed, {.grad_outputs = {g}, .create_graph = true, .allow_unused = true});
  Grads grads{std::vector<Tensor>()};
  std::size_t next = 0;
  for (const Tensor& x : inputs) {
    grads.push_back(x.defined() && x.requires_grad() ? gradients[next++] : Tensor());
  }
  return grads;
}

void Tensor::backward(bool retain_graph, bool create_graph) const {
  run_pass({{*this, first_gradient("backward", *this, {})}}, nullptr, 0, retain_graph, create_graph);
}

void Tensor::backward(const Tensor& gradient, bool retain_graph, bool create_graph) const {
  check(gradient.defined(), "backward: gradient is undefined, expected a tensor");
  run_pass({{*this, first_gradient("backward", *this, gradient)}}, nullptr, 0, retain_graph, create_graph);
}

std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
                         const GradOptions& options) {
  check(options.grad_outputs.size() <= outputs.size(), "grad: {} grad_outputs for {} outputs, expected no more",
        options.grad_outputs.size(), outputs.size());
  Roots roots;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Tensor given = i < options.grad_outputs.size() ? options.grad_outputs[i] : Tensor();
    roots.emplace_back(outputs[i], first_gradient("grad", outputs[i], given));
  }
  Wanted wanted;
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    check_defined("grad", "an input", inputs[i]);
    check(inputs[i].requires_grad(), "grad: input {} of shape {}, expected one that requires grad", i,
          inputs[i].shape());
    wanted.try_emplace(GraphAccess::id(inputs[i]));
    least = std::min(least, inputs[i].is_leaf() ? 0 : inputs[i].grad_node()->sequence);
  }
  run_pass(roots, &wanted, least, options.retain_graph, options.create_graph);

  const SetGradEnabled mode(options.create_graph);
  std::vector<Tensor> gradients;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Tensor g = wanted.at(GraphAccess::id(inputs[i]));
    check(g.defined() || options.allow_unused,
          "grad: no output was computed from input {} of shape {}, expected allow_unused", i, inputs[i].shape());
    // What shows elements several times could not be changed in place.
    gradients.push_back(!g.defined() || (g.is_contiguous() && !g.storage()->is_unit()) ? g : g.clone());
  }
  return gradients;
}

// Hooks

namespace {

std::shared_ptr<Hooks> hooks_of(const char* who, const Tensor& x) {
  check_defined(who, "the tensor", x);
  check(x.requires_grad(), "{}: a tensor of shape {}, expected one that requires grad", who, x.shape());
  std::shared_ptr<Hooks>& hooks = x.is_leaf() ? GraphAccess::leaf_hooks(x) : GraphAccess::output(x)->hooks;
  if (!hooks) hooks = std::make_shared<Hooks>();
  return hooks;
}

}  // namespace

RemovableHandle Tensor::add_hook(std::function<Tensor(const Tensor&)> hook) const {
  const std::shared_ptr<Hooks> hooks = hooks_of("register_hook", *this);
  const std::uint64_t number = hooks->next++;
  hooks->by_number.emplace(number, std::make_shared<Hooks::Hook>(std::move(hook)));
  return RemovableHandle([of = std::weak_ptr(hooks), number] {
    if (const std::shared_ptr<Hooks> there = of.lock()) there->by_number.erase(number);
  });
}

void GraphAccess::set_taker(const Tensor& leaf, std::function<void(Tensor)> taker) {
  if (!taker && !leaf_hooks(leaf)) return;
  const std::shared_ptr<Hooks> hooks = hooks_of("set_taker", leaf);
  check(!taker || !hooks->taker, "set_taker: a leaf of shape {} has one, expected none", leaf.shape());
  hooks->taker = std::move(taker);
}

void GraphAccess::at_end_of_pass(std::function<void()> f) {
  check(LeafGradients::innermost != nullptr, "at_end_of_pass: expected a backward pass of this thread");
  LeafGradients::innermost->at_end(std::move(f));
}

void Tensor::retain_grad() const {
  const std::shared_ptr<Hooks> hooks = hooks_of("retain_grad", *this);
  if (!is_leaf()) hooks->retained = GraphAccess::weak(*this);
}

}  // namespace tern
