#include <tern/core/check.hpp>
#include <tern/core/ops.hpp>
#include <tern/interop/onnx/graph.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string_view>

/// What each traced op is in ONNX's operators of opset 17. https://onnx.ai/onnx/operators

namespace tern::onnx {
namespace {

using std::int64_t;

constexpr int64_t to_end = std::numeric_limits<int64_t>::max();

Shape twice(const Shape& s) { return {s[0], s[1], s[0], s[1]}; }

[[noreturn]] void fail_without(const Step& s) { fail("the op '{}' has no counterpart in ONNX", s.name()); }

/// A dimension that counts from the front.
int64_t wrapped(int64_t d, int dims) { return d < 0 ? d + dims : d; }

void give(Graph& g, const Step& s, const Value& y) { g.name(s.output(), y); }

/// y as the dtype that it has here, where it was computed as int64.
Value as_own(Graph& g, const Tensor& y, const Value& v) {
  return y.dtype() == DType::uint8 ? g.node("Cast", {v}, {{"to", data_type(DType::uint8)}}) : v;
}

// Elementwise

void binary(Graph& g, const Step& s) {
  const std::string_view name = s.name();
  const bool floating = is_floating(s.x().dtype());
  const Value a = g.computable(s.input(0)), b = g.computable(s.input(1));
  const auto y = [&]() -> Value {
    if (name == "add") return g.node("Add", {a, b});
    if (name == "sub") return g.node("Sub", {a, b});
    if (name == "mul") return g.node("Mul", {a, b});
    if (name == "div") return g.node("Div", {a, b});
    if (name == "maximum") return g.node("Max", {a, b});
    if (name == "minimum") return g.node("Min", {a, b});
    if (name == "pow") return g.node("Pow", {a, b});
    if (name == "fmod") return g.node("Mod", {a, b}, {{"fmod", int64_t{1}}});
    if (name == "hypot") return g.node("Sqrt", {g.node("Add", {g.node("Mul", {a, a}), g.node("Mul", {b, b})})});
    if (floating) {
      const Value whole = g.node("Floor", {g.node("Div", {a, b})});
      return name == "floor_divide" ? whole : g.node("Sub", {a, g.node("Mul", {whole, b})});
    }
    const Value rest = g.node("Mod", {a, b});  // with b's sign
    return name == "remainder" ? rest : g.node("Div", {g.node("Sub", {a, rest}), b});
  }();
  give(g, s, as_own(g, s.y(), y));
}

void compare(Graph& g, const Step& s) {
  const std::string_view name = s.name();
  const Value a = g.computable(s.input(0)), b = g.computable(s.input(1));
  const char* const op = name == "lt"   ? "Less"
                         : name == "le" ? "LessOrEqual"
                         : name == "gt" ? "Greater"
                         : name == "ge" ? "GreaterOrEqual"
                                        : "Equal";
  const Value y = g.node(op, {a, b});
  g.name_mask(s.output(), name == "ne" ? g.node("Not", {y}) : y);
}

Value unary(Graph& g, const Step& s) {
  const Value x = g.value(s.input(0));
  const double a = s.number("a"), b = s.number("b");
  const auto number = [&](double v) { return g.number(s.x(), v); };
  const auto one = [&](const char* op, const Value& v) { return g.node(op, {v}); };
  const auto two = [&](const char* op, const Value& v, const Value& w) { return g.node(op, {v, w}); };
  const auto trunc = [&] { return two("Mul", one("Sign", x), one("Floor", one("Abs", x))); };
  const auto clip = [&] {
    return g.node("Clip", {x, std::isinf(a) ? Value() : number(a), std::isinf(b) ? Value() : number(b)});
  };
  switch (static_cast<UnaryOp>(s.integer("function"))) {
    case UnaryOp::neg:
      return one("Neg", x);
    case UnaryOp::exp:
      return one("Exp", x);
    case UnaryOp::log:
      return one("Log", x);
    case UnaryOp::sqrt:
      return one("Sqrt", x);
    case UnaryOp::pow:
      return two("Pow", x, number(a));
    case UnaryOp::tanh:
      return one("Tanh", x);
    case UnaryOp::relu:
      return one("Relu", x);
    case UnaryOp::sigmoid:
      return one("Sigmoid", x);
    case UnaryOp::leaky_relu:
      return g.node("LeakyRelu", {x}, {{"alpha", static_cast<float>(a)}});
    case UnaryOp::elu:
      return g.node("Elu", {x}, {{"alpha", static_cast<float>(a)}});
    case UnaryOp::gelu: {
      const Value phi = two("Add", one("Erf", two("Mul", x, number(std::numbers::sqrt2 / 2))), number(1));
      return two("Mul", two("Mul", x, phi), number(0.5));
    }
    case UnaryOp::gelu_tanh: {
      const double c = 2 * std::numbers::sqrt2 * std::numbers::inv_sqrtpi;
      const Value inner = two("Add", two("Mul", two("Mul", x, x), number(0.044715 * c)), number(c));
      return two("Mul", x, one("Sigmoid", two("Mul", x, inner)));
    }
    case UnaryOp::silu:
      return two("Mul", x, one("Sigmoid", x));
    case UnaryOp::softplus: {
      const Value scaled = a == 1 ? x : two("Mul", x, number(a));
      const Value y = one("Softplus", scaled), own = a == 1 ? y : two("Div", y, number(a));
      return g.node("Where", {two("Greater", scaled, number(b)), x, own});
    }
    case UnaryOp::sin:
      return one("Sin", x);
    case UnaryOp::cos:
      return one("Cos", x);
    case UnaryOp::rsqrt:
      return one("Reciprocal", one("Sqrt", x));
    case UnaryOp::abs:
      return one("Abs", x);
    case UnaryOp::round:
      return one("Round", x);
    case UnaryOp::floor:
      return one("Floor", x);
    case UnaryOp::ceil:
      return one("Ceil", x);
    case UnaryOp::sign:
      return one("Sign", x);
    case UnaryOp::log1p:
      return one("Log", two("Add", x, number(1)));
    case UnaryOp::expm1:
      return two("Sub", one("Exp", x), number(1));
    case UnaryOp::erf:
      return one("Erf", x);
    case UnaryOp::reciprocal:
      return one("Reciprocal", x);
    case UnaryOp::clamp:
    case UnaryOp::hardtanh:
      return clip();
    case UnaryOp::square:
      return two("Mul", x, x);
    case UnaryOp::log2:
      return two("Div", one("Log", x), number(std::numbers::ln2));
    case UnaryOp::log10:
      return two("Div", one("Log", x), number(std::numbers::ln10));
    case UnaryOp::exp2:
      return two("Pow", number(2), x);
    case UnaryOp::tan:
      return one("Tan", x);
    case UnaryOp::asin:
      return one("Asin", x);
    case UnaryOp::acos:
      return one("Acos", x);
    case UnaryOp::atan:
      return one("Atan", x);
    case UnaryOp::sinh:
      return one("Sinh", x);
    case UnaryOp::cosh:
      return one("Cosh", x);
    case UnaryOp::asinh:
      return one("Asinh", x);
    case UnaryOp::acosh:
      return one("Acosh", x);
    case UnaryOp::atanh:
      return one("Atanh", x);
    case UnaryOp::erfc:
      return two("Sub", number(1), one("Erf", x));
    case UnaryOp::trunc:
      return trunc();
    case UnaryOp::frac:
      return two("Sub", x, trunc());
    case UnaryOp::hardswish:
      return one("HardSwish", x);
    case UnaryOp::mish:
      return two("Mul", x, one("Tanh", one("Softplus", x)));
    case UnaryOp::selu:
      return g.node(
          "Selu", {x},
          {{"alpha", static_cast<float>(kernels::selu_alpha)}, {"gamma", static_cast<float>(kernels::selu_scale)}});
    case UnaryOp::logsigmoid:
      return one("Neg", one("Softplus", one("Neg", x)));
    case UnaryOp::softshrink:
      return g.node("Shrink", {x}, {{"lambd", static_cast<float>(a)}, {"bias", static_cast<float>(a)}});
    case UnaryOp::hardshrink:
      return g.node("Shrink", {x}, {{"lambd", static_cast<float>(a)}});
    case UnaryOp::threshold:
      return g.node("Where", {two("LessOrEqual", x, number(a)), number(b), x});
    case UnaryOp::smooth_l1: {
      const Value far = one("Abs", x), near = two("Mul", two("Mul", x, x), number(0.5 / a));
      return g.node("Where", {two("Less", far, number(a)), near, two("Sub", far, number(a / 2))});
    }
    default:
      fail_without(s);
  }
}

Value cast(Graph& g, const Step& s) {
  return g.node("Cast", {g.computable(s.input(0))}, {{"to", data_type(s.y().dtype())}});
}

Value where(Graph& g, const Step& s) {
  return g.node("Where", {g.mask(s.input(0)), g.value(s.input(1)), g.value(s.input(2))});
}

// Reductions

/// axes as ONNX 17 has them, an attribute of all reductions but ReduceSum.
Value reduced(Graph& g, const char* op, const Value& x, const Shape& dims, bool keepdim) {
  Attributes attributes{{"keepdims", int64_t{keepdim}}};
  if (std::string_view(op) == "ReduceSum") {
    return g.node(op, {x, dims.empty() ? Value() : g.integers({dims.begin(), dims.end()})}, attributes);
  }
  if (!dims.empty()) attributes.emplace_back("axes", dims);
  return g.node(op, {x}, attributes);
}

Value reduction(Graph& g, const Step& s) {
  const std::string_view name = s.name();
  const char* const op = name == "sum"    ? "ReduceSum"
                         : name == "mean" ? "ReduceMean"
                         : name == "amax" ? "ReduceMax"
                         : name == "amin" ? "ReduceMin"
                         : name == "prod" ? "ReduceProd"
                                          : "ReduceLogSumExp";
  return reduced(g, op, g.value(s.input(0)), s.shape("dims"), s.integer("keepdim") != 0);
}

Value norm(Graph& g, const Step& s) {
  const double p = s.number("p");
  const Value x = g.value(s.input(0));
  const auto of = [&](const char* op, const Value& v) {
    return reduced(g, op, v, s.shape("dims"), s.integer("keepdim") != 0);
  };
  if (p == 2) return of("ReduceL2", x);
  if (p == 1) return of("ReduceL1", x);
  const Value size = g.node("Abs", {x});
  if (std::isinf(p)) return of(p > 0 ? "ReduceMax" : "ReduceMin", size);
  if (p == 0) {
    const Value is_zero = g.node("Equal", {x, g.number(s.x(), 0)});
    return of("ReduceSum", g.node("Cast", {g.node("Not", {is_zero})}, {{"to", data_type(s.y().dtype())}}));
  }
  return g.node("Pow", {of("ReduceSum", g.node("Pow", {size, g.number(s.x(), p)})), g.number(s.x(), 1 / p)});
}

void extreme(Graph& g, const Step& s) {
  const bool largest = std::string_view(s.name()) == "max";
  const Value x = g.value(s.input(0));
  const int64_t dim = s.integer("dim"), keepdim = s.integer("keepdim");
  g.name(s.output(0), reduced(g, largest ? "ReduceMax" : "ReduceMin", x, Shape{dim}, keepdim != 0));
  g.name(s.output(1), g.node(largest ? "ArgMax" : "ArgMin", {x}, {{"axis", dim}, {"keepdims", keepdim}}));
}

Value softmax(Graph& g, const Step& s) {
  return g.node(std::string_view(s.name()) == "softmax" ? "Softmax" : "LogSoftmax", {g.value(s.input(0))},
                {{"axis", s.integer("dim")}});
}

Value cumsum(Graph& g, const Step& s) {
  return g.node("CumSum", {g.value(s.input(0)), g.constant(full({}, s.integer("dim"), {.dtype = DType::int64}))});
}

// Arrangements

Value reshape(Graph& g, const Step& s) { return g.reshaped(g.value(s.input(0)), s.output()); }

Value narrow(Graph& g, const Step& s) {
  const int64_t dim = s.integer("dim"), start = s.integer("start");
  const auto [two, three] = s.integers("length");
  const int d = static_cast<int>(dim);
  // Up to the end of a dimension that the batch makes longer.
  const bool whole = start + two == s.x().shape()[d] && start + three == s.input(0).three.shape()[d];
  if (!whole && two != three) s.fail_of_batch();
  return g.node("Slice", {g.value(s.input(0)), g.integers({start}), g.integers({whole ? to_end : start + two}),
                          g.integers({dim})});
}

Value slice(Graph& g, const Step& s) {
  const auto [two, three] = s.integers("end");
  const int d = static_cast<int>(s.integer("dim"));
  const bool whole = two == s.x().shape()[d] && three == s.input(0).three.shape()[d];
  if (!whole && two != three) s.fail_of_batch();
  return g.node("Slice", {g.value(s.input(0)), g.integers({s.integer("start")}), g.integers({whole ? to_end : two}),
                          g.integers({s.integer("dim")}), g.integers({s.integer("step")})});
}

Value pad(Graph& g, const Step& s) {
  const Shape before = s.shape("before"), after = s.shape("after");
  std::vector<int64_t> pads(before.begin(), before.end());
  pads.insert(pads.end(), after.begin(), after.end());
  return g.node("Pad", {g.value(s.input(0)), g.integers(pads), g.value(s.input(1))});
}

Value cat(Graph& g, const Step& s) {
  std::vector<Value> all;
  for (std::size_t i = 0; i < s.inputs(); ++i) all.push_back(g.value(s.input(i)));
  return g.node("Concat", all, {{"axis", s.integer("dim")}});
}

void topk(Graph& g, const Step& s) {
  const std::vector<Value> both = g.nodes("TopK", {g.value(s.input(0)), g.integers({s.integer("k")})}, 2,
                                          {{"axis", int64_t{-1}}, {"largest", s.integer("descending")}});
  g.name(s.output(0), both[0]);
  g.name(s.output(1), both[1]);
}

Value scatter(Graph& g, const Step& s) {
  check(s.input(1).two.shape() == s.input(2).two.shape(),
        "the op '{}' with an index {} and a src {}, which ONNX wants to be of one shape", s.name(),
        s.input(1).two.shape(), s.input(2).two.shape());
  Attributes attributes{{"axis", s.integer("dim")}};
  if (std::string_view(s.name()) == "scatter_add") attributes.emplace_back("reduction", "add");
  return g.node("ScatterElements", {g.value(s.input(0)), g.value(s.input(1)), g.value(s.input(2))}, attributes);
}

// Layers

Value linear(Graph& g, const Step& s) {
  const Value x = g.value(s.input(0)), w = g.value(s.input(1)), b = s.has(2) ? g.value(s.input(2)) : Value();
  if (s.x().dim() == 2) return g.node("Gemm", {x, w, b}, {{"transB", int64_t{1}}});
  const Value y = g.node("MatMul", {x, g.node("Transpose", {w}, {{"perm", Shape{1, 0}}})});
  return b.empty() ? y : g.node("Add", {y, b});
}

Value conv(Graph& g, const Step& s) {
  const Tensor& w = s.input(1).two;
  Attributes attributes{{"strides", s.shape("stride")},
                        {"pads", twice(s.shape("padding"))},
                        {"dilations", s.shape("dilation")},
                        {"group", s.integer("groups")},
                        {"kernel_shape", Shape{w.size(2), w.size(3)}}};
  const bool transposed = std::string_view(s.name()) == "conv_transpose";
  if (transposed) attributes.emplace_back("output_padding", s.shape("output_padding"));
  return g.node(transposed ? "ConvTranspose" : "Conv",
                {g.value(s.input(0)), g.value(s.input(1)), s.has(2) ? g.value(s.input(2)) : Value()}, attributes);
}

/// The windows of a pooling along one dimension, and the padding before and behind.
struct Windows {
  int64_t kernel, stride, before, behind, dilation;
};

Windows windows(const Step& s, int i) {
  const int64_t in = s.x().shape()[2 + i], out = s.y().shape()[2 + i], padding = s.shape("padding")[i];
  if (s.integer("adaptive") != 0) return {in / out, in / out, 0, 0, 1};
  return {s.shape("kernel")[i], s.shape("stride")[i], padding, padding + s.shape("beyond")[i], s.shape("dilation")[i]};
}

/// Whether an adaptive pooling's windows lie side by side.
bool shares_out_evenly(const Step& s) {
  return s.x().shape()[2] % s.y().shape()[2] == 0 && s.x().shape()[3] % s.y().shape()[3] == 0;
}

/// The windows of an adaptive pooling along dimension 2 or 3, from the first on.
std::vector<std::pair<int64_t, int64_t>> shares(const Step& s, int d) {
  std::vector<std::pair<int64_t, int64_t>> all;
  const int64_t in = s.x().shape()[d], out = s.y().shape()[d];
  for (int64_t p = 0; p < out; ++p) all.emplace_back(p * in / out, ((p + 1) * in + out - 1) / out);
  return all;
}

void max_pool(Graph& g, const Step& s) {
  g.name(s.output(1), {}, "the indices of max_pool");
  Value y = g.value(s.input(0));
  if (s.integer("adaptive") == 0 || shares_out_evenly(s)) {
    const Windows h = windows(s, 0), w = windows(s, 1);
    y = g.node("MaxPool", {y},
               {{"kernel_shape", Shape{h.kernel, w.kernel}},
                {"strides", Shape{h.stride, w.stride}},
                {"pads", Shape{h.before, w.before, h.behind, w.behind}},
                {"dilations", Shape{h.dilation, w.dilation}}});
    return give(g, s, y);
  }
  for (const int d : {2, 3}) {  // the largest of rows, and of columns of these
    std::vector<Value> parts;
    for (const auto& [begin, end] : shares(s, d)) {
      const Value part = g.node("Slice", {y, g.integers({begin}), g.integers({end}), g.integers({d})});
      parts.push_back(reduced(g, "ReduceMax", part, Shape{d}, true));
    }
    y = g.node("Concat", parts, {{"axis", int64_t{d}}});
  }
  give(g, s, y);
}

Value avg_pool(Graph& g, const Step& s) {
  Value x = g.value(s.input(0));
  if (s.integer("adaptive") != 0 && !shares_out_evenly(s)) {
    // A product from both sides with matrices of the windows' weights.
    const auto weights = [&](int d) {
      const Tensor m = zeros({s.y().shape()[d], s.x().shape()[d]}, {.dtype = s.x().dtype()});
      int64_t p = 0;
      for (const auto& [begin, end] : shares(s, d)) {
        m.select(0, p++).narrow(0, begin, end - begin).fill_(1 / static_cast<double>(end - begin));
      }
      return m;
    };
    const Value rows = g.node("MatMul", {g.constant(weights(2)), x});
    return g.node("MatMul", {rows, g.constant(weights(3).t())});
  }
  const Windows h = windows(s, 0), w = windows(s, 1);
  const int64_t divisor = s.integer("divisor");
  const bool include = s.integer("count_include_pad") != 0, beyond = h.behind > h.before || w.behind > w.before;
  const Value y = g.node("AveragePool", {x},
                         {{"kernel_shape", Shape{h.kernel, w.kernel}},
                          {"strides", Shape{h.stride, w.stride}},
                          {"pads", Shape{h.before, w.before, h.behind, w.behind}},
                          {"count_include_pad", int64_t{include || beyond || divisor != 0}}});
  if (!beyond && divisor == 0) return y;
  // Not what ONNX divides by: what lies beyond the padding never counts.
  const auto counted = [&](const Windows& along, int d) {
    std::vector<double> counts;
    const int64_t size = s.x().shape()[d];
    for (int64_t p = 0; p < s.y().shape()[d]; ++p) {
      const int64_t begin = p * along.stride - along.before, end = begin + along.kernel;
      counts.push_back(static_cast<double>(include ? std::min(end, size + along.before) - begin
                                                   : std::min(end, size) - std::max<int64_t>(begin, 0)));
    }
    return tensor(counts);
  };
  const double elements = static_cast<double>(h.kernel) * static_cast<double>(w.kernel);
  const Tensor by = divisor != 0 ? full({}, static_cast<double>(divisor), {.dtype = DType::float64})
                                 : counted(h, 2).unsqueeze(1) * counted(w, 3);
  return g.node("Mul", {y, g.constant((elements / by).to(s.x().dtype()))});
}

Value interpolate(Graph& g, const Step& s) {
  const auto mode = static_cast<InterpolateMode>(s.integer("mode"));
  const bool linear = mode == InterpolateMode::linear || mode == InterpolateMode::bilinear;
  Attributes attributes{{"mode", linear ? "linear" : "nearest"},
                        {"coordinate_transformation_mode", s.integer("align_corners") != 0    ? "align_corners"
                                                           : mode == InterpolateMode::nearest ? "asymmetric"
                                                                                              : "half_pixel"}};
  if (!linear)
    attributes.emplace_back("nearest_mode", mode == InterpolateMode::nearest ? "floor" : "round_prefer_ceil");
  const Value x = g.value(s.input(0));
  if (s.integer("by_factor") != 0) {
    const std::vector<float> factors{1, 1, static_cast<float>(s.number("factor_h")),
                                     static_cast<float>(s.number("factor_w"))};
    return g.node("Resize", {x, {}, g.constant(tensor(factors))}, attributes);
  }
  return g.node("Resize", {x, {}, {}, g.shape_of(s.output())}, attributes);
}

/// A weight or bias, or where there is none so many of the same number.
Value parameter(Graph& g, const Step& s, std::size_t i, const Shape& shape, double otherwise) {
  if (s.has(i)) return g.value(s.input(i));
  return g.constant(full(shape, otherwise, {.dtype = s.x().dtype()}));
}

Value batch_norm(Graph& g, const Step& s) {
  const Shape channels{s.x().size(1)};
  return g.node("BatchNormalization",
                {g.value(s.input(0)), parameter(g, s, 3, channels, 1), parameter(g, s, 4, channels, 0),
                 g.value(s.input(1)), g.value(s.input(2))},
                {{"epsilon", static_cast<float>(s.number("eps"))}});
}

Shape last_dims(const Step& s) {
  Shape dims;
  for (int64_t d = -s.integer("dims"); d < 0; ++d) dims.push_back(d);
  return dims;
}

Value layer_norm(Graph& g, const Step& s) {
  Shape shape;
  for (const int64_t d : last_dims(s)) shape.push_back(s.x().size(d));
  return g.node("LayerNormalization",
                {g.value(s.input(0)), parameter(g, s, 1, shape, 1), s.has(2) ? g.value(s.input(2)) : Value()},
                {{"axis", -s.integer("dims")}, {"epsilon", static_cast<float>(s.number("eps"))}});
}

/// Instance normalisation of the groups as channels, and then weight and bias.
Value group_norm(Graph& g, const Step& s) {
  const int64_t groups = s.integer("groups"), channels = s.x().size(1);
  const Attributes attributes{{"epsilon", static_cast<float>(s.number("eps"))}};
  const Value x = g.value(s.input(0));
  if (groups == channels) {
    return g.node("InstanceNormalization", {x, parameter(g, s, 1, {channels}, 1), parameter(g, s, 2, {channels}, 0)},
                  attributes);
  }
  const Value rows = g.node("Reshape", {x, g.integers({0, groups, -1})});
  const TensorOptions like{.dtype = s.x().dtype()};
  Value y = g.node("InstanceNormalization", {rows, g.constant(ones({groups}, like)), g.constant(zeros({groups}, like))},
                   attributes);
  y = g.reshaped(y, s.output());
  std::vector<int64_t> each{channels};
  each.resize(static_cast<std::size_t>(s.x().dim() - 1), 1);
  const auto of_channels = [&](std::size_t i) { return g.node("Reshape", {g.value(s.input(i)), g.integers(each)}); };
  if (s.has(1)) y = g.node("Mul", {y, of_channels(1)});
  if (s.has(2)) y = g.node("Add", {y, of_channels(2)});
  return y;
}

Value rms_norm(Graph& g, const Step& s) {
  const Value x = g.value(s.input(0));
  const Value squares = reduced(g, "ReduceMean", g.node("Mul", {x, x}), last_dims(s), true);
  const Value y = g.node("Div", {x, g.node("Sqrt", {g.node("Add", {squares, g.number(s.x(), s.number("eps"))})})});
  return s.has(1) ? g.node("Mul", {y, g.value(s.input(1))}) : y;
}

/// One direction of one layer. ONNX has the gates in another order and both biases in one tensor.
Value recurrent(Graph& g, const Step& s) {
  const auto cell = static_cast<kernels::Cell>(s.integer("cell"));
  const int64_t H = s.input(2).two.size(1), gates = kernels::CellShape{cell}.sums();
  for (std::size_t i = 1; i < 5; ++i) {
    check(!s.has(i) || s.input(i).two.is_same(s.input(i).three), "the op '{}' with weights that are computed",
          s.name());
  }
  // Input, forget, cell and output gate become input, output, forget, cell; reset, update, new: update, reset, new.
  const std::vector<int64_t> order = cell == kernels::Cell::lstm  ? std::vector<int64_t>{0, 3, 1, 2}
                                     : cell == kernels::Cell::gru ? std::vector<int64_t>{1, 0, 2}
                                                                  : std::vector<int64_t>{0};
  const auto ordered = [&](const Tensor& w) {
    std::vector<Tensor> parts;
    for (const int64_t gate : order) parts.push_back(w.detach().cpu().narrow(0, gate * H, H));
    return tern::cat(parts);
  };
  const Value W = g.constant(ordered(s.input(1).two).unsqueeze(0)),
              R = g.constant(ordered(s.input(2).two).unsqueeze(0));
  const Tensor none = zeros({gates * H}, {.dtype = s.x().dtype()});
  const auto bias = [&](std::size_t i) { return s.has(i) ? ordered(s.input(i).two) : none; };
  const Value B = g.constant(tern::cat({bias(3), bias(4)}).unsqueeze(0));
  const auto state = [&](std::size_t i) { return g.node("Unsqueeze", {g.value(s.input(i)), g.integers({0})}); };
  std::vector<Value> inputs{g.value(s.input(0)), W, R, B, {}, state(5)};
  Attributes attributes{{"hidden_size", H}, {"direction", s.integer("reverse") != 0 ? "reverse" : "forward"}};
  const auto steps = [&](const Value& all) { return g.node("Squeeze", {all, g.integers({1})}); };
  if (cell == kernels::Cell::lstm) {
    inputs.push_back(state(6));
    const std::vector<Value> y = g.nodes("LSTM", inputs, 3, attributes);
    return g.node("Concat", {steps(y[0]), y[2]}, {{"axis", int64_t{0}}});
  }
  if (cell == kernels::Cell::gru) {
    attributes.emplace_back("linear_before_reset", int64_t{1});
    return steps(g.nodes("GRU", inputs, 2, attributes)[0]);
  }
  attributes.emplace_back("activations", std::vector<std::string>{cell == kernels::Cell::relu ? "Relu" : "Tanh"});
  return steps(g.nodes("RNN", inputs, 2, attributes)[0]);
}

using Simple = Value (*)(Graph&, const Step&);
using Own = void (*)(Graph&, const Step&);

/// Of one result, and of others.
const std::map<std::string_view, Simple> simple{
    {"to", cast},
    {"where", where},
    {"sum", reduction},
    {"mean", reduction},
    {"amax", reduction},
    {"amin", reduction},
    {"prod", reduction},
    {"logsumexp", reduction},
    {"norm", norm},
    {"softmax", softmax},
    {"log_softmax", softmax},
    {"cumsum", cumsum},
    {"clone", [](Graph& g, const Step& s) { return g.value(s.input(0)); }},
    {"reshape", reshape},
    {"permute",
     [](Graph& g, const Step& s) {
       Shape dims = s.shape("dims");
       for (int d = 0; d < dims.size(); ++d) dims[d] = wrapped(dims[d], s.x().dim());
       return g.node("Transpose", {g.value(s.input(0))}, {{"perm", dims}});
     }},
    {"expand",
     [](Graph& g, const Step& s) {
       return g.node("Expand", {g.value(s.input(0)), g.shape_of(s.output())});
     }},
    {"narrow", narrow},
    {"slice", slice},
    {"pad", pad},
    {"cat", cat},
    {"index_select",
     [](Graph& g, const Step& s) {
       return g.node("Gather", {g.value(s.input(0)), g.value(s.input(1))}, {{"axis", s.integer("dim")}});
     }},
    {"gather",
     [](Graph& g, const Step& s) {
       return g.node("GatherElements", {g.value(s.input(0)), g.value(s.input(1))}, {{"axis", s.integer("dim")}});
     }},
    {"embedding",
     [](Graph& g, const Step& s) {
       return g.node("Gather", {g.value(s.input(1)), g.value(s.input(0))});
     }},
    {"scatter", scatter},
    {"scatter_add", scatter},
    {"matmul",
     [](Graph& g, const Step& s) {
       return g.node("MatMul", {g.value(s.input(0)), g.value(s.input(1))});
     }},
    {"linear", linear},
    {"conv", conv},
    {"conv_transpose", conv},
    {"avg_pool", avg_pool},
    {"interpolate", interpolate},
    {"batch_norm", batch_norm},
    {"layer_norm", layer_norm},
    {"group_norm", group_norm},
    {"rms_norm", rms_norm},
    {"recurrent", recurrent}};
const std::map<std::string_view, Own> own{
    {"add", binary},          {"sub", binary},
    {"mul", binary},          {"div", binary},
    {"maximum", binary},      {"minimum", binary},
    {"pow", binary},          {"hypot", binary},
    {"fmod", binary},         {"remainder", binary},
    {"floor_divide", binary}, {"eq", compare},
    {"ne", compare},          {"lt", compare},
    {"le", compare},          {"gt", compare},
    {"ge", compare},          {"max", extreme},
    {"min", extreme},         {"topk", topk},
    {"max_pool", max_pool},   {"replace", [](Graph& g, const Step& s) { g.rename(s.output(), s.input(0)); }}};

}  // namespace

void add_op(Graph& graph, const Step& step) {
  if (step.is_unary()) {
    give(graph, step, unary(graph, step));
  } else if (const auto found = simple.find(step.name()); found != simple.end()) {
    give(graph, step, found->second(graph, step));
  } else if (const auto other = own.find(step.name()); other != own.end()) {
    other->second(graph, step);
  } else {
    fail_without(step);
  }
}

}  // namespace tern::onnx
