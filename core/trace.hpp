#pragma once

#include <tern/core/tensor.hpp>

#include <concepts>
#include <span>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

namespace tern {

/// The ops of this thread as they run, while it lives: what a model is exported from. An op that can be traced begins
/// with
///
///   if (Trace* const trace = Trace::current()) {
///     return trace->run("tril", {x}, {{"diagonal", diagonal}}, [&] { return tril(x, diagonal); });
///   }
///
/// and ops that are written in such ops need nothing. What does not depend on the inputs is not traced: it is a
/// constant. Whatever else reads elements of what depends on them, an op that is not traced, item(), the program
/// itself, would silently become a constant, too, and is an Error.
class Trace {
 public:
  /// An argument of an op that is no tensor.
  struct Attribute {
    const char* name;
    std::variant<std::int64_t, double, Shape> value;

    template <std::integral T>
    Attribute(const char* n, T v) : name(n), value(static_cast<std::int64_t>(v)) {}
    Attribute(const char* n, double v) : name(n), value(v) {}
    Attribute(const char* n, const Shape& v) : name(n), value(v) {}
  };
  struct Op {
    const char* name;
    std::vector<Tensor> inputs, outputs;  ///< undefined where left out
    std::vector<Attribute> attributes;

    bool has(const char* attribute) const;
    std::int64_t integer(const char* attribute) const { return std::get<std::int64_t>(value(attribute)); }
    double number(const char* attribute) const { return std::get<double>(value(attribute)); }
    const Shape& shape(const char* attribute) const { return std::get<Shape>(value(attribute)); }

   private:
    const std::variant<std::int64_t, double, Shape>& value(const char* attribute) const;
  };

  explicit Trace(const std::vector<Tensor>& inputs);
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  /// The one that lives on this thread; null where there is none, and within an op that is being traced.
  static Trace* current();

  /// f(), an op of that name.
  template <class F>
  auto run(const char* name, std::vector<Tensor> inputs, std::vector<Attribute> attributes, F f) {
    auto y = [&] {
      const Pause pause;
      return f();
    }();
    add(name, std::move(inputs), outputs_of(y), std::move(attributes));
    return y;
  }
  /// An op that has run.
  void add(const char* name, std::vector<Tensor> inputs, std::vector<Tensor> outputs,
           std::vector<Attribute> attributes = {});
  /// f() gives self, in place, the values of y: from then on self is what y is.
  template <class F>
  void replace(const Tensor& self, const Tensor& y, F f) {
    {
      const Pause pause;
      f();
    }
    add("replace", {y}, {self});
  }
  /// Throws Error where x depends on the inputs, in the name of what would make a constant of it, or change it in
  /// place.
  void refuse(const char* name, const Tensor& x) const;
  /// Throws Error where it is given by an op of this name, other than those that were traced, and depends on the
  /// inputs.
  void check_known(const char* name, std::span<const Tensor> inputs, std::span<const Tensor> outputs) const;
  /// Notes that something reads x: an op that check_known() names when it has run, or else what finish() throws for.
  void touch(const Tensor& x);

  bool depends(const Tensor& x) const;  ///< on the inputs
  /// Ends it, and returns the ops that led from the inputs to where it got. Throws Error where elements that depend on
  /// the inputs were read by anything else, and where a constant was changed after an op was given it.
  std::vector<Op> finish();

 private:
  /// While it lives, there is none.
  struct Pause {
    Pause();
    ~Pause();
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

    Trace* before;
  };

  static std::vector<Tensor> outputs_of(const Tensor& y) { return {y}; }
  template <class Y>
  static std::vector<Tensor> outputs_of(const Y& y) {
    return {y.values, y.indices};
  }

  Trace* before_;
  std::vector<Tensor> inputs_;
  std::vector<Op> ops_;
  std::unordered_set<const Storage*> storages_;  ///< of what depends on the inputs; ops_ and inputs_ keep them
  std::unordered_set<const void*> arrays_;       ///< that traced ops gave
  std::vector<std::pair<Tensor, std::uint32_t>> constants_;  ///< that they were given, and the versions
  bool touched_ = false;
  const char* touched_after_ = nullptr;  ///< which op, or null
};

}  // namespace tern
