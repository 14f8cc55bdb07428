#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/graph_access.hpp>
#include <tern/layers/module.hpp>

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <ostream>
#include <set>
#include <typeinfo>
#include <utility>

namespace tern {
namespace {

/// Throws unless the names are as Members says, and nothing is undefined or null.
void check_members(const Module& module, const Members& members) {
  std::set<std::string> names;
  const auto check_name = [&](const std::string& name, const char* what, bool there) {
    check(!name.empty() && name.find('.') == std::string::npos && names.insert(name).second,
          "members of {}: '{}', expected names that are all different, not empty and without dots", module.str(), name);
    check(there, "members of {}: {} '{}' is {}", module.str(), what, name, what[0] == 'l' ? "null" : "undefined");
  };
  for (const auto& [name, x, place] : members.parameters) check_name(name, "parameter", x.defined());
  for (const auto& [name, x, place] : members.buffers) check_name(name, "buffer", x.defined());
  for (const auto& [name, child] : members.modules) check_name(name, "layer", child != nullptr);
}

/// Calls f(prefix, members) for the module and everything below it, depth first.
template <class F>
void walk(Module& module, const std::string& prefix, F f) {
  const Members members = module.members();
  check_members(module, members);
  f(prefix, members);
  for (const auto& [name, child] : members.modules) walk(*child, prefix + name + ".", f);
}

/// The module whose call all others of this thread are part of; null outside.
thread_local Module* outermost = nullptr;

/// Sets it while it lives.
class Outermost {
 public:
  explicit Outermost(Module* module) : before_(std::exchange(outermost, module)) {}
  ~Outermost() { outermost = before_; }
  Outermost(const Outermost&) = delete;
  Outermost& operator=(const Outermost&) = delete;

 private:
  Module* before_;
};

template <class Hooks>
bool any_present(const Hooks& hooks) {
  return std::any_of(hooks.begin(), hooks.end(), [](const auto& one) { return !one->removed; });
}

/// f of each hook that is not removed. While they run they may remove themselves, and add others, which wait.
template <class Hooks, class F>
void for_present(Hooks hooks, const F& f) {
  for (const auto& one : hooks) {
    if (!one->removed) f(one->hook);
  }
}

/// x as the output of an op that does nothing: hooks of it are of nothing else that is made of x.
Tensor same(const Tensor& x) { return x.view(x.shape()); }

[[noreturn]] void fail_left_out(const Module& module, const char* what) {
  fail(
      "the forward of {} calls {}, {} its members() do not lead to: name it there, or it is left out of parameters(), "
      "state_dict(), train() and to()",
      outermost->str(), module.str(), what);
}

}  // namespace

Module::Call::Call(Module& module) : before_(outermost) {
  if (outermost && !module.tensors_.yes.load(std::memory_order_relaxed)) {
    const Members own = module.members();
    check_members(module, own);
    const StateDict all = outermost->state_dict();
    for (const auto* tensors : {&own.parameters, &own.buffers}) {
      for (const auto& [name, x, place] : *tensors) {
        const bool found = std::any_of(all.begin(), all.end(),
                                       [&wanted = x](const auto& other) { return other.second.is_same(wanted); });
        if (!found) fail_left_out(module, "whose tensors");
      }
    }
    module.tensors_.yes.store(true, std::memory_order_relaxed);
  }
  if (!outermost) outermost = &module;
  if (AnomalyGuard::is_alive()) {
    std::string place = module.str();
    for (const auto& [name, other] : outermost->named_modules()) {
      if (other == &module && !name.empty()) place = name + ": " + place;
    }
    place_before_ = AnomalyGuard::set_place(std::move(place));
  }
}

Module::Call::~Call() {
  outermost = before_;
  if (place_before_) AnomalyGuard::set_place(std::move(*place_before_));
}

bool Module::is_training() const {
  if (outermost && outermost->training_ != training_ && !itself_.yes.load(std::memory_order_relaxed)) {
    const auto all = outermost->named_modules();
    const bool found = std::any_of(all.begin(), all.end(), [&](const auto& other) { return other.second == this; });
    if (!found) fail_left_out(*this, training_ ? "in training, which" : "in evaluation, which");
    itself_.yes.store(true, std::memory_order_relaxed);
  }
  return training_;
}

Tensor Module::forward(const Tensor&) {
  fail("{}: it has no forward() of one tensor, expected a call with the arguments of its operator()", str());
}

Tensor Module::operator()(const Tensor& x) {
  const Tensor input = run_pre_hooks(x);
  if (is_grad_enabled() && any_present(backward_hooks_)) return run_with_backward_hooks(input);
  return run([&] { return forward(input); });
}

Tensor Module::operator()(const Tensor& x) const {
  check(!training_, "{}: a const module in training mode, expected one that was switched by eval()", str());
  return const_cast<Module&>(*this)(x);  // which in evaluation changes nothing
}

bool Module::has_hooks() const {
  return any_present(forward_hooks_) || any_present(pre_hooks_) || any_present(backward_hooks_);
}

void Module::check_no_input_hooks() const {
  check(!any_present(pre_hooks_) && !any_present(backward_hooks_),
        "{}: it has forward pre-hooks or full backward hooks, expected calls with one tensor and no other argument",
        str());
}

void Module::run_forward_hooks(const Tensor& y) {
  const Outermost outside(nullptr);  // a hook may call what it likes
  for_present(forward_hooks_, [&](const ForwardHook& hook) { hook(*this, y); });
}

Tensor Module::run_pre_hooks(const Tensor& x) {
  const Outermost outside(nullptr);
  Tensor input = x;
  for_present(pre_hooks_, [&](const PreHook& hook) {
    Tensor other = hook(*this, input);
    if (other.defined()) input = std::move(other);
  });
  return input;
}

Tensor Module::run_with_backward_hooks(const Tensor& x) {
  const auto run_hooks = [this, hooks = backward_hooks_](Tensor grad_input, const Tensor& grad_output) {
    check(grad_output.defined(),
          "{}: a full backward hook, and no gradient by the output of the call, expected a loss that is made of it",
          str());
    for_present(hooks, [&](const BackwardHook& hook) {
      Tensor other = hook(*this, grad_input, grad_output);
      if (!other.defined()) return;
      check(grad_input.defined(),
            "{}: a full backward hook returned a gradient by an input that does not require grad, expected none",
            str());
      check(other.shape() == grad_input.shape() && other.dtype() == grad_input.dtype(),
            "{}: a full backward hook returned {} of {}, expected {} of {}", str(), other.shape(), other.dtype(),
            grad_input.shape(), grad_input.dtype());
      grad_input = std::move(other);
    });
    return grad_input;
  };
  const auto of_output = std::make_shared<Tensor>();  // until the gradient by the input is there
  const bool to_input = x.requires_grad();
  const Tensor input = to_input ? same(x) : x;
  if (to_input) {
    input.register_hook([=](const Tensor& g) { return run_hooks(g, std::exchange(*of_output, {})); });
  }
  const Tensor made = run([&] { return forward(input); });
  if (!made.requires_grad()) return made;
  const Tensor y = same(made);
  y.register_hook([=](const Tensor& g) {
    if (to_input) {
      *of_output = g;
    } else {
      run_hooks({}, g);
    }
  });
  return y;
}

std::string Module::str() const {
  int status = 0;
  char* const text = abi::__cxa_demangle(typeid(*this).name(), nullptr, nullptr, &status);
  std::string name = text ? text : "Module";
  std::free(text);
  name = name.substr(0, name.find('<'));
  const std::size_t scope = name.rfind("::");
  return scope == std::string::npos ? name : name.substr(scope + 2);
}

std::string Module::repr() const {
  const std::string own = str();
  const auto children = const_cast<Module&>(*this).named_children();  // which names them, and no more
  if (children.empty()) return own.find('(') == std::string::npos ? own + "()" : own;
  std::string text = own.substr(0, own.find('(')) + "(\n";
  for (const auto& [name, child] : children) {
    text += "  (" + name + "): ";
    for (const char c : child->repr()) {
      text += c;
      if (c == '\n') text += "  ";
    }
    text += '\n';
  }
  return text + ")";
}

std::ostream& operator<<(std::ostream& out, const Module& module) { return out << module.repr(); }

std::vector<std::pair<std::string, Tensor>> Module::named_parameters() {
  std::vector<std::pair<std::string, Tensor>> all;
  walk(*this, "", [&](const std::string& prefix, const Members& members) {
    for (const auto& [name, x, place] : members.parameters) {
      const bool known =
          std::any_of(all.begin(), all.end(), [&own = x](const auto& other) { return other.second.is_same(own); });
      if (!known) all.emplace_back(prefix + name, x);
    }
  });
  return all;
}

std::vector<std::pair<std::string, Tensor>> Module::named_buffers() {
  std::vector<std::pair<std::string, Tensor>> all;
  walk(*this, "", [&](const std::string& prefix, const Members& members) {
    for (const auto& [name, x, place] : members.buffers) all.emplace_back(prefix + name, x);
  });
  return all;
}

std::vector<std::pair<std::string, Module*>> Module::named_modules() {
  std::vector<std::pair<std::string, Module*>> all;
  walk(*this, "", [&](const std::string& prefix, const Members& members) {
    for (const auto& [name, child] : members.modules) all.emplace_back(prefix + name, child);
  });
  return all;
}

std::vector<Tensor> Module::parameters() {
  std::vector<Tensor> all;
  for (const auto& [name, x] : named_parameters()) all.push_back(x);
  return all;
}

std::int64_t Module::num_parameters() {
  std::int64_t n = 0;
  for (const Tensor& x : parameters()) n += x.numel();
  return n;
}

std::vector<std::pair<std::string, Module*>> Module::named_children() {
  const Members own = members();
  check_members(*this, own);
  return own.modules;
}

std::vector<Module*> Module::children() {
  std::vector<Module*> all;
  for (const auto& [name, child] : named_children()) all.push_back(child);
  return all;
}

void Module::apply(const std::function<void(Module&)>& f) {
  for (Module* child : children()) child->apply(f);
  f(*this);
}

StateDict Module::state_dict() {
  StateDict state;
  walk(*this, "", [&](const std::string& prefix, const Members& members) {
    for (const auto& [name, x, place] : members.parameters) state.emplace(prefix + name, x);
    for (const auto& [name, x, place] : members.buffers) state.emplace(prefix + name, x);
  });
  return state;
}

Module::LoadReport Module::load_state_dict(const StateDict& state, bool strict) {
  const StateDict own = state_dict();
  LoadReport report;
  std::vector<std::string> wrong;
  for (const auto& [name, x] : own) {
    const auto given = state.find(name);
    if (given == state.end()) {
      report.missing.push_back(name);
    } else if (!given->second.defined()) {
      wrong.push_back(fmt::format("'{}' is undefined, the model's has shape {}", name, x.shape()));
    } else if (given->second.shape() != x.shape()) {
      wrong.push_back(fmt::format("'{}' has shape {}, the model's has {}", name, given->second.shape(), x.shape()));
    }
  }
  for (const auto& [name, x] : state) {
    if (!own.contains(name)) report.unexpected.push_back(name);
  }
  if (strict && !(report.missing.empty() && report.unexpected.empty())) {
    wrong.insert(wrong.begin(), fmt::format("missing [{}], unexpected [{}], expected exactly the model's tensors",
                                            fmt::join(report.missing, ", "), fmt::join(report.unexpected, ", ")));
  }
  check(wrong.empty(), "load_state_dict: {}", fmt::join(wrong, "; "));
  NoGradGuard no_grad;
  std::vector<std::pair<Tensor, Tensor>> loaded;  // all that may fail comes first
  for (const auto& [name, x] : own) {
    const auto given = state.find(name);
    if (given != state.end()) loaded.emplace_back(x, given->second.to(x.dtype()).to(x.device()));
  }
  for (const auto& [x, values] : loaded) x.copy_(values);
  return report;
}

void Module::train(bool mode) {
  const auto all = named_modules();
  training_ = mode;
  for (const auto& [name, module] : all) module->training_ = mode;
}

void Module::to(Device device) {
  NoGradGuard no_grad;
  std::vector<std::pair<Tensor, Tensor>> moved;
  for (const auto& [name, x] : state_dict()) moved.emplace_back(x, x.to(device));
  GraphAccess::set_data(moved);
}

void Module::to(DType dtype) {
  check(is_floating(dtype), "to: got {}, expected float32 or float64", dtype);
  NoGradGuard no_grad;
  std::vector<std::pair<Tensor, Tensor>> converted;
  for (const auto& [name, x] : state_dict()) {
    if (is_floating(x.dtype())) converted.emplace_back(x, x.to(dtype));
  }
  GraphAccess::set_data(converted);
}

void Module::zero_grad() {
  for (const Tensor& x : parameters()) x.set_grad({});
}

void Module::requires_grad_(bool requires_grad) {
  for (const Tensor& x : parameters()) x.set_requires_grad(requires_grad);
}

void Module::unshare() {
  std::vector<std::pair<Tensor, Tensor>> copies;
  std::vector<std::pair<Tensor*, Tensor>> changed;
  walk(*this, "", [&](const std::string& prefix, const Members& members) {
    for (const auto* tensors : {&members.parameters, &members.buffers}) {
      for (const auto& [name, x, place] : *tensors) {
        check(place, "clone: members() gives '{}{}' as a temporary, expected the module's own", prefix, name);
        auto copy = std::find_if(copies.begin(), copies.end(),
                                 [&own = x](const auto& pair) { return pair.first.is_same(own); });
        if (copy == copies.end()) {
          copies.emplace_back(x, x.detach().clone());
          copy = copies.end() - 1;
          if (x.requires_grad()) copy->second.set_requires_grad();
        }
        changed.emplace_back(place, copy->second);
      }
    }
  });
  for (const auto& [place, x] : changed) *place = x;
}

}  // namespace tern
