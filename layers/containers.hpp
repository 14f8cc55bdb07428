#pragma once

#include <tern/kernels/error.hpp>
#include <tern/layers/module.hpp>

#include <initializer_list>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tern {

/// A module of any class, held by value: what the containers hold. A copy has a copy of it, which as all copies shares
/// its tensors.
class AnyModule {
 public:
  template <class M>
  requires std::is_base_of_v<Module, M> AnyModule(M module)
      : module_(std::make_unique<M>(std::move(module))), copy_([](const Module& m) -> std::unique_ptr<Module> {
          return std::make_unique<M>(static_cast<const M&>(m));
        }) {}  ///< takes it by value
  AnyModule(const AnyModule& other) : module_(other.copy_(*other.module_)), copy_(other.copy_) {}
  AnyModule(AnyModule&&) = default;
  AnyModule& operator=(AnyModule other) {
    module_ = std::move(other.module_);
    copy_ = other.copy_;
    return *this;
  }

  /// The module.
  /// @{
  Module& operator*() const { return *module_; }
  Module* operator->() const { return module_.get(); }

  /// @}

 private:
  std::unique_ptr<Module> module_;
  std::unique_ptr<Module> (*copy_)(const Module&);
};

/// A module as its own class. Throws Error where it is of another.
template <class M>
M& module_as(Module& module) {
  if (M* const own = dynamic_cast<M*>(&module)) return *own;
  throw Error(module.str() + ": of another class than the one asked for");
}

/// Modules in a row, named "0", "1", ...
class ModuleList : public Module {
 public:
  ModuleList() = default;
  template <class... Modules>
  requires(std::is_base_of_v<Module, Modules>&&...) explicit ModuleList(Modules... modules) {
    (append(std::move(modules)), ...);
  }  ///< of these, by value

  /// Puts one at the end, by value.
  void append(AnyModule module) { modules_.push_back(std::move(module)); }
  /// How many there are.
  std::int64_t size() const { return std::ssize(modules_); }
  /// Negative counts from the end. Throws Error out of range.
  Module& operator[](std::int64_t i) const;
  /// The same as its own class, for one that is not called with a tensor alone. Throws Error where it is of another.
  template <class M>
  M& get(std::int64_t i) const {
    return module_as<M>((*this)[i]);
  }
  /// for (AnyModule& layer : list) ...
  /// @{
  std::vector<AnyModule>::iterator begin() { return modules_.begin(); }
  std::vector<AnyModule>::iterator end() { return modules_.end(); }

  /// @}

  Members members() override;
  std::string str() const override { return "ModuleList()"; }

 private:
  std::vector<AnyModule> modules_;
};

/// Layers in a row, each called with what the one before gives: Sequential(Conv2d({...}), Tanh(), Flatten(), Linear(8,
/// 2)).
class Sequential : public ModuleList {
 public:
  /// Of none, or of these, by value.
  using ModuleList::ModuleList;
  Tensor forward(const Tensor& x) override;
  std::string str() const override;
};

/// Modules by name, in the order in which they came.
class ModuleDict : public Module {
 public:
  ModuleDict() = default;
  ModuleDict(std::initializer_list<std::pair<std::string, AnyModule>> modules);  ///< in this order

  /// In place of one of that name.
  void insert(const std::string& name, AnyModule module);
  /// Whether there is one of that name.
  bool contains(const std::string& name) const;
  /// How many there are.
  std::int64_t size() const { return std::ssize(modules_); }
  /// The names, in order.
  std::vector<std::string> keys() const;
  /// Throws Error where there is none of that name.
  Module& operator[](const std::string& name) const;
  /// The same as its own class. Throws Error where it is of another.
  template <class M>
  M& get(const std::string& name) const {
    return module_as<M>((*this)[name]);
  }

  Members members() override;
  std::string str() const override { return "ModuleDict()"; }

 private:
  std::vector<std::pair<std::string, AnyModule>> modules_;
};

}  // namespace tern
