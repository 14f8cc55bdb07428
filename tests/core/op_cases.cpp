#include "gradcheck.hpp"
#include "support.hpp"

#include <tern/core/ops.hpp>

#include <unary_cases.hpp>

#include <cmath>

namespace tern::test {

namespace {

using Inputs = const std::vector<Tensor>&;

/// Inputs of these shapes in any layout. No two values lie within 0.004 of each other, nor any that near to 0, except
/// for those that a layout repeats.
Problem problem(Random& random, const std::vector<Shape>& shapes, const Function& f,
                bool may_repeat = true) {
  std::vector<Layout> layouts;
  std::int64_t n = 0;
  for (const Shape& shape : shapes) n += layouts.emplace_back(random, shape, may_repeat).source_shape.numel();
  std::vector<double> pool;
  for (std::int64_t i = 0; i < n; ++i) {
    const double u = (static_cast<double>(i) + random.real(0.3, 0.7)) / static_cast<double>(n);
    const double v = u < 0.5 ? 4 * u - 2.1 : 4 * u - 1.9;
    pool.push_back(static_cast<float>(v));
  }
  for (std::int64_t i = n - 1; i > 0; --i) std::swap(pool[i], pool[random.integer(0, i)]);

  Problem p;
  for (const Layout& layout : layouts) {
    const std::int64_t own = layout.source_shape.numel();
    p.inputs.push_back(
        tensor(std::vector<double>(pool.end() - own, pool.end()), Device::reference).reshape(layout.source_shape));
    pool.resize(pool.size() - own);
  }
  p.function = [=](Inputs sources) {
    std::vector<Tensor> views;
    for (std::size_t i = 0; i < sources.size(); ++i) views.push_back(layouts[i].view(sources[i]));
    return f(views);
  };
  return p;
}

/// An op of one tensor of any shape.
template <class F>
std::function<Problem(Random&)> unary(F f) {
  return [=](Random& random) {
    return problem(random, {random_shape(random, 0, 4, 4)}, [=](Inputs x) { return f(x[0]); });
  };
}

/// An op of two tensors that broadcast to each other.
template <class F>
std::function<Problem(Random&)> binary(F f) {
  return [=](Random& random) {
    const Shape both = random_shape(random, 0, 4, 4);
    std::vector<Shape> shapes(2, both);
    for (Shape& shape : shapes) {
      for (int d = 0; d < shape.size(); ++d) {
        if (random.chance(0.3)) shape[d] = 1;
      }
      while (!shape.empty() && random.chance(0.2)) shape.erase(0);
    }
    return problem(random, shapes, [=](Inputs x) { return f(x[0], x[1]); });
  };
}

/// An op of a tensor with at least one dimension, and one of those.
template <class F>
std::function<Problem(Random&)> along(F f) {
  return [=](Random& random) {
    const Shape shape = random_shape(random, 1, 4, 4);
    const std::int64_t dim = random.integer(-shape.size(), shape.size() - 1);
    return problem(random, {shape}, [=](Inputs x) { return f(x[0], dim); });
  };
}

/// An op of a tensor and some of its dimensions.
template <class F>
std::function<Problem(Random&)> over(F f) {
  return [=](Random& random) {
    const Shape shape = random_shape(random, 0, 5, 3);
    Shape dims;
    for (const std::int64_t d : random_order(random, shape.size())) {
      if (random.chance(0.5)) dims.push_back(random.chance(0.5) ? d : d - shape.size());
    }
    const bool keepdim = random.chance(0.5);
    return problem(random, {shape}, [=](Inputs x) { return f(x[0], dims, keepdim); });
  };
}

Problem matmul_case(Random& random, bool batch_a, bool batch_b) {
  const std::int64_t b = random.integer(1, 3), m = random.integer(1, 4), k = random.integer(1, 4),
                     n = random.integer(1, 4);
  return problem(random, {batch_a ? Shape{b, m, k} : Shape{m, k}, batch_b ? Shape{b, k, n} : Shape{k, n}},
                 [](Inputs x) { return matmul(x[0], x[1]); });
}

Problem linear_case(Random& random, bool bias, Activation activation = Activation::none) {
  Shape shape = random_shape(random, 1, 4, 3);
  const std::int64_t in = shape.back(), out = random.integer(1, 4);
  std::vector<Shape> shapes{shape, {out, in}};
  if (bias) shapes.push_back({out});
  return problem(random, shapes, [=](Inputs x) { return linear(x[0], x[1], bias ? x[2] : Tensor(), activation); });
}

Problem cat_case(Random& random) {
  const Shape shape = random_shape(random, 1, 4, 3);
  const std::int64_t dim = random.integer(0, shape.size() - 1);
  std::vector<Shape> shapes(static_cast<std::size_t>(random.integer(1, 3)), shape);
  for (Shape& s : shapes) s[static_cast<int>(dim)] = random.integer(1, 3);
  const std::int64_t named = random.chance(0.5) ? dim : dim - shape.size();
  return problem(random, shapes, [=](Inputs x) { return cat(x, named); });
}

Problem stack_case(Random& random) {
  const Shape shape = random_shape(random, 0, 3, 3);
  const std::int64_t dim = random.integer(-shape.size() - 1, shape.size());
  return problem(random, std::vector<Shape>(static_cast<std::size_t>(random.integer(1, 3)), shape),
                 [=](Inputs x) { return stack(x, dim); });
}

Problem index_select_case(Random& random) {
  const Shape shape = random_shape(random, 1, 4, 4);
  const std::int64_t dim = random.integer(-shape.size(), shape.size() - 1);
  const std::int64_t size = shape[static_cast<int>(dim < 0 ? dim + shape.size() : dim)];
  const std::vector<std::int64_t> index = random.indices(random.integer(1, 6), size);
  return problem(random, {shape}, [=](Inputs x) { return index_select(x[0], dim, tensor(index, x[0].device())); });
}

/// Another shape with as many elements.
Shape reshaped(Random& random, const Shape& shape) {
  Shape out;
  std::int64_t rest = shape.numel();
  for (const std::int64_t factor : {2, 3, 4}) {
    if (rest % factor == 0 && random.chance(0.5)) {
      out.push_back(factor);
      rest /= factor;
    }
    if (random.chance(0.2)) out.push_back(1);
  }
  out.insert(static_cast<int>(random.integer(0, out.size())), random.chance(0.5) ? -1 : rest);
  return out;
}

Problem reshape_case(Random& random) {
  const Shape shape = random_shape(random, 0, 4, 4), target = reshaped(random, shape);
  return problem(random, {shape}, [=](Inputs x) { return x[0].reshape(target); });
}

Problem view_case(Random& random) {
  const Shape shape = random_shape(random, 0, 4, 4), target = reshaped(random, shape);
  return problem(random, {shape}, [=](Inputs x) { return x[0].contiguous().view(target); });
}

Problem flatten_case(Random& random) {
  const Shape shape = random_shape(random, 0, 4, 4);
  const std::int64_t first = random.integer(0, std::max(0, shape.size() - 1)),
                     last = random.integer(first, std::max(0, shape.size() - 1));
  return problem(random, {shape}, [=](Inputs x) { return x[0].flatten(first, last); });
}

Problem permute_case(Random& random) {
  const Shape shape = random_shape(random, 0, 5, 3), order = random_order(random, shape.size());
  return problem(random, {shape}, [=](Inputs x) { return x[0].permute(order); });
}

Problem transpose_case(Random& random) {
  const Shape shape = random_shape(random, 1, 4, 4);
  const std::int64_t a = random.integer(-shape.size(), shape.size() - 1), b = random.integer(0, shape.size() - 1);
  return problem(random, {shape}, [=](Inputs x) { return x[0].transpose(a, b); });
}

Problem narrow_case(Random& random) {
  const Shape shape = random_shape(random, 1, 4, 4);
  const int dim = static_cast<int>(random.integer(0, shape.size() - 1));
  const std::int64_t start = random.integer(0, shape[dim] - 1), length = random.integer(1, shape[dim] - start);
  return problem(random, {shape}, [=](Inputs x) { return x[0].narrow(dim, start, length); });
}

Problem select_case(Random& random) {
  const Shape shape = random_shape(random, 1, 4, 4);
  const int dim = static_cast<int>(random.integer(0, shape.size() - 1));
  const std::int64_t index = random.integer(-shape[dim], shape[dim] - 1);
  return problem(random, {shape}, [=](Inputs x) { return x[0].select(dim, index); });
}

Problem unsqueeze_case(Random& random) {
  const Shape shape = random_shape(random, 0, 4, 4);
  const std::int64_t dim = random.integer(-shape.size() - 1, shape.size());
  return problem(random, {shape}, [=](Inputs x) { return x[0].unsqueeze(dim); });
}

Problem expand_case(Random& random) {
  Shape shape = random_shape(random, 0, 4, 4), wide = shape;
  for (int d = 0; d < shape.size(); ++d) {
    if (random.chance(0.5))
      shape[d] = 1;
    else if (random.chance(0.5))
      wide[d] = -1;
  }
  if (random.chance(0.5)) wide.insert(0, random.integer(1, 3));
  return problem(random, {shape}, [=](Inputs x) { return x[0].expand(wide); });
}

/// A size that fits at least one window.
std::int64_t fitting(Random& random, std::int64_t window, std::int64_t padding) {
  return std::max<std::int64_t>(1, window - 2 * padding) + random.integer(0, 3);
}

Problem conv2d_case(Random& random, bool bias, bool tanh = false) {
  Conv2dOptions o;
  o.groups = random.pick<std::int64_t>({1, 1, 2, 3});
  const std::int64_t N = random.integer(1, 2), C = o.groups * random.integer(1, o.groups == 1 ? 3 : 2),
                     K = o.groups * random.integer(1, o.groups == 1 ? 3 : 2);
  const HeightWidth kernel(random.integer(1, 3), random.integer(1, 3));
  o.stride = {random.integer(1, 4), random.integer(1, 4)};
  o.padding = {random.integer(0, 3), random.integer(0, 3)};
  o.dilation = {random.integer(1, 2), random.integer(1, 2)};
  const std::int64_t H = fitting(random, o.dilation.h * (kernel.h - 1) + 1, o.padding.h),
                     W = fitting(random, o.dilation.w * (kernel.w - 1) + 1, o.padding.w);
  std::vector<Shape> shapes{{N, C, H, W}, {K, C / o.groups, kernel.h, kernel.w}};
  if (bias) shapes.push_back({K});
  return problem(random, shapes, [=](Inputs x) {
    const Tensor b = bias ? x[2] : Tensor();
    return tanh ? conv2d_max_pool2d(x[0], x[1], b, o, 1, Activation::tanh) : conv2d(x[0], x[1], b, o);
  });
}

/// Filters of one weight, which leave elements as far apart as they were.
Problem conv2d_max_pool2d_case(Random& random) {
  const std::int64_t C = random.integer(1, 3);
  const Conv2dOptions o{.stride = {random.integer(1, 2), random.integer(1, 2)}, .groups = C};
  const HeightWidth kernel(random.integer(1, 4), random.integer(1, 4));
  const auto size = [&](std::int64_t window, std::int64_t stride) { return window * stride + random.integer(0, 4); };
  const Activation activation = random.pick({Activation::none, Activation::tanh, Activation::relu});
  return problem(random,
                 {{random.integer(1, 2), C, size(kernel.h, o.stride.h), size(kernel.w, o.stride.w)}, {C, 1, 1, 1}},
                 [=](Inputs x) { return conv2d_max_pool2d(x[0], x[1], {}, o, kernel, activation); });
}

/// Of an image, of a batch of them, or with one dimension less where `line`.
Problem conv_transpose2d_case(Random& random, bool line) {
  ConvTranspose2dOptions o;
  o.groups = random.pick<std::int64_t>({1, 1, 2, 3});
  const std::int64_t K = o.groups * random.integer(1, 2), C = random.integer(1, 2);
  const HeightWidth kernel(line ? 1 : random.integer(1, 3), random.integer(1, 3));
  o.stride = {line ? 1 : random.integer(1, 3), random.integer(1, 3)};
  o.dilation = {line ? 1 : random.integer(1, 3), random.integer(1, 3)};
  o.output_padding = {random.integer(0, std::max(o.stride.h, o.dilation.h) - 1),
                      random.integer(0, std::max(o.stride.w, o.dilation.w) - 1)};
  const std::int64_t H = line ? 1 : random.integer(1, 4), W = random.integer(1, 4);
  const auto padding = [&](std::int64_t n, std::int64_t r, std::int64_t stride, std::int64_t dilation) {
    return random.integer(0, ((n - 1) * stride + dilation * (r - 1)) / 2);
  };
  o.padding = {line ? 0 : padding(H, kernel.h, o.stride.h, o.dilation.h),
               padding(W, kernel.w, o.stride.w, o.dilation.w)};
  Shape x{K, H, W}, w{K, C, kernel.h, kernel.w};
  if (line) {
    x.erase(1);
    w.erase(2);
  }
  if (random.chance(0.7)) x.insert(0, random.integer(1, 2));
  const bool bias = random.chance(0.5);
  std::vector<Shape> shapes{x, w};
  if (bias) shapes.push_back({C * o.groups});
  const ConvTranspose1dOptions one{.stride = o.stride.w,
                                   .padding = o.padding.w,
                                   .output_padding = o.output_padding.w,
                                   .groups = o.groups,
                                   .dilation = o.dilation.w};
  return problem(random, shapes, [=](Inputs in) {
    const Tensor b = bias ? in[2] : Tensor();
    return line ? conv_transpose1d(in[0], in[1], b, one) : conv_transpose2d(in[0], in[1], b, o);
  });
}

/// As large as its input, of an image or a batch of them.
Problem same_conv2d_case(Random& random) {
  Conv2dOptions o{.padding = "same", .dilation = {random.integer(1, 2), random.integer(1, 2)}};
  Shape x{random.integer(1, 2), random.integer(1, 5), random.integer(1, 5)};
  if (random.chance(0.7)) x.insert(0, random.integer(1, 2));
  const Shape w{random.integer(1, 2), x[x.size() - 3], random.integer(1, 4), random.integer(1, 4)};
  return problem(random, {x, w}, [=](Inputs in) { return conv2d(in[0], in[1], {}, o); });
}

Problem conv1d_case(Random& random) {
  Conv1dOptions o{.stride = random.integer(1, 2), .padding = random.integer(0, 2), .dilation = random.integer(1, 2)};
  if (random.chance(0.3)) {
    o.stride = 1;
    o.padding = "same";
  }
  const std::int64_t S = random.integer(1, 3);
  Shape x{random.integer(1, 3), 1 + o.dilation * (S - 1) + random.integer(0, 3)};
  const Shape w{random.integer(1, 3), x[0], S};
  if (random.chance(0.7)) x.insert(0, random.integer(1, 2));
  return problem(random, {x, w, {w[0]}}, [=](Inputs in) { return conv1d(in[0], in[1], in[2], o); });
}

/// A batch or one of what follows.
Shape of_batch(Random& random, Shape shape) {
  if (random.chance(0.7)) shape.insert(0, random.integer(1, 2));
  return shape;
}

template <class Pool>
std::function<Problem(Random&)> any_pool2d(Pool pool, bool average) {
  return [=](Random& random) {
    const HeightWidth kernel(random.integer(1, 4), random.integer(1, 4));
    Pool2dOptions o{.ceil_mode = random.chance(0.7)};
    if (random.chance(0.7)) o.stride = HeightWidth(random.integer(1, 5), random.integer(1, 5));
    o.padding = {random.integer(0, kernel.h / 2), random.integer(0, kernel.w / 2)};
    if (average) {
      o.count_include_pad = random.chance(0.5);
      if (random.chance(0.3)) o.divisor_override = random.pick<std::int64_t>({-2, 3});
    } else {
      o.dilation = {random.integer(1, 3), random.integer(1, 3)};
    }
    const std::int64_t H = fitting(random, o.dilation.h * (kernel.h - 1) + 1, o.padding.h),
                       W = fitting(random, o.dilation.w * (kernel.w - 1) + 1, o.padding.w);
    const Shape shape = of_batch(random, {random.integer(1, 3), std::max(H, o.dilation.h), std::max(W, o.dilation.w)});
    return problem(random, {shape}, [=](Inputs x) { return pool(x[0], kernel, o); });
  };
}

template <class Pool>
std::function<Problem(Random&)> pool1d(Pool pool) {
  return [=](Random& random) {
    const std::int64_t kernel = random.integer(1, 3);
    const Pool1dOptions o{.stride = random.integer(1, 3), .padding = random.integer(0, kernel / 2)};
    const Shape shape = of_batch(random, {random.integer(1, 3), kernel + random.integer(0, 4)});
    return problem(random, {shape}, [=](Inputs x) { return pool(x[0], kernel, o); });
  };
}

template <class Pool>
std::function<Problem(Random&)> adaptive_pool2d(Pool pool) {
  return [=](Random& random) {
    OutputSize size(random.integer(1, 6), random.integer(1, 6));
    if (random.chance(0.2)) size.h.reset();
    if (random.chance(0.2)) size = 1;
    const Shape shape = of_batch(random, {random.integer(1, 3), random.integer(1, 5), random.integer(1, 5)});
    return problem(random, {shape}, [=](Inputs x) { return pool(x[0], size); });
  };
}

Problem interpolate_case(Random& random, InterpolateMode mode) {
  InterpolateOptions o{.mode = mode};
  const bool line = mode == InterpolateMode::linear || (mode == InterpolateMode::nearest && random.chance(0.3));
  if (random.chance(0.5)) {
    o.size = HeightWidth(random.integer(1, 7), random.integer(1, 7));
  } else {
    o.scale_factor = ScaleFactor(random.pick({1.0, 1.7, 2.0, 2.5}), random.pick({1.0, 1.3, 2.0, 3.0}));
    o.recompute_scale_factor = random.chance(0.3);
  }
  if (mode == InterpolateMode::linear || mode == InterpolateMode::bilinear) o.align_corners = random.chance(0.5);
  Shape shape{random.integer(1, 2), random.integer(1, 2), random.integer(1, 4), random.integer(1, 4)};
  if (line) shape.erase(2);
  return problem(random, {shape}, [=](Inputs x) { return interpolate(x[0], o); });
}

Problem pixel_shuffle_case(Random& random, bool back) {
  const std::int64_t r = random.integer(1, 3), C = random.integer(1, 2), H = random.integer(1, 3),
                     W = random.integer(1, 3);
  const Shape shape = of_batch(random, back ? Shape{C, H * r, W * r} : Shape{C * r * r, H, W});
  return problem(random, {shape}, [=](Inputs x) { return back ? pixel_unshuffle(x[0], r) : pixel_shuffle(x[0], r); });
}

template <class Pool>
std::function<Problem(Random&)> pool2d(Pool pool) {
  return [=](Random& random) {
    const HeightWidth kernel(random.integer(1, 4), random.integer(1, 4));
    Pool2dOptions o;
    if (random.chance(0.7)) o.stride = HeightWidth(random.integer(1, 5), random.integer(1, 5));
    o.padding = {random.integer(0, kernel.h / 2), random.integer(0, kernel.w / 2)};
    const Shape shape{random.integer(1, 2), random.integer(1, 3), fitting(random, kernel.h, o.padding.h),
                      fitting(random, kernel.w, o.padding.w)};
    return problem(random, {shape}, [=](Inputs x) { return pool(x[0], kernel, o); });
  };
}

Problem dropout_case(Random& random, bool channels) {
  const Shape shape = random_shape(random, channels ? 4 : 0, 4, 4);
  const std::uint64_t seed = random.integer(0, 1'000'000);
  const double p = random.pick({0.0, 0.3, 0.5, 0.9, 1.0});
  const bool training = random.chance(0.8);
  return problem(random, {shape}, [=](Inputs x) {
    Generator generator(seed);
    return channels ? dropout2d(x[0], p, training, generator) : dropout(x[0], p, training, generator);
  });
}

Problem batch_norm2d_case(Random& random, bool training, bool pooled = false,
                          Activation activation = Activation::none) {
  const std::int64_t N = random.integer(1, 3), C = random.integer(1, 3);
  const Shape shape{N, C, random.integer(2, 4), random.integer(2, 3)};
  const bool affine = random.chance(0.7), running = !training || random.chance(0.5);
  const bool adds = !pooled && random.chance(0.5);
  const BatchNorm2dOptions o{
      .training = training, .momentum = 0.3, .eps = random.pick({1e-5, 1e-2}), .activation = activation};
  const std::vector<double> mean = random.between<double>(C, -1, 1), var = random.between<double>(C, 0.5, 2);
  std::vector<Shape> shapes{shape};
  if (affine) shapes.insert(shapes.end(), 2, {C});
  if (adds) shapes.push_back(shape);
  const auto f = [=](Inputs x) {
    const auto of = [&](const std::vector<double>& v) {
      return running ? tensor(v).to(x[0].dtype()).to(x[0].device()) : Tensor();
    };
    const Tensor weight = affine ? x[1].contiguous() : Tensor(), bias = affine ? x[2].contiguous() : Tensor();
    BatchNorm2dOptions with_residual = o;
    if (adds) with_residual.residual = x.back();
    if (!pooled) return batch_norm2d(x[0], of(mean), of(var), weight, bias, with_residual);
    return batch_norm2d_max_pool2d(x[0], of(mean), of(var), weight, bias, o, 2, {.stride = HeightWidth(1)});
  };
  // Of a channel with but two different values, the gradient in training is zero but for eps and for rounding.
  return problem(random, shapes, f, !training);
}

Problem cross_entropy_case(Random& random, Reduction reduction) {
  const std::int64_t N = random.integer(1, 5), C = random.integer(1, 5);
  const bool weighted = random.chance(0.5);
  const std::vector<double> weight = random.between<double>(C, 0.2, 2);
  std::vector<std::int64_t> target = random.indices(N, C);
  const std::int64_t ignore = random.chance(0.5) ? -100 : random.integer(0, C - 1);
  for (std::int64_t i = 1; i < N; ++i) {
    if (random.chance(0.2)) target[i] = ignore;
  }
  if (C > 1 && target[0] == ignore) target[0] = (ignore + 1) % C;
  const bool all_ignored = C == 1 && ignore == 0;
  return problem(random, {{N, C}}, [=](Inputs x) {
    CrossEntropyOptions o{.ignore_index = all_ignored ? -100 : ignore,
                          .reduction = reduction,
                          .label_smoothing = static_cast<double>(N % 3) * 0.2};
    if (weighted) o.weight = tensor(weight).to(x[0].dtype()).to(x[0].device());
    return cross_entropy(x[0], tensor(target, x[0].device()), o);
  });
}

Problem mse_loss_case(Random& random, Reduction reduction) {
  const Shape shape = random_shape(random, 0, 4, 3);
  return problem(random, {shape, shape}, [=](Inputs x) { return mse_loss(x[0], x[1], reduction); });
}

/// A row of unary_cases.hpp, of a tensor of any shape and layout.
Problem unary_case(Random& random, const UnaryCase& c) {
  const Layout layout(random, random_shape(random, 0, 4, 4));
  const Tensor x = tensor(c.values(random, layout.source_shape.numel()), Device::reference);
  return {{x.reshape(layout.source_shape)}, [=](Inputs sources) { return c.function(layout.view(sources[0])); }};
}

std::vector<OpCase> all_cases() {
  using T = const Tensor&;
  using D = std::int64_t;
  using S = const Shape&;
  std::vector<OpCase> all{
      {"add", binary(add)},
      {"sub", binary(sub)},
      {"mul", binary(mul)},
      {"div", binary(div)},
      {"maximum", binary(maximum)},
      {"minimum", binary(minimum)},
      {"a + b", binary([](T a, T b) { return a + b; })},
      {"a - b", binary([](T a, T b) { return a - b; })},
      {"a * b", binary([](T a, T b) { return a * b; })},
      {"a / b", binary([](T a, T b) { return a / b; })},
      {"x + 2.5", unary([](T x) { return x + 2.5; })},
      {"x - 2.5", unary([](T x) { return x - 2.5; })},
      {"x * 2.5", unary([](T x) { return x * 2.5; })},
      {"x / 2.5", unary([](T x) { return x / 2.5; })},
      {"2.5 + x", unary([](T x) { return 2.5 + x; })},
      {"2.5 - x", unary([](T x) { return 2.5 - x; })},
      {"2.5 * x", unary([](T x) { return 2.5 * x; })},
      {"2.5 / x", unary([](T x) { return 2.5 / x; })},
      {"-x", unary([](T x) { return -x; })},
      {"x * x", unary([](T x) { return x * x; })},
      {"sum", unary([](T x) { return sum(x); })},
      {"sum over dims", over([](T x, S dims, bool keepdim) { return sum(x, dims, keepdim); })},
      {"mean", unary([](T x) { return mean(x); })},
      {"mean over dims", over([](T x, S dims, bool keepdim) { return mean(x, dims, keepdim); })},
      {"max", unary([](T x) { return max(x); })},
      {"max along dim", along([](T x, D dim) { return max(x, dim).values; })},
      {"max along dim, kept", along([](T x, D dim) { return max(x, dim, true).values; })},
      {"softmax", along(softmax)},
      {"log_softmax", along(log_softmax)},
      {"matmul", [](Random& r) { return matmul_case(r, false, false); }},
      {"matmul of batches", [](Random& r) { return matmul_case(r, true, true); }},
      {"matmul of a batch and a matrix", [](Random& r) { return matmul_case(r, true, false); }},
      {"matmul of a matrix and a batch", [](Random& r) { return matmul_case(r, false, true); }},
      {"linear", [](Random& r) { return linear_case(r, true); }},
      {"linear without bias", [](Random& r) { return linear_case(r, false); }},
      {"linear and tanh", [](Random& r) { return linear_case(r, true, Activation::tanh); }},
      {"cat", cat_case},
      {"stack", stack_case},
      {"index_select", index_select_case},
      {"reshape", reshape_case},
      {"view", view_case},
      {"flatten", flatten_case},
      {"permute", permute_case},
      {"transpose", transpose_case},
      {"narrow", narrow_case},
      {"select", select_case},
      {"squeeze", along([](T x, D dim) { return x.squeeze(dim); })},
      {"unsqueeze", unsqueeze_case},
      {"expand", expand_case},
      {"contiguous", unary([](T x) { return x.contiguous(); })},
      {"clone", unary([](T x) { return x.clone(); })},
      {"to a device and back", unary([](T x) { return x.to(Device::reference).to(Device::cpu).to(x.device()); })},
      {"conv2d", [](Random& r) { return conv2d_case(r, true); }},
      {"conv2d without bias", [](Random& r) { return conv2d_case(r, false); }},
      {"conv2d and tanh", [](Random& r) { return conv2d_case(r, true, true); }},
      {"conv2d_max_pool2d", conv2d_max_pool2d_case},
      {"max_pool2d", pool2d(max_pool2d)},
      {"avg_pool2d", pool2d(avg_pool2d)},
      {"conv_transpose2d", [](Random& r) { return conv_transpose2d_case(r, false); }},
      {"conv_transpose1d", [](Random& r) { return conv_transpose2d_case(r, true); }},
      {"conv2d, same", same_conv2d_case},
      {"conv1d", conv1d_case},
      {"max_pool2d of any windows", any_pool2d(max_pool2d, false)},
      {"avg_pool2d of any windows", any_pool2d(avg_pool2d, true)},
      {"max_pool1d", pool1d(max_pool1d)},
      {"avg_pool1d", pool1d(avg_pool1d)},
      {"adaptive_avg_pool2d", adaptive_pool2d(adaptive_avg_pool2d)},
      {"adaptive_max_pool2d", adaptive_pool2d(adaptive_max_pool2d)},
      {"interpolate, nearest", [](Random& r) { return interpolate_case(r, InterpolateMode::nearest); }},
      {"interpolate, nearest_exact", [](Random& r) { return interpolate_case(r, InterpolateMode::nearest_exact); }},
      {"interpolate, linear", [](Random& r) { return interpolate_case(r, InterpolateMode::linear); }},
      {"interpolate, bilinear", [](Random& r) { return interpolate_case(r, InterpolateMode::bilinear); }},
      {"interpolate, area", [](Random& r) { return interpolate_case(r, InterpolateMode::area); }},
      {"pixel_shuffle", [](Random& r) { return pixel_shuffle_case(r, false); }},
      {"pixel_unshuffle", [](Random& r) { return pixel_shuffle_case(r, true); }},
      {"dropout", [](Random& r) { return dropout_case(r, false); }},
      {"dropout2d", [](Random& r) { return dropout_case(r, true); }},
      {"batch_norm2d in training", [](Random& r) { return batch_norm2d_case(r, true); }},
      {"batch_norm2d in evaluation", [](Random& r) { return batch_norm2d_case(r, false); }},
      {"batch_norm2d and tanh in training",
       [](Random& r) { return batch_norm2d_case(r, true, false, Activation::tanh); }},
      {"batch_norm2d and tanh in evaluation",
       [](Random& r) { return batch_norm2d_case(r, false, false, Activation::tanh); }},
      {"batch_norm2d_max_pool2d in training", [](Random& r) { return batch_norm2d_case(r, true, true); }},
      {"batch_norm2d_max_pool2d in evaluation", [](Random& r) { return batch_norm2d_case(r, false, true); }},
      {"batch_norm2d_max_pool2d and tanh in training",
       [](Random& r) { return batch_norm2d_case(r, true, true, Activation::tanh); }},
      {"cross_entropy, mean", [](Random& r) { return cross_entropy_case(r, Reduction::mean); }},
      {"cross_entropy, sum", [](Random& r) { return cross_entropy_case(r, Reduction::sum); }},
      {"cross_entropy, none", [](Random& r) { return cross_entropy_case(r, Reduction::none); }},
      {"mse_loss, mean", [](Random& r) { return mse_loss_case(r, Reduction::mean); }},
      {"mse_loss, sum", [](Random& r) { return mse_loss_case(r, Reduction::sum); }},
      {"mse_loss, none", [](Random& r) { return mse_loss_case(r, Reduction::none); }},
  };
  for (const UnaryCase& c : unary_cases()) {
    all.push_back({c.name, [&c](Random& random) { return unary_case(random, c); }});
  }
  return all;
}

}  // namespace

const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> all = all_cases();
  return all;
}

}  // namespace tern::test
