#include "gradcheck.hpp"
#include "support.hpp"

#include <tern/core/ops.hpp>
#include <tern/core/ops/attention.hpp>
#include <tern/core/ops/recurrent.hpp>

#include <unary_cases.hpp>

#include <cmath>

namespace tern::test {

namespace {

using Inputs = const std::vector<Tensor>&;

/// Inputs of these shapes in any layout. No two values lie within 0.004 of each other, nor any that near to 0, except
/// for those that a layout repeats.
Problem problem(Random& random, const std::vector<Shape>& shapes, const Function& f, bool may_repeat = true) {
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

/// Vectors, matrices, and batches that broadcast.
Problem matmul_of_any_ranks_case(Random& random) {
  const std::int64_t m = random.integer(1, 3), k = random.integer(1, 3), n = random.integer(1, 3);
  const Shape batch = random_shape(random, 0, 3, 3);
  const auto some = [&] {
    Shape shape = batch;
    for (int d = 0; d < shape.size(); ++d) {
      if (random.chance(0.3)) shape[d] = 1;
    }
    while (!shape.empty() && random.chance(0.3)) shape.erase(0);
    return shape;
  };
  const auto with = [](Shape shape, std::int64_t rows, std::int64_t columns) {
    shape.push_back(rows);
    shape.push_back(columns);
    return shape;
  };
  const Shape a = random.chance(0.3) ? Shape{k} : with(some(), m, k),
              b = random.chance(0.3) ? Shape{k} : with(some(), k, n);
  return problem(random, {a, b}, [](Inputs x) { return matmul(x[0], x[1]); });
}

/// Sizes of 1 to 4 by letter, and at times 1 in one operand only.
Problem einsum_case(Random& random) {
  const auto equation = random.pick<std::string>(
      {"ij,jk->ik", "bij,bjk->bik", "bij,bkj", "ij,ij->", "i,j->ji", "ii->i", "ii", "ij->", "ijk->kj", "iij,jk->ik",
       "bhld,bhsd->bhls", "ij,kl->ik", "abc,cbd->ad", "...ij,jk->...ik", "i...,i->...", "ij,j", "ij,jk,kl->il"});
  std::int64_t sizes[128];
  for (std::int64_t& size : sizes) size = random.integer(1, 4);
  std::vector<Shape> shapes(1);
  for (std::size_t i = 0; i < equation.size() && equation[i] != '-'; ++i) {
    if (equation[i] == ',') {
      shapes.emplace_back();
    } else if (equation[i] == '.') {
      for (const std::int64_t size : {sizes[0], sizes[1]}) shapes.back().push_back(size);
      i += 2;
    } else {
      shapes.back().push_back(sizes[static_cast<std::size_t>(equation[i])]);
    }
  }
  return problem(random, shapes, [=](Inputs x) { return einsum(equation, x); });
}

Problem tensordot_case(Random& random) {
  const std::int64_t i = random.integer(1, 3), j = random.integer(1, 3), k = random.integer(1, 3);
  if (random.chance(0.5)) {
    return problem(random, {{i, j, k}, {j, k, 2}}, [=](Inputs x) { return tensordot(x[0], x[1]); });
  }
  return problem(random, {{i, j, k}, {k, 2, i}}, [=](Inputs x) { return tensordot(x[0], x[1], {0, -1}, {2, 0}); });
}

Problem addmm_case(Random& random, bool batches) {
  const std::int64_t b = random.integer(1, 3), m = random.integer(1, 3), k = random.integer(1, 3),
                     n = random.integer(1, 3);
  const double beta = random.pick({1.0, 0.5}), alpha = random.pick({1.0, -2.0});
  if (batches) {
    return problem(random, {{m, n}, {b, m, k}, {b, k, n}},
                   [=](Inputs x) { return baddbmm(x[0], x[1], x[2], beta, alpha); });
  }
  return problem(random, {{n}, {m, k}, {k, n}}, [=](Inputs x) { return addmm(x[0], x[1], x[2], beta, alpha); });
}

/// With a mask where `masked`, which is learned at times; or dropout, with draws that are the same each time.
Problem attention_case(Random& random, bool masked) {
  const std::int64_t L = random.integer(1, 5), S = random.integer(1, 5), E = random.integer(1, 4),
                     V = random.integer(1, 4);
  const Shape batch = random_shape(random, 0, 3, 3);
  const auto with = [](Shape shape, std::int64_t rows, std::int64_t columns) {
    shape.push_back(rows);
    shape.push_back(columns);
    return shape;
  };
  std::vector<Shape> shapes{with(batch, L, E), with(batch, S, E), with(batch, S, V)};
  Shape wide = with(batch, L, S);
  for (int d = 0; d < wide.size(); ++d) {
    if (random.chance(0.3)) wide[d] = 1;
  }
  const bool learned = masked && random.chance(0.3), is_causal = !masked && random.chance(0.5);
  if (learned) shapes.push_back(wide);
  const double dropout_p = masked ? 0 : random.pick({0.0, 0.4});
  std::vector<double> bias = random.between<double>(wide.numel(), -1, 1);
  for (std::size_t i = 0; i < bias.size(); ++i) {
    if (i % 3 == 1 && wide.back() > 1) bias[i] = -INFINITY;
  }
  if (wide.back() > 1) {  // each row takes part in something
    for (std::int64_t i = 0; i < wide.numel(); i += wide.back()) bias[static_cast<std::size_t>(i)] = 0.5;
  }
  const bool boolean = random.chance(0.5);
  return problem(random, shapes, [=](Inputs x) {
    Generator generator(5);
    Tensor mask;
    if (masked && !learned) {
      mask = tensor(bias, x[0].device()).reshape(wide);
      mask = boolean ? gt(mask, -10) : mask.to(x[0].dtype());
    }
    return scaled_dot_product_attention(x[0], x[1], x[2], learned ? x[3] : mask, dropout_p, is_causal, {}, generator);
  });
}

Problem recurrent_case(Random& random, Cell cell) {
  const std::int64_t T = random.integer(1, 4), N = random.integer(1, 3), H = random.integer(1, 3);
  const std::int64_t rows = kernels::CellShape{cell}.sums() * H;
  const bool bias = random.chance(0.5), reverse = random.chance(0.5);
  // Sums that differ from 0, where relu has its kink: there the states are one number.
  const bool single = cell == Cell::relu;
  std::vector<Shape> shapes{{single ? 1 : T, N, rows}, {rows, H}, {N, H}};
  if (bias) shapes.push_back({rows});
  if (cell == Cell::lstm) shapes.push_back({N, H});
  return problem(random, shapes, [=](Inputs x) {
    return recurrent(cell, x[0], x[1], bias ? x[3] : Tensor(), x[2], cell == Cell::lstm ? x.back() : Tensor(), reverse);
  });
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

Problem conv2d_batch_norm2d_case(Random& random) {
  const std::int64_t C = random.integer(1, 2), K = random.integer(1, 3);
  const Activation activation = random.pick({Activation::none, Activation::tanh});
  const Conv2dOptions conv{.padding = random.integer(0, 1)};
  return problem(
      random, {{random.integer(2, 3), C, random.integer(4, 5), random.integer(4, 5)}, {K, C, 2, 3}, {K}, {K}, {K}},
      [=](Inputs x) {
        return conv2d_batch_norm2d_max_pool2d(x[0], x[1], x[2], conv, {}, {}, x[3].contiguous(), x[4].contiguous(),
                                              {.training = true, .eps = 1e-2, .activation = activation}, {1, 2});
      },
      false);
}

/// batch_norm in training, of any number of dimensions.
Problem batch_norm_case(Random& random) {
  const std::int64_t C = random.integer(1, 3);
  Shape shape{random.integer(3, 5), C};
  for (std::int64_t d = random.integer(0, 3); d > 0; --d) shape.push_back(random.integer(1, 2));
  return problem(
      random, {shape, {C}, {C}},
      [=](Inputs x) {
        return batch_norm(x[0], {}, {}, x[1].contiguous(), x[2].contiguous(), {.training = true, .eps = 1e-3});
      },
      false);
}

/// layer_norm, or without a mean rms_norm, over some of the last dimensions.
Problem layer_norm_case(Random& random, bool centred) {
  Shape shape = random_shape(random, 0, 3, 3), normalized;
  shape.push_back(random.integer(3, 6));
  const int from = static_cast<int>(random.integer(0, shape.size() - 1));
  for (int d = from; d < shape.size(); ++d) normalized.push_back(shape[d]);
  const double eps = random.pick({1e-5, 1e-2});
  if (!centred) {
    return problem(
        random, {shape, normalized}, [=](Inputs x) { return rms_norm(x[0], normalized, x[1], eps); }, false);
  }
  const bool weight = random.chance(0.8), bias = random.chance(0.8);
  return problem(
      random, {shape, normalized, normalized},
      [=](Inputs x) {
        const Tensor y = layer_norm(x[0], normalized, weight ? x[1] : Tensor(), bias ? x[2] : Tensor(), eps);
        return weight && bias ? y : y + 0 * x[1] + 0 * x[2];
      },
      false);
}

/// group_norm; with as many groups as channels, instance_norm.
Problem group_norm_case(Random& random, bool instances) {
  const std::int64_t groups = random.integer(1, 3), C = groups * (instances ? 1 : random.integer(1, 3));
  Shape shape{random.integer(1, 3), C, random.integer(3, 5)};
  for (std::int64_t d = random.integer(0, 2); d > 0; --d) shape.push_back(random.integer(1, 2));
  if (!instances && C / groups == 3 && random.chance(0.5)) shape = {shape[0], C};
  return problem(
      random, {shape, {C}, {C}},
      [=](Inputs x) { return instances ? instance_norm(x[0], x[1], x[2]) : group_norm(x[0], groups, x[1], x[2]); },
      false);
}

Problem embedding_case(Random& random) {
  const std::int64_t num = random.integer(1, 6), dim = random.integer(1, 5);
  const Shape shape = random_shape(random, 0, 3, 4);
  const std::vector<std::int64_t> index = random.indices(shape.numel(), num);
  return problem(random, {{num, dim}},
                 [=](Inputs x) { return embedding(tensor(index, x[0].device()).reshape(shape), x[0]); });
}

Problem embedding_bag_case(Random& random, BagMode mode) {
  const std::int64_t num = random.integer(1, 6), dim = random.integer(1, 5), n = random.integer(0, 9);
  const std::vector<std::int64_t> index = random.indices(n, num);
  std::vector<std::int64_t> offsets = random.indices(random.integer(0, 4), n + 1);
  offsets.push_back(0);
  std::sort(offsets.begin(), offsets.end());
  const std::optional<std::int64_t> padding =
      random.chance(0.5) ? std::optional(random.integer(0, num - 1)) : std::nullopt;
  return problem(random, {{num, dim}, {n}}, [=](Inputs x) {
    return embedding_bag(tensor(index, x[0].device()), x[0],
                         {.offsets = tensor(offsets, x[0].device()),
                          .mode = mode,
                          .per_sample_weights = mode == BagMode::sum ? x[1] : Tensor(),
                          .padding_idx = padding}) +
           sum(x[1]);
  });
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

/// Of [N, C, ...] or [C], in class indices or the classes' probabilities.
Problem cross_entropy_of_shapes_case(Random& random) {
  const std::int64_t N = random.integer(1, 3), C = random.integer(1, 4);
  const Shape shape = random.pick({Shape{C}, Shape{N, C}, Shape{N, C, 2}, Shape{N, C, 2, 3}});
  Shape of_target = shape;
  of_target.erase(shape.size() == 1 ? 0 : 1);
  const std::vector<std::int64_t> target = random.indices(of_target.numel(), C);
  const std::vector<double> weight = random.between<double>(C, 0.2, 2);
  const CrossEntropyOptions options{.reduction = random.pick({Reduction::none, Reduction::mean, Reduction::sum}),
                                    .label_smoothing = random.pick({0.0, 0.2})};
  const int kind = static_cast<int>(random.integer(0, 2));
  return problem(random, {shape, shape}, [=](Inputs x) {
    CrossEntropyOptions o = options;
    o.weight = tensor(weight).to(x[0].dtype()).to(x[0].device());
    if (kind == 0) return cross_entropy(x[0], x[1], o);
    const Tensor labels = tensor(target, x[0].device()).reshape(of_target);
    const Tensor both = x[0] + x[1];
    return kind == 1 ? cross_entropy(both, labels, o)
                     : nll_loss(both, labels, {.weight = o.weight, .reduction = o.reduction});
  });
}

/// A loss of two tensors of one shape; as each reduction takes the same way, of a random one.
template <class F>
std::function<Problem(Random&)> loss(F f) {
  return [=](Random& random) {
    const Shape shape = random_shape(random, 0, 4, 3);
    const Reduction reduction = random.pick({Reduction::none, Reduction::mean, Reduction::sum});
    return problem(random, {shape, shape}, [=](Inputs x) { return f(x[0], x[1], reduction); });
  };
}

/// The same with rows [N, D] or [D], and a third tensor of either's shape.
template <class F>
std::function<Problem(Random&)> loss_of_rows(F f, bool target_for_each_row = false) {
  return [=](Random& random) {
    const Shape shape = random_shape(random, 1, 2, 4);
    Shape third = shape;
    if (target_for_each_row) third.erase(shape.size() - 1);
    const Reduction reduction = random.pick({Reduction::none, Reduction::mean, Reduction::sum});
    return problem(random, {shape, shape, third}, [=](Inputs x) { return f(x[0], x[1], x[2], reduction); });
  };
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
      {"min", unary([](T x) { return min(x); })},
      {"min along dim", along([](T x, D dim) { return min(x, dim).values; })},
      {"amax", over([](T x, S dims, bool keepdim) { return amax(x, dims, keepdim); })},
      {"amin", over([](T x, S dims, bool keepdim) { return amin(x, dims, keepdim); })},
      {"prod", unary([](T x) {
         const Tensor flat = x.flatten();
         return prod(flat.narrow(0, 0, std::min<D>(flat.numel(), 6)));
       })},
      {"prod along dim", along([](T x, D dim) { return prod(x, dim); })},
      {"prod with zeros", along([](T x, D dim) { return prod(relu(x), dim, true); })},
      {"var", over([](T x, S dims, bool keepdim) { return var(x, dims, 0, keepdim); })},
      {"var, correction -1", over([](T x, S dims, bool keepdim) { return var(x, dims, -1, keepdim); })},
      {"mean of var_mean", over([](T x, S dims, bool keepdim) { return var_mean(x, dims, 0, keepdim).mean; })},
      {"std", unary([](T x) {
         return std(stack({x, 3 - x}), {}, 0);
       })},
      {"norm 1", over([](T x, S dims, bool keepdim) { return norm(x, 1, dims, keepdim); })},
      {"norm 2", over([](T x, S dims, bool keepdim) { return norm(x, 2, dims, keepdim); })},
      {"norm 3", over([](T x, S dims, bool keepdim) { return norm(x, 3, dims, keepdim); })},
      {"norm 0.5", over([](T x, S dims, bool keepdim) { return norm(x + 3, 0.5, dims, keepdim); })},
      {"norm infinity", over([](T x, S dims, bool keepdim) { return norm(x + 3, HUGE_VAL, dims, keepdim); })},
      {"norm -infinity", over([](T x, S dims, bool keepdim) { return norm(x + 3, -HUGE_VAL, dims, keepdim); })},
      {"logsumexp", over([](T x, S dims, bool keepdim) { return logsumexp(x, dims, keepdim); })},
      {"median", unary([](T x) { return median(x); })},
      {"median along dim", along([](T x, D dim) { return median(x, dim).values; })},
      {"mode", along([](T x, D dim) { return mode(x, dim).values; })},
      {"quantile", along([](T x, D dim) { return quantile(x, 0.3, dim); })},
      {"nanquantile", along([](T x, D dim) { return nanquantile(x, 0.8, dim, true); })},
      {"cummax", along([](T x, D dim) { return cummax(x, dim).values; })},
      {"cummin", along([](T x, D dim) { return cummin(x, dim).values; })},
      {"nanmean", over([](T x, S dims, bool keepdim) { return nanmean(x, dims, keepdim); })},
      {"cumsum", along(cumsum)},
      {"cumprod", along(cumprod)},
      {"cumprod with zeros", along([](T x, D dim) { return cumprod(relu(x), dim); })},
      {"pow of tensors", binary([](T a, T b) { return pow(exp(a), b); })},
      {"pow of a number", unary([](T x) { return pow(2.5, x); })},
      {"atan2", binary(atan2)},
      {"hypot", binary(hypot)},
      {"fmod", binary([](T a, T b) { return fmod(a * 0.5 + 10, b * 0.1 + 4); })},
      {"remainder", binary([](T a, T b) { return remainder(a * 0.5 - 10, b * 0.1 + 4); })},
      {"remainder of a number", unary([](T x) { return remainder(x, 100); })},
      {"lerp", binary([](T a, T b) { return lerp(a, b, 0.75); })},
      {"lerp by a tensor", binary([](T a, T b) { return lerp(a, b, a); })},
      {"addcmul", binary([](T a, T b) { return addcmul(a, b, a, 2.5); })},
      {"addcdiv", binary([](T a, T b) { return addcdiv(a, b, a + 3, 2.5); })},
      {"softmax", along(softmax)},
      {"log_softmax", along(log_softmax)},
      {"matmul", [](Random& r) { return matmul_case(r, false, false); }},
      {"matmul of batches", [](Random& r) { return matmul_case(r, true, true); }},
      {"matmul of a batch and a matrix", [](Random& r) { return matmul_case(r, true, false); }},
      {"matmul of a matrix and a batch", [](Random& r) { return matmul_case(r, false, true); }},
      {"matmul of any ranks", matmul_of_any_ranks_case},
      {"einsum", einsum_case},
      {"tensordot", tensordot_case},
      {"addmm", [](Random& r) { return addmm_case(r, false); }},
      {"baddbmm", [](Random& r) { return addmm_case(r, true); }},
      {"outer",
       [](Random& r) {
         return problem(r, {{r.integer(1, 4)}, {r.integer(1, 4)}}, [](Inputs x) { return outer(x[0], x[1]); });
       }},
      {"scaled_dot_product_attention", [](Random& r) { return attention_case(r, false); }},
      {"scaled_dot_product_attention with a mask", [](Random& r) { return attention_case(r, true); }},
      {"recurrent, tanh", [](Random& r) { return recurrent_case(r, Cell::tanh); }},
      {"recurrent, relu", [](Random& r) { return recurrent_case(r, Cell::relu); }},
      {"recurrent, lstm", [](Random& r) { return recurrent_case(r, Cell::lstm); }},
      {"recurrent, gru", [](Random& r) { return recurrent_case(r, Cell::gru); }},
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
      {"conv2d_batch_norm2d_max_pool2d", conv2d_batch_norm2d_case},
      {"batch_norm", batch_norm_case},
      {"layer_norm", [](Random& r) { return layer_norm_case(r, true); }},
      {"rms_norm", [](Random& r) { return layer_norm_case(r, false); }},
      {"group_norm", [](Random& r) { return group_norm_case(r, false); }},
      {"instance_norm", [](Random& r) { return group_norm_case(r, true); }},
      {"embedding", embedding_case},
      {"embedding_bag, sum", [](Random& r) { return embedding_bag_case(r, BagMode::sum); }},
      {"embedding_bag, mean", [](Random& r) { return embedding_bag_case(r, BagMode::mean); }},
      {"embedding_bag, max", [](Random& r) { return embedding_bag_case(r, BagMode::max); }},
      {"cross_entropy, mean", [](Random& r) { return cross_entropy_case(r, Reduction::mean); }},
      {"cross_entropy, sum", [](Random& r) { return cross_entropy_case(r, Reduction::sum); }},
      {"cross_entropy, none", [](Random& r) { return cross_entropy_case(r, Reduction::none); }},
      {"cross_entropy and nll_loss of shapes", cross_entropy_of_shapes_case},
      {"l1_loss", loss([](T x, T t, Reduction r) { return l1_loss(x, t, r); })},
      {"smooth_l1_loss, flat and steep",
       loss([](T x, T t, Reduction r) { return smooth_l1_loss(x, t, r, 5) + smooth_l1_loss(x, t, r, 0.002); })},
      {"huber_loss, flat and steep",
       loss([](T x, T t, Reduction r) { return huber_loss(x, t, r, 5) + huber_loss(x, t, r, 0.002) * 100; })},
      {"binary_cross_entropy",
       loss([](T x, T t, Reduction r) { return binary_cross_entropy(sigmoid(x), sigmoid(t), t, r); })},
      {"binary_cross_entropy_with_logits",
       loss([](T x, T t, Reduction r) { return binary_cross_entropy_with_logits(x, sigmoid(t), t, r, square(t)); })},
      {"kl_div", loss([](T x, T t, Reduction r) { return kl_div(x, sigmoid(t), r); })},
      {"kl_div, log_target", loss([](T x, T t, Reduction r) { return kl_div(x, t, r, true); })},
      {"kl_div, batchmean", loss([](T x, T t, Reduction) { return kl_div(x, sigmoid(t), Reduction::batchmean); })},
      {"poisson_nll_loss", loss([](T x, T t, Reduction r) { return poisson_nll_loss(x, t, true, false, 1e-8, r); })},
      {"poisson_nll_loss, full",
       loss([](T x, T t, Reduction r) { return poisson_nll_loss(exp(x), exp(t) + 1.0, false, true, 1e-8, r); })},
      {"gaussian_nll_loss", loss([](T x, T t, Reduction r) { return gaussian_nll_loss(x, t, exp(x), true, 1e-6, r); })},
      {"hinge_embedding_loss",
       loss([](T x, T t, Reduction r) { return hinge_embedding_loss(x, sign(t), 5, r) + sum(t); })},
      {"soft_margin_loss", loss([](T x, T t, Reduction r) { return soft_margin_loss(x, t, r); })},
      {"margin_ranking_loss",
       loss_of_rows([](T a, T b, T t, Reduction r) { return margin_ranking_loss(a, b, sign(t), 0.001, r); })},
      {"cosine_similarity",
       loss_of_rows([](T a, T b, T c, Reduction) { return cosine_similarity(a + 3, b - 3, -1) + sum(c); })},
      {"pairwise_distance", loss_of_rows([](T a, T b, T c, Reduction) { return pairwise_distance(a, b) + sum(c); })},
      {"cosine_embedding_loss",
       loss_of_rows(
           [](T a, T b, T t, Reduction r) { return cosine_embedding_loss(a + 3, b - 3, sign(t), -1.5, r) + sum(t); },
           true)},
      {"triplet_margin_loss", loss_of_rows([](T a, T b, T c, Reduction r) {
         return triplet_margin_loss(a, b, c, {.margin = 10, .swap = true, .reduction = r});
       })},
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
