#include <tern/core/check.hpp>
#include <tern/core/graph_access.hpp>
#include <tern/core/ops.hpp>
#include <tern/interop/onnx/graph.hpp>

#include <algorithm>
#include <cstring>

namespace tern::onnx {
namespace {

std::string_view bytes_of(const Tensor& dense) {
  return {static_cast<const char*>(dense.storage()->data()) +
              static_cast<std::size_t>(dense.storage_offset()) * size_of(dense.dtype()),
          static_cast<std::size_t>(dense.numel()) * size_of(dense.dtype())};
}

Tensor on_host(const Tensor& x) { return x.detach().cpu().contiguous(); }

/// Whether both have the same numbers, all of them one.
bool are_one_number(const Tensor& a, const Tensor& b) {
  const std::string_view x = bytes_of(a), y = bytes_of(b);
  const std::size_t size = size_of(a.dtype());
  if (x.empty() || y.empty()) return false;
  const auto repeats = [&](std::string_view all) {
    for (std::size_t at = 0; at < all.size(); at += size) {
      if (all.substr(at, size) != x.substr(0, size)) return false;
    }
    return true;
  };
  return repeats(x) && repeats(y);
}

Message attribute(const char* name, const Attribute& value) {
  enum Type : std::int64_t { type_float = 1, type_int = 2, type_string = 3, type_ints = 7, type_strings = 8 };
  Message m;
  m.add(1, std::string_view(name));
  if (const auto* i = std::get_if<std::int64_t>(&value)) {
    m.add(3, *i).add(20, std::int64_t{type_int});
  } else if (const auto* f = std::get_if<float>(&value)) {
    m.add(2, *f).add(20, std::int64_t{type_float});
  } else if (const auto* s = std::get_if<std::string>(&value)) {
    m.add(4, *s).add(20, std::int64_t{type_string});
  } else if (const auto* all = std::get_if<std::vector<std::string>>(&value)) {
    for (const std::string& each : *all) m.add(9, each);
    m.add(20, std::int64_t{type_strings});
  } else {
    for (const std::int64_t n : std::get<Shape>(value)) m.add(8, n);
    m.add(20, std::int64_t{type_ints});
  }
  return m;
}

}  // namespace

std::int64_t data_type(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return 1;
    case DType::uint8:
      return 2;
    case DType::int64:
      return 7;
    case DType::float16:
      return 10;
    case DType::float64:
      return 11;
    case DType::bfloat16:
      return 16;
  }
  fail("data_type: no such dtype");
}

void Step::fail_of_batch() const {
  fail("the op '{}' depends on the batch's size in a way that ONNX has no words for, expected no batch_dim", name());
}

std::int64_t Step::integer(const char* attribute) const {
  if (two_.integer(attribute) != three_.integer(attribute)) fail_of_batch();
  return two_.integer(attribute);
}

double Step::number(const char* attribute) const {
  if (two_.number(attribute) != three_.number(attribute)) fail_of_batch();
  return two_.number(attribute);
}

Shape Step::shape(const char* attribute) const {
  if (two_.shape(attribute) != three_.shape(attribute)) fail_of_batch();
  return two_.shape(attribute);
}

Size Graph::size(const Both& x, int d) {
  const std::int64_t two = x.two.shape()[d], three = x.three.shape()[d];
  if (two == three) return {two, false};
  check(two * 3 == three * 2,
        "dimension {} of shape {} is {} for a batch of 3, expected a multiple of its size, or no batch_dim", d,
        x.two.shape(), three);
  return {two / 2, true};
}

Value Graph::fresh(const std::string& stem) {
  for (;;) {
    Value name = fmt::format("{}_{}", stem, counts_[stem]++);
    if (!state_.contains(name) && !taken_.contains(name)) return name;
  }
}

Message Graph::type_of(const Both& x) const {
  Message shape;
  for (int d = 0; d < x.two.dim(); ++d) {
    const Size s = size(x, d);
    Message dim;
    if (!s.of_batch) {
      dim.add(1, s.n);
    } else {
      dim.add(2, s.n == 1 ? std::string("batch") : fmt::format("{} * batch", s.n));
    }
    shape.add(1, dim);
  }
  Message tensor, type;
  tensor.add(1, data_type(x.two.dtype())).add(2, shape);
  type.add(1, tensor);
  return type;
}

void Graph::add_input(const Both& x, const Value& value, std::optional<int> batch_dim) {
  reserve(value);
  inputs_.add(11, Message().add(1, value).add(2, type_of(x)));
  name(x, value);
  if (batch_dim && batch_source_.empty() && *batch_dim < x.two.dim()) {
    batch_source_ = value;
    batch_dim_ = *batch_dim;
  }
}

void Graph::add_output(const Both& y, const Value& name) {
  nodes_.add(1, Message().add(1, value(y)).add(2, name).add(3, name).add(4, std::string_view("Identity")));
  outputs_.add(12, Message().add(1, name).add(2, type_of(y)));
}

Message Graph::message(const std::string& name) const {
  return Message().merge(nodes_).add(2, name).merge(initializers_).merge(inputs_).merge(outputs_);
}

std::vector<Value> Graph::nodes(const char* op_type, const std::vector<Value>& inputs, int outputs,
                                const Attributes& attributes) {
  Message m;
  std::size_t given = inputs.size();
  while (given > 0 && inputs[given - 1].empty()) --given;  // trailing ones are left out
  for (std::size_t i = 0; i < given; ++i) m.add(1, inputs[i]);
  const Value node_name = fresh(op_type);
  std::vector<Value> results;
  for (int i = 0; i < outputs; ++i) {
    results.push_back(outputs == 1 ? node_name : fresh(op_type));
    m.add(2, results.back());
  }
  m.add(3, node_name).add(4, std::string_view(op_type));
  for (const auto& [key, v] : attributes) m.add(5, attribute(key, v));
  nodes_.add(1, m);
  return results;
}

Value Graph::node(const char* op_type, const std::vector<Value>& inputs, const Attributes& attributes) {
  return nodes(op_type, inputs, 1, attributes)[0];
}

Graph::Known* Graph::find(const Tensor& two) {
  const auto found = by_array_.find(GraphAccess::array(two));
  return found == by_array_.end() ? nullptr : &known_[found->second];
}

void Graph::name(const Both& x, const Value& value, const char* why) {
  if (!x.two.defined() || find(x.two)) return;
  by_array_[GraphAccess::array(x.two)] = known_.size();
  known_.push_back({x.two, x.three, value, {}, why});
}

void Graph::rename(const Both& x, const Both& y) {
  const Value of_y = value(y);
  by_array_.erase(GraphAccess::array(x.two));
  name(x, of_y);
}

void Graph::name_mask(const Both& x, const Value& value) {
  if (find(x.two)) return;
  name(x, {});
  find(x.two)->as_mask = value;
}

Value Graph::initializer(const Value& name, const Tensor& x) {
  const Tensor dense = on_host(x);
  Message m;
  for (const std::int64_t n : dense.shape()) m.add(1, n);
  m.add(2, data_type(dense.dtype())).add(8, name).add(9, bytes_of(dense));
  initializers_.add(5, m);
  return name;
}

Value Graph::constant(const Tensor& x) { return initializer(fresh("constant"), x); }

Value Graph::integers(const std::vector<std::int64_t>& values) {
  Value& known = integers_[values];
  if (known.empty()) known = constant(tensor(values));
  return known;
}

Value Graph::number(const Tensor& x, double v) { return constant(full({}, v, {.dtype = x.dtype()})); }

Value Graph::value(const Both& x) {
  if (!x.two.defined()) return {};
  if (Known* const known = find(x.two)) {
    check(known->three.is_same(x.three), "the ops of two batches differ, expected no batch_dim");
    if (known->value.empty() && !known->as_mask.empty()) {
      const Value cast = node("Cast", {known->as_mask}, {{"to", data_type(DType::uint8)}});
      known->value = cast;
    }
    check(!known->value.empty(), "a result of '{}' is used that ONNX does not have", known->why);
    return known->value;
  }
  for (const auto& [name, tensor] : state_) {
    const bool is_it = tensor.is_same(x.two),
               shows_it = tensor.storage() == x.two.storage() && tensor.storage_offset() == x.two.storage_offset() &&
                          tensor.numel() == x.two.numel() && tensor.is_contiguous() && x.two.is_contiguous();
    if (!is_it && !shows_it) continue;
    if (!taken_.contains(name)) {
      taken_.insert(name);
      initializer(name, tensor);
    }
    if (tensor.shape() == x.two.shape()) return name;
    return reshaped(name, {x.two, x.two});
  }
  Value v;
  const Tensor two = on_host(x.two), three = on_host(x.three);
  if (two.shape() == three.shape()) {
    check(bytes_of(two) == bytes_of(three),
          "a constant of shape {} has other values for another batch, expected the same, or no batch_dim", two.shape());
    v = constant(two);
  } else {
    check(are_one_number(two, three),
          "a constant of shape {} depends on the batch's size, expected one number, or no batch_dim", two.shape());
    v = node("Expand", {constant(two.reshape({-1}).narrow(0, 0, 1).reshape({})), shape_of(x)});
  }
  name(x, v);
  return v;
}

Value Graph::batch_size() {
  check(!batch_source_.empty(), "no input has the batch_dim, expected one");
  if (batch_size_.empty()) {
    const Value shape = node("Shape", {batch_source_});
    batch_size_ = node("Gather", {shape, integers({batch_dim_})});
  }
  return batch_size_;
}

Value Graph::sizes_of(const Both& x, bool may_infer) {
  std::vector<std::int64_t> sizes;
  int of_batch = 0;
  bool empty = false;
  for (int d = 0; d < x.two.dim(); ++d) {
    const Size s = size(x, d);
    of_batch += s.of_batch;
    empty = empty || s.n == 0;
    sizes.push_back(s.of_batch ? -1 : s.n);
  }
  if (of_batch == 0 || (of_batch == 1 && may_infer && !empty)) return integers(sizes);
  std::vector<Value> parts;
  std::vector<std::int64_t> run;
  const auto end_run = [&] {
    if (!run.empty()) parts.push_back(integers(run));
    run.clear();
  };
  for (int d = 0; d < x.two.dim(); ++d) {
    const Size s = size(x, d);
    if (!s.of_batch) {
      run.push_back(s.n);
      continue;
    }
    end_run();
    parts.push_back(s.n == 1 ? batch_size() : node("Mul", {batch_size(), integers({s.n})}));
  }
  end_run();
  return parts.size() == 1 ? parts[0] : node("Concat", parts, {{"axis", std::int64_t{0}}});
}

Value Graph::reshaped(const Value& v, const Both& y) {
  Attributes attributes;
  for (const std::int64_t n : y.two.shape()) {
    if (n == 0) attributes = {{"allowzero", std::int64_t{1}}};
  }
  return node("Reshape", {v, sizes_of(y, true)}, attributes);
}

Value Graph::mask(const Both& x) {
  if (Known* const known = find(x.two); known && !known->as_mask.empty()) return known->as_mask;
  const Value cast = node("Cast", {value(x)}, {{"to", std::int64_t{9}}});  // BOOL
  if (Known* const known = find(x.two)) known->as_mask = cast;
  return cast;
}

Value Graph::computable(const Both& x) {
  if (x.two.dtype() != DType::uint8) return value(x);
  const Known* const known = find(x.two);
  return node("Cast", {known && !known->as_mask.empty() ? known->as_mask : value(x)},
              {{"to", data_type(DType::int64)}});
}

}  // namespace tern::onnx
