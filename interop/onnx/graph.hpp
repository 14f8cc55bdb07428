#pragma once

#include <tern/core/trace.hpp>
#include <tern/interop/onnx/proto.hpp>
#include <tern/layers/module.hpp>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace tern::onnx {

/// A tensor of two runs of a model, on batches of 2 and of 3; where all sizes are fixed, of one run twice.
struct Both {
  const Tensor &two, &three;
};

/// A size: n, or n for each of the batch.
struct Size {
  std::int64_t n;
  bool of_batch;
};

/// An op of two runs.
class Step {
 public:
  Step(const Trace::Op& two, const Trace::Op& three) : two_(two), three_(three) {}

  const char* name() const { return two_.name; }
  std::size_t inputs() const { return two_.inputs.size(); }
  Both input(std::size_t i) const { return {two_.inputs[i], three_.inputs[i]}; }
  Both output(std::size_t i = 0) const { return {two_.outputs[i], three_.outputs[i]}; }
  bool is_unary() const { return two_.has("function"); }  ///< an elementwise function of one tensor
  bool has(std::size_t i) const { return i < inputs() && two_.inputs[i].defined(); }
  const Tensor& x() const { return two_.inputs[0]; }
  const Tensor& y() const { return two_.outputs[0]; }

  // Attributes, which throw where they differ between the runs.
  std::int64_t integer(const char* attribute) const;
  double number(const char* attribute) const;
  Shape shape(const char* attribute) const;
  /// That of the first run, and of the second.
  std::pair<std::int64_t, std::int64_t> integers(const char* attribute) const {
    return {two_.integer(attribute), three_.integer(attribute)};
  }
  [[noreturn]] void fail_of_batch() const;

 private:
  const Trace::Op &two_, &three_;
};

using Value = std::string;  ///< a value's name in the graph; empty where it is left out
using Attribute = std::variant<std::int64_t, float, std::string, Shape, std::vector<std::string>>;
using Attributes = std::vector<std::pair<const char*, Attribute>>;

/// A GraphProto in the making.
class Graph {
 public:
  /// `state` is the model's, for the names of constants.
  explicit Graph(StateDict state) : state_(std::move(state)) {}

  /// Keeps a name for an output.
  void reserve(const Value& name) { taken_.insert(name); }
  void add_input(const Both& x, const Value& name, std::optional<int> batch_dim);
  void add_output(const Both& y, const Value& name);
  /// The whole.
  Message message(const std::string& name) const;

  /// A node of one output.
  Value node(const char* op_type, const std::vector<Value>& inputs, const Attributes& attributes = {});
  /// A node of several.
  std::vector<Value> nodes(const char* op_type, const std::vector<Value>& inputs, int outputs,
                           const Attributes& attributes = {});

  /// What an op gave, an input, a parameter or buffer under its name, or a constant of x's elements; of an undefined x
  /// it is left out. Throws Error for a result that has no counterpart.
  Value value(const Both& x);
  Value constant(const Tensor& x);
  Value integers(const std::vector<std::int64_t>& values);
  /// One number of x's dtype.
  Value number(const Tensor& x, double v);
  /// x's shape as int64 [x.dim()].
  Value shape_of(const Both& x) { return sizes_of(x, false); }
  /// v in y's shape.
  Value reshaped(const Value& v, const Both& y);
  /// A mask, uint8 here, as ONNX's bool.
  Value mask(const Both& x);
  /// An integer tensor as int64, in which ONNX's runtimes compute; others as they are.
  Value computable(const Both& x);

  /// Says which value a tensor is. An empty name is none: `why` is the op that has no counterpart for it.
  void name(const Both& x, const Value& value, const char* why = "");
  void rename(const Both& x, const Both& y);          ///< x is what y is from now on
  void name_mask(const Both& x, const Value& value);  ///< that is a bool

  /// The size of dimension d. Throws Error where it depends on the batch in another way.
  static Size size(const Both& x, int d);

 private:
  struct Known {
    Tensor two, three;
    Value value, as_mask;
    const char* why = "";
  };
  Known* find(const Tensor& two);
  Value fresh(const std::string& stem);
  Message type_of(const Both& x) const;
  Value initializer(const Value& name, const Tensor& x);
  Value batch_size();
  /// With `may_infer`, -1 may stand for one of them.
  Value sizes_of(const Both& x, bool may_infer);

  StateDict state_;
  std::vector<Known> known_;
  std::map<const void*, std::size_t> by_array_;  ///< of known_
  std::map<std::vector<std::int64_t>, Value> integers_;
  std::map<std::string, int> counts_;  ///< of names that begin alike
  Message nodes_, initializers_, inputs_, outputs_;
  std::set<std::string> taken_;  ///< names beside those that fresh() gave
  Value batch_source_, batch_size_;
  int batch_dim_ = 0;
};

/// Adds what a traced op is in ONNX. Throws Error for one that has no counterpart.
void add_op(Graph& graph, const Step& step);

/// ONNX's number for a dtype.
std::int64_t data_type(DType dtype);

}  // namespace tern::onnx
