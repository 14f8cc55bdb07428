#include <tern/core/autograd.hpp>
#include <tern/core/cuda.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/step_guard.hpp>
#include <tern/optim/optimizer.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numbers>
#include <optional>

namespace tern {
namespace {

/// Every group's parameters in one list. Throws unless each group's are floating leaves alike in dtype and device, and
/// none is there twice.
template <class Group>
std::vector<Tensor> all_params(const char* name, const std::vector<Group>& groups) {
  std::vector<Tensor> all;
  for (const Group& group : groups) {
    check(!group.params.empty(), "{}: a group without parameters", name);
    for (const Tensor& p : group.params) {
      check_alike(name, group.params[0], p);
      check(is_floating(p.dtype()) && p.is_leaf() && p.is_contiguous(),
            "{}: a parameter of shape {}, expected a contiguous float32 or float64 leaf", name, p.shape());
      check(std::none_of(all.begin(), all.end(), [&](const Tensor& other) { return other.is_same(p); }),
            "{}: a parameter of shape {} twice, expected each once", name, p.shape());
      all.push_back(p);
    }
  }
  return all;
}

template <class Group>
std::vector<double> group_lr(const std::vector<Group>& groups) {
  std::vector<double> lr;
  for (const Group& group : groups) lr.push_back(group.options.lr);
  return lr;
}

template <class Group>
void set_group_lr(const char* name, std::vector<Group>& groups, const std::vector<double>& lr) {
  check(lr.size() == groups.size(), "{}: {} learning rates for {} groups", name, lr.size(), groups.size());
  for (std::size_t i = 0; i < lr.size(); ++i) groups[i].options.lr = lr[i];
}

/// Before a step: throws where a group's parameters have parted, and lets the state follow a parameter that has moved.
template <class Group>
void gather(const char* name, const std::vector<Group>& groups, const std::vector<Tensor>& params,
            std::initializer_list<std::vector<Tensor>*> states) {
  for (const Group& group : groups) {
    for (const Tensor& p : group.params) check_alike(name, group.params[0], p);
  }
  for (std::vector<Tensor>* state : states) {
    for (std::size_t i = 0; i < params.size(); ++i) {
      Tensor& x = (*state)[i];
      if (x.defined()) x = x.to(params[i].dtype()).to(params[i].device());
    }
  }
}

/// Does what an update has prepared. On the host nothing here asks for memory: there it is done whole or not begun.
void run_all(const std::vector<std::function<void()>>& launches, const std::vector<Tensor>& changed) {
  for (const Tensor& x : changed) {
    if (!x.device().on_host()) StepGuard::note(x);
  }
  for (const auto& launch : launches) launch();
  for (const Tensor& x : changed) x.storage()->bump_version();
}

/// The learning rates as part of a state.
Tensor lr_tensor(const Optimizer& optimizer) { return tensor(optimizer.lr()); }

/// state[name], checked against the tensor it stands for.
const Tensor& expect(const char* optimizer, const StateDict& state, const std::string& name, const Shape& shape) {
  const auto found = state.find(name);
  check(found != state.end(), "{}: the state has no '{}'", optimizer, name);
  check(found->second.shape() == shape, "{}: state '{}' has shape {}, expected {}", optimizer, name,
        found->second.shape(), shape);
  return found->second;
}

std::string numbered(const char* name, std::size_t i) { return fmt::format("{}.{}", name, i); }

/// Throws for a parameter's state, "name.number", that is beyond the parameters.
void check_numbers(const char* optimizer, const StateDict& state, const char* name, std::size_t params) {
  std::size_t known = 0, given = 0;
  for (std::size_t i = 0; i < params; ++i) known += state.count(numbered(name, i));
  for (const auto& [key, x] : state) given += key.starts_with(fmt::format("{}.", name));
  check(known == given, "{}: the state has {} tensors '{}' for other than its {} parameters", optimizer, given - known,
        name, params);
}

}  // namespace

void Optimizer::zero_grad() {
  for (const Tensor& p : params_) p.set_grad({});
}

SGD::SGD(std::vector<Group> groups) : groups_(std::move(groups)) {
  params_ = all_params("SGD", groups_);
  for (const Group& group : groups_) {
    const Options& o = group.options;
    check(o.lr >= 0 && o.momentum >= 0 && o.weight_decay >= 0,
          "SGD: lr {}, momentum {}, weight_decay {}, expected none below 0", o.lr, o.momentum, o.weight_decay);
    check(!o.nesterov || (o.momentum > 0 && o.dampening == 0),
          "SGD: nesterov with momentum {} and dampening {}, "
          "expected a momentum and no dampening",
          o.momentum, o.dampening);
  }
  momentum_.resize(params_.size());
}

void SGD::update(const StepTable* table) {
  gather("SGD", groups_, params_, {&momentum_});
  std::vector<Tensor> momentum = momentum_, changed;
  std::vector<std::function<void()>> launches;
  std::size_t i = 0;
  std::int64_t column = 0;
  for (const Group& group : groups_) {
    const Options& o = group.options;
    for_floating("SGD", group.params[0], [&]<class T>(kernels::FloatKernels<T>& k) {
      std::vector<kernels::SgdParam<T>> updates;
      std::vector<Tensor> grads;  // keeps dense copies alive until the kernel has run
      for (const Tensor& p : group.params) {
        Tensor& m = momentum[i++];
        if (!p.grad().defined()) continue;
        grads.push_back(p.grad().contiguous());
        const bool is_new = o.momentum != 0 && !m.defined();
        if (is_new) m = empty_like(p);
        updates.push_back(
            {p.numel(), p.data<T>(), grads.back().template data<T>(), o.momentum != 0 ? m.data<T>() : nullptr, is_new});
        changed.push_back(p);
        if (!is_new && o.momentum != 0) changed.push_back(m);
      }
      const kernels::SgdStep s{o.lr, o.momentum, o.dampening, o.weight_decay, o.nesterov};
      const auto numbers = table ? std::optional(table->from<T>(column++)) : std::nullopt;
      launches.emplace_back([&k, s, numbers, updates = std::move(updates), grads = std::move(grads)] {
        k.sgd_step(s, updates, numbers ? &*numbers : nullptr);
      });
    });
  }
  StepGuard::note_undo([this, before = momentum_]() mutable { momentum_.swap(before); });
  run_all(launches, changed);
  momentum_ = std::move(momentum);
}

std::vector<double> SGD::step_numbers(std::int64_t) const { return lr(); }

std::vector<double> SGD::lr() const { return group_lr(groups_); }
void SGD::set_lr(const std::vector<double>& lr) { set_group_lr("SGD", groups_, lr); }

StateDict SGD::state_dict() const {
  StateDict state{{"sgd.lr", lr_tensor(*this)}};
  for (std::size_t i = 0; i < params_.size(); ++i) {
    if (momentum_[i].defined()) state[numbered("sgd.momentum", i)] = momentum_[i];
  }
  return state;
}

void SGD::load_state_dict(const StateDict& state) {
  const Tensor& rates = expect("SGD", state, "sgd.lr", {static_cast<std::int64_t>(groups_.size())});
  check_numbers("SGD", state, "sgd.momentum", params_.size());
  std::vector<Tensor> momentum(params_.size());
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const std::string name = numbered("sgd.momentum", i);
    if (!state.contains(name)) continue;
    momentum[i] = expect("SGD", state, name, params_[i].shape()).to(params_[i].dtype()).to(params_[i].device()).clone();
  }
  set_lr(rates.to_vector<double>());
  momentum_ = std::move(momentum);
}

AdamW::AdamW(std::vector<Group> groups) : groups_(std::move(groups)) {
  params_ = all_params("AdamW", groups_);
  for (const Group& group : groups_) {
    const Options& o = group.options;
    check(o.lr >= 0 && o.eps >= 0 && o.weight_decay >= 0 && o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1,
          "AdamW: lr {}, betas {} and {}, eps {}, weight_decay {}, expected none below 0 and betas below 1", o.lr,
          o.beta1, o.beta2, o.eps, o.weight_decay);
  }
  exp_avg_.resize(params_.size());
  exp_avg_sq_.resize(params_.size());
  steps_.resize(params_.size());
}

void AdamW::update(const StepTable* table) {
  check(table || !cuda::is_capturing(),
        "AdamW: a step inside a graph, whose replays would not count on, expected it after, or a GraphedStep");
  gather("AdamW", groups_, params_, {&exp_avg_, &exp_avg_sq_});
  std::vector<Tensor> first = exp_avg_, second = exp_avg_sq_, changed;
  std::vector<std::function<void()>> launches;
  std::size_t i = 0;
  std::int64_t column = 0;
  for (const Group& group : groups_) {
    const Options& o = group.options;
    for_floating("AdamW", group.params[0], [&]<class T>(kernels::FloatKernels<T>& k) {
      std::map<std::int64_t, std::vector<kernels::AdamWParam<T>>> updates;  // by step: almost always one
      std::vector<Tensor> grads;
      for (const Tensor& p : group.params) {
        const std::size_t at = i++;
        if (!p.grad().defined()) continue;
        grads.push_back(p.grad().contiguous());
        const bool is_new = !first[at].defined();
        if (is_new) {
          first[at] = zeros_like(p);
          second[at] = zeros_like(p);
        }
        updates[steps_[at] + 1].push_back({p.numel(), p.data<T>(), grads.back().template data<T>(),
                                         first[at].template data<T>(), second[at].template data<T>()});
        changed.push_back(p);
        if (!is_new) changed.insert(changed.end(), {first[at], second[at]});
      }
      check(!table || updates.size() <= 1,
            "AdamW: parameters that have taken different numbers of steps, expected one for a GraphedStep");
      const auto numbers = table ? std::optional(table->from<T>(column)) : std::nullopt;
      launches.emplace_back([&k, o, numbers, updates = std::move(updates), grads = std::move(grads)] {
        for (const auto& [step, params] : updates) {
          const kernels::AdamWStep s{o.lr, o.beta1, o.beta2, o.eps, o.weight_decay, step};
          k.adamw_step(s, params, numbers ? &*numbers : nullptr);
        }
      });
    });
    column += 3;
  }
  StepGuard::note_undo([this, m = exp_avg_, v = exp_avg_sq_]() mutable {
    exp_avg_.swap(m);
    exp_avg_sq_.swap(v);
  });
  run_all(launches, changed);
  exp_avg_ = std::move(first);
  exp_avg_sq_ = std::move(second);
}

void AdamW::count_step() {
  for (std::size_t i = 0; i < params_.size(); ++i) steps_[i] += params_[i].grad().defined();
}

std::vector<double> AdamW::step_numbers(std::int64_t ahead) const {
  std::vector<double> numbers;
  std::size_t first = 0;
  for (const Group& group : groups_) {
    const Options& o = group.options;
    const auto last = steps_.begin() + static_cast<std::ptrdiff_t>(first + group.params.size());
    const auto step = static_cast<double>(*std::max_element(steps_.begin() + static_cast<std::ptrdiff_t>(first), last) +
                                          1 + ahead);
    numbers.insert(numbers.end(), {o.lr, 1 - std::pow(o.beta1, step), 1 - std::pow(o.beta2, step)});
    first += group.params.size();
  }
  return numbers;
}

std::vector<double> AdamW::lr() const { return group_lr(groups_); }
void AdamW::set_lr(const std::vector<double>& lr) { set_group_lr("AdamW", groups_, lr); }

StateDict AdamW::state_dict() const {
  StateDict state{{"adamw.lr", lr_tensor(*this)}, {"adamw.steps", tensor(steps_)}};
  for (std::size_t i = 0; i < params_.size(); ++i) {
    if (!exp_avg_[i].defined()) continue;
    state[numbered("adamw.exp_avg", i)] = exp_avg_[i];
    state[numbered("adamw.exp_avg_sq", i)] = exp_avg_sq_[i];
  }
  return state;
}

void AdamW::load_state_dict(const StateDict& state) {
  const Tensor& rates = expect("AdamW", state, "adamw.lr", {static_cast<std::int64_t>(groups_.size())});
  const Tensor& steps = expect("AdamW", state, "adamw.steps", {static_cast<std::int64_t>(params_.size())});
  check_numbers("AdamW", state, "adamw.exp_avg", params_.size());
  check_numbers("AdamW", state, "adamw.exp_avg_sq", params_.size());
  std::vector<Tensor> first(params_.size()), second(params_.size());
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const std::string name = numbered("adamw.exp_avg", i);
    if (!state.contains(name)) continue;
    const auto own = [&](const Tensor& x) { return x.to(params_[i].dtype()).to(params_[i].device()).clone(); };
    first[i] = own(expect("AdamW", state, name, params_[i].shape()));
    second[i] = own(expect("AdamW", state, numbered("adamw.exp_avg_sq", i), params_[i].shape()));
  }
  std::vector<std::int64_t> counts = steps.to_vector<std::int64_t>();
  set_lr(rates.to_vector<double>());
  steps_ = std::move(counts);
  exp_avg_ = std::move(first);
  exp_avg_sq_ = std::move(second);
}

void LRScheduler::set_epoch(std::int64_t epoch) {
  std::vector<double> lr;
  for (double base : base_) lr.push_back(lr_at(epoch, base));
  optimizer_.set_lr(lr);
  epoch_ = epoch;
}

StepLR::StepLR(Optimizer& optimizer, std::int64_t step_size, double gamma)
    : LRScheduler(optimizer), step_size_(step_size), gamma_(gamma) {
  check(step_size > 0, "StepLR: step_size {}, expected 1 or more", step_size);
}

double StepLR::lr_at(std::int64_t epoch, double base) const {
  return base * std::pow(gamma_, static_cast<double>(epoch / step_size_));
}

CosineAnnealingLR::CosineAnnealingLR(Optimizer& optimizer, std::int64_t T_max, double eta_min)
    : LRScheduler(optimizer), T_max_(T_max), eta_min_(eta_min) {
  check(T_max > 0, "CosineAnnealingLR: T_max {}, expected 1 or more", T_max);
}

double CosineAnnealingLR::lr_at(std::int64_t epoch, double base) const {
  const double turn = std::numbers::pi * static_cast<double>(epoch) / static_cast<double>(T_max_);
  return eta_min_ + (base - eta_min_) * (1 + std::cos(turn)) / 2;
}

WarmupCosineLR::WarmupCosineLR(Optimizer& optimizer, std::int64_t warmup, std::int64_t T_max)
    : LRScheduler(optimizer), warmup_(warmup), T_max_(T_max) {
  check(0 <= warmup && warmup < T_max, "WarmupCosineLR: warmup {} and T_max {}, expected 0 <= warmup < T_max", warmup,
        T_max);
  set_epoch(0);
}

double WarmupCosineLR::lr_at(std::int64_t step, double base) const {
  if (step < warmup_) return base * static_cast<double>(step + 1) / static_cast<double>(warmup_);
  const double share = static_cast<double>(step - warmup_) / static_cast<double>(T_max_ - warmup_);
  return base * (1 + std::cos(std::numbers::pi * share)) / 2;
}

}  // namespace tern
