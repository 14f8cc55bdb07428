#include <tern/core/autograd.hpp>
#include <tern/core/cuda.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/step_guard.hpp>
#include <tern/optim/optimizer.hpp>
#include <tern/optim/state_reader.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
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
      check(p.defined(), "{}: parameter {} is undefined, expected a tensor", name, all.size());
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

/// A finite number that is not below 0.
bool is_amount(double x) { return std::isfinite(x) && x >= 0; }

void check_options(const SGDOptions& o) {
  check(is_amount(o.lr) && is_amount(o.momentum) && std::isfinite(o.dampening) && is_amount(o.weight_decay),
        "SGD: lr {}, momentum {}, dampening {}, weight_decay {}, expected finite numbers, none but dampening below 0",
        o.lr, o.momentum, o.dampening, o.weight_decay);
  check(!o.nesterov || (o.momentum > 0 && o.dampening == 0),
        "SGD: nesterov with momentum {} and dampening {}, expected a momentum and no dampening", o.momentum,
        o.dampening);
}

void check_options(const AdamWOptions& o) {
  check(is_amount(o.lr) && is_amount(o.eps) && is_amount(o.weight_decay) && o.beta1 >= 0 && o.beta1 < 1 &&
            o.beta2 >= 0 && o.beta2 < 1,
        "AdamW: lr {}, betas {} and {}, eps {}, weight_decay {}, expected finite numbers, none below 0 and betas below "
        "1",
        o.lr, o.beta1, o.beta2, o.eps, o.weight_decay);
}

template <class Group>
void check_options(const std::vector<Group>& groups) {
  for (const Group& group : groups) check_options(group.options);
}

template <class Group>
void set_group_lr(const char* name, std::vector<Group>& groups, const std::vector<double>& lr) {
  check(lr.size() == groups.size(), "{}: {} learning rates for {} groups", name, lr.size(), groups.size());
  for (std::size_t i = 0; i < lr.size(); ++i) {
    auto options = groups[i].options;
    options.lr = lr[i];
    check_options(options);
  }
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

std::string numbered(const char* name, std::size_t i) { return fmt::format("{}.{}", name, i); }

/// An option, and its name in a state.
template <class Options>
struct Field {
  const char* name;
  double Options::*value;
};

constexpr Field<SGDOptions> sgd_fields[] = {{"sgd.lr", &SGDOptions::lr},
                                            {"sgd.momentum", &SGDOptions::momentum},
                                            {"sgd.dampening", &SGDOptions::dampening},
                                            {"sgd.weight_decay", &SGDOptions::weight_decay}};
constexpr Field<AdamWOptions> adamw_fields[] = {{"adamw.lr", &AdamWOptions::lr},
                                                {"adamw.beta1", &AdamWOptions::beta1},
                                                {"adamw.beta2", &AdamWOptions::beta2},
                                                {"adamw.eps", &AdamWOptions::eps},
                                                {"adamw.weight_decay", &AdamWOptions::weight_decay}};

/// f of each group's options, [groups].
template <class T, class Group, class F>
Tensor of_groups(const std::vector<Group>& groups, F f) {
  std::vector<T> values;
  for (const Group& group : groups) values.push_back(f(group.options));
  return tensor(values);
}

/// The groups' options as part of a state, and the rates that they began with where there are any.
template <class Group, class Options, std::size_t n>
StateDict group_state(const std::vector<Group>& groups, const Field<Options> (&fields)[n], const char* initial_lr_name,
                      const std::vector<double>& initial_lr) {
  StateDict state;
  for (const auto& field : fields) {
    state[field.name] = of_groups<double>(groups, [&](const auto& options) { return options.*field.value; });
  }
  if (!initial_lr.empty()) state[initial_lr_name] = tensor(initial_lr);
  return state;
}

/// Such options, taken from a state; they are for the caller to check. Of a state that has the rates alone, these.
template <class Group, class Options, std::size_t n>
void take_group_state(StateReader& reader, std::vector<Group>& groups, const Field<Options> (&fields)[n],
                      const char* initial_lr_name, std::vector<double>& initial_lr) {
  const Shape shape{static_cast<std::int64_t>(groups.size())};
  const bool only_rates =
      std::none_of(fields + 1, fields + n, [&](const auto& field) { return reader.has(field.name); });
  for (const auto& field : fields) {
    if (only_rates && &field != fields) break;
    const Tensor x = reader.take(field.name, shape, {DType::float64});
    if (!x.defined()) continue;
    const std::vector<double> values = x.to_vector<double>();
    for (std::size_t i = 0; i < values.size(); ++i) groups[i].options.*field.value = values[i];
  }
  if (!only_rates) initial_lr.clear();
  if (!reader.has(initial_lr_name)) return;
  const Tensor x = reader.take(initial_lr_name, shape, {DType::float64});
  if (x.defined()) initial_lr = x.to_vector<double>();
}

void check_initial_lr(const char* name, const std::vector<double>& initial_lr) {
  for (const double lr : initial_lr) {
    check(is_amount(lr), "{}: initial_lr {}, expected finite numbers, none below 0", name, lr);
  }
}

/// A parameter's part of a state, of its shape and of a floating dtype.
Tensor take_moment(StateReader& reader, const std::string& name, const Tensor& p) {
  return reader.take(name, p.shape(), {DType::float32, DType::float64});
}

/// For each parameter a copy of what there is for it, of its dtype and on its device.
std::vector<Tensor> adopted(const std::vector<Tensor>& moments, const std::vector<Tensor>& params) {
  std::vector<Tensor> all(params.size());
  for (std::size_t i = 0; i < params.size(); ++i) {
    if (moments[i].defined()) all[i] = moments[i].to(params[i].dtype()).to(params[i].device()).clone();
  }
  return all;
}

}  // namespace

void Optimizer::zero_grad() {
  for (const Tensor& p : params_) p.set_grad({});
}

SGD::SGD(std::vector<Group> groups) : groups_(std::move(groups)) {
  params_ = all_params("SGD", groups_);
  check_options(groups_);
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
  StateDict state = group_state(groups_, sgd_fields, "sgd.initial_lr", initial_lr_);
  state["sgd.nesterov"] = of_groups<std::uint8_t>(groups_, [](const Options& o) { return o.nesterov; });
  for (std::size_t i = 0; i < params_.size(); ++i) {
    if (momentum_[i].defined()) state[numbered("sgd.momentum", i)] = momentum_[i];
  }
  return state;
}

void SGD::load_state_dict(const StateDict& state) {
  StateReader reader("SGD", state);
  std::vector<Group> groups = groups_;
  std::vector<double> initial_lr = initial_lr_;
  take_group_state(reader, groups, sgd_fields, "sgd.initial_lr", initial_lr);
  if (reader.has("sgd.momentum") || reader.has("sgd.nesterov")) {
    const Tensor nesterov = reader.take("sgd.nesterov", {static_cast<std::int64_t>(groups.size())}, {DType::uint8});
    for (std::size_t i = 0; nesterov.defined() && i < groups.size(); ++i) {
      groups[i].options.nesterov = nesterov[static_cast<std::int64_t>(i)].item() != 0;
    }
  }
  std::vector<Tensor> momentum(params_.size());
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const std::string name = numbered("sgd.momentum", i);
    if (reader.has(name)) momentum[i] = take_moment(reader, name, params_[i]);
  }
  reader.finish();
  check_options(groups);
  check_initial_lr("SGD", initial_lr);
  momentum = adopted(momentum, params_);
  groups_ = std::move(groups);
  initial_lr_ = std::move(initial_lr);
  momentum_ = std::move(momentum);
}

AdamW::AdamW(std::vector<Group> groups) : groups_(std::move(groups)) {
  params_ = all_params("AdamW", groups_);
  check_options(groups_);
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
  StateDict state = group_state(groups_, adamw_fields, "adamw.initial_lr", initial_lr_);
  state["adamw.steps"] = tensor(steps_);
  for (std::size_t i = 0; i < params_.size(); ++i) {
    if (!exp_avg_[i].defined()) continue;
    state[numbered("adamw.exp_avg", i)] = exp_avg_[i];
    state[numbered("adamw.exp_avg_sq", i)] = exp_avg_sq_[i];
  }
  return state;
}

void AdamW::load_state_dict(const StateDict& state) {
  constexpr std::int64_t most = std::int64_t{1} << 53;  // as a double, a whole number
  StateReader reader("AdamW", state);
  std::vector<Group> groups = groups_;
  std::vector<double> initial_lr = initial_lr_;
  take_group_state(reader, groups, adamw_fields, "adamw.initial_lr", initial_lr);
  const Tensor counts = reader.take("adamw.steps", {static_cast<std::int64_t>(params_.size())}, {DType::int64});
  std::vector<std::int64_t> steps = counts.defined() ? counts.to_vector<std::int64_t>() : steps_;
  std::vector<Tensor> first(params_.size()), second(params_.size());
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const std::string name = numbered("adamw.exp_avg", i), name_sq = numbered("adamw.exp_avg_sq", i);
    if (!reader.has(name) && !reader.has(name_sq) && steps[i] == 0) continue;
    first[i] = take_moment(reader, name, params_[i]);
    second[i] = take_moment(reader, name_sq, params_[i]);
  }
  reader.finish();
  check_options(groups);
  check_initial_lr("AdamW", initial_lr);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    check(0 <= steps[i] && steps[i] <= most, "AdamW: {} steps of parameter {}, expected 0 to {}", steps[i], i, most);
  }
  first = adopted(first, params_);
  second = adopted(second, params_);
  groups_ = std::move(groups);
  initial_lr_ = std::move(initial_lr);
  steps_ = std::move(steps);
  exp_avg_ = std::move(first);
  exp_avg_sq_ = std::move(second);
}

LRScheduler::LRScheduler(Optimizer& optimizer, Formula formula) : optimizer_(optimizer), formula_(std::move(formula)) {
  check(formula_ != nullptr, "LRScheduler: no formula, expected a function of the epoch and the rate to begin with");
  std::vector<double> lr = optimizer.lr();
  base_ = optimizer.initial_lr_.empty() ? lr : optimizer.initial_lr_;
  for (std::size_t i = 0; i < lr.size(); ++i) {
    const double first = formula_(0, base_[i]);
    if (first != base_[i]) lr[i] = first;
  }
  optimizer.set_lr(lr);
  optimizer.initial_lr_ = base_;
}

void LRScheduler::step() {
  check(epoch_ < std::numeric_limits<std::int64_t>::max(), "LRScheduler: a step after epoch {}", epoch_);
  set_epoch(epoch_ + 1);
}

void LRScheduler::set_epoch(std::int64_t epoch) {
  check(epoch >= 0, "LRScheduler: epoch {}, expected 0 or more", epoch);
  std::vector<double> lr;
  for (double base : base_) lr.push_back(formula_(epoch, base));
  optimizer_.set_lr(lr);
  epoch_ = epoch;
}

namespace {

LRScheduler::Formula steps_down(std::int64_t step_size, double gamma) {
  check(step_size > 0, "StepLR: step_size {}, expected 1 or more", step_size);
  check(is_amount(gamma), "StepLR: gamma {}, expected a finite number, not below 0", gamma);
  return
      [=](std::int64_t epoch, double base) { return base * std::pow(gamma, static_cast<double>(epoch / step_size)); };
}

LRScheduler::Formula cosine(std::int64_t T_max, double eta_min) {
  check(T_max > 0, "CosineAnnealingLR: T_max {}, expected 1 or more", T_max);
  check(is_amount(eta_min), "CosineAnnealingLR: eta_min {}, expected a finite number, not below 0", eta_min);
  return [=](std::int64_t epoch, double base) {
    if (epoch == 0) return base;  // to the bit
    const double turn = std::numbers::pi * static_cast<double>(epoch) / static_cast<double>(T_max);
    return eta_min + (base - eta_min) * (1 + std::cos(turn)) / 2;
  };
}

LRScheduler::Formula warmup_cosine(std::int64_t warmup, std::int64_t T_max) {
  check(0 <= warmup && warmup < T_max, "WarmupCosineLR: warmup {} and T_max {}, expected 0 <= warmup < T_max", warmup,
        T_max);
  return [=](std::int64_t step, double base) {
    if (step < warmup) return base * static_cast<double>(step + 1) / static_cast<double>(warmup);
    const double share = static_cast<double>(step - warmup) / static_cast<double>(T_max - warmup);
    return base * (1 + std::cos(std::numbers::pi * share)) / 2;
  };
}

}  // namespace

StepLR::StepLR(Optimizer& optimizer, std::int64_t step_size, double gamma)
    : LRScheduler(optimizer, steps_down(step_size, gamma)) {}

CosineAnnealingLR::CosineAnnealingLR(Optimizer& optimizer, std::int64_t T_max, double eta_min)
    : LRScheduler(optimizer, cosine(T_max, eta_min)) {}

WarmupCosineLR::WarmupCosineLR(Optimizer& optimizer, std::int64_t warmup, std::int64_t T_max)
    : LRScheduler(optimizer, warmup_cosine(warmup, T_max)) {}

}  // namespace tern
