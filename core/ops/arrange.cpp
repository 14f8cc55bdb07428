#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>
#include <tern/core/trace.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

/// Arrangements that are views, copies of views, or a selection by indices made here.

namespace tern {
namespace {

/// x as [outer, n, inner] around dimension d.
Shape around(const Shape& shape, int d) {
  Shape three{1, shape[d], 1};
  for (int i = 0; i < shape.size(); ++i) {
    if (i != d) three[i < d ? 0 : 2] *= shape[i];
  }
  return three;
}

template <class F>
Tensor part_view(const char* name, const Tensor& x, F view);

/// Zeros of a shape with part of them replaced: the reverse of showing that part.
template <class F>
Tensor among_zeros(const char* name, const Tensor& part, const Shape& shape, F view) {
  const Tensor whole = zeros(shape, {.dtype = part.dtype(), .device = part.device()});
  copy_into(part, view(whole));
  return record(name, {part}, whole, [name, view](const Tensor& g) { return part_view(name, g, view); });
}

/// What view() shows of x, by which memory it is.
template <class F>
Tensor part_view(const char* name, const Tensor& x, F view) {
  return record(name, {x}, view(x),
                [name, from = x.shape(), view](const Tensor& g) { return among_zeros(name, g, from, view); });
}

/// What shows the diagonal of tensors of this shape.
auto diagonal_view(const Shape& of, std::int64_t offset, int row, int column) {
  const std::int64_t rows = of[row], columns = of[column];
  const std::int64_t first_row = offset >= 0 ? 0 : offset < -rows ? rows : -offset;
  const std::int64_t first_column = std::clamp<std::int64_t>(offset, 0, columns);
  return [=](const Tensor& whole) {
    Shape shape = whole.shape(), strides = whole.strides();
    const std::int64_t begin = first_row * strides[row] + first_column * strides[column];
    const std::int64_t stride = strides[row] + strides[column];
    for (const int d : {std::max(row, column), std::min(row, column)}) {
      shape.erase(d);
      strides.erase(d);
    }
    shape.push_back(std::min(rows - first_row, columns - first_column));
    strides.push_back(stride);
    return whole.as_strided(shape, strides, whole.storage_offset() + (shape.numel() == 0 ? 0 : begin));
  };
}

/// y, or a copy where it shows x's memory.
Tensor own(const Tensor& x, const Tensor& y) { return y.storage() == x.storage() ? y.clone() : y; }

Tensor along(const Tensor& x, int d, std::vector<std::int64_t> places) {
  return index_select(x, d, tensor(places, x.device()));
}

/// 0 where the column's number less the row's is `op` the diagonal's.
Tensor triangle(const char* name, const Tensor& x, std::int64_t diagonal, Tensor (*op)(const Tensor&, Scalar)) {
  check_defined(name, "x", x);
  check(x.dim() >= 2, "{}: shape {}, expected two dimensions or more", name, x.shape());
  const Tensor rows = arange(x.size(-2)).to(x.device()).unsqueeze(1), columns = arange(x.size(-1)).to(x.device());
  return masked_fill(x, op(columns - rows, diagonal), 0);
}

}  // namespace

std::vector<Tensor> split(const Tensor& x, const std::vector<std::int64_t>& sizes, std::int64_t dim) {
  check_defined("split", "x", x);
  const int d = existing_dim("split", dim, x.dim());
  std::int64_t rest = x.shape()[d];
  for (std::int64_t size : sizes) {
    check(0 <= size && size <= rest, "split: a size of {} with {} left of dimension {} of shape {}", size, rest, d,
          x.shape());
    rest -= size;
  }
  check(rest == 0, "split: {} elements of dimension {} of shape {} left over, expected sizes for all", rest, d,
        x.shape());
  std::vector<Tensor> parts;
  std::int64_t start = 0;
  for (std::int64_t size : sizes) {
    parts.push_back(x.narrow(d, start, size));
    start += size;
  }
  return parts;
}

std::vector<Tensor> split(const Tensor& x, std::int64_t split_size, std::int64_t dim) {
  check_defined("split", "x", x);
  const std::int64_t n = x.shape()[existing_dim("split", dim, x.dim())];
  check(split_size >= (n == 0 ? 0 : 1), "split: pieces of {} elements of {}, expected 1 or more", split_size, n);
  std::vector<std::int64_t> sizes;
  for (std::int64_t start = 0; start < n; start += sizes.back()) sizes.push_back(std::min(split_size, n - start));
  if (n == 0) sizes = {0};
  return split(x, sizes, dim);
}

std::vector<Tensor> chunk(const Tensor& x, std::int64_t chunks, std::int64_t dim) {
  check_defined("chunk", "x", x);
  check(chunks >= 1, "chunk: {} pieces, expected 1 or more", chunks);
  const std::int64_t n = x.shape()[existing_dim("chunk", dim, x.dim())];
  if (n == 0) return split(x, std::vector<std::int64_t>(static_cast<std::size_t>(chunks), 0), dim);
  return split(x, (n - 1) / chunks + 1, dim);
}

std::vector<Tensor> unbind(const Tensor& x, std::int64_t dim) {
  check_defined("unbind", "x", x);
  const int d = existing_dim("unbind", dim, x.dim());
  std::vector<Tensor> slices;
  for (std::int64_t i = 0; i < x.shape()[d]; ++i) slices.push_back(x.select(d, i));
  return slices;
}

std::vector<Tensor> tensor_split(const Tensor& x, std::int64_t sections, std::int64_t dim) {
  check_defined("tensor_split", "x", x);
  check(sections >= 1, "tensor_split: {} sections, expected 1 or more", sections);
  const std::int64_t n = x.shape()[existing_dim("tensor_split", dim, x.dim())];
  std::vector<std::int64_t> sizes;
  for (std::int64_t i = 0; i < sections; ++i) sizes.push_back(n / sections + (i < n % sections));
  return split(x, sizes, dim);
}

Tensor hstack(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> all;
  for (const Tensor& x : tensors) {
    check_defined("hstack", "a tensor", x);
    all.push_back(x.dim() == 0 ? x.reshape({1}) : x);
  }
  return cat(all, !all.empty() && all[0].dim() > 1 ? 1 : 0);
}

Tensor vstack(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> all;
  for (const Tensor& x : tensors) {
    check_defined("vstack", "a tensor", x);
    all.push_back(x.dim() < 2 ? x.reshape({1, x.numel()}) : x);
  }
  return cat(all, 0);
}

Tensor slice(const Tensor& x, std::int64_t dim, std::optional<std::int64_t> start, std::optional<std::int64_t> end,
             std::int64_t step) {
  check_defined("slice", "x", x);
  const int d = existing_dim("slice", dim, x.dim());
  check(step >= 1, "slice: a step of {}, expected 1 or more", step);
  const std::int64_t n = x.shape()[d];
  const auto place = [n](std::int64_t at) { return std::clamp<std::int64_t>(at < 0 ? at + n : at, 0, n); };
  const std::int64_t from = place(start.value_or(0)), to = std::max(from, place(end.value_or(n)));
  if (step == 1) return from == 0 && to == n ? x : x.narrow(d, from, to - from);
  if (Trace* const trace = Trace::current()) {
    return trace->run("slice", {x}, {{"dim", d}, {"start", from}, {"end", to}, {"step", step}},
                      [&] { return slice(x, dim, start, end, step); });
  }
  const std::int64_t count = to > from ? (to - from - 1) / step + 1 : 0;
  return part_view("slice", x, [=](const Tensor& whole) {
    Shape shape = whole.shape(), strides = whole.strides();
    shape[d] = count;
    const std::int64_t begin = shape.numel() == 0 ? 0 : from * strides[d];
    strides[d] = count <= 1 ? strides[d] : strides[d] * step;
    return whole.as_strided(shape, strides, whole.storage_offset() + begin);
  });
}

Tensor diagonal(const Tensor& x, std::int64_t offset, std::int64_t dim1, std::int64_t dim2) {
  check_defined("diagonal", "x", x);
  const int row = existing_dim("diagonal", dim1, x.dim()), column = existing_dim("diagonal", dim2, x.dim());
  check(row != column, "diagonal: dimensions {} and {}, expected two", dim1, dim2);
  return part_view("diagonal", x, diagonal_view(x.shape(), offset, row, column));
}

Tensor diag(const Tensor& x, std::int64_t at) {
  check_defined("diag", "x", x);
  check(x.dim() == 1 || x.dim() == 2, "diag: shape {}, expected one or two dimensions", x.shape());
  return x.dim() == 2 ? diagonal(x, at).clone() : diag_embed(x, at);
}

Tensor diag_embed(const Tensor& x, std::int64_t offset) {
  check_defined("diag_embed", "x", x);
  Shape shape = x.shape();
  shape[existing_dim("diag_embed", -1, x.dim())] += std::abs(offset);
  shape.push_back(shape.back());
  return among_zeros("diag_embed", x, shape, diagonal_view(shape, offset, shape.size() - 2, shape.size() - 1));
}

Tensor rot90(const Tensor& x, std::int64_t k, const Shape& dims) {
  check_defined("rot90", "x", x);
  check(dims.size() == 2, "rot90: dimensions {}, expected two", dims);
  switch ((k % 4 + 4) % 4) {
    case 1:
      return flip(x, {dims[1]}).transpose(dims[0], dims[1]);
    case 2:
      return flip(x, dims);
    case 3:
      return flip(x, {dims[0]}).transpose(dims[0], dims[1]);
    default:
      return x.clone();
  }
}

Tensor tril(const Tensor& x, std::int64_t diagonal) { return triangle("tril", x, diagonal, gt); }
Tensor triu(const Tensor& x, std::int64_t diagonal) { return triangle("triu", x, diagonal, lt); }

Tensor flip(const Tensor& x, const Shape& dims) {
  check_defined("flip", "x", x);
  unsigned seen = 0;
  Tensor y;
  {
    NoGradGuard no_grad;
    y = x;
    for (std::int64_t dim : dims) {
      const int d = wrap_dim("flip", dim, x.dim());
      check(!(seen >> d & 1), "flip: dimensions {}, expected each once", dims);
      seen |= 1u << d;
      if (x.dim() == 0) continue;
      std::vector<std::int64_t> places(static_cast<std::size_t>(x.shape()[d]));
      std::iota(places.rbegin(), places.rend(), std::int64_t{0});
      y = along(y, d, places);
    }
    if (y.is_same(x)) y = x.clone();
  }
  return record("flip", {x}, y, [dims](const Tensor& g) { return flip(g, dims); });
}

Tensor roll(const Tensor& x, const Shape& shifts, const Shape& dims) {
  check_defined("roll", "x", x);
  if (dims.empty()) {
    check(shifts.size() == 1, "roll: shifts {} without dimensions, expected one", shifts);
    return roll(x.reshape({-1}), shifts, {0}).reshape(x.shape());
  }
  check(shifts.size() == dims.size(), "roll: shifts {} along dimensions {}, expected as many", shifts, dims);
  Tensor y = x;
  for (int i = 0; i < dims.size(); ++i) {
    const int d = existing_dim("roll", dims[i], x.dim());
    const std::int64_t n = x.shape()[d], by = n == 0 ? 0 : (shifts[i] % n + n) % n;
    y = cat({y.narrow(d, n - by, by), y.narrow(d, 0, n - by)}, d);
  }
  return y;
}

Tensor repeat(const Tensor& x, const Shape& repeats) {
  check_defined("repeat", "x", x);
  check(repeats.size() >= x.dim(), "repeat: {} of shape {}, expected a number for each dimension", repeats, x.shape());
  Shape shape = x.shape();
  while (shape.size() < repeats.size()) shape.insert(0, 1);
  Tensor y = x.reshape(shape);
  for (int d = 0; d < shape.size(); ++d) {
    check(repeats[d] >= 0, "repeat: {}, expected 0 or more", repeats);
    if (repeats[d] == 1) continue;
    const Shape three = around(shape, d);
    const Shape flat{three[0], 1, three[1] * three[2]}, wide{three[0], repeats[d], three[1] * three[2]};
    y = y.reshape(flat).expand(wide);
    shape[d] *= repeats[d];
    y = y.reshape(shape);
  }
  return own(x, y);
}

Tensor tile(const Tensor& x, const Shape& repeats) {
  check_defined("tile", "x", x);
  Shape all = repeats;
  while (all.size() < x.dim()) all.insert(0, 1);
  return repeat(x, all);
}

Tensor repeat_interleave(const Tensor& x, std::int64_t repeats, std::optional<std::int64_t> dim) {
  check_defined("repeat_interleave", "x", x);
  check(repeats >= 0, "repeat_interleave: {} times, expected 0 or more", repeats);
  if (!dim || x.dim() == 0) return repeat_interleave(x.reshape({x.numel()}), repeats, 0);
  const int d = wrap_dim("repeat_interleave", *dim, x.dim());
  const Shape three = around(x.shape(), d);
  const Tensor wide = x.reshape({three[0], three[1], 1, three[2]}).expand({-1, -1, repeats, -1});
  Shape shape = x.shape();
  shape[d] *= repeats;
  return own(x, wide.reshape(shape));
}

Tensor repeat_interleave(const Tensor& in, const Tensor& repeats, std::optional<std::int64_t> dim) {
  check_defined("repeat_interleave", "x", in);
  check_defined("repeat_interleave", "repeats", repeats);
  const Tensor x = dim && in.dim() > 0 ? in : in.reshape({-1});
  const int d = wrap_dim("repeat_interleave", dim.value_or(0), x.dim());
  check(repeats.dtype() == DType::int64 && repeats.dim() <= 1 &&
            (repeats.numel() == 1 || repeats.numel() == x.shape()[d]),
        "repeat_interleave: repeats {} of shape {}, expected int64, one or [{}]", repeats.dtype(), repeats.shape(),
        x.shape()[d]);
  const std::vector<std::int64_t> times = repeats.to_vector<std::int64_t>();
  std::vector<std::int64_t> places;
  for (std::int64_t i = 0; i < x.shape()[d]; ++i) {
    const std::int64_t n = times[times.size() == 1 ? 0 : static_cast<std::size_t>(i)];
    check(n >= 0, "repeat_interleave: {} times, expected 0 or more", n);
    places.insert(places.end(), static_cast<std::size_t>(n), i);
  }
  return along(x, d, places);
}

Tensor movedim(const Tensor& x, const Shape& source, const Shape& destination) {
  check_defined("movedim", "x", x);
  check(source.size() == destination.size(), "movedim: {} to {}, expected as many", source, destination);
  constexpr std::int64_t open = -1;
  Shape order = x.shape();
  for (std::int64_t& d : std::span(&order[0], static_cast<std::size_t>(order.size()))) d = open;
  unsigned moved = 0;
  for (int i = 0; i < source.size(); ++i) {
    const int from = wrap_dim("movedim", source[i], x.dim()), to = wrap_dim("movedim", destination[i], x.dim());
    check(x.dim() == 0 || (!(moved >> from & 1) && order[to] == open), "movedim: {} to {}, expected each once", source,
          destination);
    moved |= 1u << from;
    if (x.dim() > 0) order[to] = from;
  }
  for (int d = 0, to = 0; d < x.dim(); ++d) {
    if (moved >> d & 1) continue;
    while (order[to] != open) ++to;
    order[to] = d;
  }
  return x.permute(order);
}

Tensor unflatten(const Tensor& x, std::int64_t dim, const Shape& sizes) {
  check_defined("unflatten", "x", x);
  const int d = existing_dim("unflatten", dim, x.dim());
  check(!sizes.empty(), "unflatten: no sizes, expected one or more");
  Shape in = sizes, shape;
  std::int64_t known = 1;
  for (std::int64_t size : sizes) known *= size == -1 ? 1 : size;
  for (int i = 0; i < in.size(); ++i) {
    if (in[i] == -1 && known != 0) in[i] = x.shape()[d] / known;
  }
  check(in.numel() == x.shape()[d] && std::count(sizes.begin(), sizes.end(), -1) <= 1,
        "unflatten: dimension {} of shape {} does not go into {}", d, x.shape(), sizes);
  for (int i = 0; i < x.dim(); ++i) {
    if (i != d) shape.push_back(x.shape()[i]);
    for (std::int64_t size : i == d ? in : Shape()) shape.push_back(size);
  }
  return x.reshape(shape);
}

std::vector<Tensor> broadcast_tensors(const std::vector<Tensor>& tensors) {
  Shape shape;
  for (const Tensor& x : tensors) {
    check_defined("broadcast_tensors", "a tensor", x);
    shape = broadcast_shapes("broadcast_tensors", shape, x.shape());
  }
  std::vector<Tensor> all;
  for (const Tensor& x : tensors) all.push_back(x.expand(shape));
  return all;
}

std::vector<Tensor> meshgrid(const std::vector<Tensor>& tensors, Indexing indexing) {
  check(!tensors.empty(), "meshgrid: no tensors, expected at least one");
  const int n = static_cast<int>(tensors.size());
  check(n <= Shape::max_dims, "meshgrid: {} tensors, expected no more than {}", n, Shape::max_dims);
  std::vector<Tensor> all;
  for (int i = 0; i < n; ++i) {
    const Tensor& x = tensors[static_cast<std::size_t>(i)];
    check_defined("meshgrid", "a tensor", x);
    check(x.dim() <= 1, "meshgrid: shape {}, expected one dimension", x.shape());
    check_alike("meshgrid", tensors[0], x);
    Shape shape;
    const int d = indexing == Indexing::xy && n > 1 && i < 2 ? 1 - i : i;
    for (int other = 0; other < n; ++other) shape.push_back(other == d ? x.numel() : 1);
    all.push_back(x.reshape(shape));
  }
  return broadcast_tensors(all);
}

Tensor pad(const Tensor& x, const std::vector<std::int64_t>& pad, PadMode mode, Scalar value) {
  check_defined("pad", "x", x);
  check(pad.size() % 2 == 0 && static_cast<int>(pad.size()) <= 2 * x.dim(),
        "pad: {} numbers for shape {}, expected two for each of the last dimensions", pad.size(), x.shape());
  Tensor y = x;
  for (std::size_t i = 0; i < pad.size() / 2; ++i) {
    const int d = x.dim() - 1 - static_cast<int>(i);
    const std::int64_t n = x.shape()[d], before = pad[2 * i], after = pad[2 * i + 1];
    std::int64_t wide = n;
    check(!__builtin_add_overflow(wide, before, &wide) && !__builtin_add_overflow(wide, after, &wide) && wide >= 0 &&
              before >= -n && after >= -n,
          "pad: {} and {} of dimension {} of shape {}, expected no less than nothing left", before, after, d,
          x.shape());
    const std::int64_t most = mode == PadMode::reflect ? n - 1 : n;
    check(mode == PadMode::constant || mode == PadMode::replicate || (before <= most && after <= most),
          "pad: {} and {} of dimension {} of shape {}, expected no more than {}", before, after, d, x.shape(), most);
    check(mode == PadMode::constant || n > 0 || wide == 0, "pad: dimension {} of shape {} is empty", d, x.shape());
    if ((before == 0 && after == 0) || mode == PadMode::constant) continue;
    std::vector<std::int64_t> places;
    for (std::int64_t at = -before; at < n + after; ++at) {
      switch (mode) {
        case PadMode::reflect:
          places.push_back(at < 0 ? -at : at >= n ? 2 * (n - 1) - at : at);
          break;
        case PadMode::circular:
          places.push_back((at + n) % n);
          break;
        default:
          places.push_back(std::clamp<std::int64_t>(at, 0, n - 1));
      }
    }
    y = along(y, d, places);
  }
  if (mode != PadMode::constant) return y.is_same(x) ? x.clone() : y;
  check(can_hold(x.dtype(), value), "pad: {} into {}, which cannot hold it", value, x.dtype());
  if (Trace* const trace = Trace::current()) {
    Shape before = x.shape(), after = x.shape();
    for (int d = 0; d < x.dim(); ++d) {
      const auto i = static_cast<std::size_t>(x.dim() - 1 - d);
      before[d] = 2 * i < pad.size() ? pad[2 * i] : 0;
      after[d] = 2 * i < pad.size() ? pad[2 * i + 1] : 0;
    }
    const Tensor number = full({}, value, {.dtype = x.dtype(), .device = x.device()});
    return trace->run("pad", {x, number}, {{"before", before}, {"after", after}},
                      [&] { return tern::pad(x, pad, mode, value); });
  }
  Shape shape = x.shape();
  for (std::size_t i = 0; i < pad.size(); ++i) shape[x.dim() - 1 - static_cast<int>(i / 2)] += pad[i];
  y = full(shape, value, {.dtype = x.dtype(), .device = x.device()});
  {
    NoGradGuard no_grad;
    Tensor from = x, to = y;
    for (std::size_t i = 0; i < pad.size() / 2; ++i) {
      const int d = x.dim() - 1 - static_cast<int>(i);
      const std::int64_t before = pad[2 * i], cut = std::max<std::int64_t>(-before, 0);
      const std::int64_t length = x.shape()[d] - cut - std::max<std::int64_t>(-pad[2 * i + 1], 0);
      from = from.narrow(d, std::min(cut, x.shape()[d]), std::max<std::int64_t>(length, 0));
      to = to.narrow(d, std::min(std::max<std::int64_t>(before, 0), shape[d]), std::max<std::int64_t>(length, 0));
    }
    copy_into(from, to);
  }
  return record("pad", {x}, y, [pad](const Tensor& g) {
    std::vector<std::int64_t> back = pad;
    for (std::int64_t& by : back) by = -by;
    return tern::pad(g, back);
  });
}

}  // namespace tern
