#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/graph_access.hpp>
#include <tern/core/trace.hpp>

#include <algorithm>
#include <string_view>

namespace tern {
namespace {

thread_local Trace* active = nullptr;

}  // namespace

Trace::Trace(const std::vector<Tensor>& inputs) : before_(std::exchange(active, this)), inputs_(inputs) {
  for (const Tensor& x : inputs) storages_.insert(x.storage().get());
}

Trace::~Trace() {
  if (active == this) active = before_;
}

std::vector<Trace::Op> Trace::finish() {
  check(
      !touched_,
      "elements of a tensor that depends on the input are read {}{}{}, by something else than ops that can be exported",
      touched_after_ ? "after the op '" : "before the first op", touched_after_ ? touched_after_ : "",
      touched_after_ ? "'" : "");
  for (const auto& [x, version] : constants_) {
    check(x.storage()->version() == version,
          "a constant of shape {} is changed in place after an op was given it, expected another tensor", x.shape());
  }
  active = before_;
  return std::move(ops_);
}

Trace* Trace::current() { return active; }

Trace::Pause::Pause() : before(std::exchange(active, nullptr)) {}
Trace::Pause::~Pause() { active = before; }

bool Trace::Op::has(const char* attribute) const {
  return std::any_of(attributes.begin(), attributes.end(),
                     [&](const Attribute& a) { return std::string_view(a.name) == attribute; });
}

const std::variant<std::int64_t, double, Shape>& Trace::Op::value(const char* attribute) const {
  const auto found = std::find_if(attributes.begin(), attributes.end(),
                                  [&](const Attribute& a) { return std::string_view(a.name) == attribute; });
  check(found != attributes.end(), "'{}' has no attribute '{}'", name, attribute);
  return found->value;
}

bool Trace::depends(const Tensor& x) const { return x.defined() && storages_.contains(x.storage().get()); }

void Trace::add(const char* name, std::vector<Tensor> inputs, std::vector<Tensor> outputs,
                std::vector<Attribute> attributes) {
  if (std::none_of(inputs.begin(), inputs.end(), [&](const Tensor& x) { return depends(x); })) return;
  for (const Tensor& x : inputs) {
    if (x.defined() && !depends(x)) constants_.emplace_back(x, x.storage()->version());
  }
  for (const Tensor& y : outputs) {
    if (!y.defined()) continue;
    storages_.insert(y.storage().get());
    arrays_.insert(GraphAccess::array(y));
  }
  ops_.push_back({name, std::move(inputs), std::move(outputs), std::move(attributes)});
}

void Trace::refuse(const char* name, const Tensor& x) const {
  check(!depends(x), "'{}' of a tensor of shape {} that depends on the input, expected ops that can be exported", name,
        x.shape());
}

void Trace::check_known(const char* name, std::span<const Tensor> inputs, std::span<const Tensor> outputs) const {
  if (std::all_of(outputs.begin(), outputs.end(),
                  [&](const Tensor& y) { return arrays_.contains(GraphAccess::array(y)); })) {
    return;
  }
  const bool depending = std::any_of(inputs.begin(), inputs.end(), [&](const Tensor& x) { return depends(x); });
  check(!touched_ && !depending, "the op '{}' cannot be exported", name);
}

void Trace::touch(const Tensor& x) {
  if (touched_ || !depends(x)) return;
  touched_ = true;
  touched_after_ = ops_.empty() ? nullptr : ops_.back().name;
}

void check_traced(const char* name, std::span<const Tensor> inputs, std::span<const Tensor> outputs) {
  if (active) active->check_known(name, inputs, outputs);
}

}  // namespace tern
