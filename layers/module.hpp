#pragma once

#include <tern/core/tensor.hpp>

#include <atomic>
#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace tern {

class Module;

/// Tensors by the names that PyTorch's state_dict gives them: "conv1.weight", "bn1.running_mean".
using StateDict = std::map<std::string, Tensor>;

/// A module's tensor by name, and where the module keeps it: what clone() sets anew. Of a temporary it knows no place.
struct NamedTensor {  /// Of a tensor that the module keeps: that is its place.
  NamedTensor(std::string n, const Tensor& x) : name(std::move(n)), tensor(x), place(const_cast<Tensor*>(&x)) {}
  NamedTensor(std::string n, Tensor&& x) : name(std::move(n)), tensor(std::move(x)) {}  ///< of a temporary: no place

  std::string name;         ///< without dots
  Tensor tensor;            ///< a handle on it
  Tensor* place = nullptr;  ///< null for a temporary
};

/// What a module is made of, by name and in order. The names are all different, not empty and without dots. A parameter
/// is any tensor that is listed as one and requires grad: PyTorch's nn.Parameter needs no type of its own.
struct Members {
  std::vector<NamedTensor> parameters = {};                   ///< learned
  std::vector<NamedTensor> buffers = {};                      ///< saved with them, but not learned
  std::vector<std::pair<std::string, Module*>> modules = {};  ///< its layers, none null
};

/// A function with parameters. A model of one's own derives from it, holds its layers as members, names them in
/// members() and calls them in forward():
///
///     struct Net : tern::Module {
///       tern::Conv2d conv{{.in_channels = 3, .out_channels = 16, .kernel_size = 3, .padding = 1}};
///       tern::Linear fc{16 * 16 * 16, 2};
///       tern::Members members() override { return {.modules = {{"conv", &conv}, {"fc", &fc}}}; }
///       tern::Tensor forward(const tern::Tensor& x) override {
///         return fc(max_pool2d(tanh(conv(x)), 2).flatten(1));
///       }
///     };
///
/// A layer that members() leaves out would not be trained, saved, moved or switched by eval(). It is an Error at the
/// first call of the model: operator() throws where a layer's tensors, or a mode that differs from the model's, are not
/// to be found by members() of the outermost module that is being called on this thread.
///
/// A module of other arguments, or of other results than one tensor, has no forward() but an operator() of its own:
///
///     tern::Tensor operator()(const tern::Tensor& a, const tern::Tensor& b) {
///       return call([&] { return fc(a) * b; });
///     }
///
/// Copies share their tensors, as copies of a Tensor do; clone() does not. Any number of threads may call a module in
/// evaluation mode; training, to(), load_state_dict() and changes of mode want it alone. These change nothing where
/// they throw.
class Module {
 public:
  virtual ~Module() = default;

  /// Throws Error unless it is overridden.
  virtual Tensor forward(const Tensor& x);
  /// forward, with the hooks.
  Tensor operator()(const Tensor& x);
  /// A module that cannot be changed predicts. Throws Error in training mode.
  Tensor operator()(const Tensor& x) const;

  /// Is given the module and what it returned.
  using ForwardHook = std::function<void(Module& module, const Tensor& output)>;
  /// `hook` sees the output of each call from now on: for tables of shapes, statistics of activations. Copies of the
  /// module have its hooks of all kinds, and what removes one ends it in these, too.
  RemovableHandle register_forward_hook(ForwardHook hook) { return add_hook(forward_hooks_, std::move(hook)); }

  /// Has each call from now on go through `hook` first: Tensor hook(Module&, const Tensor& input) returns another input
  /// for its place, or an undefined tensor for none; what it returns may also be void. It is of calls with one tensor:
  /// those of other arguments throw Error.
  template <class F>
  RemovableHandle register_forward_pre_hook(F hook) {
    return add_hook(pre_hooks_, tensor_or_none<Module&, const Tensor&>(std::move(hook)));
  }
  /// Has backward passes through calls from now on call `hook` once the gradient by the call's input is complete:
  /// Tensor hook(Module&, const Tensor& grad_input, const Tensor& grad_output) returns another grad_input for its
  /// place, or an undefined tensor for none; what it returns may also be void. Where the input does not require grad,
  /// grad_input is undefined, and to return one an Error. It is of calls with one tensor: those of other arguments
  /// throw Error. The module has to stay where it is until the pass.
  template <class F>
  RemovableHandle register_full_backward_hook(F hook) {
    return add_hook(backward_hooks_, tensor_or_none<Module&, const Tensor&, const Tensor&>(std::move(hook)));
  }

  /// Whether there are any: what computes several layers in one then does not.
  bool has_hooks() const;

  /// The module's own tensors and layers, without those of its layers. What walks it throws Error for a name twice,
  /// empty or with a dot, and for an undefined tensor or a null layer.
  virtual Members members() { return {}; }
  /// For tables: "Conv2d(3, 16, kernel_size=3)". Unless it is overridden, the name of the class.
  virtual std::string str() const;
  /// That of the module and all its layers, each on a line under its name, as PyTorch prints them.
  std::string repr() const;

  /// Of the module and all its layers, depth first, names joined with dots. A parameter that is found under several
  /// names is one parameter, under the first.
  /// @{
  std::vector<std::pair<std::string, Tensor>> named_parameters();
  std::vector<std::pair<std::string, Tensor>> named_buffers();
  std::vector<std::pair<std::string, Module*>> named_modules();
  std::vector<Tensor> parameters();
  std::int64_t num_parameters();
  /// @}

  /// The module's own layers, without those of its layers.
  /// @{
  std::vector<std::pair<std::string, Module*>> named_children();
  std::vector<Module*> children();
  /// @}

  /// f of all layers, each after those in it, and then of the module: to initialise weights.
  void apply(const std::function<void(Module& module)>& f);

  /// Handles on all parameters and buffers under all their names, not copies.
  StateDict state_dict();

  /// The names that load_state_dict found on one side alone.
  struct LoadReport {
    std::vector<std::string> missing;     ///< wanted by the module, not given
    std::vector<std::string> unexpected;  ///< given, not in the module
  };
  /// Copies values into the parameters and buffers. Throws Error, before anything is changed, for every shape that
  /// differs and, if `strict`, every missing or unexpected name: all in one message.
  LoadReport load_state_dict(const StateDict& state, bool strict = true);

  /// Switches dropout and batch normalisation between training and evaluation.
  /// @{
  void train(bool mode = true);
  void eval() { train(false); }
  bool is_training() const;
  /// @}

  /// Moves parameters, their gradients and buffers; every handle on them follows.
  /// @{
  void to(Device device);
  void to(DType dtype);  ///< floating tensors only
  /// @}
  /// Drops the gradients of all parameters.
  void zero_grad();
  /// Whether the parameters require grad: without it they are frozen.
  void requires_grad_(bool requires_grad = true);
  /// What clone() is made of: gives a copy tensors of its own, of the same values. What it has under two names stays
  /// one tensor. Throws Error for a tensor whose place is not known.
  void unshare();

 protected:
  /// What operator() holds while it runs forward(). A function that stands for operator() holds one, too.
  class Call {
   public:
    /// Throws Error where the outermost call's module does not lead to this one's tensors.
    explicit Call(Module& module);
    ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    Module* before_;
    std::optional<std::string> place_before_;  ///< of an AnomalyGuard that is alive
  };

  /// f(), as a call of this module, and then the hooks, which see its result where that is a tensor, of a pair or tuple
  /// the first, of a struct its `output`, and else an undefined tensor: what the operator() of a module of other
  /// arguments or results is. Throws Error where there are hooks of calls with one tensor.
  template <class F>
  auto call(F f) {
    check_no_input_hooks();
    return run(f);
  }

 private:
  friend class WatchedLayers;

  template <class Hook>
  struct Registered {
    Hook hook;
    bool removed = false;  ///< may be running then
  };
  template <class Hook>
  using HooksOf = std::vector<std::shared_ptr<Registered<Hook>>>;
  using PreHook = std::function<Tensor(Module&, const Tensor&)>;
  using BackwardHook = std::function<Tensor(Module&, const Tensor&, const Tensor&)>;

  template <class Hook>
  static RemovableHandle add_hook(HooksOf<Hook>& hooks, Hook hook) {
    std::erase_if(hooks, [](const auto& other) { return other->removed; });
    hooks.push_back(std::make_shared<Registered<Hook>>(Registered<Hook>{std::move(hook)}));
    return RemovableHandle([of = std::weak_ptr(hooks.back())] {
      if (const auto there = of.lock()) there->removed = true;
    });
  }
  /// The function; of one that returns nothing, one that returns an undefined tensor.
  template <class... Arguments, class F>
  static std::function<Tensor(Arguments...)> tensor_or_none(F f) {
    if constexpr (std::is_void_v<std::invoke_result_t<F&, Arguments...>>) {
      return [f = std::move(f)](Arguments... arguments) mutable {
        f(arguments...);
        return Tensor();
      };
    } else {
      return f;
    }
  }

  /// f(), as a call of this module, and then the forward hooks.
  template <class F>
  auto run(F f) {
    const auto as_call = [&] {
      const Call call(*this);
      return f();
    };
    auto y = as_call();
    run_forward_hooks(first_tensor(y));
    return y;
  }

  static Tensor first_tensor(const Tensor& y) { return y; }
  template <class Y>
  static Tensor first_tensor(const Y& y) {
    if constexpr (requires { std::get<0>(y); }) {
      return first_tensor(std::get<0>(y));
    } else if constexpr (requires { Tensor(y.output); }) {
      return y.output;
    } else {
      return {};
    }
  }
  void run_forward_hooks(const Tensor& y);
  Tensor run_pre_hooks(const Tensor& x);
  /// forward, with an input and an output of which the backward hooks get the gradients.
  Tensor run_with_backward_hooks(const Tensor& x);
  void check_no_input_hooks() const;

  /// Whether something has been found once; a copy has to look for itself.
  struct Found {
    Found() = default;
    Found(const Found&) {}
    Found& operator=(const Found&) { return *this; }
    std::atomic<bool> yes = false;
  };

  bool training_ = true;
  HooksOf<ForwardHook> forward_hooks_;
  HooksOf<PreHook> pre_hooks_;
  HooksOf<BackwardHook> backward_hooks_;
  Found tensors_;         ///< in the members of a module that called this one
  mutable Found itself_;  ///< likewise
};

/// A copy that shares no tensor of members() with the module: PyTorch's copy.deepcopy. Gradients are not copied.
template <class M>
requires std::is_base_of_v<Module, M> M clone(const M& module) {
  M copy(module);
  copy.unshare();
  return copy;
}

/// repr().
std::ostream& operator<<(std::ostream& out, const Module& module);

}  // namespace tern
