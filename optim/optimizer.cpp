#include <tern/core/autograd.hpp>
#include <tern/core/cuda.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/step_guard.hpp>
#include <tern/optim/optimizer.hpp>
#include <tern/optim/state_reader.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <string_view>

namespace tern {
namespace {

/// A finite number that is not below 0.
bool is_amount(double x) { return std::isfinite(x) && x >= 0; }
bool is_beta(double x) { return x >= 0 && x < 1; }

/// Does what an update has prepared. On the host nothing here asks for memory: there it is done whole or not begun.
void run_all(const std::vector<std::function<void()>>& launches, const std::vector<Tensor>& changed) {
  for (const Tensor& x : changed) {
    if (!x.device().on_host()) StepGuard::note(x);
  }
  for (const auto& launch : launches) launch();
  for (const Tensor& x : changed) x.storage()->bump_version();
}

/// "sgd.momentum", or a parameter's.
std::string name_in_state(const char* prefix, const char* name) { return fmt::format("{}.{}", prefix, name); }
std::string name_in_state(const char* prefix, const char* name, std::size_t i) {
  return fmt::format("{}.{}.{}", prefix, name, i);
}

}  // namespace

void Optimizer::zero_grad() {
  for (const Tensor& p : params_) p.set_grad({});
}

void Optimizer::add_group(const std::vector<Tensor>& params, Values options) {
  const char* name = kind().name;
  check(!params.empty(), "{}: a group without parameters", name);
  std::vector<Tensor> all = params_;
  for (const Tensor& p : params) {
    check(p.defined(), "{}: parameter {} is undefined, expected a tensor", name, all.size());
    check_alike(name, params[0], p);
    check(is_floating(p.dtype()) && !is_half(p.dtype()) && p.is_leaf() && p.is_contiguous(),
          "{}: a parameter of shape {}, expected a contiguous float32 or float64 leaf", name, p.shape());
    check(std::none_of(all.begin(), all.end(), [&](const Tensor& other) { return other.is_same(p); }),
          "{}: a parameter of shape {} twice, expected each once", name, p.shape());
    all.push_back(p);
  }
  check_options(options);
  std::vector<double> initial_lr = initial_lr_;
  if (!initial_lr.empty()) initial_lr.push_back(options[0]);
  states_.reserve(all.size());
  groups_.push_back({params, std::move(options)});
  states_.resize(all.size());
  params_ = std::move(all);
  initial_lr_ = std::move(initial_lr);
}

std::vector<double> Optimizer::option(std::size_t i) const {
  std::vector<double> values;
  for (const Group& group : groups_) values.push_back(group.options[i]);
  return values;
}

void Optimizer::set_lr_and_momentum(const std::vector<double>& lr, std::optional<double> momentum) {
  const Kind& k = kind();
  check(lr.size() == groups_.size(), "{}: {} learning rates for {} groups", k.name, lr.size(), groups_.size());
  const auto at = std::find_if(k.numbers.begin(), k.numbers.end(),
                               [](const std::string_view name) { return name == "momentum" || name == "beta1"; });
  check(!momentum || at != k.numbers.end(), "{}: it has no momentum that a schedule could change", k.name);
  std::vector<Group> groups = groups_;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    groups[g].options[0] = lr[g];
    if (momentum) groups[g].options[static_cast<std::size_t>(at - k.numbers.begin())] = *momentum;
  }
  check_groups(groups);
  groups_ = std::move(groups);
}

void Optimizer::check_groups(const std::vector<Group>& groups) const {
  for (const Group& group : groups) check_options(group.options);
}

void Optimizer::gather() {
  for (const Group& group : groups_) {
    for (const Tensor& p : group.params) check_alike(kind().name, group.params[0], p);
  }
  for (std::size_t i = 0; i < params_.size(); ++i) {
    for (Tensor& x : states_[i].of) {
      if (x.defined()) x = x.to(params_[i].dtype()).to(params_[i].device());
    }
  }
}

void Optimizer::update(const StepTable* table) {
  const Kind& k = kind();
  check(!k.counts || table || !cuda::is_capturing(),
        "{}: a step inside a graph, whose replays would not count on, expected it after, or a GraphedStep", k.name);
  gather();
  std::vector<State> states = states_;
  std::vector<Tensor> changed;
  std::vector<std::function<void()>> launches;
  std::size_t i = 0;
  std::int64_t column = 0;
  for (const Group& group : groups_) {
    for_floating(k.name, group.params[0], [&]<class T>(kernels::FloatKernels<T>& kernels) {
      std::map<std::int64_t, std::vector<kernels::OptimizerParam<T>>> updates;  // by step: almost always one
      std::vector<Tensor> grads;  // keeps dense copies alive until the kernel has run
      const Rule first = rule(group.options, 1);
      for (const Tensor& p : group.params) {
        State& state = states[i++];
        if (!p.grad().defined()) continue;
        grads.push_back(p.grad().contiguous());
        changed.push_back(p);
        kernels::OptimizerParam<T> update{p.numel(), p.data<T>(), grads.back().template data<T>(), {}};
        bool is_new = false;
        for (std::size_t s = 0; s < k.states.size(); ++s) {
          if (!first.uses[s]) continue;
          Tensor& x = state.of[s];
          if (x.defined()) {
            changed.push_back(x);
          } else {
            is_new = true;
            x = full(p.shape(), first.initial, {.dtype = p.dtype(), .device = p.device()});
          }
          update.state[s] = x.data<T>();
        }
        check(!is_new || !cuda::is_capturing(),
              "{}: a parameter's first step inside a graph, whose replays would be its first, too, expected it before",
              k.name);
        updates[k.counts ? state.steps + 1 : is_new ? 1 : 2].push_back(update);
      }
      check(!table || !k.counts || updates.size() <= 1,
            "{}: parameters that have taken different numbers of steps, expected one for a GraphedStep", k.name);
      std::vector<std::pair<kernels::OptimizerStep, std::vector<kernels::OptimizerParam<T>>>> steps;
      for (auto& [step, params] : updates) steps.emplace_back(rule(group.options, step).step, std::move(params));
      const auto numbers = table ? std::optional(table->from<T>(column)) : std::nullopt;
      launches.emplace_back([&kernels, numbers, steps = std::move(steps), grads = std::move(grads)] {
        for (const auto& [step, params] : steps) kernels.optimizer_step(step, params, numbers ? &*numbers : nullptr);
      });
    });
    column += kernels::OptimizerStep::numbers;
  }
  StepGuard::note_undo([this, before = states_]() mutable { states_.swap(before); });
  run_all(launches, changed);
  states_ = std::move(states);
}

void Optimizer::count_step() {
  if (!kind().counts) return;
  for (std::size_t i = 0; i < params_.size(); ++i) states_[i].steps += params_[i].grad().defined();
}

std::vector<double> Optimizer::step_numbers(std::int64_t ahead) const {
  std::vector<double> numbers;
  auto state = states_.begin();
  for (const Group& group : groups_) {
    std::int64_t steps = 0;
    for (std::size_t i = 0; i < group.params.size(); ++i) steps = std::max(steps, (state++)->steps);
    const kernels::OptimizerStep s = rule(group.options, steps + 1 + ahead).step;
    numbers.insert(numbers.end(), {s.lr, s.momentum, s.correction1, s.correction2});
  }
  return numbers;
}

StateDict Optimizer::state_dict() const {
  const Kind& k = kind();
  StateDict state;
  const std::size_t numbers = k.numbers.size();
  for (std::size_t f = 0; f < numbers; ++f) state[name_in_state(k.prefix, k.numbers[f])] = tensor(option(f));
  for (std::size_t f = 0; f < k.flags.size(); ++f) {
    state[name_in_state(k.prefix, k.flags[f])] = tensor(option(numbers + f)).to(DType::uint8);
  }
  if (!initial_lr_.empty()) state[name_in_state(k.prefix, "initial_lr")] = tensor(initial_lr_);
  std::vector<std::int64_t> steps;
  for (std::size_t i = 0; i < params_.size(); ++i) {
    steps.push_back(states_[i].steps);
    for (std::size_t s = 0; s < k.states.size(); ++s) {
      if (states_[i].of[s].defined()) state[name_in_state(k.prefix, k.states[s], i)] = states_[i].of[s];
    }
  }
  if (k.counts) state[name_in_state(k.prefix, "steps")] = tensor(steps);
  return state;
}

void Optimizer::take_options(StateReader& reader, std::vector<Group>& groups, std::vector<double>& initial_lr) const {
  const Kind& k = kind();
  const auto named = [&](const char* name) { return name_in_state(k.prefix, name); };
  const auto has = [&](const char* name) { return reader.has(named(name)); };
  const bool only_rates =
      std::none_of(k.numbers.begin() + 1, k.numbers.end(), has) && std::none_of(k.flags.begin(), k.flags.end(), has);
  const Shape shape{std::ssize(groups)};
  const auto take = [&](const char* name, std::size_t option, DType dtype) {
    const Tensor x = reader.take(named(name), shape, {dtype});
    if (!x.defined()) return;
    const std::vector<double> values = x.to(DType::float64).to_vector<double>();
    for (std::size_t g = 0; g < groups.size(); ++g) groups[g].options[option] = values[g];
  };
  for (std::size_t f = 0; f < (only_rates ? 1 : k.numbers.size()); ++f) take(k.numbers[f], f, DType::float64);
  if (!only_rates) initial_lr.clear();
  if (has("initial_lr")) {
    const Tensor x = reader.take(named("initial_lr"), shape, {DType::float64});
    if (x.defined()) initial_lr = x.to_vector<double>();
  }
  for (std::size_t f = 0; !only_rates && f < k.flags.size(); ++f) {
    const std::string_view name = k.flags[f];
    if (!has(k.flags[f]) && (name == "maximize" || name == "amsgrad")) {  // there was none when it was written
      for (Group& group : groups) group.options[k.numbers.size() + f] = 0;
    } else {
      take(k.flags[f], k.numbers.size() + f, DType::uint8);
    }
  }
}

void Optimizer::load_state_dict(const StateDict& state) {
  constexpr std::int64_t most = std::int64_t{1} << 53;  // as a double, a whole number
  const Kind& k = kind();
  StateReader reader(k.name, state);
  std::vector<Group> groups = groups_;
  std::vector<double> initial_lr = initial_lr_;
  take_options(reader, groups, initial_lr);
  std::vector<State> states(params_.size());
  if (k.counts) {
    const Tensor x = reader.take(name_in_state(k.prefix, "steps"), {std::ssize(states)}, {DType::int64});
    if (x.defined()) {
      const std::vector<std::int64_t> steps = x.to_vector<std::int64_t>();
      for (std::size_t i = 0; i < steps.size(); ++i) states[i].steps = steps[i];
    }
  }
  std::size_t i = 0;
  for (const Group& group : groups) {
    const Rule first = rule(group.options, 1);
    for (const Tensor& p : group.params) {
      const auto named = [&](std::size_t s) { return name_in_state(k.prefix, k.states[s], i); };
      bool any = states[i].steps != 0;
      for (std::size_t s = 0; s < k.states.size(); ++s) any = any || reader.has(named(s));
      for (std::size_t s = 0; s < k.states.size(); ++s) {
        if (!reader.has(named(s)) && !(any && first.uses[s])) continue;
        states[i].of[s] = reader.take(named(s), p.shape(), {DType::float32, DType::float64});
      }
      ++i;
    }
  }
  reader.finish();
  check_groups(groups);
  for (const double lr : initial_lr) {
    check(is_amount(lr), "{}: initial_lr {}, expected finite numbers, none below 0", k.name, lr);
  }
  for (i = 0; i < states.size(); ++i) {
    check(0 <= states[i].steps && states[i].steps <= most, "{}: {} steps of parameter {}, expected 0 to {}", k.name,
          states[i].steps, i, most);
    for (Tensor& x : states[i].of) {
      if (x.defined()) x = x.to(params_[i].dtype()).to(params_[i].device()).clone();
    }
  }
  groups_ = std::move(groups);
  initial_lr_ = std::move(initial_lr);
  states_ = std::move(states);
}

/// The names of the options and where they are, and the functions that Optimizer asks for.
template <class Options>
struct OptimizerOf<Options>::Description : Kind {
  template <class T>
  using Fields = std::vector<std::pair<const char*, T Options::*>>;

  std::vector<double Options::*> number;
  std::vector<bool Options::*> flag;
  void (*check)(const Options&);
  Rule (*rule)(const Options&, std::int64_t step);

  Description(const char* name_, const char* prefix_, Fields<double> number_fields, Fields<bool> flag_fields,
              std::vector<const char*> states_, bool counts_, void (*check_)(const Options&),
              Rule (*rule_)(const Options&, std::int64_t))
      : Kind{.name = name_, .prefix = prefix_, .numbers = {}, .flags = {}, .states = states_, .counts = counts_},
        check(check_),
        rule(rule_) {
    for (const auto& [of, field] : number_fields) Kind::numbers.push_back(of), number.push_back(field);
    for (const auto& [of, field] : flag_fields) Kind::flags.push_back(of), flag.push_back(field);
  }

  Values values(const Options& o) const {
    Values all;
    for (const auto field : number) all.push_back(o.*field);
    for (const auto field : flag) all.push_back(o.*field);
    return all;
  }
  Options options(const Values& values) const {
    Options o;
    for (std::size_t i = 0; i < number.size(); ++i) o.*number[i] = values[i];
    for (std::size_t i = 0; i < flag.size(); ++i) o.*flag[i] = values[number.size() + i] != 0;
    return o;
  }
};

template <class Options>
OptimizerOf<Options>::OptimizerOf(const std::vector<Group>& groups) {
  tern::check(!groups.empty(), "{}: no groups, expected one or more", description().name);
  for (const Group& group : groups) add_param_group(group);
}
template <class Options>
void OptimizerOf<Options>::add_param_group(const Group& group) {
  add_group(group.params, description().values(group.options));
}
template <class Options>
const Optimizer::Kind& OptimizerOf<Options>::kind() const {
  return description();
}
template <class Options>
void OptimizerOf<Options>::check_options(const Values& options) const {
  description().check(description().options(options));
}
template <class Options>
Optimizer::Rule OptimizerOf<Options>::rule(const Values& options, std::int64_t step) const {
  return description().rule(description().options(options), step);
}

template <>
const SGD::Description& SGD::description() {
  using O = Options;
  static const Description all(
      "SGD", "sgd",
      {{"lr", &O::lr}, {"momentum", &O::momentum}, {"dampening", &O::dampening}, {"weight_decay", &O::weight_decay}},
      {{"nesterov", &O::nesterov}, {"maximize", &O::maximize}}, {"momentum"}, false,
      [](const O& o) {
        check(is_amount(o.lr) && is_amount(o.momentum) && std::isfinite(o.dampening) && is_amount(o.weight_decay),
              "SGD: lr {}, momentum {}, dampening {}, weight_decay {}, expected finite numbers, none but dampening "
              "below 0",
              o.lr, o.momentum, o.dampening, o.weight_decay);
        check(!o.nesterov || (o.momentum > 0 && o.dampening == 0),
              "SGD: nesterov with momentum {} and dampening {}, expected a momentum and no dampening", o.momentum,
              o.dampening);
      },
      [](const O& o, std::int64_t step) -> Rule {
        return {.step = {.op = kernels::OptimizerOp::sgd,
                         .lr = o.lr,
                         .momentum = o.momentum,
                         .decay = step == 1 ? 0 : o.dampening,  // the first gradient is taken whole
                         .weight_decay = o.weight_decay,
                         .nesterov = o.nesterov,
                         .maximize = o.maximize},
                .uses = {o.momentum != 0}};
      });
  return all;
}

namespace {

template <class O>
void check_adam(const char* name, const O& o) {
  check(is_amount(o.lr) && is_amount(o.eps) && is_amount(o.weight_decay) && is_beta(o.beta1) && is_beta(o.beta2),
        "{}: lr {}, betas {} and {}, eps {}, weight_decay {}, expected finite numbers, none below 0 and betas below 1",
        name, o.lr, o.beta1, o.beta2, o.eps, o.weight_decay);
}

template <class O>
kernels::OptimizerStep adam_step(kernels::OptimizerOp op, const O& o, std::int64_t step) {
  return {.op = op,
          .lr = o.lr,
          .momentum = o.beta1,
          .correction1 = 1 - std::pow(o.beta1, step),
          .correction2 = 1 - std::pow(o.beta2, step),
          .decay = o.beta2,
          .eps = o.eps,
          .weight_decay = o.weight_decay,
          .maximize = o.maximize};
}

/// The numbers of Adam and its kin, and those that one has besides.
template <class O>
std::vector<std::pair<const char*, double O::*>> adam_numbers(
    const std::vector<std::pair<const char*, double O::*>>& besides = {}) {
  std::vector<std::pair<const char*, double O::*>> all{
      {"lr", &O::lr}, {"beta1", &O::beta1}, {"beta2", &O::beta2}, {"eps", &O::eps}, {"weight_decay", &O::weight_decay}};
  all.insert(all.end(), besides.begin(), besides.end());
  return all;
}

/// What Adam and AdamW have in common: all but what their weight decay is part of.
template <kernels::OptimizerOp op, class Description, class Rule, class O>
Description adam_description() {
  static constexpr bool decoupled = op == kernels::OptimizerOp::adamw;
  static constexpr const char* name = decoupled ? "AdamW" : "Adam";
  return {name,
          decoupled ? "adamw" : "adam",
          adam_numbers<O>(),
          {{"amsgrad", &O::amsgrad}, {"maximize", &O::maximize}},
          {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
          true,
          [](const O& o) { check_adam(name, o); },
          [](const O& o, std::int64_t step) -> Rule {
            return {.step = adam_step(op, o, step), .uses = {true, true, o.amsgrad}};
          }};
}

}  // namespace

template <>
const Adam::Description& Adam::description() {
  static const Description all = adam_description<kernels::OptimizerOp::adam, Description, Rule, Options>();
  return all;
}

template <>
const AdamW::Description& AdamW::description() {
  static const Description all = adam_description<kernels::OptimizerOp::adamw, Description, Rule, Options>();
  return all;
}

template <>
const RMSprop::Description& RMSprop::description() {
  using O = Options;
  static const Description all(
      "RMSprop", "rmsprop",
      {{"lr", &O::lr},
       {"alpha", &O::alpha},
       {"eps", &O::eps},
       {"weight_decay", &O::weight_decay},
       {"momentum", &O::momentum}},
      {{"centered", &O::centered}, {"maximize", &O::maximize}}, {"square_avg", "grad_avg", "momentum_buffer"}, false,
      [](const O& o) {
        check(is_amount(o.lr) && is_amount(o.alpha) && is_amount(o.eps) && is_amount(o.weight_decay) &&
                  is_amount(o.momentum),
              "RMSprop: lr {}, alpha {}, eps {}, weight_decay {}, momentum {}, expected finite numbers, none below 0",
              o.lr, o.alpha, o.eps, o.weight_decay, o.momentum);
      },
      [](const O& o, std::int64_t) -> Rule {
        return {.step = {.op = kernels::OptimizerOp::rmsprop,
                         .lr = o.lr,
                         .momentum = o.momentum,
                         .decay = o.alpha,
                         .eps = o.eps,
                         .weight_decay = o.weight_decay,
                         .maximize = o.maximize},
                .uses = {true, o.centered, o.momentum != 0}};
      });
  return all;
}

template <>
const Adagrad::Description& Adagrad::description() {
  using O = Options;
  static const Description all(
      "Adagrad", "adagrad",
      {{"lr", &O::lr},
       {"lr_decay", &O::lr_decay},
       {"weight_decay", &O::weight_decay},
       {"initial_accumulator_value", &O::initial_accumulator_value},
       {"eps", &O::eps}},
      {{"maximize", &O::maximize}}, {"sum"}, true,
      [](const O& o) {
        check(is_amount(o.lr) && is_amount(o.lr_decay) && is_amount(o.weight_decay) &&
                  is_amount(o.initial_accumulator_value) && is_amount(o.eps),
              "Adagrad: lr {}, lr_decay {}, weight_decay {}, initial_accumulator_value {}, eps {}, expected finite "
              "numbers, none below 0",
              o.lr, o.lr_decay, o.weight_decay, o.initial_accumulator_value, o.eps);
      },
      [](const O& o, std::int64_t step) -> Rule {
        return {.step = {.op = kernels::OptimizerOp::adagrad,
                         .lr = o.lr / (1 + static_cast<double>(step - 1) * o.lr_decay),
                         .eps = o.eps,
                         .weight_decay = o.weight_decay,
                         .maximize = o.maximize},
                .uses = {true},
                .initial = o.initial_accumulator_value};
      });
  return all;
}

template <>
const Adadelta::Description& Adadelta::description() {
  using O = Options;
  static const Description all(
      "Adadelta", "adadelta", {{"lr", &O::lr}, {"rho", &O::rho}, {"eps", &O::eps}, {"weight_decay", &O::weight_decay}},
      {{"maximize", &O::maximize}}, {"square_avg", "acc_delta"}, false,
      [](const O& o) {
        check(
            is_amount(o.lr) && is_amount(o.rho) && o.rho <= 1 && is_amount(o.eps) && is_amount(o.weight_decay),
            "Adadelta: lr {}, rho {}, eps {}, weight_decay {}, expected finite numbers, none below 0 and rho at most 1",
            o.lr, o.rho, o.eps, o.weight_decay);
      },
      [](const O& o, std::int64_t) -> Rule {
        return {.step = {.op = kernels::OptimizerOp::adadelta,
                         .lr = o.lr,
                         .decay = o.rho,
                         .eps = o.eps,
                         .weight_decay = o.weight_decay,
                         .maximize = o.maximize},
                .uses = {true, true}};
      });
  return all;
}

template <>
const Lion::Description& Lion::description() {
  using O = Options;
  static const Description all(
      "Lion", "lion", {{"lr", &O::lr}, {"beta1", &O::beta1}, {"beta2", &O::beta2}, {"weight_decay", &O::weight_decay}},
      {{"maximize", &O::maximize}}, {"exp_avg"}, false,
      [](const O& o) {
        check(is_amount(o.lr) && is_beta(o.beta1) && is_beta(o.beta2) && is_amount(o.weight_decay),
              "Lion: lr {}, betas {} and {}, weight_decay {}, expected finite numbers, none below 0 and betas below 1",
              o.lr, o.beta1, o.beta2, o.weight_decay);
      },
      [](const O& o, std::int64_t) -> Rule {
        return {.step = {.op = kernels::OptimizerOp::lion,
                         .lr = o.lr,
                         .momentum = o.beta1,
                         .decay = o.beta2,
                         .weight_decay = o.weight_decay,
                         .maximize = o.maximize},
                .uses = {true}};
      });
  return all;
}

namespace {

/// What NAdam's momentum is in a step.
double nadam_momentum(const NAdamOptions& o, std::int64_t step) {
  return o.beta1 * (1 - 0.5 * std::pow(0.96, static_cast<double>(step) * o.momentum_decay));
}

/// The product of these up to a step. What is below the last bit of 1 is as good as 0.
double nadam_momentum_product(const NAdamOptions& o, std::int64_t step) {
  double product = 1;
  for (std::int64_t i = 1; i <= step && product > 0x1p-60; ++i) {
    const double mu = nadam_momentum(o, i);
    if (mu == o.beta1) return product * std::pow(mu, static_cast<double>(step - i + 1));  // as from here on
    product *= mu;
  }
  return product;
}

/// How RAdam corrects a step by 1 / sqrt(v): 0 where it takes none such.
double radam_correction(const RAdamOptions& o, std::int64_t step) {
  const double most = 2 / (1 - o.beta2) - 1, power = std::pow(o.beta2, step), correction = 1 - power;
  const double length = most - 2 * static_cast<double>(step) * power / correction;
  if (length <= 5) return 0;
  const double rectification = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length);
  return std::sqrt(rectification * correction);
}

}  // namespace

template <>
const NAdam::Description& NAdam::description() {
  using O = Options;
  static const Description all(
      "NAdam", "nadam", adam_numbers<O>({{"momentum_decay", &O::momentum_decay}}), {{"maximize", &O::maximize}},
      {"exp_avg", "exp_avg_sq"}, true,
      [](const O& o) {
        check_adam("NAdam", o);
        check(is_amount(o.momentum_decay), "NAdam: momentum_decay {}, expected a finite number, not below 0",
              o.momentum_decay);
      },
      [](const O& o, std::int64_t step) -> Rule {
        kernels::OptimizerStep s = adam_step(kernels::OptimizerOp::nadam, o, step);
        const double mu = nadam_momentum(o, step), next = nadam_momentum(o, step + 1);
        const double product = nadam_momentum_product(o, step), of_gradient = (1 - mu) / (1 - product);
        s.lr = o.lr * of_gradient;
        s.correction1 = next / (1 - product * next) / of_gradient;
        return {.step = s, .uses = {true, true}};
      });
  return all;
}

template <>
const RAdam::Description& RAdam::description() {
  using O = Options;
  static const Description all(
      "RAdam", "radam", adam_numbers<O>(), {{"maximize", &O::maximize}}, {"exp_avg", "exp_avg_sq"}, true,
      [](const O& o) { check_adam("RAdam", o); },
      [](const O& o, std::int64_t step) -> Rule {
        kernels::OptimizerStep s = adam_step(kernels::OptimizerOp::radam, o, step);
        s.correction2 = radam_correction(o, step);
        return {.step = s, .uses = {true, true}};
      });
  return all;
}

template <>
const Adamax::Description& Adamax::description() {
  using O = Options;
  static const Description all(
      "Adamax", "adamax", adam_numbers<O>(), {{"maximize", &O::maximize}}, {"exp_avg", "exp_inf"}, true,
      [](const O& o) { check_adam("Adamax", o); },
      [](const O& o, std::int64_t step) -> Rule {
        return {.step = adam_step(kernels::OptimizerOp::adamax, o, step), .uses = {true, true}};
      });
  return all;
}

template class OptimizerOf<SGDOptions>;
template class OptimizerOf<AdamOptions>;
template class OptimizerOf<AdamWOptions>;
template class OptimizerOf<RMSpropOptions>;
template class OptimizerOf<AdagradOptions>;
template class OptimizerOf<AdadeltaOptions>;
template class OptimizerOf<LionOptions>;
template class OptimizerOf<NAdamOptions>;
template class OptimizerOf<RAdamOptions>;
template class OptimizerOf<AdamaxOptions>;

}  // namespace tern
