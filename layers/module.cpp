#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/graph_access.hpp>
#include <tern/layers/module.hpp>

#include <algorithm>

namespace tern {
namespace {

/// Calls f(prefix, members) for the module and everything below it, depth first.
template <class F>
void walk(Module& module, const std::string& prefix, F f) {
  const Members members = module.members();
  f(prefix, members);
  for (const auto& [name, child] : members.modules) walk(*child, prefix + name + ".", f);
}

}  // namespace

Tensor Module::operator()(const Tensor& x) {
  Tensor y = forward(x);
  for (const ForwardHook& hook : forward_hooks_) hook(*this, y);
  return y;
}

std::vector<std::pair<std::string, Tensor>> Module::named_parameters() {
  std::vector<std::pair<std::string, Tensor>> all;
  walk(*this, "", [&](const std::string& prefix, const Members& members) {
    for (const auto& [name, x] : members.parameters) {
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
    for (const auto& [name, x] : members.buffers) all.emplace_back(prefix + name, x);
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

StateDict Module::state_dict() {
  StateDict state;
  walk(*this, "", [&](const std::string& prefix, const Members& members) {
    for (const auto& [name, x] : members.parameters) state.emplace(prefix + name, x);
    for (const auto& [name, x] : members.buffers) state.emplace(prefix + name, x);
  });
  return state;
}

Module::LoadReport Module::load_state_dict(const StateDict& state, bool strict) {
  const StateDict own = state_dict();
  LoadReport report;
  for (const auto& [name, x] : own) {
    const auto given = state.find(name);
    if (given == state.end()) {
      report.missing.push_back(name);
      continue;
    }
    check(given->second.shape() == x.shape(), "load_state_dict: '{}' has shape {}, the model's has {}", name,
          given->second.shape(), x.shape());
  }
  for (const auto& [name, x] : state) {
    if (!own.contains(name)) report.unexpected.push_back(name);
  }
  check(!strict || (report.missing.empty() && report.unexpected.empty()),
        "load_state_dict: missing [{}], unexpected [{}], expected exactly the model's tensors",
        fmt::join(report.missing, ", "), fmt::join(report.unexpected, ", "));
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

}  // namespace tern
