#include <tern/core/check.hpp>
#include <tern/layers/containers.hpp>

#include <algorithm>

namespace tern {

Module& ModuleList::operator[](std::int64_t i) const {
  check(-size() <= i && i < size(), "{}: module {} of {}", str(), i, size());
  return *modules_[static_cast<std::size_t>(i < 0 ? i + size() : i)];
}

Members ModuleList::members() {
  Members m;
  for (std::size_t i = 0; i < modules_.size(); ++i) m.modules.emplace_back(std::to_string(i), &*modules_[i]);
  return m;
}

Tensor Sequential::forward(const Tensor& x) {
  Tensor y = x;
  for (const AnyModule& layer : *this) y = (*layer)(y);
  return y;
}

std::string Sequential::str() const { return fmt::format("Sequential({} layers)", size()); }

ModuleDict::ModuleDict(std::initializer_list<std::pair<std::string, AnyModule>> modules) {
  for (const auto& [name, module] : modules) insert(name, module);
}

void ModuleDict::insert(const std::string& name, AnyModule module) {
  for (auto& [known, old] : modules_) {
    if (known != name) continue;
    old = std::move(module);
    return;
  }
  modules_.emplace_back(name, std::move(module));
}

bool ModuleDict::contains(const std::string& name) const {
  return std::any_of(modules_.begin(), modules_.end(), [&](const auto& own) { return own.first == name; });
}

std::vector<std::string> ModuleDict::keys() const {
  std::vector<std::string> names;
  for (const auto& [name, module] : modules_) names.push_back(name);
  return names;
}

Module& ModuleDict::operator[](const std::string& name) const {
  const auto found = std::find_if(modules_.begin(), modules_.end(), [&](const auto& own) { return own.first == name; });
  check(found != modules_.end(), "ModuleDict: no module '{}', expected one of [{}]", name, fmt::join(keys(), ", "));
  return *found->second;
}

Members ModuleDict::members() {
  Members m;
  for (const auto& [name, module] : modules_) m.modules.emplace_back(name, &*module);
  return m;
}

}  // namespace tern
