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

Tensor mask_on(const Tensor& x, const std::vector<std::uint8_t>& mask, const Shape& shape) {
  return tensor(mask, x.device()).reshape(shape);
}

/// A mask and two tensors that broadcast to each other.
Problem where_case(Random& random) {
  const Shape both = random_shape(random, 0, 4, 4);
  std::vector<Shape> shapes(3, both);
  for (Shape& shape : shapes) {
    for (int d = 0; d < shape.size(); ++d) {
      if (random.chance(0.3)) shape[d] = 1;
    }
    while (!shape.empty() && random.chance(0.2)) shape.erase(0);
  }
  const std::vector<std::uint8_t> mask = random.between<std::uint8_t>(shapes[2].numel(), 0, 2);
  return problem(random, {shapes[0], shapes[1]},
                 [=](Inputs x) { return where(mask_on(x[0], mask, shapes[2]), x[0], x[1]); });
}

Problem masked_case(Random& random, bool select) {
  const Shape shape = random_shape(random, 0, 4, 4);
  Shape narrow = shape;
  while (!narrow.empty() && random.chance(0.2)) narrow.erase(0);
  std::vector<std::uint8_t> mask = random.between<std::uint8_t>(narrow.numel(), 0, 2);
  mask[0] = 1;
  return problem(random, {shape}, [=](Inputs x) {
    const Tensor m = mask_on(x[0], mask, narrow);
    return select ? masked_select(x[0], m) : masked_fill(x[0], m, 0.5);
  });
}

enum class Pick { gather, scatter, scatter_value, scatter_add, take_along_dim };

/// Indices that are often equal, in no more places than x has.
Problem pick_case(Random& random, Pick pick) {
  const Shape shape = random_shape(random, 1, 4, 4);
  const int d = static_cast<int>(random.integer(0, shape.size() - 1));
  Shape at = shape;
  for (int i = 0; i < at.size(); ++i) {
    if (i == d) {
      at[i] = random.integer(1, 5);
    } else if (random.chance(0.3) && pick != Pick::take_along_dim) {
      at[i] = random.integer(1, at[i]);
    }
  }
  Shape from = at;
  for (int i = 0; i < from.size(); ++i) from[i] += random.chance(0.2) ? 1 : 0;
  const std::vector<std::int64_t> index = random.indices(at.numel(), shape[d]);
  std::vector<Shape> shapes{shape};
  if (pick == Pick::scatter || pick == Pick::scatter_add) shapes.push_back(from);
  return problem(random, shapes, [=](Inputs x) {
    const Tensor i = tensor(index, x[0].device()).reshape(at);
    switch (pick) {
      case Pick::gather:
        return gather(x[0], d, i);
      case Pick::scatter:
        return scatter(x[0], d - x[0].dim(), i, x[1]);
      case Pick::scatter_value:
        return scatter(x[0], d, i, 0.5);
      case Pick::scatter_add:
        return scatter_add(x[0], d, i, x[1]);
      case Pick::take_along_dim:
        return take_along_dim(x[0], i - shape[d], d);
    }
    return Tensor();
  });
}

Problem index_add_case(Random& random) {
  const Shape shape = random_shape(random, 1, 4, 4);
  const int d = static_cast<int>(random.integer(0, shape.size() - 1));
  Shape from = shape;
  from[d] = random.integer(1, 5);
  const std::vector<std::int64_t> index = random.indices(from[d], shape[d]);
  return problem(random, {shape, from},
                 [=](Inputs x) { return index_add(x[0], d, tensor(index, x[0].device()), x[1], 1.5); });
}

/// x[..., t0, :, t1] and the like: what is shown, or changed.
Problem index_case(Random& random, bool put, bool accumulate = false) {
  const Shape shape = random_shape(random, 2, 4, 4);
  const Shape at = random_shape(random, 0, 2, 3);
  std::vector<std::vector<std::int64_t>> places;
  for (std::int64_t size : shape) {
    places.push_back(random.indices(at.numel(), 2 * size));
    for (std::int64_t& i : places.back()) i -= size;
  }
  std::vector<int> kinds;
  for (int d = 0; d < shape.size(); ++d) kinds.push_back(static_cast<int>(random.integer(0, 3)));
  const bool ellipsis = kinds.back() == 1;
  const auto indices = [=](const Tensor& x) {
    std::vector<TensorIndex> all;
    for (int d = 0; d < shape.size(); ++d) {
      const std::vector<std::int64_t>& place = places[static_cast<std::size_t>(d)];
      switch (kinds[static_cast<std::size_t>(d)]) {
        case 0:
          all.emplace_back(place[0]);
          break;
        case 1:
          if (d < shape.size() - 1) {
            all.emplace_back(Slice{});
          } else if (ellipsis) {
            all.emplace_back(Ellipsis);
          }
          break;
        case 2:
          all.emplace_back(Slice{d % 2 == 0 ? -shape[d] : 0, {}, 2});
          all.emplace_back(None);
          break;
        default:
          all.emplace_back(tensor(place, x.device()).reshape(at));
      }
    }
    return all;
  };
  if (!put) return problem(random, {shape}, [=](Inputs x) { return index(x[0], indices(x[0])); });
  const Shape values = index(zeros(shape), indices(zeros({}))).shape();
  return problem(random, {shape, values}, [=](Inputs x) { return index_put(x[0], indices(x[0]), x[1], accumulate); });
}

Problem take_case(Random& random) {
  const Shape shape = random_shape(random, 0, 3, 4), at = random_shape(random, 0, 2, 4);
  const std::vector<std::int64_t> index = random.indices(at.numel(), shape.numel());
  return problem(random, {shape}, [=](Inputs x) { return take(x[0], tensor(index, x[0].device()).reshape(at)); });
}

/// Some of the values along a dimension in their order.
Problem sort_case(Random& random, bool top) {
  const Shape shape = random_shape(random, 1, 4, 4);
  const std::int64_t dim = random.integer(-shape.size(), shape.size() - 1);
  const std::int64_t size = shape[static_cast<int>(dim < 0 ? dim + shape.size() : dim)], k = random.integer(1, size);
  const bool descending = random.chance(0.5);
  return problem(random, {shape}, [=](Inputs x) {
    return top ? topk(x[0], k, dim, descending).values + kthvalue(x[0], k, dim, true).values
               : sort(x[0], dim, descending).values;
  });
}

Problem slice_case(Random& random) {
  const Shape shape = random_shape(random, 1, 4, 5);
  const int d = static_cast<int>(random.integer(0, shape.size() - 1));
  const std::int64_t start = random.integer(-shape[d], shape[d] - 1), step = random.integer(1, 3);
  return problem(random, {shape}, [=](Inputs x) { return slice(x[0], d, start, {}, step); });
}

/// Of two dimensions of several.
Problem diagonal_case(Random& random) {
  const Shape shape = random_shape(random, 2, 4, 4), order = random_order(random, shape.size());
  const int a = static_cast<int>(order[0]), b = static_cast<int>(order[1]);
  const std::int64_t offset = random.integer(1 - shape[a], shape[b] - 1);
  return problem(random, {shape}, [=](Inputs x) { return diagonal(x[0], offset, a, b - x[0].dim()); });
}

Problem diag_case(Random& random, int dims) {
  const Shape shape = dims == 1 ? Shape{random.integer(1, 5)} : Shape{random.integer(1, 5), random.integer(1, 5)};
  const std::int64_t at = dims == 1 ? random.integer(-2, 2) : random.integer(1 - shape[0], shape[1] - 1);
  return problem(random, {shape}, [=](Inputs x) { return diag(x[0], at); });
}

Problem triangle_case(Random& random) {
  const Shape shape = random_shape(random, 2, 4, 4);
  const std::int64_t at = random.integer(-2, 2);
  const bool lower = random.chance(0.5);
  return problem(random, {shape}, [=](Inputs x) { return lower ? tril(x[0], at) : triu(x[0], at); });
}

/// flip and roll of some dimensions.
Problem flip_roll_case(Random& random) {
  const Shape shape = random_shape(random, 1, 4, 4);
  Shape dims, shifts;
  for (const std::int64_t d : random_order(random, shape.size())) {
    if (!dims.empty() && random.chance(0.5)) continue;
    dims.push_back(d);
    shifts.push_back(random.integer(-5, 5));
  }
  const int kind = static_cast<int>(random.integer(0, 2));
  return problem(random, {shape}, [=](Inputs x) {
    return kind == 0 ? flip(x[0], dims) : kind == 1 ? roll(x[0], shifts, dims) : roll(x[0], shifts[0]);
  });
}

Problem repeat_case(Random& random) {
  const Shape shape = random_shape(random, 0, 3, 3);
  Shape repeats = shape;
  if (random.chance(0.3)) repeats.insert(0, 0);
  for (int d = 0; d < repeats.size(); ++d) repeats[d] = random.integer(1, 3);
  const std::int64_t dim = random.integer(0, std::max(0, shape.size() - 1));
  const int kind = static_cast<int>(random.integer(0, 3));
  std::vector<std::int64_t> times = random.indices(shape.empty() ? 1 : shape[static_cast<int>(dim)], 3);
  times[0] = 1;
  return problem(random, {shape}, [=](Inputs x) {
    switch (kind) {
      case 0:
        return repeat(x[0], repeats);
      case 1:
        return tile(x[0], repeats);
      case 2:
        return repeat_interleave(x[0], 2, dim);
      default:
        return repeat_interleave(x[0], tensor(times, x[0].device()), dim);
    }
  });
}

Problem pieces_case(Random& random) {
  const Shape shape = random_shape(random, 1, 4, 4);
  const int d = static_cast<int>(random.integer(0, shape.size() - 1));
  const std::int64_t n = random.integer(1, 3), first = random.integer(0, shape[d]);
  const int kind = static_cast<int>(random.integer(0, 3));
  return problem(random, {shape}, [=](Inputs x) {
    std::vector<Tensor> parts = kind == 0   ? split(x[0], n, d)
                                : kind == 1 ? split(x[0], {first, shape[d] - first}, d)
                                : kind == 2 ? chunk(x[0], n, d)
                                            : unbind(x[0], d);
    std::reverse(parts.begin(), parts.end());
    return kind == 3 ? stack(parts, d) : cat(parts, d);
  });
}

Problem movedim_case(Random& random) {
  const Shape shape = random_shape(random, 1, 4, 3);
  const std::int64_t a = random.integer(0, shape.size() - 1), b = random.integer(-shape.size(), shape.size() - 1);
  return problem(random, {shape}, [=](Inputs x) { return unflatten(movedim(x[0], a, b), -1, {1, -1}); });
}

Problem meshgrid_case(Random& random) {
  const Shape a{random.integer(1, 4)}, b{random.integer(1, 4)};
  const Indexing indexing = random.pick({Indexing::ij, Indexing::xy});
  return problem(random, {a, b}, [=](Inputs x) { return stack(meshgrid({x[0], x[1]}, indexing)); });
}

Problem pad_case(Random& random, PadMode mode) {
  const Shape shape = random_shape(random, 1, 4, 4);
  std::vector<std::int64_t> by;
  for (int d = shape.size() - 1; d >= 0 && (by.empty() || random.chance(0.5)); --d) {
    const std::int64_t most = mode == PadMode::reflect ? shape[d] - 1 : mode == PadMode::circular ? shape[d] : 3;
    by.push_back(random.integer(-(shape[d] - 1) / 2, most));
    by.push_back(random.integer(-(shape[d] - 1) / 2, most));
  }
  return problem(random, {shape}, [=](Inputs x) { return pad(x[0], by, mode, 0.5); });
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
      {"where", where_case},
      {"masked_fill", [](Random& r) { return masked_case(r, false); }},
      {"masked_select", [](Random& r) { return masked_case(r, true); }},
      {"gather", [](Random& r) { return pick_case(r, Pick::gather); }},
      {"scatter", [](Random& r) { return pick_case(r, Pick::scatter); }},
      {"scatter of a number", [](Random& r) { return pick_case(r, Pick::scatter_value); }},
      {"scatter_add", [](Random& r) { return pick_case(r, Pick::scatter_add); }},
      {"take_along_dim", [](Random& r) { return pick_case(r, Pick::take_along_dim); }},
      {"index_add", index_add_case},
      {"index", [](Random& r) { return index_case(r, false); }},
      {"index_put", [](Random& r) { return index_case(r, true); }},
      {"index_put, accumulated", [](Random& r) { return index_case(r, true, true); }},
      {"take", take_case},
      {"sort", [](Random& r) { return sort_case(r, false); }},
      {"topk and kthvalue", [](Random& r) { return sort_case(r, true); }},
      {"slice", slice_case},
      {"diagonal", diagonal_case},
      {"diag of a vector", [](Random& r) { return diag_case(r, 1); }},
      {"diag of a matrix", [](Random& r) { return diag_case(r, 2); }},
      {"diag_embed", along([](T x, D dim) { return diag_embed(x, dim); })},
      {"rot90", along([](T x, D dim) { return rot90(x.unsqueeze(0), dim, {0, -1}); })},
      {"nan_to_num", unary([](T x) { return nan_to_num(x); })},
      {"tril and triu", triangle_case},
      {"flip and roll", flip_roll_case},
      {"repeat, tile, repeat_interleave", repeat_case},
      {"split, chunk, unbind", pieces_case},
      {"movedim and unflatten", movedim_case},
      {"meshgrid", meshgrid_case},
      {"pad", [](Random& r) { return pad_case(r, PadMode::constant); }},
      {"pad, reflect", [](Random& r) { return pad_case(r, PadMode::reflect); }},
      {"pad, replicate", [](Random& r) { return pad_case(r, PadMode::replicate); }},
      {"pad, circular", [](Random& r) { return pad_case(r, PadMode::circular); }},
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
