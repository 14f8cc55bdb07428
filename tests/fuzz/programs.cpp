#include "programs.hpp"

#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>

#include <core/support.hpp>
#include <unary_cases.hpp>

#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

namespace tern::test {

namespace {

/// The largest finite value, or the largest inverse of one; 0 for none.
double largest(const std::vector<double>& values, bool of_inverses = false) {
  double most = 0;
  for (const double v : values) {
    if (!std::isfinite(v)) continue;
    most = std::max(most, std::abs(v));
    if (of_inverses && v != 0) most = std::max(most, std::abs(1 / v));
  }
  return most;
}

/// How far a value of that dtype may be off: so much of its own size, and so much besides.
struct Allowed {
  DType dtype;
  double besides;

  bool operator()(double want, double got) const {
    if (same(want, got)) return true;
    if (!is_floating(dtype) || std::isnan(want) || std::isnan(got)) return false;
    const bool is_float = dtype == DType::float32;
    const double most = is_float ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
    const double least = is_float ? std::numeric_limits<float>::min() : std::numeric_limits<double>::min();
    const double relative = is_float ? 1e-5 : 1e-12;
    if (std::isinf(want) || std::isinf(got)) {  // one rounded to infinity, the other nearly
      return (want > 0) == (got > 0) && std::min(std::abs(want), std::abs(got)) >= most * (1 - relative);
    }
    return std::abs(got - want) <= relative * (std::abs(want) + besides) + 4 * least;
  }
};

std::string difference(const std::vector<double>& want, const std::vector<double>& got, const Allowed& allowed) {
  if (want.size() != got.size()) return text(got.size(), " elements, expected ", want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (!allowed(want[i], got[i])) return text("element ", i, " is ", got[i], ", expected ", want[i]);
  }
  return "";
}

/// What the reference gave.
struct Trace {
  struct Step {
    std::string name, error;
    std::vector<Shape> inputs;
    Tensor output;          ///< undefined after an error
    double besides = 0;     ///< of Allowed
    double factor = 1;      ///< of a gradient's `besides`, times the largest one by the output
    double by_output = 0;   ///< the largest finite gradient by the output
    bool finite = true;     ///< that gradient's elements all are
    bool pads = false;
  };
  struct Edge {
    std::size_t step;
    Tensor gradient;
  };
  std::vector<Step> steps;
  std::vector<Edge> edges;  ///< from outputs to the ops that take them
  double largest_gradient = 0;
  std::string backward_error;
  std::vector<Tensor> leaf_gradients;

  std::string str() const {
    std::string all;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      all += text("\n  ", i, ": ", steps[i].name);
      for (const Shape& shape : steps[i].inputs) all += text(' ', shape);
      all += steps[i].output.defined() ? text(" -> ", steps[i].output.dtype(), " ", steps[i].output.shape())
                                       : text(" -> ", steps[i].error);
    }
    return all;
  }
};

/// Writes the source's elements over those of y, both dense, behind autograd's back.
void overwrite(const Tensor& y, const Tensor& source) {
  for_array(y, [&]<class T>(kernels::ArrayKernels<T>& k) {
    k.copy({.ndim = 1, .size = {y.numel()}, .a = {1}, .b = {1}}, source.data<T>(), y.data<T>());
  });
}

struct Op;
const std::vector<Op>& ops();

enum class Values { any, finite, whole };

/// A program on one device. Everything that it decides comes from the bytes and from shapes.
class Program {
 public:
  Program(std::string_view bytes, Device device, Trace& trace)
      : bytes_(bytes), device_(device), trace_(trace), is_reference_(device == Device::reference) {}

  void run();

  const std::vector<Tensor>& leaves() const { return leaves_; }

  // For the table of ops.
  Random random{0, 0};  ///< the step's own
  DType dtype = DType::float32;

  /// The values that the step's bytes choose, as inputs of its op.
  Tensor a() { return input(value(first_)); }
  Tensor b() { return input(value(second_)); }
  /// a(), or in its place a new tensor if that has not so many dimensions.
  Tensor a(int dims) {
    const Tensor x = value(first_);
    return x.dim() == dims && is_floating(x.dtype()) ? input(x) : fresh(random_shape(random, dims, dims, 6, 0.03));
  }
  /// A tensor that broadcasts with x, or at times b(), which may not.
  Tensor beside(const Tensor& x) {
    if (random.chance(0.3)) return b();
    Shape shape = x.shape();
    for (int d = 0; d < shape.size(); ++d) {
      if (random.chance(0.2)) shape[d] = 1;
    }
    while (!shape.empty() && random.chance(0.15)) shape.erase(0);
    return fresh(shape, random.chance(0.85) ? x.dtype() : random.pick({DType::uint8, DType::int64, dtype}));
  }
  /// A new leaf, seen through any view.
  Tensor fresh(const Shape& shape) { return fresh(shape, dtype); }
  Tensor fresh(const Shape& shape, DType type, Values kind = Values::any);
  /// Labels or indices below a bound.
  Tensor indices(std::int64_t n, std::int64_t bound) { return tensor(random.indices(n, bound), device_); }
  /// The value itself, for ops that change it in place, and one to change it by.
  const Tensor& itself() { return value(first_); }
  Tensor other() { return value(second_).detach(); }
  /// One of x's dimensions, at times one that it lacks.
  std::int64_t dim(const Tensor& x) {
    const std::int64_t n = std::max(x.dim(), 1), beyond = random.chance(0.03);
    return random.integer(-n - beyond, n - 1 + beyond);
  }
  Shape dims(const Tensor& x) {
    Shape some;
    for (const std::int64_t d : random_order(random, x.dim())) {
      if (random.chance(0.5)) some.push_back(random.chance(0.5) ? d : d - x.dim());
    }
    return some;
  }

 private:
  std::uint8_t byte() { return at_ < bytes_.size() ? static_cast<std::uint8_t>(bytes_[at_++]) : 0; }
  const Tensor& value(std::uint8_t choice) const { return values_[choice % values_.size()]; }
  Tensor input(const Tensor& x);
  void step(const Op& op);
  void keep(const Tensor& y, const Op& op);
  void backward();
  [[noreturn]] void disagree(const std::string& how) const {
    throw Disagreement(text(device_, ": ", how, ", in ", name_of(dtype), trace_.str()));
  }

  std::string_view bytes_;
  std::size_t at_ = 0;
  Device device_;
  Trace& trace_;
  bool is_reference_;

  std::vector<Tensor> values_, leaves_;
  std::size_t step_ = 0, edge_ = 0;
  std::uint8_t first_ = 0, second_ = 0;
  std::vector<Tensor> inputs_;  ///< of this step
  bool stopped_ = false;        ///< the values are too large to go on with
};

/// A row of the table: one op, or one way to call it.
struct Op {
  const char* name;
  Tensor (*run)(Program& p);
  double sums = 0;        ///< more than 0 where terms may cancel: the error is of the order of this times theirs
  bool inverts = false;   ///< the inverse of an input is one of the terms, of the output or the gradient
  bool in_place = false;  ///< it changes itself() and returns that
  bool pads = false;      ///< whether an infinite gradient makes NaN of padding's zeros is left open
};

template <Tensor (*op)(const Tensor&)>
Tensor unary(Program& p) {
  return op(p.a());
}
template <Tensor (*op)(const Tensor&, const Tensor&)>
Tensor binary(Program& p) {
  const Tensor a = p.a(), b = p.beside(a);
  return p.random.chance(0.5) ? op(a, b) : op(b, a);
}

HeightWidth window(Program& p, int most) {
  const auto h = p.random.integer(1, most), w = p.random.integer(1, most);
  return {h, w};
}
Pool2dOptions pooling(Program& p, HeightWidth kernel) {
  Pool2dOptions o;
  if (p.random.chance(0.6)) o.stride = window(p, 4);
  const auto h = p.random.integer(0, kernel.h / 2 + p.random.chance(0.05)), w = p.random.integer(0, kernel.w / 2);
  o.padding = {h, w};
  return o;
}
Activation activation(Program& p) {
  return p.random.pick({Activation::none, Activation::tanh, Activation::relu});
}
/// Images that windows fit more often than not.
Shape image_shape(Program& p) {
  const auto n = p.random.integer(p.random.chance(0.05) ? 0 : 1, 3), c = p.random.integer(1, 5);
  const auto h = p.random.integer(1, 11), w = p.random.integer(1, 11);
  return {n, c, h, w};
}
Tensor image(Program& p) { return p.random.chance(0.5) ? p.a(4) : p.fresh(image_shape(p)); }

Conv2dOptions convolution(Program& p, std::int64_t channels) {
  Conv2dOptions o{.stride = window(p, 3), .padding = {p.random.integer(0, 2), p.random.integer(0, 2)}};
  o.dilation = window(p, 2);
  const auto groups = p.random.integer(1, 3);
  if (channels % groups == 0 || p.random.chance(0.03)) o.groups = groups;
  return o;
}
/// Finite ones: whether an infinite weight makes NaN of padding's zeros is left open.
struct Filters {
  Tensor weight, bias;
};
Filters filters(Program& p, std::int64_t channels, std::int64_t groups, Values values = Values::finite) {
  const auto k = groups * p.random.integer(1, 4), r = p.random.integer(1, 4), s = p.random.integer(1, 4);
  const Tensor weight = p.fresh({k, channels / groups, r, s}, p.dtype, values);
  return {weight, p.random.chance(0.5) ? p.fresh({k}, p.dtype, values) : Tensor()};
}

Tensor conv2d_of(Program& p) {
  const Tensor x = image(p);
  const Conv2dOptions o = convolution(p, x.size(1));
  const Filters f = filters(p, x.size(1), o.groups);
  return conv2d(x, f.weight, f.bias, o);
}
/// On whole numbers, so that what is largest in a window does not hang on rounding.
Tensor conv2d_max_pool2d_of(Program& p) {
  const Tensor x = p.fresh(image_shape(p), p.dtype, Values::whole);
  const Conv2dOptions o = convolution(p, x.size(1));
  const Filters f = filters(p, x.size(1), o.groups, Values::whole);
  const HeightWidth kernel = window(p, 3);
  return conv2d_max_pool2d(x, f.weight, f.bias, o, kernel, activation(p));
}
struct Norm {
  Tensor mean, var, weight, bias;
  BatchNorm2dOptions options;
};
Norm norm(Program& p, std::int64_t channels, Values values = Values::any) {
  Norm n;
  n.options = {.training = p.random.chance(0.6), .momentum = 0.3, .eps = p.random.pick({1e-5, 1e-2})};
  n.options.activation = activation(p);
  if (!n.options.training || p.random.chance(0.5)) {
    const auto mean = p.random.between<double>(channels, -1, 1), var = p.random.between<double>(channels, 0.5, 2);
    n.mean = tensor(mean).to(p.dtype).to(p.itself().device());
    n.var = tensor(var).to(p.dtype).to(p.itself().device());
  }
  if (p.random.chance(0.7)) {
    n.weight = p.fresh({channels}, p.dtype, values).contiguous();
    n.bias = p.fresh({channels}, p.dtype, values).contiguous();
  }
  return n;
}
Tensor batch_norm2d_of(Program& p) {
  const Tensor x = image(p);
  Norm n = norm(p, x.size(1));
  if (p.random.chance(0.3)) n.options.residual = p.fresh(x.shape());
  return batch_norm2d(x, n.mean, n.var, n.weight, n.bias, n.options);
}
Tensor batch_norm2d_max_pool2d_of(Program& p) {
  const Tensor x = p.fresh(image_shape(p), p.dtype, Values::whole);
  const Norm n = norm(p, x.size(1), Values::whole);
  const HeightWidth kernel = window(p, 3);
  return batch_norm2d_max_pool2d(x, n.mean, n.var, n.weight, n.bias, n.options, kernel, pooling(p, kernel));
}
Tensor conv2d_batch_norm2d_max_pool2d_of(Program& p) {
  const Tensor x = p.fresh(image_shape(p), p.dtype, Values::whole);
  const Conv2dOptions o = convolution(p, x.size(1));
  const Filters f = filters(p, x.size(1), o.groups, Values::whole);
  const Norm n = norm(p, f.weight.size(0), Values::whole);
  return conv2d_batch_norm2d_max_pool2d(x, f.weight, f.bias, o, n.mean, n.var, n.weight, n.bias, n.options,
                                        window(p, 3));
}
Tensor matmul_of(Program& p) {
  const Tensor a = p.random.chance(0.5) ? p.a(2) : p.a(3);
  if (p.random.chance(0.05)) return matmul(a, p.b());
  const auto n = p.random.integer(p.random.chance(0.05) ? 0 : 1, 7);
  Shape shape{a.size(-1), n};
  if (p.random.chance(0.4)) shape.insert(0, a.dim() == 3 ? a.size(0) : p.random.integer(1, 3));
  return matmul(a, p.fresh(shape));
}
Tensor linear_of(Program& p) {
  const Tensor x = p.a();
  if (x.dim() == 0) return linear(x, p.b());
  const auto out = p.random.integer(p.random.chance(0.05) ? 0 : 1, 9);
  const Tensor weight = p.fresh({out, x.size(-1)});
  const Tensor bias = p.random.chance(0.5) ? p.fresh({out}) : Tensor();
  return linear(x, weight, bias, activation(p));
}
std::vector<Tensor> several(Program& p, bool any_size) {
  const Tensor x = p.a();
  std::vector<Tensor> all{x};
  const auto more = p.random.integer(0, 3);
  for (std::int64_t i = 0; i < more; ++i) {
    Shape shape = x.shape();
    if (any_size && shape.size() > 0) shape[0] = p.random.integer(0, 3);
    all.push_back(p.random.chance(0.1) ? p.b() : p.fresh(shape, x.dtype()));
  }
  return all;
}
Tensor cross_entropy_of(Program& p) {
  const Tensor x = p.a(2);
  const std::int64_t n = x.size(0), c = x.size(1);
  CrossEntropyOptions o{.reduction = p.random.pick({Reduction::none, Reduction::mean, Reduction::sum}),
                        .label_smoothing = p.random.pick({0.0, 0.0, 0.2, 1.0})};
  if (c == 0) return x;
  if (p.random.chance(0.4)) o.weight = p.fresh({c}).detach().contiguous();
  if (p.random.chance(0.4)) o.ignore_index = p.random.integer(0, c - 1);
  return cross_entropy(x, p.indices(n, c), o);
}
Shape reshaped(Program& p, const Tensor& x) {
  Shape shape;
  std::int64_t rest = x.numel();
  for (const std::int64_t factor : {2, 3, 4, 5}) {
    if (rest % factor == 0 && rest > 0 && p.random.chance(0.4)) {
      shape.push_back(factor);
      rest /= factor;
    }
    if (p.random.chance(0.15)) shape.push_back(1);
  }
  const auto at = p.random.integer(0, shape.size());
  shape.insert(static_cast<int>(at), p.random.chance(0.3) ? -1 : rest + p.random.chance(0.02));
  return shape;
}
Shape expanded(Program& p, const Tensor& x) {
  Shape shape = x.shape();
  for (int d = 0; d < shape.size(); ++d) {
    if (shape[d] == 1) shape[d] = p.random.integer(p.random.chance(0.1) ? 0 : 1, 4);
    if (p.random.chance(0.1)) shape[d] = p.random.pick<std::int64_t>({-1, 2});
  }
  if (shape.size() < Shape::max_dims && p.random.chance(0.4)) shape.insert(0, p.random.integer(1, 3));
  return shape;
}
Tensor narrowed(Program& p) {
  const Tensor x = p.a();
  const std::int64_t d = p.dim(x), size = x.dim() == 0 ? 1 : x.size(p.random.chance(0.98) ? d : 0);
  const auto start = p.random.integer(0, size), length = p.random.integer(0, size - start + p.random.chance(0.03));
  return x.narrow(d, start, length);
}
Tensor selected(Program& p) {
  const Tensor x = p.a();
  const std::int64_t d = p.dim(x);
  return x.select(d, p.random.integer(-1, 2));
}
Tensor index_select_of(Program& p) {
  const Tensor x = p.a();
  const std::int64_t d = p.dim(x), size = -x.dim() <= d && d < x.dim() ? x.size(d) : 0;
  return index_select(x, d, p.indices(size > 0 ? p.random.integer(0, 5) : 0, std::max<std::int64_t>(size, 1)));
}
double exponent(Program& p) { return p.random.pick({0.0, 0.5, 1.0, 2.0, 3.0, -1.0, -2.0, 2.3}); }

/// One row for each op.
const std::vector<Op>& ops() {
  using P = Program&;
  static const std::vector<Op> table{
      {"add", binary<add>},
      {"sub", binary<sub>},
      {"mul", binary<mul>},
      {"div", binary<div>, 0, true},
      {"maximum", binary<maximum>},
      {"minimum", binary<minimum>},
      {"x + 2.5", [](P p) { return p.a() + 2.5; }},
      {"2 - x", [](P p) { return 2 - p.a(); }},
      {"x * -1.5", [](P p) { return p.a() * -1.5; }},
      {"1.5 / x", [](P p) { return 1.5 / p.a(); }, 0, true},
      {"x * x",
       [](P p) {
         const Tensor x = p.a();
         return x * x;
       }},
      {"eq", binary<eq>},
      {"ne", binary<ne>},
      {"lt", binary<lt>},
      {"le", binary<le>},
      {"gt", binary<gt>},
      {"ge", binary<ge>},
      {"gt 0", [](P p) { return gt(p.a(), 0); }},
      {"neg", unary<neg>},
      {"exp", unary<exp>},
      {"log", unary<log>, 0, true},
      {"sqrt", unary<sqrt>, 0, true},
      {"pow",
       [](P p) {
         const Tensor x = p.a();
         return pow(x, exponent(p));
       },
       0, true},
      {"tanh", unary<tern::tanh>},
      {"relu", unary<relu>},
      {"sigmoid", unary<sigmoid>},
      {"an elementwise function",
       [](P p) {
         const auto last = static_cast<std::int64_t>(unary_cases().size()) - 1;
         return unary_cases()[static_cast<std::size_t>(p.random.integer(0, last))].function(p.a());
       },
       1, true},
      {"sum", unary<sum>, 1},
      {"sum over dims",
       [](P p) {
         const Tensor x = p.a();
         const Shape d = p.dims(x);
         return sum(x, d, p.random.chance(0.5));
       },
       1},
      {"mean", unary<mean>, 1},
      {"mean over dims",
       [](P p) {
         const Tensor x = p.a();
         const Shape d = p.dims(x);
         return mean(x, d, p.random.chance(0.5));
       },
       1},
      {"sum_of_squares", [](P p) { return sum_of_squares(several(p, true)); }, 1},
      {"max", unary<max>},
      {"max along dim",
       [](P p) {
         const Tensor x = p.a();
         const auto d = p.dim(x);
         return max(x, d, p.random.chance(0.5)).values;
       }},
      {"argmax", unary<argmax>},
      {"argmax along dim",
       [](P p) {
         const Tensor x = p.a();
         const auto d = p.dim(x);
         return argmax(x, d, p.random.chance(0.5));
       }},
      {"softmax",
       [](P p) {
         const Tensor x = p.a();
         return softmax(x, p.dim(x));
       },
       1},
      {"log_softmax",
       [](P p) {
         const Tensor x = p.a();
         return log_softmax(x, p.dim(x));
       },
       1},
      {"matmul", matmul_of, 1},
      {"linear", linear_of, 1},
      {"cat", [](P p) { return cat(several(p, true), p.random.chance(0.9) ? 0 : 1); }},
      {"stack",
       [](P p) {
         const auto all = several(p, false);
         return stack(all, p.dim(all[0]));
       }},
      {"index_select", index_select_of},
      {"conv2d", conv2d_of, 1, false, false, true},
      {"conv2d_max_pool2d", conv2d_max_pool2d_of, 1, false, false, true},
      {"max_pool2d",
       [](P p) {
         const Tensor x = image(p);
         const HeightWidth k = window(p, 4);
         return max_pool2d(x, k, pooling(p, k));
       }},
      {"max_pool2d's indices",
       [](P p) {
         const Tensor x = image(p);
         const HeightWidth k = window(p, 4);
         return max_pool2d_with_indices(x, k, pooling(p, k)).indices;
       }},
      {"avg_pool2d",
       [](P p) {
         const Tensor x = image(p);
         const HeightWidth k = window(p, 4);
         return avg_pool2d(x, k, pooling(p, k));
       },
       1},
      {"dropout",
       [](P p) {
         const Tensor x = p.a();
         Generator g(7);
         return dropout(x, p.random.pick({0.0, 0.3, 0.5, 1.0}), p.random.chance(0.8), g);
       }},
      {"dropout2d",
       [](P p) {
         const Tensor x = image(p);
         Generator g(7);
         return dropout2d(x, p.random.pick({0.0, 0.3, 0.5, 1.0}), p.random.chance(0.8), g);
       }},
      {"batch_norm2d", batch_norm2d_of, 1e3},
      {"batch_norm2d_max_pool2d", batch_norm2d_max_pool2d_of, 1e3},
      {"conv2d_batch_norm2d_max_pool2d", conv2d_batch_norm2d_max_pool2d_of, 1e3, false, false, true},
      {"cross_entropy", cross_entropy_of, 1},
      {"mse_loss",
       [](P p) {
         const Tensor x = p.a(), y = p.beside(x);
         return mse_loss(x, y, p.random.pick({Reduction::none, Reduction::mean, Reduction::sum}));
       },
       1},
      {"reshape",
       [](P p) {
         const Tensor x = p.a();
         return x.reshape(reshaped(p, x));
       }},
      {"view",
       [](P p) {
         const Tensor x = p.a();
         return x.view(reshaped(p, x));
       }},
      {"flatten",
       [](P p) {
         const Tensor x = p.a();
         const auto from = p.dim(x);
         return x.flatten(from, p.dim(x));
       }},
      {"permute",
       [](P p) {
         const Tensor x = p.a();
         return x.permute(random_order(p.random, x.dim()));
       }},
      {"transpose",
       [](P p) {
         const Tensor x = p.a();
         const auto d = p.dim(x);
         return x.transpose(d, p.dim(x));
       }},
      {"t", [](P p) { return p.a().t(); }},
      {"narrow", narrowed},
      {"select", selected},
      {"squeeze",
       [](P p) {
         const Tensor x = p.a();
         return x.squeeze(p.dim(x));
       }},
      {"unsqueeze",
       [](P p) {
         const Tensor x = p.a();
         return x.unsqueeze(p.dim(x));
       }},
      {"expand",
       [](P p) {
         const Tensor x = p.a();
         return x.expand(expanded(p, x));
       }},
      {"contiguous", [](P p) { return p.a().contiguous(); }},
      {"clone", [](P p) { return p.a().clone(); }},
      {"detach", [](P p) { return p.a().detach(); }},
      {"to float32", [](P p) { return p.a().to(DType::float32); }},
      {"to float64", [](P p) { return p.a().to(DType::float64); }},
      {"add_", [](P p) { return p.itself().add_(p.other(), p.random.pick({1.0, -0.5})); }, 0, false, true},
      {"sub_", [](P p) { return p.itself().sub_(p.other()); }, 0, false, true},
      {"mul_", [](P p) { return p.itself().mul_(p.other()); }, 0, false, true},
      {"div_", [](P p) { return p.itself().div_(p.other()); }, 0, false, true},
      {"copy_", [](P p) { return p.itself().copy_(p.other()); }, 0, false, true},
      {"fill_", [](P p) { return p.itself().fill_(p.random.pick({0.0, 1.0})); }, 0, false, true},
  };
  return table;
}

Tensor Program::fresh(const Shape& shape, DType type, Values values_are) {
  const Layout layout(random, shape);
  std::vector<double> values;
  const std::int64_t n = layout.source_shape.numel();
  const auto kind = random.integer(0, 7);
  if (type == DType::uint8) {
    values = random.between<double>(n, 0, 5);
  } else if (values_are == Values::whole || !is_floating(type) || kind < 2) {
    values = random.ties<double>(n);
    for (double& v : values) v = std::round(v);
  } else {
    values = random.between<double>(n, kind == 2 ? 0.5 : -3, 3);
    if (kind == 3 && values_are == Values::any) random.spoil(values);
  }
  const Tensor leaf = tensor(values).to(type).to(device_).reshape(layout.source_shape);
  if (is_floating(type)) {
    if (random.chance(0.9)) leaf.set_requires_grad();
    leaves_.push_back(leaf);
  }
  return input(layout.view(leaf));
}

Tensor Program::input(const Tensor& x) {
  inputs_.push_back(x);
  if (!is_floating(x.dtype())) return x;
  const std::size_t edge = edge_++;
  if (is_reference_) trace_.edges.push_back({step_, {}});
  return record("edge", {x}, x.detach(), [this, edge](const Tensor& gradient) -> Tensor {
    Trace::Edge& e = trace_.edges[edge];
    if (is_reference_) {
      e.gradient = gradient.clone();
      trace_.largest_gradient = std::max(trace_.largest_gradient, largest(gradient.to_vector<double>()));
      return gradient;
    }
    const Trace::Step& s = trace_.steps[e.step];
    const auto where = [&] { return text("a gradient by an input of step ", e.step, ", ", s.name, " "); };
    if (!e.gradient.defined()) disagree(where() + "is there");
    if (e.gradient.shape() != gradient.shape()) disagree(text(where(), "is ", gradient.shape()));
    const std::vector<double> want = e.gradient.to_vector<double>(), got = gradient.to_vector<double>();
    if (first_difference(want, got).empty()) return gradient;
    const std::string how = difference(want, got, {gradient.dtype(), s.factor * s.by_output});
    if (!how.empty() && (s.finite || !s.pads)) disagree(text(where(), gradient.shape(), ": ", how));
    return e.gradient.to(device_);
  });
}

void Program::step(const Op& op) {
  inputs_.clear();
  std::optional<std::string> error;
  Tensor y;
  try {
    std::optional<NoGradGuard> no_grad;
    if (op.in_place) no_grad.emplace();
    y = op.run(*this);
  } catch (const Error& e) {
    error = e.what();
  }
  if (is_reference_) {
    Trace::Step s{.name = op.name, .error = error.value_or(""), .inputs = {}, .output = {}, .pads = op.pads};
    double m = 0;
    for (const Tensor& x : inputs_) {
      s.inputs.push_back(x.shape());
      m = std::max(m, largest(x.to_vector<double>(), op.inverts));
    }
    s.besides = op.sums * (1 + m) * (1 + m);
    s.factor = std::max(1.0, op.sums) * (1 + m) * (1 + m);
    trace_.steps.push_back(s);
  } else if (error.value_or("") != trace_.steps[step_].error) {
    disagree(text("step ", step_, ", ", op.name, ": ", error ? *error : "no error", ", expected ",
                  trace_.steps[step_].error.empty() ? "none" : trace_.steps[step_].error));
  }
  if (!error) keep(y, op);
  ++step_;
}

void Program::keep(const Tensor& y, const Op& op) {
  Trace::Step& s = trace_.steps[step_];
  const std::size_t number = step_;
  Tensor kept = y.detach();
  if (is_reference_) {
    s.output = y.detach().clone();
  } else {
    const auto where = [&] { return text("step ", number, ", ", op.name, ": "); };
    if (y.dtype() != s.output.dtype()) disagree(text(where(), y.dtype()));
    if (y.shape() != s.output.shape()) disagree(text(where(), y.shape()));
    const std::vector<double> want = s.output.to_vector<double>(), got = y.to_vector<double>();
    const std::string how = difference(want, got, {y.dtype(), s.besides});
    if (!how.empty()) disagree(text(where(), y.shape(), ": ", how));
    if (!op.in_place && y.is_contiguous()) overwrite(y, s.output.to(device_));  // of zeros the signs, too
  }
  if (op.in_place) {
    const NoGradGuard no_grad;
    y.copy_(s.output);  // on the reference too, for the version
    kept = y;
  } else if (is_floating(y.dtype())) {
    kept = record("kept", {y}, kept, [this, number](const Tensor& gradient) -> Tensor {
      if (is_reference_) {
        const std::vector<double> values = gradient.to_vector<double>();
        trace_.steps[number].by_output = largest(values);
        trace_.steps[number].finite = std::ranges::all_of(values, [](double v) { return std::isfinite(v); });
      }
      return gradient;
    });
  }
  const double most = is_floating(y.dtype()) ? 1e6 : 1e9;
  if (y.numel() > 5000 || largest(s.output.to_vector<double>()) > most) {
    stopped_ = op.in_place;
  } else {
    values_.push_back(kept);
  }
}

void Program::backward() {
  std::size_t last = values_.size();
  while (last > 0 && !(is_floating(values_[last - 1].dtype()) && values_[last - 1].requires_grad())) --last;
  if (last == 0) return;
  const Tensor y = values_[last - 1];
  values_.clear();
  inputs_.clear();
  random = Random(byte(), 1);
  const bool again = random.chance(0.2), plain = y.numel() == 1 && random.chance(0.5);
  const Tensor gradient = random_view(random, y.shape(), y.dtype(), device_);
  std::string error;
  try {
    for (int i = again ? 0 : 1; i < 2; ++i) {
      if (plain) {
        y.backward(i == 0);
      } else {
        y.backward(gradient, i == 0);
      }
    }
  } catch (const Error& e) {
    error = e.what();
  }
  if (is_reference_) {
    trace_.backward_error = error;
  } else if (error != trace_.backward_error) {
    disagree(text("backward: ", error.empty() ? "no error" : error, ", expected ",
                  trace_.backward_error.empty() ? "none" : trace_.backward_error));
  }
  if (!error.empty()) return;
  for (std::size_t i = 0; i < leaves_.size(); ++i) {
    const Tensor g = leaves_[i].grad();
    if (is_reference_) {
      trace_.leaf_gradients.push_back(g.defined() ? g.clone() : g);
      continue;
    }
    const Tensor want = trace_.leaf_gradients[i];
    const auto where = [&] { return text("the gradient of leaf ", i, " ", leaves_[i].shape()); };
    if (g.defined() != want.defined()) disagree(where() + (g.defined() ? " is there" : " is not there"));
    if (!g.defined()) continue;
    if (g.shape() != want.shape() || g.dtype() != want.dtype()) disagree(text(where(), " is ", g.shape()));
    const std::string how =
        difference(want.to_vector<double>(), g.to_vector<double>(), {g.dtype(), trace_.largest_gradient});
    if (!how.empty()) disagree(text(where(), ": ", how));
  }
}

void Program::run() {
  const std::uint8_t first = byte();
  dtype = first % 4 == 0 ? DType::float64 : DType::float32;
  random = Random(first, 0);
  if (is_reference_) trace_.steps.push_back({.name = "leaf", .error = "", .inputs = {}, .output = {}});
  values_.push_back(fresh(random_shape(random, 0, 4, 7, 0.05)));
  if (is_reference_) trace_.steps[0].output = values_[0].detach().clone();
  ++step_;
  for (int i = 0; i < 12 && at_ < bytes_.size() && !stopped_; ++i) {
    const Op& op = ops()[byte() % ops().size()];
    first_ = byte();
    second_ = byte();
    const std::uint64_t high = byte(), low = byte();
    random = Random(high << 8 | low, 2);
    step(op);
  }
  backward();
}

}  // namespace

void run_program(std::string_view bytes, Device device, ProgramCounts& counts) {
  Trace trace;
  Program(bytes, Device::reference, trace).run();
  ++counts.programs;
  counts.ops += static_cast<std::int64_t>(trace.steps.size()) - 1;
  for (const Trace::Step& s : trace.steps) counts.errors += !s.error.empty();
  counts.backward += !trace.leaf_gradients.empty();
  for (const Tensor& g : trace.leaf_gradients) counts.gradients += g.defined();
  Program(bytes, device, trace).run();
}

}  // namespace tern::test
